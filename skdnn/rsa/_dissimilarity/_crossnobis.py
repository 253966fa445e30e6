"""Cross-validated squared Mahalanobis distances between repeatedly measured conditions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skdnn._blocks import Array, column_blocks
from skdnn.rsa._dissimilarity._correlation_and_euclidean import Products, mirror
from skdnn.rsa._dissimilarity._noise_precision import check_precision, precision_root, whitened
from skdnn.rsa._dissimilarity._patterns import Patterns, averaging, encode

Side = tuple[int, Array, Array, NDArray[np.bool_]]  # split, its two sides, which rows are valid


def crossnobis(patterns: Patterns, folds: Any, noise_precision: Any, size: int | None) -> Array:
    """Mean over splits of the products of independent differences, by number of features."""
    rows, codes, labels = patterns.rows, patterns.codes, patterns.labels
    assert codes is not None
    assert labels is not None
    of_fold, names = encode(folds, rows.shape[0], "folds", patterns.row_labels)
    if len(names) < 2:
        raise ValueError(
            f"folds has one label, {names.tolist()[0]!r}: crossnobis needs two or more."
        )
    patterns.check_finite()
    if _one_for_each_fold(noise_precision):
        precisions = fold_precisions(noise_precision, names, rows.shape[1])
        blocks = _pairs_of_folds(rows, codes, of_fold, len(labels), precisions)
    else:
        blocks = _leave_one_out(rows, codes, of_fold, len(labels), noise_precision, size)
    return _mean_of_products(blocks, len(labels)) / rows.shape[1]


def _one_for_each_fold(precision: Any) -> bool:
    if isinstance(precision, Mapping):
        return True
    if isinstance(precision, np.ndarray):
        return precision.ndim == 3
    return isinstance(precision, list | tuple) and len(precision) > 0 and np.ndim(precision[0]) > 0


def fold_precisions(precisions: Any, names: pd.Index, n_features: int) -> list[Array]:
    """One checked precision for each fold, in the order of `names`."""
    if isinstance(precisions, Mapping):
        missing = [name for name in names.tolist() if name not in precisions]
        if missing:
            raise ValueError(f"noise_precision has no entry for fold {missing[0]!r}.")
        precisions = [precisions[name] for name in names]
    if len(precisions) != len(names):
        raise ValueError(
            f"noise_precision has {len(precisions)} entries for {len(names)} folds: give one "
            "for each, or a single one for all."
        )
    return [
        check_precision(one, n_features, f"noise_precision of fold {name!r}")
        for one, name in zip(precisions, names.tolist(), strict=True)
    ]


def _leave_one_out(
    X: Any,
    codes: NDArray[np.intp],
    of_fold: NDArray[np.intp],
    n: int,
    precision: Any,
    size: int | None,
) -> Iterator[Side]:
    """For each fold, its means and those of the other folds' rows, in blocks of features.

    Where conditions are missing in folds, each two folds are taken by themselves: means over
    several would hold other folds for one condition than for another, and what a fold adds to all
    its patterns would not cancel in their difference.
    """
    weights = None
    if precision is not None:
        checked = check_precision(precision, X.shape[1])
        if checked.ndim == 1:
            weights = checked
        else:
            X = whitened(X, precision_root(checked))
    numbers = range(of_fold.max() + 1)
    each = [averaging(codes, of_fold == fold, n) for fold in numbers]
    measured = [np.diff(average.indptr) > 0 for average in each]
    if np.all(measured):
        sides = [(each[fold], averaging(codes, of_fold != fold, n)) for fold in numbers]
        splits = [(*side, measured[0]) for side in sides]
    else:
        splits = [(each[i], each[j], measured[i] & measured[j])
                  for i, j in combinations(numbers, 2)]  # fmt: skip
    for columns, block in column_blocks(X, size):
        for split, (inside, outside, valid) in enumerate(splits):
            first, second = inside @ block, outside @ block
            if weights is not None:
                first = first * weights[columns]
            yield split, _centred(first, valid), _centred(second, valid), valid


def _pairs_of_folds(
    X: Any,
    codes: NDArray[np.intp],
    of_fold: NDArray[np.intp],
    n: int,
    precisions: list[Array],
) -> Iterator[Side]:
    """For each pair of folds their means, one of them times the precision of the two."""
    means, measured = [], []
    for fold in range(len(precisions)):
        average = averaging(codes, of_fold == fold, n)
        measured.append(np.diff(average.indptr) > 0)
        total = [average @ block for _, block in column_blocks(X)]
        means.append(np.concatenate(total, axis=1))
    for split, (i, j) in enumerate(combinations(range(len(precisions)), 2)):
        valid = measured[i] & measured[j]
        precision = precision_of_mean_covariance(precisions[i], precisions[j])
        first, second = _centred(means[i], valid), _centred(means[j], valid)
        second = second * precision if precision.ndim == 1 else second @ precision
        yield split, first, second, valid


def precision_of_mean_covariance(first: Array, second: Array) -> Array:
    if first.ndim == second.ndim == 1:
        return np.asarray(2 / (1 / first + 1 / second))
    covariances = [np.linalg.inv(np.diag(p) if p.ndim == 1 else p) for p in (first, second)]
    return np.asarray(np.linalg.inv((covariances[0] + covariances[1]) / 2))


def _centred(means: Array, valid: NDArray[np.bool_]) -> Array:
    """What all conditions share goes, which changes no difference; zero where not measured."""
    if valid.any():
        means = means - means[valid].mean(axis=0)
    means[~valid] = 0.0
    return np.ascontiguousarray(means)


def _mean_of_products(blocks: Iterator[Side], n: int) -> Array:
    """Mean over splits of ``(a_i - a_j)'(b_i - b_j)``; NaN for pairs that no split measures."""
    products = Products(n)
    own: dict[int, Array] = {}
    known: dict[int, NDArray[np.bool_]] = {}
    for split, first, second, valid in blocks:
        products.add(first, second)
        known[split] = valid
        own[split] = own.get(split, 0.0) + np.einsum("ij,ij->i", first, second)
    valid = np.stack([known[split] for split in known], axis=1).astype(np.float64)
    squares = np.stack([own[split] for split in known], axis=1) @ valid.T
    sums = squares + squares.T - 2 * products.upper
    with np.errstate(invalid="ignore"):
        return mirror(sums / (valid @ valid.T))
