"""Conditions of several images: elements of X that are lists of images, or folders."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skdnn._images import EXTENSIONS, ImageInputs, as_image_inputs, list_images

__all__ = ["Conditions", "as_conditions"]


@dataclass(frozen=True)
class Conditions:
    """Rows of features: each of one image, or the mean of several.

    Attributes
    ----------
    inputs : ImageInputs
        All images of all conditions, one after the other.
    names : list of str
        What to call each condition: its image, its folder, or ``"X[3]"`` where it has no name.
    has_name : list of bool
        Whether each is a file or a folder, which labels can name.
    ends : ndarray of int, shape (n_conditions + 1,), or None
        Images ``ends[i]`` to ``ends[i + 1]`` belong to condition i; None where each condition is
        one image.
    """

    inputs: ImageInputs
    names: list[str]
    has_name: list[bool]
    ends: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def known_names(self) -> list[str | None]:
        """Files and folders; None for what has no name."""
        pairs = zip(self.names, self.has_name, strict=True)
        return [name if has_name else None for name, has_name in pairs]

    def chunks(self, n_images: int) -> Iterator[tuple[slice, slice, np.ndarray]]:
        """Go through conditions of several images, some at a time.

        Yields
        ------
        conditions, images : slice
            Which rows of the result, and which images they are made of (about `n_images`).
        ends : ndarray of int
            Like the attribute, within these images.
        """
        assert self.ends is not None  # only asked where there are several images
        first = 0
        while first < len(self):
            last = int(np.searchsorted(self.ends, self.ends[first] + n_images, side="right")) - 1
            last = min(max(last, first + 1), len(self))
            ends = self.ends[first : last + 1]
            yield slice(first, last), slice(int(ends[0]), int(ends[-1])), ends - ends[0]
            first = last

    @staticmethod
    def mean(rows: np.ndarray, ends: np.ndarray, out: np.ndarray) -> None:
        """Average rows of images within conditions, in float64."""
        for condition, (start, stop) in enumerate(itertools.pairwise(ends)):
            out[condition] = rows[start:stop].mean(axis=0, dtype=np.float64)


def as_conditions(X: Any, aggregate: str | None = "mean") -> Conditions:
    """Turn X into images, and say which of them make up one row.

    Parameters
    ----------
    X : sequence
        As for `as_image_inputs`; with `aggregate` also lists of images and folders, which stand
        for the mean of their images.
    aggregate : {"mean"} or None

    Returns
    -------
    conditions : Conditions

    Raises
    ------
    TypeError, ValueError
        As `as_image_inputs`; for an empty list or folder.
    """
    elements = _several(X) if aggregate is not None else None
    if elements is None:
        inputs = as_image_inputs(X)
        return Conditions(inputs, inputs.names, inputs.has_name)
    parts = [as_image_inputs(_images_of(element, i)) for i, element in enumerate(elements)]
    several = ImageInputs(
        [item for part in parts for item in part.items],
        [_full_name(part, j, i) for i, part in enumerate(parts) for j in range(len(part))],
    )
    has_name = [isinstance(element, str | os.PathLike) for element in elements]
    names = [
        os.fspath(element).rstrip("/\\") if named else f"X[{i}]"
        for i, (element, named) in enumerate(zip(elements, has_name, strict=True))
    ]
    ends = np.cumsum([0, *(len(part) for part in parts)])
    return Conditions(several, names, has_name, ends)


def _several(X: Any) -> list[Any] | None:
    """The elements of X if any of them stands for several images."""
    if isinstance(X, pd.DataFrame) and X.shape[1] == 1:
        X = X.iloc[:, 0]
    ordered = isinstance(X, list | tuple | np.ndarray | pd.Series | pd.Index)
    if not ordered or getattr(X, "ndim", 1) != 1:
        return None
    elements = list(X)
    found = any(isinstance(element, list | tuple) or _is_folder(element) for element in elements)
    return elements if found else None


def _is_folder(element: Any) -> bool:
    if not isinstance(element, str | os.PathLike):
        return False
    path = os.fspath(element)
    return not str(path).lower().endswith(EXTENSIONS) and os.path.isdir(path)


def _images_of(element: Any, i: int) -> Any:
    """The images of one condition."""
    if _is_folder(element):
        images = [str(path) for path in list_images(element)]
        if not images:
            raise ValueError(f"X[{i}] is the folder {str(element)!r}, which holds no images.")
        return images
    if isinstance(element, list | tuple):
        if len(element) == 0:
            raise ValueError(f"X[{i}] is an empty list: a condition needs at least one image.")
        return list(element)
    return [element]


def _full_name(part: ImageInputs, j: int, i: int) -> str:
    return part.names[j] if part.has_name[j] else f"X[{i}][{j}]"
