"""What an extraction will take, before it is started: in time, memory and space on disk."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import effective_n_jobs

from skdnn._conditions import Conditions
from skdnn._extraction import _store_writer
from skdnn._extraction._chosen_network import input_size, prepare
from skdnn._extraction._task import ExtractionTask, Group, group_rows
from skdnn._file_digests import digest_images, first_rows
from skdnn._html import card, facts_in
from skdnn._images import ImageInputs, check_images, read_image
from skdnn._threads import cores
from skdnn._wording import in_bytes, in_time
from skdnn.models._model_spec import needs_download

# Of what a store writes beside the values.
_MANIFEST_ROW_BYTES = 96  # digest and sum of a row, beside its image's name
_SHARD_BYTES = 1150  # header of the array, and what its manifest says of all rows
_LAYER_BYTES = 650


@dataclass(frozen=True)
class ExtractionEstimate:
    """What an extraction will take.

    Given by :meth:`skdnn.DNNFeatureExtractor.estimate`.

    Parameters
    ----------
    model : str
        The network.
    layers : list of str
        Layers asked for.
    n_images : int
        Images given.
    n_to_forward : int
        Those of them that will go through the network: 0 where all is stored.
    n_units : dict of str to int
        Features of one image in each layer.
    result_bytes : int
        Size of the features asked for, as float32.
    store_bytes : int or None
        What will be written to the cache, `prefetch` included; None without a cache.
    free_bytes : int or None
        Space left on the cache's disk; None without a cache.
    peak_bytes : int
        Memory at once, roughly: the result; and where images are forwarded, the weights (twice
        where they are read from a file), the two largest activations and all captured layers of a
        batch, and images that wait for their turn. On a GPU, weights and activations lie there.
        Python, the frameworks themselves and workers beside the first are not counted.
    seconds : float or None
        Time in one process on this machine, from one batch; None if nothing was measured.

    See Also
    --------
    skdnn.DNNFeatureExtractor.estimate : Makes one.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn import DNNFeatureExtractor
    >>> images = np.zeros((3, 50, 50, 3), dtype=np.uint8)
    >>> extractor = DNNFeatureExtractor("alexnet", "features.3", weights=None)
    >>> estimate = extractor.estimate(images, measure=False)
    >>> estimate.n_to_forward, estimate.n_units, estimate.result_bytes
    (3, {'features.3': 139968}, 1679616)
    """

    model: str
    layers: list[str]
    n_images: int
    n_to_forward: int
    n_units: dict[str, int]
    result_bytes: int
    store_bytes: int | None
    free_bytes: int | None
    peak_bytes: int
    seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        """Give all attributes as values that JSON can hold.

        Returns
        -------
        attributes : dict
            By name.
        """
        return asdict(self)

    def __str__(self) -> str:
        lines = [
            f"network   {self.model}",
            f"images    {self.n_images}, of which {self.n_to_forward} go through the network",
            f"layers    {self._layers()}",
            f"result    {in_bytes(self.result_bytes)}",
        ]
        if self.store_bytes is not None and self.free_bytes is not None:
            free = in_bytes(self.free_bytes)
            lines.append(f"disk      {in_bytes(self.store_bytes)} to write, {free} free")
        lines.append(f"memory    about {in_bytes(self.peak_bytes)}")
        if self.seconds is not None:
            told = f"about {in_time(self.seconds)} in one process"
        else:
            told = "not measured" if self.n_to_forward else "nothing to compute"
        return "\n".join([*lines, f"time      {told}"])

    def _repr_html_(self) -> str:
        """A card for notebooks."""
        layers = pd.DataFrame({"layer": list(self.n_units), "units": list(self.n_units.values())})
        facts = {n: v for n, v in facts_in(str(self)).items() if n != "layers"}
        return card("ExtractionEstimate", facts, layers)

    def _layers(self) -> str:
        told = [f"{name} ({n:,} units)" for name, n in self.n_units.items()]
        more = [f"and {len(told) - 5} more"] if len(told) > 5 else []
        return ", ".join(told[:5] + more)


def estimate_task(
    task: ExtractionTask, conditions: Conditions, *, measure: bool
) -> ExtractionEstimate:
    """Find out what a task will take; `measure` sends a batch through the network, if need be.

    ValueError if files are missing or no images.
    """
    inputs, layers, store = conditions.inputs, task.layers, task.store
    check_images(inputs)
    groups = _to_forward(task, conditions, may_download=measure)
    n_to_forward = sum(len(rows) for _, rows in groups)
    each = seconds_per_image(task, inputs, groups[0][1]) if measure and groups else None
    result_bytes = 4 * len(conditions) * layers.total_units
    return ExtractionEstimate(
        model=task.network.spec.name,
        layers=list(layers.shapes),
        n_images=len(inputs),
        n_to_forward=n_to_forward,
        n_units={name: layers.n_units(name) for name in layers.shapes},
        result_bytes=result_bytes,
        store_bytes=None if store is None else bytes_to_write(task, inputs, groups),
        free_bytes=None if store is None else store.depot.free_bytes,
        peak_bytes=result_bytes + (_forward_bytes(task) if groups else 0),
        seconds=None if each is None else each * n_to_forward,
    )


def _to_forward(
    task: ExtractionTask, conditions: Conditions, *, may_download: bool
) -> list[Group]:
    """Images that will go through the network."""
    inputs, names = conditions.inputs, list(task.all_layers.shapes)
    if task.store is None:
        rows = np.arange(len(inputs))
        # One process forwards a file once, however often it is given; several don't know.
        if conditions.ends is None and effective_n_jobs(task.n_jobs) == 1:
            rows = np.flatnonzero(first_rows(inputs) == rows)
        return [(names, rows)]
    digests = digest_images(inputs)
    if not may_download and needs_download(task.network.spec):  # nothing of it can be stored then
        absent = {name: np.ones(len(digests), dtype=bool) for name in names}
    else:
        absent = task.absent(digests, names)
    return group_rows(absent, task.layers.shapes, digests)


def bytes_to_write(task: ExtractionTask, inputs: ImageInputs, groups: Iterable[Group]) -> int:
    """Space that a task's store will take for these images, manifests included."""
    item = np.dtype(task.store_folder.dtype).itemsize
    total = 0
    for names, rows in groups:
        told = sum(len(json.dumps(inputs.names[row])) for row in rows)
        shard_bytes = -(-len(rows) // _store_writer.BLOCK_ROWS) * _SHARD_BYTES
        for name in names:
            row_bytes = task.all_layers.n_units(name) * item + _MANIFEST_ROW_BYTES
            total += len(rows) * row_bytes + told + _LAYER_BYTES + shard_bytes
    return total


def _forward_bytes(task: ExtractionTask) -> int:
    """Memory for weights, one batch, and the images around it."""
    spec, layers, size = task.network.spec, task.all_layers, task.batch_size
    copies = {"own": 0, "random": 1}.get(spec.origin, 2)
    copies_of_rows = 1 if task.store is None else 3  # two buffers are on their way to disk
    activations = 2 * layers.largest + copies_of_rows * layers.total_units
    height, width = input_size(spec) or (256, 256)
    waiting = 3 * size + cores()  # as bytes; the batch itself is float32
    images = 3 * height * width * (waiting + 4 * size)
    return 4 * (copies * layers.n_params + size * activations) + images


def seconds_per_image(
    task: ExtractionTask, inputs: ImageInputs, rows: Iterable[int]
) -> float | None:
    """Time that each of many images takes in one process, the slower of decoding and forwarding.

    From one image decoded, the first of `rows` that can be, and one blank batch forwarded; None if
    none can be decoded.
    """
    from PIL import Image

    engine, preprocess = task.network.open(), task.network.spec.preprocess
    size = engine.forward_size(task.batch_size, task.all_layers.largest)
    for row in rows:
        start = time.perf_counter()
        try:
            image = read_image(inputs.items[row])
            prepare(image, preprocess)
        except (OSError, ValueError, SyntaxError):
            continue  # told at the end, with all others that can't be decoded
        decode = (time.perf_counter() - start) / cores()
        break
    else:
        return None
    blank = prepare(Image.new("RGB", image.size), preprocess)
    into = {name: rows.reshape(size, -1) for name, rows in task.all_layers.empty(size).items()}
    with engine.session(task.all_layers.captures, preprocess) as run:
        for _ in range(2):  # the first batch of a network is slow
            start = time.perf_counter()
            run([blank] * size, into)
            forward = (time.perf_counter() - start) / size
    return max(forward, decode)


def announce(task: ExtractionTask, inputs: ImageInputs, groups: list[Group]) -> None:
    """Say what is to come, from one image decoded and one blank batch forwarded."""
    from skdnn._progress import tell

    each = seconds_per_image(task, inputs, groups[0][1])
    if each is None:
        return
    folder = task.store_folder
    n_images = sum(len(rows) for _, rows in groups)
    tell(
        f"{task.network.spec.name}: {n_images} of {len(inputs)} images to forward for "
        f"{len(task.all_layers.captures)} layer(s); "
        f"{in_bytes(bytes_to_write(task, inputs, groups))} to write to {folder.root} "
        f"({in_bytes(folder.free_bytes)} free); about {in_time(n_images * each)} in one "
        "process on this machine."
    )
