"""Brains, behaviour and models that networks are compared with, in the order of the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skdnn._labels import find_rows

Array = NDArray[np.float64]


def read_references(
    references: Any, labels: list[str], names: Sequence[str | None], patterns: bool
) -> dict[str, pd.DataFrame]:
    """References with rows (and, of RDMs, columns) in the order of the images."""
    if references is None:
        return {}
    if isinstance(references, pd.DataFrame):
        references = {"reference": references}
    if not isinstance(references, Mapping) or not references:
        raise TypeError("references must be a dict of RDMs by name, or one labelled DataFrame.")
    named = [name for name in names if name is not None]
    known = named if len(named) == len(names) else None
    read = {}
    for name, reference in references.items():
        what = f"references[{name!r}]"
        is_labelled = isinstance(reference, pd.DataFrame)
        frame = reference if is_labelled else _as_frame(reference, labels)
        if frame is None:
            raise ValueError(
                f"{what} has shape {np.shape(reference)}: an array must be (n_images, n_images) "
                f"or (n_subjects, n_images, n_images), for the {len(labels)} images of X."
            )
        read[str(name)] = _picked(
            frame, labels, known if is_labelled else None, what, not patterns
        )
    return read


def _as_frame(reference: Any, labels: list[str]) -> pd.DataFrame | None:
    """An array with labels; None if its shape does not fit."""
    values = np.asarray(reference, dtype=np.float64)
    if values.ndim == 2 and len(values) == len(labels):
        return _labelled(values, labels)
    if values.ndim == 3 and values.shape[1] == len(labels):
        apart = {k: _labelled(subject, labels) for k, subject in enumerate(values)}
        return pd.concat(apart, axis=1, names=["subject", "condition"])
    return None


def _labelled(values: Array, labels: list[str]) -> pd.DataFrame:
    columns = labels if values.shape[1] == len(labels) else None
    return pd.DataFrame(values, index=labels, columns=columns)


def _picked(
    frame: pd.DataFrame, labels: list[str], known: list[str] | None, what: str, is_rdm: bool
) -> pd.DataFrame:
    """The rows of the images, in their order, and for RDMs the columns."""
    if frame.columns.nlevels > 2:
        raise ValueError(
            f"{what} has {frame.columns.nlevels} levels of columns: give (subject, condition), "
            "and each ROI or time point as a reference of its own."
        )
    apart = subjects(frame).items()
    picked = {key: _one(part, labels, known, what, is_rdm) for key, part in apart}
    if frame.columns.nlevels == 1:
        return next(iter(picked.values()))
    return pd.concat(picked, axis=1, names=["subject", "condition"])


def _one(
    frame: pd.DataFrame, labels: list[str], known: list[str] | None, what: str, is_rdm: bool
) -> pd.DataFrame:
    """One subject's rows, and columns, under the images' labels."""
    own = list(frame.index)
    if is_rdm and (len(set(own)) < len(own) or set(own) != set(frame.columns)):
        raise ValueError(f"{what} is no labelled RDM: index and columns must be the same labels.")
    if known is None or not all(isinstance(label, str) for label in own):  # by their order
        if len(own) != len(labels):
            raise ValueError(f"{what} has {len(own)} rows for {len(labels)} images of X.")
        rows = own
    else:
        rows = [own[row] for row in find_rows(own, known, what)]
    found = frame.loc[rows, rows] if is_rdm else frame.loc[rows]
    found = found.set_axis(labels, axis=0)
    return found.set_axis(labels, axis=1) if is_rdm else found


def subjects(reference: pd.DataFrame) -> dict[Any, pd.DataFrame]:
    """A reference's subjects apart; one that has none is a single one."""
    if reference.columns.nlevels == 1:
        return {"score": reference}
    keys = reference.columns.get_level_values(0)
    return {key: reference.loc[:, keys == key].droplevel(0, axis=1) for key in dict.fromkeys(keys)}
