r"""Scores of models that are unrelated to the data: the null distribution of studentised scores.

Conditions are permuted as in Mantel's test, but each score is divided by its own standard error
(DiCiccio & Romano, 2017). Where the model is unrelated, all permutations are equally likely, and
the test is exact whatever the RDMs look like; where it is related but scores zero on average, it
is still right for many conditions, which the permutation of raw scores is not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from skdnn.rsa._inference._resample_variance import Influence, kernel_variance
from skdnn.rsa._inference._study import Study, generators

Array = NDArray[np.float64]

_BATCH = 250


class Unrelated(NamedTuple):
    """Studentised scores of the models, and under permutation."""

    observed: Array  # (n_models,)
    null: Array  # (n_permutations, n_models)

    def p_values(self, alternative: str) -> Array:
        """Share of permutations as extreme as what was observed, which is one of them."""
        null, observed = self.null, self.observed
        if alternative == "less":
            null, observed = -null, -observed
        elif alternative == "two-sided":
            null, observed = np.abs(null), np.abs(observed)
        # A model that equals the data has no error, and a score of infinity by it.
        rounding = np.where(np.isinf(observed), 0.0, 1e-10 * np.abs(observed))
        count = (null >= observed - rounding).sum(axis=0)
        return np.where(np.isnan(observed), np.nan, (1 + count) / (1 + len(null)))


def unrelated(
    study: Study, over_subjects: bool, n_permutations: int, random_state: Any, n_jobs: int | None
) -> Unrelated:
    """Studentise the scores, and permute conditions; `over_subjects` adds their variance."""
    permuted = _Permuted(study, over_subjects)
    n = study.n_conditions
    observed = permuted.studentised(np.arange(n))
    observed[np.isnan(study.scores)] = np.nan
    starts = range(0, n_permutations, _BATCH)
    null = Parallel(n_jobs=n_jobs, prefer="threads")(
        delayed(permuted.draw)(rng, min(_BATCH, n_permutations - start))
        for start, rng in zip(starts, generators(random_state, len(starts)), strict=True)
    )
    return Unrelated(observed, np.concatenate(null))


class _Permuted:
    """Models and data with mean zero over pairs, as square matrices."""

    def __init__(self, study: Study, over_subjects: bool) -> None:
        influence = Influence(study.n_conditions, study.comparison)
        models = [_centred(influence.ready(row).values) for row in study.models]
        data = np.stack([_centred(influence.ready(row).values) for row in study.data])
        self.n = study.n_conditions
        self.models = [squareform(row, checks=False) for row in models]
        self.mean = squareform(data.mean(axis=0), checks=False)
        self.squares = squareform((data**2).mean(axis=0), checks=False)
        self.subjects = [squareform(row, checks=False) for row in data] if over_subjects else []

    def draw(self, rng: np.random.Generator, count: int) -> Array:
        """Studentised scores under random permutations."""
        return np.stack([self.studentised(rng.permutation(self.n)) for _ in range(count)])

    def studentised(self, order: NDArray[np.intp]) -> Array:
        """Score of each model over its standard error, the data's conditions in this order."""
        mean, squares = _ordered(self.mean, order), _ordered(self.squares, order)
        variances, scores = np.empty(len(self.models)), np.empty(len(self.models))
        for k, model in enumerate(self.models):
            scores[k], variances[k] = self._score(model, mean, squares)
        if self.subjects:
            variances += self._over_subjects(order)
        with np.errstate(divide="ignore", invalid="ignore"):
            return scores / np.sqrt(variances)

    def _score(self, model: Array, mean: Array, squares: Array) -> tuple[float, float]:
        n = self.n
        kernel = model * mean
        score = kernel.sum() / (n * (n - 1))
        kernel -= (model**2 + squares) * (score / 2)
        margins = kernel.sum(axis=1)
        centre = margins.sum() / (n * (n - 1))
        cells = np.vdot(kernel, kernel) / 2 - n * (n - 1) / 2 * centre**2
        margins -= (n - 1) * centre
        return score, float(kernel_variance(cells, margins @ margins, n))

    def _over_subjects(self, order: NDArray[np.intp]) -> Array:
        each = np.array(
            [
                [np.vdot(model, subject) for model in self.models]
                for subject in (_ordered(square, order) for square in self.subjects)
            ]
        )
        each /= self.n * (self.n - 1)
        return each.var(axis=0, ddof=1) / len(each)


def _centred(values: Array) -> Array:
    return values - values.mean()


def _ordered(square: Array, order: NDArray[np.intp]) -> Array:
    return square.take(order, axis=0).take(order, axis=1)
