"""One row for each voxel: the folds of a nested evaluation together, with one p-value."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtr

from skdnn._multiple_tests import adjusted

_KEYS = ["model", "subject", "roi", "voxel"]
_SCORES = ["r", "r2", "normalised"]
_NEEDED = [*_KEYS, "fold", "layer", *_SCORES, "n_test", "n_images"]


def pool_folds(table: pd.DataFrame) -> pd.DataFrame:
    r"""Put the folds of each voxel together: its scores, its layer, and one p-value.

    Parameters
    ----------
    table : DataFrame
        Of `nested_encoding`, or several of them one below the other.

    Returns
    -------
    voxels : DataFrame
        A row for each model, subject, roi and voxel, in the order of `table`: ``layer`` is the
        one that most folds chose, and ``layer_share`` the share of folds that did; ``n_folds`` is
        the number of folds in which the voxel has a correlation; ``r``, ``r2`` and ``normalised``
        are means over folds, weighted by their held-out images; ``p`` is one-sided, ``p_fdr``
        adjusted after Benjamini and Hochberg over the voxels of a model and subject.

    Raises
    ------
    ValueError
        If columns are missing, or a voxel has a fold twice.

    See Also
    --------
    nested_encoding : Makes the table.
    skdnn.encoding.score_p_values : Of one set of held-out images, by permutation.

    Notes
    -----
    *The p-value* is that of the mean correlation, :math:`\bar r = \sum_f w_f r_f` with
    :math:`w_f = n_f / \sum_g n_g`. Under the null hypothesis that the responses of a voxel are
    exchangeable over images, :math:`r_f` has mean 0 and variance :math:`1 / (n_f - 1)`, whatever
    was predicted. Folds are not independent of each other, though: a prediction that is linear in
    the training responses makes of all held-out products one quadratic form :math:`y^T H y`,
    whose blocks :math:`H_{fg}` and :math:`H_{gf}` are nearly each other's transpose, so that each
    pair of images counts twice. Its variance is
    :math:`\lVert H \rVert^2 + \mathrm{tr}(H H) \le 2 \lVert H \rVert^2`, where folds that were
    independent would give :math:`\lVert H \rVert^2`. So

    .. math:: z = \bar r \Big/ \sqrt{2 m \sum_f w_f^2 / (n_f - 1)},

    with 1 in place of 2 for a single fold, and :math:`m` the number of times that an image is
    tested on average, where that is more than once. Taking folds as independent rejects .12 of
    voxels without signal at the level .05, this .04 (``benchmarks/encoding_calibration.py``).
    Images that share a run's drift are not exchangeable: average repeats first.

    Correlations within folds are averaged, not one correlation of all held-out predictions: that
    one is biased below zero where a model is worthless, since a fold's mean is predicted from
    images whose mean lies on the other side.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import VoxelwiseRidgeCV, nested_encoding, pool_folds
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(60, 8))
    >>> voxels = features[:, :2] + [1, 100] * rng.normal(size=(60, 2))
    >>> table = nested_encoding(VoxelwiseRidgeCV(), features, voxels, cv=5, random_state=0)
    >>> pool_folds(table)[["voxel", "n_folds", "r", "p"]].round(3)
       voxel  n_folds      r      p
    0      0        5  0.502  0.004
    1      1        5 -0.002  0.505
    """
    lacking = [column for column in _NEEDED if column not in table.columns]
    if lacking:
        raise ValueError(
            f"table has no column {', '.join(lacking)}: give one that nested_encoding returned."
        )
    twice = table.duplicated([*_KEYS, "fold"])
    if twice.any():
        first = table.loc[twice, [*_KEYS, "fold"]].iloc[0].to_dict()
        raise ValueError(f"table has the same fold of a voxel twice: {first}.")
    known = table["r"].notna()
    weight = table["n_test"].where(known, 0)
    parts = table[[*_KEYS, "n_images"]].assign(
        weight=weight,
        n_folds=known.astype(int),
        # of the weighted sum, were folds independent
        variance=weight**2 / np.maximum(table["n_test"] - 1, 1),
        **{score: table[score] * weight for score in _SCORES},
    )
    grouped = parts.groupby(_KEYS, sort=False, dropna=False)
    sums = grouped.sum(min_count=1)
    whole = sums["weight"].where(sums["weight"] > 0)
    found = sums[["n_folds"]].join(_layers(table))
    for score in _SCORES:
        found[score] = sums[score] / whole
    times = np.maximum(whole / grouped["n_images"].first(), 1)
    shared = np.where(sums["n_folds"] > 1, 2, 1)
    found["p"] = ndtr(-sums["r"] / np.sqrt(shared * times * sums["variance"]))
    found = found.reset_index()
    studies = found.groupby(["model", "subject"], sort=False, dropna=False)["p"]
    found["p_fdr"] = studies.transform(lambda p: adjusted(p.to_numpy(), "fdr"))
    return found[["model", "layer", "layer_share", *_KEYS[1:], "n_folds", *_SCORES, "p", "p_fdr"]]


def _layers(table: pd.DataFrame) -> pd.DataFrame:
    """The layer that most folds of a voxel chose, the first of equal ones, and their share."""
    sizes = table.groupby([*_KEYS, "layer"], sort=False, dropna=False).size()
    counted = sizes.rename("n").reset_index()
    folds = counted.groupby(_KEYS, sort=False, dropna=False)["n"].transform("sum")
    counted["layer_share"] = (counted["n"] / folds).where(counted["layer"].notna())
    counted = counted.sort_values("n", ascending=False, kind="stable").drop_duplicates(_KEYS)
    return counted.set_index(_KEYS)[["layer", "layer_share"]]
