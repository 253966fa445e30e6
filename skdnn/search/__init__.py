"""Search for the layer: a grid search that sends each image through the network once."""

from skdnn.search._bootstrap import bootstrap_search
from skdnn.search._make import make_search, nested_search
from skdnn.search._rehearse import estimate_search, rehearse_search
from skdnn.search._search import LayerSearchCV
from skdnn.search._twin import compare_with_twin

__all__ = [
    "LayerSearchCV",
    "bootstrap_search",
    "compare_with_twin",
    "estimate_search",
    "make_search",
    "nested_search",
    "rehearse_search",
]
