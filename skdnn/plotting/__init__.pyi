from ._heatmap import SimilarityDisplay
from ._inputs import InputsDisplay
from ._layer_scores import LayerScoresDisplay
from ._mds import MDSDisplay
from ._model_comparison import ModelComparisonDisplay
from ._rdm import RDMDisplay

__all__ = [
    "InputsDisplay",
    "LayerScoresDisplay",
    "MDSDisplay",
    "ModelComparisonDisplay",
    "RDMDisplay",
    "SimilarityDisplay",
]
