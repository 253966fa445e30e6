"""Principal components of data with few rows and very many columns."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from skdnn._array_blocks import Array, Blocks, checked_features, row_parts, sum_over_blocks
from skdnn._sklearn import Interval, RealNotInt, StrOptions, fit_context, infer_dimension
from skdnn.decomposition import _gram
from skdnn.decomposition._directions import (
    with_direction_of_ones,
    without_direction_of_ones,
)
from skdnn.decomposition._probabilistic import ProbabilisticModel


class GramPCA(
    ProbabilisticModel, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    r"""Exact principal component analysis for data that are much wider than long.

    A drop-in for :class:`sklearn.decomposition.PCA` where the rows are few (images) and the
    columns many (units of a layer): same attributes, same signs, and the result of
    ``svd_solver="full"``, at a fraction of its time and without a centred copy of X. Nothing is
    random. X may stay on disk.

    Parameters
    ----------
    n_components : int, float or "mle", default=None
        Number of components to keep, at most ``min(n_samples, n_features)``, which is also what
        None means. A number between 0 and 1 keeps as many as are needed to explain more than
        that share of the variance. ``"mle"`` is Minka's choice, for
        ``n_samples >= n_features`` only.
    copy : bool, default=True
        For compatibility with :class:`~sklearn.decomposition.PCA`: X is never overwritten,
        and never copied as a whole.
    whiten : bool, default=False
        Scale the output to unit variance.
    block_size : int, default=None
        Number of columns (in ``fit`` on more rows than columns: of rows) that are read and
        computed on at a time. None takes blocks of about 4 MB of an array, and reads about 64 MB
        at a time from a file.
    keep_correlation : bool, default=False
        Give one column more, in coordinates in which the Pearson correlations of rows are those
        of the patterns that the components stand for. Set it in front of a correlation distance.

    Attributes
    ----------
    components_ : ndarray of shape (n_components_, n_features_in_)
        Principal axes in feature space, by decreasing variance; the loading of largest size of
        each is positive. float32 for float32 input, float64 for any other.
    explained_variance_ : ndarray of shape (n_components_,)
        Variance along each component, with ``n_samples_ - 1`` degrees of freedom.
    explained_variance_ratio_ : ndarray of shape (n_components_,)
        The same as a share of the total variance.
    singular_values_ : ndarray of shape (n_components_,)
        Singular values of the centred data.
    mean_ : ndarray of shape (n_features_in_,)
        Mean of each feature.
    n_components_ : int
        Number of components kept.
    n_samples_ : int
        Number of rows seen in ``fit``.
    noise_variance_ : float
        Mean of the variances of the components that were not kept (at most ``min(n_samples,
        n_features)`` components count), the noise of probabilistic PCA.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if X was a DataFrame whose columns are all strings.

    See Also
    --------
    sklearn.decomposition.PCA : For data that are not wide, or sparse.
    sklearn.decomposition.IncrementalPCA : For more rows than fit into memory.

    Notes
    -----
    The :math:`n \times n` matrix of inner products of the centred rows,
    :math:`G = X_c X_c^\top = U S^2 U^\top`, has the left singular vectors of :math:`X_c` and the
    squares of its singular values; the components are :math:`S^{-1} U^\top X_c`, and only those
    that are kept are formed. The cost is :math:`O(n^2 p)` operations, mostly one symmetric matrix
    product; beside X and ``components_`` there is memory for the mean and, in each thread, for
    one block and some :math:`n \times n` numbers. Blocks are shared out among as many threads
    as BLAS has, which meanwhile uses one. With more rows than columns, the :math:`p \times p`
    covariance takes the place of :math:`G`. Take this class where n is below some thousands and
    p well above n.

    **Lazy arrays.** X may be any object with ``shape``, a numpy ``dtype``, and slicing by rows
    and by columns (``X[i:j]``, ``X[:, a:b]``): a dataset of h5py, a stored layer. ``fit`` reads
    it twice, in blocks of columns; ``transform`` once, in blocks of rows. A
    :class:`numpy.memmap` stays on disk too.

    **Precision.** Arithmetic is in float64, whatever the input, and each block is centred before
    anything is multiplied. Squaring costs digits of the smallest components: a singular value
    that is a share :math:`r` of the largest has a relative error of about
    :math:`10^{-16} / r^2`, and that of its direction depends on the gaps between the squares in
    the same way. Down to :math:`r = 10^{-4}` this is less than float32 input carries; a full SVD
    of float64 input goes on to :math:`r = 10^{-15}`. Below about :math:`r = 10^{-7}` (the root of
    :math:`n` machine epsilons, where that is more) the data count as rank-deficient: singular
    values and variances are zero, and the components are arbitrary unit vectors, orthogonal to
    each other and to the rest, as they are in PCA. (The last of ``n_samples`` components of wide
    data is always of this kind: centring takes one dimension.) Whitening them gives meaningless
    numbers, there as here.

    **Correlation of components.** The signs of components are a convention. Inner products,
    Euclidean and cosine distances of scores do not depend on them; a correlation does, because it
    subtracts the mean over components. With ``keep_correlation=True`` the scores get a column of
    zeros and are mirrored such that the features' vector of ones becomes theirs: inner products
    stay, and correlations are those of ``inverse_transform(scores) - mean_``. Rank correlations
    across components mean nothing in either form.

    ``get_covariance``, ``get_precision`` and the scores describe X also with ``whiten=True``,
    where scikit-learn's mix both scales.

    References
    ----------
    Turk, M., & Pentland, A. (1991). Eigenfaces for recognition. Journal of Cognitive
    Neuroscience, 3(1), 71-86.

    Jolliffe, I. T. (2002). Principal component analysis (2nd ed.). Springer.

    Tipping, M. E., & Bishop, C. M. (1999). Probabilistic principal component analysis. Journal
    of the Royal Statistical Society B, 61(3), 611-622.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> from skdnn.decomposition import GramPCA
    >>> X = np.random.default_rng(0).normal(size=(12, 3000))
    >>> pca = GramPCA(n_components=4).fit(X)
    >>> pca.transform(X).shape
    (12, 4)
    >>> np.allclose(pca.components_, PCA(n_components=4, svd_solver="full").fit(X).components_)
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 (the name and form are sklearn's)
        "n_components": [
            Interval(Integral, 0, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="neither"),
            StrOptions({"mle"}),
            None,
        ],
        "copy": ["boolean"],
        "whiten": ["boolean"],
        "block_size": [Interval(Integral, 1, None, closed="left"), None],
        "keep_correlation": ["boolean"],
    }

    def __init__(
        self,
        n_components: int | float | str | None = None,
        *,
        copy: bool = True,
        whiten: bool = False,
        block_size: int | None = None,
        keep_correlation: bool = False,
    ) -> None:
        self.n_components = n_components
        self.copy = copy
        self.whiten = whiten
        self.block_size = block_size
        self.keep_correlation = keep_correlation

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike | Any, y: Any = None) -> GramPCA:
        """Find the components of X.

        Parameters
        ----------
        X : array-like or lazy array of shape (n_samples, n_features)
            Data of any real dtype, two rows or more.
        y : object, default=None
            Ignored.

        Returns
        -------
        self : GramPCA
            The fitted estimator.

        Raises
        ------
        ValueError
            If `n_components` asks for more than there are, or X has fewer than two rows, NaN or
            infinity.
        """
        self._fit(X)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: ArrayLike | Any, y: Any = None) -> NDArray[np.floating]:
        """Find the components of X and project X on them.

        Parameters
        ----------
        X : array-like or lazy array of shape (n_samples, n_features)
            Data of any real dtype, two rows or more.
        y : object, default=None
            Ignored.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_components_) or (n_samples, n_components_ + 1)
            The scores; from :math:`G` itself, without another pass over wide X. One column more
            with ``keep_correlation=True``.
        """
        X, U = self._fit(X)
        if U is None:
            return self._project(X)
        scale = np.sqrt(self.n_samples_ - 1) if self.whiten else self.singular_values_
        return self._turned(U * scale).astype(self.components_.dtype, copy=False)

    def transform(self, X: ArrayLike | Any) -> NDArray[np.floating]:
        """Project X on the components.

        Parameters
        ----------
        X : array-like or lazy array of shape (n_samples, n_features)
            Data of any real dtype.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_components_) or (n_samples, n_components_ + 1)
            The scores; float32 if X and the components are. One column more with
            ``keep_correlation=True``.
        """
        check_is_fitted(self)
        return self._project(checked_features(self, X, reset=False))

    def inverse_transform(self, X: ArrayLike) -> NDArray[np.floating]:
        """Return the data whose scores would be X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components_) or (n_samples, n_components_ + 1)
            Scores, as `transform` gives them.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features_in_)
            The point in the span of the components, shifted by the mean; whitening is undone.
        """
        check_is_fitted(self)
        scores = check_array(X, input_name="X", dtype=[np.float64, np.float32])
        if self.keep_correlation:
            turned = without_direction_of_ones(scores, self.components_)
            scores = turned.astype(scores.dtype, copy=False)
        if self.whiten:
            scores = scores * np.sqrt(self.explained_variance_)
        return scores @ self.components_ + self.mean_

    @property
    def _n_features_out(self) -> int:
        """What sklearn counts the output's names by."""
        return self.n_components_ + self.keep_correlation

    def _fit(self, X: Any) -> tuple[Any, Array | None]:
        """Set all attributes; returns the checked X and U, if it came from wide data."""
        X = checked_features(self, X, reset=True, min_rows=2)
        self._check_n_components(X.shape)
        wide = X.shape[0] < X.shape[1]
        decompose = _gram.gram_eigen if wide else _gram.covariance_eigen
        mean, values, vectors = decompose(X, self.block_size)
        dtype = _out_dtype(X)
        kept = self._set_spectrum(values, X.shape, dtype)
        vectors = vectors[:, :kept]
        if wide:
            components = _gram.right_vectors(
                X, mean, vectors, values[:kept], dtype, self.block_size
            )
        else:
            components = np.array(vectors.T, dtype=dtype, order="C")
        signs = np.array([np.sign(row[np.argmax(np.abs(row))]) for row in components])
        components *= signs.reshape(-1, 1).astype(dtype)
        self.components_ = components
        self.mean_: NDArray[np.floating] = mean.astype(dtype)
        return X, vectors * signs if wide else None

    def _check_n_components(self, shape: tuple[int, int]) -> None:
        wanted = self.n_components
        if wanted == "mle" and shape[0] < shape[1]:
            raise ValueError(
                "n_components='mle' is only supported if n_samples >= n_features; "
                f"X has shape {shape}: give a number."
            )
        if isinstance(wanted, Integral) and wanted > min(shape):
            raise ValueError(
                f"n_components={wanted} must be between 0 and "
                f"min(n_samples, n_features)={min(shape)}."
            )

    def _set_spectrum(
        self, values: Array, shape: tuple[int, int], dtype: type[np.floating]
    ) -> int:
        """Set what follows from the eigenvalues; returns how many components are kept."""
        variance = values / (shape[0] - 1)
        with np.errstate(invalid="ignore"):  # constant data: the shares are NaN, as in PCA
            ratio = variance / variance.sum()
        kept: Any = min(shape) if self.n_components is None else self.n_components
        if kept == "mle":
            kept = infer_dimension(variance, shape[0])
        elif 0 < kept < 1:
            kept = min(np.searchsorted(np.cumsum(ratio), kept, side="right") + 1, min(shape))
        kept = int(kept)
        self.noise_variance_ = float(variance[kept:].mean()) if kept < min(shape) else 0.0
        self.n_samples_ = shape[0]
        self.n_components_ = kept
        self.explained_variance_ = variance[:kept].astype(dtype)
        self.explained_variance_ratio_ = ratio[:kept].astype(dtype)
        self.singular_values_ = np.sqrt(values[:kept]).astype(dtype)
        return kept

    def _project(self, X: Any) -> NDArray[np.floating]:
        scores, _ = self._scores(X)
        if self.whiten:
            scale = np.sqrt(self.explained_variance_)
            scores /= np.maximum(scale, np.finfo(scale.dtype).eps)
        scores = self._turned(scores)
        return scores.astype(np.result_type(_out_dtype(X), self.components_), copy=False)

    def _turned(self, scores: Array) -> Array:
        return (
            with_direction_of_ones(scores, self.components_) if self.keep_correlation else scores
        )

    def _scores(self, X: Any, with_squares: bool = False) -> tuple[Array, Array]:
        """Scores of the rows of X, and (else zeros) the centred rows' squared lengths."""
        found = np.empty((X.shape[0], self.n_components_ + 1))
        for rows, part in row_parts(X):
            found[rows] = self._part_scores(part, with_squares)
            del part  # before the next is read
        return found[:, :-1].copy(), found[:, -1]

    def _part_scores(self, part: NDArray[Any], with_squares: bool) -> Array:
        """The same of rows in memory, side by side."""

        def work(blocks: Blocks) -> Array:
            found = np.zeros((len(part), self.n_components_ + 1))
            for columns, block in blocks:
                _gram.check_finite(block)
                block -= self.mean_[columns]
                found[:, :-1] += block @ self.components_[:, columns].T.astype(np.float64)
                if with_squares:
                    found[:, -1] += np.einsum("ij,ij->i", block, block)
            return found

        start = np.zeros((len(part), self.n_components_ + 1))
        return sum_over_blocks(work, part, 1, self.block_size, start)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _out_dtype(X: Any) -> type[np.floating]:
    """What scikit-learn returns for such data."""
    return np.float32 if X.dtype == np.float32 else np.float64
