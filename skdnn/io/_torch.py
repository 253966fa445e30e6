"""Tensors that torch saved; read only, and never any code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from skdnn._optional import import_optional
from skdnn.io._content import Ask, DamageError, Raw, is_text
from skdnn.io._members import finished


def read(path: Path, ask: Ask) -> Raw:
    """A tensor, or a dict of tensors, with names of rows in lists beside them."""
    torch = import_optional("torch", "to read .pt files")
    value = torch.load(path, map_location="cpu", weights_only=True)
    members = {str(k): v for k, v in value.items()} if isinstance(value, Mapping) else {"": value}
    raw = Raw({}, texts={name: item for name, item in members.items() if is_text(item)})
    others = {name: item for name, item in members.items() if name not in raw.texts}
    if not others or not all(isinstance(item, torch.Tensor) for item in others.values()):
        raise DamageError(
            f"it holds a {type(value).__name__}, not a tensor or a dict of tensors: in Python, "
            "save the tensors alone"
        )
    raw.arrays = {name: _array(torch, tensor) for name, tensor in others.items()}
    return finished(raw, path, ask)


def _array(torch: Any, tensor: Any) -> np.ndarray:
    """NumPy has no bfloat16."""
    tensor = tensor.detach()
    tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    return np.asarray(tensor.resolve_conj().numpy())
