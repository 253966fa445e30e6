"""How many voxels are predicted, how well, and from which layers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


def summarize_voxels(
    voxels: pd.DataFrame, *, layers: Sequence[str] | None = None, alpha: float = 0.05
) -> pd.DataFrame:
    """Count the voxels that are predicted, by area and by layer.

    Parameters
    ----------
    voxels : DataFrame
        A row for each voxel, as :func:`pool_folds` gives it: ``roi``, ``layer``, ``r``,
        ``p_fdr``.
    layers : sequence of str or None, default=None
        Layers to count; None takes those that voxels have chosen.
    alpha : float, default=0.05
        False discovery rate at which a voxel counts as predicted.

    Returns
    -------
    summary : DataFrame
        A row for all voxels, and one for each area where there are several: ``area``,
        ``voxels``, ``median_r``, ``significant``, and for each layer the number of significant
        voxels that it predicts best.

    See Also
    --------
    pool_folds : The table of voxels.

    Examples
    --------
    >>> import pandas as pd
    >>> from skdnn.encoding import summarize_voxels
    >>> voxels = pd.DataFrame({"roi": ["V1", "V1", "IT"], "layer": ["conv1", "conv2", "conv2"],
    ...     "r": [0.5, 0.1, 0.3], "p_fdr": [0.01, 0.2, 0.03]})
    >>> summarize_voxels(voxels)
      area  voxels  median_r  significant  conv1  conv2
    0  all       3       0.3            2      1      1
    1   V1       2       0.3            1      1      0
    2   IT       1       0.3            1      0      1
    """
    names = list(dict.fromkeys(voxels["layer"])) if layers is None else list(layers)
    areas = [("all", voxels), *voxels.groupby("roi", sort=False)]
    rows = []
    for area, part in areas if len(areas) > 2 else areas[:1]:
        sure = part[part["p_fdr"] < alpha]
        rows.append(
            {
                "area": area,
                "voxels": len(part),
                "median_r": float(part["r"].median()),
                "significant": len(sure),
                **{layer: int((sure["layer"] == layer).sum()) for layer in names},
            }
        )
    return pd.DataFrame(rows)
