"""Settings of torch, global or of this thread, that change what any network computes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any

import torch
from torch import overrides
from torch.nn import functional
from torch.nn.modules import module as torch_module
from torch.utils import _python_dispatch as dispatch

from skdnn._identity._fingerprint import Description
from skdnn._identity._installed_packages import library

# What they are when nobody has changed them; all else in torch's switches is about speed, or
# chooses among algorithms that differ by rounding.
_FULL = ("none", "ieee")
_DEFAULTS = {
    "get_default_dtype": ("torch.float32",),
    "get_float32_matmul_precision": ("highest",),
    "backends.cuda.matmul.allow_tf32": ("False",),
    "backends.cuda.matmul.allow_fp16_accumulation": ("False",),
    "backends.cuda.matmul.allow_fp16_reduced_precision_reduction": ("True",),
    "backends.cuda.matmul.allow_bf16_reduced_precision_reduction": ("True",),
    "backends.cudnn.allow_tf32": ("True",),
    "backends.fp32_precision": _FULL,
    "backends.cuda.matmul.fp32_precision": _FULL,
    **{f"backends.mkldnn.{part}.fp32_precision": _FULL for part in ("conv", "matmul", "rnn")},
}
_DEVICES = ("cpu", "cuda", "mps", "xpu")


def torch_settings(version: str | None) -> list[Any]:
    """What differs from torch's own defaults, as plain values; empty if nothing does.

    Raises
    ------
    ValueError
        If hooks or modes that see every network cannot be fingerprinted, and no `version`
        stands for them.
    """
    return list(_changed(version))


def _changed(version: str | None) -> Iterator[Any]:
    for name, usual in _DEFAULTS.items():
        found = _value(name)
        if found is not None and found not in usual:
            yield [name, found]
    for device in _DEVICES:
        is_on, dtype = _autocast(device)
        if is_on:
            yield ["autocast", device, str(dtype)]
    if (torch.full((1,), 1e-40, dtype=torch.float32) * 1).item() == 0:
        yield ["flush_denormal"]
    for mode in [
        *overrides._get_current_function_mode_stack(),
        *dispatch._get_current_dispatch_mode_stack(),
    ]:
        yield _mode(mode)
    hooks = [torch_module._global_forward_pre_hooks, torch_module._global_forward_hooks]
    describe = Description(version)

    def code() -> Any:
        members = [describe.members(owner) for owner in (torch, functional, torch.Tensor)]
        return [
            *describe.named(("global hook", hook) for held in hooks for hook in held.values()),
            *(found for part in members for found in part if not isinstance(found[1], str)),
        ]

    told = describe.whole(code, "what was put into torch at run time", torch)
    if told[0]:
        yield told


def _value(name: str) -> str | None:
    """None where this version of torch has no such setting."""
    try:
        found: Any = reduce(getattr, name.split("."), torch)
        return str(found() if callable(found) else found)
    except AttributeError:
        return None
    except RuntimeError as error:  # set by torch's old and new ways at once
        return f"unclear: {str(error).partition(',')[0]}"


def _autocast(device: str) -> tuple[bool, Any]:
    try:
        return torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    except TypeError:  # torch 2.3
        old: Any = torch
        if device == "cpu":
            return old.is_autocast_cpu_enabled(), old.get_autocast_cpu_dtype()
        return old.is_autocast_enabled(), old.get_autocast_gpu_dtype()


def _mode(mode: Any) -> list[str]:
    """Modes see every operation; those of torch are known by their name and device."""
    kind = type(mode)
    if library(kind.__module__):
        return ["mode", f"{kind.__module__}.{kind.__qualname__}", str(getattr(mode, "device", ""))]
    raise ValueError(
        f"cache: the torch mode {kind.__qualname__} is active and may change what any network "
        "computes. Leave it before features are extracted, or use cache=None."
    )
