"""The forward engine of torch: device, precision, batches that memory holds."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import nn

from skdnn._backends._engine import Capture, Engine, ForwardPass, check_held
from skdnn._backends._padded_batches import PaddedBatches
from skdnn._backends._torch_capture import CompiledRun, Run, hooked
from skdnn._backends._torch_compile import graph_for
from skdnn._backends._torch_device_copies import landing_for, make_batch
from skdnn._backends._torch_layers import (
    Call,
    call,
    float_dtype,
    left_as_found,
    trace_layers,
    unwrap,
)

# The C library gives blocks above 32 MiB back to the system at once; taking them anew for every
# batch costs up to a third of the time in page faults. Batches on a CPU stay below.
_REUSED_BYTES = 32 * 2**20
_LEAST_CPU_BATCH = 4
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# How torch and its libraries say it where they raise no OutOfMemoryError.
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")


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


class TorchEngine(Engine):
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
        # Copies in another precision share their graphs, which outlive them.
        self.compiled_for, self.precision = network, precision
        if precision != "float32":
            network = _cast(network if owned else copy.deepcopy(network), precision)
            owned = True
        self.network = network
        self.hooked = self.compiled_for if compile else network
        self.owned = owned
        self.device = device
        if owned:
            self.network.to(device).eval()
            if device.type == "cpu":
                self.network.to(memory_format=torch.channels_last)

    def forward_size(self, batch_size: int, largest: int) -> int:
        """How many images go through the network at once: on a CPU large batches are cut up."""
        if self.device.type != "cpu":
            return batch_size
        fits = max(_REUSED_BYTES // (4 * max(largest, 1)), _LEAST_CPU_BATCH)
        return min(batch_size, 2 ** int(math.log2(fits)))

    @contextmanager
    def _ready(self, captures: Sequence[Capture], preprocess: Any) -> Iterator[ForwardPass]:
        with left_as_found(self.network, self.owned):
            self.network.to(self.device)
            landing = landing_for(self.device)
            if self.compile:
                graph = graph_for(self.compiled_for, self.precision, captures, self.forward)
                run: Run = CompiledRun(self.network, graph, landing)
            else:
                run = Run(self.network, captures, self.forward, landing)
            with hooked(self.network, captures, run.watch):
                yield _Forward(self, run, preprocess)


def _cast(network: nn.Module, precision: str) -> nn.Module:
    """All floating-point weights and statistics in another precision; integers stay."""
    held = {name for name, values in _floats(network) if bool(torch.isfinite(values).all())}
    network = network.to(_DTYPES[precision])
    lost = [name for name, v in _floats(network) if name in held and not torch.isfinite(v).all()]
    check_held(precision, lost)
    return network


def _floats(network: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for name, values in chain(network.named_parameters(), network.named_buffers()):
        if values.is_floating_point():
            yield name, values


class _Forward(PaddedBatches):
    """Runs batches on a device; what a failed one held there is given back."""

    def __init__(self, engine: TorchEngine, run: Run, preprocess: Any) -> None:
        super().__init__(str(engine.device))
        self._run = run
        self._preprocess = preprocess
        self._device = engine.device
        self._dtype = float_dtype(engine.network)

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


__all__ = ["TorchEngine", "choose_device", "make_batch", "trace_layers"]
