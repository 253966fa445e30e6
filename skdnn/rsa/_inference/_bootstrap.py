"""Bootstrap of model scores over conditions, subjects, or both."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from skdnn._docs import filled
from skdnn.rsa._comparison._noise_ceiling import NoiseCeiling, ceiling, pools
from skdnn.rsa._comparison._similarity_measures import similarities
from skdnn.rsa._inference._bootstrap_ceilings import gram_ceilings
from skdnn.rsa._inference._bootstrap_result import BootstrapResult
from skdnn.rsa._inference._bootstrap_samples import SampledScores, scores_in_samples
from skdnn.rsa._inference._bootstrap_variance import (
    KernelSums,
    ScoreVariance,
    VarianceOverConditions,
    VarianceOverSubjects,
    kernel_margins,
    kernel_sums,
    subject_pair_kernels,
)
from skdnn.rsa._inference._random_draws import check_count, generators
from skdnn.rsa._inference._score_kernels import ScoreKernels
from skdnn.rsa._inference._scored_models import NOT_CENTRED, ScoredModels, score_models
from skdnn.rsa._inference._zero_test import permute_against_zero

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

RESAMPLE = ("conditions", "subjects", "both")
MIN_CONDITIONS = 5
_COSINES = ("pearson", "cosine", "corr_cov", "cosine_cov")
# Up to so many conditions each is left out in turn.
_JACKKNIFE = 300
# Above this share of undefined samples there is a warning.
_UNDEFINED = 0.05


@filled
def bootstrap_rsa(
    models: Any,
    data: Any,
    comparison: str = "spearman",
    *,
    n_boot: int = 1000,
    resample: str | None = None,
    method: str = "exact",
    n_permutations: int = 1000,
    random_state: Any = None,
    n_jobs: int | None = None,
    conditions: ArrayLike | None = None,
) -> BootstrapResult:
    r"""Confidence intervals and tests of models: against zero, each other, and the noise ceiling.

    Parameters
    ----------
    models : array-like, DataFrame, dict or list
        One model RDM or several, in any form that :func:`compare_rdms` takes. Names are kept.
    data : array-like, DataFrame, dict or list
        RDMs of one or several subjects, of the same conditions. Labels are aligned.
    comparison : str, default="spearman"
        How RDMs are compared, see :func:`compare_rdms`. A model's score is the mean over subjects
        of its similarity. Bures' similarity needs all pairs, and so ``resample="subjects"``.
    n_boot : int, default=1000
        Number of bootstrap samples.
    resample : {"conditions", "subjects", "both"}, default=None
        What other conditions or subjects the results are to hold for: what the scored drew from a
        population. None takes both if there are several subjects, else conditions.
    method : {"exact", "approximate"}, default="exact"
        ``"exact"`` compares RDMs anew in each sample. ``"approximate"`` ranks once, in the whole
        data, and follows the ranks' shifts to first order: much faster for many conditions.
        Pooled RDMs of ceilings are not ranked anew either. Comparisons without ranks are
        computed the same way in both, and Kendall's have no approximation. For rho-a it is
        that of Spearman's correlation, which ties alone tell apart.
    n_permutations : int, default=1000
        Number of permutations in the test against zero where conditions are resampled (see
        Notes). 0 takes Student's t instead, whose false positives are too many or too few.
    random_state : int, RandomState or None, default=None
        Where samples and permutations come from.
    n_jobs : int or None, default=None
        Number of threads; the result does not depend on it.
    conditions : array-like of shape (n_conditions,), default=None
        Labels of the conditions of those RDMs that have none, in their order. %(conditions)s

    Returns
    -------
    result : BootstrapResult
        With ``to_frame()``, ``pairwise()`` and ``intervals()``.

    Raises
    ------
    ValueError
        If RDMs don't fit, a parameter is not known, there are too few subjects or conditions to
        resample them, or conditions are resampled for Bures' similarity.

    Warns
    -----
    RuntimeWarning
        If a similarity is NaN, of the RDMs or of more than a twentieth of the samples.

    See Also
    --------
    permutation_test : Mantel's test, with the max-statistic over models.
    random_effects_test : Tests over a table of subjects' scores.
    noise_ceiling : The ceiling itself.

    Notes
    -----
    *Samples.* Two draws of the same condition have no known dissimilarity: such pairs are dropped
    (Nili et al., 2014), so that a pair of conditions drawn :math:`w_i` and :math:`w_j` times
    counts :math:`w_i w_j` times. Ranks and whitening are those of the expanded sample. In
    samples of subjects, the pool of the lower ceiling leaves out every draw of the subject that
    it is compared with.

    *Standard errors.* A score is nearly a mean over pairs of a kernel
    :math:`h_{ij} = \mu + g_i + g_j + e_{ij}` (for Pearson's correlation with z-scores a and b,
    :math:`a_{ij} b_{ij} - \frac{r}{2}(a_{ij}^2 + b_{ij}^2)`; for ranks with a further term), a
    U-statistic with the variance

    .. math:: V_U = \frac{4}{n} \zeta_1 + \frac{2}{n(n - 1)} \zeta_2,

    where :math:`\zeta_1, \zeta_2` are the variances of g and e. The bootstrap gives
    :math:`4 \zeta_1 / n + 6 \zeta_2 / n^2`: three times too much where the conditions' own
    effects are small. So the least-squares fit of g gives :math:`\zeta_1, \zeta_2` without bias
    (:math:`\zeta_1` is at least 0), and the variance is that of the jackknife (leaving out a
    condition in turn), times :math:`V_U` over what the jackknife gives for the kernel. With more
    than 300 conditions the bootstrap's variance, corrected the same way, takes its place.
    Subjects have the usual standard error (for the ceiling, the jackknife's). Both together:
    :math:`V = V_c + V_s - V_{cs}`, where :math:`V_{cs}`, from the subjects' own kernels, is in
    both of the others, and V is at least :math:`V_c`: the reasoning of the dual bootstrap (Schütt
    et al., 2023) without its three runs.

    *Tests* between models and against the lower ceiling, and the intervals, use Student's t with
    Satterthwaite's degrees of freedom, which take the kurtosis of g into account. Simulated
    false positives (benchmarks/rsa_calibration.py) are near alpha, with exceptions on the safe
    side, of one to four in a hundred studies at alpha .05: with fewer than about eight subjects,
    two-sided tests against the ceiling where subjects are resampled, and between models with
    ``resample="both"`` where subjects differ by noise only; and with any number, one-sided tests
    against the ceiling, since a score's error is the smaller the nearer it is to the ceiling.

    *Against the ceiling,* ``p_ceiling`` is small if a model scores **below** the lower ceiling: it
    predicts subjects worse than the other subjects do, and leaves something unexplained. The
    noise-free truth scores above the lower ceiling, whose pool is noisy, and is not accused. A
    p-value that is not small does not show that nothing is left: between the two ceilings no test
    can tell.

    *Against zero.* The distribution of an unrelated model's score is skewed for few categories or
    low dimensions, and t is then far off. Where conditions are resampled, p comes from
    permutations of the conditions instead (of all subjects together), each score over its own
    standard error: exact where the model is unrelated to the data, and right for many conditions
    also where it is related but scores zero. Its smallest value is
    :math:`1 / (1 + n_\mathrm{permutations})`: with many models take more permutations. For
    the cosines, whose value for unrelated RDMs is far above zero, it is a test against
    that value. Samples of subjects only say nothing about other conditions: an unrelated model's
    score is never quite zero for given conditions, and is found so with enough subjects.

    *Where rsatoolbox differs.* Its variances are the bootstrap's, its tests against zero
    Student's t of the mean over samples, and its ceiling tests take the ceiling's mean over
    samples.

    References
    ----------
    Nili, H., Wingfield, C., Walther, A., Su, L., Marslen-Wilson, W., & Kriegeskorte, N. (2014).
    A toolbox for representational similarity analysis. PLOS Computational Biology, 10(4),
    e1003553.

    Schütt, H. H., Kipnis, A. D., Diedrichsen, J., & Kriegeskorte, N. (2023). Statistical
    inference on representational geometries. eLife, 12, e82566.

    DiCiccio, C. J., & Romano, J. P. (2017). Robust permutation tests for correlation and
    regression coefficients. Journal of the American Statistical Association, 112, 1211-1220.

    Efron, B., & Stein, C. (1981). The jackknife estimate of variance. The Annals of Statistics,
    9(3), 586-596.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import bootstrap_rsa, compute_rdm
    >>> rng = np.random.default_rng(0)
    >>> patterns = rng.normal(size=(24, 40))
    >>> subjects = [compute_rdm(patterns + rng.normal(size=(24, 40))) for _ in range(6)]
    >>> models = {"good": compute_rdm(patterns[:, :20]),
    ...           "unrelated": compute_rdm(rng.normal(size=(24, 40)))}
    >>> result = bootstrap_rsa(models, subjects, n_boot=200, random_state=0)
    >>> columns = ["model", "score", "low", "high", "p", "p_ceiling"]
    >>> result.to_frame()[columns].round(3)
           model  score    low   high      p  p_ceiling
    0       good   0.31  0.213  0.407  0.001      0.114
    1  unrelated  -0.06 -0.134  0.015  0.966      0.000
    >>> result.pairwise()[["model_a", "model_b", "difference", "p"]].round(4)
      model_a    model_b  difference    p
    0    good  unrelated      0.3695  0.0
    """
    if method not in ("exact", "approximate"):
        raise ValueError(f"method={method!r} is not known: choose 'exact' or 'approximate'.")
    n_boot = check_count(n_boot, "n_boot", 2)
    n_permutations = check_count(n_permutations, "n_permutations", 0)
    scored = score_models(models, data, comparison, conditions)
    resample = _check_resample(resample, scored)
    draw, permute = generators(random_state, 2)
    seed = int(permute.integers(2**31))
    whole = None
    if scored.n_subjects > 1:
        whole = ceiling(scored.data, scored.n_conditions, scored.comparison)
    # Both are always drawn, so that a seed gives the same samples whatever is resampled.
    n, k = scored.n_conditions, scored.n_subjects
    ceiling_samples: Array | None
    conditions_drawn, subjects_drawn = _draws(draw, n_boot, n), _draws(draw, n_boot, k)
    if whole is not None and resample == "subjects":
        samples = subjects_drawn @ scored.each.T / k
        ceiling_samples = _subject_ceilings(scored, subjects_drawn)
        variance = ScoreVariance(None, _over_subjects(scored, whole.lower), None)
    else:
        drawn = subjects_drawn if resample == "both" else None
        samples, ceiling_samples, variance = _resample_conditions(
            scored, conditions_drawn, drawn, whole, method == "exact", n_jobs
        )
    _warn_undefined_samples(samples, scored)
    zero_test = None
    if resample != "subjects" and n_permutations:
        zero_test = permute_against_zero(scored, resample == "both", n_permutations, seed, n_jobs)
    n_models = len(scored.models)
    contrasts = np.eye(n_models, n_models + (whole is not None))
    variances, dof = np.array([variance.of(contrast) for contrast in contrasts]).T
    return BootstrapResult(
        names=pd.Index(scored.names),
        scores=scored.scores,
        samples=samples,
        ceiling=whole,
        ceiling_samples=ceiling_samples,
        standard_errors=np.sqrt(variances),
        dof=dof,
        n_boot=n_boot,
        resample=resample,
        comparison=scored.comparison,
        _variance=variance,
        _zero_test=zero_test,
        # A cosine with RDMs that have negative values (crossnobis) may well be zero.
        _zero_means_something=(
            scored.comparison not in NOT_CENTRED or bool((scored.data < 0).any())
        ),
    )


def _check_resample(resample: str | None, scored: ScoredModels) -> str:
    if resample is None:
        several = scored.n_subjects > 1
        resample = (
            ("both" if several else "conditions") if scored.comparison != "bures" else ("subjects")
        )
    if resample not in RESAMPLE:
        raise ValueError(
            f"resample={resample!r} is not known: choose one of {', '.join(RESAMPLE)}."
        )
    if resample != "conditions" and scored.n_subjects < 2:
        raise ValueError(
            f"data holds the RDM of one subject only, which cannot be resampled "
            f"(resample={resample!r}): give the RDMs of several subjects, or "
            "resample='conditions'."
        )
    if resample != "subjects" and scored.comparison == "bures":
        raise ValueError(
            "Bures' similarity needs all pairs, and samples of conditions lack those between "
            "draws of the same condition: choose resample='subjects', or another comparison."
        )
    if resample != "subjects" and scored.n_conditions < MIN_CONDITIONS:
        raise ValueError(
            f"{scored.n_conditions} conditions are too few to resample them: "
            f"{MIN_CONDITIONS} are the least, and 20 or more are advisable."
        )
    return resample


def _draws(rng: np.random.Generator, n_boot: int, n: int) -> Counts:
    """How often each of n was drawn, in each sample."""
    return rng.multinomial(n, np.full(n, 1 / n), size=n_boot)


def _resample_conditions(
    scored: ScoredModels,
    conditions: Counts,
    subjects: Counts | None,
    whole: NoiseCeiling | None,
    exact: bool,
    n_jobs: int | None,
) -> tuple[Array, Array | None, ScoreVariance]:
    """Scores and ceilings in samples of conditions (and subjects), and what varies."""
    n, k, n_boot = scored.n_conditions, scored.n_subjects, len(conditions)
    counts, drawn = conditions, subjects
    if n <= _JACKKNIFE:
        counts = np.concatenate([conditions, 1 - np.eye(n, dtype=np.int64)])
        if subjects is not None:
            drawn = np.concatenate([subjects, np.ones((n, k), dtype=np.int64)])
    kernels = ScoreKernels(n, scored.comparison)
    found = scores_in_samples(
        scored.models,
        scored.data,
        counts,
        drawn,
        scored.comparison,
        exact=exact,
        ceilings=whole is not None,
        score_kernels=kernels,
        n_jobs=n_jobs,
    )
    over_conditions, within = _over_conditions(scored, found, n_boot, kernels)
    if subjects is None or whole is None:
        ceilings = None if whole is None else found.ceilings[:n_boot]
        variance = ScoreVariance(over_conditions, None, within)
        return found.each[:n_boot].mean(axis=2), ceilings, variance
    variance = ScoreVariance(over_conditions, _over_subjects(scored, whole.lower), within)
    samples = np.einsum("bms,bs->bm", found.each[:n_boot], subjects) / k
    return samples, found.both[:n_boot], variance


def _over_conditions(
    scored: ScoredModels, found: SampledScores, n_boot: int, score_kernels: ScoreKernels
) -> tuple[VarianceOverConditions, KernelSums | None]:
    """What variances over conditions are made of, and the subjects' part in them."""
    n, k = scored.n_conditions, scored.n_subjects
    values = found.each.mean(axis=2)
    others: Array | None = None
    if k > 1:
        values = np.concatenate([values, found.ceilings[:, :1]], axis=1)
        others = pools(scored.data, n, scored.comparison)[1]
    total, parts = np.zeros((len(values.T), scored.models.shape[1])), None
    for kernels in score_kernels.by_subject(scored.models, scored.data, others):
        total = total + kernels / k
        if k > 1:
            sums = kernel_sums(kernels, kernel_margins(kernels, n))
            parts = sums if parts is None else parts + sums
    margins = kernel_margins(total, n)
    mean = kernel_sums(total, margins)
    left_out = values[n_boot:] if len(values) > n_boot else None
    over_conditions = VarianceOverConditions(left_out, values[:n_boot], mean, margins)
    return over_conditions, None if parts is None else parts + mean * -k


def _over_subjects(scored: ScoredModels, lower: float) -> VarianceOverSubjects:
    """What variances of the scores and the lower ceiling over subjects are made of."""
    k = scored.n_subjects
    left_out = (scored.each.sum(axis=1) - scored.each.T) / (k - 1)
    ceilings = _subject_ceilings(scored, 1 - np.eye(k, dtype=np.int64))
    among = similarities(scored.data, scored.data, scored.n_conditions, scored.comparison)
    return VarianceOverSubjects(
        np.concatenate([left_out, ceilings[:, :1]], axis=1),
        subject_pair_kernels(scored.each, among, lower),
    )


def _subject_ceilings(scored: ScoredModels, counts: Counts) -> Array:
    """Ceilings with subjects drawn so often, each set of them once."""
    if scored.complete and scored.comparison in _COSINES:
        gram = similarities(scored.data, scored.data, scored.n_conditions, scored.comparison)
        if not np.isnan(gram).any():
            return gram_ceilings(np.broadcast_to(gram, (len(counts), *gram.shape)), counts)
    sets, place = np.unique(counts, axis=0, return_inverse=True)
    n, comparison = scored.n_conditions, scored.comparison
    found = np.array([ceiling(scored.data, n, comparison, drawn) for drawn in sets])
    return found[place.ravel()]


def _warn_undefined_samples(samples: Array, scored: ScoredModels) -> None:
    undefined = np.isnan(samples).sum(axis=0)
    share = undefined / len(samples)
    poor = (share > _UNDEFINED) & (undefined > 2) & ~np.isnan(scored.scores)
    poor = np.flatnonzero(poor)
    if poor.size:
        worst = poor[np.argmax(share[poor])]
        warnings.warn(
            f"The {scored.comparison} comparison of model {scored.names[worst]!r} is undefined in "
            f"{share[worst]:.0%} of the bootstrap samples (an RDM is constant there, or fewer "
            "than three pairs are known): its intervals rest on the others.",
            RuntimeWarning,
            stacklevel=3,
        )
