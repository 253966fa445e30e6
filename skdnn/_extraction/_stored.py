"""Images, network and store: forward what is not stored yet, and read the rest."""

from __future__ import annotations

import errno
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError
from functools import partial
from typing import Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import get_active_backend

from skdnn._backends import Capture, limit_threads, settings_of
from skdnn._digests import DECODING, digest_images, digest_of
from skdnn._extraction import _sink
from skdnn._extraction._forward import (
    forward,
    progress,
    refuse_failed,
    threads_per_worker,
)
from skdnn._extraction._measure import seconds_per_image
from skdnn._extraction._plan import Plan, Source
from skdnn._extraction._repeat import (
    CHECK,
    is_repeatable,
    refuse_random,
    refuse_random_preparation,
)
from skdnn._images import ImageInputs, check_images
from skdnn._store import ActivationStore
from skdnn._threads import cores
from skdnn._wording import in_bytes, in_time
from skdnn.models._model_spec import ModelSpec

#: To be raised whenever the same network, image and layer give other values than before.
_CAPTURE = 1
#: To be raised whenever Keras's networks are fed the same prepared images otherwise than before.
_FED = 2
_CHECKED_ROWS = 1024  # at once, which bounds memory
# Of what a store writes beside the values.
_MANIFEST_ROW_BYTES = 96  # digest and sum of a row, beside its image's name
_SHARD_BYTES = 1150  # header of the array, and what its manifest says of all rows
_LAYER_BYTES = 650
ATTEMPTS = 3  # at images whose worker or shard was lost, without any being stored


def identify(source: Source, plan: Plan) -> dict[str, dict[str, Any]]:
    """All that each layer's stored values depend on (``key``), and the same for people to read.

    Raises
    ------
    ValueError
        If the network or the preprocessing is code that cannot be fingerprinted, or the file of
        its weights has changed since it was looked up.
    """
    source.refuse_changed()
    spec = source.spec
    network, preparation, settings = source.identity
    common = {
        "model": spec.name,
        "weights": spec.weights,
        "precision": source.precision,
        "preprocess": preparation if isinstance(preparation, dict) else "a callable",
        "network": network,
        "decoding": DECODING,
        **({"settings": settings} if settings else {}),
    }
    identities = {}
    for capture in plan.captures:
        layer, pooling = capture.canonical, capture.pooling
        key = [network, preparation, source.precision, layer, pooling, DECODING, _CAPTURE]
        key += settings + _meaning(spec, capture)
        module = capture.info.source or capture.request.path
        identities[capture.name] = {
            "key": digest_of(key),
            "layer": layer,
            "module": module,
            "pooling": pooling,
            **({"meaning": capture.info.meaning} if capture.info.meaning else {}),
            **common,
        }
    return identities


def _meaning(spec: ModelSpec, capture: Capture) -> list[Any]:
    """What was found out about a layer when it was listed, as far as its values depend on it.

    Of the inner layers of torch's networks known by name, not pooled, nothing is.
    """
    info = capture.info
    found: dict[str, Any] = {}
    if info.source:
        found["from"] = [info.side, info.source, capture.wanted_call]
    if capture.pooling != "flatten":
        found["units"] = [info.layout, info.n_prefix_tokens, info.has_class_token]
    if not is_repeatable(spec):
        found["checked"] = CHECK
    if spec.backend == "tensorflow":
        found["fed"] = _FED
    return [found] if found else []


def fill_store(
    inputs: ImageInputs,
    source: Source,
    plan: Plan,
    store: ActivationStore,
    *,
    wanted: Sequence[str] | None = None,
    batch_size: int,
    n_jobs: int | None = None,
    verbose: int = 0,
    announce: bool = False,
) -> np.ndarray:
    """Send through the network what a store lacks, each image once for all layers.

    Parameters
    ----------
    inputs : ImageInputs
    source : Source
    plan : Plan
        Layers to be stored.
    store : ActivationStore
    wanted : sequence of str, default=None
        Layers that a pass is made for; the others are stored where a pass is made. None is all.
    batch_size : int
    n_jobs : int, default=None
        Processes, as joblib counts them; under ``joblib.parallel_config("dask")`` those of a
        cluster.
    verbose : int
        1 shows a progress bar.
    announce : bool, default=False
        Whether to say beforehand what it will take.

    Returns
    -------
    digests : ndarray of bytes, shape (n_inputs,)

    Raises
    ------
    ValueError
        If files can't be read (before any pass), or images not be decoded (when all others are
        stored).
    OSError
        If the disk cannot hold the activations, or the store cannot be written to.
    """
    digests = digest_images(inputs)
    identities = identify(source, plan)
    wanted = list(plan.shapes) if wanted is None else wanted
    attempt = 0
    while attempt < ATTEMPTS:
        absent = absent_rows(store, identities, digests)
        if attempt == 0:
            lacking = sum(int(absent[name].sum()) for name in wanted)
            store.depot.count(len(digests) * len(wanted) - lacking, lacking)
        attempt += 1
        groups = group_rows(absent, wanted, digests)
        if not groups:
            return digests
        _check_beforehand(inputs, plan, store, groups)
        if announce:
            _announce(inputs, source, plan, store, groups, batch_size)
        job = _Job(source, plan, store, identities, batch_size)
        try:
            with progress(sum(len(rows) for _, rows in groups), verbose) as advance:
                failed = job.run(inputs, digests, groups, n_jobs, advance)
        except _losses() as error:
            left = absent_rows(store, identities, digests)
            if any(left[name].sum() < absent[name].sum() for name in absent):
                attempt = 1
            elif attempt == ATTEMPTS:
                raise
            warnings.warn(
                f"A worker process was lost ({error}); what it had not stored is done again.",
                UserWarning,
                stacklevel=2,
            )
            continue
        refuse_failed(failed)
        if identify(source.again(known_weights=False), plan) != identities:
            raise ValueError(
                f"cache: {source.spec.name} changes its own weights, attributes or the values "
                "that its code reads when it runs, or a global hook of torch's does, so that "
                "nobody can tell whether a stored activation is still right. Make it leave them "
                "alone, or use cache=None."
            )
    return digests


