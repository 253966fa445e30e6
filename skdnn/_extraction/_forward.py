"""Images through the network: decoded ahead in threads, all wanted layers in one pass."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs

from skdnn._backends import limit_threads
from skdnn._digests import place_of, read_unchanged
from skdnn._extraction._plan import Plan, Source, prepare
from skdnn._images import ImageInputs, read_image
from skdnn._threads import cores
from skdnn._wording import in_lines

_LISTED = 20  # names in one message


class Sink(Protocol):
    """Where rows of activations go."""

    def rows(self, images: list[int]) -> dict[str, np.ndarray]:
        """Arrays to be filled for these images, one per layer."""

    def done(self, images: list[int]) -> None:
        """The arrays that `rows` gave last are filled."""


class MemorySink:
    """Rows of arrays in memory.

    Parameters
    ----------
    out : dict of str to ndarray
        One array per layer, a row for each image.
    """

    def __init__(self, out: dict[str, np.ndarray]) -> None:
        self._out = out
        self._parts: dict[str, np.ndarray] = {}

    def rows(self, images: list[int]) -> dict[str, np.ndarray]:
        if images[-1] - images[0] == len(images) - 1:
            self._parts = {}
            return {name: array[images[0] : images[-1] + 1] for name, array in self._out.items()}
        self._parts = {
            name: np.empty((len(images), *array.shape[1:]), array.dtype)
            for name, array in self._out.items()
        }
        return self._parts

    def done(self, images: list[int]) -> None:
        for name, part in self._parts.items():
            self._out[name][images] = part


def forward(
    inputs: ImageInputs,
    images: Iterable[int],
    source: Source,
    plan: Plan,
    sink: Sink,
    *,
    batch_size: int,
    advance: Callable[[int], Any],
    digests: np.ndarray | None = None,
    check: Callable[[Callable[[dict[str, np.ndarray]], None], dict[str, np.ndarray]], None]
    | None = None,
) -> list[str]:
    """Send images through the network, once each.

    Parameters
    ----------
    inputs : ImageInputs
    images : iterable of int
        Which of them, each once.
    source : Source
    plan : Plan
    sink : Sink
        Takes the rows, batch by batch.
    batch_size : int
    advance : callable
        Told how many images are done.
    digests : ndarray of bytes, shape (n_inputs,), default=None
        Images must still have these.
    check : callable, default=None
        ``check(run, rows)`` sees the first batch: ``run(other_rows)`` sends it once more.

    Returns
    -------
    failed : list of str
        Names of images that could not be decoded or prepared, each with the reason.
    """
    engine, preprocess = source.open(), source.spec.preprocess
    size = engine.forward_size(batch_size, plan.largest)
    failed: list[str] = []

    def load(image: int) -> Any:
        item, name = inputs.items[image], inputs.names[image]
        if digests is None:
            return prepare(read_image(item), preprocess)
        return prepare(read_unchanged(item, name, digests[image]), preprocess)

    with engine.session(plan.captures, preprocess) as run:
        for batch, prepared in _batches(load, images, size, inputs.names, failed):
            _check_one_size(prepared, [inputs.names[image] for image in batch])
            padding = [prepared[-1]] * (size - len(batch))  # same arithmetic for every image
            rows = sink.rows(batch)
            run(prepared + padding, rows)
            if check is not None:
                check(partial(run, prepared + padding), rows)
                check = None
            sink.done(batch)
            advance(len(batch))
    return failed


def refuse_failed(failed: Sequence[str]) -> None:
    """Raise if images could not be decoded, all of them in one error."""
    if failed:
        names = in_lines(failed, _LISTED)
        raise ValueError(f"{len(failed)} image(s) could not be decoded:{names}")


def extract(
    inputs: ImageInputs,
    source: Source,
    plan: Plan,
    out: dict[str, np.ndarray],
    *,
    batch_size: int,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> None:
    """Extract into arrays, here or in several processes that take a block of images each.

    Parameters
    ----------
    inputs : ImageInputs
        Images that `check_images` has passed.
    source : Source
    plan : Plan
    out : dict of str to ndarray of float32
        One array per layer, rows in the order of `inputs`; written in place.
    batch_size : int
    n_jobs : int, default=None
        Processes, as joblib counts them.
    verbose : int
        0 is silent, 1 shows a progress bar.

    Raises
    ------
    ValueError
        Naming all images that could not be decoded or prepared, after all others are done.
    """
    n_jobs = min(effective_n_jobs(n_jobs), len(inputs))
    if n_jobs == 1:
        first_row, repeats = distinct(inputs)
        with progress(len(first_row), verbose) as advance:
            failed = forward(
                inputs,
                first_row,
                source,
                plan,
                MemorySink(out),
                batch_size=batch_size,
                advance=advance,
            )
        refuse_failed(failed)
        for row, earlier in repeats:
            for array in out.values():
                array[row] = array[earlier]
        return
    bounds = np.linspace(0, len(inputs), n_jobs + 1).astype(int)
    blocks = [slice(a, b) for a, b in itertools.pairwise(bounds)]
    parts = Parallel(n_jobs=n_jobs)(
        delayed(_extract_block)(
            inputs[block], source, plan, batch_size, threads_per_worker(n_jobs), verbose
        )
        for block in blocks
    )
    for block, part in zip(blocks, parts, strict=True):
        for name, array in out.items():
            array[block] = part[name].reshape(array[block].shape)


def _extract_block(
    inputs: ImageInputs, source: Source, plan: Plan, batch_size: int, n_threads: int, verbose: int
) -> dict[str, np.ndarray]:
    """One worker's share of the images."""
    out = plan.empty(len(inputs))
    with limit_threads(n_threads):
        extract(inputs, source, plan, out, batch_size=batch_size, n_jobs=1, verbose=verbose)
    return out


