"""What the bootstrap found: scores, intervals and tests of models."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from skdnn._html import card
from skdnn._multiple_tests import adjusted, check_adjust
from skdnn._wording import listed
from skdnn.rsa._comparison._noise_ceiling import NoiseCeiling
from skdnn.rsa._inference._bootstrap_variance import ScoreVariance
from skdnn.rsa._inference._p_values import check_alternative, t_test
from skdnn.rsa._inference._permutation_test import name_of
from skdnn.rsa._inference._scored_models import warn_no_zero
from skdnn.rsa._inference._zero_test import ZeroTest

Array = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class BootstrapResult:
    """What :func:`bootstrap_rsa` found.

    Attributes
    ----------
    names : Index
        Names of the models, or their positions.
    scores : ndarray of shape (n_models,)
        Mean similarity to the subjects' RDMs, of all conditions and subjects.
    samples : ndarray of shape (n_boot, n_models)
        The same in each bootstrap sample; NaN where it is undefined.
    ceiling : NoiseCeiling or None
        Lower and upper noise ceiling; None with one subject.
    ceiling_samples : ndarray of shape (n_boot, 2) or None
        Lower and upper ceiling in each bootstrap sample.
    standard_errors : ndarray of shape (n_models,)
        Standard errors of the scores.
    dof : ndarray of shape (n_models,)
        Their degrees of freedom.
    n_boot : int
        Number of bootstrap samples.
    resample : {"conditions", "subjects", "both"}
        What was resampled.
    comparison : str
        How RDMs were compared.

    See Also
    --------
    bootstrap_rsa : Makes it.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import bootstrap_rsa, compute_rdm
    >>> rng = np.random.default_rng(0)
    >>> models = {name: compute_rdm(rng.normal(size=(12, 5))) for name in ("early", "late")}
    >>> result = bootstrap_rsa(models, models["late"], n_boot=50, random_state=0)
    >>> result.scores.round(1).tolist()[1], result.intervals()["model"].tolist()
    (1.0, ['early', 'late'])
    """

    names: pd.Index
    scores: Array
    samples: Array = field(repr=False)
    ceiling: NoiseCeiling | None
    ceiling_samples: Array | None = field(repr=False)
    standard_errors: Array
    dof: Array
    n_boot: int
    resample: str
    comparison: str
    _variance: ScoreVariance = field(repr=False)
    _zero_test: ZeroTest | None = field(repr=False)
    _zero_means_something: bool = field(repr=False)

    def intervals(self, level: float = 0.95, *, kind: str = "t") -> pd.DataFrame:
        """Confidence intervals of the scores.

        Parameters
        ----------
        level : float, default=0.95
            Share of intervals that hold the true score.
        kind : {"t", "percentile"}, default="t"
            ``"t"``: standard errors times a quantile of Student's t. ``"percentile"``: quantiles
            of the bootstrap samples as they are, too wide where conditions were resampled.

        Returns
        -------
        frame : DataFrame
            With the columns ``model``, ``score``, ``low`` and ``high``.
        """
        level = _check_level(level)
        if kind == "t":
            reach = _reach(level, self.standard_errors, self.dof)
            low, high = self.scores - reach, self.scores + reach
        elif kind == "percentile":
            tails = [(1 - level) / 2, (1 + level) / 2]
            low, high = np.nanquantile(self.samples, tails, axis=0)
        else:
            raise ValueError(f"kind={kind!r} is not known: choose 't' or 'percentile'.")
        return pd.DataFrame(
            {"model": self._labels(), "score": self.scores, "low": low, "high": high}
        )

    def to_frame(
        self,
        level: float = 0.95,
        *,
        alternative: str = "greater",
        ceiling_alternative: str = "less",
        adjust: str | None = "holm",
    ) -> pd.DataFrame:
        """Scores, intervals and tests, one row for each model.

        Parameters
        ----------
        level : float, default=0.95
            Level of the intervals.
        alternative : {"greater", "less", "two-sided"}, default="greater"
            What ``p`` is to show: a score above, below, or other than that of an unrelated model.
        ceiling_alternative : {"less", "two-sided"}, default="less"
            What ``p_ceiling`` is to show: a score below the lower noise ceiling, so that the
            model leaves something unexplained, or one other than the lower ceiling, which the
            noise-free truth has too: it scores above.
        adjust : {"holm", "fdr", None}, default="holm"
            How p-values are adjusted for the number of models.

        Returns
        -------
        frame : DataFrame
            With the columns ``model``, ``score``, ``standard_error``, ``low``, ``high``, ``p``,
            ``p_adjusted``, ``p_ceiling`` and ``p_ceiling_adjusted``.
        """
        check_alternative(alternative)
        check_alternative(ceiling_alternative, ("less", "two-sided"))
        check_adjust(adjust)
        found = self.intervals(level)
        found.insert(2, "standard_error", self.standard_errors)
        if not self._tests_zero():
            warn_no_zero(self.comparison)
        p = self._p_zero(alternative)
        p_ceiling = self._p_ceiling(ceiling_alternative)
        return found.assign(
            p=p,
            p_adjusted=adjusted(p, adjust),
            p_ceiling=p_ceiling,
            p_ceiling_adjusted=adjusted(p_ceiling, adjust),
        )

    def pairwise(
        self,
        level: float = 0.95,
        *,
        pairs: Sequence[tuple[Any, Any]] | None = None,
        alternative: str = "two-sided",
        adjust: str | None = "holm",
    ) -> pd.DataFrame:
        """Give the differences between models, one row for each pair of them.

        Parameters
        ----------
        level : float, default=0.95
            Level of the intervals of the differences.
        pairs : sequence of pairs of names, default=None
            Which models to compare; None compares each with each. Pairs that were planned keep
            the number of tests small: among 28 models there are 378.
        alternative : {"two-sided", "greater", "less"}, default="two-sided"
            What is to be shown about ``model_a`` minus ``model_b``.
        adjust : {"holm", "fdr", None}, default="holm"
            How ``p_adjusted`` is made for the number of pairs.

        Returns
        -------
        frame : DataFrame
            With the columns ``model_a``, ``model_b``, ``difference``, ``standard_error``,
            ``low``, ``high``, ``p`` and ``p_adjusted``.

        Raises
        ------
        ValueError
            If a pair names a model that is not there, or one with itself.
        """
        names = self._labels()
        chosen = list(combinations(range(len(names)), 2))
        if pairs is not None:
            chosen = [self._places(names, pair) for pair in pairs]
        sides = {
            "model_a": [names[a] for a, _ in chosen],
            "model_b": [names[b] for _, b in chosen],
        }
        return self._compare(sides, [{a: 1, b: -1} for a, b in chosen], level, alternative, adjust)

    def _compare(
        self,
        names: dict[str, list],
        weights: Sequence[Mapping[int, float]],
        level: float,
        alternative: str,
        adjust: str | None,
    ) -> pd.DataFrame:
        """Weighted sums of scores, one row for each, behind the columns of their names."""
        check_alternative(alternative)
        check_adjust(adjust)
        level = _check_level(level)
        contrasts = [self._contrast(each) for each in weights]
        n_models = len(self.scores)
        difference = np.array([row[:n_models] @ self.scores for row in contrasts])
        errors, dof = self._errors(contrasts)
        reach = _reach(level, errors, dof)
        p = t_test(difference, errors, dof, alternative)
        return pd.DataFrame(
            {
                **names,
                "difference": difference,
                "standard_error": errors,
                "low": difference - reach,
                "high": difference + reach,
                "p": p,
                "p_adjusted": adjusted(p, adjust),
            }
        )

    def _places(self, names: list, pair: tuple[Any, Any]) -> tuple[int, int]:
        """Numbers of two models."""
        if any(name not in names for name in pair) or len(pair) != 2 or pair[0] == pair[1]:
            raise ValueError(f"pairs: {pair!r} are no two different models of {listed(names, 8)}.")
        first, second = map(names.index, pair)
        return first, second

    def __repr__(self) -> str:
        head = f"BootstrapResult: {self.comparison}, {self.n_boot} samples of {self._resampled}"
        if self.ceiling is not None:
            head += f", noise ceiling {self.ceiling.lower:.3f} to {self.ceiling.upper:.3f}"
        return f"{head}\n{self._summary().to_string(index=False, float_format='{:.4g}'.format)}"

    def _repr_html_(self) -> str:
        """A card for notebooks."""
        facts = {
            "compared by": self.comparison,
            "samples": f"{self.n_boot:,} of {self._resampled}",
            "noise ceiling": self.ceiling
            and f"{self.ceiling.lower:.3f} to {self.ceiling.upper:.3f}",
            "low, high": "95% confidence",
            "p adjusted": "by Holm's method",
        }
        return card("BootstrapResult", facts, self._summary())

    @property
    def _resampled(self) -> str:
        return "conditions and subjects" if self.resample == "both" else self.resample

    def _summary(self) -> pd.DataFrame:
        """The table without what is undefined here, and without a warning that it is."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            table = self.to_frame().drop(columns=["p", "p_ceiling"])
        return table.dropna(axis=1, how="all")

    def _labels(self) -> list:
        return [name_of(name) for name in self.names]

    def _contrast(self, weights: Mapping[int, float]) -> Array:
        contrast = np.zeros(len(self.scores) + (self.ceiling is not None))
        contrast[list(weights)] = list(weights.values())
        return contrast

    def _errors(self, contrasts: Iterable[Array]) -> tuple[Array, Array]:
        found = np.array([self._variance.of(contrast) for contrast in contrasts]).reshape(-1, 2)
        return np.sqrt(found[:, 0]), found[:, 1]

    def _tests_zero(self) -> bool:
        return self._zero_test is not None or self._zero_means_something

    def _p_zero(self, alternative: str) -> Array:
        if self._zero_test is not None:
            return self._zero_test.p_values(alternative)
        if not self._zero_means_something:
            return np.full(len(self.scores), np.nan)
        return t_test(self.scores, self.standard_errors, self.dof, alternative)

    def _p_ceiling(self, alternative: str) -> Array:
        if self.ceiling is None:
            return np.full(len(self.scores), np.nan)
        models = range(len(self.scores))
        errors, dof = self._errors(self._contrast({k: 1, len(models): -1}) for k in models)
        return t_test(self.scores - self.ceiling.lower, errors, dof, alternative)


def _check_level(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}.")
    return float(level)


def _reach(level: float, errors: Array, dof: Array) -> Array:
    return stats.t.ppf((1 + level) / 2, dof) * errors
