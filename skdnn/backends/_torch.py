"""The forward engine of torch: list layers, capture them in one pass, stop after the deepest."""

from __future__ import annotations

import copy
import math
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from skdnn.backends._base import Capture
from skdnn.layers import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    NOT_PER_IMAGE,
    OUTPUT,
    PENULTIMATE,
    TOKENS,
    VECTOR,
    LayerInfo,
    pool,
)
from skdnn.models import Preprocessing

_TRACE_BATCH = 3  # a size that no axis of a network is likely to have by chance
# The C library gives blocks above 32 MiB back to the system at once; taking them anew for every
# batch costs up to a third of the time in page faults. Batches on a CPU stay below.
_REUSED_BYTES = 32 * 2**20
_LEAST_CPU_BATCH = 4
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_CLASS_TOKENS = ("class_token", "cls_token")
_locks: weakref.WeakKeyDictionary[nn.Module, Any] = weakref.WeakKeyDictionary()


class _AllCaptured(Exception):
    """Leaves the forward pass once every wanted layer has been captured."""


def choose_device(device: str) -> torch.device:
    """``"auto"`` is the GPU where there is one.

    Raises
    ------
    ValueError
        If the device does not exist on this machine.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={device!r} can't be used here ({str(error).splitlines()[0]}). "
            "Use 'auto' or 'cpu'."
        ) from error
    return chosen


def unwrap(network: nn.Module) -> nn.Module:
    """The network inside DataParallel and its like; networks that take no hooks are refused."""
    if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return network.module
    if isinstance(network, torch.jit.ScriptModule):
        raise ValueError(
            "model is a TorchScript module, whose inner layers can't be captured: "
            "give the network that it was made from."
        )
    return network


# --------------------------------------------------------------------------------------------
# Listing layers


def trace_layers(network: nn.Module, input_shape: tuple[int, ...]) -> list[LayerInfo]:
    """List every module with its shape, calls and layout, from one pass over empty images.

    The pass runs on a copy without weights (torch's "meta" device: shapes, no arithmetic). Only
    a network that cannot run so is sent three blank images.

    Parameters
    ----------
    network : torch.nn.Module
    input_shape : tuple of int
        (3, height, width).

    Returns
    -------
    layers : list of LayerInfo
        In the order of ``network.named_modules()``, then ``"penultimate"`` and ``"output"``.
    """
    network = unwrap(network)
    try:
        ghost = _copy_without_weights(network)
        trace = _Trace(ghost)
        blank = torch.empty((_TRACE_BATCH, *input_shape), device="meta", dtype=_dtype(ghost))
        trace.run(blank)
    except Exception:  # whatever a network does that shapes alone cannot follow
        trace = _Trace(network)
        with _left_as_found(network):
            device = next((p.device for p in network.parameters()), torch.device("cpu"))
            blank = torch.zeros((_TRACE_BATCH, *input_shape), device=device, dtype=_dtype(network))
            trace.run(blank)
    return trace.layers()


def _copy_without_weights(network: nn.Module) -> nn.Module:
    memo: dict[int, Any] = {}
    for parameter in network.parameters():
        ghost = nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)
        memo[id(parameter)] = ghost
    for buffer in network.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    ghost_network = copy.deepcopy(network, memo).eval()
    for module in ghost_network.modules():  # a user's hooks are not to see a rehearsal
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    return ghost_network


def _dtype(network: nn.Module) -> torch.dtype:
    return next((p.dtype for p in network.parameters() if p.is_floating_point()), torch.float32)


class _Trace:
    """Watches one forward pass of every module."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.calls: dict[nn.Module, int] = {}
        self.seen: dict[nn.Module, dict[tuple[int, str | None], tuple[tuple[int, ...], str]]] = {}
        self.order: dict[nn.Module, int] = {}
        self.head: tuple[nn.Module, tuple[int, ...], str] | None = None
        self._layout = (VECTOR, 0)

    def run(self, blank: torch.Tensor) -> None:
        modules = list(self.network.modules())
        handles = [m.register_forward_hook(self._watch, with_kwargs=True) for m in modules]
        handles += [
            m.register_forward_pre_hook(self._watch_head, with_kwargs=True) for m in modules
        ]
        try:
            with torch.no_grad():
                self.network(blank)
        finally:
            for handle in handles:
                handle.remove()

    def _watch_head(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """Remember what went into the last linear layer (or convolution, without any)."""
        rank = _rank_as_head(module)
        before = _rank_as_head(self.head[0]) if self.head is not None else 0
        tensor = first_tensor((args, kwargs))
        if rank and rank >= before and tensor is not None:
            self.head = (module, tuple(tensor.shape), _inherited(self._layout, tensor.ndim))

    def _watch(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        call = self.calls.get(module, 0)
        self.calls[module] = call + 1
        self.order.pop(module, None)
        self.order[module] = len(self.order)
        seen = self.seen.setdefault(module, {})
        for key, part in elements(output).items():
            tensor = first_tensor(part)
            if tensor is not None:
                layout = _layout(module, tensor.ndim, self._layout)
                seen[call, key] = (tuple(tensor.shape), layout)
        if (call, None) in seen:
            shape, layout = seen[call, None]
            self._layout = (layout, len(shape))

    def layers(self) -> list[LayerInfo]:
        depth = {module: place for place, module in enumerate(self.order)}
        named = self.network.named_modules(remove_duplicate=False)
        found = [
            self._with_variants(name, module, depth.get(module, -1))
            for name, module in named
            if name
        ]
        names = {info.name for info in found}
        if self.head is not None and PENULTIMATE not in names:
            module, shape, layout = self.head
            source = next(name for name, m in self.network.named_modules() if m is module)
            info = self._info(PENULTIMATE, module, shape, layout, depth[module])
            found.append(replace(info, source=source))
        if OUTPUT not in names:
            info = self._with_variants(OUTPUT, self.network, depth[self.network])
            found.append(replace(info, source="(network)"))
        return found

    def _with_variants(self, name: str, module: nn.Module, depth: int) -> LayerInfo:
        seen = self.seen.get(module, {})
        last = self.calls.get(module, 0) - 1
        shape, layout = seen.get((last, None), ((), NOT_PER_IMAGE if last >= 0 else VECTOR))
        info = self._info(name, module, shape, layout, depth)
        if len(seen) > 1:
            for at, (shape, layout) in seen.items():
                info.variants[at] = self._info(name, module, shape, layout, depth)
        return info

    def _info(
        self, name: str, module: nn.Module, shape: tuple[int, ...], layout: str, depth: int
    ) -> LayerInfo:
        axis = next((a for a, size in enumerate(shape[:2]) if size == _TRACE_BATCH), None)
        if axis is None and self.calls.get(module):
            layout = NOT_PER_IMAGE
        own = shape if axis is None else shape[:axis] + shape[axis + 1 :]
        prefix, has_class = _prefix_tokens(self.network) if layout == TOKENS else (0, False)
        return LayerInfo(
            name=name,
            type=type(module).__name__,
            output_shape=own,
            n_params=sum(p.numel() for p in module.parameters()),
            n_calls=self.calls.get(module, 0),
            layout=layout,
            n_prefix_tokens=prefix,
            has_class_token=has_class,
            depth=depth,
            batch_axis=axis or 0,
        )


def _rank_as_head(module: nn.Module) -> int:
    """A linear layer is the head of a network before any convolution is."""
    return 2 if isinstance(module, nn.Linear) else int(isinstance(module, _ConvNd))


def _layout(module: nn.Module, ndim: int, before: tuple[str, int]) -> str:
    """Where the unit axis lies: known for typed modules, inherited by the others."""
    if ndim <= 2:
        return VECTOR
    kind = type(module).__name__
    last = TOKENS if ndim == 3 else CHANNELS_LAST
    if isinstance(module, _ConvNd | _NormBase | nn.GroupNorm) or kind.endswith(("1d", "2d", "3d")):
        return CHANNELS_FIRST
    if isinstance(module, nn.Linear | nn.LayerNorm | nn.MultiheadAttention):
        return last
    dims = getattr(module, "dims", None)
    if kind == "Permute" and dims is not None and ndim == 4:
        return CHANNELS_LAST if list(dims)[-1] == 1 else CHANNELS_FIRST
    return _inherited(before, ndim)


def _inherited(before: tuple[str, int], ndim: int) -> str:
    """The layout of what was computed last, where the number of axes is still the same."""
    if ndim <= 2:
        return VECTOR
    if before[1] == ndim:
        return before[0]
    return TOKENS if ndim == 3 else CHANNELS_FIRST


def _prefix_tokens(network: nn.Module) -> tuple[int, bool]:
    """Number of tokens before the image's own, and whether the first is a class token."""
    has_class = any(
        name.rpartition(".")[2] in _CLASS_TOKENS for name, _ in network.named_parameters()
    )
    n_prefix = getattr(network, "num_prefix_tokens", int(has_class))
    return int(n_prefix), has_class


def elements(output: Any) -> dict[str | None, Any]:
    """A module's output as a whole (None) and, of a tuple, list or dict, each element by name."""
    parts: dict[str | None, Any] = {None: output}
    if isinstance(output, Mapping):
        parts |= {str(key): part for key, part in output.items()}
    elif isinstance(output, tuple | list):
        parts |= {str(place): part for place, part in enumerate(output)}
    return parts


def first_tensor(output: Any) -> torch.Tensor | None:
    """The first tensor in a tensor, tuple, list or dict, however deep; None without any."""
    if torch.is_tensor(output):
        return output
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, tuple | list):
        for part in output:
            found = first_tensor(part)
            if found is not None:
                return found
    return None


# --------------------------------------------------------------------------------------------
# Capturing layers


class TorchEngine:
    """A torch network, ready to run on one device.

    Parameters
    ----------
    network : torch.nn.Module
    owned : bool
        Whether the network may be moved and converted for good. A user's own is put back.
    device : torch.device
    precision : {"float32", "bfloat16", "float16"}
        Arithmetic of the network; float32 leaves a network of another precision as it is.
    """

    def __init__(
        self, network: nn.Module, *, owned: bool, device: torch.device, precision: str
    ) -> None:
        network = unwrap(network)
        if precision != "float32":
            network = (network if owned else copy.deepcopy(network)).to(_DTYPES[precision])
            owned = True
        self.network = network
        self.owned = owned
        self.device = device
        if owned:
            self.network.to(device).eval()
            if device.type == "cpu":
                self.network.to(memory_format=torch.channels_last)

    def forward_size(self, batch_size: int, largest: int) -> int:
        """How many images go through the network at once: on a CPU large batches are cut up.

        Parameters
        ----------
        batch_size : int
            What the user allows.
        largest : int
            Values in the largest activation of one image.

        Returns
        -------
        n_images : int
        """
        if self.device.type != "cpu":
            return batch_size
        fits = max(_REUSED_BYTES // (4 * max(largest, 1)), _LEAST_CPU_BATCH)
        return min(batch_size, 2 ** int(math.log2(fits)))

    @contextmanager
    def session(
        self, captures: Sequence[Capture], preprocess: Any
    ) -> Iterator[Callable[[Sequence[Any], Mapping[str, np.ndarray]], None]]:
        """Put hooks in place and give the function that runs a batch.

        Parameters
        ----------
        captures : sequence of Capture
        preprocess : Preprocessing or callable
            Says how a batch is made of prepared images.

        Yields
        ------
        forward : callable
            ``forward(prepared, rows)`` runs prepared images and writes each layer into
            ``rows[name]``, an array with one row for each image that counts; images beyond the
            rows are padding.
        """
        with _lock(self.network), _left_as_found(self.network, self.owned):
            self.network.to(self.device)
            run = _Run(self.network, captures)
            dtype = _dtype(self.network)
            try:
                run.attach()

                def forward(prepared: Sequence[Any], rows: Mapping[str, np.ndarray]) -> None:
                    run(make_batch(prepared, preprocess, self.device, dtype), rows)

                yield forward
            finally:
                run.detach()


class _Run:
    """Hooks that write what they see straight into the caller's arrays."""

    def __init__(self, network: nn.Module, captures: Sequence[Capture]) -> None:
        self.network = network
        self.captures = captures
        self._handles: list[Any] = []
        self._calls: dict[str, int] = {}
        self._missing: set[str] = set()
        self._rows: Mapping[str, np.ndarray] = {}

    def attach(self) -> None:
        modules = dict(self.network.named_modules(remove_duplicate=False))
        for capture in self.captures:
            path = capture.request.path
            if path in modules:
                handle = modules[path].register_forward_hook(self._hook(capture))
            elif path == OUTPUT:
                handle = self.network.register_forward_hook(self._hook(capture))
            else:  # penultimate: what goes into a module
                handle = modules[capture.info.source].register_forward_pre_hook(
                    self._pre_hook(capture), with_kwargs=True
                )
            self._handles.append(handle)

    def detach(self) -> None:
        for handle in self._handles:
            handle.remove()

    def __call__(self, batch: torch.Tensor, rows: Mapping[str, np.ndarray]) -> None:
        self._calls = {capture.name: 0 for capture in self.captures}
        self._missing = set(self._calls)
        self._rows = rows
        try:
            with torch.no_grad():
                self.network(batch)
        except _AllCaptured:
            pass
        finally:
            self._rows = {}
        if self._missing:
            raise ValueError(
                f"layers {sorted(self._missing)} were not reached in this forward pass, though "
                "they were when the layers were listed: the network takes another way from "
                "image to image."
            )

    def _hook(self, capture: Capture) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            self._see(capture, output)

        return hook

    def _pre_hook(self, capture: Capture) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            self._see(capture, (args, kwargs))

        return hook

    def _see(self, capture: Capture, output: Any) -> None:
        """Copy at once, at the wanted call: a module behind may overwrite the tensor."""
        name = capture.name
        wanted = capture.request.call
        call = self._calls[name]
        self._calls[name] += 1
        if call != (capture.info.n_calls - 1 if wanted is None else wanted):
            return
        _write(capture, output, self._rows[name])
        self._missing.discard(name)
        if not self._missing:
            raise _AllCaptured


def _write(capture: Capture, output: Any, rows: np.ndarray) -> None:
    tensor = first_tensor(elements(output).get(capture.request.key))
    if tensor is None:
        raise ValueError(
            f"layer {capture.name!r} returned no tensor, though it did when layers were listed."
        )
    if capture.info.batch_axis:
        tensor = tensor.movedim(capture.info.batch_axis, 0)
    pooled = pool(tensor[: len(rows)], capture.pooling, capture.info)
    target = torch.from_numpy(rows)
    units = math.prod(pooled.shape[1:])
    if units != math.prod(target.shape[1:]):
        raise ValueError(
            f"layer {capture.name!r} returned {tuple(pooled.shape[1:])} for an image where "
            f"{tuple(rows.shape[1:])} was expected: all images must have one size after "
            "preprocessing. Give preprocess a crop."
        )
    if pooled.ndim == 1:  # one value per image
        pooled = pooled[:, None]
    if target.ndim != pooled.ndim:  # columns among those of other layers
        target = target.unflatten(1, pooled.shape[1:])
    target.copy_(pooled)


def make_batch(
    prepared: Sequence[Any], preprocess: Any, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """Stack prepared images: uint8 pixels are scaled and normalised as torchvision does it."""
    if isinstance(preprocess, Preprocessing):
        pixels = torch.from_numpy(np.stack(prepared)).to(device)
        batch = pixels.permute(0, 3, 1, 2).to(torch.float32).div_(255)  # channels-last memory
        mean = torch.tensor(preprocess.mean, device=device).view(-1, 1, 1)
        std = torch.tensor(preprocess.std, device=device).view(-1, 1, 1)
        return batch.sub_(mean).div_(std).to(dtype)
    batch = torch.stack([torch.as_tensor(image) for image in prepared])
    memory_format = torch.channels_last if batch.ndim == 4 else torch.contiguous_format
    return batch.to(device=device, dtype=dtype, memory_format=memory_format)


def _lock(network: nn.Module) -> Any:
    """One pass at a time through one network: hooks of two threads would mix."""
    return _locks.setdefault(network, threading.RLock())


@contextmanager
def _left_as_found(network: nn.Module, owned: bool = False) -> Iterator[None]:
    """Eval mode for a while; mode and device are put back, also after an error."""
    modes = [(module, module.training) for module in network.modules()]
    devices = {p.device for p in network.parameters()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        if not owned and len(devices) == 1:
            network.to(devices.pop())
