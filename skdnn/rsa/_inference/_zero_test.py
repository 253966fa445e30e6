r"""The bootstrap's test against zero: studentised scores, and those of unrelated models.

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

from skdnn.rsa._inference._bootstrap_variance import kernel_variance
from skdnn.rsa._inference._p_values import share_as_extreme, turned
from skdnn.rsa._inference._random_draws import batches
from skdnn.rsa._inference._score_kernels import ScoreKernels
from skdnn.rsa._inference._scored_models import ScoredModels

Array = NDArray[np.float64]


class ZeroTest(NamedTuple):
    """Studentised scores of the models, and under permutation."""

    observed: Array  # (n_models,)
    null: Array  # (n_permutations, n_models)

    def p_values(self, alternative: str) -> Array:
        """Share of permutations as extreme as what was observed, which is one of them."""
        null, observed = turned(self.null, self.observed, alternative)
        # A model that equals the data has no error, and a score of infinity by it.
        rounding = np.where(np.isinf(observed), 0.0, 1e-10 * np.abs(observed))
        share = share_as_extreme(null, observed, rounding, every=False)
        return np.where(np.isnan(observed), np.nan, share)


def permute_against_zero(
    scored: ScoredModels,
    over_subjects: bool,
    n_permutations: int,
    random_state: Any,
    n_jobs: int | None,
) -> ZeroTest:
    """Studentise the scores, and permute conditions; `over_subjects` adds their variance."""
    permuted = _Permuted(scored, over_subjects)
    n = scored.n_conditions
    observed = permuted.studentised(np.arange(n))
    observed[np.isnan(scored.scores)] = np.nan
    null = Parallel(n_jobs=n_jobs, prefer="threads")(
        delayed(permuted.draw)(*batch) for batch in batches(random_state, n_permutations)
    )
    return ZeroTest(observed, np.concatenate(null))


class _Permuted:
    """Models and data with mean zero over pairs, as square matrices."""

    def __init__(self, scored: ScoredModels, over_subjects: bool) -> None:
        prepare = ScoreKernels(scored.n_conditions, scored.comparison).prepare
        models, data = (
            np.stack([values - values.mean() for values in (prepare(row).values for row in rows)])
            for rows in (scored.models, scored.data)
        )
        self.n = scored.n_conditions
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


def _ordered(square: Array, order: NDArray[np.intp]) -> Array:
    return square.take(order, axis=0).take(order, axis=1)
