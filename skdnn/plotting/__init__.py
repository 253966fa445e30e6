"""Pictures in scikit-learn's manner: display objects that keep what they drew."""

from skdnn.plotting._heatmap import SimilarityDisplay
from skdnn.plotting._inputs import InputsDisplay
from skdnn.plotting._layer_scores import LayerScoresDisplay
from skdnn.plotting._mds import MDSDisplay
from skdnn.plotting._model_comparison import ModelComparisonDisplay
from skdnn.plotting._rdm import RDMDisplay

__all__ = [
    "InputsDisplay",
    "LayerScoresDisplay",
    "MDSDisplay",
    "ModelComparisonDisplay",
    "RDMDisplay",
    "SimilarityDisplay",
]
