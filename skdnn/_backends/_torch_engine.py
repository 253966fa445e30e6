"""The forward engine of torch: capture layers in one pass, stop after the deepest."""

from __future__ import annotations

import copy
import math
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import nn

from skdnn._backends._engine import Capture, PartedForward, elements
from skdnn._backends._torch_compile import graph_for
from skdnn._backends._torch_device_copies import Direct, Staged, landing_for, make_batch
from skdnn._backends._torch_layers import (
    Call,
    attach,
    call,
    first_tensor,
    float_dtype,
    left_as_found,
    of_network,
    trace_layers,
    unwrap,
)
from skdnn._layers import pool

# The C library gives blocks above 32 MiB back to the system at once; taking them anew for every
# batch costs up to a third of the time in page faults. Batches on a CPU stay below.
_REUSED_BYTES = 32 * 2**20
_LEAST_CPU_BATCH = 4
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# How torch and its libraries say it where they raise no OutOfMemoryError.
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
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
    compile : bool, default=False
        Whether the forward pass is compiled. The network itself is not changed.
    forward : callable, default=None
        ``forward(network, batch)``, for networks that are not called with a batch alone.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        owned: bool,
        device: torch.device,
        precision: str,
        compile: bool = False,
        forward: Call | None = None,
    ) -> None:
        network = unwrap(network)
        self.compile = compile
        self.forward = forward or call
        self._graphs_of = (network, precision)  # graphs outlive the copy made here
        if precision != "float32":
            network = _cast(network if owned else copy.deepcopy(network), precision)
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
            rows are padding. A batch that the device's memory does not hold is halved, and so
            are those after it.

        Raises
        ------
        MemoryError
            From ``forward``, if the memory does not hold a single image.
        """
        # Copies in another precision share their graphs.
        locked = self._graphs_of[0] if self.compile else self.network
        with _lock(locked), left_as_found(self.network, self.owned):
            self.network.to(self.device)
            run: _Run | _CompiledRun
            if self.compile:
                run = _CompiledRun(
                    self.network,
                    captures,
                    landing_for(self.device),
                    self._graphs_of,
                    self.forward,
                )
            else:
                run = _Run(self.network, captures, landing_for(self.device), self.forward)
            try:
                run.attach()
                yield _Forward(run, preprocess, self.device, float_dtype(self.network))
            finally:
                run.detach()


def _cast(network: nn.Module, precision: str) -> nn.Module:
    """All floating-point weights and statistics in another precision; integers stay."""
    held = {name for name, values in _floats(network) if bool(torch.isfinite(values).all())}
    network = network.to(_DTYPES[precision])
    lost = [name for name, v in _floats(network) if name in held and not torch.isfinite(v).all()]
    if lost:
        raise ValueError(
            f"precision={precision!r} can't hold the values of {', '.join(lost[:5])}: they are "
            "too large. Use 'bfloat16' or 'float32'."
        )
    return network


def _floats(network: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for name, values in chain(network.named_parameters(), network.named_buffers()):
        if values.is_floating_point():
            yield name, values


class _Forward(PartedForward):
    """Runs batches on a device; what a failed one held there is given back."""

    def __init__(
        self,
        run: _Run | _CompiledRun,
        preprocess: Any,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        super().__init__(str(device))
        self._run = run
        self._preprocess = preprocess
        self._device = device
        self._dtype = dtype

    def _runs(self, part: Sequence[Any], rows: Mapping[str, np.ndarray]) -> bool:
        """Run a part of a batch; False if the memory does not hold it."""
        try:
            self._run(make_batch(part, self._preprocess, self._device, self._dtype), rows)
            return True
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            self._refuse_single(part, error)
        if self._device.type == "cuda":  # the error is gone by now, and with it what it held
            torch.cuda.empty_cache()
        return False


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    return any(sign in str(error) for sign in _NO_MEMORY)


class _Run:
    """Hooks that copy what they see at once: a module behind may overwrite the tensor."""

    def __init__(
        self,
        network: nn.Module,
        captures: Sequence[Capture],
        landing: Direct | Staged,
        forward: Call,
    ) -> None:
        self.network = network
        self._forward = forward
        self.captures = captures
        self._landing = landing
        self._handles: list[Any] = []
        self._calls: dict[str, int] = {}
        self._missing: set[str] = set()
        self._rows: Mapping[str, np.ndarray] = {}

    def attach(self) -> None:
        self._handles = attach(self.network, self.captures, self._see)

    def detach(self) -> None:
        for handle in self._handles:
            handle.remove()

    def __call__(self, batch: torch.Tensor, rows: Mapping[str, np.ndarray]) -> None:
        self._calls = {capture.name: 0 for capture in self.captures}
        self._missing = set(self._calls)
        self._rows = rows
        try:
            with torch.no_grad():
                output = self._forward(self.network, batch)
            for capture in filter(of_network, self.captures):
                self._see(capture, output)
        except _AllCaptured:
            pass
        except BaseException:
            self._landing.discard()
            raise
        finally:
            self._rows = {}
        self._landing.finish()
        _check_reached(self._missing)

    def _see(self, capture: Capture, output: Any) -> None:
        name = capture.name
        call = self._calls[name]
        self._calls[name] += 1
        if call != capture.wanted_call:
            return
        tensor = first_tensor(elements(output).get(capture.request.key))
        self._landing.put(*_matched(capture, tensor, self._rows[name]))
        self._missing.discard(name)
        if not self._missing:
            raise _AllCaptured


class _CompiledRun:
    """The same, where the hooks have become part of a compiled graph."""

    def __init__(
        self,
        network: nn.Module,
        captures: Sequence[Capture],
        landing: Direct | Staged,
        graphs_of: tuple[nn.Module, str],
        forward: Call,
    ) -> None:
        self.network = network
        self.captures = captures
        self._landing = landing
        self._graph = graph_for(*graphs_of, captures, forward)
        self._handles: list[Any] = []

    def attach(self) -> None:
        self._handles = self._graph.attach(self.network)

    def detach(self) -> None:
        for handle in self._handles:
            handle.remove()

    def __call__(self, batch: torch.Tensor, rows: Mapping[str, np.ndarray]) -> None:
        with torch.no_grad():
            seen = self._graph(self.network, batch)
        _check_reached({capture.name for capture in self.captures} - seen.keys())
        try:
            for capture in self.captures:
                tensor = seen[capture.name]
                self._landing.put(*_matched(capture, tensor, rows[capture.name]))
        except BaseException:
            self._landing.discard()
            raise
        self._landing.finish()


def _check_reached(missing: set[str]) -> None:
    if missing:
        raise ValueError(
            f"layers {sorted(missing)} were not reached in this forward pass, though "
            "they were when the layers were listed: the network takes another way from "
            "image to image."
        )


def _matched(
    capture: Capture, tensor: torch.Tensor | None, rows: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pooled activations, and the rows they belong into, in one shape."""
    if tensor is None:
        raise ValueError(
            f"layer {capture.name!r} returned no tensor, though it did when layers were listed."
        )
    if capture.info.batch_axis:
        tensor = tensor.movedim(capture.info.batch_axis, 0)
    tensor = tensor[: len(rows)]
    if "mean" in capture.pooling:
        tensor = tensor.to(torch.float32)  # a mean is not to be rounded to few digits
    pooled = pool(tensor, capture.pooling, capture.info)
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
    return pooled, target


def _lock(network: nn.Module) -> Any:
    """One pass at a time through one network: hooks of two threads would mix."""
    return _locks.setdefault(network, threading.RLock())


__all__ = ["TorchEngine", "choose_device", "make_batch", "trace_layers"]
