"""Nested evaluation of encoding models: one row of a table for each voxel and fold."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import has_fit_parameter

from skdnn._array_blocks import Array, is_lazy
from skdnn._multiple_tests import adjusted
from skdnn._sklearn import safe_indexing
from skdnn.encoding._layers._features import LayerFeatures, LazyRows
from skdnn.encoding._ridge._folds_and_penalties import make_folds
from skdnn.encoding._ridge._scores import scores_of
from skdnn.encoding._scores._permutation_and_bootstrap import correlation_p_values, count_extreme
from skdnn.encoding._shared_checks import check_rows

_LEAST_FOR_T = 3  # images
COLUMNS = [
    "model", "layer", "subject", "roi", "voxel", "fold", "alpha", "r", "r2", "normalised", "p",
    "p_fdr", "n_test", "n_images",
]  # fmt: skip


def nested_encoding(
    encoder: Any,
    X: Any,
    y: ArrayLike | Any,
    cv: Any = 5,
    *,
    groups: ArrayLike | None = None,
    model: str = "",
    subject: str = "",
    roi: str | ArrayLike = "",
    voxels: ArrayLike | None = None,
    ceiling: ArrayLike | float | None = None,
    n_permutations: int = 0,
    random_state: Any = 0,
) -> pd.DataFrame:
    r"""Evaluate an encoding model on images that had no part in any choice.

    For each outer fold the encoder is fitted anew, choosing layers and penalties inside, and its
    predictions are compared with the responses to the held-out images.

    Parameters
    ----------
    encoder : estimator
        :class:`LayerwiseEncoder`, :class:`VoxelwiseRidgeCV`, a pipeline that ends in one, or any
        regressor for several targets. It is cloned, not fitted.
    X : LayerFeatures, dict of str to array, DataFrame, array-like or lazy array
        Features of n_images, or what the pipeline takes.
    y : array-like, DataFrame or lazy array of shape (n_images, n_voxels)
        Responses.
    cv : int, splitter or iterable, default=5
        Outer folds. Those of an integer are shuffled: stimuli mostly come sorted by category.
    groups : array-like of shape (n_images,), default=None
        What must stay together, in the outer folds and (where the encoder's ``fit`` takes them)
        the inner ones.
    model : str, default=""
        What to write into the column of this name.
    subject : str, default=""
        What to write into the column of this name.
    roi : str or array-like of shape (n_voxels,), default=""
        What to write into the column of this name.
    voxels : array-like of shape (n_voxels,), default=None
        Names of the voxels; None takes the columns of a DataFrame, or numbers.
    ceiling : float or array-like of shape (n_voxels,), default=None
        The correlation that a perfect model would have with each voxel, the square root of its
        reliability. ``normalised`` is r divided by it, and NaN where it is not positive.
    n_permutations : int, default=0
        Permutations of the held-out images for the p-values; 0 takes them from the t
        distribution, see :func:`correlation_p_values`.
    random_state : int, RandomState instance or None, default=0
        Of the permutations, and of the folds of an integer `cv`.

    Returns
    -------
    table : DataFrame
        A row for each fold and voxel: model, layer, subject, roi, voxel, fold, alpha, r, r2,
        normalised, p, p_fdr, n_test, n_images. ``layer`` and ``alpha`` are those chosen in that
        fold, None and NaN for encoders without them; ``n_test`` is the number of images that were
        held out of ``n_images``.

    Warns
    -----
    RuntimeWarning
        With the number of normalised scores above 1.

    See Also
    --------
    pool_folds : One row, and one p-value, for each voxel.
    LayerwiseEncoder : Chooses a layer for each voxel.
    sklearn.model_selection.cross_val_score : One number for each fold.

    Notes
    -----
    *p-values* are one-sided, and each is of one fold: do not average them, nor count folds in
    which a voxel is significant, but see :func:`pool_folds`. Without permutations they are those
    of `correlation_p_values`, with them :math:`(1 + \#\{r^* \ge r\}) / (1 + B)` over B orders of
    the predictions, the same for all voxels. Both hold for held-out rows that are exchangeable
    when the model is worthless: average repeats of an image first. ``p_fdr`` are adjusted after
    Benjamini and Hochberg over the voxels of a fold.

    A normalised score can exceed 1 by chance, or because the ceiling is one of another subset of
    images; it is left as it is.

    References
    ----------
    Benjamini, Y., & Hochberg, Y. (1995). Controlling the false discovery rate: a practical and
    powerful approach to multiple testing. Journal of the Royal Statistical Society B, 57(1),
    289-300.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import LayerwiseEncoder, nested_encoding
    >>> rng = np.random.default_rng(0)
    >>> layers = {"early": rng.normal(size=(90, 40)), "late": rng.normal(size=(90, 60))}
    >>> voxels = np.column_stack([layers["early"][:, 0], layers["late"][:, 0]])
    >>> table = nested_encoding(
    ...     LayerwiseEncoder(), layers, voxels, cv=3, roi=["V1", "IT"])
    >>> table.groupby("roi")["layer"].first().to_dict()
    {'IT': 'late', 'V1': 'early'}
    """
    if n_permutations < 0:
        raise ValueError(f"n_permutations={n_permutations} must not be negative.")
    rng = check_random_state(random_state)
    X = LayerFeatures(X) if isinstance(X, Mapping) else X
    check_rows(X, y)
    names = _voxel_names(voxels, y)
    Y: Any = y if is_lazy(y) else np.asarray(y)
    Y = Y if is_lazy(y) else Y.reshape(len(Y), -1)
    folds = make_folds(cv, X, Y, groups, rng, shuffle=True)
    if folds is None:
        raise ValueError("cv=None: a fold of one image has no correlation. Give a number.")
    roi = np.broadcast_to(np.asarray(roi, dtype=object), Y.shape[1])
    tops = _ceilings(ceiling, Y.shape[1])
    tables = []
    for number, (train, test) in enumerate(folds):
        fitted = _fit(encoder, X, Y, train, groups)
        predicted = np.asarray(fitted.predict(_rows(X, test)), dtype=np.float64)
        measured = np.asarray(_rows(Y, test), dtype=np.float64)
        predicted = predicted.reshape(len(measured), -1)
        r = scores_of(predicted, measured, "correlation")
        p = permutation_p(predicted, measured, r, n_permutations, rng)
        layer, alpha = _choices(fitted, Y.shape[1])
        columns: dict[str, Any] = {
            "model": model,
            "layer": layer,
            "subject": subject,
            "roi": roi,
            "voxel": names,
            "fold": number,
            "alpha": alpha,
            "r": r,
            "r2": scores_of(predicted, measured, "r2"),
            "normalised": r / tops,
            "p": p,
            "p_fdr": adjusted(p, "fdr"),
            "n_test": len(test),
            "n_images": len(Y),
        }
        tables.append(pd.DataFrame(columns, columns=COLUMNS))
    table = pd.concat(tables, ignore_index=True)
    above = int((table["normalised"] > 1).sum())
    if above:
        warnings.warn(
            f"{above} of {len(table)} normalised scores are above 1: r exceeds its ceiling there.",
            RuntimeWarning,
            stacklevel=2,
        )
    return table


def permutation_p(
    predicted: Array, measured: Array, r: Array, n_permutations: int, rng: np.random.RandomState
) -> Array:
    """One-sided p of each voxel's r under permutations of the rows, or by t; NaN where r is."""
    n_rows = len(predicted)
    if not n_permutations:
        if n_rows < _LEAST_FOR_T:
            return np.full(len(r), np.nan)
        return correlation_p_values(np.clip(r, -1, 1), n_rows, adjust=None)
    known = np.isfinite(r)
    sides = [values[:, known] - values[:, known].mean(axis=0) for values in (predicted, measured)]
    orders = np.stack([rng.permutation(n_rows) for _ in range(n_permutations)])
    extreme = count_extreme(sides[0], sides[1], r[known], orders, "greater")
    p = np.full(len(r), np.nan)
    p[known] = (1 + extreme) / (1 + n_permutations)
    return p


def _voxel_names(voxels: ArrayLike | None, y: Any) -> NDArray[Any]:
    n_voxels = y.shape[1] if len(np.shape(y)) > 1 else 1
    if voxels is None and isinstance(y, pd.DataFrame):
        return y.columns.to_numpy()
    names = np.arange(n_voxels) if voxels is None else np.asarray(voxels)
    if names.shape != (n_voxels,):
        raise ValueError(f"voxels has shape {names.shape}, but y has {n_voxels} columns.")
    return names


def _ceilings(ceiling: ArrayLike | float | None, n_voxels: int) -> Array:
    """What to divide by; NaN where that makes no sense."""
    if ceiling is None:
        return np.full(n_voxels, np.nan)
    found = np.asarray(ceiling, dtype=np.float64)
    if found.shape not in ((), (n_voxels,)):
        raise ValueError(f"ceiling has shape {found.shape}, but y has {n_voxels} columns.")
    if (found > 1).any():
        raise ValueError("ceiling has values above 1: correlations are expected.")
    return np.where(found > 0, found, np.nan) * np.ones(n_voxels)


def _rows(array: Any, rows: NDArray[np.intp]) -> Any:
    return LazyRows(array, rows) if is_lazy(array) else safe_indexing(array, rows)


def _fit(encoder: Any, X: Any, y: Any, train: NDArray[np.intp], groups: Any) -> Any:
    """A fitted clone; groups go to the last step, if it takes them."""
    fresh = clone(encoder)
    last, prefix = fresh, ""
    while hasattr(last, "steps"):
        name, last = last.steps[-1]
        prefix += f"{name}__"
    given = {}
    if groups is not None and has_fit_parameter(last, "groups"):
        given[f"{prefix}groups"] = np.asarray(groups)[train]
    return fresh.fit(_rows(X, train), _rows(y, train), **given)


def _choices(fitted: Any, n_voxels: int) -> tuple[Any, Any]:
    """Layer and penalty of each voxel, where the encoder has chosen them."""
    while hasattr(fitted, "steps") or hasattr(fitted, "best_estimator_"):
        fitted = fitted.steps[-1][1] if hasattr(fitted, "steps") else fitted.best_estimator_
    alpha = np.asarray(getattr(fitted, "alpha_", np.nan), dtype=np.float64)
    return getattr(fitted, "layer_", None), np.broadcast_to(alpha, n_voxels)
