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

from skdnn._search._prepare import scorers_of
from skdnn._sklearn import wants_dataframe
from skdnn.decomposition import GramPCA
from skdnn.encoding import VoxelwiseRidgeCV
from skdnn.rsa import RDM, CKAScorer, RSAScorer

# What the columns are at some point of a pipeline: isometric coordinates, with the vector of ones
# where it was; principal components, whose signs are a convention; an RDM, or predictions.
ALIKE, COMPONENTS, DONE = "alike", "components", "done"

_DISTANCES = {
    ALIKE: ("correlation", "cosine", "euclidean", "sqeuclidean", "gaussian"),
    COMPONENTS: ("cosine", "euclidean", "sqeuclidean", "gaussian"),
}
_EXACT_SOLVERS = ("auto", "svd", "cholesky")  # of Ridge: the others iterate, or draw at random
_TAG = "invariant_to_isometry"
_SCORER = type(get_scorer("r2"))


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
        rule = _RULES.get(type(step))
        if rule is not None:
            found = rule(step, state, n_train)
        else:
            known = getattr(step, _TAG, False)
            found = (DONE if hasattr(step, "predict") else state) if known else None
        if found is None:
            return f"the step {name!r} ({_told(step)}) may give something else for them"
        state = found
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


Rule = Callable[[Any, str, int], str | None]


def _scaler(step: StandardScaler, state: str, n_train: int) -> str | None:
    return state if not step.with_std or state == COMPONENTS else None


def _normalizer(step: Normalizer, state: str, n_train: int) -> str | None:
    return state if step.norm == "l2" or state == COMPONENTS else None


def _pca(step: PCA, state: str, n_train: int) -> str | None:
    n = step.n_components
    counted = n is None or isinstance(n, Integral)
    if step.svd_solver == "arpack" and (not isinstance(n, Integral) or int(n) >= n_train):
        return None  # which keeps one component less
    share = isinstance(n, Real) and not counted and step.svd_solver in ("auto", "full")
    return COMPONENTS if counted or share else None


def _gram_pca(step: GramPCA, state: str, n_train: int) -> str | None:
    if isinstance(step.n_components, str):
        return None
    return ALIKE if step.keep_correlation else COMPONENTS


def _svd(step: TruncatedSVD, state: str, n_train: int) -> str | None:
    return COMPONENTS if step.n_components < n_train else None


def _ridge(step: Ridge, state: str, n_train: int) -> str | None:
    return DONE if not step.positive and step.solver in _EXACT_SOLVERS else None


def _ridge_cv(step: RidgeCV, state: str, n_train: int) -> str | None:
    return DONE if step.scoring is None or isinstance(step.scoring, str | _SCORER) else None


def _kernel_ridge(step: KernelRidge, state: str, n_train: int) -> str | None:
    radial = step.kernel == "rbf" and isinstance(step.gamma, Real)  # None: by n_features
    return DONE if radial or step.kernel == "linear" else None


def _pls(step: PLSRegression, state: str, n_train: int) -> str | None:
    return DONE if not step.scale or state == COMPONENTS else None


def _voxelwise(step: VoxelwiseRidgeCV, state: str, n_train: int) -> str | None:
    return DONE if isinstance(step.scoring, str) else None


def _rdm(step: RDM, state: str, n_train: int) -> str | None:
    if state == DONE or step.metric not in _DISTANCES[state] or step.metric_params:
        return None
    wide = step.metric == "gaussian" and not isinstance(step.gamma, Real)
    return None if wide or step.noise_precision is not None else DONE


def _scored(step: RSAScorer | CKAScorer, state: str, n_train: int) -> str | None:
    return DONE  # of an RDM, or of inner products


_RULES: dict[type, Rule] = {
    StandardScaler: _scaler,
    Normalizer: _normalizer,
    PCA: _pca,
    GramPCA: _gram_pca,
    TruncatedSVD: _svd,
    Ridge: _ridge,
    RidgeCV: _ridge_cv,
    KernelRidge: _kernel_ridge,
    PLSRegression: _pls,
    VoxelwiseRidgeCV: _voxelwise,
    RDM: _rdm,
    RSAScorer: _scored,
    CKAScorer: _scored,
}
