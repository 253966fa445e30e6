"""What every forward engine offers, and what it says where a pass goes wrong."""

from __future__ import annotations

import math
import threading
import weakref
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from skdnn._layers import NETWORK, OUTPUT, LayerInfo, LayerRequest
from skdnn._wording import listed

T = TypeVar("T")


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
    def of_network(self) -> bool:
        """Whether it is what a call of the network returns, which no hook of it need see."""
        return self.info.source == NETWORK

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


def wanted_tensor(capture: Capture, output: Any, is_tensor: Callable[[Any], bool]) -> Any:
    """What a capture wants of a layer's output."""
    tensor = first_part(elements(output).get(capture.request.key), is_tensor)
    if tensor is None:
        raise ValueError(
            f"layer {capture.name!r} returned no tensor, though it did when layers were listed."
        )
    return tensor


def check_reached(missing: Collection[str]) -> None:
    """Refuse a pass that has not come by all wanted layers."""
    if missing:
        raise ValueError(
            f"layers {sorted(missing)} were not reached in this forward pass, though they were "
            "when the layers were listed: the network takes another way from image to image."
        )


def check_size(capture: Capture, found: tuple[int, ...], rows: np.ndarray) -> None:
    """Refuse activations of an image that are not as many as there is room for."""
    if math.prod(found) != math.prod(rows.shape[1:]):
        raise ValueError(
            f"layer {capture.name!r} returned {found} for an image where {rows.shape[1:]} was "
            "expected: all images must have one size after preprocessing. Give preprocess a crop."
        )


def check_held(precision: str, lost: Sequence[str]) -> None:
    """Refuse a precision in which some weights have become infinite."""
    if lost:
        raise ValueError(
            f"precision={precision!r} can't hold the values of {listed(lost, show=str)}: they "
            "are too large. Use 'bfloat16' or 'float32'."
        )


class ForwardPass(Protocol):
    """Runs one batch and writes the captured layers into rows of arrays.

    A batch that memory does not hold is run in parts; MemoryError if one image is too much.
    """

    def __call__(self, prepared: Sequence[Any], rows: Mapping[str, np.ndarray]) -> None: ...


_locks: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


class Engine:
    """A network that is ready to run.

    Attributes
    ----------
    network : torch.nn.Module or keras.Model
    hooked : torch.nn.Module or keras.Model
        What one pass at a time may go through: hooks of two threads would mix.
    """

    network: Any
    hooked: Any

    def forward_size(self, batch_size: int, largest: int) -> int:
        """How many images go through the network at once.

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
        return batch_size

    @contextmanager
    def session(self, captures: Sequence[Capture], preprocess: Any) -> Iterator[ForwardPass]:
        """Put hooks in place and give the function that runs a batch; then all is as before.

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
        with (
            _locks.setdefault(self.hooked, threading.RLock()),
            self._ready(captures, preprocess) as run,
        ):
            yield run

    @abstractmethod
    def _ready(
        self, captures: Sequence[Capture], preprocess: Any
    ) -> AbstractContextManager[ForwardPass]:
        """The same without the lock."""


def kept(cache: OrderedDict[Any, T], key: Any, make: Callable[[], T], most: int) -> T:
    """What a cache holds, made if it is not there; what was not asked for longest goes."""
    if key not in cache:
        cache[key] = make()
    cache.move_to_end(key)
    while len(cache) > most:
        cache.popitem(last=False)
    return cache[key]
