"""Rows of activations on their way to disk, block by block."""

from __future__ import annotations

import platform
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import numpy as np

from skdnn._extraction._plan import Plan
from skdnn._images import ImageInputs
from skdnn._store import BlockWriter, StoreFolder
from skdnn._version import __version__

# A block of images ends, and is there for good, at the first of these.
BLOCK_ROWS = 512
_BLOCK_BYTES = 2**30  # of its largest layer
_BLOCK_SECONDS = 60.0


class StoreSink:
    """Writes rows to the store in a thread of its own, block by block.

    However the work ends, the rows that are complete are kept, unless writing itself failed.

    Parameters
    ----------
    depot : StoreFolder
    plan : Plan
        The layers to be written.
    identities : dict of str to dict
        What each of them is stored as.
    inputs : ImageInputs
    digests : ndarray of bytes, shape (n_inputs,)
    advance : callable
        Told of images that others have stored meanwhile.
    """

    def __init__(
        self,
        depot: StoreFolder,
        plan: Plan,
        identities: dict[str, dict[str, Any]],
        inputs: ImageInputs,
        digests: np.ndarray,
        advance: Callable[[int], Any],
    ) -> None:
        self._depot, self._plan = depot, plan
        self._layers = [(identities[c.name], plan.shapes[c.name]) for c in plan.captures]
        self._about = {
            "network": identities[plan.captures[0].name]["network"],
            "software": _software(),
        }
        self._names, self._digests, self._advance = inputs.names, digests, advance
        self._block: BlockWriter | None = None
        self._in_block: list[int] = []
        self._batches = 0
        self._buffers: list[dict[str, np.ndarray]] = []
        self._turn = 0
        self._pending: list[Future[None] | None] = [None, None]
        self._thread = ThreadPoolExecutor(1)
        self._elsewhere = np.zeros(len(digests), dtype=bool)
        self._crowded = False
        self._broken = False

    def images(self) -> Iterator[int]:
        """The images in stretches of a block; those that others have stored are left out.

        Where others work on the same images, stretches are taken at random, so that two meet
        seldom.
        """
        n_images = len(self._digests)
        starts = list(range(0, n_images, BLOCK_ROWS))
        while starts:
            start = starts.pop(random.randrange(len(starts)) if self._crowded else 0)
            for image in range(start, min(start + BLOCK_ROWS, n_images)):
                if self._elsewhere[image]:
                    self._advance(1)
                else:
                    yield image

    def rows(self, images: list[int]) -> dict[str, np.ndarray]:
        self._turn = 1 - self._turn
        self._wait(self._turn)
        while len(self._buffers) < 2:
            self._buffers.append({})
        buffers = self._buffers[self._turn]
        if not buffers or len(next(iter(buffers.values()))) < len(images):
            buffers.update(self._plan.empty(len(images)))
        return {name: array[: len(images)] for name, array in buffers.items()}

    def done(self, images: list[int]) -> None:
        buffers = self._buffers[self._turn]
        parts = [
            buffers[c.name][: len(images)].reshape(len(images), -1) for c in self._plan.captures
        ]
        self._pending[self._turn] = self._thread.submit(self._append, parts, list(images))

    def _append(self, parts: Sequence[np.ndarray], images: list[int]) -> None:
        if self._broken:
            return
        try:
            if self._block is None:
                self._block = self._depot.begin_block(self._layers)
            self._block.append(parts)
            self._in_block += images
            self._batches += 1
            self._end_block_if_due(self._block)
        except BaseException:  # nothing may be added to a block that lacks rows
            self._broken = True
            if self._block is not None:
                self._block.abandon()
                self._block = None
            raise

    def _end_block_if_due(self, block: BlockWriter) -> None:
        if (
            len(self._in_block) >= BLOCK_ROWS
            or block.n_bytes >= _BLOCK_BYTES
            or time.monotonic() - block.started >= _BLOCK_SECONDS
        ):
            self._finish_block()
            self._look_around()

    def _finish_block(self) -> None:
        if self._block is None:
            return
        block, self._block = self._block, None
        names = [self._names[image] for image in self._in_block]
        block.finish(self._digests[self._in_block], names, self._batches, self._about)
        self._in_block, self._batches = [], 0

    def _look_around(self) -> None:
        """Notice what other processes have stored of these images."""
        layers = [self._depot.layer(identity) for identity, _ in self._layers]
        if all(layer.has_news() for layer in layers):
            missing = np.any([layer.missing(self._digests) for layer in layers], axis=0)
            self._elsewhere = ~missing
            self._crowded = True

    def _wait(self, turn: int) -> None:
        pending, self._pending[turn] = self._pending[turn], None
        if pending is not None:
            pending.result()

    def __enter__(self) -> StoreSink:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self._wait(1 - self._turn)  # the older of the two
            self._wait(self._turn)
            self._thread.submit(self._finish_block).result()
        finally:
            self._thread.shutdown()


def _software() -> dict[str, str]:
    """Versions for the manifest."""
    packages = {name: version(name) for name in ("torch", "torchvision", "numpy", "Pillow")}
    return {"skdnn": __version__, **packages, "python": platform.python_version()}
