"""RDMs of models against those of a brain: scores, ceilings, intervals and tests in one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from skdnn.rsa import bootstrap_rsa, compare_rdms, noise_ceiling, permutation_test


def score_rdms(
    models: Mapping[str, pd.DataFrame],
    references: Mapping[str, pd.DataFrame],
    comparison: str = "spearman",
    *,
    n_boot: int | None = None,
    n_permutations: int | None = None,
    random_state: Any = 0,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Score RDMs of models against those of brains or behaviour.

    Parameters
    ----------
    models : dict of str to DataFrame of shape (n_conditions, n_conditions)
        RDMs by name.
    references : dict of str to DataFrame of shape (n_conditions, n_subjects * n_conditions)
        By name one RDM, or several side by side under a MultiIndex (subject, condition).
    comparison : str, default="spearman"
        As of :func:`skdnn.rsa.compare_rdms`.
    n_boot : int or None, default=None
        Bootstrap samples behind intervals and tests; None makes none.
    n_permutations : int or None, default=None
        Of Mantel's test; None makes none.
    random_state : int, RandomState or None, default=0
        Of both.

    Returns
    -------
    scores : DataFrame
        A row for each reference and model: ``reference``, ``model``, ``score`` (the mean over
        subjects); what :func:`skdnn.rsa.bootstrap_rsa` tells of it; ``p_mantel`` and
        ``p_mantel_adjusted``; of several subjects ``ceiling_lower`` and ``ceiling_upper``.
    bootstraps : dict of str to BootstrapResult
        By reference, if there was a bootstrap.

    Raises
    ------
    ValueError
        If conditions differ, or `comparison` is unknown.

    See Also
    --------
    skdnn.compare_models : Networks, from images on.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skdnn.model_comparison import score_rdms
    >>> from skdnn.rsa import compute_rdm
    >>> rng = np.random.default_rng(0)
    >>> patterns = rng.normal(size=(12, 6))
    >>> brain = pd.DataFrame(compute_rdm(patterns))
    >>> table, _ = score_rdms({"same": brain, "negative": -brain}, {"it": brain})
    >>> table.round(2)
      reference     model  score
    0        it      same    1.0
    1        it  negative   -1.0
    """
    tables, bootstraps = [], {}
    for name, reference in references.items():
        table = _scores(dict(models), reference, comparison)
        if n_boot:
            bootstraps[name] = bootstrap_rsa(
                dict(models), reference, comparison, n_boot=n_boot, random_state=random_state
            )
            table = table.drop(columns="score").merge(bootstraps[name].to_frame(), on="model")
        if n_permutations:
            tested = permutation_test(
                dict(models),
                reference,
                comparison,
                n_permutations=n_permutations,
                random_state=random_state,
            )
            found = tested.to_frame().drop(columns="score")
            named = {"p": "p_mantel", "p_adjusted": "p_mantel_adjusted"}
            table = table.merge(found.rename(columns=named), on="model")
        table.insert(0, "reference", name)
        tables.append(table)
    whole = pd.concat(tables, ignore_index=True)
    whole = whole.drop(columns=[c for c in whole if c != "score" and whole[c].isna().all()])
    ceilings = [name for name in ("ceiling_lower", "ceiling_upper") if name in whole]
    return whole[[*(name for name in whole if name not in ceilings), *ceilings]], bootstraps


def _scores(
    models: dict[str, pd.DataFrame], reference: pd.DataFrame, comparison: str
) -> pd.DataFrame:
    """Mean similarity to the subjects, and their noise ceiling."""
    each = np.asarray(compare_rdms(models, reference, comparison), dtype=np.float64)
    each = each.reshape(len(models), -1)
    table = pd.DataFrame({"model": list(models), "score": each.mean(axis=1)})
    if each.shape[1] > 1:
        lower, upper = noise_ceiling(reference, comparison)
        table = table.assign(ceiling_lower=lower, ceiling_upper=upper)
    return table
