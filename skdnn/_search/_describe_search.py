"""A fitted search told for a methods section: facts of the whole study."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skdnn._methods import MethodsText
from skdnn._search._extractors import extractors_in
from skdnn._search._layer_profile import layers_in
from skdnn.rsa import RDM, CKAScorer, RSAScorer


class Described:
    """A search that can say what it did."""

    def describe(
        self, X: Any = None, *, data: str | None = None, nested: Any = None, tests: Any = ()
    ) -> MethodsText:
        """Describe the whole study for a methods section, from images to scores.

        Parameters
        ----------
        X : sequence of n_images, default=None
            The images, as for `fit`: their number and digest are told, too.
        data : str, default=None
            What the measured data are, as the text should say it, or ``"kriegeskorte92"``. None
            leaves a place for it in square brackets.
        nested : dict or array-like of n_outer_folds floats, default=None
            What ``cross_validate(search, X, y, cv=outer)`` gives, or its test scores: scores of
            images that had no part in the choice of the layer.
        tests : object, str or list of them, default=()
            Results of :func:`skdnn.rsa.bootstrap_rsa` or :func:`skdnn.rsa.permutation_test` that
            belong to the study, or sentences about other tests.

        Returns
        -------
        text : MethodsText
            A paragraph on the network, its weights and layers, preprocessing, folds, metric,
            comparison, noise ceiling and tests, with its references; ``text.to_json()`` is what
            ``skdnn describe`` reads.

        Raises
        ------
        ValueError
            If there is no extractor in the search, or `X` cannot be read.

        See Also
        --------
        skdnn.DNNFeatureExtractor.describe : Of features alone.
        """
        search: Any = self
        check_is_fitted(search, "cv_results_")
        found = extractors_in([getattr(search, "best_estimator_", search.estimator)])
        if not found:
            raise ValueError("The search holds no DNNFeatureExtractor: there is no network.")
        searched = (k.removeprefix("param_") for k in search.cv_results_ if k.startswith("param_"))
        parameter = next((name for name in searched if name.split("__")[-1] == "layer"), None)
        layers = None if parameter is None else layers_in(search.cv_results_[f"param_{parameter}"])
        facts = found[0].describe(X, layers).facts
        study = {
            "data": data,
            "n_folds": int(search.n_splits_),
            "folds": _folds(search),
            **_results(search, parameter),
            **_measures(search),
            "nested": None if nested is None else _spread(nested, "outer folds"),
            "tests": tests_told(tests),
        }
        return MethodsText({**facts, "study": study})


def _folds(search: Any) -> str:
    """How images were split, in words."""
    cv, n = search.cv, int(search.n_splits_)
    kind = "stratified " if "Stratified" in type(cv).__name__ else ""
    seed, shuffled = getattr(cv, "random_state", None), getattr(cv, "shuffle", False)
    if cv is None or isinstance(cv, Integral):
        seed, shuffled, told = search.random_state, True, f"{n}-fold cross-validation"
    elif hasattr(cv, "n_repeats"):
        folds = n // cv.n_repeats
        told = f"{cv.n_repeats} repetitions of {kind}{folds}-fold cross-validation ({n} folds)"
    elif type(cv).__name__ in ("KFold", "StratifiedKFold"):
        told = f"{kind}{n}-fold cross-validation"
    else:
        splitter = f" of {type(cv).__name__}" if hasattr(cv, "split") else ", given"
        told = f"{n} split{'' if n == 1 else 's'}{splitter}"
    told += " of shuffled images" if shuffled else ""
    return f"{told}, seed {seed}" if isinstance(seed, Integral) else told


def _results(search: Any, parameter: str | None) -> dict[str, Any]:
    """The best candidate, among how many, and the noise ceiling of its folds."""
    results = search.cv_results_
    metric = search.refit if isinstance(search.refit, str) else "score"
    if f"mean_test_{metric}" not in results or not hasattr(search, "best_index_"):
        return {}
    row, n = int(search.best_index_), len(results["params"])
    layers = {str(value) for value in results[f"param_{parameter}"]} if parameter else set()
    what = "layers" if len(layers) == n else "candidates"
    names = [f"{name} = {value}" for name, value in results["params"][row].items()]
    best = str(results[f"param_{parameter}"][row]) if what == "layers" else ", ".join(names)
    folds = [results[f"split{k}_test_{metric}"][row] for k in range(search.n_splits_)]
    ends = [f"mean_test_ceiling_{end}" for end in ("lower", "upper")]
    ceiling = [float(results[end][row]) for end in ends if end in results]
    known = len(ceiling) == 2 and not np.isnan(ceiling).any()
    return {
        "candidates": f"{n} {what}" if n > 1 else None,
        "best": f"{best}, scored {_spread(folds, 'folds')}" if best else _spread(folds, "folds"),
        "ceiling": f"{ceiling[0]:.3f} to {ceiling[1]:.3f}" if known else None,
    }


def _spread(scores: Any, of: str) -> str:
    """Mean, and standard deviation over so many folds."""
    given = scores["test_score"] if isinstance(scores, Mapping) else scores
    values = np.asarray(given, dtype=np.float64)
    deviation = f"standard deviation {values.std():.3f} over {len(values)} {of}"
    return f"{values.mean():.3f} ({deviation})"


def _measures(search: Any) -> dict[str, Any]:
    """What was done between activations and scores."""
    estimator = getattr(search, "best_estimator_", search.estimator)
    steps = list(estimator.named_steps.values()) if isinstance(estimator, Pipeline) else []
    scorer = next((s for s in (search.scoring, *steps[-1:]) if isinstance(s, _SCORERS)), None)
    told = [_in_words(step) for step in steps if not extractors_in([step])]
    facts: dict[str, Any] = {"steps": " and ".join(filter(None, told)) or None}
    rdm = next((step for step in steps if isinstance(step, RDM)), None)
    if isinstance(scorer, CKAScorer):
        facts["cka"] = True
    elif isinstance(scorer, RSAScorer):
        fitted = steps[-1] if steps and isinstance(steps[-1], RSAScorer) else scorer
        names = [str(name) for name in getattr(fitted, "rdm_names_", [])]
        kind = {"rdm": "RDMs", "patterns": "response patterns"}.get(getattr(fitted, "target_", ""))
        facts |= {
            "metric": str(scorer.metric if rdm is None else rdm.metric),
            "comparison": scorer.comparison,
            "targets": f"{kind} of {', '.join(names)}" if kind and names else kind,
        }
    elif steps and (is_regressor(steps[-1]) or is_classifier(steps[-1])):
        standard = "R2" if is_regressor(steps[-1]) else "accuracy"
        named = (
            search.scoring if isinstance(search.scoring, str) else type(search.scoring).__name__
        )
        facts["predictor"] = type(steps[-1]).__name__
        facts["score"] = standard if search.scoring is None else named
    return facts


_SCORERS = (RSAScorer, CKAScorer)


def _in_words(step: Any) -> str:
    """A step of a pipeline; empty for what is told elsewhere."""
    if isinstance(step, (RDM, *_SCORERS)) or is_regressor(step) or is_classifier(step):
        return ""
    name, n = type(step).__name__, getattr(step, "n_components", None)
    if name == "StandardScaler":
        return "standardised" if step.with_std else "centred (the mean of each unit subtracted)"
    if name in ("GramPCA", "PCA") and isinstance(n, Integral):
        return f"reduced to {n} principal components"
    return f"transformed by {name}"


def tests_told(tests: Any) -> list[Any]:
    """Sentences, and facts of results of tests."""
    given = tests if isinstance(tests, list | tuple) else [tests]
    return [test if isinstance(test, str) else _of_test(test) for test in given]


def _of_test(result: Any) -> dict[str, Any]:
    if not hasattr(result, "n_boot") and not hasattr(result, "n_permutations"):
        kind = type(result).__name__
        raise TypeError(f"tests holds a {kind}: give results of tests, or sentences.")
    n = len(result.scores)
    facts = {"models": "one model" if n == 1 else f"{n} models", "comparison": result.comparison}
    if not hasattr(result, "n_boot"):
        how = "all" if result.exact else "random"
        told = {"n_permutations": result.n_permutations, "alternative": result.alternative}
        return {**facts, **told, "how": how}
    ceiling = result.ceiling and f"{result.ceiling.lower:.3f} to {result.ceiling.upper:.3f}"
    both = result.resample == "both"
    told = {"n_boot": result.n_boot, "resample": result.resample, "both": both}
    return {**facts, **told, "ceiling": ceiling}
