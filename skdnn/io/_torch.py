"""A dict of tensors, as torch saves it; no code is ever read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from skdnn._optional import import_optional
from skdnn.io._reading import Ask, DamageError, Raw, is_text
from skdnn.io._row_names import finished
from skdnn.io._saved_header import HEADER, Content


def write(path: Path, content: Content) -> None:
    """``features``, or each layer by its name; ``labels``, ``targets``; the header as text."""
    torch = import_optional("torch", "to write .pt files")
    places = _key([source.name for source in content.sources], content.single)
    held: dict[str, Any] = {
        place: torch.from_numpy(np.array(source.whole()))
        for place, source in zip(places, content.sources, strict=True)
    }
    beside = {
        name: torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value
        for name, value in content.beside().items()
    }
    if clash := sorted(held.keys() & {HEADER, *beside}):
        raise ValueError(
            f"A .pt file has an entry of its own called {clash[0]!r}: rename the layer."
        )
    try:
        torch.save({**held, **beside, HEADER: content.header()}, path)
    except KeyError as error:  # unsigned numbers, before torch 2.4 or so
        kinds = ", ".join(sorted({str(tensor.dtype) for tensor in held.values()}))
        raise ValueError(
            f"torch {torch.__version__} cannot save {kinds}: use another format, or a newer torch."
        ) from error


def _key(names: list[str], single: bool) -> list[str]:
    return ["features"] if single else names


def read(path: Path, ask: Ask) -> Raw:
    """A tensor, or a dict of tensors, with names of rows in lists beside them."""
    torch = import_optional("torch", "to read .pt files")
    value = torch.load(path, map_location="cpu", weights_only=True)
    members = {str(k): v for k, v in value.items()} if isinstance(value, Mapping) else {"": value}
    texts = {n: item for n, item in members.items() if isinstance(item, str) or is_text(item)}
    raw = Raw({}, texts=texts)
    others = {name: item for name, item in members.items() if name not in raw.texts}
    if not others or not all(isinstance(item, torch.Tensor) for item in others.values()):
        raise DamageError(
            f"it holds a {type(value).__name__}, not a tensor or a dict of tensors: in Python, "
            "save the tensors alone"
        )
    raw.arrays = {name: _array(torch, tensor) for name, tensor in others.items()}
    return finished(raw, path, ask, _key)


def _array(torch: Any, tensor: Any) -> np.ndarray:
    """NumPy has no bfloat16."""
    tensor = tensor.detach()
    tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    return np.asarray(tensor.resolve_conj().numpy())
