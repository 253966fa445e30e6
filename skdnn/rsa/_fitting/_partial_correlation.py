"""Correlations of RDMs with other RDMs held constant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from skdnn.rsa._comparison._rdm_stack import read_rdms
from skdnn.rsa._comparison._similarity_measures import MIN_PAIRS, ranks
from skdnn.rsa._fitting._regression import same_known

Array = NDArray[np.float64]

# A spread below this share of the largest value is round-off, as in the comparisons.
_CONSTANT = 1e-12
# A norm below this share of the whole is round-off of a projection.
_NOTHING_LEFT = 1e-10


def partial_rdm_correlation(
    a: Any,
    b: Any,
    controls: Any,
    comparison: str = "spearman",
    *,
    control_reliability: float | ArrayLike | None = None,
) -> Any:
    r"""Correlation of RDMs over pairs, with other RDMs held constant.

    Parameters
    ----------
    a, b : array-like, DataFrame, dict or list
        One RDM or several, in any form that :func:`skdnn.rsa.compare_rdms` takes.
    controls : array-like, DataFrame, dict or list
        One RDM or several of the same conditions: what is to be held constant.
    comparison : {"spearman", "pearson"}, default="spearman"
        ``"pearson"``: correlation of what least squares on the controls, with a constant, leaves
        of the two RDMs. ``"spearman"``: the same of mid-ranks, those of the controls too.
    control_reliability : float or array-like of shape (n_controls,), default=None
        Reliability of the controls that were measured: the share of the variance of their pairs
        that another measurement would show again, above 0 and at most 1. The controls' noise is
        then taken out of the correlation. See Notes.

    Returns
    -------
    correlation : float, ndarray or DataFrame
        As :func:`skdnn.rsa.compare_rdms`: a float for two single RDMs, else (n_rdms_a, n_rdms_b).

    Raises
    ------
    ValueError
        If RDMs are refused by :func:`skdnn.rsa.compare_rdms`, `comparison` is another, or a
        reliability is not above 0 and at most 1.

    See Also
    --------
    compare_rdms : Correlation without controls.
    regression_rsa : What several models explain together.

    Notes
    -----
    Pairs that are NaN in one of the two RDMs or in a control are left out. The correlation is NaN
    if one of the two is constant or explained by the controls entirely, or if fewer than three
    pairs are left after one is spent on each control.

    *A noisy control holds only a part constant.* What a and b share with the true control goes on
    in their partial correlation, to the share that its noise hides: an RDM of brain responses is
    no control like one of pixels. If the control was measured twice, its reliability is
    :math:`\rho = r`, the correlation of the two RDMs (``compare_rdms`` with the same
    `comparison`), where one of them is the control, and :math:`2 r / (1 + r)` where their mean
    is. With `control_reliability`, the controls' variances are
    multiplied by it before the residuals' covariances are taken from the correlations. For one
    control,

    .. math:: \frac{r_{ab} - r_{ac} r_{bc} / \rho}
        {\sqrt{(1 - r_{ac}^2 / \rho) (1 - r_{bc}^2 / \rho)}},

    with NaN where a factor below the root is not positive. It supposes noise that is unrelated to
    the other RDMs: measure a, b and the control in different trials. For mid-ranks it is an
    approximation. The correction widens the spread of the estimate; with a reliability below .3
    or so, little can be said.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import compare_rdms, partial_rdm_correlation
    >>> rng = np.random.default_rng(2)
    >>> pixels, layer, noise = rng.random((3, 780))  # RDMs of 40 conditions
    >>> brain = pixels + noise
    >>> model = pixels + layer  # related to the brain by pixels only
    >>> print(f"{compare_rdms(model, brain):.2f}")
    0.49
    >>> print(f"{partial_rdm_correlation(model, brain, pixels):.2f}")
    -0.02

    The same with a control that is half noise:

    >>> first, second = pixels + rng.normal(scale=pixels.std(), size=(2, 780))
    >>> print(f"{partial_rdm_correlation(model, brain, first):.2f}")
    0.29
    >>> reliability = compare_rdms(first, second)
    >>> corrected = partial_rdm_correlation(
    ...     model, brain, first, control_reliability=reliability)
    >>> print(f"{corrected:.2f}")
    -0.06
    """
    if comparison not in ("spearman", "pearson"):
        raise ValueError(
            f"comparison={comparison!r}: a partial correlation is 'spearman' or 'pearson'."
        )
    stack_a = read_rdms(a, "a")
    stack_b = read_rdms(b, "b").like(stack_a, "b", "a")
    control = read_rdms(controls, "controls").like(stack_a, "controls", "a")
    reliability = _check_reliability(control_reliability, len(control))
    out = np.full((len(stack_a), len(stack_b)), np.nan)
    for rows, known_a in same_known(control.pairs, stack_a.pairs):
        for columns, known in same_known(control.pairs, stack_b.pairs, known_a):
            if known.sum() < MIN_PAIRS + len(control):
                continue
            parts = [
                stack.pairs[which][:, known]
                for stack, which in (
                    (stack_a, rows),
                    (stack_b, columns),
                    (control, np.arange(len(control))),
                )
            ]
            if comparison == "spearman":
                parts = [ranks(part) for part in parts]
            if reliability is None:
                left, right = (_unit_residuals(part, parts[2]) for part in parts[:2])
                found = left @ right.T
            else:
                found = _disattenuated(parts[0], parts[1], parts[2], reliability)
            out[np.ix_(rows, columns)] = np.clip(found, -1, 1)
    if stack_a.single and stack_b.single:
        return float(out[0, 0])
    if stack_a.names is None and stack_b.names is None:
        return out
    return pd.DataFrame(out, index=stack_a.names, columns=stack_b.names)


def _check_reliability(reliability: Any, n_controls: int) -> Array | None:
    if reliability is None:
        return None
    found = np.asarray(reliability, dtype=np.float64)
    if found.shape not in ((), (n_controls,)) or not ((found > 0) & (found <= 1)).all():
        raise ValueError(
            f"control_reliability={reliability!r}: give a number above 0 and at most 1, or one "
            f"for each of {n_controls} control(s)."
        )
    return np.broadcast_to(found, n_controls)


def _disattenuated(left: Array, right: Array, controls: Array, reliability: Array) -> Array:
    """Partial correlations as of controls without noise, which is a share of their variance."""
    left, right, controls = (_unit(part) for part in (left, right, controls))
    varies = ~np.isnan(controls[:, 0])
    controls, among = controls[varies], (controls @ controls.T)[np.ix_(varies, varies)]
    np.fill_diagonal(among, reliability[varies])
    to_left, to_right = controls @ left.T, controls @ right.T
    try:
        factor = cho_factor(among)
    except LinAlgError:  # controls that correlate by more than their reliabilities allow
        return np.full((len(left), len(right)), np.nan)
    of_left, of_right = (cho_solve(factor, to, check_finite=False) for to in (to_left, to_right))
    rest = [1 - np.sum(a * b, axis=0) for a, b in ((to_left, of_left), (to_right, of_right))]
    spread, other = (np.sqrt(np.where(part > _NOTHING_LEFT, part, np.nan)) for part in rest)
    return (left @ right.T - to_left.T @ of_right) / spread[:, None] / other


def _unit(pairs: Array) -> Array:
    """Rows centred, of norm one; NaN where they are constant."""
    centred = pairs - pairs.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    norm[norm <= _CONSTANT * np.abs(pairs).max(axis=1, keepdims=True)] = np.nan
    return centred / norm


def _unit_residuals(pairs: Array, controls: Array) -> Array:
    """Rows less their projection on the controls and a constant, of norm one; NaN if nothing."""
    centred = pairs - pairs.mean(axis=1, keepdims=True)
    controls = controls - controls.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(controls, axis=1)
    flat = norms <= _CONSTANT * np.sqrt(controls.shape[1]) * np.abs(controls).max(initial=0.0)
    basis, sizes, _ = np.linalg.svd((controls[~flat] / norms[~flat, None]).T, full_matrices=False)
    basis = basis[:, sizes > _NOTHING_LEFT * sizes.max(initial=0.0)]
    left = centred - (centred @ basis) @ basis.T
    norm = np.linalg.norm(left, axis=1)
    norm[norm <= _NOTHING_LEFT * np.linalg.norm(pairs, axis=1)] = np.nan
    return left / norm[:, None]
