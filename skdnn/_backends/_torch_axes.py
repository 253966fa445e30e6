"""Where the unit axis of a torch layer's output lies, and which of its tokens are the image's."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from skdnn._backends._layer_table import LayerTable
from skdnn._layers import CHANNELS_FIRST, CHANNELS_LAST, TOKENS, VECTOR

_CLASS_TOKENS = re.compile(r"(cls|class)_(token|embedding)_?\d*")  # numbered, of several scales
_OTHER_TOKENS = ("dist_token", "distillation_token", "reg_token", "register_tokens")
# Of a batch: by layout and number of axes.
_CHANNEL_AXES = {
    (CHANNELS_FIRST, 4): 1,
    (CHANNELS_LAST, 4): 3,
    (CHANNELS_FIRST, 3): 1,
    (TOKENS, 3): 2,
}


class AxisWatch(TorchFunctionMode):
    """Keeps the layout of what was computed last true where axes change outside a module.

    Parameters
    ----------
    table : LayerTable
        Keeps it.
    is_of_images : callable
        Whether a tensor was computed from the images. Tables of positions are not: how their
        axes are moved says nothing.
    """

    def __init__(self, table: LayerTable, is_of_images: Callable[[torch.Tensor], bool]) -> None:
        super().__init__()
        self._table = table
        self._is_of_images = is_of_images

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if name in ("permute", "transpose") and self._is_of_images(args[0]):
            ndim = len(self._table.last[1])
            if result.ndim == ndim and (self._table.last[0], ndim) in _CHANNEL_AXES:
                given = (*args[1:], *(kwargs or {}).values())
                parts = [part if isinstance(part, tuple | list) else [part] for part in given]
                axes = [a % ndim for part in parts for a in part if isinstance(a, int)]
                self._moved(name, axes, tuple(result.shape))
        return result

    def _moved(self, name: str, axes: list[int], shape: tuple[int, ...]) -> None:
        channel = _CHANNEL_AXES[self._table.last[0], len(shape)]
        if name == "permute":
            channel = axes.index(channel)
        elif channel in axes:
            channel = axes[1 - axes.index(channel)]
        for (layout, ndim), axis in _CHANNEL_AXES.items():
            if (ndim, axis) == (len(shape), channel):
                self._table.last = (layout, shape)


def layout_of(
    module: nn.Module, shape: tuple[int, ...], before: tuple[str, tuple[int, ...]]
) -> str:
    """Where the unit axis lies: known for typed modules, inherited by the others."""
    ndim = len(shape)
    if ndim <= 2:
        return VECTOR
    kind = type(module).__name__
    channels_first = _ConvNd | _NormBase | nn.GroupNorm | nn.Unfold
    if isinstance(module, channels_first) or kind.endswith(("1d", "2d", "3d")):
        return CHANNELS_FIRST
    if isinstance(module, nn.Linear | nn.LayerNorm | nn.MultiheadAttention):
        return TOKENS if ndim == 3 else CHANNELS_LAST
    dims = getattr(module, "dims", None)
    if kind == "Permute" and dims is not None and ndim == 4:
        return CHANNELS_LAST if list(dims)[-1] == 1 else CHANNELS_FIRST
    return layout_of_input(shape, before)


def layout_of_input(shape: tuple[int, ...], before: tuple[str, tuple[int, ...]]) -> str:
    """The layout of what was computed last, as long as that is what one sees, or folded."""
    layout, shape_before = before
    if len(shape) <= 2:
        return VECTOR
    if len(shape_before) == len(shape):
        return layout
    if len(shape) == 3:
        return TOKENS
    if len(shape_before) == 3 and len(shape) == 4:  # tokens laid out as a map
        n_units = shape_before[2 if layout == TOKENS else 1]
        if (shape[1] == n_units) == (shape[3] == n_units):
            return CHANNELS_LAST if layout == TOKENS else CHANNELS_FIRST
        return CHANNELS_LAST if shape[3] == n_units else CHANNELS_FIRST
    return CHANNELS_FIRST


class TokenCounts:
    """Tells layers with class, register or distillation tokens from those without.

    These tokens join those of the image somewhere in the network, and some blocks see neither:
    what a layer returns holds them where it has just so many tokens more than the image had
    patches.

    Parameters
    ----------
    network : torch.nn.Module
    """

    def __init__(self, network: nn.Module) -> None:
        tokens = {_last_word(name): token for name, token in network.named_parameters()}
        own = [_n_tokens(token) for name, token in tokens.items() if _CLASS_TOKENS.fullmatch(name)]
        self.has_class = bool(own)
        others = sum(_n_tokens(tokens[name]) for name in _OTHER_TOKENS if name in tokens)
        stated = (getattr(module, "num_prefix_tokens", None) for module in network.modules())
        known = [n for n in stated if isinstance(n, int)]
        self.n_prefix = known[0] if known else max(own, default=0) + others
        self._patches: set[int] = set()  # numbers of patches that an image has been cut into

    def see(self, shape: tuple[int, ...], layout: str) -> None:
        """Note what a layer returned for one image."""
        if len(shape) == 3 and layout in (CHANNELS_FIRST, CHANNELS_LAST):
            height, width = shape[1:] if layout == CHANNELS_FIRST else shape[:2]
            if height > 1 and width > 1:  # else it is the attention of one token to the others
                self._patches.add(height * width)
        elif layout == TOKENS and len(shape) == 2 and not self._patches:
            self._patches.add(shape[0])  # cut out by a linear layer

    def before(self, shape: tuple[int, ...]) -> tuple[int, bool]:
        """Number of tokens before the image's own, and whether the first is a class token."""
        n_tokens = shape[0]
        if n_tokens in self._patches or n_tokens - self.n_prefix not in self._patches:
            return 0, False
        return self.n_prefix, self.has_class


def _last_word(path: str) -> str:
    """The last name in a path; numbers count the members of a list."""
    return next((part for part in reversed(path.split(".")) if not part.isdigit()), "")


def _n_tokens(parameter: torch.Tensor) -> int:
    return parameter.shape[-2] if parameter.ndim > 1 else 1
