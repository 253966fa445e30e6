"""Which pipelines give the same for features and for their isometric coordinates."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.metrics import get_scorer
from sklearn.preprocessing import Normalizer, StandardScaler

from skdnn._search._extractors import scorers_of
from skdnn._sklearn import wants_dataframe
from skdnn.decomposition import GramPCA
from skdnn.encoding import VoxelwiseRidgeCV
from skdnn.rsa import RDM, CKAScorer, RSAScorer

# What the columns are at some point of a pipeline: isometric coordinates, with the vector of ones
# where it was; principal components, whose signs are a convention; an RDM, or predictions. Behind
# some steps they are what they were.
ALIKE, COMPONENTS, DONE, SAME = "alike", "components", "done", "same"

_DISTANCES = {
    ALIKE: ("correlation", "cosine", "euclidean", "sqeuclidean", "gaussian"),
    COMPONENTS: ("cosine", "euclidean", "sqeuclidean", "gaussian"),
}
_EXACT_SOLVERS = ("auto", "svd", "cholesky")  # of Ridge: the others iterate, or draw at random
_TAG = "invariant_to_isometry"
_SCORER = type(get_scorer("r2"))


def _pca_is_known(step: PCA, state: str, n_train: int) -> bool:
    n = step.n_components
    if step.svd_solver == "arpack":  # which keeps one component less
        return isinstance(n, Integral) and int(n) < n_train
    share = isinstance(n, Real) and step.svd_solver in ("auto", "full")
    return n is None or isinstance(n, Integral) or share


def _rdm_is_known(step: RDM, state: str, n_train: int) -> bool:
    if step.metric not in _DISTANCES.get(state, ()) or step.metric_params:
        return False
    by_width = step.metric == "gaussian" and not isinstance(step.gamma, Real)
    return not by_width and step.noise_precision is None


# Of each known step, what the columns are behind it, and when it gives the same for both.
_RULES: dict[type, tuple[str, Callable[[Any, str, int], bool]]] = {
    StandardScaler: (SAME, lambda step, state, n: not step.with_std or state == COMPONENTS),
    Normalizer: (SAME, lambda step, state, n: step.norm == "l2" or state == COMPONENTS),
    PCA: (COMPONENTS, _pca_is_known),
    GramPCA: (COMPONENTS, lambda step, state, n: not isinstance(step.n_components, str)),
    TruncatedSVD: (COMPONENTS, lambda step, state, n: step.n_components < n),
    Ridge: (DONE, lambda step, *_: not step.positive and step.solver in _EXACT_SOLVERS),
    RidgeCV: (DONE, lambda step, *_: isinstance(step.scoring, str | _SCORER | None)),
    KernelRidge: (  # without gamma, by n_features
        DONE,
        lambda step, *_: (
            step.kernel == "linear" or (step.kernel == "rbf" and isinstance(step.gamma, Real))
        ),
    ),
    PLSRegression: (DONE, lambda step, state, n: not step.scale or state == COMPONENTS),
    VoxelwiseRidgeCV: (DONE, lambda step, *_: isinstance(step.scoring, str)),
    RDM: (DONE, _rdm_is_known),
    RSAScorer: (DONE, lambda *_: True),  # of an RDM
    CKAScorer: (DONE, lambda *_: True),  # of inner products
}


def why_not(steps: list[tuple[str, Any]], scoring: Any, n_train: int) -> str:
    """Why a pipeline must see the features themselves; empty if it need not.

    Parameters
    ----------
    steps : list of (str, estimator)
        Those behind the features, with their names.
    scoring : object
        Of a search.
    n_train : int
        Conditions of the smallest training fold.

    Returns
    -------
    reason : str
        Names the step and the parameter.
    """
    state = ALIKE
    for name, step in steps:
        if wants_dataframe(step):
            return f"the step {name!r} gives tables, whose columns have names"
        if step is None or (isinstance(step, str) and step == "passthrough"):
            continue
        if type(step) in _RULES:
            behind, holds = _RULES[type(step)]
            same = holds(step, state, n_train)
        else:
            behind = DONE if hasattr(step, "predict") else SAME
            same = getattr(step, _TAG, False)
        if not same:
            return f"the step {name!r} ({_told(step)}) may give something else for them"
        if type(step) is GramPCA and step.keep_correlation:
            behind = ALIKE
        state = state if behind == SAME else behind
    return _why_not_scored(scoring, state)


def is_claimed(steps: list[tuple[str, Any]], scoring: Any) -> bool:
    """Whether it is by their own word that all steps and scorers are known."""
    parts = [step for _, step in steps if not isinstance(step, str) and step is not None]
    return any(type(part) not in _RULES for part in parts) or any(
        getattr(each, _TAG, False) for each in scorers_of(scoring)
    )


def exact(step: Any) -> None:
    """Set the solver of a decomposition that draws at random, or stops early, to an exact one."""
    if type(step) is PCA:
        step.svd_solver = "full"
    elif type(step) is TruncatedSVD:
        step.algorithm, step.tol, step.random_state = "arpack", 0.0, 0


def _told(step: Any) -> str:
    text = " ".join(repr(step).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def _why_not_scored(scoring: Any, state: str) -> str:
    """The same of the scorers."""
    for each in scorers_of(scoring):
        if each is None and state != DONE:
            return "the last step scores itself, which may depend on the number of units"
        if each is None or isinstance(each, str | _SCORER):
            continue
        if isinstance(each, RSAScorer):
            known = [name for name in _DISTANCES.get(state, ()) if name != "gaussian"]
            if state != DONE and each.metric not in known:  # its gamma hangs on n_features
                return f"scoring makes RDMs of them by {each.metric!r}"
        elif not isinstance(each, CKAScorer) and not getattr(each, _TAG, False):
            return f"scoring is {_told(each)}, which may look at them"
    return ""
