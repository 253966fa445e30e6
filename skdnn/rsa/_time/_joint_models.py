"""Layers together against each frame: partial correlations and regressions from products.

With unit vectors (centred, of norm one) of layers :math:`M` and of a frame :math:`d`, everything
follows from :math:`R = M M'` and :math:`c = M d`: the coefficients are :math:`b = R^{-1} c`, what
is explained :math:`c'b`, and with :math:`v = \\operatorname{diag}(R^{-1})` the partial
correlations :math:`b_i / (b_i^2 + (1 - c'b) v_i)^{1/2}` and unique shares :math:`b_i^2 / v_i`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skdnn.rsa._comparison._rdm_stack import RDMStack
from skdnn.rsa._comparison._similarity_measures import PairSpace, prepare
from skdnn.rsa._fitting._regression import check_design, names_of
from skdnn.rsa._time._scores_over_time import Scores, products_of_frames

Array = NDArray[np.float64]

COMPARISONS = ("spearman", "pearson")
# Squared, what of a frame or layer is left after others is rounding below this.
_NOTHING_LEFT = 1e-13


class Regressions(NamedTuple):
    """Of each frame on all layers."""

    coefficients: Array  # (n_subjects, n_layers, n_times), of standardized RDMs
    unique: Array  # the same shape: by how much r2 falls without the layer
    r2: Array  # (n_subjects, n_times)
    ceilings: Array | None


def partial_on(
    layers: RDMStack,
    controls: RDMStack,
    movie: NDArray[Any],
    comparison: str,
    with_ceilings: bool,
    n_jobs: int | None,
) -> Scores:
    """Correlation of each layer with each frame, `controls` held constant."""
    check_design(controls.pairs, controls, True, " as controls")
    n = layers.n_conditions
    units = _units(layers, comparison, "layers")
    held = _units(controls, comparison, "partial")
    basis, sizes, _ = np.linalg.svd(held.T, full_matrices=False)
    basis = basis[:, sizes > 1e-10 * sizes[0]]
    left = units - (units @ basis) @ basis.T
    norms = np.sqrt(np.einsum("ij,ij->i", left, left))
    norms[norms**2 <= _NOTHING_LEFT] = np.nan
    rows = np.concatenate([left / norms[:, None], basis.T])

    def combine(products: Array) -> Array:
        explained = np.square(products[:, len(units) :]).sum(axis=1, keepdims=True)
        rest = np.where(1 - explained > _NOTHING_LEFT, 1 - explained, np.nan)
        return np.clip(products[:, : len(units)] / np.sqrt(rest), -1, 1)

    return _products(rows, movie, n, comparison, combine, len(units), with_ceilings, n_jobs)


def partial_on_each_other(
    layers: RDMStack, movie: NDArray[Any], comparison: str, with_ceilings: bool, n_jobs: int | None
) -> Scores:
    """Correlation of each layer with each frame, all other layers held constant."""
    units, inverse = _inverse(layers, comparison)
    spread = np.diag(inverse)

    def combine(products: Array) -> Array:
        weights = products @ inverse
        rest = np.maximum(1 - np.einsum("ij,ij->i", products, weights), 0)[:, None]
        with np.errstate(invalid="ignore"):
            return np.asarray(weights / np.sqrt(weights**2 + rest * spread))

    return _products(
        units, movie, layers.n_conditions, comparison, combine, len(units), with_ceilings, n_jobs
    )


def regressions(
    layers: RDMStack, movie: NDArray[Any], comparison: str, with_ceilings: bool, n_jobs: int | None
) -> Regressions:
    """Coefficients of all layers for each frame, and what they explain."""
    units, inverse = _inverse(layers, comparison)

    def combine(products: Array) -> Array:
        weights = products @ inverse
        r2 = np.einsum("ij,ij->i", products, weights)[:, None]
        return np.concatenate([weights, weights**2 / np.diag(inverse), r2], axis=1)

    n_layers = len(units)
    found, ceilings = _products(
        units, movie, layers.n_conditions, comparison, combine, 2 * n_layers + 1, with_ceilings,
        n_jobs,
    )  # fmt: skip
    return Regressions(
        found[:, :n_layers], found[:, n_layers : 2 * n_layers], found[:, -1], ceilings
    )


def _products(
    rows: Array,
    movie: NDArray[Any],
    n_conditions: int,
    comparison: str,
    combine: Any,
    n_outputs: int,
    with_ceilings: bool,
    n_jobs: int | None,
) -> Scores:
    """A frame without variance has no result."""

    def exactly(frames: Array) -> Array:
        return np.full((len(frames), n_outputs), np.nan)

    return products_of_frames(
        rows, movie, n_conditions, comparison, combine, exactly, with_ceilings, n_jobs
    )


def _inverse(layers: RDMStack, comparison: str) -> tuple[Array, Array]:
    """Units of the layers, and the inverse of their correlations."""
    if len(layers) < 2:
        raise ValueError("One layer alone has no others: give two or more.")
    check_design(layers.pairs, layers, True)
    units = _units(layers, comparison, "layers")
    values, vectors = np.linalg.eigh(units @ units.T)
    if values[0] <= _NOTHING_LEFT * len(units):
        alike = np.flatnonzero(np.abs(vectors[:, 0]) > 1e-3)
        names = ", ".join(repr(name) for name in names_of(layers, "layer")[alike][:8])
        raise ValueError(
            f"The RDMs of the layers {names} are linearly dependent, so none of them has a share "
            "of its own: leave one out."
        )
    return units, (vectors / values) @ vectors.T


def _units(stack: RDMStack, comparison: str, what: str) -> Array:
    if np.isnan(stack.pairs).any():
        raise ValueError(f"{what} holds NaN: partial and regression need every pair.")
    check_design(stack.pairs, stack, True)
    return prepare(stack.pairs, PairSpace(stack.n_conditions), comparison)[0]
