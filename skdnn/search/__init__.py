"""Search for the layer: a grid search that sends each image through the network once."""

from skdnn.search._search import LayerSearchCV

__all__ = ["LayerSearchCV"]
