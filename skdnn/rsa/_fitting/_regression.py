"""Several model RDMs at once: regression."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import nnls

from skdnn._html import card
from skdnn.rsa._comparison._rdm_stack import RDMStack, rdm_name, read_rdms
from skdnn.rsa._comparison._similarity_measures import ranks

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Subset = tuple[int, ...]

# A spread below this share of the largest value is round-off, as in the comparisons.
_CONSTANT = 1e-12
# A norm below this share of the whole is round-off of a projection.
_NOTHING_LEFT = 1e-10


@dataclass(frozen=True)
class RegressionRSA:
    """Result of :func:`regression_rsa`.

    Parameters
    ----------
    coefficients : DataFrame of shape (n_rdms, n_models), float64
        Weight of each model's RDM for each RDM in `data`.
    intercepts : Series of length n_rdms, float64
        Constant of each regression; 0 between standardized RDMs.
    r2 : Series of length n_rdms, float64
        Share of the variance over pairs that all models explain together.
    unique : DataFrame of shape (n_rdms, n_models), float64
        By how much that share falls without the model.

    See Also
    --------
    regression_rsa : Computes it.

    Examples
    --------
    >>> from skdnn.rsa import regression_rsa
    >>> models = {"colour": [0, 0, 1, 1, 1, 0], "shape": [0, 1, 0, 0, 1, 0]}
    >>> result = regression_rsa(models, {"sub-01": [0.1, 0.3, 0.9, 0.8, 1.2, 0.2]})
    >>> result.to_frame().round(2)
          rdm   model  coefficient  unique    r2
    0  sub-01  colour         0.94    0.89  0.98
    1  sub-01   shape         0.29    0.08  0.98
    """

    coefficients: pd.DataFrame
    intercepts: pd.Series[float]
    r2: pd.Series[float]
    unique: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """One table of all results.

        Returns
        -------
        table : DataFrame
            A row for each RDM and model, with the columns ``"rdm"`` (or the levels of the names
            in `data`), ``"model"``, ``"coefficient"``, ``"unique"`` and ``"r2"``.
        """
        rdms, models = self.coefficients.index, self.coefficients.columns
        rows = rdms.repeat(len(models)).to_frame(index=False)
        rows["model"] = [rdm_name(model) for model in models] * len(rdms)
        rows["coefficient"] = self.coefficients.to_numpy().ravel()
        rows["unique"] = self.unique.to_numpy().ravel()
        rows["r2"] = self.r2.to_numpy().repeat(len(models))
        return rows

    def _repr_html_(self) -> str:
        """A card for notebooks."""
        facts = {
            "RDMs": len(self.coefficients),
            "models": [rdm_name(model) for model in self.coefficients.columns],
        }
        return card("RegressionRSA", facts, self.to_frame())


def regression_rsa(
    models: Any,
    data: Any,
    *,
    nonnegative: bool = False,
    intercept: bool = True,
    standardize: bool = True,
    rank: bool = False,
) -> RegressionRSA:
    r"""Regress RDMs on several model RDMs at once.

    Parameters
    ----------
    models : dict, DataFrame or array-like
        RDMs of two models or more (one will do), in any form of several RDMs that
        :func:`skdnn.rsa.compare_rdms` takes; the keys of a dict name the models.
    data : array-like, DataFrame, dict or list
        One RDM or several of the same conditions, e.g. of subjects, ROIs, time points. Each is
        regressed by itself, hundreds of them in one go.
    nonnegative : bool, default=False
        Allow no negative coefficients.
    intercept : bool, default=True
        Add a constant to all pairs.
    standardize : bool, default=True
        Divide all RDMs by their standard deviation over pairs (root mean square without an
        intercept), so that coefficients can be compared between models and RDMs. They are then
        standardized regression weights.
    rank : bool, default=False
        Replace dissimilarities by their mid-ranks first, models' and data's.

    Returns
    -------
    result : RegressionRSA
        With ``coefficients``, ``intercepts``, ``r2``, ``unique`` and ``to_frame()``.

    Raises
    ------
    ValueError
        If RDMs are refused by :func:`skdnn.rsa.compare_rdms`, a model's RDM is constant, or
        there are as many models as known pairs.

    See Also
    --------
    variance_partitioning : Also the shared parts, and on held-out conditions.
    partial_rdm_correlation : Correlation with other RDMs held constant.
    LayerMixtureRSA : Non-negative weights in cross-validation.

    Notes
    -----
    With an intercept :math:`R^2 = 1 - \sum (d - \hat d)^2 / \sum (d - \bar d)^2` over pairs;
    without one the mean in the denominator is 0. A model's unique share is the :math:`R^2` of
    all models less that of all others, each fitted anew. Coefficients of models that are linearly
    dependent are those of least norm.

    Pairs that are NaN in a model are left out for all, those that are NaN in an RDM of `data` for
    that RDM. A constant RDM in `data` has no variance to explain: its :math:`R^2` is NaN.

    :math:`R^2` grows with every model, whatever it is, and pairs are not independent: test
    coefficients over subjects, or use ``variance_partitioning(..., cv=5)``.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import regression_rsa
    >>> rng = np.random.default_rng(0)
    >>> shape, colour = rng.random((2, 66))  # RDMs of 12 conditions
    >>> subjects = {f"sub-{k}": 3 * shape + colour + rng.random(66) for k in (1, 2)}
    >>> result = regression_rsa({"shape": shape, "colour": colour}, subjects)
    >>> result.coefficients.round(2)
    model  shape  colour
    rdm
    sub-1   0.89    0.27
    sub-2   0.88    0.29
    >>> result.r2.round(2).to_dict()
    {'sub-1': 0.91, 'sub-2': 0.91}
    """
    model_stack, data_stack = read_both(models, data)
    n_models, n_rdms = len(model_stack), len(data_stack)
    coefficients = np.full((n_rdms, n_models), np.nan)
    unique, intercepts, r2 = coefficients.copy(), np.full(n_rdms, np.nan), np.full(n_rdms, np.nan)
    everything = tuple(range(n_models))
    for rows, known in same_known(model_stack.pairs, data_stack.pairs):
        design, wanted = model_stack.pairs[:, known], data_stack.pairs[rows][:, known]
        check_design(design, model_stack, intercept)
        if rank:
            design, wanted = ranks(design), ranks(wanted)
        fit = Regression(design, wanted, intercept, standardize, nonnegative)
        coefficients[rows] = fit.coefficients(everything).T
        intercepts[rows] = fit.intercepts(coefficients[rows])
        r2[rows] = fit.r2(everything)
        for model in everything:
            others = everything[:model] + everything[model + 1 :]
            unique[rows, model] = r2[rows] - fit.r2(others)
    index, columns = names_of(data_stack, "rdm"), names_of(model_stack, "model")
    return RegressionRSA(
        pd.DataFrame(coefficients, index, columns),
        pd.Series(intercepts, index, name="intercept"),
        pd.Series(r2, index, name="r2"),
        pd.DataFrame(unique, index, columns),
    )


class Regression:
    """Least squares of many RDMs on subsets of models, after one factorisation of the design.

    Rows of `design` and `wanted` are condensed RDMs. Regressions on a subset of the columns of Q R
    need only those columns of R, and Q' times the RDMs.
    """

    def __init__(
        self, design: Array, wanted: Array, intercept: bool, standardize: bool, nonnegative: bool
    ) -> None:
        self.nonnegative = nonnegative
        self.model_mean = design.mean(axis=1) if intercept else np.zeros(len(design))
        self.mean = wanted.mean(axis=1) if intercept else np.zeros(len(wanted))
        centred = design - self.model_mean[:, None]
        wanted = wanted - self.mean[:, None]
        norms = np.sqrt(np.mean(wanted**2, axis=1))
        flat = norms <= _CONSTANT * np.abs(wanted + self.mean[:, None]).max(axis=1)
        norms[flat] = np.nan
        self.model_scale = np.sqrt(np.mean(centred**2, axis=1))
        self.scale = norms
        self.standardize = standardize
        rotation, self.triangle = np.linalg.qr((centred / self.model_scale[:, None]).T)
        # Of RDMs in units of their standard deviation: the sum of squares is the number of pairs.
        self.right = rotation.T @ (wanted / norms[:, None]).T
        self.n_pairs = design.shape[1]

    def standardized(self, models: Subset) -> Array:
        """Coefficients (n_models of the subset, n_rdms) of standardized RDMs."""
        triangle = self.triangle[:, list(models)]
        out = np.full((len(models), self.right.shape[1]), np.nan)
        defined = ~np.isnan(self.scale)
        right = self.right[:, defined]
        if not models:
            return out
        if self.nonnegative:
            for column, values in zip(np.flatnonzero(defined), right.T, strict=True):
                out[:, column] = nnls(triangle, values)[0]
        else:
            out[:, defined] = np.linalg.lstsq(triangle, right, rcond=None)[0]
        return out

    def coefficients(self, models: Subset) -> Array:
        """Coefficients in the units asked for."""
        found = self.standardized(models)
        if self.standardize:
            return found
        return found * self.scale / self.model_scale[list(models)][:, None]

    def intercepts(self, coefficients: Array) -> Array:
        """Constants of regressions on all models, whose coefficients are (n_rdms, n_models)."""
        if self.standardize:
            return np.where(np.isnan(self.scale), np.nan, 0.0)  # all means are zero
        out: Array = self.mean - coefficients @ self.model_mean
        return out

    def r2(self, models: Subset) -> Array:
        """Explained share for each RDM."""
        if not models:
            return np.where(np.isnan(self.scale), np.nan, 0.0)
        fitted = self.triangle[:, list(models)] @ self.standardized(models)
        # At a least-squares solution, and at one without negative ones, residual and fit are
        # orthogonal: what is explained is the fit's sum of squares.
        share: Array = np.sum(fitted**2, axis=0) / self.n_pairs
        return share


def read_both(models: Any, data: Any) -> tuple[RDMStack, RDMStack]:
    """Models and data, the latter in the order of the former's conditions."""
    model_stack = read_rdms(models, "models")
    return model_stack, read_rdms(data, "data").like(model_stack, "data", "models")


