"""A task: which layers of which network, kept where. What its rows are found by, what is missing.

Whatever a value depends on is in the key of its layer's rows, and an image is found among them by
its digest.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np

from skdnn._extraction._cache_key import cache_keys
from skdnn._extraction._chosen_layers import ChosenLayers
from skdnn._extraction._chosen_network import ChosenNetwork
from skdnn._extraction._random_networks import is_repeatable
from skdnn._file_digests import digest_images
from skdnn._images import ImageInputs
from skdnn._sklearn import Interval, StrOptions
from skdnn._store import ActivationStore, LayerRows, StoreFolder

#: What scikit-learn checks of the parameters that all estimators with tasks have.
TASK_PARAMETERS: dict[str, list[Any]] = {
    "backend": [StrOptions({"auto", "torch", "pt", "tensorflow", "tf"})],
    "device": [str],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "precision": [StrOptions({"float32", "bfloat16", "float16"})],
    "cache": [str, os.PathLike, ActivationStore, None],
    "n_jobs": [Integral, None],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
    "version": [str, None],
}
#: Images that lack the same layers: names of these, and rows of the images.
Group = tuple[list[str], np.ndarray]


@dataclass(frozen=True)
class ExtractionTask:
    """Which layers of which network, kept where, and how to go about it.

    Attributes
    ----------
    network : ChosenNetwork
    layers : ChosenLayers
        Those asked for: a pass is made for them.
    all_layers : ChosenLayers
        These and others, which are stored wherever a pass is made.
    store : ActivationStore or None
    batch_size : int
    n_jobs : int or None
    verbose : int
        1 shows a progress bar.
    """

    network: ChosenNetwork
    layers: ChosenLayers
    all_layers: ChosenLayers
    store: ActivationStore | None
    batch_size: int
    n_jobs: int | None = None
    verbose: int = 0

    @cached_property
    def identity(self) -> tuple[str, Any, list[Any]]:
        """That of the network, as it was where this was first asked for: workers are told."""
        self.network.refuse_changed()
        return self.network.identity

    @cached_property
    def stored_as(self) -> dict[str, dict[str, Any]]:
        """All that each layer's stored values depend on (``key``), and the same for people.

        ValueError if the network or the preprocessing is code that cannot be fingerprinted, or the
        file of its weights has changed since it was looked up.
        """
        network = self.network
        return cache_keys(network.spec, network.precision, self.identity, self.all_layers.captures)

    @property
    def store_folder(self) -> StoreFolder:
        """What the store reads and writes with."""
        assert self.store is not None  # asked for by those who have one
        return self.store.depot

    def rows(self, layer: str) -> LayerRows:
        """What is stored of a layer."""
        return self.store_folder.layer(self.stored_as[layer])

    def absent(self, digests: np.ndarray, layers: Iterable[str]) -> dict[str, np.ndarray]:
        """Which images each layer lacks."""
        return {name: self.rows(name).missing(digests) for name in layers}

    def is_stored(self, inputs: ImageInputs) -> bool:
        """Whether no network is needed for these images."""
        if self.store is None:
            return False
        digests = digest_images(inputs)
        return not any(self.rows(name).missing(digests).any() for name in self.layers.shapes)

    def unchecked(self, layers: Iterable[str]) -> list[str]:
        """Layers that are stored for the first time, and must be the same in every pass.

        Of a search's own store they need not: it holds one draw, for all folds, and goes with it.
        """
        if is_repeatable(self.network.spec) or (
            self.store is not None and self.store.is_temporary
        ):
            return []
        return [name for name in layers if not self.rows(name).shards()]


def store_of(estimator: Any) -> ActivationStore | None:
    """What the parameter ``cache`` stands for."""
    cache = estimator.cache
    return cache if cache is None or isinstance(cache, ActivationStore) else ActivationStore(cache)


def task_of(
    estimator: Any,
    network: ChosenNetwork,
    store: ActivationStore | None,
    layers: ChosenLayers,
    all_layers: ChosenLayers | None = None,
) -> ExtractionTask:
    """The task of an extractor or classifier whose network, store and layers are known."""
    every = layers if all_layers is None else all_layers
    how = (estimator.batch_size, estimator.n_jobs, estimator.verbose)
    return ExtractionTask(network, layers, every, store, *how)


def group_rows(
    absent: dict[str, np.ndarray], wanted: Iterable[str], digests: np.ndarray
) -> list[Group]:
    """Images that lack the same layers go together: each image is in one group."""
    rows = np.flatnonzero(np.any([absent[name] for name in wanted], axis=0))
    first = np.unique(digests[rows], return_index=True)[1]
    rows = rows[np.sort(first)]
    if not len(rows):
        return []
    patterns = np.array([absent[name][rows] for name in absent])
    kinds, kind_of = np.unique(patterns, axis=1, return_inverse=True)
    names = np.array(list(absent), dtype=object)
    return [
        (list(names[kinds[:, kind]]), rows[kind_of.ravel() == kind])
        for kind in range(kinds.shape[1])
    ]
