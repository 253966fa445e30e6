"""Checkpoints from files: read without running code, loaded strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skdnn._optional import import_optional

_WRAPPERS = ("state_dict", "model_state_dict", "model")


def load_state_dict(path: Path) -> dict[str, Any]:
    """Read a state dict; nothing that a pickle could run is run.

    Raises
    ------
    ValueError
        If the file is no checkpoint, is cut short, or holds anything but tensors and numbers.
    """
    import torch

    try:
        if path.suffix == ".safetensors":
            purpose = f"to read {path}"
            content = import_optional("safetensors.torch", purpose).load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # each format has errors of its own
        raise ValueError(
            f"weights={str(path)!r} can't be read as a checkpoint of tensors "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}). "
            "Save it with torch.save(network.state_dict(), path)."
        ) from error
    for key in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not all(torch.is_tensor(v) for v in content.values()):
        raise ValueError(
            f"weights={str(path)!r} holds no state dict (a dict of tensors). "
            "Save it with torch.save(network.state_dict(), path)."
        )
    if content and all(str(key).startswith("module.") for key in content):
        content = {str(key).removeprefix("module."): value for key, value in content.items()}
    return content


def strict_load(network: Any, state: dict[str, Any], path: Path, name: str) -> None:
    """Load a state dict that must fit exactly.

    Raises
    ------
    ValueError
        Naming what is missing, surplus, or of another shape.
    """
    own = network.state_dict()
    missing = [key for key in own if key not in state]
    surplus = [key for key in state if key not in own]
    shapes = [
        f"{key}: file {tuple(state[key].shape)}, network {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    if missing or surplus or shapes:
        found = [
            f"{len(items)} {what} ({', '.join(items[:3])}{', ...' if len(items) > 3 else ''})"
            for what, items in (("missing", missing), ("surplus", surplus), ("misshapen", shapes))
            if items
        ]
        raise ValueError(
            f"weights={str(path)!r} does not fit {name}: {'; '.join(found)}. "
            "It was saved from another architecture."
        )
    network.load_state_dict(state)
