"""Ours by its header, or anyone's by what lies beside the numbers: which texts name rows."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from skdnn._labels import natural_key
from skdnn.io._found_arrays import (
    Ask,
    DamageError,
    Raw,
    as_rows,
    is_naming,
    is_row,
    is_text,
    joined,
    last_part,
    names_columns,
    plain,
    read,
    wanted,
)
from skdnn.io._rdm_forms import is_rdm_shape, n_conditions
from skdnn.io._saved_header import HEADER, parse_header

FILE_NAMES = "file_names.txt"
_ENDING = re.compile(r"\.(eps|jpe?g|png|tiff?|bmp|gif|webp)$", re.I)


def finished(
    raw: Raw,
    path: Path,
    ask: Ask,
    key: Callable[[list[str], bool], list[str]] | None = None,
    mark: bool = False,
) -> Raw:
    """Ours by its header, or anyone's with the names that lie beside the numbers.

    `key` gives the places of our layers; `mark` tells whether the file says that it is ours.
    """
    if ask.header is not None:  # beside an .npy file
        (name,) = wanted([ask.header["arrays"][0]["name"]], ask.layers)
        raw.arrays, raw.header = {name: read(raw.arrays[""])}, ask.header
        return raw
    text = raw.texts.get(HEADER)
    if key is None or not isinstance(text, str) or '"skdnn_features"' not in text:
        if mark:
            raise DamageError("its description is missing or damaged")
        return _of_others(raw, path, ask)
    header, _ = parse_header(text)
    layers = [entry["name"] for entry in header["arrays"]]
    places = dict(zip(layers, key(layers, header["single"]), strict=True))
    arrays = {}
    for name in wanted(layers, ask.layers):
        if places[name] not in raw.arrays:
            raise DamageError(f"its array {places[name]!r} is missing")
        arrays[name] = read(raw.arrays[places[name]])
    for name in ("labels", "targets"):
        copy = raw.arrays.get(name)
        setattr(raw, name, raw.texts.get(name) if copy is None else read(copy))
    raw.arrays, raw.header = arrays, header
    return raw


def _of_others(raw: Raw, path: Path, ask: Ask) -> Raw:
    """Arrays that are wanted, with the names of their rows."""
    if not raw.arrays:
        held = f", but {', '.join(map(repr, raw.texts))}" if raw.texts else ""
        raise DamageError(f"it holds no arrays of numbers{held}")
    if ask.part:
        if path.suffix != ".npy":  # which alone is opened again when it is wanted
            raw.arrays = {place: read(array) for place, array in raw.arrays.items()}
        return raw
    if raw.labels is None:
        _with_file_names(raw, path)
    if ask.rdm:
        for place, array in raw.arrays.items():
            if array.dtype.kind in "buif" and is_rdm_shape(array.shape):
                raw.arrays[place] = read(array)
        return raw
    raw.arrays = {name: raw.arrays[name] for name in wanted(list(raw.arrays), ask.layers)}
    if raw.labels is None:
        _label(raw, chosen=ask.layers is not None)
    for place, array in raw.arrays.items():
        try:
            raw.arrays[place] = read(array)
        except DamageError as error:
            raise DamageError(f"{place!r}: {error}" if place else str(error)) from error
    return raw


def _label(raw: Raw, *, chosen: bool) -> None:
    """Names of the rows, and only arrays that have such rows."""
    arrays = {place: array for place, array in raw.arrays.items() if len(array.shape)}
    fits = {place: names_of(raw, place, array.shape[0]) for place, array in arrays.items()}
    found = {place: raw.texts[name] for place, name in fits.items() if name is not None}
    if not found:
        if not chosen:
            _tell_left_over(raw)
        return
    first = raw.labels = next(iter(found.values()))
    other = [place for place, names in found.items() if names != first]
    lost = [place for place in arrays if place not in found]
    other += [place for place in lost if chosen or not is_row(arrays[place])]
    if other:
        raise DamageError(
            f"the rows of {next(iter(found))!r} and of {other[0]!r} are not the same: load them "
            "one by one with layers="
        )
    raw.arrays = {place: array for place, array in arrays.items() if place in found}
    if len(raw.arrays) == 1:
        ((place, array),) = raw.arrays.items()
        width = math.prod(array.shape[1:])
        lists = [v for k, v in raw.texts.items() if k != fits[place] and is_text(v)]
        lists = [names for names in lists if len(names) == width == len(set(names))]
        raw.feature_names = lists[0] if len(lists) == 1 else None


def names_of(raw: Raw, place: str, n: int, *, unique: bool = False) -> str | None:
    """Where the names of an array's n rows are: the likeliest of several places."""
    fits = {}
    for name, texts in raw.texts.items():
        if not is_text(texts) or len(texts) != n or names_columns(name):
            continue
        distinct = len(set(texts)) == n
        if distinct or (is_naming(name) and not unique):
            twin = "_" in place and name.rpartition("_")[2] == place.rpartition("_")[2]
            near = name[: -len(last_part(name))] == place[: len(place) - len(last_part(place))]
            fits[name] = (twin, near, distinct, is_naming(name))
    return max(fits, key=lambda name: fits[name]) if fits else None


