"""Encoding models of several subjects: a row for each voxel and fold, with its region."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from skdnn._wording import listed
from skdnn.encoding import LayerFeatures, ncsnr, ncsnr_ceiling, nested_encoding
from skdnn.fmri._betas import Betas
from skdnn.fmri._subjects import betas_by_subject, same_images

# Bytes of averages that are kept from their check until their turn; others are read again.
_HELD = 2**31


def encode_regions(
    encoder: Any,
    X: Any,
    responses: Betas | Mapping[str, Betas],
    cv: Any = 5,
    *,
    groups: ArrayLike | None = None,
    model: str = "",
    n_permutations: int = 0,
    random_state: int = 0,
    verbose: int = 0,
) -> pd.DataFrame:
    """Evaluate an encoding model on the voxels of each subject, with their noise ceilings.

    Parameters
    ----------
    encoder : estimator
        As of :func:`~skdnn.encoding.nested_encoding`; it is cloned.
    X : LayerFeatures, dict of str to array, DataFrame or array-like
        Features, a row for each image in the order of ``Betas.images``.
    responses : Betas, or mapping of str to Betas
        One subject's, or by subject. All voxels are predicted: choose before, by
        :meth:`Betas.roi` or :meth:`Betas.keep`.
    cv : int, splitter or iterable, default=5
        Outer folds of the images, as of :func:`~skdnn.encoding.nested_encoding`.
    groups : array-like of shape (n_images,), default=None
        What must stay together.
    model : str, default=""
        What to write into the column of this name.
    n_permutations : int, default=0
        As of :func:`~skdnn.encoding.nested_encoding`.
    random_state : int, default=0
        The same for all subjects.
    verbose : int, default=0
        1 prints each subject with its median correlation.

    Returns
    -------
    table : DataFrame
        As of :func:`~skdnn.encoding.nested_encoding`, subjects one below the other. ``voxel`` is
        that of ``Betas.voxels``; ``roi`` the region, ``""`` outside of all, ``"V1 & hV4"`` in
        two. Where images were shown more than once, ``normalised`` is r divided by the ceiling
        that ``Betas.reliability`` gives; it may be above 1.

    Raises
    ------
    ValueError
        If rows of `X`, or of a layer in it, are not those of the images, or a subject has
        averages that are NaN; before anything runs.

    See Also
    --------
    skdnn.encoding.pool_folds : One row, and one p-value, for each voxel.
    skdnn.encoding.summarize_voxels : Counts voxels by region and layer.
    Betas.save_map : Puts a subject's part of the table into the brain.
    search_regions : Layers compared by region.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skdnn.encoding import VoxelwiseRidgeCV
    >>> from skdnn.fmri import encode_regions, load_betas
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(30, 4))
    >>> names = [f"{number}.png" for number in range(30)]
    >>> betas = load_betas(features[:, :2], events=pd.DataFrame({"stim_file": names}),
    ...                    images=names)
    >>> table = encode_regions(VoxelwiseRidgeCV(), features, {"sub-01": betas}, cv=3)
    >>> table.groupby(["subject", "voxel"])["r"].mean().round(1).tolist()
    [1.0, 1.0]
    """
    subjects = betas_by_subject(responses, "nested_encoding takes arrays")
    for subject, betas in subjects.items():
        for features in X.values() if isinstance(X, Mapping) else [X]:
            same_images(betas, features, subject)
    X = LayerFeatures(X) if isinstance(X, Mapping) else X
    read: dict[str, pd.DataFrame] = {}
    n_bytes = 0
    for subject, betas in subjects.items():  # before the first is fitted
        averages = betas.averages()
        _refuse_undefined(averages, subject)
        n_bytes += averages.size * averages.dtypes.iloc[0].itemsize
        if n_bytes <= _HELD:
            read[subject] = averages
    tables = []
    for subject, betas in subjects.items():
        counts = np.bincount(betas.trials["image"], minlength=len(betas.images))
        repeated = counts.max() > 1
        with warnings.catch_warnings():  # the table says it, and single folds are noisy
            warnings.filterwarnings("ignore", ".*normalised scores are above 1", RuntimeWarning)
            table = nested_encoding(
                encoder,
                X,
                read.pop(subject) if subject in read else betas.averages(),
                cv,
                groups=groups,
                model=model,
                subject=subject,
                roi=betas.regions_of_voxels,
                ceiling=ncsnr_ceiling(ncsnr(betas.repeats()), counts) if repeated else None,
                n_permutations=n_permutations,
                random_state=random_state,
            )
        tables.append(table)
        if verbose:
            print(f"{subject}: median r {table['r'].median():.3f}".removeprefix(": "))
    return pd.concat(tables, ignore_index=True)


def _refuse_undefined(averages: pd.DataFrame, subject: str) -> None:
    """Raise if a voxel has an average that is no number."""
    wrong = averages.columns[~np.isfinite(averages.to_numpy()).all(axis=0)]
    if len(wrong):
        raise ValueError(
            f"responses{f' of {subject}' if subject else ''}: {len(wrong)} of "
            f"{averages.shape[1]} voxels have NaN or an infinity: {listed(wrong.tolist())}. Leave "
            "them out by Betas.keep."
        )
