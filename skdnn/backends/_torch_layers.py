"""The layers of a torch network: list them from one pass over empty images; hook into them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from skdnn.backends._base import Capture, elements, first_part
from skdnn.backends._torch_layout import AxisWatch, TokenCounts, layout_of, layout_of_input
from skdnn.layers import NOT_PER_IMAGE, OUTPUT, PENULTIMATE, TOKENS, VECTOR, LayerInfo

# A size that no axis of a network is likely to have by chance: 3, 5 and 7 are numbers of heads
# and sides of windows. Where the pass takes real arithmetic, three images must do.
_GHOST_BATCH = 11
_REAL_BATCH = 3


def unwrap(network: nn.Module) -> nn.Module:
    """The network inside DataParallel and its like; networks that take no hooks are refused."""
    if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return network.module
    if isinstance(getattr(network, "_orig_mod", None), nn.Module):  # compiled by its owner
        return unwrap(network._orig_mod)  # type: ignore[arg-type]
    if isinstance(network, torch.jit.ScriptModule):
        raise ValueError(
            "model is a TorchScript module, whose inner layers can't be captured: "
            "give the network that it was made from."
        )
    return network


Call = Callable[[nn.Module, torch.Tensor], Any]


def call(network: nn.Module, batch: torch.Tensor) -> Any:
    """How most networks run."""
    return network(batch)


def trace_layers(
    network: nn.Module, input_shape: tuple[int, ...], forward: Call | None = None
) -> list[LayerInfo]:
    """List every module with its shape, calls and layout, from one pass over empty images.

    The pass runs on a copy without weights (torch's "meta" device: shapes, no arithmetic). Only
    a network that cannot run so is sent three blank images.

    Parameters
    ----------
    network : torch.nn.Module
    input_shape : tuple of int
        (3, height, width).
    forward : callable, default=None
        ``forward(network, batch)``; None is ``network(batch)``.

    Returns
    -------
    layers : list of LayerInfo
        In the order of ``network.named_modules()``, then ``"penultimate"`` and ``"output"``.
    """
    network = unwrap(network)
    try:
        ghost = _copy_without_weights(network)
        trace = _Trace(ghost, _GHOST_BATCH, forward or call)
        blank = torch.empty((_GHOST_BATCH, *input_shape), device="meta", dtype=float_dtype(ghost))
        trace.run(blank)
    except Exception:  # whatever a network does that shapes alone cannot follow
        trace = _Trace(network, _REAL_BATCH, forward or call)
        with left_as_found(network):
            device = next((p.device for p in network.parameters()), torch.device("cpu"))
            shape = (_REAL_BATCH, *input_shape)
            blank = torch.zeros(shape, device=device, dtype=float_dtype(network))
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


def float_dtype(network: nn.Module) -> torch.dtype:
    """The precision of a network's parameters."""
    return next((p.dtype for p in network.parameters() if p.is_floating_point()), torch.float32)


class _Trace:
    """Watches one forward pass of every module."""

    def __init__(self, network: nn.Module, n_images: int, forward: Call) -> None:
        self.network = network
        self.forward = forward
        self.n_images = n_images
        self.calls: dict[nn.Module, int] = {}
        self.seen: dict[nn.Module, dict[tuple[int, str | None], tuple[tuple[int, ...], str]]] = {}
        self.order: dict[nn.Module, int] = {}
        self.head: tuple[nn.Module, tuple[int, ...], str] | None = None
        self._axes = AxisWatch()
        self._tokens = TokenCounts(network)

    def run(self, blank: torch.Tensor) -> None:
        modules = list(self.network.modules())
        handles = [m.register_forward_hook(self._watch, with_kwargs=True) for m in modules]
        handles += [
            m.register_forward_pre_hook(self._watch_head, with_kwargs=True) for m in modules
        ]
        try:
            with torch.no_grad(), self._axes:
                self.forward(self.network, blank)
        finally:
            for handle in handles:
                handle.remove()

    def _watch_head(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """Remember what went into the last linear layer (or convolution, without any)."""
        rank = _rank_as_head(module)
        before = _rank_as_head(self.head[0]) if self.head is not None else 0
        tensor = first_tensor((args, kwargs))
        if rank and rank >= before and tensor is not None:
            layout = layout_of_input(tuple(tensor.shape), self._axes.last)
            self.head = (module, tuple(tensor.shape), layout)

    def _watch(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        call = self.calls.get(module, 0)
        self.calls[module] = call + 1
        self.order.pop(module, None)
        self.order[module] = len(self.order)
        seen = self.seen.setdefault(module, {})
        for key, part in elements(output).items():
            tensor = first_tensor(part)
            if tensor is not None:
                layout = layout_of(module, tuple(tensor.shape), self._axes.last)
                seen[call, key] = (tuple(tensor.shape), layout)
        if (call, None) in seen:
            shape, layout = seen[call, None]
            self._axes.last = (layout, shape)
            self._tokens.see(self._per_image(shape), layout)

    def _per_image(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        axis = self._batch_axis(shape)
        return () if axis is None else shape[:axis] + shape[axis + 1 :]

    def _batch_axis(self, shape: tuple[int, ...]) -> int | None:
        return next((a for a, size in enumerate(shape[:2]) if size == self.n_images), None)

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
        axis = self._batch_axis(shape)
        if axis is None and self.calls.get(module):
            layout = NOT_PER_IMAGE
        own = shape if axis is None else self._per_image(shape)
        prefix, has_class = self._tokens.before(own) if layout == TOKENS else (0, False)
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
    """What is marked as head is; else a linear layer before any convolution."""
    if getattr(module, "is_head", False) is True:
        return 3
    return 2 if isinstance(module, nn.Linear) else int(isinstance(module, _ConvNd))


def first_tensor(output: Any) -> torch.Tensor | None:
    """The first tensor in a tensor, tuple, list or dict, however deep; None without any."""
    return first_part(output, torch.is_tensor)


# --------------------------------------------------------------------------------------------
# Hooks


def attach(
    network: nn.Module, captures: Iterable[Capture], see: Callable[[Capture, Any], None]
) -> list[Any]:
    """Have `see` called with each output of each wanted layer; gives the hooks' handles.

    Of ``"penultimate"`` it is the input of a module that is seen.
    """
    modules = dict(network.named_modules(remove_duplicate=False))
    handles = []
    for capture in captures:
        path = capture.request.path
        if path in modules:
            handle = modules[path].register_forward_hook(_output_hook(capture, see))
        elif path == OUTPUT:
            handle = network.register_forward_hook(_output_hook(capture, see))
        else:
            handle = modules[capture.info.source].register_forward_pre_hook(
                _input_hook(capture, see), with_kwargs=True
            )
        handles.append(handle)
    return handles


def _output_hook(capture: Capture, see: Callable[[Capture, Any], None]) -> Callable[..., None]:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        see(capture, output)

    return hook


def _input_hook(capture: Capture, see: Callable[[Capture, Any], None]) -> Callable[..., None]:
    def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
        see(capture, (args, kwargs))

    return hook


@contextmanager
def left_as_found(network: nn.Module, owned: bool = False) -> Iterator[None]:
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
