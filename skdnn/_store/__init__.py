"""The activation store: rows of activations on disk, found by the image they belong to."""

from skdnn._store._depot import Depot
from skdnn._store._features import StoredFeatures
from skdnn._store._index import LayerRows
from skdnn._store._store import ActivationStore
from skdnn._store._write import BlockWriter

__all__ = ["ActivationStore", "BlockWriter", "Depot", "LayerRows", "StoredFeatures"]
