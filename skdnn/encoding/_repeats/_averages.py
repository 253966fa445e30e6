"""Responses to images that were shown several times, or are stored in another order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from skdnn._array_blocks import Array, is_lazy, refuse_sparse, row_parts
from skdnn._html import with_card
from skdnn._labels import find_rows
from skdnn._wording import listed

# Sums in float64 that are held at a time.
_SUM_BYTES = 2**29


@with_card
class AveragedRepeats(NamedTuple):
    """Responses averaged over repeats: a named tuple with one row for each stimulus.

    Attributes
    ----------
    responses : ndarray of shape (n_stimuli, ...)
        The averages.
    ids : ndarray of shape (n_stimuli,)
        The stimulus of each row.
    counts : ndarray of shape (n_stimuli,), int64
        How many repeats each row is the average of.

    See Also
    --------
    average_repeats : Makes it.

    Examples
    --------
    >>> from skdnn.encoding import average_repeats
    >>> averaged = average_repeats([[1.0], [5.0], [3.0]], ["dog", "cat", "dog"])
    >>> averaged.ids.tolist(), averaged.counts.tolist()
    (['cat', 'dog'], [1, 2])
    """

    responses: NDArray[Any]
    ids: NDArray[Any]
    counts: NDArray[np.int64]


def average_repeats(
    responses: ArrayLike | Any,
    stimulus_ids: Iterable[Hashable],
    *,
    order: str | Sequence[Hashable] | None = None,
) -> AveragedRepeats:
    """Average the responses to each stimulus.

    Parameters
    ----------
    responses : array-like of shape (n_trials, ...)
        One row for each trial. A lazy two-dimensional array (a dataset of h5py) is read in
        blocks.
    stimulus_ids : sequence of length n_trials
        What was shown: names, paths or numbers.
    order : {"first"} or sequence, default=None
        Order of the rows: None sorts the ids, ``"first"`` takes them as they first appear, a
        sequence holds each of them once.

    Returns
    -------
    averaged : AveragedRepeats
        Named tuple ``(responses, ids, counts)``: averages of shape (n_stimuli, ...), float32 for
        float32 input and float64 for any other; the ids; the number of repeats of each.

    Raises
    ------
    ValueError
        If the lengths differ, an id is missing (None or NaN), or `order` lacks an id, repeats
        one, or holds one that was not shown.

    See Also
    --------
    repeat_weights : Weights for a model that is fitted to the averages.
    align_responses : Puts them into the order of the images.

    Notes
    -----
    Sums are in float64. A trial with NaN makes the average of its stimulus NaN in that voxel:
    drop trials that failed before.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import average_repeats
    >>> trials = np.array([[1.0, 2.0], [5.0, 6.0], [3.0, 4.0]])
    >>> averaged = average_repeats(trials, ["dog", "cat", "dog"])
    >>> averaged.ids.tolist(), averaged.counts.tolist()
    (['cat', 'dog'], [1, 2])
    >>> averaged.responses
    array([[5., 6.],
           [2., 3.]])
    """
    ids = id_list(stimulus_ids, "stimulus_ids")
    unique = _ordered(ids, order)
    refuse_sparse(responses, "responses")
    lazy = is_lazy(responses)
    values: Any = responses if lazy else np.asarray(responses)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"responses has dtype {values.dtype}: it must hold real numbers.")
    if len(values.shape) == 0:
        raise ValueError("responses must have one row for each trial.")
    if values.shape[0] != len(ids):
        raise ValueError(
            f"responses has {values.shape[0]} rows and stimulus_ids {len(ids)} entries: one id "
            "for each row is needed."
        )
    place = {name: row for row, name in enumerate(unique)}
    codes = np.array([place[name] for name in ids], dtype=np.intp)
    counts = np.bincount(codes, minlength=len(unique))
    flat = values if lazy else values.reshape(len(ids), -1)
    means = _means(flat, codes, counts).reshape(len(unique), *values.shape[1:])
    return AveragedRepeats(means, _id_array(unique), counts)


def _means(values: Any, codes: NDArray[np.intp], counts: NDArray[np.int64]) -> NDArray[Any]:
    """Averages by code, in as few passes through the rows as the sums allow."""
    n_columns = values.shape[1]
    out = np.empty(
        (len(counts), n_columns), np.float32 if values.dtype == np.float32 else np.float64
    )
    width = max(1, _SUM_BYTES // (8 * len(counts)))
    for start in range(0, n_columns, width):
        columns = slice(start, min(start + width, n_columns))
        sums = np.zeros((len(counts), columns.stop - start))
        for rows, part in row_parts(values if width >= n_columns else _Columns(values, columns)):
            add_rows(sums, codes[rows], part)
        sums /= counts[:, None]
        out[:, columns] = sums
    return out


class _Columns:
    """Some columns of an array, as an array that is read by rows."""

    def __init__(self, values: Any, columns: slice) -> None:
        self.values, self.columns = values, columns
        self.shape = (values.shape[0], columns.stop - columns.start)
        self.dtype = values.dtype

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        return self.values[rows, self.columns]


def add_rows(sums: Array, codes: NDArray[np.intp], part: NDArray[Any]) -> None:
    """Add each row of `part` to the row of `sums` that its code names."""
    for code, row in zip(codes.tolist(), part, strict=True):
        sums[code] += row


def _ordered(ids: list[Hashable], order: Any) -> list[Hashable]:
    """Distinct ids in the order asked for."""
    found = list(dict.fromkeys(ids))
    if order is None:
        try:
            return sorted(found)  # type: ignore[type-var]
        except TypeError as error:
            raise ValueError(
                "stimulus_ids of several types cannot be sorted: give order='first' or a list."
            ) from error
    if isinstance(order, str):
        if order != "first":
            raise ValueError(f"order must be None, 'first' or a list of ids, got {order!r}.")
        return found
    wanted = id_list(order, "order")
    repeated = [name for name, count in Counter(wanted).items() if count > 1]
    absent = [name for name in wanted if name not in set(found)]
    left = [name for name in found if name not in set(wanted)]
    for names, problem in (
        (repeated, "holds more than once"),
        (absent, "holds, though they have no trial,"),
        (left, "lacks"),
    ):
        if names:
            raise ValueError(f"order {problem} {listed(names)}.")
    return wanted


def repeat_weights(counts: ArrayLike, *, normalize: bool = False) -> Array:
    """Number of repeats as ``sample_weight`` of averages.

    Parameters
    ----------
    counts : array-like of shape (n_stimuli,)
        Number of repeats of each average, as :func:`average_repeats` gives it.
    normalize : bool, default=False
        Divide by their mean, so that a penalty such as alpha keeps its meaning per image.

    Returns
    -------
    weights : ndarray of shape (n_stimuli,)
        Of float64.

    Raises
    ------
    ValueError
        If a count is not positive.

    See Also
    --------
    trial_weights : The reverse: single trials, in which each image counts the same.

    Notes
    -----
    The noise of an average of :math:`n` trials has a variance of :math:`1 / n`, so :math:`n` is
    its weight. Without `normalize`, least squares and ridge regression on the averages give
    exactly the coefficients that they give on all the trials, in a fraction of the time.

    Examples
    --------
    >>> from skdnn.encoding import repeat_weights
    >>> repeat_weights([1, 2, 3], normalize=True)
    array([0.5, 1. , 1.5])
    """
    weights = np.array(counts, dtype=np.float64)
    if weights.ndim != 1 or not (np.isfinite(weights).all() and (weights > 0).all()):
        raise ValueError("counts must be one-dimensional and hold positive numbers of repeats.")
    return weights / weights.mean() if normalize else weights


def trial_weights(stimulus_ids: Iterable[Hashable]) -> Array:
    """Weight single trials so that each stimulus counts the same.

    Parameters
    ----------
    stimulus_ids : sequence of length n_trials
        What was shown.

    Returns
    -------
    weights : ndarray of shape (n_trials,)
        One over the number of trials of the same stimulus.

    Raises
    ------
    ValueError
        If an id is missing.

    See Also
    --------
    repeat_weights : Weights of averages.

    Examples
    --------
    >>> from skdnn.encoding import trial_weights
    >>> trial_weights(["dog", "cat", "dog"])
    array([0.5, 1. , 0.5])
    """
    _, codes, counts = np.unique(
        stimulus_codes(stimulus_ids, "stimulus_ids"), return_inverse=True, return_counts=True
    )
    return 1 / counts[codes]


def align_responses(
    images: Sequence[Any],
    responses: Any,
    ids: Iterable[Hashable] | None = None,
    *,
    surplus: str = "error",
) -> Any:
    """Put responses into the order of the images, by name.

    Parameters
    ----------
    images : sequence of str or Path
        Paths of the images, each once.
    responses : array-like or DataFrame of shape (n_responses, ...)
        One row for each image, in any order. It may be a lazy array.
    ids : sequence of str or Path, default=None
        Which image each row belongs to: its path or the end of it, its file name, or any of these
        without extension. None takes the index of a DataFrame (or Series).
    surplus : {"error", "drop"}, default="error"
        What to do with rows of other images.

    Returns
    -------
    aligned : ndarray, DataFrame or Series
        Row ``i`` belongs to ``images[i]``.

    Raises
    ------
    ValueError
        Naming images without a response, images with several, ids of no image, and ids that fit
        several images.
    TypeError
        If images or ids are not names.

    See Also
    --------
    average_repeats : For several rows of an image.

    Notes
    -----
    Separators of Windows, ``./``, blanks around a name, composed or decomposed accents and the
    case of the extension make no difference; the case of all else does. An exact path comes
    first, then the name with the extension, then the longest end that both paths share. Folders
    that contradict each other (``cat/1.jpg`` and ``dog/1.jpg``) make two images. Only where ids
    are absolute paths, and one change of folder accounts for all of them, files are taken to
    have been moved, and a warning says so.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import align_responses
    >>> align_responses(["img/cat.jpg", "img/dog.jpg"], np.array([[1.0], [2.0]]), ["dog", "cat"])
    array([[2.],
           [1.]])
    """
    if surplus not in ("error", "drop"):
        raise ValueError(f"surplus must be 'error' or 'drop', got {surplus!r}.")
    framed = isinstance(responses, (pd.DataFrame, pd.Series))
    if ids is None:
        if not framed:
            raise ValueError("ids must be given: responses has no index of names.")
        ids = responses.index
    names = [_name(item, "ids") for item in ids]
    if not hasattr(responses, "shape"):
        responses = np.asarray(responses)
    if responses.shape[0] != len(names):
        raise ValueError(
            f"responses has {responses.shape[0]} rows and ids {len(names)} entries: one id for "
            "each row is needed."
        )
    paths = [_name(item, "images") for item in images]
    found = find_rows(names, paths, "ids", surplus=surplus == "drop")
    rows = np.array(found, dtype=np.intp)
    if framed:
        return responses.iloc[rows]
    return responses[rows] if isinstance(responses, np.ndarray) else _read_rows(responses, rows)


def _read_rows(responses: Any, rows: NDArray[np.intp]) -> NDArray[Any]:
    """Rows of a lazy array, which is read in order and in long runs."""
    out = np.empty((len(rows), *responses.shape[1:]), dtype=responses.dtype)
    target = np.full(responses.shape[0], -1, dtype=np.intp)
    target[rows] = np.arange(len(rows))
    step = max(1, 2**26 // max(1, out[:1].nbytes))
    for start in range(0, len(target), step):
        to = target[start : start + step]
        if (to >= 0).any():
            out[to[to >= 0]] = np.asarray(responses[start : start + len(to)])[to >= 0]
    return out


def id_list(ids: Any, name: str) -> list[Hashable]:
    """Ids as a list; none may be missing."""
    if isinstance(ids, str):
        raise TypeError(f"{name} must be a sequence of ids, got the string {ids!r}.")
    found = ids.tolist() if hasattr(ids, "tolist") else list(ids)
    missing = [
        row for row, item in enumerate(found) if item is None or item is pd.NA or item != item
    ]
    if missing:
        raise ValueError(f"{name} is missing (None or NaN) in rows {listed(missing)}.")
    if not found:
        raise ValueError(f"{name} is empty.")
    if not all(isinstance(item, Hashable) for item in found):
        raise TypeError(f"{name} must be one-dimensional and hold names or numbers.")
    return found


def stimulus_codes(ids: Any, name: str) -> NDArray[np.intp]:
    """A number for each distinct id, by first appearance."""
    found = id_list(ids, name)
    place = {item: code for code, item in enumerate(dict.fromkeys(found))}
    return np.array([place[item] for item in found], dtype=np.intp)


def _id_array(ids: list[Hashable]) -> NDArray[Any]:
    """Ids as an array: of strings or numbers where they are, else of objects."""
    if all(isinstance(item, str) for item in ids):
        return np.array(ids)
    if all(isinstance(item, int) for item in ids) or all(isinstance(item, float) for item in ids):
        return np.array(ids)
    out = np.empty(len(ids), dtype=object)
    out[:] = ids
    return out


def _name(item: Any, what: str) -> str:
    if not isinstance(item, (str, PurePath)):
        raise TypeError(
            f"{what} must be names or paths of images, got {type(item).__name__} {item!r}."
        )
    return str(PurePath(item))