def _tell_left_over(raw: Raw) -> None:
    """Names that fit nothing are not dropped without a word."""
    sizes = {n for array in raw.arrays.values() for n in array.shape}
    sizes |= {n_conditions(n) for n in sizes}
    for name, texts in raw.texts.items():
        structs = f"{name.rpartition('.')[0]}("  # these it names, not rows
        if any(place.startswith(structs) for place in raw.arrays):
            continue
        if is_text(texts) and is_naming(name) and len(texts) not in sizes:
            raw.notes.append(
                f"{name!r} holds {len(texts)} names, which fit the rows of no array in the file, "
                "and is left aside."
            )


def choose_names(candidates: Mapping[str, Iterable[Any]], n: int) -> list[Any] | None:
    """The list that tells n rows apart best: one that is called so, then text, then numbers."""
    fits, lists = {}, {}
    for name, values in candidates.items():
        lists[name] = [plain(x) for x in np.asarray(values).tolist()]
        if len(lists[name]) == n:
            text = isinstance(lists[name][0], str)
            fits[name] = (len(set(lists[name])) == n, text and is_naming(name), text)
    return lists[max(fits, key=lambda name: fits[name])] if fits else None


def read_names(folder: Path) -> list[str] | None:
    """Names of rows, as THINGSvision writes them beside its files."""
    beside = folder / FILE_NAMES
    if not beside.is_file():
        return None
    return [name for name in beside.read_text(encoding="utf-8").split("\n") if name]


def _with_file_names(raw: Raw, path: Path) -> None:
    """THINGSvision names rows in a file beside, and writes into .mat a variable per image."""
    names = read_names(path.parent) if raw.file_names is None else raw.file_names
    if names is None or path.name == FILE_NAMES:
        return
    # Which endings are cut off depends on the version.
    forms = [(name.strip(), _ENDING.sub("", name.strip())) for name in names]
    stems = [long if long in raw.arrays else short for long, short in forms]
    shapes = {array.shape for array in raw.arrays.values()}
    if path.suffix.lower() == ".mat" and len(set(stems) & raw.arrays.keys()) > len(raw.arrays) / 2:
        odd = sorted(set(stems) ^ raw.arrays.keys())
        if odd or len(shapes) > 1 or len(set(stems)) < len(names):
            raise DamageError(
                f"it holds a variable per image, but its {len(raw.arrays)} variables are not the "
                f"{len(names)} images of {FILE_NAMES}, or differ in shape: {odd[:5]}"
            )
        raw.arrays = {"": as_rows([raw.arrays[stem] for stem in stems])}
    elif len(raw.arrays) > 1 and all(re.fullmatch(r"features_\d+", x) for x in raw.arrays):
        parts = sorted(raw.arrays, key=natural_key)
        raw.arrays = {"": joined([raw.arrays[part] for part in parts], parts)}
    sizes = {n for array in raw.arrays.values() for n in array.shape}
    if len(names) in sizes | {n_conditions(n) for n in sizes}:
        raw.texts["file_names"] = names
    elif path.stem.startswith("features"):
        shown = ", ".join(str(array.shape) for array in raw.arrays.values())
        raise DamageError(
            f"its arrays of shape {shown} do not have the {len(names)} rows that {FILE_NAMES} "
            "names; of features in several files, load the folder or a pattern (features_*)"
        )
