"""One job of a brain hierarchy study: a decoder or an encoder trained, and tested."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from skdnn._array_blocks import Array, row_parts

Rows = NDArray[np.intp]
Flags = NDArray[np.bool_]

# Standard deviation over mean at which a column counts as constant: what rounding leaves.
_CONSTANT = 1e-13


def decoding_accuracy(
    decoder: Any,
    units: tuple[Any, Any],
    responses: tuple[Any, Any],
    rows: tuple[Rows, Rows],
) -> Array:
    """Correlation of each unit with what is decoded from one region, over test images.

    Parameters
    ----------
    decoder : regressor
        Is cloned.
    units : pair of arrays of shape (n_images, n_units)
        For training and test.
    responses : pair of arrays of shape (n_trials, n_voxels)
        For training and test.
    rows : pair of arrays of shape (n_trials,)
        The image (row of `units`) of each trial.

    Returns
    -------
    accuracy : ndarray of shape (n_units,)
        NaN for units that are constant over training or test images.
    """
    used, image = np.unique(rows[0], return_inverse=True)
    voxels, centre, scale, _ = standardised(responses[0])
    targets, _, _, dead = standardised(_some_rows(units[0], used))
    fitted = _fit_repeated(decoder, voxels, targets, image)
    shown, average = average_by_image(responses[1], rows[1])
    # Pearson's correlation is blind to the scale of the predictions: it is not undone.
    predicted = np.asarray(fitted.predict((average - centre) / scale)).reshape(len(shown), -1)
    true = np.asarray(_some_rows(units[1], shown)[:], dtype=np.float64)
    accuracy = correlations(true, predicted)
    accuracy[dead] = np.nan
    return accuracy


def encoding_accuracy(
    decoder: Any,
    units: tuple[Any, Any],
    responses: tuple[Any, Any],
    rows: tuple[Rows, Rows],
) -> Array:
    """Correlation of each voxel with what is predicted from one layer, over test images.

    Parameters and result are those of `decoding_accuracy`, with voxels in place of units. Units
    that are constant over training images tell nothing, and no voxel is lost to them.
    """
    used, image = np.unique(rows[0], return_inverse=True)
    features, centre, scale, _ = standardised(_some_rows(units[0], used))
    targets, _, _, dead = standardised(responses[0])
    fitted = _fit_weighted(decoder, features, targets, image)
    shown, average = average_by_image(responses[1], rows[1])
    new = np.array(_some_rows(units[1], shown)[:], dtype=np.float64)
    new -= centre
    new /= scale
    predicted = np.asarray(fitted.predict(new)).reshape(len(shown), -1)
    accuracy = correlations(average, predicted)
    accuracy[dead] = np.nan
    return accuracy


def standardised(values: Any) -> tuple[Array, Array, Array, Flags]:
    """Z-scores of the columns (ddof=1), their means and standard deviations, which are constant.

    Those that are constant become 0, and have a standard deviation of 1.
    """
    out = np.empty(values.shape)
    for rows, part in row_parts(values):
        out[rows] = part
    mean = out.mean(axis=0)
    out -= mean
    scale = np.sqrt(np.einsum("ij,ij->j", out, out) / (len(out) - 1))
    constant = scale <= _CONSTANT * np.abs(mean)
    scale[constant] = 1
    out /= scale
    out[:, constant] = 0
    return out, mean, scale, constant


def average_by_image(responses: Any, rows: Rows) -> tuple[Rows, Array]:
    """Which images were shown, in ascending order, and the mean of the trials of each."""
    shown, image, counts = np.unique(rows, return_inverse=True, return_counts=True)
    values = np.asarray(responses[:], dtype=np.float64)
    return shown, _sum_by(image, values, len(shown)) / counts[:, None]


def _sum_by(image: Rows, values: Array, n_images: int) -> Array:
    """Sums of the rows that belong to each image."""
    order = np.argsort(image, kind="stable")
    starts = np.searchsorted(image[order], np.arange(n_images))
    return np.add.reduceat(values[order], starts, axis=0)


def correlations(true: Array, predicted: Array) -> Array:
    """Pearson's correlation of the columns; NaN where one of them is constant."""
    sides = []
    for values in (true, predicted):
        mean = values.mean(axis=0)
        centred = values - mean
        length = np.sqrt(np.einsum("ij,ij->j", centred, centred))
        length[length <= _CONSTANT * np.sqrt(len(values)) * np.abs(mean)] = np.nan
        sides.append(centred / length)
    return np.clip(np.einsum("ij,ij->j", *sides), -1, 1)


def _fit_repeated(decoder: Any, X: Array, y: Array, rows: Rows) -> Any:
    """A clone fitted to y[rows], without repeating it where the decoder can do so."""
    fitted = clone(decoder)
    if has_fit_parameter(fitted, "y_rows"):
        return fitted.fit(X, y, y_rows=rows)
    return fitted.fit(X, y[rows])


def _fit_weighted(decoder: Any, X: Array, y: Array, rows: Rows) -> Any:
    """A clone fitted to X[rows].

    Trials of one image have the same row of X: their mean, with their number as a weight, gives
    the same least squares and the same order of correlations in fewer rows.
    """
    fitted = clone(decoder)
    counts = np.bincount(rows)
    if not has_fit_parameter(fitted, "sample_weight"):
        return fitted.fit(X[rows], y)
    means = _sum_by(rows, y, len(counts)) / counts[:, None]
    return fitted.fit(X, means, sample_weight=counts.astype(np.float64))


def _some_rows(values: Any, rows: Rows) -> Any:
    """Rows in ascending order; the array itself where they are all."""
    if len(rows) == values.shape[0]:
        return values
    return values[rows]
