"""The one place where images and networks meet: all wanted layers of all images in one pass."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, effective_n_jobs

from skdnn.backends import Capture, Engine, describe_layers, limit_threads, open_engine
from skdnn.images import ImageInputs, check_images, read_image
from skdnn.layers import LayerInfo, pooled_shape, resolve_layers
from skdnn.models import ModelSpec, Preprocessing, resolve_model

_LISTED = 20  # names in one message


@dataclass(frozen=True)
class Plan:
    """Which layers, pooled how, and how large one image's features are.

    Attributes
    ----------
    captures : list of Capture
        In the order asked for.
    shapes : dict of str to tuple of int
        Features of one image, per layer.
    largest : int
        Values in the network's largest activation of one image.
    """

    captures: list[Capture]
    shapes: dict[str, tuple[int, ...]]
    largest: int

    @property
    def n_units(self) -> int:
        """Features of one image, all layers together."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def empty(self, n_images: int) -> dict[str, np.ndarray]:
        """Arrays to be filled, one per layer, in the layers' shapes."""
        return {
            name: np.empty((n_images, *shape), dtype=np.float32)
            for name, shape in self.shapes.items()
        }

    def columns(self, features: np.ndarray) -> dict[str, np.ndarray]:
        """Each layer's columns in an array that holds all layers side by side."""
        parts, start = {}, 0
        for name, shape in self.shapes.items():
            stop = start + math.prod(shape)
            parts[name] = features[:, start:stop]
            start = stop
        return parts


@dataclass(frozen=True)
class Source:
    """Which network, with which weights, prepared how, run where: all that a worker must know.

    The network itself stays out of pickles where it can be built anew.
    """

    model: Any
    backend: str
    weights: Any
    preprocess: Any
    seed: int
    device: str
    precision: str

    @cached_property
    def spec(self) -> ModelSpec:
        """The network before it is built."""
        return resolve_model(
            self.model,
            backend=self.backend,
            weights=self.weights,
            preprocess=self.preprocess,
            seed=self.seed,
        )

    def open(self) -> Engine:
        """The network, ready to run; built once per process."""
        return open_engine(self.spec, self.device, self.precision)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "spec"}


def layers_for(spec: ModelSpec, inputs: ImageInputs) -> list[LayerInfo]:
    """All layers of a network; the first image tells the size where preprocessing does not."""
    preprocess = spec.preprocess
    if isinstance(preprocess, Preprocessing) and preprocess.input_size is not None:
        return layers_of(spec)
    first = ImageInputs(inputs.items[:1], inputs.names[:1])
    check_images(first)
    return layers_of(spec, read_image(first.items[0]))


def layers_of(spec: ModelSpec, example: Any = None) -> list[LayerInfo]:
    """All layers of a network.

    Parameters
    ----------
    spec : ModelSpec
    example : PIL image, default=None
        An image to learn the input's size from, where preprocessing does not fix it; without
        one, a blank image of 256 by 256 pixels.

    Returns
    -------
    layers : list of LayerInfo
    """
    preprocess = spec.preprocess
    size = preprocess.input_size if isinstance(preprocess, Preprocessing) else None
    if size is None:
        if example is None:
            from PIL import Image

            example = Image.new("RGB", (256, 256))
        shape = tuple(np.shape(prepare(example, preprocess)))
        shape = (3, *shape[:2]) if isinstance(preprocess, Preprocessing) else shape
    else:
        shape = (3, *size)
    return describe_layers(spec, shape)


def make_plan(
    wanted: str | Sequence[str], layers: Sequence[LayerInfo], pooling: str, spec: ModelSpec
) -> Plan:
    """Resolve names of layers and refuse what cannot be captured or pooled."""
    by_name = {info.name: info for info in layers}
    captures = [
        Capture(request, by_name[request.path].of(request), pooling)
        for request in resolve_layers(wanted, layers, spec.name)
    ]
    shapes = {c.name: pooled_shape(c.info.output_shape, pooling, c.info) or (1,) for c in captures}
    return Plan(captures, shapes, max(info.n_units for info in layers))


def prepare(image: Any, preprocess: Any) -> Any:
    """Prepare one PIL image: uint8 pixels for a `Preprocessing`, else what the callable gives."""
    if isinstance(preprocess, Preprocessing):
        return preprocess.pixels(image)
    prepared = preprocess(image)
    shape = tuple(getattr(prepared, "shape", ()))
    if len(shape) < 1:
        raise TypeError(
            "preprocess must return a tensor or array (3, height, width) for an image, "
            f"got {type(prepared).__name__}."
        )
    return prepared


def extract(
    inputs: ImageInputs,
    source: Source,
    plan: Plan,
    out: dict[str, np.ndarray],
    *,
    batch_size: int,
    verbose: int = 0,
) -> None:
    """Send each distinct image through the network once and write its features into `out`.

    Parameters
    ----------
    inputs : ImageInputs
        Images that `check_images` has passed.
    source : Source
    plan : Plan
    out : dict of str to ndarray of float32
        One array per layer, rows in the order of `inputs`; written in place.
    batch_size : int
    verbose : int
        0 is silent, 1 shows a progress bar.

    Raises
    ------
    ValueError
        Naming all images that could not be decoded or prepared, after all others are done.
    """
    engine, preprocess = source.open(), source.spec.preprocess
    first_row, repeats = _distinct(inputs)
    size = engine.forward_size(batch_size, plan.largest)
    failed: list[str] = []
    with (
        engine.session(plan.captures, preprocess) as forward,
        _progress(len(first_row), verbose) as advance,
    ):
        for rows, prepared in _batches(inputs, first_row, preprocess, size, failed):
            n = len(rows)
            batch = prepared + [prepared[-1]] * (size - n)  # same arithmetic for every image
            _check_one_size(prepared, [inputs.names[row] for row in rows])
            contiguous = rows[-1] - rows[0] == n - 1
            at = slice(rows[0], rows[-1] + 1) if contiguous else None
            blocks = {
                name: array[at] if at else np.empty((n, *array.shape[1:]), array.dtype)
                for name, array in out.items()
            }
            forward(batch, blocks)
            if at is None:
                for name, array in out.items():
                    array[rows] = blocks[name]
            advance(n)
    if failed:
        raise ValueError(_listing(f"{len(failed)} image(s) could not be decoded", failed))
    for row, earlier in repeats:
        for array in out.values():
            array[row] = array[earlier]


