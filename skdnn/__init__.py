"""skdnn: which layer of which deep network sees the world as the brain does?

Activations of deep networks as scikit-learn transformers, and representational similarity
analysis as estimators, so that extraction, PCA, dissimilarity matrices and their comparison
compose with pipelines, cross-validation and grid searches.

Public names are listed in the stub beside this file and loaded when they are first used.
"""

import importlib
from typing import Any

import lazy_loader

# Public rooms, which are there after a plain ``import skdnn``, as ``skdnn.rsa``; the pages of the
# reference and the tests of docstrings and imports read this list, and each room's ``__all__``.
_ROOMS = (
    *("rsa", "encoding", "decomposition", "models", "model_comparison", "datasets", "io"),
    *("formats", "fmri", "plotting", "report"),
)
_named, _names, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """Load what is asked for."""
    return importlib.import_module(f"{__name__}.{name}") if name in _ROOMS else _named(name)


def __dir__() -> list[str]:
    return sorted({*_names(), *_ROOMS})
