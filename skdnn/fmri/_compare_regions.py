"""Model RDMs against the RDMs of several subjects and regions, in one tidy table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skdnn._labels import find_rows, text_labels
from skdnn._wording import listed
from skdnn.fmri._betas import Betas
from skdnn.fmri._search_regions import COLUMNS
from skdnn.fmri._subjects import betas_by_subject
from skdnn.rsa import bootstrap_rsa, compute_rdm, noise_ceiling
from skdnn.rsa._comparison._rdm_stack import read_rdms


def compare_regions(
    models: Mapping[str, Any],
    responses: Betas | Mapping[str, Betas],
    comparison: str = "spearman",
    *,
    metric: str = "correlation",
    n_boot: int = 1000,
    n_permutations: int = 1000,
    random_state: int = 0,
    verbose: int = 0,
) -> pd.DataFrame:
    """Compare model RDMs with each subject's regions: layers, networks, categories, judgements.

    Parameters
    ----------
    models : mapping of str to array-like or DataFrame of shape (n_images, n_images)
        RDMs by name: arrays in the order of ``Betas.images``, or labelled by the images, which are
        then found by name.
    responses : Betas, or mapping of str to Betas
        One subject's, or by subject; of each the regions, or all voxels where it has none.
    comparison : str, default="spearman"
        As of :func:`~skdnn.rsa.compare_rdms`.
    metric : str, default="correlation"
        What RDMs of the averages are made with.
    n_boot : int, default=1000
        Bootstrap samples of the images.
    n_permutations : int, default=1000
        Permutations of the images for ``p``; 0 takes Student's t.
    random_state : int, default=0
        The same for all subjects and regions.
    verbose : int, default=0
        1 prints each subject and region with its best model.

    Returns
    -------
    table : DataFrame
        A row for each subject, region and model, with the columns of :func:`search_regions` that
        have a meaning here: ``layer`` is the model, ``score`` its similarity on all images,
        ``low`` and ``high`` the 95% interval over images, ``p`` one-sided against zero,
        ``p_adjusted`` by Holm's correction for the models of this subject and region; and the
        noise ceiling of the region over subjects, where there are several.

    Raises
    ------
    ValueError
        If RDMs are of other images; before anything is compared.

    See Also
    --------
    search_regions : Layers chosen on images held out.
    skdnn.rsa.bootstrap_rsa : The comparison itself, over subjects too, and tests of differences.
    skdnn.plotting.RegionScoresDisplay : Draws the table.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skdnn.rsa import compute_rdm
    >>> from skdnn.fmri import compare_regions, load_betas
    >>> voxels = np.random.default_rng(0).normal(size=(12, 30))
    >>> names = [f"{number}.png" for number in range(12)]
    >>> betas = load_betas(voxels, events=pd.DataFrame({"stim_file": names}), images=names)
    >>> models = {"same": compute_rdm(voxels), "other": compute_rdm(voxels[::-1])}
    >>> table = compare_regions(models, {"sub-01": betas}, n_boot=50, n_permutations=100)
    >>> table.loc[table["p_adjusted"] < 0.05, ["subject", "layer"]].values.tolist()
    [['sub-01', 'same']]
    """
    if not models:
        raise ValueError("models is empty: give at least one RDM.")
    subjects = betas_by_subject(responses, "bootstrap_rsa takes RDMs")
    regions = {
        (str(subject), region): (betas.roi(region) if region else betas)
        for subject, betas in subjects.items()
        for region in betas.rois or [""]
    }
    fitted = {
        key: {name: _of_images(rdm, betas.images, name) for name, rdm in models.items()}
        for key, betas in regions.items()
    }
    brains = {
        key: compute_rdm(betas.averages().to_numpy(), metric) for key, betas in regions.items()
    }
    ceilings = {
        region: _ceiling([key for key in regions if key[1] == region], regions, brains, comparison)
        for region in dict.fromkeys(region for _, region in regions)
    }
    tables = []
    for (subject, region), brain in brains.items():
        result = bootstrap_rsa(
            fitted[subject, region], brain, comparison, n_boot=n_boot,
            n_permutations=n_permutations, random_state=random_state,
        )  # fmt: skip
        table = result.to_frame().rename(columns={"model": "layer"})
        table[["subject", "roi"]] = subject, region
        table[["ceiling_lower", "ceiling_upper"]] = ceilings[region]
        if verbose:
            best = table.iloc[int(table["score"].argmax())]
            print(f"{subject} {region}: {best['layer']} ({best['score']:.3f})".strip())
        tables.append(table)
    whole = pd.concat(tables, ignore_index=True)
    return whole[[name for name in COLUMNS if name in whole]]


def _of_images(rdm: Any, images: list[str], name: str) -> NDArray[np.float64]:
    """A model's RDM in the order of the images."""
    what = f"models[{name!r}]"
    stack = read_rdms(rdm, what)
    if len(stack) != 1:
        raise ValueError(f"{what} holds {len(stack)} RDMs, not one.")
    labels = text_labels(stack.conditions)
    if labels is not None:
        return stack.subset(find_rows(labels, images, what)).square()[0]
    if stack.n_conditions != len(images):
        raise ValueError(
            f"{what} is of {stack.n_conditions} images without names, responses of "
            f"{len(images)}: {listed(images, 3)}."
        )
    return stack.square()[0]


def _ceiling(
    keys: list[Any], regions: Mapping[Any, Betas], brains: Mapping[Any, Any], comparison: str
) -> tuple[float, float]:
    """Of one region over subjects; unknown for one subject, or where they saw other images."""
    if len(keys) < 2 or any(regions[key].images != regions[keys[0]].images for key in keys):
        return np.nan, np.nan
    lower, upper = noise_ceiling([brains[key] for key in keys], comparison)
    return lower, upper
