"""Results of other studies than a search told for a methods section."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import sklearn

from skdnn._methods import MethodsText
from skdnn._methods._sentences import enumerated
from skdnn._search._describe_search import Described, tests_told
from skdnn._version import __version__
from skdnn._wording import counted
from skdnn.encoding import BrainHierarchyScore, SelectKBestRidge

_RIDGE = {"alphas", "cv", "scoring"}  # what encoders that choose their penalty have


def describe_study(
    result: Any,
    extractor: Any = None,
    X: Any = None,
    *,
    data: str | None = None,
    encoder: Any = None,
    tests: Any = (),
) -> MethodsText:
    """Describe a whole study for a methods section, from its result.

    Parameters
    ----------
    result : object
        What :func:`compare_models`, :func:`skdnn.rsa.bootstrap_rsa`,
        :func:`skdnn.rsa.permutation_test`, :func:`skdnn.encoding.nested_encoding` or
        :func:`skdnn.encoding.pool_folds` gave; a fitted :class:`LayerwiseEncoder`,
        :class:`BrainHierarchyScore` or :class:`LayerSearchCV`; or the pair ``(score, details)``
        of :func:`skdnn.encoding.brain_hierarchy_score`.
    extractor : DNNFeatureExtractor or list of them, default=None
        What made the features, with their layers. A comparison of networks, a search, and a
        `BrainHierarchyScore` with an extractor know it. None elsewhere leaves a place for it in
        square brackets.
    X : sequence of n_images, default=None
        The images, as for :meth:`DNNFeatureExtractor.describe`: their number and digest.
    data : str, default=None
        What the measured data are, as the text should say it, or ``"kriegeskorte92"``. None
        leaves a place for it in square brackets.
    encoder : estimator, default=None
        That of a table of `nested_encoding`: its penalties, folds and score are told.
    tests : object, str or list of them, default=()
        Results of tests that belong to the study, or sentences about other tests.

    Returns
    -------
    text : MethodsText
        A paragraph with its references; ``text.to_json()`` is what ``skdnn describe`` reads.

    Raises
    ------
    TypeError
        If `result` is none of these.
    ValueError
        If there is an extractor of an unknown model, layer or weights, or `X` cannot be read.

    See Also
    --------
    LayerSearchCV.describe : Of a search, with nested scores.
    DNNFeatureExtractor.describe : Of features alone.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn import describe_study
    >>> from skdnn.rsa import bootstrap_rsa, compute_rdm
    >>> rng = np.random.default_rng(0)
    >>> model, *brains = (compute_rdm(rng.normal(size=(12, 5))) for _ in range(4))
    >>> found = bootstrap_rsa(model, np.stack(brains), n_boot=50, random_state=0)
    >>> text = describe_study(found, data="recordings of three subjects")
    >>> "tests of one model are from 50 bootstrap samples of conditions" in text.text
    True
    >>> text.citations[:2]
    ['schutt2023inference', 'nili2014toolbox']
    """
    if isinstance(result, Described):
        return result.describe(X, data=data, tests=tests)
    given = list(tests) if isinstance(tests, list | tuple) else [tests]
    study, networks = _facts(result, encoder)
    if study is None:
        study, given = {}, [result, *given]
    if extractor is not None:
        each = extractor if isinstance(extractor, list | tuple) else [extractor]
        networks = [one.describe(X).facts for one in each]
    study = {**study, "data": data, "tests": tests_told(given)}
    if len(networks) == 1:
        return MethodsText({**networks[0], "study": study})
    versions = {"skdnn": __version__, "scikit-learn": sklearn.__version__}
    versions["numpy"] = np.__version__
    return MethodsText({"networks": networks, "versions": versions, "study": study})


def _facts(result: Any, encoder: Any) -> tuple[dict[str, Any] | None, list[Any]]:
    """Facts of the study and of its networks, as far as the result knows them."""
    if isinstance(result, BrainHierarchyScore):
        known = getattr(result.extractor, "describe", None)
        return _of_hierarchy(result), [known(None, result.layers_).facts] if known else []
    if isinstance(result, tuple) and len(result) == 2 and hasattr(result[1], "n_units"):
        return _of_score(*result), []
    if isinstance(result, pd.DataFrame) and {"voxel", "r", "p_fdr"} <= set(result.columns):
        return {**_of_table(result), **_of_encoder(encoder)}, []
    if hasattr(result, "against_twins"):
        return _of_comparison(result), list(result.networks.values())
    if hasattr(result, "layer_names_"):
        return {"predicted": counted(len(result.layer_), "voxel"), **_of_encoder(result)}, []
    if hasattr(result, "n_boot") or hasattr(result, "n_permutations"):
        return None, []  # a test
    raise TypeError(
        f"result is a {type(result).__name__}: give what compare_models, bootstrap_rsa, "
        "permutation_test, nested_encoding or brain_hierarchy_score(..., return_details=True) "
        "gave, or a fitted LayerwiseEncoder, BrainHierarchyScore or LayerSearchCV."
    )


# --- a comparison of networks --------------------------------------------------------------------


def _of_comparison(result: Any) -> dict[str, Any]:
    twins = [twin for each in result.twins.values() for twin in each]
    models = [model for model, _ in result.index if model not in twins]
    networks = counted(len(set(models)), "network")
    scores = result.reference_scores
    references, ceilings = [], []
    for name in [] if scores is None else scores.columns.unique("reference"):
        references.append(str(name))
        if "lower" in scores[name]:
            ends = scores[name][["lower", "upper"]].iloc[0]
            ceilings.append(f"{ends['lower']:.3f} to {ends['upper']:.3f} ({name})")
            references[-1] += f" ({counted(result.n_subjects[name], 'subject')})"
    return {
        "compared": f"{counted(len(models), 'layer')} of {networks}",
        "metric": result.metric,
        "cka": result.comparison == "cka",
        "comparison": result.comparison,
        "references": enumerated(references),
        "ceilings": enumerated(ceilings),
        "twins": twins and counted(len(twins), "untrained network"),
    }


# --- encoding ------------------------------------------------------------------------------------


def _of_table(table: pd.DataFrame) -> dict[str, Any]:
    """Of the table of nested_encoding, or of pool_folds."""
    n = len(table[["subject", "roi", "voxel"]].drop_duplicates())
    subjects, rois = (_named(table[name]) for name in ("subject", "roi"))
    told = counted(n, "voxel") + (f" in {enumerated(rois)}" if rois else "")
    told += f" of {counted(len(subjects), 'subject')}" if subjects else ""
    folds = table["fold"].nunique() if "fold" in table else table["n_folds"].max()
    over = "voxels and folds" if "fold" in table else "voxels"
    normalised = table["normalised"].mean()
    return {
        "predicted": told,
        "outer": f"{folds} folds",
        "scored": f"{table['r'].mean():.3f} on average over {over}",
        "normalised": None if np.isnan(normalised) else f"{normalised:.3f} on average",
        "p_fdr": bool(table["p_fdr"].notna().any()),
    }


def _named(column: pd.Series) -> list[str]:
    return [str(name) for name in column.unique() if str(name)]


def _of_encoder(encoder: Any) -> dict[str, Any]:
    """How penalties and layers were chosen; by its name where it is no encoder of ours."""
    while hasattr(encoder, "steps"):
        encoder = encoder.steps[-1][1]
    if encoder is None:
        return {}
    if not encoder.get_params().keys() >= _RIDGE:
        return {"predictor": _regression(encoder)}
    cv, split = encoder.cv, hasattr(encoder.cv, "split")
    inner = f"{cv} folds" if isinstance(cv, Integral) else "given folds"
    inner = f"folds of {type(cv).__name__}" if split else inner
    return {
        "alphas": enumerated(f"{alpha:g}" for alpha in np.atleast_1d(encoder.alphas)),
        "inner": "each in turn" if cv is None else inner,
        "chosen_by": encoder.scoring,
        "one_penalty": not getattr(encoder, "alpha_per_target", True),
        "select": getattr(encoder, "select", None),
    }


def _regression(regressor: Any) -> str:
    if isinstance(regressor, SelectKBestRidge):
        kept = f"on the {regressor.k} inputs that correlate most with what is predicted"
        return f"ridge regression (penalty {regressor.alpha:g}) {kept}"
    return type(regressor).__name__


# --- the brain hierarchy score -------------------------------------------------------------------


def _of_hierarchy(result: BrainHierarchyScore) -> dict[str, Any]:
    subjects, areas = counted(len(result.subjects_), "subject"), enumerated(result.rois_)
    decoder = SelectKBestRidge(100, 500) if result.decoder is None else result.decoder
    interval, p_value = (getattr(result, name, None) for name in ("interval_", "p_value_"))
    limits = {"units of each layer": result.n_units, "voxels of each area": result.n_voxels}
    drawn = [f"up to {n} {what}" for what, n in limits.items() if n is not None]
    decoded = result.n_layers is not None and result.direction != "encoding"
    return {
        "levels": f"{len(result.layers_)} layers with that of {areas} in {subjects}",
        "direction": result.direction,
        "decoder": _regression(decoder),
        "drawn": enumerated(drawn).capitalize(),
        "n_test": f"{result.n_test_images_} test images",
        "level": f"{result.alpha:g}",
        "level_test": result.test,
        "adjust": result.adjust,
        "selections": decoded and f"{result.n_draws} selections of {result.n_layers} layers",
        "hierarchy": f"{result.score_:.3f}",
        "confidence": f"{100 * result.confidence:g}%",
        "samples": f"{result.n_boot} bootstrap samples",
        "interval": interval and f"{interval[0]:.3f} to {interval[1]:.3f}",
        "p_value": p_value and f"{p_value:.3g} ({result.n_permutations} random pairings)",
    }


def _of_score(score: float, details: Any) -> dict[str, Any]:
    kept, (n_levels, n_others) = int(details.table.sum()), details.table.shape
    draws = details.draws
    return {
        "levels": f"{n_levels} levels with that of the {n_others} that predict them best",
        "kept": f"{int(details.n_units.sum()):,} units or voxels, {kept:,}",
        "selections": None if draws is None else f"{len(draws)} random selections of levels",
        "hierarchy": f"{score:.3f}",
    }
