"""The RDM of a category model."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from skdnn.rsa._dissimilarity._patterns import name_rows


def category_rdm(
    labels: ArrayLike | pd.Series, *, names: Sequence[Hashable] | pd.Index | None = None
) -> pd.DataFrame:
    """RDM of a category model: 0 within a category, 1 between categories.

    Parameters
    ----------
    labels : array-like of shape (n_conditions,)
        Category of each condition.
    names : sequence of length n_conditions, default=None
        Labels of the conditions. None takes the index of `labels` if it is a Series, else
        they are ``0, 1, ...`` in order.

    Returns
    -------
    rdm : DataFrame of shape (n_conditions, n_conditions), float64
        Labelled on both sides, so that cross-validation can pick its columns by row label.

    Raises
    ------
    ValueError
        If `labels` is not one-dimensional, a category is missing, or `names` don't fit.

    See Also
    --------
    RSAScorer : Scores a representation against such a model.

    Notes
    -----
    A function of its own rather than a meaning of one-dimensional targets: a vector of numbers
    may be categories, ratings or one voxel, and only the user knows.

    Examples
    --------
    >>> from skdnn.rsa import category_rdm
    >>> category_rdm(["animal", "animal", "tool"], names=["cat", "dog", "saw"])
         cat  dog  saw
    cat  0.0  0.0  1.0
    dog  0.0  0.0  1.0
    saw  1.0  1.0  0.0
    """
    values = labels.to_numpy() if isinstance(labels, pd.Series) else np.asarray(labels)
    if values.ndim != 1:
        raise ValueError(f"labels must be one-dimensional, got shape {values.shape}.")
    missing = np.flatnonzero(pd.isna(values))
    if missing.size:
        raise ValueError(f"labels has no category for {name_rows(missing, None)}.")
    if names is None:
        names = labels.index if isinstance(labels, pd.Series) else range(len(values))
    if len(names) != len(values):
        raise ValueError(f"names has {len(names)} entries for {len(values)} labels.")
    codes = pd.factorize(values)[0]
    between = (codes[:, None] != codes[None, :]).astype(np.float64)
    return pd.DataFrame(between, index=list(names), columns=list(names))
