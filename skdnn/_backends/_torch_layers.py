"""The layers of a torch network: list them from one pass over empty images; hook into them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from skdnn._backends._engine import Capture, elements, first_part, returned, without_tensor
from skdnn._backends._penultimate import INPUT, Head, Place, Step, UnclearError, choose
from skdnn._backends._torch_axes import AxisWatch, TokenCounts, layout_of, layout_of_input
from skdnn._backends._torch_penultimate import FlowWatch
from skdnn._layers import NETWORK, NOT_PER_IMAGE, OUTPUT, PENULTIMATE, TOKENS, VECTOR, LayerInfo

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
            try:
                trace.run(blank)
            except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
                raise ValueError(_cannot_run(trace, input_shape, error)) from error
    return trace.layers()


def _cannot_run(trace: _Trace, shape: tuple[int, ...], error: Exception) -> str:
    """Why a network does not take images of a shape, as far as the shapes tell it."""
    path, module = trace.running
    lines = str(error).strip().splitlines() or [type(error).__name__]
    why = (
        f"{type(trace.network).__name__} can't run on images of shape {shape}, which is what "
        f"preprocess gives: {lines[0]}"
        + (f" (in layer {path!r}, a {type(module).__name__})." if path else ".")
    )
    channels = None if trace.order else getattr(module, "in_channels", None)
    if len(shape) != 3:
        return (
            f"{why} A prepared image has three axes, (channels, height, width): preprocess must "
            "give one image, without an axis for the batch."
        )
    if shape[0] != channels == shape[2]:
        return (
            f"{why} Its channels come last; in torch they come first: let preprocess end in "
            "x.permute(2, 0, 1), of a numpy array x.transpose(2, 0, 1)."
        )
    if isinstance(channels, int) and channels != shape[0]:
        return (
            f"{why} The network takes {channels} channel(s), and the images have {shape[0]}: give "
            "it a preprocess of its own, skdnn.models.Model(network, preprocess=...), that makes "
            f"a float tensor ({channels}, height, width) of a PIL image in RGB."
        )
    return why


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
    """Watches one forward pass of every module; the network itself is the whole call."""

    def __init__(self, network: nn.Module, n_images: int, forward: Call) -> None:
        self.network = network
        self.forward = forward
        self.n_images = n_images
        self.paths = {module: path for path, module in network.named_modules()}
        self.calls: dict[nn.Module, int] = {}
        self.seen: dict[nn.Module, dict[tuple[int, str | None], tuple[tuple[int, ...], str]]] = {}
        self.nothing: dict[nn.Module, str] = {}  # outputs without any tensor
        self.order: dict[nn.Module, int] = {}
        # What went into each call of a module: shape, layout, and how it came about.
        self.given: dict[nn.Module, list[tuple[tuple[int, ...], str, Step | None]]] = {}
        self.output: Any = None
        self._flow = FlowWatch(self.paths)
        self._axes = AxisWatch(lambda tensor: self._flow.step_of(tensor) is not None)
        self._tokens = TokenCounts(network)

    @property
    def running(self) -> tuple[str, nn.Module]:
        """The innermost module that has started and not ended."""
        return self._flow.running or ("", self.network)

    def run(self, blank: torch.Tensor) -> None:
        modules = [module for module in self.network.modules() if module is not self.network]
        handles = [m.register_forward_hook(self._watch, with_kwargs=True) for m in modules]
        handles += [m.register_forward_pre_hook(self._enter, with_kwargs=True) for m in modules]
        self._flow.start(blank)
        try:
            with torch.no_grad(), self._axes, self._flow:
                self.output = self.forward(self.network, blank)
        finally:
            for handle in handles:
                handle.remove()
        self._note(self.network, self.output)

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        tensor = first_tensor((args, kwargs))
        step = self._flow.enter(module, self.calls.get(module, 0), tensor)
        shape = () if tensor is None else tuple(tensor.shape)
        given = (shape, layout_of_input(shape, self._axes.last), step)
        self.given.setdefault(module, []).append(given)

    def _watch(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        self._flow.leave(module, first_tensor(output))
        self._note(module, output)

    def _note(self, module: nn.Module, output: Any) -> None:
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
        else:
            self.nothing[module] = without_tensor(output)

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
        output = self._with_variants(OUTPUT, self.network, depth[self.network]).of_network()
        if PENULTIMATE not in names:
            found.append(self._penultimate(output, depth))
        if OUTPUT not in names:
            found.append(output)
        return found

    def _penultimate(self, output: LayerInfo, depth: dict[nn.Module, int]) -> LayerInfo:
        """What a classifier reads, by the network's own words or by what it returns."""
        parts, several = returned(self.output)
        tensors = {name: first_tensor(part) for name, part in parts.items()}
        steps = {name: self._flow.step_of(tensor) for name, tensor in tensors.items()}
        ends = {name: step for name, step in steps.items() if step is not None}
        try:
            place = choose(ends, self._named_heads(), several=several)
        except UnclearError as error:
            return LayerInfo(PENULTIMATE, "", (), 0, 0, refusal=f"it is not clear: {error}")
        if place is None:
            return replace(output, name=PENULTIMATE)
        module = next(module for module, path in self.paths.items() if path == place.layer)
        if place.side == INPUT:
            shape, layout, _ = self.given[module][place.call]
        else:
            shape, layout = self.seen[module][place.call, None]
        info = self._info(PENULTIMATE, module, shape, layout, depth[module])
        return replace(info, source=place.layer, side=place.side, n_calls=place.call + 1)

    def _named_heads(self) -> list[Head]:
        """Modules that the network, its card or its library call its classifiers, if they run."""
        marked = [path for m, path in self.paths.items() if getattr(m, "is_head", False) is True]
        modules = {path: module for module, path in self.paths.items()}
        found = []
        for path in marked or _on_card(self.network):
            while path and path not in modules:  # the user has put something in its parent's place
                path = path.rpartition(".")[0]
            given = self.given.get(modules[path])
            if path and given:
                found.append(Head(path, Place(path, call=len(given) - 1), given[-1][2]))
        return found

    def _with_variants(self, name: str, module: nn.Module, depth: int) -> LayerInfo:
        seen = self.seen.get(module, {})
        last = self.calls.get(module, 0) - 1
        shape, layout = seen.get((last, None), ((), NOT_PER_IMAGE if last >= 0 else VECTOR))
        info = self._info(name, module, shape, layout, depth)
        if last >= 0 and (last, None) not in seen:
            info = replace(info, refusal=self.nothing[module])
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


