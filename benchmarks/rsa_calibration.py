"""False positives, power and coverage of the tests of model RDMs, by simulation.

    python benchmarks/rsa_calibration.py [--studies 2000] [--jobs 2] [--only zero,pairs,...]

Each study draws patterns, makes RDMs of them (so that pairs depend on each other as in real
RDMs) and runs the tests as a user would. Seeds are fixed. Rejection rates at alpha .05 have a
standard error of .005 with 2,000 studies. "plain" is what the bootstrap gives without
corrections: Student's t of the score over the standard deviation of the samples, which is what
rsatoolbox computes; its own functions run beside where the tables say so, on fewer studies.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from scipy import stats
from scipy.spatial.distance import pdist

from skdnn.rsa import bootstrap_rsa, noise_ceiling, permutation_test, random_effects_test
from skdnn.rsa._comparison._similarity_measures import similarities

ALPHA = 0.05
Found = dict[str, float]
Study = Callable[[np.random.Generator], Found]
Rows = Iterator[tuple[str, Study, int]]

STRUCTURES = {
    "isotropic": ("isotropic", "isotropic"),
    "low-dimensional": ("low", "low"),
    "clustered": ("clusters", "clusters"),
    "clustered, category model": ("clusters", "categories"),
    "low-dimensional, category model": ("low", "categories"),
    "isotropic, category model": ("isotropic", "categories"),
}


def patterns(rng: np.random.Generator, n: int, kind: str) -> np.ndarray:
    """Random patterns of n conditions."""
    if kind == "isotropic":
        return rng.normal(size=(n, 30))
    if kind == "low":
        return rng.normal(size=(n, 2))
    centres = 2 * rng.normal(size=(4, 20))
    if kind == "clusters":
        return centres[rng.integers(0, 4, n)] + rng.normal(size=(n, 20))
    members = rng.permutation(np.arange(n) % 3 == 0)  # categories of a third and two thirds
    return members[:, None].astype(float)


def noisy(rng: np.random.Generator, signal: np.ndarray, noise: float) -> np.ndarray:
    """RDM of patterns with noise, in units of the signal's spread."""
    return pdist(signal + noise * signal.std() * rng.normal(size=signal.shape))


def several(rng: np.random.Generator, signal: np.ndarray, noise: float, k: int) -> np.ndarray:
    """RDMs of k subjects who share a signal."""
    return np.stack([noisy(rng, signal, noise) for _ in range(k)])


def p_plain(result: Any, n: int, alternative: str = "greater") -> float:
    """Student's t with the bootstrap's own variance."""
    values = result.samples[:, 0]
    t = np.nanmean(values) / np.sqrt(np.nanvar(values, ddof=1) * n / (n - 1))
    if alternative == "two-sided":
        return float(2 * stats.t.sf(abs(t), n - 1))
    return float(stats.t.sf(t, n - 1))


def seed(rng: np.random.Generator) -> int:
    """A seed for the tests."""
    return int(rng.integers(2**31))


# Studies. Each returns p-values by the name of the test.


def zero_one_subject(rng: np.random.Generator, n: int, kinds: tuple[str, str]) -> Found:
    """An unrelated model, and one subject."""
    data, model = (pdist(patterns(rng, n, kind)) for kind in kinds)
    result = bootstrap_rsa(
        model, data, n_boot=200, resample="conditions", n_permutations=199, random_state=seed(rng)
    )
    mantel = permutation_test(model, data, n_permutations=199, random_state=seed(rng))
    t = result.scores[0] / result.standard_errors[0]
    return {
        "bootstrap_rsa": result.to_frame()["p"][0],
        "two-sided": result.to_frame(alternative="two-sided")["p"][0],
        "permutation_test": mantel.p_values[0],
        "bootstrap_rsa, n_permutations=0": float(stats.t.sf(t, result.dof[0])),
        "plain": p_plain(result, n),
    }


