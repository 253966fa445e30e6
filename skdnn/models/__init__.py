"""From a name to a network: architectures, weights and preprocessing."""

from skdnn.models._cornet import cornet
from skdnn.models._own_network import Model
from skdnn.models._own_network_file import load_own_network
from skdnn.models._preprocessing import Preprocessing
from skdnn.models._registry import list_models
from skdnn.models._weights_file import WeightsFile

__all__ = [
    "Model",
    "Preprocessing",
    "WeightsFile",
    "cornet",
    "list_models",
    "load_own_network",
]
