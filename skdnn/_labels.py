"""Labels of conditions against names of images: rows that silently don't match are refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import pandas as pd


def row_labels(y: Any) -> list[str] | None:
    """Labels of the rows of `y` where it has an index of strings, else None.

    Parameters
    ----------
    y : object
        Any target; only a pandas object can carry labels.

    Returns
    -------
    labels : list of str or None
    """
    index = getattr(y, "index", None)
    if not isinstance(index, pd.Index) or isinstance(index, pd.MultiIndex) or len(index) == 0:
        return None
    labels = list(index)
    return labels if all(isinstance(label, str) for label in labels) else None


def check_labels(labels: Sequence[str] | None, names: Sequence[str]) -> None:
    """Raise if a row's label is not its image's path, file name or stem.

    Parameters
    ----------
    labels : sequence of str or None
        Labels of the rows of a target, as `row_labels` gives them; None passes.
    names : sequence of str
        Paths of the images, in the order of the rows.

    Raises
    ------
    ValueError
        Naming the first rows that do not match.
    """
    if labels is None:
        return
    if len(labels) != len(names):
        raise ValueError(
            f"y has {len(labels)} labelled rows, but X has {len(names)} images: "
            "give one row of y for each image, in the same order."
        )
    wrong = [
        (row, label, name)
        for row, (label, name) in enumerate(zip(labels, names, strict=True))
        if not _is_name_of(label, name)
    ]
    if wrong:
        shown = "; ".join(f"row {r}: y says {la!r}, X is {na!r}" for r, la, na in wrong[:5])
        more = f" (and {len(wrong) - 5} more rows)" if len(wrong) > 5 else ""
        raise ValueError(
            f"The row labels of y don't match the images in X: {shown}{more}. Each label must be "
            "its image's path, file name, or file name without extension. Sort y like X, e.g. "
            "y.loc[[Path(p).stem for p in X]], or drop the labels if the order is known "
            "to be right."
        )


def _is_name_of(label: str, name: str) -> bool:
    path = PurePath(name)
    return label in (name, path.name, path.stem) or PurePath(label) == path