def zero_several(rng: np.random.Generator, n: int, kinds: tuple[str, str], k: int) -> Found:
    """Four unrelated models, and subjects who share a true RDM."""
    data = several(rng, patterns(rng, n, kinds[0]), 1, k)
    models = np.stack([pdist(patterns(rng, n, kinds[1])) for _ in range(2)])
    settings = {"n_permutations": 199, "random_state": seed(rng)}
    mantel = permutation_test(models, data, "pearson", **settings)
    out = {"permutation_test": mantel.p_values[0], "p_max, any of 2": mantel.p_max.min()}
    for resample in ("conditions", "both"):
        result = bootstrap_rsa(models, data, "pearson", n_boot=2, resample=resample, **settings)
        frame = result.to_frame()
        out[resample] = frame["p"][0]
        out[f"{resample}, Holm, any of 2"] = frame["p_adjusted"].min()
    return out


def zero_fixed(rng: np.random.Generator, n: int, k: int) -> Found:
    """Subjects of a fixed true RDM whose correlation with the model is exactly zero."""
    true, model = orthogonal(rng, n, 2)
    data = true + rng.normal(size=(k, len(true)))
    result = bootstrap_rsa(
        model, data, "pearson", n_boot=2, resample="subjects", random_state=seed(rng)
    )
    each = similarities(model[None], data, n, "pearson").T
    out = {"subjects": result.to_frame()["p"][0]}
    for test in ("t", "wilcoxon", "sign-flip"):
        found = random_effects_test(each, test=test, n_permutations=999, random_state=seed(rng))
        out[f"random_effects_test, {test}"] = found["p"][0]
    return out


def orthogonal(rng: np.random.Generator, n: int, count: int) -> list[np.ndarray]:
    """RDMs of random patterns, made uncorrelated, with variance one and mean zero."""
    found: list[np.ndarray] = []
    for _ in range(count):
        pairs = pdist(rng.normal(size=(n, 10)))
        pairs -= pairs.mean()
        for other in found:
            pairs -= (pairs @ other) / (other @ other) * other
        found.append(pairs / pairs.std())
    return found


def pair_one_subject(rng: np.random.Generator, n: int, kind: str, noise: float) -> Found:
    """Two models that are the true patterns with different noise."""
    signal = patterns(rng, n, kind)
    models = several(rng, signal, noise, 2)
    result = bootstrap_rsa(
        models, noisy(rng, signal, noise), n_boot=200, n_permutations=0, random_state=seed(rng)
    )
    difference = result.samples[:, 0] - result.samples[:, 1]
    t = np.nanmean(difference) / np.sqrt(np.nanvar(difference, ddof=1) * n / (n - 1))
    return {
        "bootstrap_rsa": result.pairwise()["p"][0],
        "plain": float(2 * stats.t.sf(abs(t), n - 1)),
    }


def pair_several(rng: np.random.Generator, n: int, kind: str, noise: float, k: int) -> Found:
    """The same with several subjects."""
    signal = patterns(rng, n, kind)
    models, data = several(rng, signal, noise, 2), several(rng, signal, noise, k)
    out = {}
    for resample in ("conditions", "both"):
        result = bootstrap_rsa(
            models, data, "pearson", n_boot=2, resample=resample, n_permutations=0,
            random_state=seed(rng),
        )  # fmt: skip
        out[resample] = result.pairwise()["p"][0]
    return out


def pair_fixed(rng: np.random.Generator, n: int, k: int) -> Found:
    """Fixed conditions: two models with the same correlation to the true RDM."""
    true, other = orthogonal(rng, n, 2)
    data = true + rng.normal(size=(k, len(true)))
    models = np.stack([true + other, true - other])
    result = bootstrap_rsa(
        models, data, "pearson", n_boot=2, resample="subjects", random_state=seed(rng)
    )
    each = similarities(models, data, n, "pearson").T
    found = random_effects_test(each, pairwise=True, alternative="two-sided")
    return {"subjects": result.pairwise()["p"][0], "random_effects_test, t": found["p"][0]}


