"""The way of an image from X to its row of features.

1. `extract` is given all images of X in one list, and averages rows where several images make up
   a condition.
2. Without a store, each distinct image goes through the network, here or in several processes, and
   its row is written straight into the result.
3. With one, `fill_store` finds images by the digests of their bytes, groups those that lack the
   same layers, and checks their files and the room on the disk before any pass.
4. The groups are forwarded here, or in shares by worker processes, and what a lost worker had not
   stored is done again.
5. `forward` decodes and prepares images ahead in threads, fills up the last batch, and sends each
   batch through the network once for all layers.
6. What a `StoreWriter` writes of it, block by block, `read_store` reads in the order of X.
"""

from __future__ import annotations

import errno
import itertools
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import get_active_backend

from skdnn._backends import limit_threads, settings_of
from skdnn._conditions import Conditions
from skdnn._extraction import _store_writer
from skdnn._extraction._chosen_layers import ChosenLayers
from skdnn._extraction._chosen_network import prepare
from skdnn._extraction._estimate import announce, bytes_to_write
from skdnn._extraction._random_networks import refuse_random_network, refuse_random_preparation
from skdnn._extraction._store_writer import StoreWriter
from skdnn._extraction._task import ExtractionTask, Group, group_rows
from skdnn._file_digests import digest_images, first_rows, read_unchanged
from skdnn._images import ImageInputs, check_images, read_image
from skdnn._threads import cores
from skdnn._wording import in_bytes, in_lines

Rows = dict[str, np.ndarray]  # of each layer, one for each image
Advance = Callable[[int], Any]  # told how many images are done

ATTEMPTS = 3  # at images whose worker or shard was lost, without any being stored
_CHUNK_BYTES = 256 * 2**20  # of the rows of images that are averaged at once
_CHECKED_ROWS = 1024  # at once, which bounds memory
_LISTED = 20  # names in one message


