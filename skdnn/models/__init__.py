"""From a name to a network: architectures, weights and preprocessing."""

from skdnn.models._custom import Model
from skdnn.models._registry import fixed_seed, list_models, resolve_model
from skdnn.models._spec import ModelSpec, Preprocessing

__all__ = ["Model", "ModelSpec", "Preprocessing", "fixed_seed", "list_models", "resolve_model"]
