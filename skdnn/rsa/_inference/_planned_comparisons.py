"""Planned comparisons: contrasts of several models, from one bootstrap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from skdnn._wording import listed
from skdnn.rsa._inference._bootstrap import bootstrap_rsa
from skdnn.rsa._inference._bootstrap_result import BootstrapResult


def planned_comparisons(
    result: BootstrapResult,
    contrasts: Mapping[Any, Mapping[Any, float]],
    level: float = 0.95,
    *,
    alternative: str = "two-sided",
    adjust: str | None = "holm",
) -> pd.DataFrame:
    """Compare sets of models that were chosen beforehand, e.g. each network with its twins.

    :meth:`BootstrapResult.pairwise <skdnn.rsa.bootstrap_rsa>` compares all pairs, and pays for
    all of them when p-values are adjusted. Here only the comparisons that are asked for count,
    and a side may be the mean of several models.

    Parameters
    ----------
    result : BootstrapResult
        Of :func:`bootstrap_rsa`.
    contrasts : dict of dict
        By the comparison's name, the weight of each model in it, by the model's name in
        `result`; the weights add up to 0. ``{"trained": {"net": 1, "twin 0": -0.5, "twin 1":
        -0.5}}`` is a network against the mean of two twins.
    level : float, default=0.95
        Level of the intervals.
    alternative : {"two-sided", "greater", "less"}, default="two-sided"
        What is to be shown about the weighted sum of scores.
    adjust : {"holm", "fdr", None}, default="holm"
        How ``p_adjusted`` is made for the number of comparisons.

    Returns
    -------
    frame : DataFrame
        With the columns ``comparison``, ``difference``, ``standard_error``, ``low``, ``high``,
        ``p`` and ``p_adjusted``.

    Raises
    ------
    ValueError
        If a model is unknown, or weights do not add up to 0.

    See Also
    --------
    bootstrap_rsa : The samples, and what the tests assume.

    Notes
    -----
    A mean of twins with several seeds stands for these seeds: what is resampled are conditions
    and subjects, not initialisations.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import bootstrap_rsa, compute_rdm, planned_comparisons
    >>> rng = np.random.default_rng(0)
    >>> brain = rng.normal(size=(20, 30))
    >>> models = {"net": compute_rdm(brain[:, :15])}
    >>> models |= {f"twin {k}": compute_rdm(rng.normal(size=(20, 15))) for k in range(2)}
    >>> result = bootstrap_rsa(models, compute_rdm(brain), n_boot=50, random_state=0)
    >>> weights = {"net": 1, "twin 0": -0.5, "twin 1": -0.5}
    >>> table = planned_comparisons(result, {"trained": weights})
    >>> table[["comparison", "difference"]].round(2)
      comparison  difference
    0    trained        0.72
    """
    places = {name: number for number, name in enumerate(result._labels())}
    weights = [_weights(name, each, places) for name, each in contrasts.items()]
    names = {"comparison": list(contrasts)}
    return result._compare(names, weights, level, alternative, adjust)


def _weights(
    name: Any, weights: Mapping[Any, float], places: Mapping[Any, int]
) -> dict[int, float]:
    """Weights by the place of the model."""
    unknown = [model for model in weights if model not in places]
    if unknown:
        raise ValueError(
            f"comparison {name!r} names models that are not in result: {unknown}; there are "
            f"{listed(places, 8)}."
        )
    if not weights or abs(sum(weights.values())) > 1e-9:
        raise ValueError(f"comparison {name!r}: the weights of models must add up to 0.")
    return {places[model]: weight for model, weight in weights.items()}


def against_twins(
    rdms: Mapping[str, Mapping[Any, Any]],
    twins: Mapping[str, Iterable[Mapping[Any, Any]]],
    data: Any,
    comparison: str,
    *,
    n_boot: int,
    level: float,
    alternative: str,
    adjust: str | None,
    random_state: Any,
) -> pd.DataFrame:
    """Each layer of each network against the mean of its twins.

    Parameters
    ----------
    rdms : dict of dict
        By network and layer, its RDM.
    twins : dict of list of dict
        By network, for each twin its RDMs by layer.
    data, comparison, n_boot, random_state
        As for :func:`skdnn.rsa.bootstrap_rsa`.
    level, alternative, adjust
        As for :func:`skdnn.rsa.planned_comparisons`.

    Returns
    -------
    table : DataFrame
        Index (model, layer); columns ``trained``, ``untrained``, ``untrained_std``,
        ``difference``, ``low``, ``high``, ``p``, ``p_adjusted``.
    """
    models: dict[str, Any] = {}
    contrasts: dict[tuple[str, Any], dict[str, float]] = {}
    for model, layers in twins.items():
        each = list(layers)
        for layer, rdm in rdms[model].items():
            own = [str(len(models) + k) for k in range(len(each) + 1)]
            models |= dict(zip(own, [rdm, *(other[layer] for other in each)], strict=True))
            contrasts[model, layer] = {own[0]: 1.0} | dict.fromkeys(own[1:], -1 / len(each))
    result = bootstrap_rsa(models, data, comparison, n_boot=n_boot, n_permutations=0,
                           random_state=random_state)  # fmt: skip
    planned = planned_comparisons(result, contrasts, level, alternative=alternative, adjust=adjust)
    score = dict(zip(models, result.scores, strict=True))
    of_twins = [[score[name] for name in list(each)[1:]] for each in contrasts.values()]
    table = pd.DataFrame(
        {
            "trained": [score[next(iter(each))] for each in contrasts.values()],
            "untrained": [float(np.mean(values)) for values in of_twins],
            "untrained_std": [_std(values) for values in of_twins],
        },
        index=pd.MultiIndex.from_tuples(contrasts, names=["model", "layer"]),
    )
    columns = ["difference", "low", "high", "p", "p_adjusted"]
    return table.join(planned[columns].set_axis(table.index))


def _std(values: list[float]) -> float:
    """Over seeds; NaN for a single one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