def extract(task: ExtractionTask, conditions: Conditions, out: Rows) -> None:
    """Write features into arrays of float32, one per layer, with a row for each condition.

    ValueError names all files that can't be read before any pass, and all images that can't be
    decoded or prepared when all others are done. OSError tells of the store and its disk.
    """
    inputs, layers = conditions.inputs, task.layers
    if task.store is None:
        check_images(inputs)
    elif conditions.ends is not None:
        fill_store(task, inputs)
    if conditions.ends is None:
        _extract_images(task, inputs, out)
        return
    n_images = max(task.batch_size, _CHUNK_BYTES // (4 * max(1, layers.total_units)))
    for rows, images, ends in conditions.chunks(n_images):
        some = inputs[images]
        parts = layers.empty(len(some))
        _extract_images(task, some, parts)
        for name, array in out.items():
            part = parts[name].reshape(len(some), *array.shape[1:])
            conditions.mean(part, ends, array[rows])


def _extract_images(task: ExtractionTask, inputs: ImageInputs, out: Rows) -> None:
    if task.store is None:
        _refuse_failed(_fill_arrays(task, inputs, out))
        return
    for _ in range(ATTEMPTS):  # again where a shard turns out to be damaged
        digests = fill_store(task, inputs)
        if read_store(task, digests, out):
            return
    raise OSError(
        f"Activations written to {task.store.root} could not be read back, {ATTEMPTS} times. "
        "Is the disk sound, or does another process prune the store? "
        "ActivationStore.verify() names damaged files."
    )


# --- without a store -------------------------------------------------------------------------


def _fill_arrays(task: ExtractionTask, inputs: ImageInputs, out: Rows) -> list[str]:
    """Forward into arrays, here or in processes with a block of images each; gives what failed."""
    n_jobs = min(effective_n_jobs(task.n_jobs), len(inputs))
    if n_jobs > 1:
        bounds = np.linspace(0, len(inputs), n_jobs + 1).astype(int)
        blocks = [slice(a, b) for a, b in itertools.pairwise(bounds)]
        alone = replace(task, n_jobs=1)
        parts = Parallel(n_jobs=n_jobs)(
            delayed(_new_arrays)(alone, inputs[block], _threads(n_jobs)) for block in blocks
        )
        for block, (part, _) in zip(blocks, parts, strict=True):
            for name, array in out.items():
                array[block] = part[name].reshape(array[block].shape)
        return [failed for _, failed_there in parts for failed in failed_there]
    first = first_rows(inputs)
    rows = np.arange(len(inputs))
    different = rows[first == rows].tolist()
    with _progress(len(different), task.verbose) as advance:

        def keep(images: list[int], run: Callable[[Rows], None]) -> None:
            begin, end = images[0], images[-1] + 1
            if end - begin == len(images):
                run({name: array[begin:end] for name, array in out.items()})
            else:
                parts = {n: np.empty((len(images), *a.shape[1:]), a.dtype) for n, a in out.items()}
                run(parts)
                for name, part in parts.items():
                    out[name][images] = part
            advance(len(images))

        failed = forward(task, task.layers, inputs, different, keep)
    for row in rows[first != rows]:
        for array in out.values():
            array[row] = array[first[row]]
    return failed


def _new_arrays(
    task: ExtractionTask, inputs: ImageInputs, n_threads: int
) -> tuple[Rows, list[str]]:
    """One worker's share of the images."""
    out = task.layers.empty(len(inputs))
    with limit_threads(n_threads):
        return out, _fill_arrays(task, inputs, out)


# --- with a store ----------------------------------------------------------------------------


def fill_store(task: ExtractionTask, inputs: ImageInputs, *, tell: bool = False) -> np.ndarray:
    """Send through the network what the store lacks, each image once for all layers.

    Errors are those of `extract`. With `tell`, it is said beforehand what that will take.

    Returns
    -------
    digests : ndarray of bytes, shape (n_inputs,)
    """
    digests = digest_images(inputs)
    wanted, every = list(task.layers.shapes), list(task.all_layers.shapes)
    attempt = 0
    while attempt < ATTEMPTS:
        absent = task.absent(digests, every)
        if attempt == 0:
            lacking = sum(int(absent[name].sum()) for name in wanted)
            task.store_folder.count(len(digests) * len(wanted) - lacking, lacking)
        attempt += 1
        groups = group_rows(absent, wanted, digests)
        if not groups:
            return digests
        _check_beforehand(task, inputs, groups)
        if tell:
            announce(task, inputs, groups)
        try:
            with _progress(sum(len(rows) for _, rows in groups), task.verbose) as advance:
                failed = _forward_groups(task, inputs, digests, groups, advance)
        except _losses() as error:
            left = task.absent(digests, every)
            if any(left[name].sum() < absent[name].sum() for name in every):
                attempt = 1
            elif attempt == ATTEMPTS:
                raise
            warnings.warn(
                f"A worker process was lost ({error}); what it had not stored is done again.",
                UserWarning,
                stacklevel=2,
            )
            continue
        _refuse_failed(failed)
        _refuse_changed_by_running(task)
    return digests


def _check_beforehand(task: ExtractionTask, inputs: ImageInputs, groups: Sequence[Group]) -> None:
    folder = task.store_folder
    rows = np.sort(np.concatenate([rows for _, rows in groups]))
    try:
        for some in np.split(rows, range(_CHECKED_ROWS, len(rows), _CHECKED_ROWS)):
            check_images(inputs[some])
    except ValueError:
        check_images(inputs[rows])  # names all that are faulty
        raise
    folder.prepare_writing()
    needed, free = bytes_to_write(task, inputs, groups), folder.free_bytes
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"The disk of the activation store {folder.root} can't hold what is asked for: "
            f"{in_bytes(needed)} for {len(rows)} images are needed, {in_bytes(free)} are free. "
            'Pool (pooling="mean"), ask for fewer layers, use '
            'ActivationStore(..., dtype="float16"), or '
            "free some space (see ActivationStore.prune)",
        )


