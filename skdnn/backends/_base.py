"""What every forward engine offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
