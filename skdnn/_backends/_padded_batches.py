"""Batches of one size, padded at the end; smaller ones where memory does not hold them."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


class PaddedBatches:
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
