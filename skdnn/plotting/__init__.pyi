from ._inputs import InputsDisplay
from ._layer_scores import LayerScoresDisplay
from ._layer_scores_with_twin import draw_with_twin
from ._mds import MDSDisplay
from ._model_comparison import ModelComparisonDisplay
from ._rdm import RDMDisplay
from ._region_scores import RegionScoresDisplay
from ._searchlight import SearchlightDisplay
from ._similarity import SimilarityDisplay
from ._time_course import TimeCourseDisplay

__all__ = [
    "InputsDisplay",
    "LayerScoresDisplay",
    "MDSDisplay",
    "ModelComparisonDisplay",
    "RDMDisplay",
    "RegionScoresDisplay",
    "SearchlightDisplay",
    "SimilarityDisplay",
    "TimeCourseDisplay",
    "draw_with_twin",
]