def distinct(inputs: ImageInputs) -> tuple[list[int], list[tuple[int, int]]]:
    """Rows of distinct images, and (row, earlier row) of those on disk that are repeated."""
    seen: dict[Any, int] = {}
    first, repeats = [], []
    for row, item in enumerate(inputs.items):
        place = place_of(item)
        if place in seen:
            repeats.append((row, seen[place]))
        else:
            seen[row if place is None else place] = row
            first.append(row)
    return first, repeats


def _batches(
    load: Callable[[int], Any],
    images: Iterable[int],
    size: int,
    names: Sequence[str],
    failed: list[str],
) -> Iterator[tuple[list[int], list[Any]]]:
    """Decode and prepare in threads, some batches ahead; images that fail are noted by name."""
    n_threads = cores()
    with ThreadPoolExecutor(n_threads) as pool:
        ahead: deque[tuple[int, Future[Any]]] = deque()
        coming = iter(images)
        batch: list[int] = []
        prepared: list[Any] = []
        try:
            while True:
                while (
                    len(ahead) < 3 * size + n_threads and (row := next(coming, None)) is not None
                ):
                    ahead.append((row, pool.submit(load, row)))
                if not ahead:
                    break
                row, future = ahead.popleft()
                try:
                    prepared.append(future.result())
                    batch.append(row)
                except (OSError, ValueError, SyntaxError) as error:
                    failed.append(f"{names[row]}: {error}")
                if len(prepared) == size:
                    yield batch, prepared
                    batch, prepared = [], []
            if prepared:
                yield batch, prepared
        finally:
            pool.shutdown(cancel_futures=True)


def _check_one_size(prepared: Sequence[Any], names: Sequence[str]) -> None:
    shapes = [tuple(np.shape(image)) for image in prepared]
    for shape, name in zip(shapes, names, strict=True):
        if shape != shapes[0]:
            raise ValueError(
                f"After preprocessing, {name} has shape {shape} and {names[0]} has {shapes[0]}: "
                "a network takes images of one size. Give preprocess a crop."
            )


class progress:
    """A progress bar over images if asked for."""

    def __init__(self, total: int, verbose: int) -> None:
        self._bar: Any = None
        if verbose:
            from skdnn._progress import progress_bar

            self._bar = progress_bar(total=total, unit="image", desc="extracting")

    def __enter__(self) -> Callable[[int], Any]:
        return self._bar.update if self._bar is not None else (lambda n: None)

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.close()


def threads_per_worker(n_jobs: int) -> int:
    """Cores shared out among processes."""
    return max(1, cores() // n_jobs)
