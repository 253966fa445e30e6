"""``skdnn extract``."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from skdnn.cli._arguments import Arguments
from skdnn.cli._images import Images, read_images
from skdnn.cli._input_files import parts_of
from skdnn.cli._network_and_layers import (
    choose_layers,
    estimate_from,
    extractor_from,
    precomputed,
)
from skdnn.cli._output_files import check_free
from skdnn.cli._terminal import note, show_facts
from skdnn.cli._unfinished_work import unfinished


def run(arguments: Arguments) -> None:
    """Save activations, or say what that takes."""
    images = read_images(arguments.images, average_folders=arguments.average_folders)
    out = Path(arguments.out)
    check_free([out, *parts_of(out)], arguments)
    shapes = choose_layers(arguments, extractor_from(arguments, cache=None))
    _rehearse(out, shapes, arguments)
    if arguments.dry_run:
        estimate = estimate_from(arguments, images.rows, list(shapes), arguments.out)
        show_facts(estimate.to_dict(), str(estimate), as_json=arguments.json)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    _extract(images, shapes, out, arguments)


def _extract(
    images: Images, shapes: dict[str, tuple[int, ...]], out: Path, arguments: Arguments
) -> None:
    from skdnn import save_features

    layers = list(shapes)
    with unfinished(out, arguments.cache) as folder:
        extractor = precomputed(folder, images.rows, layers, arguments)
        features = _features(extractor, images, shapes, keep_shape=arguments.keep_shape)
        paths = save_features(
            _to_save(features),
            out,
            labels=images.names,
            targets=images.classes,
            provenance=extractor.describe(images.rows, layers).facts,
            n_parts=arguments.parts,
            overwrite=arguments.overwrite,
        )
    files, n_rows = [str(path) for path in paths], len(images.names)
    sizes = {name: list(shape) for name, shape in shapes.items()}
    n_units = sum(math.prod(shape) for shape in shapes.values())
    text = f"{n_rows} rows, {len(layers)} layer(s), {n_units} units: {', '.join(files)}"
    show_facts({"files": files, "rows": n_rows, "layers": sizes}, text, as_json=arguments.json)


def _features(
    extractor: Any, images: Images, shapes: dict[str, tuple[int, ...]], *, keep_shape: bool
) -> dict[str, Any]:
    """What is to be saved: on disk where rows are images, so that memory does not grow."""
    if images.are_folders:
        return dict(extractor.extract(images.rows, list(shapes), flatten=not keep_shape))
    stored = {
        name: extractor.set_params(layer=name).fit(images.rows).stored(images.rows)
        for name in shapes
    }
    if not keep_shape:
        return stored
    return {name: _InShape(array, shapes[name]) for name, array in stored.items()}


def _to_save(features: dict[str, Any]) -> Any:
    """One layer is saved without its name."""
    return next(iter(features.values())) if len(features) == 1 else features


class _InShape:
    """Rows of stored features in the network's own shape, read when they are asked for."""

    def __init__(self, stored: Any, shape: tuple[int, ...]) -> None:
        self.stored, self.dtype = stored, stored.dtype
        self.shape = (len(stored), *shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        block = np.asarray(self.stored[rows])
        return block.reshape(-1, *self.shape[1:])


def _rehearse(out: Path, shapes: dict[str, tuple[int, ...]], arguments: Arguments) -> None:
    """Save two tiny rows elsewhere: what the format can't hold is found before the work."""
    from skdnn import save_features

    tiny = {
        name: np.zeros((2, *(1 for _ in shape)) if arguments.keep_shape else (2, 1), np.float32)
        for name, shape in shapes.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / out.name
        try:
            save_features(_to_save(tiny), place)
        except ValueError as error:
            text = str(error).replace(f"path={str(place)!r}", f"--out {out}")
            raise ValueError(text.replace(" or give format=", "")) from error
    note(f"{arguments.model}: {', '.join(shapes)}", arguments)
