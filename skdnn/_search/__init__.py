"""Search for the layer: a grid search that sends each image through the network once."""

from skdnn._search._bootstrap_search import bootstrap_search
from skdnn._search._describe_study import describe_study
from skdnn._search._estimate_search import SearchEstimate, estimate_search, rehearse_search
from skdnn._search._layer_search import LayerSearchCV
from skdnn._search._make_search import make_search, nested_search, passed_on_layers
from skdnn._search._untrained_twin import compare_with_twin

__all__ = [
    "LayerSearchCV",
    "SearchEstimate",
    "bootstrap_search",
    "compare_with_twin",
    "describe_study",
    "estimate_search",
    "make_search",
    "nested_search",
    "passed_on_layers",
    "rehearse_search",
]
