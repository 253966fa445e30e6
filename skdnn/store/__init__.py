"""The activation store: rows of activations on disk, found by the image they belong to."""

from skdnn.store._depot import Depot
from skdnn.store._features import StoredFeatures
from skdnn.store._index import LayerRows
from skdnn.store._store import ActivationStore
from skdnn.store._write import BlockWriter

__all__ = ["ActivationStore", "BlockWriter", "Depot", "LayerRows", "StoredFeatures"]