def _losses() -> tuple[type[Exception], ...]:
    """What is raised where a worker process was lost; Dask has two words for it."""
    dask = sys.modules.get("distributed")
    return (BrokenExecutor, CancelledError, *([dask.KilledWorker] if dask else []))


def read_store(
    digests: np.ndarray,
    source: Source,
    plan: Plan,
    store: ActivationStore,
    out: dict[str, np.ndarray],
) -> bool:
    """Read rows into arrays.

    Parameters
    ----------
    digests : ndarray of bytes, shape (n_images,)
    source : Source
    plan : Plan
    store : ActivationStore
    out : dict of str to ndarray of float32
        One array per layer, rows in the order of `digests`; written in place.

    Returns
    -------
    complete : bool
        False if rows are not there, or no longer.
    """
    complete = True
    for name, identity in identify(source, plan).items():
        rows = store.depot.layer(identity)
        array = out[name]
        flat = array.reshape(len(array), -1) if array.ndim != 2 else array
        complete &= not rows.read(digests, flat, n_threads=cores()).any()
    return complete


def absent_rows(
    store: ActivationStore, identities: dict[str, dict[str, Any]], digests: np.ndarray
) -> dict[str, np.ndarray]:
    """Which images each layer lacks."""
    return {name: store.depot.layer(who).missing(digests) for name, who in identities.items()}


def group_rows(
    absent: dict[str, np.ndarray], wanted: Sequence[str], digests: np.ndarray
) -> list[tuple[list[str], np.ndarray]]:
    """Images that lack the same layers go together: (layers, rows), each image in one group."""
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


def _check_beforehand(
    inputs: ImageInputs, plan: Plan, store: ActivationStore, groups: Sequence[Any]
) -> None:
    rows = np.sort(np.concatenate([rows for _, rows in groups]))
    try:
        for some in np.split(rows, range(_CHECKED_ROWS, len(rows), _CHECKED_ROWS)):
            check_images(inputs[some])
    except ValueError:
        check_images(inputs[rows])  # names all that are faulty
        raise
    store.depot.prepare_writing()
    needed, free = bytes_to_write(inputs, plan, store, groups), store.depot.free_bytes
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"The disk of the activation store {store.root} can't hold what is asked for: "
            f"{in_bytes(needed)} for {len(rows)} images are needed, {in_bytes(free)} are free. "
            'Pool (pooling="mean"), ask for fewer layers, use '
            'ActivationStore(..., dtype="float16"), or '
            "free some space (see ActivationStore.prune)",
        )