def ceiling_several(rng: np.random.Generator, n: int, kind: str, noise: float, k: int) -> Found:
    """The mean RDM of as many other subjects as are in the ceiling's pool, and the truth."""
    signal = patterns(rng, n, kind)
    data = several(rng, signal, noise, k)
    others = several(rng, signal, noise, k - 1)
    model = ((others - others.mean(axis=1, keepdims=True)) / others.std(axis=1)[:, None]).mean(0)
    models = np.stack([model, pdist(signal)])
    out = {}
    for resample in ("conditions", "both"):
        result = bootstrap_rsa(
            models, data, "pearson", n_boot=2, resample=resample, n_permutations=0,
            random_state=seed(rng),
        )  # fmt: skip
        two_sided = result.to_frame(ceiling_alternative="two-sided")["p_ceiling"]
        out[f"{resample}, as good"], out[f"{resample}, truth"] = result.to_frame()["p_ceiling"]
        out[f"{resample}, as good, two-sided"] = two_sided[0]
        out[f"{resample}, truth, two-sided"] = two_sided[1]
    return out


def ceiling_missing(
    rng: np.random.Generator, n: int, noise: float, k: int, comparison: str
) -> Found:
    """Every second subject lacks half of the conditions; is the truth above the upper bound?"""
    signal = patterns(rng, n, "isotropic")
    data = several(rng, signal, noise, k)
    for row in data[::2]:
        there = np.zeros((n, n), dtype=bool)
        kept = rng.permutation(n)[: n // 2]
        there[np.ix_(kept, kept)] = True
        row[~there[np.triu_indices(n, k=1)]] = np.nan
    score = float(similarities(pdist(signal)[None], data, n, comparison).mean())
    lower, upper = noise_ceiling(data, comparison)
    # As p-values: below alpha where the truth is above the bound.
    return {"truth above upper": float(score <= upper), "truth below lower": float(score >= lower)}


def ceiling_fixed(rng: np.random.Generator, n: int, k: int) -> Found:
    """Fixed conditions: the model has as much error as the mean of k - 1 subjects."""
    true, error = orthogonal(rng, n, 2)
    data = true + rng.normal(size=(k, len(true)))
    model = true + error / np.sqrt(k - 1)
    result = bootstrap_rsa(
        model, data, "pearson", n_boot=2, resample="subjects", random_state=seed(rng)
    )
    two_sided = result.to_frame(ceiling_alternative="two-sided")
    return {
        "subjects": result.to_frame()["p_ceiling"][0],
        "subjects, two-sided": two_sided["p_ceiling"][0],
    }


# Coverage: studies return whether intervals hold the true score.


class Population:
    """Conditions and subjects of which studies are samples."""

    def __init__(self, kind: str, noise: float, k: int, comparison: str) -> None:
        self.kind, self.noise, self.k, self.comparison = kind, noise, k, comparison
        rng = np.random.default_rng(7)
        self.centres = 2 * rng.normal(size=(4, 20))
        scores = [self.score(rng, 400) for _ in range(20)]
        self.true = float(np.mean(scores))

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """A model RDM, and those of k subjects, who weigh features differently."""
        if self.kind == "clusters":
            signal = self.centres[rng.integers(0, 4, n)] + rng.normal(size=(n, 20))
        else:
            signal = patterns(rng, n, self.kind)
        weights = np.exp(0.5 * rng.normal(size=(self.k, signal.shape[1]))) if self.k > 1 else [1.0]
        data = np.stack([noisy(rng, signal * weight, self.noise) for weight in weights])
        return noisy(rng, signal, self.noise), data

    def score(self, rng: np.random.Generator, n: int) -> float:
        """Score of the model in one sample."""
        model, data = self.draw(rng, n)
        return float(similarities(model[None], data, n, self.comparison).mean())

    def study(self, rng: np.random.Generator, n: int) -> Found:
        """Whether the intervals of one study hold the true score."""
        model, data = self.draw(rng, n)
        result = bootstrap_rsa(
            model, data, self.comparison, n_boot=200, n_permutations=0, random_state=seed(rng)
        )
        spread = np.nanstd(result.samples[:, 0], ddof=1)
        low, high = result.scores[0] + np.array([-1, 1]) * spread * stats.t.ppf(
            0.975, min(n, self.k if self.k > 1 else n) - 1
        )
        out = {"plain": self._holds(low, high)}
        for kind in ("t", "percentile"):
            found = result.intervals(kind=kind)
            out[kind] = self._holds(found["low"][0], found["high"][0])
        return out

    def _holds(self, low: float, high: float) -> float:
        # As a p-value: below alpha where the interval misses.
        return 1.0 if low <= self.true <= high else 0.0


# rsatoolbox


def their_p(
    models: np.ndarray, data: np.ndarray, method: str, kind: str, n_boot: int
) -> tuple[Any, Any]:
    """p-values against zero, and the result, of rsatoolbox."""
    os.environ["TQDM_DISABLE"] = "1"
    import rsatoolbox as rsd

    run = {
        "conditions": partial(rsd.inference.eval_bootstrap_pattern, boot_noise_ceil=False),
        "subjects": partial(rsd.inference.eval_bootstrap_rdm, boot_noise_ceil=False),
        "both": rsd.inference.eval_dual_bootstrap,
    }[kind]
    made = [rsd.model.ModelFixed(f"m{k}", row) for k, row in enumerate(models)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = run(made, rsd.rdm.RDMs(data), method=method, N=n_boot)
        return result.test_zero(), result


def power_study(rng: np.random.Generator, n: int, k: int, effect: float, resample: str) -> Found:
    """A model with a part of the signal (effect 0: none), tested by both."""
    signal = patterns(rng, n, "isotropic")
    data = several(rng, signal, 2, k)
    model = pdist(effect * signal + rng.normal(size=signal.shape))[None]
    np.random.seed(seed(rng))  # noqa: NPY002 (rsatoolbox draws from it)
    theirs, _ = their_p(model, data, "spearman", resample, 200)
    ours = bootstrap_rsa(
        model, data, n_boot=200, resample=resample, n_permutations=399, random_state=seed(rng)
    )
    mantel = permutation_test(model, data, n_permutations=399, random_state=seed(rng))
    return {
        "bootstrap_rsa": ours.to_frame()["p"][0],
        "permutation_test": mantel.p_values[0],
        "rsatoolbox": float(np.ravel(theirs)[0]),
    }


def power_fixed(rng: np.random.Generator, n: int, k: int, effect: float) -> Found:
    """The same for fixed conditions, subjects being resampled."""
    true, model = orthogonal(rng, n, 2)
    model = (model + effect * true)[None]
    data = true + 3 * rng.normal(size=(k, len(true)))
    np.random.seed(seed(rng))  # noqa: NPY002 (rsatoolbox draws from it)
    theirs, _ = their_p(model, data, "corr", "subjects", 200)
    ours = bootstrap_rsa(
        model, data, "pearson", n_boot=2, resample="subjects", random_state=seed(rng)
    )
    return {
        "bootstrap_rsa": ours.to_frame()["p"][0],
        "rsatoolbox": float(np.ravel(theirs)[0]),
    }


def their_coverage(rng: np.random.Generator, population: Population, n: int) -> Found:
    """Coverage of both on the same studies."""
    model, data = population.draw(rng, n)
    kind = "both" if population.k > 1 else "conditions"
    np.random.seed(seed(rng))  # noqa: NPY002 (rsatoolbox draws from it)
    method = {"pearson": "corr"}.get(population.comparison, population.comparison)
    _, theirs = their_p(model[None], data, method, kind, 200)
    reach = theirs.get_sem()[0] * stats.t.ppf(0.975, theirs.dof)
    mean = float(theirs.get_means()[0])
    ours = bootstrap_rsa(
        model, data, population.comparison, n_boot=2, n_permutations=0, random_state=seed(rng)
    ).intervals()
    return {
        "bootstrap_rsa": population._holds(ours["low"][0], ours["high"][0]),
        "rsatoolbox": population._holds(mean - reach, mean + reach),
    }


# Tables


def rates(study: Study, count: int, jobs: int) -> Found:
    """Rejection rate of each test over the studies."""
    parts = np.array_split(np.arange(count), 8 * jobs)
    found = Parallel(n_jobs=jobs)(delayed(_run)(study, part) for part in parts)
    rows = [row for part in found for row in part]
    return {key: float(np.mean([row[key] < ALPHA + 1e-9 for row in rows])) for key in rows[0]}


def _run(study: Study, seeds: np.ndarray) -> list[Found]:
    return [study(np.random.default_rng([2023, int(s)])) for s in seeds]


def table(
    title: str, rows: Iterator[tuple[str, Study, int]], jobs: int, miss: bool = False
) -> None:
    """Print a markdown table: a row for each kind of study, a column for each test."""
    print(f"\n### {title}\n")
    heads: list[str] = []
    for label, study, count in rows:
        found = rates(study, count, jobs)
        if not heads:
            heads = list(found)
            print(f"| studies | number | {' | '.join(heads)} |")
            print("|---" * (len(heads) + 2) + "|")
        shown = [f"{1 - found[key] if miss else found[key]:.3f}" for key in heads]
        print(f"| {label} | {count} | {' | '.join(shown)} |", flush=True)


def zero_rows(count: int) -> Rows:
    """Against zero, one subject."""
    for n in (20, 40, 92):
        for name, kinds in STRUCTURES.items():
            if n < 92 or name in ("isotropic", "clustered, category model"):
                study = partial(zero_one_subject, n=n, kinds=kinds)
                yield f"{name}, n = {n}", study, count if n < 92 else count // 4


def several_rows(count: int) -> Rows:
    """Against zero, five subjects."""
    for n in (20, 40):
        for name in ("isotropic", "low-dimensional", "clustered, category model")[: 60 // n]:
            study = partial(zero_several, n=n, kinds=STRUCTURES[name], k=5)
            yield f"{name}, n = {n}", study, count


def fixed_rows(count: int) -> Rows:
    """Against zero, fixed conditions."""
    for k in (5, 8, 20):
        yield f"{k} subjects, n = 20", partial(zero_fixed, n=20, k=k), count


def pair_rows(count: int) -> Rows:
    """Between models, one subject."""
    for n, noises in ((20, (0.7, 2)), (40, (1,)), (92, (1,))):
        for kind in ("isotropic", "low", "clusters"):
            for noise in noises:
                study = partial(pair_one_subject, n=n, kind=kind, noise=noise)
                label = f"{kind}, noise {noise}, n = {n}"
                yield label, study, count if n < 92 else count // 4


def pair_several_rows(count: int) -> Rows:
    """Between models, five subjects."""
    for n in (20, 40):
        for kind in ("isotropic", "low", "clusters"):
            yield f"{kind}, n = {n}", partial(pair_several, n=n, kind=kind, noise=1, k=5), count


def pair_fixed_rows(count: int) -> Rows:
    """Between models, fixed conditions."""
    for k in (5, 8, 20):
        yield f"{k} subjects, n = 20", partial(pair_fixed, n=20, k=k), count


def ceiling_rows(count: int) -> Rows:
    """Against the ceiling."""
    for n, kind in ((20, "isotropic"), (20, "clusters"), (40, "isotropic")):
        for k in (4, 8, 16):
            if n == 20 or k == 8:
                study = partial(ceiling_several, n=n, kind=kind, noise=1, k=k)
                yield f"{kind}, {k} subjects, n = {n}", study, count


def ceiling_missing_rows(count: int) -> Rows:
    """Ceilings where subjects lack conditions."""
    for comparison in ("spearman", "kendall"):
        for k, noise in ((4, 1), (6, 0.5), (6, 1), (10, 1)):
            study = partial(ceiling_missing, n=20, noise=noise, k=k, comparison=comparison)
            yield f"{comparison}, {k} subjects, noise {noise}, n = 20", study, count


def ceiling_fixed_rows(count: int) -> Rows:
    """Against the ceiling, fixed conditions."""
    for k in (4, 8, 20):
        yield f"{k} subjects, n = 20", partial(ceiling_fixed, n=20, k=k), count


def coverage_rows(count: int) -> Rows:
    """Intervals of our own."""
    for k, comparison in ((1, "spearman"), (6, "pearson")):
        for kind in ("isotropic", "low", "clusters"):
            for n in (20, 40):
                population = Population(kind, 1.0, k, comparison)
                label = f"{kind}, {k} subject{'s' * (k > 1)}, n = {n}, true {population.true:.2f}"
                yield label, partial(population.study, n=n), count


def their_coverage_rows(count: int) -> Rows:
    """Intervals beside rsatoolbox's."""
    for k in (1, 4):
        population = Population("clusters", 1.0, k, "pearson")
        study = partial(their_coverage, population=population, n=20)
        yield f"clusters, {k} subject{'s' * (k > 1)}, n = 20", study, max(count // 5, 20)


def power_rows(count: int) -> Rows:
    """Power beside rsatoolbox's."""
    for k, resample in ((1, "conditions"), (4, "both")):
        for effect in (0, 1, 2):
            study = partial(power_study, n=20, k=k, effect=effect, resample=resample)
            yield f"{resample}, {k} subjects, effect {effect}", study, max(count // 5, 20)


def power_fixed_rows(count: int) -> Rows:
    """Power over subjects."""
    for effect in (0, 0.1, 0.2):
        study = partial(power_fixed, n=20, k=8, effect=effect)
        yield f"8 subjects, effect {effect}", study, max(count // 5, 20)


TABLES = {
    "zero": ("Against zero: one subject, a model unrelated to the data", zero_rows),
    "several": ("Against zero: five subjects with one true RDM, unrelated models", several_rows),
    "fixed": ("Against zero, fixed conditions: a model whose score is zero for these", fixed_rows),
    "pairs": ("Between two models as good as each other: one subject", pair_rows),
    "pairs-several": ("Between two models: five subjects", pair_several_rows),
    "pairs-fixed": ("Between two models as good for these conditions", pair_fixed_rows),
    "ceiling": ("Against the lower ceiling: a model as good as the other subjects", ceiling_rows),
    "ceiling-fixed": ("Against the lower ceiling, fixed conditions", ceiling_fixed_rows),
    "ceiling-missing": (
        "Ceilings where every second subject lacks half of the conditions", ceiling_missing_rows
    ),
    "coverage": ("Coverage of 95% intervals", coverage_rows),
    "coverage-theirs": ("Coverage beside rsatoolbox's, same studies", their_coverage_rows),
    "power": ("Power, and false positives at effect 0, beside rsatoolbox's", power_rows),
    "power-fixed": ("Power for fixed conditions, resampling subjects", power_fixed_rows),
}  # fmt: skip


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default=",".join(TABLES))
    options = parser.parse_args()
    begin = time.perf_counter()
    for name in options.only.split(","):
        title, rows = TABLES[name]
        table(title, rows(options.studies), options.jobs, miss=name.startswith("coverage"))
        print(f"\n({time.perf_counter() - begin:.0f} s since the start)", flush=True)


if __name__ == "__main__":
    main()
