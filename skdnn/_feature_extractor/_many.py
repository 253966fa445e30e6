"""One pass per network for several extractors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skdnn._conditions import as_conditions
from skdnn._digests import digest_of
from skdnn._extraction import Plan, Source, Work
from skdnn._feature_extractor._extractor import DNNFeatureExtractor
from skdnn._store import ActivationStore


def precompute_many(
    extractors: Sequence[DNNFeatureExtractor],
    X: Any,
    *,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> None:
    """Fill caches for several extractors: one pass per network for all layers and poolings.

    Parameters
    ----------
    extractors : sequence of DNNFeatureExtractor
        They need not be fitted.
    X : sequence of n_images
        As for `DNNFeatureExtractor.fit`.
    n_jobs : int, default=None
        For extractors that say nothing of it.
    verbose : int, default=0
        1 shows a progress bar.

    Raises
    ------
    ValueError
        If an extractor is ill-defined, before any image goes through a network.
    """
    passes: dict[Any, tuple[DNNFeatureExtractor, Source, ActivationStore, Plan]] = {}
    inputs = None
    for extractor in extractors:
        extractor._validate_params()
        if inputs is None:
            inputs = as_conditions(X, extractor.aggregate).inputs
        source, cache, _, plan = extractor._prepare(inputs, extractor.layer)
        if cache is None:
            raise ValueError("precompute_many() needs extractors with a cache.")
        key = (
            digest_of(source.identity),
            source.precision,
            source.device,
            cache.root,
            cache.dtype,
        )
        known = passes.get(key)
        joined = plan if known is None else known[3].joined(plan)
        passes[key] = (extractor, source, cache, joined)
    for extractor, source, cache, plan in passes.values():
        assert inputs is not None  # there is an extractor
        jobs = n_jobs if extractor.n_jobs is None else extractor.n_jobs
        shown = max(verbose, extractor.verbose)
        Work(source, cache, plan, plan, extractor.batch_size, jobs, shown).store_images(inputs)
