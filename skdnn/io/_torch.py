"""Tensors that torch saved; read only, and never any code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from skdnn._optional import import_optional
from skdnn.io._content import DamageError, Raw, wanted


def read(path: Path, layers: list[str] | None, mmap: bool) -> Raw:
    """A tensor, or a dict of tensors."""
    torch = import_optional("torch", "to read .pt files")
    value = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(value, torch.Tensor):
        wanted([""], layers)
        return Raw({"": _array(torch, value)})
    if isinstance(value, Mapping) and all(isinstance(v, torch.Tensor) for v in value.values()):
        tensors = {str(name): tensor for name, tensor in value.items()}
        return Raw({k: _array(torch, tensors[k]) for k in wanted(list(tensors), layers)})
    raise DamageError(
        f"it holds a {type(value).__name__}, not a tensor or a dict of tensors: in Python, save "
        "the tensors alone"
    )


def _array(torch: Any, tensor: Any) -> np.ndarray:
    """NumPy has no bfloat16."""
    tensor = tensor.detach()
    tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    return np.asarray(tensor.resolve_conj().numpy())
