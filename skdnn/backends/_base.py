"""What every forward engine offers."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from skdnn.layers import LayerInfo, LayerRequest


@dataclass(frozen=True)
class Capture:
    """One layer to capture, with all that the engine must know of it.

    Attributes
    ----------
    request : LayerRequest
        Path, element and call.
    info : LayerInfo
        Layout, tokens and number of calls.
    pooling : str
        One of ``skdnn.layers.POOLINGS``.
    """

    request: LayerRequest
    info: LayerInfo
    pooling: str

    @property
    def name(self) -> str:
        """The layer as the user named it."""
        return self.request.name

    @property
    def canonical(self) -> str:
        """The layer by a name that does not depend on how it was asked for."""
        request = self.request
        key = f"[{request.key}]" if request.key is not None else ""
        last = request.call is None or request.call == self.info.n_calls - 1
        return request.path + key + ("" if last else f"@{request.call}")

    @property
    def wanted_call(self) -> int:
        """Which call of the layer counts, from 0."""
        wanted = self.request.call
        return self.info.n_calls - 1 if wanted is None else wanted


def elements(output: Any) -> dict[str | None, Any]:
    """A layer's output as a whole (None) and, of a tuple, list or dict, each element by name."""
    parts: dict[str | None, Any] = {None: output}
    if isinstance(output, Mapping):
        parts |= {str(key): part for key, part in output.items()}
    elif isinstance(output, tuple | list):
        parts |= {str(place): part for place, part in enumerate(output)}
    return parts


def first_part(output: Any, is_tensor: Callable[[Any], bool]) -> Any:
    """The first tensor in a tensor, tuple, list or dict, however deep; None without any."""
    if is_tensor(output):
        return output
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, tuple | list):
        for part in output:
            found = first_part(part, is_tensor)
            if found is not None:
                return found
    return None


class ForwardPass(Protocol):
    """Runs one batch and writes the captured layers into rows of arrays.

    A batch that memory does not hold is run in parts; MemoryError if one image is too much.
    """

    def __call__(self, prepared: Sequence[Any], rows: Mapping[str, np.ndarray]) -> None: ...


class Engine(Protocol):
    """A network that is ready to run."""

    def forward_size(self, batch_size: int, largest: int) -> int:
        """How many images go through the network at once; `largest` activation of one image."""

    def session(
        self, captures: Sequence[Capture], preprocess: Any
    ) -> AbstractContextManager[ForwardPass]:
        """Put hooks in place; on leaving, the network is as it was found."""


class PartedForward:
    """Runs batches; once memory has not held one, smaller ones for the rest of the session.

    Parameters
    ----------
    device : str
        For messages.
    """

    def __init__(self, device: str) -> None:
        self._where = device
        self._fits: int | None = None
        self._warned = False

    def __call__(self, prepared: Sequence[Any], rows: Mapping[str, np.ndarray]) -> None:
        n_images = min(len(array) for array in rows.values())
        start = 0
        while start < n_images:
            size = min(self._fits or len(prepared), len(prepared))
            part = list(prepared[start : start + size])
            part += [part[-1]] * (size - len(part))  # same arithmetic for every image
            if self._runs(part, {name: a[start : start + size] for name, a in rows.items()}):
                start += size
                self._warn_once(len(prepared))
            else:
                self._fits = size // 2

    @abstractmethod
    def _runs(self, part: Sequence[Any], rows: Mapping[str, np.ndarray]) -> bool:
        """Run a part of a batch; False if the memory does not hold it."""

    def _refuse_single(self, part: Sequence[Any], error: BaseException) -> None:
        """Nothing is left to halve."""
        if len(part) == 1:
            raise MemoryError(
                f"The memory of device {self._where!r} does not hold the forward pass of a "
                "single image, however small batch_size is. Free memory there, or use a smaller "
                "network, precision='bfloat16' or another device."
            ) from error

    def _warn_once(self, asked: int) -> None:
        if self._fits is None or self._warned:
            return
        self._warned = True
        warnings.warn(
            f"The memory of device {self._where!r} does not hold {asked} images at once; "
            f"{self._fits} fit, and the rest goes in batches of that size. "
            f"batch_size={self._fits} spares the failed attempts.",
            UserWarning,
            stacklevel=3,
        )
