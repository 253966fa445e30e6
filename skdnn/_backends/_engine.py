"""What every forward engine offers."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Protocol

import numpy as np

from skdnn._layers import OUTPUT, LayerInfo, LayerRequest


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
        One of ``skdnn._layers.POOLINGS``.
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
    """A layer's output as a whole (None) and, where it has parts, each of them by name."""
    whole: dict[str | None, Any] = {None: output}
    whole.update(_parts(output))
    return whole


def _parts(output: Any) -> dict[str, Any]:
    """Parts of a tuple, list, dict or dataclass."""
    if isinstance(output, Mapping):
        return {str(key): part for key, part in output.items()}
    if isinstance(output, tuple | list):
        return {str(place): part for place, part in enumerate(output)}
    if is_dataclass(output) and not isinstance(output, type):
        return {part.name: getattr(output, part.name, None) for part in fields(output)}
    return {}


def first_part(output: Any, is_tensor: Callable[[Any], bool]) -> Any:
    """The first tensor in a tensor, tuple, list, dict or dataclass, however deep, or None."""
    if is_tensor(output):
        return output
    for part in _parts(output).values():
        found = first_part(part, is_tensor)
        if found is not None:
            return found
    return None


def returned(output: Any) -> tuple[dict[str, Any], bool]:
    """What a network returns, by names of layers; whether its parts stand side by side.

    Auxiliary parts, which are for training, are left out.
    """
    parts = _parts(output)
    if not parts:
        return {OUTPUT: output}, False
    main = {key: part for key, part in parts.items() if not key.startswith("aux")} or parts
    named = {f"{OUTPUT}[{key}]": part for key, part in main.items()}
    return named, isinstance(output, tuple | list)


def without_tensor(output: Any) -> str:
    """Why an output can't be captured."""
    held = "" if output is None else ", in which no tensor is found"
    return (
        f"it returns {'None' if output is None else f'a {type(output).__name__}'}{held}. What can "
        "be captured is a tensor, or a tuple, list, dict or dataclass that holds one"
    )


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
