"""Search for the layer: a grid search that sends each image through the network once."""

from skdnn.search._bootstrap import bootstrap_search
from skdnn.search._search import LayerSearchCV
from skdnn.search._twin import compare_with_twin

__all__ = ["LayerSearchCV", "bootstrap_search", "compare_with_twin"]
