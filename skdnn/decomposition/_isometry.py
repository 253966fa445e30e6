"""Rows of very many numbers in coordinates of their own: as few as there are rows, and one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh
from sklearn.utils import check_array

from skdnn._array_blocks import Array, Blocks, column_blocks, sum_over_blocks
from skdnn.decomposition._directions import mirror_between, mirrored

# The smallest eigenvalue, as a share of the largest, that inner products still give well. Below
# it (rows that are nearly the same, or dependent) the rows themselves are decomposed.
_WEAK = 1e-7


def isometric(X: ArrayLike) -> NDArray[np.floating]:
    r"""Turn n rows of p numbers into rows of n + 1 that lie alike, and alike to (1, ..., 1).

    With the unit vectors of ones :math:`u` and :math:`v`, :math:`Z Z^\top = X X^\top` and
    :math:`Z v = X u`. So inner products, Euclidean and cosine distances of the rows stay as they
    are, and Pearson correlations, which leave out the part along the ones; and whatever is
    linear and fitted to some rows (centring, principal components, ridge) gives the same for all.

    Parameters
    ----------
    X : array-like of shape (n, p)
        Rows, e.g. the features of images.

    Returns
    -------
    Z : ndarray of float64, shape (n, n + 1)
        Equal rows of X are equal to the bit, constant ones are constant. X itself, in its own
        dtype, where p is no more than n + 1.

    Raises
    ------
    ValueError
        If X is not two-dimensional, or holds NaN or infinity.

    See Also
    --------
    GramPCA : Some principal components, with what they stand for.
    skdnn.LayerSearchCV : Does this with each layer, once.

    Notes
    -----
    The rows are centred by their mean, which is added again as a direction of its own, so that
    a large offset costs no digits of the differences. Their inner products are decomposed; or,
    where these are ill-conditioned, the rows themselves, by a QR decomposition in blocks.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.spatial.distance import pdist
    >>> from skdnn.decomposition import isometric
    >>> X = np.random.default_rng(0).normal(size=(10, 2000))
    >>> Z = isometric(X)
    >>> Z.shape
    (10, 11)
    >>> np.allclose(pdist(Z, "correlation"), pdist(X, "correlation"))
    True
    """
    given: NDArray[Any] = check_array(X, dtype=[np.float64, np.float32])
    n, p = given.shape
    if p <= n + 1:
        return given
    first, places = _different(given)
    rows = given if len(first) == n else given[first]
    coordinates = _by_products(rows)
    if coordinates is None:
        coordinates = _by_rows(rows)
    Z = np.zeros((n, n + 1))
    Z[:, -coordinates.shape[1] :] = coordinates[places]  # the last axis is that of the ones
    Z = mirrored(Z, mirror_between(np.eye(n + 1)[-1], np.full(n + 1, 1 / np.sqrt(n + 1))))
    constant = np.flatnonzero((given[:, :64] == given[:, :1]).all(axis=1))
    for row in constant[(given[constant] == given[constant, :1]).all(axis=1)]:
        Z[row] = given[row, 0] * np.sqrt(p / (n + 1))
    return Z


def _different(X: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first of each set of equal rows, and for each row which of these it is."""
    first: list[int] = []
    places = np.empty(len(X), np.intp)
    by_sum: dict[float, list[int]] = {}
    for row, total in enumerate(X.sum(axis=1, dtype=np.float64).tolist()):
        alike = by_sum.setdefault(total, [])
        same = next((k for k in alike if np.array_equal(X[first[k]], X[row])), None)
        if same is None:
            same = len(first)
            first.append(row)
            alike.append(same)
        places[row] = same
    return np.asarray(first), places


def _by_products(X: NDArray[Any]) -> Array | None:
    """Coordinates, that of the ones last, by inner products; None where they are too coarse."""
    n, p = X.shape
    mean = np.empty(p)
    level = float(X[:, :: max(1, p // 1024)].mean(dtype=np.float64))  # of most offsets, at no cost

    def products(blocks: Blocks) -> Array:
        found = np.zeros((n, n + 2))
        product = np.empty((n, n))
        for columns, block in blocks:
            mean[columns] = block.mean(axis=0)
            block -= mean[columns]
            found[:, :n] += np.matmul(block, block.T, out=product)  # half a product: numpy's syrk
            found[:, n] += block @ (mean[columns] - level)
            found[:, n + 1] += block.sum(axis=1)
        return found

    found = sum_over_blocks(products, X, 1, None, np.zeros((n, n + 2)))
    along, average = found[:, n + 1] / np.sqrt(p), mean.mean()
    mean -= average
    gram = found[:, :n] - np.outer(along, along)
    values, vectors = eigh(gram, overwrite_a=True, driver="evd")
    values, vectors = values[1:], vectors[:, 1:]  # centring has taken one direction
    if len(values) and values[0] <= _WEAK * values[-1]:
        return None
    lengths = np.sqrt(values)
    of_mean = ((found[:, n] - (average - level) * found[:, n + 1]) @ vectors) / lengths
    rest = np.sqrt(max(mean @ mean - of_mean @ of_mean, 0.0))
    axes = vectors * lengths + of_mean
    return np.column_stack([axes, np.full(n, rest), along + average * np.sqrt(p)])


def _by_rows(X: NDArray[Any]) -> Array:
    """The same by an orthogonal basis of the ones, the centred rows, and their mean."""
    n = len(X)
    triangle = np.zeros((0, n + 2))
    mean = X.mean(axis=0, dtype=np.float64)
    average = mean.mean()
    for columns, block in column_blocks(X):
        own = mean[columns]
        part = np.column_stack([np.ones(len(own)), (block - own).T, own - average])
        triangle = np.asarray(np.linalg.qr(np.vstack([triangle, part]), mode="r"))
    triangle[0] *= np.sign(triangle[0, 0])
    ones, axes = triangle[0], triangle[1:n]
    rest = np.hypot(triangle[n, n + 1], triangle[n + 1, n + 1])  # the last row is no axis: centred
    along = ones[1:-1] + average * np.sqrt(X.shape[1])
    return np.column_stack([axes[:, 1:-1].T + axes[:, -1], np.full(n, rest), along])
