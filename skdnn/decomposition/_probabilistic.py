"""Data as the probabilistic PCA of Tipping and Bishop (1999) sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from skdnn._array_blocks import Array, checked_features


class ProbabilisticModel:
    """Mixin: covariance and likelihood from the attributes of a fitted GramPCA."""

    components_: NDArray[np.floating]
    explained_variance_: Any
    n_components_: int
    n_components: int | float | str | None
    n_features_in_: int
    noise_variance_: float

    def get_covariance(self) -> NDArray[np.floating]:
        r"""Covariance of the data under the model of probabilistic PCA.

        Returns
        -------
        covariance : ndarray of shape (n_features_in_, n_features_in_)
            :math:`W^\top \mathrm{diag}(\lambda - \sigma^2) W + \sigma^2 I` with the components
            :math:`W`, their variances :math:`\lambda`, and the noise variance :math:`\sigma^2`.
        """
        check_is_fitted(self)
        return self._spectral(self.explained_variance_, self.noise_variance_)

    def get_precision(self) -> NDArray[np.floating]:
        """Inverse of the covariance under the model of probabilistic PCA.

        Returns
        -------
        precision : ndarray of shape (n_features_in_, n_features_in_)
            The inverse of ``get_covariance()``, without inverting it.

        Raises
        ------
        ValueError
            If the covariance is singular: too many components are kept.
        """
        variance, noise = self._regular_spectrum()
        return self._spectral(1 / variance, 1 / noise if noise else 0.0)

    def score_samples(self, X: ArrayLike | Any) -> Array:
        """Log-likelihood of each row under the model of probabilistic PCA.

        Parameters
        ----------
        X : array-like or lazy array of shape (n_samples, n_features)
            Data of any real dtype.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,), float64
            Computed from the scores and the lengths of the rows: no matrix of features by
            features is made.

        Raises
        ------
        ValueError
            If the covariance is singular: too many components are kept.
        """
        variance, noise = self._regular_spectrum()
        X = checked_features(self, X, reset=False)
        scores, squares = self._scores(X, with_squares=True)
        left = self.n_features_in_ - self.n_components_
        distance = np.sum(scores**2 / variance, axis=1)
        log_det = np.sum(np.log(variance))
        if left:
            distance += np.maximum(squares - np.sum(scores**2, axis=1), 0) / noise
            log_det += left * np.log(noise)
        return -0.5 * (distance + log_det + self.n_features_in_ * np.log(2 * np.pi))

    def score(self, X: ArrayLike | Any, y: Any = None) -> float:
        """Mean log-likelihood of the rows under the model of probabilistic PCA.

        Parameters
        ----------
        X : array-like or lazy array of shape (n_samples, n_features)
            Data of any real dtype.
        y : object, default=None
            Ignored.

        Returns
        -------
        log_likelihood : float
            The mean of ``score_samples(X)``.
        """
        return float(np.mean(self.score_samples(X)))

    def _scores(self, X: Any, with_squares: bool = False) -> tuple[Array, Array]:
        raise NotImplementedError

    def _regular_spectrum(self) -> tuple[Array, float]:
        """Variances of the components and the noise, if the covariance has an inverse."""
        check_is_fitted(self)
        variance = self.explained_variance_.astype(np.float64)
        complete = self.n_components_ == self.n_features_in_
        if (variance <= 0).any() or not (complete or self.noise_variance_ > 0):
            raise ValueError(
                f"n_components={self.n_components!r} kept {self.n_components_} components of "
                f"{self.n_features_in_} features and no noise variance: the covariance is "
                "singular and has no likelihood. Keep fewer components."
            )
        return variance, 0.0 if complete else self.noise_variance_

    def _spectral(self, along: Array, across: float) -> NDArray[np.floating]:
        """The matrix with these eigenvalues along the components and across them."""
        matrix = (self.components_.T * (along - across)) @ self.components_
        matrix.flat[:: len(matrix) + 1] += across
        return matrix.astype(self.components_.dtype, copy=False)
