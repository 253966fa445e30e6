"""From a name to a network: architectures, weights and preprocessing."""

from skdnn.models._cornet import cornet
from skdnn.models._custom import Model
from skdnn.models._own_file import load_own_network
from skdnn.models._registry import fixed_seed, list_models, resolve_model
from skdnn.models._spec import (
    ModelSpec,
    Preprocessing,
    digest_of,
    needs_download,
    preprocess_identity,
)
from skdnn.models._weights_file import WeightsFile

__all__ = [
    "Model",
    "ModelSpec",
    "Preprocessing",
    "WeightsFile",
    "cornet",
    "digest_of",
    "fixed_seed",
    "list_models",
    "load_own_network",
    "needs_download",
    "preprocess_identity",
    "resolve_model",
]
