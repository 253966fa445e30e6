"""Sign-flips over subjects: is the mean zero anywhere, corrected for everywhere at once?

If a subject's values are symmetric about zero, so that each sign was as likely, the largest t of
all columns under random signs tells what is large by chance (Nichols & Holmes, 2002). A subject
has one sign for all columns, so whatever columns share is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdnn._wording import listed
from skdnn.rsa._inference._p_values import check_alternative
from skdnn.rsa._inference._random_draws import check_count, generators

Array = NDArray[np.float64]

# Columns, and values of flipped columns, held at a time: they stay in the processor's cache.
_COLUMNS = 2**11
_BLOCK = 2**15
# A spread below this share of the root mean square is rounding, and the column constant.
_CONSTANT = 1e-12
# So is a difference of two t relative to them: the observed signs are among the random ones.
_ROUNDING = 1e-9


class SignFlipTest(NamedTuple):
    """One-sample t of each column, and how often chance gives a larger one anywhere."""

    t: Array  # (...), NaN where a column was left out
    p: Array  # (...), corrected for all columns
    null: Array  # (n,), ascending: the most extreme t of all columns under each set of signs
    exact: bool  # whether these were all sets of signs, the observed one among them


def sign_flip_test(
    values: ArrayLike,
    *,
    n_flips: int = 10_000,
    alternative: str = "greater",
    random_state: Any = None,
    undefined: str = "raise",
    min_subjects: int | None = None,
) -> SignFlipTest:
    """Test whether means over subjects are zero, by the largest t under random signs.

    Parameters
    ----------
    values : array-like of shape (n_subjects, ...)
        E.g. scores less what chance gives, of each subject in each column: layer, time, voxel.
    n_flips : int, default=10_000
        Number of random sets of signs. Where there are no more than that at all (a set and its
        opposite count as one: 2 ** (n_subjects - 1)), each is taken once.
    alternative : {"greater", "less", "two-sided"}, default="greater"
        What is to be shown about the mean.
    random_state : int, RandomState or None, default=None
        Where the signs come from.
    undefined : {"raise", "omit"}, default="raise"
        What to do where there is no t: an infinity, a NaN, or the same value in all subjects.
        "raise" names the columns; "omit" gives NaN there, and goes on with the others.
    min_subjects : int, default=None
        With ``undefined="omit"``: columns are tested with the subjects that have a value, if
        these are so many. None asks for all of them.

    Returns
    -------
    test : SignFlipTest
        Where ``test.null`` is large in absolute value for "two-sided", and negative for "less".

    Raises
    ------
    ValueError
        If there are fewer than two subjects, a parameter is not known, or there is no t.
    """
    check_alternative(alternative)
    n_flips = check_count(n_flips, "n_flips", 1)
    if undefined not in ("raise", "omit"):
        raise ValueError(f"undefined={undefined!r} is not known: choose 'raise' or 'omit'.")
    array = np.asarray(values, dtype=np.float64)
    if array.ndim < 2 or len(array) < 2:
        raise ValueError(
            f"values has shape {array.shape}: (n_subjects, ...) with two or more subjects is "
            "needed."
        )
    columns = array.reshape(len(array), -1)
    if undefined == "omit":
        usable = usable_columns(columns, min_subjects or len(columns))
        if not usable.any():
            raise ValueError("No column has values that differ between enough subjects.")
    else:
        refuse_undefined(columns, lambda place: _place(place, array.shape[1:]))
        usable = np.ones(columns.shape[1], dtype=bool)
    t = np.full(columns.shape[1], np.nan)
    p = t.copy()
    scaled, groups = scale_columns(columns if usable.all() else columns[:, usable])
    t[usable] = own = t_of_sums(scaled.sum(axis=0), groups.n)
    signs = flip_signs(len(columns), n_flips, random_state)
    null = largest_t(scaled, groups, signs, alternative)
    p[usable] = p_by_maximum(null, own, alternative, signs.exact)
    if alternative == "less":
        null = -null[::-1]
    return SignFlipTest(t.reshape(array.shape[1:]), p.reshape(array.shape[1:]), null, signs.exact)


class Groups(NamedTuple):
    """Columns by the number of subjects they have: t of the same number can be compared."""

    n: Array  # (n_columns,)
    each: list[tuple[NDArray[np.intp] | slice, int]]  # columns of a group, their subjects


class Signs(NamedTuple):
    """Sets of signs, and whether no other one is left, but for those with opposite signs."""

    each: NDArray[np.int8]  # (n_sets, n_subjects)
    exact: bool


def flip_signs(n_subjects: int, n_flips: int, random_state: Any) -> Signs:
    """Random sets of signs of the subjects, or all of them with the last subject's kept."""
    if 2 ** (n_subjects - 1) <= n_flips:
        numbers = np.arange(2 ** (n_subjects - 1))[:, None]
        bits = numbers >> np.arange(n_subjects) & 1  # the last subject has a zero throughout
        return Signs((1 - 2 * bits).astype(np.int8), True)
    rng = generators(random_state, 1)[0]
    bits = rng.integers(0, 2, size=(n_flips, n_subjects), dtype=np.int8)
    return Signs(2 * bits - 1, False)


