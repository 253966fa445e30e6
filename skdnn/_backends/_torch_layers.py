"""The layers of a torch network, listed from one pass over empty images."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from skdnn._backends._engine import returned
from skdnn._backends._layer_table import LayerTable
from skdnn._backends._penultimate import Head, Place, Step, choose
from skdnn._backends._torch_axes import AxisWatch, TokenCounts, layout_of, layout_of_input
from skdnn._backends._torch_penultimate import FlowWatch
from skdnn._layers import LayerInfo

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
    channels = None if trace.n_finished else getattr(module, "in_channels", None)
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


class _Trace(LayerTable):
    """Watches one forward pass of every module; the network itself is the whole call."""

    def __init__(self, network: nn.Module, n_images: int, forward: Call) -> None:
        named = dict(network.named_modules(remove_duplicate=False))
        del named[""]
        super().__init__(network, named, torch.is_tensor, n_images, batch_axes=2)
        self.forward = forward
        self.paths = {module: path for path, module in network.named_modules()}
        self._flow = FlowWatch(self.paths)
        self._axes = AxisWatch(self, lambda tensor: self._flow.step_of(tensor) is not None)
        self._tokens = TokenCounts(network)
        # What made the input of the last call of each module.
        self._steps: dict[nn.Module, Step | None] = {}

    def layout_of(self, layer: nn.Module, shape: tuple[int, ...]) -> str:
        return layout_of(layer, shape, self.last)

    def layout_of_input(self, shape: tuple[int, ...]) -> str:
        return layout_of_input(shape, self.last)

    def n_params(self, layer: nn.Module) -> int:
        return sum(p.numel() for p in layer.parameters())

    def prefix_tokens(self, shape: tuple[int, ...]) -> tuple[int, bool]:
        return self._tokens.before(shape)

    @property
    def running(self) -> tuple[str, nn.Module]:
        """The innermost module that has started and not ended."""
        return self._flow.running or ("", self.network)

    def run(self, blank: torch.Tensor) -> None:
        self._flow.start(blank)
        with ExitStack() as hooks, torch.no_grad(), self._axes, self._flow:
            for module in self.paths:
                if module is self.network:
                    continue
                enter = module.register_forward_pre_hook(self._enter, with_kwargs=True)
                leave = module.register_forward_hook(self._leave)
                hooks.callback(enter.remove)
                hooks.callback(leave.remove)
            output = self.forward(self.network, blank)
        self._note(self.network, output)
        self.decide(lambda: self._read_by_a_classifier(output))

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        tensor = self.first_tensor((args, kwargs))
        self._steps[module] = self._flow.enter(module, self.passes(module).n_calls, tensor)
        self.note_input(module, tensor)

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        self._flow.leave(module, self.first_tensor(output))
        self._note(module, output)

    def _note(self, module: nn.Module, output: Any) -> None:
        self.note_output(module, output)
        passes = self.passes(module)
        if (passes.n_calls - 1, None) in passes.seen:
            layout, shape = self.last
            self._tokens.see(self.per_image(shape) or (), layout)

    def _read_by_a_classifier(self, output: Any) -> Place | None:
        """By the network's own words, or by what it returns."""
        parts, several = returned(output)
        steps = {name: self._flow.step_of(self.first_tensor(p)) for name, p in parts.items()}
        ends = {name: step for name, step in steps.items() if step is not None}
        return choose(ends, self._named_heads(), several=several)

    def _named_heads(self) -> list[Head]:
        """Modules that the network, its card or its library call its classifiers, if they run."""
        marked = [path for m, path in self.paths.items() if getattr(m, "is_head", False) is True]
        modules = {path: module for module, path in self.paths.items()}
        found = []
        for path in marked or _on_card(self.network):
            while path and path not in modules:  # the user has put something in its parent's place
                path = path.rpartition(".")[0]
            n_given = len(self.passes(modules[path]).given)
            if path and n_given:
                place = Place(path, call=n_given - 1)
                found.append(Head(path, place, self._steps[modules[path]]))
        return found


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
