"""A piece of work: features of given images, from the network or from the store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skdnn._conditions import Conditions
from skdnn._digests import digest_images
from skdnn._extraction._forward import extract
from skdnn._extraction._plan import Plan, Source
from skdnn._extraction._stored import ATTEMPTS, fill_store, identify, read_store
from skdnn._images import ImageInputs, check_images
from skdnn._store import ActivationStore, StoredFeatures

_CHUNK_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Work:
    """Which layers of which network, kept where, and how to go about it.

    Attributes
    ----------
    source : Source
    cache : ActivationStore or None
    plan : Plan
        Layers asked for.
    full_plan : Plan
        The same with layers to be stored wherever a pass is made.
    batch_size : int
    n_jobs : int or None
    verbose : int
    """

    source: Source
    cache: ActivationStore | None
    plan: Plan
    full_plan: Plan
    batch_size: int
    n_jobs: int | None = None
    verbose: int = 0

    def is_stored(self, inputs: ImageInputs) -> bool:
        """Whether no network is needed for these images."""
        if self.cache is None:
            return False
        digests = digest_images(inputs)
        layers = map(self.cache.depot.layer, identify(self.source, self.plan).values())
        return not any(layer.missing(digests).any() for layer in layers)

    def store_images(self, inputs: ImageInputs, *, announce: bool = False) -> np.ndarray:
        """Forward what the cache lacks; gives the images' digests.

        Raises
        ------
        ValueError, OSError
            As `fill_store`.
        """
        assert self.cache is not None  # asked for by those who have one
        return fill_store(
            inputs,
            self.source,
            self.full_plan,
            self.cache,
            wanted=list(self.plan.shapes),
            batch_size=self.batch_size,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
            announce=announce,
        )

    def stored(self, inputs: ImageInputs) -> StoredFeatures:
        """The features as an array on disk."""
        assert self.cache is not None  # asked for by those who have one
        digests = self.store_images(inputs)
        layers = [self.cache.depot.layer(who) for who in identify(self.source, self.plan).values()]
        n_units = [self.plan.n_units(name) for name in self.plan.shapes]
        return StoredFeatures(layers, n_units, digests)

    def fill(self, conditions: Conditions, out: dict[str, np.ndarray]) -> None:
        """Write features into arrays, averaging over the images of a condition.

        Parameters
        ----------
        conditions : Conditions
        out : dict of str to ndarray of float32
            One array per layer, a row for each condition; written in place.

        Raises
        ------
        ValueError, OSError
            As `extract` and `fill_store`.
        """
        if self.cache is None:
            check_images(conditions.inputs)
        elif conditions.ends is not None:
            self.store_images(conditions.inputs)
        if conditions.ends is None:
            self._fill_images(conditions.inputs, out)
            return
        n_images = max(self.batch_size, _CHUNK_BYTES // (4 * max(1, self.plan.total_units)))
        for rows, images, ends in conditions.chunks(n_images):
            inputs = conditions.inputs[images]
            parts = self.plan.empty(len(inputs))
            self._fill_images(inputs, parts)
            for name, array in out.items():
                part = parts[name].reshape(len(inputs), *array.shape[1:])
                conditions.mean(part, ends, array[rows])

    def _fill_images(self, inputs: ImageInputs, out: dict[str, np.ndarray]) -> None:
        if self.cache is None:
            extract(
                inputs,
                self.source,
                self.plan,
                out,
                batch_size=self.batch_size,
                n_jobs=self.n_jobs,
                verbose=self.verbose,
            )
            return
        for _ in range(ATTEMPTS):  # again where a shard turns out to be damaged
            digests = self.store_images(inputs)
            if read_store(digests, self.source, self.plan, self.cache, out):
                return
        raise OSError(
            f"Activations written to {self.cache.root} could not be read back, {ATTEMPTS} times. "
            "Is the disk sound, or does another process prune the store? "
            "ActivationStore.verify() names damaged files."
        )
