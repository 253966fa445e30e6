"""Capture layers of a torch network in one pass, which stops after the deepest of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from skdnn._backends._engine import Capture, check_reached, check_size, wanted_tensor
from skdnn._backends._penultimate import INPUT
from skdnn._backends._torch_compile import CompiledGraph
from skdnn._backends._torch_device_copies import Direct, Staged
from skdnn._layers import pool


@contextmanager
def hooked(
    network: nn.Module, captures: Iterable[Capture], see: Callable[[Capture, Any], None]
) -> Iterator[None]:
    """For a while, have `see` called with each output of each wanted layer.

    What the whole network returns is not among them: see `Capture.of_network`.
    """
    modules = dict(network.named_modules(remove_duplicate=False))
    with ExitStack() as hooks:
        for capture in captures:
            if capture.of_network:
                continue
            module = modules[capture.info.source or capture.request.path]
            hook = _hook(capture, see)
            if capture.info.side == INPUT:
                handle = module.register_forward_pre_hook(hook, with_kwargs=True)
            else:
                handle = module.register_forward_hook(hook)
            hooks.callback(handle.remove)
        yield


def _hook(capture: Capture, see: Callable[[Capture, Any], None]) -> Callable[..., None]:
    is_input = capture.info.side == INPUT

    def hook(module: nn.Module, args: Any, last: Any) -> None:  # named arguments, or the output
        see(capture, (args, last) if is_input else last)

    return hook


class _AllCaptured(Exception):
    """Leaves the forward pass once every wanted layer has been captured."""


class Run:
    """A pass whose hooks copy what they see at once: a module behind may overwrite the tensor."""

    def __init__(
        self,
        network: nn.Module,
        captures: Sequence[Capture],
        forward: Callable[[nn.Module, torch.Tensor], Any],
        landing: Direct | Staged,
    ) -> None:
        self.network = network
        self.captures = captures
        self._forward = forward
        self._landing = landing
        self._calls: dict[str, int] = {}
        self._missing: set[str] = set()
        self._rows: Mapping[str, np.ndarray] = {}
        self.watch = self._see  # what hooks call

    def __call__(self, batch: torch.Tensor, rows: Mapping[str, np.ndarray]) -> None:
        self._calls = {capture.name: 0 for capture in self.captures}
        self._missing = set(self._calls)
        self._rows = rows
        try:
            with torch.no_grad():
                self._pass(batch)
        except _AllCaptured:
            pass
        except BaseException:
            self._landing.discard()
            raise
        finally:
            self._rows = {}
        self._landing.finish()
        check_reached(self._missing)

    def _pass(self, batch: torch.Tensor) -> None:
        output = self._forward(self.network, batch)
        for capture in self.captures:
            if capture.of_network:
                self._see(capture, output)

    def _see(self, capture: Capture, output: Any) -> None:
        call = self._calls[capture.name]
        self._calls[capture.name] += 1
        if call != capture.wanted_call:
            return
        self._land(capture, wanted_tensor(capture, output, torch.is_tensor))
        if not self._missing:
            raise _AllCaptured

    def _land(self, capture: Capture, tensor: torch.Tensor) -> None:
        self._landing.put(*_matched(capture, tensor, self._rows[capture.name]))
        self._missing.discard(capture.name)


class CompiledRun(Run):
    """The same, where the hooks have become part of a compiled graph."""

    def __init__(self, network: nn.Module, graph: CompiledGraph, landing: Direct | Staged) -> None:
        super().__init__(network, graph.captures, graph, landing)
        self.watch = graph.see

    def _pass(self, batch: torch.Tensor) -> None:
        seen = self._forward(self.network, batch)
        for capture in self.captures:
            if capture.name in seen:
                self._land(capture, seen[capture.name])


def _matched(
    capture: Capture, tensor: torch.Tensor, rows: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pooled activations, and the rows they belong into, in one shape."""
    if capture.info.batch_axis:
        tensor = tensor.movedim(capture.info.batch_axis, 0)
    tensor = tensor[: len(rows)]
    if "mean" in capture.pooling:
        tensor = tensor.to(torch.float32)  # a mean is not to be rounded to few digits
    pooled = pool(tensor, capture.pooling, capture.info)
    check_size(capture, tuple(pooled.shape[1:]), rows)
    target = torch.from_numpy(rows)
    if pooled.ndim == 1:  # one value per image
        pooled = pooled[:, None]
    if target.ndim != pooled.ndim:  # columns among those of other layers
        target = target.unflatten(1, pooled.shape[1:])
    return pooled, target
