"""Scores of predictions, and the penalties that they choose."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdnn._array_blocks import Array
from skdnn.encoding._ridge._device import Device
from skdnn.encoding._ridge._targets import check_targets, for_each_block


def score_rows(predicted: Any, y: Any, scoring: str, device: Device) -> Any:
    """Scores (targets, penalties) of predictions (targets, penalties, rows), NaN where undefined.

    Overwrites `predicted`.
    """
    xp, n_rows = device.xp, y.shape[1]
    centred = y - y.mean(1)[:, None]
    spread = xp.einsum("ct,ct->c", centred, centred)
    spread = xp.where((y == y[:, :1]).all(1), xp.nan, spread)[:, None]
    if scoring == "r2":
        predicted -= y[:, None]
        return 1 - xp.einsum("cat,cat->ca", predicted, predicted) / spread
    rounding = float(np.finfo(device.dtype).eps) * abs(predicted).sum(2) / n_rows
    predicted -= predicted.mean(2)[:, :, None]
    norm = xp.einsum("cat,cat->ca", predicted, predicted)
    norm = xp.where(norm <= n_rows * rounding**2, xp.nan, norm)
    return xp.einsum("cat,ct->ca", predicted, centred) / xp.sqrt(norm * spread)


def scores_of(predicted: NDArray[Any], Y: Any, scoring: str, size: int | None = None) -> Array:
    """Score of each target over rows, NaN where it has none."""
    found = np.full(Y.shape[1], np.nan)
    device = Device("cpu", np.float64)

    def work(columns: slice, block: Array) -> None:
        guess = predicted[:, columns].T[:, None].astype(np.float64)
        with np.errstate(invalid="ignore"):
            found[columns] = score_rows(guess, block.T, scoring, device)[:, 0]

    for_each_block(work, Y, size)
    return found


class ScoresOfTargets:
    """Mixin: scores of what an estimator predicts, for each target and in the mean."""

    scoring: str
    target_chunk: int | None

    # Pipeline.score passes a sample_weight on, even None, and with metadata routing its last step
    # must know the name.
    __metadata_request__score = {"sample_weight": None}  # noqa: RUF012

    def predict(self, X: Any) -> NDArray[np.floating]:
        raise NotImplementedError

    def _with_model(self) -> NDArray[np.bool_]:
        """Targets that have a model."""
        raise NotImplementedError

    def score(self, X: Any, y: ArrayLike | Any) -> float:
        r"""Mean of :math:`R^2` over targets.

        Parameters
        ----------
        X : as for ``predict``
            Features.
        y : array-like or lazy array of shape (n_samples,) or (n_samples, n_targets)
            Responses.

        Returns
        -------
        score : float
            Uniform average, as scikit-learn's, whatever `scoring` is; targets without a score
            don't count, and NaN where none has one.
        """
        scores = self.score_per_target(X, y, scoring="r2")
        known = np.isfinite(scores)
        return float(np.mean(scores[known])) if known.any() else float("nan")

    def score_per_target(self, X: Any, y: ArrayLike | Any, *, scoring: str | None = None) -> Array:
        """Score of each target.

        Parameters
        ----------
        X : as for ``predict``
            Features.
        y : array-like or lazy array of shape (n_samples,) or (n_samples, n_targets)
            Responses.
        scoring : {"r2", "correlation"}, default=None
            Which score; None is that of the estimator.

        Returns
        -------
        scores : ndarray of shape (n_targets,)
            NaN for targets that have no model, or are constant here.
        """
        predicted = self.predict(X)
        scoring = self.scoring if scoring is None else scoring
        if scoring not in ("r2", "correlation"):
            raise ValueError(f"scoring={scoring!r} must be 'r2' or 'correlation'.")
        Y, _ = check_targets(y, len(predicted), self)
        predicted = predicted.reshape(len(predicted), -1)
        if Y.shape[1] != predicted.shape[1]:
            raise ValueError(f"y has {Y.shape[1]} targets, but {predicted.shape[1]} were fitted.")
        scores = scores_of(predicted, Y, scoring, self.target_chunk)
        scores[~self._with_model()] = np.nan
        return scores


def choose(scores: Array, alphas: Array, usable: NDArray[np.bool_]) -> tuple[Array, Array]:
    """The best penalty of each target, the first of equals, and its score.

    One without any score takes the largest penalty; one without a model NaN.
    """
    known = np.isfinite(scores)
    best = np.where(known, scores, -np.inf).argmax(axis=0)
    chosen = np.where(known.any(axis=0), alphas[best], alphas.max())
    found = scores[best, np.arange(scores.shape[1])]
    return np.where(usable, chosen, np.nan), found


def choose_one(scores: Array, alphas: Array, usable: NDArray[np.bool_]) -> tuple[Array, Array]:
    """The same with one penalty for all, whose score is best in the mean over targets."""
    mean = mean_of_known(scores)
    best = mean.argmax() if np.isfinite(mean).any() else alphas.argmax()
    return np.where(usable, alphas[best], np.nan), scores[best]


def mean_of_known(scores: Array) -> Array:
    """Mean over targets that have a score, minus infinity where none has."""
    known = np.isfinite(scores)
    n_known = known.sum(axis=1)
    mean = np.where(known, scores, 0).sum(axis=1) / np.maximum(n_known, 1)
    return np.where(n_known > 0, mean, -np.inf)
