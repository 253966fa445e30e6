"""The same search over layers for several subjects and regions, in one tidy table."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skdnn._conditions import as_conditions
from skdnn._feature_extractor import DNNFeatureExtractor
from skdnn._labels import check_labels, row_labels
from skdnn._multiple_tests import adjusted
from skdnn._search import LayerSearchCV, bootstrap_search
from skdnn._search._layer_rdms import axes_of, extractors_of, scorer_of
from skdnn._wording import listed
from skdnn.fmri._betas import Betas
from skdnn.fmri._subjects import by_subject, same_images
from skdnn.rsa import compute_rdm, noise_ceiling

COLUMNS = [
    "subject", "roi", "layer", "depth", "score", "std", "chosen", "low", "high", "p",
    "p_adjusted", "ceiling_lower", "ceiling_upper",
]  # fmt: skip


def search_regions(
    search: LayerSearchCV,
    X: Any,
    responses: Any,
    *,
    n_boot: int = 1000,
    n_permutations: int = 1000,
    random_state: int = 0,
    verbose: int = 0,
) -> pd.DataFrame:
    """Fit a search for each subject and region; each image goes through the network once.

    Parameters
    ----------
    search : LayerSearchCV
        The search, of any kind; it is cloned for each subject and region and stays as it is.
    X : sequence of n_images
        Images.
    responses : Betas, or mapping of str
        By subject, :class:`Betas` or a mapping of region to responses (n_images, n_voxels), in the
        order of `X`; one subject's need no name. Of Betas the averages of each region are taken,
        or of all voxels where there are no regions.
    n_boot : int, default=1000
        Bootstrap samples of the images for ``low`` and ``high``, where the search compares RDMs;
        0 leaves ``low``, ``high`` and the p-values empty.
    n_permutations : int, default=1000
        Permutations of the images for ``p``.
    random_state : int, default=0
        Of both, the same for all subjects and regions.
    verbose : int, default=0
        1 prints each subject and region with its best layer.

    Returns
    -------
    table : DataFrame
        A row for each subject, region and layer: ``score`` and ``std`` over folds, ``depth`` of
        the layer, ``chosen`` (whether the search chose it), ``low``, ``high`` and ``p`` as of
        :func:`skdnn.bootstrap_search`, on all images, ``p_adjusted`` (Holm's correction for the
        layers of this subject and region), and the noise ceiling of the region over subjects, on
        all images, where there are several.

    Raises
    ------
    ValueError
        If responses have other images than `X`, in another order or number, or the grid varies
        more than layers while `n_boot` asks for intervals; before anything runs.

    See Also
    --------
    skdnn.LayerSearchCV : One search.
    skdnn.plotting.RegionScoresDisplay : Draws the table.
    skdnn.rsa.random_effects_test : Tests a layer over subjects.

    Notes
    -----
    The score of the chosen layer is the best of several, and so a little too high. No p-value is
    adjusted for the number of subjects and regions.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from skdnn import RDM, DNNFeatureExtractor, LayerSearchCV, RSAScorer
    >>> from skdnn.fmri import search_regions
    >>> rng = np.random.default_rng(0)
    >>> images = rng.integers(0, 256, (12, 40, 40, 3), dtype=np.uint8)
    >>> network = DNNFeatureExtractor("squeezenet1_1", weights=None)
    >>> search = LayerSearchCV(
    ...     make_pipeline(network, RDM(), RSAScorer()),
    ...     {"dnnfeatureextractor__layer": ["features.3", "features.5"]}, cv=2)
    >>> brain = {"V1": rng.normal(size=(12, 5)), "IT": rng.normal(size=(12, 5))}
    >>> table = search_regions(search, images, brain, n_boot=0)
    >>> table.groupby("roi", sort=False)["layer"].apply(list).to_dict()
    {'V1': ['features.3', 'features.5'], 'IT': ['features.3', 'features.5']}
    """
    if n_boot and scorer_of(search) is not None:
        _refuse_other_axes(search)
    targets = dict(_targets(responses, X))
    _check_labels(search, X, targets)
    rows = []
    with ExitStack() as stack:
        shared = _sharing(search, stack)
        for (subject, region), y in targets.items():
            found = clone(shared).fit(X, y)
            table = found.layer_profile_.rename(columns={"mean": "score"})
            table["chosen"] = (table["rank"] == 1) & table["score"].notna()
            table[["subject", "roi"]] = subject, region
            if n_boot and scorer_of(found) is not None:
                result = bootstrap_search(
                    found, X, y, n_boot=n_boot, n_permutations=n_permutations,
                    random_state=random_state,
                )  # fmt: skip
                ends = result.intervals().set_index("model")
                p = result.to_frame().set_index("model")["p"]
                table[["low", "high"]] = ends.loc[table["layer"], ["low", "high"]].to_numpy()
                table["p"] = p.loc[table["layer"]].to_numpy()
                table["p_adjusted"] = adjusted(table["p"], "holm")
            if verbose:
                best = next(iter(table.loc[table["chosen"], "layer"]), "no layer has a score")
                print(f"{subject} {region}: {best} ({table['score'].max():.3f})".strip())
            rows.append(table)
    ceilings = _ceilings(search, targets)
    table = pd.concat(rows, ignore_index=True)
    found_in = [ceilings.get(region, (np.nan, np.nan)) for region in table["roi"]]
    table[["ceiling_lower", "ceiling_upper"]] = np.array(found_in, dtype=np.float64)
    return table.reindex(columns=COLUMNS)


def _targets(responses: Any, X: Any) -> Iterator[tuple[tuple[str, str], Any]]:
    """Responses by subject and region, of as many images as there are."""
    for subject, given in by_subject(responses).items():
        if isinstance(given, Betas):
            same_images(given, X, subject)
            regions = {name: given.roi(name).averages() for name in given.rois}
            regions = regions or {"": given.averages()}
        else:
            regions = dict(given)
        for region, y in regions.items():
            if len(y) != len(X):
                raise ValueError(
                    f"responses of {listed([n for n in (subject, region) if n])} have {len(y)} "
                    f"rows for {len(X)} images."
                )
            yield (str(subject), str(region)), y


def _check_labels(search: LayerSearchCV, X: Any, targets: Mapping[tuple[str, str], Any]) -> None:
    """Raise if rows are labelled by other images, as each fit would when its turn has come."""
    first = search.estimator.steps[0][1] if isinstance(search.estimator, Pipeline) else None
    if not isinstance(first, DNNFeatureExtractor):
        return  # extractors see something else than X
    names = as_conditions(X, first.aggregate).known_names
    for key, y in targets.items():
        try:
            check_labels(row_labels(y), names)
        except ValueError as error:
            of = listed([name for name in key if name])
            raise ValueError(f"responses of {of}: {error}") from error


def _refuse_other_axes(search: LayerSearchCV) -> None:
    """Intervals and p-values are of layers: nothing else can differ between candidates."""
    other = axes_of(search) - {f"{name}__layer" for name in extractors_of(search)}
    if other or len(extractors_of(search)) != 1:
        raise ValueError(
            f"search: the grid varies {listed(sorted(other)) or 'several extractors'} beside "
            "layers, and intervals are of layers: set n_boot=0, or vary layers only."
        )


def _sharing(search: LayerSearchCV, stack: ExitStack) -> LayerSearchCV:
    """A copy whose extractors keep activations until the last region is done."""
    copy: LayerSearchCV = clone(search)
    alone = any(each.cache is None for each in extractors_of(copy).values())
    if alone and copy.cache is None:
        copy.set_params(cache=stack.enter_context(tempfile.TemporaryDirectory(prefix="skdnn-")))
    return copy


def _ceilings(search: LayerSearchCV, targets: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    """Noise ceiling of each region over subjects, if there are several and RDMs are compared."""
    scorer = scorer_of(search)
    by_region: dict[str, list[Any]] = {}
    for (_, region), y in targets.items():
        by_region.setdefault(region, []).append(y)
    if scorer is None:
        return {}
    return {
        region: noise_ceiling(
            [compute_rdm(np.asarray(y), scorer.metric) for y in several], scorer.comparison
        )
        for region, several in by_region.items()
        if len(several) > 1 and scorer.target != "rdm"
    }