def same_known(
    models: Array, data: Array, known: Mask | None = None
) -> Iterator[tuple[NDArray[np.intp], Mask]]:
    """Rows of `data` that know the same pairs, and which; those that all models know too."""
    base = ~np.isnan(models).any(axis=0)
    if known is not None:
        base = base & known
    masks, groups = np.unique(np.isnan(data), axis=0, return_inverse=True)
    for group, missing in enumerate(masks):
        yield np.flatnonzero(groups.ravel() == group), base & ~missing


def check_design(design: Array, models: RDMStack, intercept: bool, where: str = "") -> None:
    """Refuse regressions without a unique meaning."""
    if design.shape[1] <= len(design) + intercept:
        raise ValueError(
            f"Only {design.shape[1]} pairs are known (not NaN) in models and data{where}, for "
            f"{len(design)} models: more pairs than coefficients are needed."
        )
    flat = np.ptp(design, axis=1) <= _CONSTANT * np.abs(design).max(axis=1)
    if flat.any():
        names = names_of(models, "model")[flat]
        shown = ", ".join(repr(rdm_name(name)) for name in names)
        raise ValueError(
            f"The RDM of the model(s) {shown} is constant{where}, and explains nothing: leave it "
            "out."
        )


def names_of(stack: RDMStack, name: str) -> pd.Index:
    """Names of the RDMs, or their numbers."""
    if stack.names is None:
        return pd.RangeIndex(len(stack), name=name)
    if stack.names.nlevels == 1:
        return stack.names.rename(name)
    return stack.names
