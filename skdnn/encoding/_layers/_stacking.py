"""Weights that mix the predictions of layers, for each voxel, from held-out residuals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from skdnn._array_blocks import Array
from skdnn.encoding._ridge._cross_validation import Fold, fold_parts, predict_each
from skdnn.encoding._ridge._products import FeatureProducts, Parts, Rows
from skdnn.encoding._ridge._targets import Targets

# Held-out predictions of all layers that are held together, in numbers.
_HELD = 2**20


def residual_products(
    problems: Sequence[FeatureProducts],
    targets: Targets,
    folds: Sequence[Fold] | None,
    alpha: Array,
) -> Array:
    """Inner products (targets, layers, layers) of the held-out residuals of each layer.

    Parameters
    ----------
    problems : sequence of FeatureProducts
        One for each layer.
    targets : Targets
    folds : sequence of pairs of rows, or None
    alpha : ndarray of shape (n_layers, n_targets)
        The penalty of each layer and target; NaN where there is no model.
    """
    alpha = np.where(np.isfinite(alpha), alpha, 1.0)
    n_layers = len(problems)
    products = np.zeros((targets.shape[1], n_layers, n_layers))
    device, intercept = problems[0].device, problems[0].fit_intercept
    for parts in zip(*(fold_parts(problem, folds) for problem in problems), strict=True):
        rows_in, rows_out = parts[0].rows_in, parts[0].rows_out
        step = max(16, _HELD // (n_layers * len(rows_out)))

        def work(
            columns: slice,
            block: Array,
            parts: tuple[Parts, ...] = parts,
            rows_in: Rows = rows_in,
            rows_out: Rows = rows_out,
            step: int = step,
        ) -> None:
            for start in range(0, block.shape[1], step):
                y = block[:, start : start + step]
                at = slice(columns.start + start, columns.start + start + y.shape[1])
                y_in = device.put(y[rows_in], device.dtype)
                residuals = [
                    y[rows_out].T - predict_each(part, alpha[layer, at], y_in, intercept, device)
                    for layer, part in enumerate(parts)
                ]
                stacked = np.stack(residuals, axis=1)  # (targets, layers, rows)
                products[at] += stacked @ stacked.transpose(0, 2, 1)

        targets.for_each(work)
    return products


def simplex_weights(products: Array, usable: NDArray[np.bool_]) -> Array:
    r"""Weights (layers, targets), not negative and of sum 1, of the least squared residual.

    For residual products Q, the w that minimises :math:`w^\top Q w` on the simplex is
    :math:`u / \sum u` with the u that minimises :math:`u^\top Q u + (\sum u - 1)^2` over
    non-negative vectors, a least-squares problem.
    """
    n_targets, n_layers = products.shape[:2]
    weights = np.full((n_layers, n_targets), np.nan)
    scale = np.trace(products, axis1=1, axis2=2)[:, None, None] / n_layers
    products = products / np.where(scale > 0, scale, 1)
    values, vectors = np.linalg.eigh(products)
    roots = np.sqrt(values.clip(0))[:, :, None] * vectors.transpose(0, 2, 1)
    wanted = np.append(np.zeros(n_layers), 1.0)
    for target in np.flatnonzero(usable):
        found, _ = nnls(np.vstack([roots[target], np.ones(n_layers)]), wanted)
        weights[:, target] = found / found.sum()
    return weights
