"""One pass through each network for all that the candidates of a search will ask of it."""

from __future__ import annotations

import warnings
from typing import Any

from skdnn._conditions import as_conditions
from skdnn._feature_extractor import DNNFeatureExtractor, precompute_many
from skdnn._images import check_images
from skdnn._labels import check_labels, row_labels
from skdnn._search._extractors import find_extractors, make_candidates


def precompute(
    estimator: Any,
    param_grid: Any,
    X: Any,
    y: Any = None,
    *,
    n_jobs: int | None = None,
    verbose: int = 0,
    tolerant: bool = False,
    warn: bool = False,
) -> bool:
    """Fill the caches of all extractors, once all has been checked.

    Parameters
    ----------
    estimator, param_grid : object
        Of the search; its extractors have caches.
    X, y : object
        Images, and what is fitted to them; y tells of their order by its labels.
    n_jobs, verbose : int
        Of the pass.
    tolerant : bool, default=False
        Whether extractors that can't be fitted are left to the search, which scores them as
        failed.
    warn : bool, default=False
        Whether to name extractors whose input is made in the course of the search.

    Returns
    -------
    repeated : bool
        Whether several candidates have the same extractors.

    Raises
    ------
    ValueError
        For wrong names of parameters or layers in the grid, wrong labels, or images that can't
        be read.
    """
    # By what is seen, X or columns of it: the data, and the extractors that see them.
    seen: dict[tuple[str, ...], tuple[Any, dict[Any, DNNFeatureExtractor]]] = {}
    unknown: set[str] = set()
    settings = []
    for _, candidate in make_candidates(estimator, param_grid):
        found = find_extractors(candidate, X)
        settings.append(tuple((each.name, each.signature) for each in found))
        unknown |= {each.name for each in found if each.data is None}
        for each in found:
            if each.data is not None:
                _, alike = seen.setdefault(each.data.key, (each.data.content, {}))
                alike.setdefault(each.signature, each.extractor)
    if unknown and warn:
        warnings.warn(
            f"{', '.join(sorted(unknown))} will see something else than X or columns of it: its "
            "activations are stored when it is fitted, layer by layer, and not in one pass "
            "before the search.",
            UserWarning,
            stacklevel=3,
        )
    for part, extractors in seen.values():
        conditions = as_conditions(part, next(iter(extractors.values())).aggregate)
        check_labels(row_labels(y), conditions.known_names)
        if len(seen) > 1:  # a single pass begins with that
            check_images(conditions.inputs)
    for part, extractors in seen.values():
        able = [e for e in extractors.values() if not tolerant or _can_fit(e, part)]
        if able:
            precompute_many(able, part, n_jobs=n_jobs, verbose=int(verbose > 0))
    return len(set(settings)) < len(settings)


def _can_fit(extractor: DNNFeatureExtractor, X: Any) -> bool:
    try:
        extractor.fit(X)
    except (TypeError, ValueError, OSError):
        return False  # and again in each of its folds, where scikit-learn reports it
    return True
