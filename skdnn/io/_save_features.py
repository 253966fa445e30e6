"""Saving features: all files are written beside their places first, then take them."""

from __future__ import annotations

import hashlib
import numbers
import os
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse

from skdnn._files import replaced, sync, sync_folder
from skdnn._identity._provenance import complete
from skdnn.io._file_formats import FORMATS, Format, choose
from skdnn.io._saved_header import Content, Source, check_dtype
from skdnn.io._split_files import (
    count_parts,
    find_parts,
    part_path,
    sidecar,
    split_rows,
    whole_path,
)


def save_features(
    features: Any,
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    labels: Sequence[Any] | None = None,
    targets: Any = None,
    provenance: Mapping[str, Any] | None = None,
    n_parts: int | None = None,
    max_bytes: int | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Save features with their labels and where they come from.

    Parameters
    ----------
    features : array-like, DataFrame, or mapping of str to array-like
        One row per image, with any number of axes behind it; a dict holds layers, each with the
        same number of rows. Types are float16, float32, float64, integers and booleans. What has
        `shape` and `dtype` and gives slices (HDF5 data sets, stored features, memory maps) is
        read in blocks and never loaded whole, save for .mat, .pt and parquet.
    path : str or path-like
        The file; its extension names the format. Missing folders are made.
    format : str or None, default=None
        ``"npy"`` (one array), ``"npz"``, ``"hdf5"``, ``"mat"`` (version 5, or 7.3 from 2 GB on),
        ``"mat-v5"``, ``"mat-v7.3"``, ``"pt"``, ``"txt"``, ``"csv"``, or ``"parquet"`` (flat
        features; needs pyarrow). If `path` does not end as such files do, the extension is added.
    labels : sequence of str, path-like or int, default=None
        One per row, such as the names of the images. By default the index of a DataFrame, if it
        is not a mere count.
    targets : array-like of numbers or str, shape (n_rows, ...), default=None
        What belongs to the rows: categories, responses.
    provenance : mapping or None, default=None
        Where the features come from (model, weights, layer, preprocessing), as far as JSON can
        hold it; tuples come back as lists. Date and versions of libraries are added.
    n_parts : int or None, default=None
        Split the rows as evenly as possible into this many files, ``name.part-03-of-10.ext``.
    max_bytes : int or None, default=None
        Split the rows so that no file holds more bytes of features, as they are in memory; text
        takes more room on disk.
    overwrite : bool, default=False
        Replace what has been saved under this name, all its parts included.

    Returns
    -------
    paths : list of Path
        The files of features, in the order of their rows.

    Raises
    ------
    ValueError
        If the format is unknown or cannot hold the features, rows and labels differ in number,
        or they cannot be split as asked.
    TypeError
        If something has a type that cannot be saved.
    FileExistsError
        If there are such files and `overwrite` is false.

    See Also
    --------
    skdnn.io.load_features : Load what was saved; says how it is checked.
    skdnn.DNNFeatureExtractor.stored : Features on disk that can be saved in blocks.
    skdnn.formats.write_feature_folder : One .mat file per image and layer.

    Notes
    -----
    All files are written under temporary names, synced and then renamed, so that a process that is
    killed leaves the older files as they were (and perhaps hidden ones, ``.tmp-...``). Where
    several files belong together (parts, descriptions) and it dies between two renames, loading
    finds out and says so.

    What other programs find:

    - .npy, .npz, .h5: arrays ``features`` or ``features/LAYER`` (a slash in the name of a layer is
      written %2F in .h5), ``labels`` and ``targets``.
    - .mat: variables ``features`` (a struct with a field per layer, named with letters, digits and
      underscores), ``labels`` (a cell of char), ``targets``. Half precision is stored as single.
    - .pt: a dict of tensors, ``features`` or each layer by its name; ``labels``, ``targets``.
    - .txt, .csv: ``numpy.loadtxt(path, delimiter=...).reshape(shape)`` for one array; from three
      axes on, each two-dimensional slice stands under a comment. Every digit is written.
    - .parquet: one column per feature, labels as the index.

    Labels, targets and provenance travel in the file; for .npy, .txt and .csv beside it in a file
    of the same name plus ``.json``. All of it is under checksums.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from skdnn.io import load_features, save_features
    >>> features = np.arange(12, dtype=np.float32).reshape(4, 3)
    >>> names = ["cat.png", "dog.png", "cup.png", "car.png"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = save_features(features, f"{folder}/alexnet.h5", labels=names, n_parts=2,
    ...                           provenance={"model": "alexnet"})
    ...     loaded = load_features(f"{folder}/alexnet.h5")
    >>> [path.name for path in paths]
    ['alexnet.part-1-of-2.h5', 'alexnet.part-2-of-2.h5']
    >>> loaded.features.shape, loaded.labels[0], loaded.provenance["model"]
    ((4, 3), 'cat.png', 'alexnet')
    """
    chosen, place = _destination(Path(path), format)
    whole = _gather(features, labels, targets, complete(provenance))
    if chosen.name == "npy" and len(whole.sources) > 1:
        raise ValueError(
            f"An .npy file holds one array, but features is a dict of {len(whole.sources)} "
            "layers: save it as .npz or .h5."
        )
    n_rows = whole.rows[2]
    row_bytes = sum(source.n_bytes for source in whole.sources) // max(n_rows, 1)
    bounds = split_rows(n_rows, count_parts(n_rows, row_bytes, n_parts, max_bytes))
    finals = [part_path(place, number, len(bounds)) for number in range(1, len(bounds) + 1)]
    older = _older(place)
    if older and not overwrite:
        raise FileExistsError(
            f"{older[0]} exists{' and more' if len(older) > 1 else ''}: give overwrite=True to "
            "replace it, or another name."
        )
    _write_all(chosen, finals, [whole.some(n, bounds) for n in range(len(bounds))])
    new = {*finals, *(map(sidecar, finals) if chosen.beside else ())}
    for path_ in older:
        if path_ not in new:
            path_.unlink(missing_ok=True)
    sync_folder(place.parent)
    return finals


def _destination(path: Path, name: str | None) -> tuple[Format, Path]:
    """The format, and the name of the whole."""
    chosen, place = choose(path, name)
    if chosen.write is None:
        written = ", ".join(name for name, made in FORMATS.items() if made.write)
        raise ValueError(
            f"Files of format {chosen.name} are only read. Save as one of: {written}."
        )
    if whole := whole_path(place):
        raise ValueError(
            f"path={str(path)!r} is named like a part: give the name of the whole, {whole}, and "
            "n_parts=."
        )
    return chosen, place


def _gather(features: Any, labels: Any, targets: Any, provenance: dict[str, Any]) -> Content:
    """All that is to be saved, checked."""
    single = not isinstance(features, Mapping)
    layers = {"": features} if single else dict(features)
    if not layers or not all(isinstance(name, str) and (name or single) for name in layers):
        raise ValueError(
            f"features must be an array, or a dict with names of layers, got keys {list(layers)}."
        )
    sources: list[Source] = []
    feature_names = None
    for name, value in layers.items():
        if isinstance(value, pd.DataFrame | pd.Series):
            labels = _index_labels(value) if labels is None else labels
            if single and isinstance(value, pd.DataFrame):
                feature_names = [str(column) for column in value.columns]
        array = _as_array(value)
        dtype = check_dtype(array.dtype, f"features[{name!r}]" if name else "features")
        if not array.shape:
            raise ValueError("features must have rows, got a single number.")
        sources.append(Source(name, array, 0, int(array.shape[0]), dtype))
    if feature_names and len(set(feature_names)) < len(feature_names):
        raise ValueError("features is a DataFrame with columns of the same name: rename them.")
    lengths = {source.name: source.stop for source in sources}
    n_rows = sources[0].stop
    if set(lengths.values()) != {n_rows}:
        raise ValueError(f"The layers of features differ in their number of rows: {lengths}.")
    return Content(
        single,
        sources,
        _check_labels(labels, n_rows),
        _check_targets(targets, n_rows),
        feature_names,
        provenance,
        save=uuid.uuid4().hex,
        part=(1, 1),
        rows=(0, n_rows, n_rows),
    )


def _as_array(value: Any) -> Any:
    """As it is if it can be read in blocks, else an array."""
    lazy = isinstance(getattr(value, "dtype", None), np.dtype) and hasattr(value, "shape")
    frame = isinstance(value, pd.DataFrame | pd.Series)
    if issparse(value):
        raise TypeError("features is sparse, and only dense arrays are saved: use .toarray().")
    if np.ma.is_masked(value):
        raise ValueError("features is masked, which no format keeps: use .filled(np.nan).")
    return value if lazy and hasattr(value, "__getitem__") and not frame else np.asarray(value)


def _index_labels(frame: pd.DataFrame | pd.Series) -> list[Any] | None:
    if isinstance(frame.index, pd.MultiIndex):
        raise ValueError("features has an index of several levels: give labels=, one per row.")
    return None if isinstance(frame.index, pd.RangeIndex) else list(frame.index)


def _check_labels(labels: Any, n_rows: int) -> list[Any] | None:
    """All str or all int, one per row."""
    if labels is None:
        return None
    found = [os.fspath(x) if isinstance(x, os.PathLike) else x for x in labels]
    if len(found) != n_rows:
        raise ValueError(f"labels has {len(found)} entries, but features has {n_rows} rows.")
    if all(isinstance(x, numbers.Integral) and not isinstance(x, bool) for x in found):
        return [int(x) for x in found]
    for x in found:
        if not isinstance(x, str):
            raise TypeError(f"labels must be all str or all int, got {x!r} ({type(x).__name__}).")
        if "\0" in x:
            raise ValueError(f"labels must not contain null characters, got {x!r}.")
    return [str(x) for x in found]


def _check_targets(targets: Any, n_rows: int) -> Source | list[str] | None:
    if targets is None:
        return None
    array = np.asarray(targets)
    if array.dtype.kind == "O" and all(isinstance(x, str) for x in array.ravel()):
        array = array.astype(str)
    if array.ndim == 0 or len(array) != n_rows:
        raise ValueError(f"targets has shape {array.shape}, but features has {n_rows} rows.")
    if array.dtype.kind == "U":
        if array.ndim > 1:
            raise ValueError(f"targets of text must have one axis, got shape {array.shape}.")
        return list(map(str, array))
    return Source("targets", array, 0, n_rows, check_dtype(array.dtype, "targets"))


def _older(place: Path) -> list[Path]:
    """What has been saved under this name, descriptions included."""
    data = [place, *(part.path for part in find_parts(place))]
    return [path for file in data for path in (file, sidecar(file)) if path.exists()]


def _write_all(chosen: Format, finals: list[Path], contents: list[Content]) -> None:
    """Write and sync every file, then rename all of them."""
    assert chosen.write is not None
    with ExitStack() as places:
        for final, content in zip(finals, contents, strict=True):
            temporary = places.enter_context(replaced(final, final.suffix))
            chosen.write(temporary, content)
            sync(temporary)
            if chosen.beside:
                beside = places.enter_context(replaced(sidecar(final)))
                beside.write_text(_description(temporary, content), encoding="utf-8")
                sync(beside)


def _description(data: Path, content: Content) -> str:
    with open(data, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    about = {"bytes": data.stat().st_size, "sha256": digest}
    return content.header(inline=True, file=about)
