"""Where the arithmetic of ridge regression is done."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdnn._optional import import_optional


class Device:
    """Where the arithmetic is done: numpy, or torch on some device."""

    def __init__(self, name: str, dtype: type[np.floating]) -> None:
        self.name = name
        self.dtype = dtype
        self.torch = None if name == "cpu" else import_optional("torch", "to solve on a GPU")
        self.xp: Any = np if self.torch is None else self.torch

    def put(self, array: Any, dtype: Any = np.float64) -> Any:
        """An array as this device has it."""
        if self.torch is None:
            return np.asarray(array, dtype=dtype)
        return self.torch.as_tensor(np.ascontiguousarray(array, dtype=dtype), device=self.name)

    def work(self, array: Any) -> Any:
        """An array of this device in the dtype of the products with targets."""
        if self.torch is None:
            return array.astype(self.dtype, copy=False)
        return array.to(getattr(self.torch, self.dtype.__name__))

    def empty(self, shape: tuple[int, ...]) -> Any:
        """An array in the dtype of the products with targets, not filled."""
        if self.torch is None:
            return np.empty(shape, self.dtype)
        dtype = getattr(self.torch, self.dtype.__name__)
        return self.torch.empty(shape, dtype=dtype, device=self.name)

    def get(self, array: Any) -> NDArray[Any]:
        """An array of this device as numpy's."""
        return array if self.torch is None else array.cpu().numpy()

    def eigh(self, matrix: Any) -> tuple[Any, Any]:
        """Eigenvalues, rounded up to zero, and eigenvectors."""
        values, vectors = self.xp.linalg.eigh(matrix)
        return values.clip(0), vectors
