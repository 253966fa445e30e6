"""The profile of a search beside that of the untrained twin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from skdnn.plotting._layer_scores import LayerScoresDisplay


def draw_with_twin(
    search: Any,
    table: pd.DataFrame,
    *,
    n_seeds: int = 1,
    alpha: float = 0.05,
    ylabel: str | None = None,
    **options: Any,
) -> LayerScoresDisplay:
    """Draw the scores of a fitted search over layers, and those of the untrained twin.

    Parameters
    ----------
    search : LayerSearchCV
        Fitted.
    table : DataFrame
        What :func:`skdnn.compare_with_twin` gives for it.
    n_seeds : int, default=1
        How many seeds the twin had.
    alpha : float, default=0.05
        Layers whose difference has an adjusted p-value below it have a dot.
    ylabel : str or None, default=None
        What the scores are; None names the search's scorer.
    **options : dict
        Arguments of :meth:`LayerScoresDisplay.plot` for the search.

    Returns
    -------
    display : LayerScoresDisplay
        The search's profile; the twin's is drawn in the same axes. Of several ROIs, their mean.

    See Also
    --------
    LayerScoresDisplay.from_search : The search alone.
    skdnn.compare_with_twin : Makes the table.

    Examples
    --------
    >>> from skdnn import compare_with_twin
    >>> from skdnn.plotting import draw_with_twin
    >>> table = compare_with_twin(search, images, rdm, twin=3)  # doctest: +SKIP
    >>> draw_with_twin(search, table, n_seeds=3)  # doctest: +SKIP
    """
    tested: Any = table["p_adjusted"].to_numpy() if "p_adjusted" in table else np.ones(len(table))
    if not (tested < alpha).any():
        tested = None  # no dots, so no legend for them
    named = {} if ylabel is None else {"ylabel": ylabel}
    title = "dots: trained differs from untrained (Holm)" if tested is not None else None
    display = LayerScoresDisplay.from_search(
        search,
        **{
            "each": False,
            "label": "trained (± SD over folds)",
            "title": title,
            "p_values": tested,
            "alpha": alpha,
            "whiskers": "",  # the labels say it
            **named,
            **options,
        },
    )
    twins = table[["layer"]].assign(mean=table["twin"], std=table["twin_std"].fillna(0))
    spread = f" (± SD over {n_seeds} seeds)" if n_seeds > 1 else ""
    LayerScoresDisplay.from_scores(
        twins, ax=display.ax_, label=f"untrained{spread}", whiskers="", **named
    )
    return display