def scale_columns(columns: Array) -> tuple[Array, Groups]:
    """Columns of root sum of squares one, which no sign changes; a NaN becomes zero."""
    known = ~np.isnan(columns)
    whole = bool(known.all())
    filled = columns if whole else np.where(known, columns, 0.0)
    largest = np.abs(filled).max(axis=0)  # squares can then neither overflow nor vanish
    scaled = filled / largest
    scaled /= np.sqrt(np.einsum("ij,ij->j", scaled, scaled))
    n = known.sum(axis=0)
    if whole:
        return scaled, Groups(n.astype(np.float64), [(slice(None), len(columns))])
    each: list[tuple[NDArray[np.intp] | slice, int]] = [
        (np.flatnonzero(n == count), int(count)) for count in np.unique(n)
    ]
    return scaled, Groups(n.astype(np.float64), each)


def t_of_sums(sums: Array, n: Any) -> Array:
    """Student's t of columns with such sums, which are at most the root of n in absolute value."""
    with np.errstate(divide="ignore"):
        return sums * np.sqrt((n - 1) / np.maximum(n - np.square(sums), 0.0))


def sum_of_t(t: Any, n: Any) -> Any:
    """The sum of a column of n subjects with this t, the other way round."""
    return t * np.sqrt(n / (n - 1 + t**2))


def flipped_sums(
    scaled: Array, signs: NDArray[np.int8], block: int = _BLOCK
) -> Iterator[tuple[slice, Array]]:
    """Sums of the columns under each set of signs, some sets at a time, in a buffer."""
    step = max(1, min(len(signs), block // scaled.shape[1]))
    buffer = np.empty((step, scaled.shape[1]))
    for start in range(0, len(signs), step):
        part = signs[start : start + step].astype(np.float64)
        yield (
            slice(start, start + len(part)),
            np.matmul(part, scaled, out=buffer[: len(part)]),
        )


def largest_t(scaled: Array, groups: Groups, signs: Signs, alternative: str) -> Array:
    """The largest t of all columns under each set of signs, ascending; of -t for "less"."""
    both = alternative == "two-sided" or signs.exact
    high, low = np.full((2, len(signs.each)), -np.inf)
    # t rises with the sum among columns of as many subjects: one root is enough for all of them.
    for columns, n in groups.each:
        top, bottom = np.full((2, len(signs.each)), -np.inf)
        own = scaled[:, columns]
        for start in range(0, own.shape[1], _COLUMNS):
            for rows, sums in flipped_sums(own[:, start : start + _COLUMNS], signs.each):
                if both or alternative == "greater":
                    np.maximum(top[rows], sums.max(axis=1), out=top[rows])
                if both or alternative == "less":
                    np.maximum(bottom[rows], -sums.min(axis=1), out=bottom[rows])
        high, low = np.maximum(high, t_of_sums(top, n)), np.maximum(low, t_of_sums(bottom, n))
    if alternative == "two-sided":
        return np.sort(np.maximum(high, low))
    if signs.exact:  # the opposite signs, whose largest t is this one's smallest
        return np.sort(np.concatenate([high, low]))
    return np.sort(high if alternative == "greater" else low)


def p_by_maximum(null: Array, observed: Array, alternative: str, exact: bool) -> Array:
    """Share of an ascending null of maxima that reaches each value, but for rounding.

    Unless the null is `exact`, it lacks the observed one, which counts.
    """
    if alternative == "two-sided":
        observed = np.abs(observed)
    elif alternative == "less":
        observed = -observed
    reach = observed - _ROUNDING * np.maximum(np.abs(observed), 1)
    larger = len(null) - np.searchsorted(null, np.where(np.isinf(observed), observed, reach))
    return np.asarray((larger + (not exact)) / (len(null) + (not exact)), dtype=np.float64)


def _spread(columns: Array) -> tuple[Array, Array]:
    """Largest less smallest known value of each column, and the largest in absolute value."""
    with np.errstate(invalid="ignore"):
        high, low = np.fmax.reduce(columns), np.fmin.reduce(columns)
        return high - low, np.maximum(np.abs(high), np.abs(low))


def usable_columns(columns: Array, min_subjects: int) -> NDArray[np.bool_]:
    n = (~np.isnan(columns)).sum(axis=0)
    spread, largest = _spread(columns)
    with np.errstate(invalid="ignore"):
        varies = np.isfinite(largest) & (spread > _CONSTANT * largest)
    return (n >= max(min_subjects, 2)) & varies


def refuse_undefined(columns: Array, name: Callable[[int], str]) -> None:
    """Raise ValueError that names the columns without a t."""
    unknown = ~np.isfinite(columns).all(axis=0)
    spread, largest = _spread(np.where(unknown, 0.0, columns))
    constant = ~unknown & (spread <= _CONSTANT * largest)
    for wrong, what in (
        (unknown, "are NaN or infinite in some subjects"),
        (constant, "are the same in all subjects, so that they have no t"),
    ):
        if wrong.any():
            places = listed(map(name, np.flatnonzero(wrong).tolist()), show=str)
            raise ValueError(f"Values at {places} {what}: leave them out of the test.")


def _place(place: int, shape: tuple[int, ...]) -> str:
    return str(tuple(map(int, np.unravel_index(place, shape))))
