"""skdnn: which layer of which deep network sees the world as the brain does?

Activations of deep networks as scikit-learn transformers, and representational similarity
analysis as estimators, so that extraction, PCA, dissimilarity matrices and their comparison
compose with pipelines, cross-validation and grid searches.

Public names are listed in the stub beside this file and loaded when they are first used.
"""

import importlib
from typing import Any

import lazy_loader

# Rooms that are there after a plain ``import skdnn``, as ``skdnn.rsa``.
_ROOMS = {
    *("datasets", "decomposition", "encoding", "formats", "io", "methods", "model_comparison"),
    *("models", "plotting", "rsa", "search", "store"),
}
_named, _names, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """Load what is asked for."""
    return importlib.import_module(f"{__name__}.{name}") if name in _ROOMS else _named(name)


def __dir__() -> list[str]:
    return sorted({*_names(), *_ROOMS})
