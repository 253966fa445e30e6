"""What feature spaces explain of each voxel alone and together, on held-out images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils import check_random_state

from skdnn._commonality import shared_parts, subsets
from skdnn.encoding._bands._banded_ridge import BandedRidgeCV
from skdnn.encoding._layers._features import LayerFeatures
from skdnn.encoding._ridge._folds_and_penalties import make_folds
from skdnn.encoding._ridge._scores import scores_of

_MOST = 5


def voxel_variance_partitioning(
    spaces: LayerFeatures | Mapping[str, Any],
    y: ArrayLike,
    *,
    encoder: Any = None,
    cv: Any = 5,
    groups: ArrayLike | None = None,
    random_state: Any = 0,
) -> pd.DataFrame:
    r"""Split what feature spaces explain of each voxel into unique and shared parts.

    Parameters
    ----------
    spaces : LayerFeatures or dict of str to array of shape (n_images, n_features)
        Layers, categories, behaviour: two to five spaces of the same images.
    y : array-like or DataFrame of shape (n_images, n_voxels)
        Responses.
    encoder : estimator, default=None
        Takes :class:`LayerFeatures` as X and several targets; it is cloned for each set of
        spaces and each fold. None is :class:`BandedRidgeCV`, which needs himalaya.
    cv : int, splitter or iterable, default=5
        Outer folds, the same for all sets of spaces. Those of an integer are shuffled.
    groups : array-like of shape (n_images,), default=None
        What must stay together.
    random_state : int, RandomState instance or None, default=0
        Shuffles the folds.

    Returns
    -------
    parts : DataFrame of shape (2 ** n_spaces - 1, n_voxels)
        A row for each part: what a space explains alone (``"a"``), what two share and no other
        explains (``"a & b"``), and so on. The sum of a column is the held-out :math:`R^2` of all
        spaces together. Columns are those of `y`.

    Raises
    ------
    ValueError
        If there are fewer than two spaces or more than five.

    See Also
    --------
    BandedRidgeCV.contributions : Splits one model's :math:`R^2`, in one fit instead of many.
    skdnn.rsa.variance_partitioning : The same for RDMs.

    Notes
    -----
    Commonality analysis: with :math:`R^2(S)` the mean over folds of the held-out :math:`R^2` of
    the spaces in :math:`S`, the part that exactly the spaces in :math:`T` share is
    :math:`C(T) = \sum_{S \subseteq T} (-1)^{|S| + 1} R^2(S \cup \bar T)`. Parts below 0 are kept:
    a model of more spaces can predict held-out images worse, and cutting them off would turn
    noise into evidence.

    References
    ----------
    Lescroart, M. D., Stansbury, D. E., & Gallant, J. L. (2015). Fourier power, subjective
    distance, and object categories all provide plausible models of BOLD responses in
    scene-selective visual areas. Frontiers in Computational Neuroscience, 9, 135.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import VoxelwiseRidgeCV, voxel_variance_partitioning
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.normal(size=(2, 200, 5))
    >>> voxels = np.column_stack([a[:, 0], b[:, 0]])
    >>> ridge = VoxelwiseRidgeCV([0.01])
    >>> voxel_variance_partitioning({"a": a, "b": b}, voxels, encoder=ridge).round().abs()
             0    1
    a      1.0  0.0
    b      0.0  1.0
    a & b  0.0  0.0
    """
    features = spaces if isinstance(spaces, LayerFeatures) else LayerFeatures(spaces)
    names = features.names
    if not 2 <= len(names) <= _MOST:
        raise ValueError(f"spaces: give two to {_MOST}, got {len(names)}.")
    Y = np.asarray(y, dtype=np.float64)
    Y = Y.reshape(len(Y), -1)
    rng = check_random_state(random_state)
    folds = make_folds(cv, features, Y, groups, rng, shuffle=True)
    if folds is None:
        raise ValueError("cv=None: one image has no variance to explain. Give a number.")
    encoder = BandedRidgeCV() if encoder is None else encoder
    explained = {}
    for some in subsets(len(names)):
        part = LayerFeatures({names[k]: features.layer(names[k]) for k in some})
        scores = []
        for train, test in folds:
            fitted = clone(encoder).fit(part[train], Y[train])
            predicted = np.asarray(fitted.predict(part[test])).reshape(len(test), -1)
            scores.append(scores_of(predicted, Y[test], "r2"))
        explained[some] = np.mean(scores, axis=0)
    columns = y.columns if isinstance(y, pd.DataFrame) else None
    return pd.DataFrame.from_dict(shared_parts(names, explained), orient="index", columns=columns)
