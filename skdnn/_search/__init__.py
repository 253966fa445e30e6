"""Search for the layer: a grid search that sends each image through the network once."""

from skdnn._search._bootstrap import bootstrap_search
from skdnn._search._make import make_search, nested_search
from skdnn._search._passed_on import passed_on_layers
from skdnn._search._rehearse import SearchEstimate, estimate_search, rehearse_search
from skdnn._search._search import LayerSearchCV
from skdnn._search._study import describe_study
from skdnn._search._twin import compare_with_twin

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
