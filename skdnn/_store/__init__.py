"""The activation store: rows of activations on disk, found by the image they belong to."""

from skdnn._store._activation_store import ActivationStore
from skdnn._store._index import LayerRows
from skdnn._store._store_folder import StoreFolder
from skdnn._store._stored_features import StoredFeatures
from skdnn._store._write import BlockWriter

__all__ = ["ActivationStore", "BlockWriter", "LayerRows", "StoreFolder", "StoredFeatures"]
