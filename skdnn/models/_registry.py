"""Names of networks, and the way from a name to a spec."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from skdnn.layers import nearest
from skdnn.models._custom import Model, as_preprocessing, custom_spec, is_torch_module
from skdnn.models._spec import ModelSpec
from skdnn.models._torchvision import PREFIX, model_names, torchvision_spec

_BACKENDS = {"auto": "torch", "torch": "torch", "pt": "torch"}


def list_models(source: str | None = None) -> list[str]:
    """List the names that ``DNNFeatureExtractor(model=...)`` takes.

    Parameters
    ----------
    source : {"torchvision"} or None, default=None
        Where the networks come from; None lists all.

    Returns
    -------
    names : list of str
        Sorted.

    Raises
    ------
    ValueError
        If `source` is unknown.

    See Also
    --------
    list_layers : The layers of one network.

    Examples
    --------
    >>> from skdnn import list_models
    >>> "alexnet" in list_models()
    True
    """
    if source not in (None, "torchvision"):
        raise ValueError(f"source={source!r} is unknown: use None or 'torchvision'.")
    return sorted(model_names())


def resolve_model(
    model: Any,
    *,
    backend: str = "auto",
    weights: Any = "default",
    preprocess: Any = "default",
    seed: int = 0,
) -> ModelSpec:
    """Find out which network is meant, with which weights and preprocessing; build nothing.

    Raises
    ------
    TypeError
        If `model` is neither a name nor a network.
    ValueError
        For an unknown name (with the nearest ones), backend, weights or preprocessing.
    """
    if backend not in _BACKENDS:
        raise ValueError(f"backend={backend!r} is unknown: use 'auto' or 'torch' (or 'pt').")
    if isinstance(model, Model) or is_torch_module(model):
        if not (isinstance(weights, str) and weights == "default"):
            raise ValueError(
                f"weights={weights!r} goes with a network named by its name. Your own network "
                "keeps the weights that it has: load them into it first, and leave "
                "weights='default'."
            )
        return custom_spec(model, preprocess)
    if not isinstance(model, str):
        raise TypeError(
            "model must be a name (see list_models()), a torch.nn.Module or a "
            f"skdnn.models.Model; got {type(model).__name__}: {model!r}."
        )
    name = model.removeprefix(PREFIX)
    names = model_names()
    if name not in names:
        near = nearest(name, names)
        hint = f"Did you mean {near}? " if near else ""
        raise ValueError(f"model={model!r} is unknown. {hint}list_models() gives all names.")
    return torchvision_spec(name, weights, seed, as_preprocessing, preprocess)


def fixed_seed(random_state: Any) -> int:
    """An int stays what it is, so that a seed means the same network everywhere."""
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool):
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
