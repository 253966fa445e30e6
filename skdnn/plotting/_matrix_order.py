"""Matrices made ready to be drawn: several aligned, sorted, clustered, ranked."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata
from sklearn.pipeline import Pipeline

from skdnn.rsa import RDM, RSAScorer

Array = NDArray[np.float64]


def named_stack(
    rdms: Mapping[Any, ArrayLike | pd.DataFrame] | pd.DataFrame | ArrayLike,
) -> tuple[list[str], list[Hashable] | None, Array]:
    """Names, labels of the conditions, and RDMs of shape (n_rdms, n, n)."""
    if isinstance(rdms, pd.DataFrame):
        rdms = _columns_apart(rdms)
    if not isinstance(rdms, Mapping):
        stack = np.asarray(rdms, dtype=np.float64)
        if stack.ndim != 3 or stack.shape[1] != stack.shape[2] or not len(stack):
            raise ValueError(
                f"rdms is an array of shape {stack.shape}: several RDMs are a dict, a DataFrame "
                "with MultiIndex columns, or an array of shape (n_rdms, n, n)."
            )
        return [f"RDM {k}" for k in range(len(stack))], None, stack
    if not rdms:
        raise ValueError("rdms is empty: there is no RDM to draw.")
    frames = (rdm for rdm in rdms.values() if isinstance(rdm, pd.DataFrame))
    labels = next((list(frame.index) for frame in frames), None)
    squares = [_square(rdm, str(name), labels) for name, rdm in rdms.items()]
    if len({square.shape for square in squares}) > 1:
        sizes = ", ".join(f"{name!r}: {len(sq)}" for name, sq in zip(rdms, squares, strict=True))
        raise ValueError(f"The RDMs have different numbers of conditions ({sizes}).")
    return [str(name) for name in rdms], labels, np.stack(squares)


def _columns_apart(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """RDMs whose columns stand side by side, under the levels that name them."""
    if not isinstance(frame.columns, pd.MultiIndex):
        raise ValueError(
            "rdms is a DataFrame of one RDM: draw it with from_rdm, or name several RDMs in the "
            "first levels of MultiIndex columns."
        )
    keys = frame.columns.droplevel(-1)
    apart = {}
    for key in keys.unique():
        part = frame.loc[:, keys == key]
        name = "/".join(map(str, key)) if isinstance(key, tuple) else str(key)
        apart[name] = part.set_axis(part.columns.get_level_values(-1), axis=1)
    return apart


def _square(rdm: Any, name: str, labels: list[Hashable] | None) -> Array:
    """An RDM as an array, a labelled one in the order of `labels`."""
    if isinstance(rdm, pd.DataFrame):
        wanted = set(labels or ())
        if len(rdm.index) != len(labels or ()) or any(
            set(axis) != wanted or not axis.is_unique for axis in (rdm.index, rdm.columns)
        ):
            raise ValueError(f"The labels of the RDM {name!r} are not those of the first one.")
        rdm = rdm.reindex(index=labels, columns=labels)
    values = np.asarray(rdm, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(f"The RDM {name!r} must be square, got shape {values.shape}.")
    return values


def is_clustered(order: Any) -> bool:
    return isinstance(order, str) and order == "cluster"


def cluster_tree(values: Array) -> Array | None:
    """Average linkage with optimal leaf order; None for fewer than three conditions."""
    if len(values) < 3:
        return None
    if np.isnan(values).any():
        raise ValueError("order='cluster' needs values without NaN: drop those rows.")
    pairs = squareform((values + values.T) / 2, checks=False)
    return linkage(pairs, method="average", optimal_ordering=True)


def positions(
    n: int,
    order: str | ArrayLike | None,
    tree: Array | None,
    groups: Sequence[Hashable] | None,
) -> NDArray[np.intp]:
    """Which condition stands where."""
    places = _ordered(n, order, tree)
    if groups is None:
        return places
    codes = pd.factorize(np.asarray([str(group) for group in groups], dtype=object))[0]
    return places[np.argsort(codes[places], kind="stable")]


def _ordered(n: int, order: str | ArrayLike | None, tree: Array | None) -> NDArray[np.intp]:
    if order is None or (is_clustered(order) and tree is None):
        return np.arange(n)
    if is_clustered(order):
        return leaves_list(tree).astype(np.intp)
    if isinstance(order, str):
        raise ValueError(f"order must be None, 'cluster' or positions, got {order!r}.")
    places = np.asarray(order)
    if not np.array_equal(np.sort(places), np.arange(n)):
        raise ValueError(f"order must hold each position from 0 to {n - 1} once.")
    return places.astype(np.intp)


def ranked(values: Array) -> Array:
    """Mid-ranks of the pairs scaled to 0 to 1; the diagonal stays 0, NaN stays NaN."""
    upper = np.triu_indices(len(values), k=1)
    ranks = rankdata(values[upper], nan_policy="omit")
    scaled = np.zeros_like(values)
    scaled[upper] = (ranks - 1) / max(1.0, np.nanmax(ranks, initial=1.0) - 1)
    return scaled + scaled.T


def take(values: Sequence[Any] | None, places: NDArray[np.intp]) -> list[Any] | None:
    return None if values is None else [values[i] for i in places]


def scale(
    stack: Array, vmin: float | None, vmax: float | None
) -> tuple[float | None, float | None]:
    """Ends of the common colour scale; NaN has no colour."""
    if np.isnan(stack).all():
        return vmin, vmax
    low = float(np.nanmin(stack)) if vmin is None else vmin
    return low, float(np.nanmax(stack)) if vmax is None else vmax


def estimated_rdm(estimator: Any, X: Any) -> tuple[Any, str]:
    """The RDM that a fitted estimator, pipeline or search computes, and its metric."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    if isinstance(estimator, Pipeline) and isinstance(estimator[-1], RSAScorer):
        estimator = estimator[:-1]
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(last, RDM):
        raise ValueError(
            f"estimator must end in RDM, or in RDM and RSAScorer, but ends in {last!r}."
        )
    return estimator.transform(X), str(last.metric)
