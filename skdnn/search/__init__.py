"""Search for the layer: a grid search that sends each image through the network once."""

from skdnn.search._bootstrap import bootstrap_search
from skdnn.search._make import make_search, nested_search
from skdnn.search._passed_on import passed_on_layers
from skdnn.search._rehearse import SearchEstimate, estimate_search, rehearse_search
from skdnn.search._search import LayerSearchCV
from skdnn.search._study import describe_study
from skdnn.search._twin import compare_with_twin

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