# Of torchvision's networks, the one whose class scores pass a ReLU.
_CARDS = {"torchvision.models.squeezenet.SqueezeNet": ("classifier.1",)}


def _on_card(network: nn.Module) -> Sequence[str]:
    """Paths of the classifiers that a network's card names; timm's have one."""
    card = getattr(network, "pretrained_cfg", None) or {}
    named = card.get("classifier") if isinstance(card, Mapping) else None
    if named:
        return (named,) if isinstance(named, str) else tuple(named)
    kinds = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(network).__mro__]
    return next((_CARDS[kind] for kind in kinds if kind in _CARDS), ())


def first_tensor(output: Any) -> torch.Tensor | None:
    """The first tensor in a tensor, tuple, list or dict, however deep; None without any."""
    return first_part(output, torch.is_tensor)


# --------------------------------------------------------------------------------------------
# Hooks


def attach(
    network: nn.Module, captures: Iterable[Capture], see: Callable[[Capture, Any], None]
) -> list[Any]:
    """Have `see` called with each output of each wanted layer; gives the hooks' handles.

    What the whole network returns is not among them: see `of_network`.
    """
    modules = dict(network.named_modules(remove_duplicate=False))
    handles = []
    for capture in captures:
        if of_network(capture):
            continue
        info = capture.info
        module = modules[info.source or capture.request.path]
        if info.side == INPUT:
            hook = _input_hook(capture, see)
            handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
        else:
            handles.append(module.register_forward_hook(_output_hook(capture, see)))
    return handles


def of_network(capture: Capture) -> bool:
    """Whether a capture is what a call of the network returns, which no hook of it need see."""
    return capture.info.source == NETWORK


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
