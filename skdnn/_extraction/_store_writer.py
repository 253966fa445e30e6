"""Rows of activations on their way to disk, block by block."""

from __future__ import annotations

import platform
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import numpy as np

from skdnn._extraction._task import ExtractionTask
from skdnn._images import ImageInputs
from skdnn._store import BlockWriter
from skdnn._version import __version__

# A block of images ends, and is there for good, at the first of these.
BLOCK_ROWS = 512
_BLOCK_BYTES = 2**30  # of its largest layer
_BLOCK_SECONDS = 60.0


class StoreWriter:
    """Writes rows of some layers to a task's store in a thread of its own, block by block.

    However the work ends, the rows that are complete are kept, unless writing itself failed.
    `advance` is told of images that others have stored meanwhile.
    """

    def __init__(
        self,
        task: ExtractionTask,
        layers: Sequence[str],
        inputs: ImageInputs,
        digests: np.ndarray,
        advance: Callable[[int], Any],
    ) -> None:
        self._task, self._names, self._digests, self._advance = (
            task,
            inputs.names,
            digests,
            advance,
        )
        self._layers = task.all_layers.only(layers)
        self._about = {"network": task.identity[0], "software": _software()}
        self._block: BlockWriter | None = None
        self._in_block: list[int] = []
        self._batches = 0
        self._buffers: deque[dict[str, np.ndarray]] = deque([{}, {}])
        self._waiting: deque[Future[None]] = deque()
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

    def buffer(self, n_images: int) -> dict[str, np.ndarray]:
        """Arrays to be filled, one per layer: two take turns, while the other is written."""
        if len(self._waiting) == len(self._buffers):
            self._waiting.popleft().result()
        self._buffers.rotate()
        arrays = self._buffers[0]
        if not arrays or len(next(iter(arrays.values()))) < n_images:
            arrays.update(self._layers.empty(n_images))
        return {name: array[:n_images] for name, array in arrays.items()}

    def append(self, images: list[int], rows: dict[str, np.ndarray]) -> None:
        """Let the thread write what `buffer` gave last."""
        parts = [rows[name].reshape(len(images), -1) for name in self._layers.shapes]
        self._waiting.append(self._thread.submit(self._append, parts, images))

    def _append(self, parts: Sequence[np.ndarray], images: list[int]) -> None:
        if self._broken:
            return
        try:
            if self._block is None:
                shapes = self._layers.shapes.items()
                layers = [(self._task.stored_as[name], shape) for name, shape in shapes]
                self._block = self._task.store_folder.begin_block(layers)
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
        if all(self._task.rows(name).has_news() for name in self._layers.shapes):
            absent = self._task.absent(self._digests, self._layers.shapes)
            self._elsewhere = ~np.any(list(absent.values()), axis=0)
            self._crowded = True

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            for batch in self._waiting:  # the older first
                batch.result()
            self._thread.submit(self._finish_block).result()
        finally:
            self._thread.shutdown()


def _software() -> dict[str, str]:
    """Versions for the manifest."""
    packages = {name: version(name) for name in ("torch", "torchvision", "numpy", "Pillow")}
    return {"skdnn": __version__, **packages, "python": platform.python_version()}