def _losses() -> tuple[type[Exception], ...]:
    """What is raised where a worker process was lost; Dask has two words for it."""
    dask = sys.modules.get("distributed")
    return (BrokenExecutor, CancelledError, *([dask.KilledWorker] if dask else []))


def _refuse_changed_by_running(task: ExtractionTask) -> None:
    now = replace(task, network=task.network.again(known_weights=False))
    if now.stored_as != task.stored_as:
        raise ValueError(
            f"cache: {task.network.spec.name} changes its own weights, attributes or the values "
            "that its code reads when it runs, or a global hook of torch's does, so that "
            "nobody can tell whether a stored activation is still right. Make it leave them "
            "alone, or use cache=None."
        )


def _forward_groups(
    task: ExtractionTask,
    inputs: ImageInputs,
    digests: np.ndarray,
    groups: Sequence[Group],
    advance: Advance,
) -> list[str]:
    """Forward all groups into the store, here or in shares of images; gives what failed."""
    failed: list[str] = []
    n_images = sum(len(rows) for _, rows in groups)
    n_jobs = min(effective_n_jobs(task.n_jobs), n_images)
    if n_jobs == 1:
        for names, rows in groups:
            failed += _forward_group(task, inputs[rows], digests[rows], names, advance)
        return failed
    size = max(task.batch_size, min(_store_writer.BLOCK_ROWS, -(-n_images // (4 * n_jobs))))
    shares = [
        (names, rows[start : start + size])
        for names, rows in groups
        for start in range(0, len(rows), size)
    ]
    lazy = get_active_backend()[0].supports_return_generator  # else progress comes at the end
    done = Parallel(n_jobs=n_jobs, return_as="generator_unordered" if lazy else "list")(
        # In a tuple: what stands alone and is large is kept by one Dask worker only, and is
        # lost with it, and so are all blocks that need it.
        delayed(_forward_share)(task, (inputs[rows], digests[rows]), names, _threads(n_jobs))
        for names, rows in shares
    )
    for n_done, failed_there in done:
        failed += failed_there
        advance(n_done)
    return failed


def _forward_share(
    task: ExtractionTask,
    share: tuple[ImageInputs, np.ndarray],
    names: Sequence[str],
    n_threads: int,
) -> tuple[int, list[str]]:
    """One share in a worker: what has been stored meanwhile is left out."""
    inputs, digests = share
    failed: list[str] = []
    with limit_threads(n_threads):
        for lacking, rows in group_rows(task.absent(digests, names), names, digests):
            failed += _forward_group(task, inputs[rows], digests[rows], lacking, lambda n: None)
    return len(inputs), failed


def _forward_group(
    task: ExtractionTask,
    inputs: ImageInputs,
    digests: np.ndarray,
    names: Sequence[str],
    advance: Advance,
) -> list[str]:
    """Forward images that lack these layers."""
    network = task.network
    network.open()
    _refuse_another_network(task)
    new = task.unchecked(names)
    if new:
        refuse_random_preparation(inputs, network.spec.preprocess)
    checks = [partial(refuse_random_network, network, task.all_layers.only(new))] if new else []
    with StoreWriter(task, names, inputs, digests, advance) as writer:

        def keep(images: list[int], run: Callable[[Rows], None]) -> None:
            rows = writer.buffer(len(images))
            run(rows)
            if checks:  # of the first batch
                checks.pop()(run, rows)
            writer.append(images, rows)
            advance(len(images))

        layers = task.all_layers.only(names)
        return forward(task, layers, inputs, writer.images(), keep, digests)


def _refuse_another_network(task: ExtractionTask) -> None:
    """Raise if what is to run here is not what the rows will be found by.

    A file may be another by now; a worker process has read modules anew, and knows nothing of the
    settings and changes that were made at run time where it was called.
    """
    spec = task.network.spec
    here = task.network.again() if spec.owned else task.network
    if spec.owned and here.identity[0] != task.identity[0]:
        raise here.changed()
    if (*here.identity[:2], settings_of(spec, here.version)) != task.identity:
        raise ValueError(
            f"cache: in a worker process {spec.name} is not what it is where it was called: "
            "settings of torch, global hooks, or values and functions of modules were changed at "
            "run time, or their files were. Use n_jobs=1, or cache=None."
        )


# --- through the network ---------------------------------------------------------------------


def forward(
    task: ExtractionTask,
    layers: ChosenLayers,
    inputs: ImageInputs,
    images: Iterable[int],
    keep: Callable[[list[int], Callable[[Rows], None]], None],
    digests: np.ndarray | None = None,
) -> list[str]:
    """Send some of the images through the network, once each, for these layers.

    ``keep(images, run)`` sees each batch: ``run(rows)`` sends it through the network and writes
    its features into arrays. Where `digests` are given, images must still have them.

    Returns
    -------
    failed : list of str
        Names of images that could not be decoded or prepared, each with the reason.
    """
    engine, preprocess = task.network.open(), task.network.spec.preprocess
    size = engine.forward_size(task.batch_size, layers.largest)
    failed: list[str] = []

    def load(image: int) -> Any:
        item, name = inputs.items[image], inputs.names[image]
        if digests is None:
            return prepare(read_image(item), preprocess)
        return prepare(read_unchanged(item, name, digests[image]), preprocess)

    with engine.session(layers.captures, preprocess) as run:
        for batch, prepared in _batches(load, images, size, inputs.names, failed):
            _check_one_size(prepared, [inputs.names[image] for image in batch])
            padding = [prepared[-1]] * (size - len(batch))  # same arithmetic for every image
            keep(batch, partial(run, prepared + padding))
    return failed


def _batches(
    load: Callable[[int], Any],
    images: Iterable[int],
    size: int,
    names: Sequence[str],
    failed: list[str],
) -> Iterator[tuple[list[int], list[Any]]]:
    """Decode and prepare in threads, some batches ahead; images that fail are noted by name."""
    most_ahead = 3 * size + cores()
    ahead: deque[tuple[int, Future[Any]]] = deque()
    coming = iter(images)
    batch: list[int] = []
    prepared: list[Any] = []
    with ThreadPoolExecutor(cores()) as pool:
        try:
            while True:
                while len(ahead) < most_ahead and (image := next(coming, None)) is not None:
                    ahead.append((image, pool.submit(load, image)))
                if not ahead:
                    break
                image, future = ahead.popleft()
                try:
                    prepared.append(future.result())
                    batch.append(image)
                except (OSError, ValueError, SyntaxError) as error:
                    failed.append(f"{names[image]}: {error}")
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


# --- from the store ---------------------------------------------------------------------------


def read_store(task: ExtractionTask, digests: np.ndarray, out: Rows) -> bool:
    """Read rows into arrays, in the order of `digests`; False if some are not there any more."""
    complete = True
    for name in task.layers.shapes:
        array = out[name]
        flat = array.reshape(len(array), -1) if array.ndim != 2 else array
        complete &= not task.rows(name).read(digests, flat, n_threads=cores()).any()
    return complete


# --- what is told ----------------------------------------------------------------------------


def _refuse_failed(failed: Sequence[str]) -> None:
    """Raise if images could not be decoded, all of them in one error."""
    if failed:
        names = in_lines(failed, _LISTED)
        raise ValueError(f"{len(failed)} image(s) could not be decoded:{names}")


@contextmanager
def _progress(total: int, verbose: int) -> Iterator[Advance]:
    """A progress bar over images if asked for."""
    if not verbose:
        yield lambda n: None
        return
    from skdnn._progress import progress_bar

    with progress_bar(total=total, unit="image", desc="extracting") as bar:
        yield bar.update


def _threads(n_jobs: int) -> int:
    """Cores shared out among processes."""
    return max(1, cores() // n_jobs)
