"""A forward pass compiled by torch.compile, the copies of the wanted layers included."""

from __future__ import annotations

import types
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from skdnn._backends._engine import Capture, elements, first_part, kept

_KEEP = 4  # graphs of one network: one for each set of layers
_graphs: weakref.WeakKeyDictionary[nn.Module, OrderedDict[Any, CompiledGraph]] = (
    weakref.WeakKeyDictionary()
)


class CompiledGraph:
    """One graph from a batch to copies of the wanted layers.

    What no wanted layer needs is not in the graph: the compiler leaves it out, as the early stop
    does otherwise. A network that torch.compile would have to break up is refused, since code
    between the pieces may be shared with other graphs, whose hooks are not these.

    Parameters
    ----------
    captures : sequence of Capture
    call : callable
        ``call(network, batch)``.
    """

    def __init__(self, captures: Sequence[Capture], call: Callable[..., Any]) -> None:
        self.captures = captures
        self.call = call
        self.seen: dict[str, torch.Tensor] = {}
        self.calls: dict[str, int] = {}
        self._compiled: dict[tuple[int, ...], Callable[..., dict[str, torch.Tensor]]] = {}

    def __call__(self, network: nn.Module, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Copies of the wanted layers by name; those that were not reached are missing.

        Raises
        ------
        RuntimeError
            If there is no compiler, or the network does not become one graph.
        """
        shape = tuple(batch.shape)
        if shape not in self._compiled:
            self._compiled[shape] = torch.compile(
                _with_own_code(self._forward), fullgraph=True, dynamic=False
            )
        try:
            return self._compiled[shape](network, batch)
        except torch._dynamo.exc.TorchDynamoException as error:
            raise RuntimeError(_explain(error)) from error
        finally:
            self.seen, self.calls = {}, {}

    def _forward(self, network: nn.Module, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        self.seen = {}
        self.calls = {}
        output = self.call(network, batch)
        for capture in self.captures:
            if capture.of_network:
                self.see(capture, output)
        return self.seen

    def see(self, capture: Capture, output: Any) -> None:
        """What a layer has returned, where hooks are in place."""
        call = self.calls.get(capture.name, 0)
        self.calls[capture.name] = call + 1
        if call == capture.wanted_call:
            tensor = first_part(elements(output).get(capture.request.key), torch.is_tensor)
            if tensor is not None:
                self.seen[capture.name] = tensor.clone()


def graph_for(
    network: nn.Module, precision: str, captures: Sequence[Capture], call: Callable[..., Any]
) -> CompiledGraph:
    """The graph for these layers; compiled anew only for layers not asked for before."""
    graphs = _graphs.setdefault(network, OrderedDict())
    key = (
        precision,
        tuple(
            (c.name, c.info.source, c.info.side, c.wanted_call, c.request.key) for c in captures
        ),
        _hooks(network),
        call,
    )
    return kept(graphs, key, lambda: CompiledGraph(captures, call), _KEEP)


def _hooks(network: nn.Module) -> tuple[Any, ...]:
    """Which hooks a network has: a user's own become part of the graph."""
    return tuple(
        (place, *module._forward_pre_hooks, *module._forward_hooks)
        for place, module in enumerate(network.modules())
        if module._forward_pre_hooks or module._forward_hooks
    )


def _with_own_code(method: Callable[..., Any]) -> Callable[..., Any]:
    """A twin of a method with code of its own.

    torch.compile keeps its graphs with a function's code and does not look at hooks when it
    takes one up again: two sets of hooks must not share the code.
    """
    assert isinstance(method, types.MethodType)
    plain = method.__func__
    twin = types.FunctionType(plain.__code__.replace(), plain.__globals__, plain.__name__)
    return types.MethodType(twin, method.__self__)


def _explain(error: Exception) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    chain = " ".join(str(e) for e in (error, error.__cause__) if e is not None)
    if any(sign in chain for sign in ("InvalidCxxCompiler", "TritonMissing", "C++ compiler")):
        return (
            "compile=True needs a working compiler: a C++ compiler (g++ or clang++) on a CPU, "
            f"the package triton on a GPU ({reason}). Install it, or use compile=False."
        )
    return f"compile=True: torch.compile can't take this network ({reason}). Use compile=False."