def extract_in_jobs(
    inputs: ImageInputs,
    source: Source,
    plan: Plan,
    out: dict[str, np.ndarray],
    *,
    batch_size: int,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> None:
    """Extract here, or in several processes that take a block of images each.

    Parameters and errors are those of `extract`; `n_jobs` counts processes as joblib does.
    """
    n_jobs = min(effective_n_jobs(n_jobs), len(inputs))
    if n_jobs == 1:
        extract(inputs, source, plan, out, batch_size=batch_size, verbose=verbose)
        return
    bounds = np.linspace(0, len(inputs), n_jobs + 1).astype(int)
    blocks = [slice(a, b) for a, b in pairwise(bounds)]
    threads = max(1, n_cpus() // n_jobs)
    parts = Parallel(n_jobs=n_jobs)(
        delayed(_extract_block)(
            ImageInputs(inputs.items[block], inputs.names[block]),
            source,
            plan,
            batch_size,
            threads,
            verbose,
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
        extract(inputs, source, plan, out, batch_size=batch_size, verbose=verbose)
    return out


def _distinct(inputs: ImageInputs) -> tuple[list[int], list[tuple[int, int]]]:
    """Rows of distinct images, and (row, earlier row) of repeated paths."""
    seen: dict[str, int] = {}
    first, repeats = [], []
    for row, item in enumerate(inputs.items):
        key = item if isinstance(item, str) else f"\0{row}"
        if key in seen:
            repeats.append((row, seen[key]))
        else:
            seen[key] = row
            first.append(row)
    return first, repeats


def _batches(
    inputs: ImageInputs, rows: Sequence[int], preprocess: Any, size: int, failed: list[str]
) -> Iterator[tuple[list[int], list[Any]]]:
    """Decode and prepare in threads, some batches ahead; images that fail are noted by name."""

    def load(row: int) -> Any:
        return prepare(read_image(inputs.items[row]), preprocess)

    n_threads = n_cpus()
    with ThreadPoolExecutor(n_threads) as pool:
        ahead: deque[tuple[int, Future[Any]]] = deque()
        coming = iter(rows)
        good_rows: list[int] = []
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
                    good_rows.append(row)
                except (OSError, ValueError, SyntaxError) as error:
                    failed.append(f"{inputs.names[row]}: {error}")
                if len(prepared) == size:
                    yield good_rows, prepared
                    good_rows, prepared = [], []
            if prepared:
                yield good_rows, prepared
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


class _progress:
    """A progress bar over images if asked for."""

    def __init__(self, total: int, verbose: int) -> None:
        self._bar: Any = None
        if verbose:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, unit="image", desc="extracting")

    def __enter__(self) -> Callable[[int], Any]:
        return self._bar.update if self._bar is not None else (lambda n: None)

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.close()


def _listing(what: str, names: Sequence[str]) -> str:
    more = f"\n  ... and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{what}:" + "".join(f"\n  {name}" for name in names[:_LISTED]) + more


def n_cpus() -> int:
    """Cores that this process may use."""
    return (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def layer_frame(layers: Sequence[LayerInfo]) -> pd.DataFrame:
    """Table of layers, in the order of the network."""
    rows = [
        {
            "layer": info.name,
            "type": info.type,
            "output_shape": info.output_shape,
            "n_units": info.n_units,
            "n_params": info.n_params,
            "n_calls": info.n_calls,
            "depth": info.depth,
        }
        for info in layers
        if not info.source  # "penultimate" and "output" are other names for layers listed here
    ]
    return pd.DataFrame(rows)


def list_layers(model: Any, backend: str = "auto", *, preprocess: Any = "default") -> pd.DataFrame:
    """List the layers of a network that can be captured.

    Weights are neither downloaded nor built.

    Parameters
    ----------
    model : str, torch.nn.Module or skdnn.models.Model
        As for :class:`~skdnn.DNNFeatureExtractor`.
    backend : {"auto", "torch"}, default="auto"
    preprocess : "default", dict or callable, default="default"
        Decides the size of the images, and with it the output shapes.

    Returns
    -------
    layers : DataFrame
        One row for each module, in the order of the network: ``layer`` (its name), ``type``,
        ``output_shape`` for one image (of the last call), ``n_units``, ``n_params`` (children
        included), ``n_calls`` per forward pass (a layer with 0 can't be captured) and ``depth``,
        the order in which modules finish.

    Raises
    ------
    TypeError, ValueError
        If `model`, `backend` or `preprocess` is unknown.

    See Also
    --------
    DNNFeatureExtractor.layer_table : The same for an extractor.

    Examples
    --------
    >>> from skdnn import list_layers
    >>> list_layers("alexnet").loc[:2, ["layer", "type", "output_shape"]]
             layer        type  output_shape
    0     features  Sequential   (256, 6, 6)
    1   features.0      Conv2d  (64, 55, 55)
    2   features.1        ReLU  (64, 55, 55)
    """
    weights = None if isinstance(model, str) else "default"
    spec = resolve_model(model, backend=backend, weights=weights, preprocess=preprocess)
    return layer_frame(layers_of(spec))
