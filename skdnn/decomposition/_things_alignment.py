"""Published transforms that align features with human judgements of similarity."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from skdnn._sklearn import fit_context

_NEEDED = ("mean", "std", "weights")


class ThingsAlignment(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    r"""Apply a transform that was learnt from odd-one-out judgements of THINGS.

    :math:`y = \frac{x - \mu}{\sigma} W + b`, with the numbers of a published file
    (``transform.npz`` of gLocal [1]_). Nothing is learnt from X.

    Parameters
    ----------
    path : str or path-like
        File with the arrays ``mean``, ``std`` (a number, or one for each feature), ``weights``
        of shape (n_features, n_components), and perhaps ``bias``.

    Attributes
    ----------
    mean_ : ndarray of shape (n_features,)
        Subtracted from the features.
    scale_ : ndarray of shape (n_features,)
        Divides them.
    weights_ : ndarray of shape (n_features, n_components)
        What they are multiplied by then.
    bias_ : ndarray of shape (n_components,)
        Added in the end.
    n_features_in_ : int
        Number of features of the layer that the transform was learnt for.

    See Also
    --------
    skdnn.DNNFeatureExtractor : Gives the features; model and layer must be those of the file.

    Notes
    -----
    The file says how many features it is for, and not of which network: that is in its address,
    ``transforms/MODEL/MODULE/transform.npz``.

    References
    ----------
    .. [1] Muttenthaler et al. (2023). Improving neural network representations using human
       similarity judgments. NeurIPS 36, arXiv:2306.04507.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from skdnn import ThingsAlignment
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/transform.npz", mean=1.0, std=2.0, weights=np.eye(3))
    ...     ThingsAlignment(f"{folder}/transform.npz").fit_transform([[1.0, 3.0, 5.0]])
    array([[0., 1., 2.]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"path": [str, os.PathLike]}

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: Any = None) -> ThingsAlignment:
        """Read the file and check that it is for features like X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, of which only the number counts.
        y : None
            Not used.

        Returns
        -------
        self : ThingsAlignment
            Ready to transform.

        Raises
        ------
        ValueError
            If the file is no such transform, or for another number of features.
        """
        held = _read(Path(self.path))
        validate_data(self, X, reset=True, dtype="numeric")
        weights = held["weights"]
        if weights.shape[0] != self.n_features_in_:
            raise ValueError(
                f"path={str(self.path)!r} is a transform of {weights.shape[0]} features, and X "
                f"has {self.n_features_in_}: take the model and layer that it was learnt for."
            )
        self.mean_ = np.broadcast_to(held["mean"].ravel(), weights.shape[:1])
        self.scale_ = np.broadcast_to(held["std"].ravel(), weights.shape[:1])
        self.weights_ = weights
        self.bias_ = np.broadcast_to(held.get("bias", np.zeros(1)).ravel(), weights.shape[1:])
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.floating]:
        """Align features.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features of the layer that the file is for.

        Returns
        -------
        aligned : ndarray of shape (n_samples, n_components)
            Float32 for X of float32, else float64.
        """
        check_is_fitted(self)
        given = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        scaled = (given - self.mean_) / self.scale_
        return (scaled @ self.weights_ + self.bias_).astype(given.dtype, copy=False)

    @property
    def _n_features_out(self) -> int:
        return int(self.weights_.shape[1])


def _read(path: Path) -> dict[str, NDArray[np.float64]]:
    """Arrays of a transform that fit each other, as float64."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: np.asarray(file[name], np.float64) for name in file.files}
    except (ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"path={str(path)!r} can't be read as a transform: {error}.") from error
    missing = [name for name in _NEEDED if name not in found]
    if missing:
        raise ValueError(
            f"path={str(path)!r} is no transform: it has no {missing[0]!r}, but {sorted(found)}."
        )
    weights = found["weights"]
    if weights.ndim != 2:
        raise ValueError(f"path={str(path)!r}: weights has shape {weights.shape}, not two axes.")
    sizes = {"mean": weights.shape[0], "std": weights.shape[0], "bias": weights.shape[1]}
    for name, size in sizes.items():
        if name in found and found[name].size not in (1, size):
            raise ValueError(
                f"path={str(path)!r}: {name} has shape {found[name].shape}, and weights "
                f"{weights.shape}."
            )
    used = [found[name] for name in (*_NEEDED, "bias") if name in found]
    if not all(np.isfinite(array).all() for array in used) or (found["std"] <= 0).any():
        raise ValueError(f"path={str(path)!r} holds NaN, infinity, or a std that is not above 0.")
    return found
