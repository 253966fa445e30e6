"""What is taken from each kind of result: its tables, and what its tests are called."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from skdnn._methods import MethodsText
from skdnn._search import LayerSearchCV
from skdnn.encoding import BrainHierarchyScore, HierarchyBootstrap, pool_folds, summarize_voxels
from skdnn.fmri import SearchlightResult, SearchlightTest
from skdnn.model_comparison import ModelComparison
from skdnn.report._result import Result
from skdnn.report._searchlights import of_searchlight, of_searchlight_test
from skdnn.rsa import BootstrapResult, PermutationResult

_RESAMPLED = {
    "conditions": "other images of the same kind, for these subjects",
    "subjects": "other subjects, for these images",
    "both": "other images of the same kind and other subjects",
}
_MANTEL = {
    "name": "Mantel's test, permutation of images",
    "generalises_to": "no other images or subjects: whether model and data are related at all",
}


def result_of(thing: Any) -> Result:
    """Tables and facts of any result, with the warnings that their making gives."""
    if isinstance(thing, Result):
        return thing
    take = next((take for kind, take in _TAKERS if isinstance(thing, kind)), None)
    if take is None:
        known = ", ".join(kind.__name__ for kind, _ in _TAKERS)
        raise TypeError(f"A {type(thing).__name__} is no result that is known: {known}.")
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        found = take(thing)
    found.warnings += [f"{each.category.__name__}: {each.message}" for each in given]
    return found


def _of_search(search: LayerSearchCV) -> Result:
    check_is_fitted(search, "cv_results_")
    tables = {"all candidates": pd.DataFrame(search.cv_results_)}
    profile = getattr(search, "layer_profile_", None)
    if profile is not None:
        tables = {"layer profile": profile, **tables}
    facts = _facts(search, "best_params_", "best_score_", "n_splits_")
    facts["scoring"] = str(search.scoring or "that of the pipeline's last step")
    folds = _told(
        "Cross-validation",
        "other images of the same kind, for these subjects. The best score of several is a "
        "little too high. Folds share their images: whiskers are standard deviations over folds, "
        "not tests",
    )
    return Result("LayerSearchCV", tables, facts, [folds])


def _of_hierarchy(study: BrainHierarchyScore) -> Result:
    check_is_fitted(study, "score_")
    low, high = getattr(study, "interval_", (np.nan, np.nan))
    parts = [part for part in ("decoding", "encoding") if hasattr(study, f"{part}_score_")]
    rows = [(part, getattr(study, f"{part}_score_"), np.nan, np.nan) for part in parts]
    rows.insert(0, ("brain hierarchy score", study.score_, low, high))
    scores = pd.DataFrame(rows, columns=["score of", "score", "low", "high"])
    facts = _facts(study, "direction", "alpha", "test", "adjust", "n_units", "n_voxels",
        "n_boot", "n_permutations", "p_value_", "expected_score_", "n_test_images_", "layers_",
        "rois_", "subjects_")  # fmt: skip
    several = len(study.subjects_) > 1
    tests = []
    if hasattr(study, "interval_"):
        whom = "other subjects and units" if several else "other units, for this subject"
        how = "of units and subjects" if several else "of units"
        tests.append(_told(f"Bootstrap {how}: the interval of the score",
                           f"{whom}; for these test images"))  # fmt: skip
    if hasattr(study, "p_value_"):
        tests.append(_told("Random pairings of layers and areas: p_value",
                           "nothing beyond these data: whether there is a hierarchy"))  # fmt: skip
    tables = {"scores": scores, "best levels": study.top_table_, "accuracies": study.table_}
    return Result("BrainHierarchyScore", tables, facts, tests)


def _of_comparison(result: ModelComparison) -> Result:
    tables = {"similarities": result.to_frame()}
    if result.reference_scores is not None:
        tables = {"scores against references": result.reference_scores, **tables}
    facts = _facts(result, "comparison", "metric", "n_subjects")
    return Result("ModelComparison", tables, facts, [_DESCRIBED])


def _of_bootstrap(result: BootstrapResult) -> Result:
    facts = _facts(result, "comparison", "n_boot", "resample")
    table = result.to_frame()
    if result.ceiling is not None:
        lower, upper = map(float, result.ceiling)
        facts["noise_ceiling"] = (lower, upper)
        table = table.assign(ceiling_lower=lower, ceiling_upper=upper)
    samples = pd.DataFrame(result.samples, columns=[str(name) for name in result.names])
    tables = {"scores": table, "differences": result.pairwise(), "bootstrap samples": samples}
    return Result("BootstrapResult", tables, facts, [_bootstrap(result.resample)])


def _bootstrap(resample: str) -> dict[str, str]:
    what = {"both": "images and subjects", "conditions": "images"}.get(resample, resample)
    return _told(
        f"Bootstrap of {what}: intervals by Student's t; p, above an unrelated model; "
        "p_ceiling, below the lower noise ceiling; p of differences",
        _RESAMPLED[resample],
    )


def _of_permutation(result: PermutationResult) -> Result:
    facts = _facts(result, "comparison", "n_permutations", "exact", "alternative")
    null = pd.DataFrame(result.null, columns=[str(name) for name in result.names])
    tables = {"scores": result.to_frame(), "scores under permutation": null}
    return Result("PermutationResult", tables, facts, [_MANTEL])


def _of_hierarchy_bootstrap(result: HierarchyBootstrap) -> Result:
    facts = _facts(result, "score", "low", "high", "standard_error", "unit_variance")
    tables = {
        "bootstrap samples": pd.DataFrame({"score": result.samples}),
        "without each subject": pd.DataFrame({"score": result.left_out}),
    }
    test = _told("Bootstrap of subjects, and of units that they share",
                 "other subjects and units; for these test images")  # fmt: skip
    return Result("HierarchyBootstrap", tables, facts, [test])


def _of_methods(text: MethodsText) -> Result:
    return Result(
        "MethodsText", facts=text.facts, texts={"text": text.text, "bibtex": text.bibtex}
    )


# --- tables, told apart by their columns ---------------------------------------------------------


def _of_table(table: pd.DataFrame) -> Result:
    columns = set(table.columns) if table.columns.nlevels == 1 else set()
    for needed, take in _TABLES:
        if needed <= columns:
            return take(table)
    return Result("DataFrame", {"table": table})


def _of_folds(table: pd.DataFrame) -> Result:
    found = _of_voxels(pool_folds(table))
    return Result(found.kind, {**found.tables, "folds": table}, tests=found.tests)


def _of_voxels(table: pd.DataFrame) -> Result:
    test = _told(
        "One-sided test of the mean correlation with held-out responses; p_fdr adjusted for the "
        "number of voxels (Benjamini and Hochberg)",
        "other images of the same kind, for these voxels; not other subjects",
    )
    tables = {"areas": summarize_voxels(table), "voxels": table}
    return Result("encoding", tables, {"false_discovery_rate": 0.05}, [test])


def _of_regions(table: pd.DataFrame) -> Result:
    test = _told(
        "Bootstrap of images: low and high; permutation of images: p, above an unrelated model; "
        "p_adjusted for the layers (Holm), not for subjects and regions",
        "other images of the same kind, for this subject; not other subjects",
    )
    return Result("regions", {"regions": table}, tests=[test] if table["p"].notna().any() else [])


def _of_twin(table: pd.DataFrame) -> Result:
    test = _told(
        "Planned comparison of each layer with its untrained twin: bootstrap of images, and of "
        "subjects where there are several; p_adjusted by Holm's method",
        "other images of the same kind, and other subjects where there are several; for the "
        "random weights that were drawn",
    )
    return Result("untrained twin", {"layer profile": table}, tests=[test] if "p" in table else [])


def _of_scores(table: pd.DataFrame) -> Result:
    tests = []
    if "low" in table:
        name = _bootstrap("both")["name"].replace("and subjects", "(and subjects, if several)")
        to = "other images of the same kind, and other subjects where there are several"
        tests.append(_told(name, to))
    if "p_mantel" in table:
        tests.append({**_MANTEL, "name": f"{_MANTEL['name']}: p_mantel"})
    if "p_twin" in table:
        tests += _of_twin(pd.DataFrame({"p": []})).tests
    return Result("scores of RDMs", {"scores": table}, tests=tests or [_DESCRIBED])


def _of_profile(table: pd.DataFrame) -> Result:
    return Result("layer profile", {"layer profile": table})


_TABLES: tuple[tuple[set[str], Callable[[pd.DataFrame], Result]], ...] = (
    ({"subject", "roi", "layer", "score", "chosen", "low", "high", "p"}, _of_regions),
    ({"voxel", "roi", "fold", "layer", "r", "p_fdr", "n_test"}, _of_folds),
    ({"voxel", "roi", "layer", "r", "p_fdr"}, _of_voxels),
    ({"layer", "mean", "twin"}, _of_twin),
    ({"layer", "mean"}, _of_profile),
    ({"reference", "model", "score"}, _of_scores),
)
_TAKERS: tuple[tuple[type, Callable[[Any], Result]], ...] = (
    (LayerSearchCV, _of_search),
    (BrainHierarchyScore, _of_hierarchy),
    (ModelComparison, _of_comparison),
    (BootstrapResult, _of_bootstrap),
    (PermutationResult, _of_permutation),
    (HierarchyBootstrap, _of_hierarchy_bootstrap),
    (SearchlightResult, of_searchlight),
    (SearchlightTest, of_searchlight_test),
    (MethodsText, _of_methods),
    (pd.DataFrame, _of_table),
)


def _facts(thing: Any, *names: str) -> dict[str, Any]:
    """Attributes that are there, by their names without the underscore of fitted ones."""
    found = {name.rstrip("_"): getattr(thing, name) for name in names if hasattr(thing, name)}
    return {
        name: dict(value) if isinstance(value, Mapping) else value
        for name, value in found.items()
        if value is not None and not (isinstance(value, Mapping) and not value)
    }


def _told(name: str, to: str) -> dict[str, str]:
    return {"name": name, "generalises_to": to}


_DESCRIBED = _told("Scores without a test", "nothing: they describe these images and subjects")
