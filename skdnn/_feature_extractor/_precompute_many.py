"""One pass per network for several extractors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from skdnn._conditions import as_conditions
from skdnn._extraction import ExtractionTask, fill_store
from skdnn._feature_extractor._extractor import DNNFeatureExtractor
from skdnn._file_digests import digest_of


def precompute_many(
    extractors: Sequence[DNNFeatureExtractor],
    X: Any,
    *,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> None:
    """Fill caches for several extractors: one pass per network for all layers and poolings.

    They need not be fitted; if one is ill-defined, this is an error before any image goes through
    a network. `n_jobs` is for those that say nothing of it.
    """
    passes: dict[Any, ExtractionTask] = {}
    inputs = None
    for extractor in extractors:
        extractor._validate_params()
        if inputs is None:
            inputs = as_conditions(X, extractor.aggregate).inputs
        task = extractor._new_task(inputs)
        network, store = task.network, task.store
        if store is None:
            raise ValueError("precompute_many() needs extractors with a cache.")
        identity = digest_of(network.identity)
        key = (identity, network.precision, network.device, store.root, store.dtype)
        layers = task.all_layers
        if key in passes:
            layers = passes[key].layers.joined(layers)
        passes[key] = replace(
            task,
            layers=layers,
            all_layers=layers,
            n_jobs=n_jobs if task.n_jobs is None else task.n_jobs,
            verbose=max(verbose, task.verbose),
        )
    for task in passes.values():
        assert inputs is not None  # there is an extractor
        fill_store(task, inputs)