def bytes_to_write(
    inputs: ImageInputs,
    plan: Plan,
    store: ActivationStore,
    groups: Sequence[tuple[list[str], np.ndarray]],
) -> int:
    """Space that a store will take for these groups of images, manifests included."""
    item = np.dtype(store.dtype).itemsize
    total = 0
    for names, rows in groups:
        told = sum(len(json.dumps(inputs.names[row])) for row in rows)
        for name in names:
            total += len(rows) * (plan.n_units(name) * item + _MANIFEST_ROW_BYTES) + told
            total += _LAYER_BYTES + -(-len(rows) // _sink.BLOCK_ROWS) * _SHARD_BYTES
    return total


def _announce(
    inputs: ImageInputs,
    source: Source,
    plan: Plan,
    store: ActivationStore,
    groups: Sequence[Any],
    batch_size: int,
) -> None:
    """Say what is to come, from one image decoded and one blank batch forwarded."""
    from skdnn._progress import tell

    each = seconds_per_image(inputs, groups[0][1], source, plan, batch_size)
    if each is None:
        return
    n_images = sum(len(rows) for _, rows in groups)
    needed = in_bytes(bytes_to_write(inputs, plan, store, groups))
    tell(
        f"{source.spec.name}: {n_images} of {len(inputs)} images to forward for "
        f"{len(plan.captures)} layer(s); {needed} to write to {store.root} "
        f"({in_bytes(store.depot.free_bytes)} free); about {in_time(n_images * each)} in one "
        "process on this machine."
    )


class _Job:
    """What every worker must know to forward some images into the store."""

    def __init__(
        self,
        source: Source,
        plan: Plan,
        store: ActivationStore,
        identities: dict[str, dict[str, Any]],
        batch_size: int,
    ) -> None:
        self.source, self.plan, self.store = source, plan, store
        self.identities, self.batch_size, self.known = identities, batch_size, source.identity

    def run(
        self,
        inputs: ImageInputs,
        digests: np.ndarray,
        groups: Sequence[tuple[list[str], np.ndarray]],
        n_jobs: int | None,
        advance: Callable[[int], Any],
    ) -> list[str]:
        """All groups, here or shared out in blocks of images."""
        failed: list[str] = []
        n_images = sum(len(rows) for _, rows in groups)
        n_jobs = min(effective_n_jobs(n_jobs), n_images)
        if n_jobs == 1:
            for names, rows in groups:
                failed += self.work(inputs[rows], digests[rows], names, advance)
            return failed
        share = max(self.batch_size, min(_sink.BLOCK_ROWS, -(-n_images // (4 * n_jobs))))
        shares = [
            (names, rows[start : start + share])
            for names, rows in groups
            for start in range(0, len(rows), share)
        ]
        lazy = get_active_backend()[0].supports_return_generator  # else progress comes at the end
        done = Parallel(n_jobs=n_jobs, return_as="generator_unordered" if lazy else "list")(
            # In a tuple: what stands alone and is large is kept by one Dask worker only, and is
            # lost with it, and so are all blocks that need it.
            delayed(self.work_in_share)(
                (inputs[rows], digests[rows]), names, threads_per_worker(n_jobs)
            )
            for names, rows in shares
        )
        for n_done, failed_there in done:
            failed += failed_there
            advance(n_done)
        return failed

    def work_in_share(
        self, share: tuple[ImageInputs, np.ndarray], names: Sequence[str], n_threads: int
    ) -> tuple[int, list[str]]:
        """One share in a worker: what has been stored meanwhile is left out."""
        inputs, digests = share
        absent = absent_rows(self.store, {n: self.identities[n] for n in names}, digests)
        failed: list[str] = []
        with limit_threads(n_threads):
            for lacking, rows in group_rows(absent, names, digests):
                failed += self.work(inputs[rows], digests[rows], lacking, lambda n: None)
        return len(inputs), failed

    def refuse_another(self) -> None:
        """Raise if what is to run here is not what the rows will be found by.

        A file may be another by now; a worker process has read modules anew, and knows nothing
        of the settings and changes that were made at run time where it was called.
        """
        here = self.source.again() if self.source.spec.owned else self.source
        network, preparation, settings = self.known
        if here.spec.owned and here.identity[0] != network:
            raise self.source.changed()
        now = (*here.identity[:2], settings_of(here.spec, here.version))
        if now != (network, preparation, settings):
            raise ValueError(
                f"cache: in a worker process {self.source.spec.name} is not what it is where it "
                "was called: settings of torch, global hooks, or values and functions of modules "
                "were changed at run time, or their files were. Use n_jobs=1, or cache=None."
            )

    def work(
        self,
        inputs: ImageInputs,
        digests: np.ndarray,
        names: Sequence[str],
        advance: Callable[[int], Any],
    ) -> list[str]:
        """Forward images that lack these layers."""
        plan = self.plan.only(names)
        source = self.source
        source.open()
        self.refuse_another()
        fresh = self._fresh(names)
        if fresh:
            refuse_random_preparation(inputs, source.spec)
        with _sink.StoreSink(
            self.store.depot, plan, self.identities, inputs, digests, advance
        ) as sink:
            return forward(
                inputs,
                sink.images(),
                source,
                plan,
                sink,
                batch_size=self.batch_size,
                advance=advance,
                digests=digests,
                check=partial(refuse_random, source, plan.only(fresh)) if fresh else None,
            )

    def _fresh(self, names: Sequence[str]) -> list[str]:
        """Layers that are stored for the first time, and must be the same in every pass.

        Of a search's own store they need not: it holds one draw, for all folds, and goes with it.
        """
        if is_repeatable(self.source.spec) or self.store.is_temporary:
            return []
        layers = {name: self.store.depot.layer(self.identities[name]) for name in names}
        return [name for name, rows in layers.items() if not rows.shards()]
