from ._heatmap import SimilarityDisplay
from ._inputs import InputsDisplay
from ._layer_scores import LayerScoresDisplay
from ._mds import MDSDisplay
from ._model_comparison import ModelComparisonDisplay
from ._rdm import RDMDisplay
from ._region_scores import RegionScoresDisplay
from ._twin_profile import draw_with_twin

__all__ = [
    "InputsDisplay",
    "LayerScoresDisplay",
    "MDSDisplay",
    "ModelComparisonDisplay",
    "RDMDisplay",
    "RegionScoresDisplay",
    "SimilarityDisplay",
    "draw_with_twin",
]
