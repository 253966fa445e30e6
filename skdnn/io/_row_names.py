"""Ours by its header, or anyone's by what lies beside the numbers: which texts name rows."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from skdnn._labels import natural_key, without_ending
from skdnn.io._rdm_forms import is_rdm_shape, n_conditions
from skdnn.io._reading import Ask, DamageError, Opaque, Raw, Stored, Struct, is_text, read, wanted
from skdnn.io._saved_header import HEADER, parse_header

FILE_NAMES = "file_names.txt"
_ENDING = re.compile(r"\.(eps|jpe?g|png|tiff?|bmp|gif|webp)$", re.I)
# Lists of names are called like this, unless they name columns.
_NAMES = re.compile(r"label|name|stim|image|img|file|cond|path|item|exemplar|object|pictu", re.I)
_WORD = re.compile(r"([A-Z]?[a-z]+|[A-Z]+|(?=\d))(\d*)")
_COLUMNS = re.compile(r"chan|feature|unit|roi|voxel|neur|column|layer|var|region|sensor", re.I)


def gathered(tree: Mapping[str, Any]) -> Raw:
    """Nested members by their place: ``struct.field``, ``cells(2)``, ``group/data``."""
    raw = Raw({})
    _put(raw, tree, "")
    return raw


def _put(raw: Raw, value: Any, place: str) -> None:
    if isinstance(value, Mapping):
        between = "." if isinstance(value, Struct) else "/"
        for key, item in value.items():
            _put(raw, item, f"{place}{between}{key}" if place else str(key))
    elif isinstance(value, Opaque):
        names = value.kind in ("string array", "categorical array")
        advice = f": in MATLAB, save cellstr({place})" if names else ""
        if names and is_naming(place):
            raise DamageError(f"{place!r} is a {value}{advice}")
        if names or (is_naming(place) and value.kind.endswith(" array")):  # of MATLAB's objects
            raw.notes.append(f"{place!r} is a {value}{advice}. It is left aside.")
    elif isinstance(value, str) or is_text(value):
        raw.texts[place] = value
    elif not isinstance(value, list):
        if value.shape and not ("(" in place and math.prod(value.shape) <= 1):
            raw.arrays[place] = value
    elif all(map(_is_row, value)) and len({x.shape for x in value}) == 1 < len(value):
        raw.arrays[place] = _as_rows(value)  # a cell with a row for each image
    else:
        for number, item in enumerate(value, start=1):
            _put(raw, item, f"{place}({number})")
        # A text in each of many structs, such as a file name, is a list of names as well.
        structs = bool(value) and all(isinstance(item, Struct) for item in value)
        for name in value[0] if structs else ():
            texts = [item.get(name) for item in value]
            if all(isinstance(text, str) for text in texts):
                raw.texts[f"{place}.{name}"] = texts


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
    places = list(raw.arrays)
    raw.arrays = {name: raw.arrays[name] for name in wanted(places, ask.layers)}
    if raw.labels is None:
        _label(raw, places, chosen=ask.layers is not None)
    for place, array in raw.arrays.items():
        try:
            raw.arrays[place] = read(array)
        except DamageError as error:
            raise DamageError(f"{place!r}: {error}" if place else str(error)) from error
    return raw


def _label(raw: Raw, places: list[str], *, chosen: bool) -> None:
    """Names of the rows, and only arrays that have such rows."""
    arrays = {place: array for place, array in raw.arrays.items() if len(array.shape)}
    fits = {
        place: names_of(raw, place, array.shape[0], places=places)
        for place, array in arrays.items()
    }
    found = {place: raw.texts[name] for place, name in fits.items() if name is not None}
    if not found:
        if not chosen:
            _tell_left_over(raw)
        return
    first = raw.labels = next(iter(found.values()))
    other = [place for place, names in found.items() if names != first]
    lost = [place for place in arrays if place not in found]
    other += [place for place in lost if chosen or not _is_row(arrays[place])]
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


def names_of(
    raw: Raw, place: str, n: int, *, places: Iterable[str], unique: bool = False
) -> str | None:
    """Where the names of an array's n rows are: the likeliest of several places.

    `places` are those of all arrays in the file.

    Raises
    ------
    DamageError
        If another list, which belongs to no other array, names the same rows in another order,
        or is as likely and names others.
    """
    fits = _fits(raw, place, n, unique=unique)
    if not fits:
        return None
    best = max(fits, key=lambda name: fits[name])
    own = _stems(raw.texts[best])
    for name in fits:
        other = _stems(raw.texts[name])
        as_likely = fits[name] == fits[best] and _uncounted(name) == _uncounted(best)
        if other == own or not (as_likely or sorted(other) == sorted(own)):
            continue
        of_others = (_fits(raw, each, n, unique=unique) for each in places if each != place)
        if not any(max(each, key=lambda x: each[x], default="") == name for each in of_others):
            row = next(k for k in range(n) if own[k] != other[k])
            raise DamageError(
                f"the rows of {place or 'its array'!r} are named by {best!r} and by {name!r}, "
                f"which differ: row {row} is {raw.texts[best][row]!r} or "
                f"{raw.texts[name][row]!r}"
            )
    return best


def _fits(raw: Raw, place: str, n: int, *, unique: bool) -> dict[str, tuple[float, ...]]:
    """How likely each list is to name an array's n rows."""
    fits: dict[str, tuple[float, ...]] = {}
    for name, texts in raw.texts.items():
        if not is_text(texts) or len(texts) != n or _names_columns(name):
            continue
        distinct = len(set(texts)) == n
        if distinct or (is_naming(name) and not unique):
            twin = "_" in place and name.rpartition("_")[2] == place.rpartition("_")[2]
            near = name[: -len(_last_part(name))] == place[: len(place) - len(_last_part(place))]
            shared = len(_words(name) & _words(place))
            fits[name] = (twin, near, distinct, is_naming(name), shared)
    return fits


def _words(place: str) -> set[str]:
    """What a place is called after: ``run2``, ``run``, ``2`` and ``names`` of ``run2/names``."""
    found: set[str] = set()
    for word, number in _WORD.findall(place):
        found |= {word + number, word, number}
    return {each.casefold() for each in found if each}


def _uncounted(place: str) -> str:
    """The last part without numbers, which lists of several arrays have in common."""
    return re.sub(r"\d+", "", _last_part(place))


def _stems(names: list[str]) -> list[str]:
    """Names as far as two lists of them write them alike."""
    return [without_ending(PurePath(name.replace("\\", "/")).name) for name in names]


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


def choose_names(candidates: Mapping[str, list[Any]], n: int) -> list[Any] | None:
    """The list that tells n rows apart best: one that is called so, then text, then numbers."""
    fits = {}
    for name, values in candidates.items():
        if len(values) == n:
            text = isinstance(values[0], str)
            fits[name] = (len(set(values)) == n, text and is_naming(name), text)
    return candidates[max(fits, key=lambda name: fits[name])] if fits else None


def is_naming(place: str) -> bool:
    """Whether a list that is called so holds names of rows."""
    return bool(_NAMES.search(_last_part(place))) and not _names_columns(place)


def _names_columns(place: str) -> bool:
    """Whether a list that is called so holds names of columns."""
    return bool(_COLUMNS.search(_last_part(place)))


def _last_part(place: str) -> str:
    """The name of a member by itself."""
    return re.split(r"[./]", place)[-1]


def _is_row(item: Any) -> bool:
    """Numbers along one axis."""
    shape = getattr(item, "shape", ())
    return len(shape) > 0 and math.prod(shape) == max(shape)


def _as_rows(items: list[Any]) -> Stored:
    """One array of several of one shape, read when it is wanted."""
    shape, row = items[0].shape, _is_row(items[0])
    whole = (len(items), max(shape)) if row else (len(items), *shape)
    dtype = np.result_type(*(item.dtype for item in items))
    return Stored(whole, dtype, lambda: np.stack([read(x) for x in items]).reshape(whole))


def joined(parts: list[Any], names: list[str]) -> Stored:
    """Rows of several arrays, read when they are wanted."""
    first = parts[0]
    for part, name in zip(parts, names, strict=True):
        if part.shape[1:] != first.shape[1:] or part.dtype != first.dtype:
            raise DamageError(
                f"{name} holds {part.dtype} {part.shape}, which does not go on with the "
                f"{first.dtype} {first.shape} of {names[0]}"
            )
    shape = (sum(part.shape[0] for part in parts), *first.shape[1:])

    def whole() -> np.ndarray:
        made = np.empty(shape, first.dtype)
        for part, stop in zip(parts, np.cumsum([part.shape[0] for part in parts]), strict=True):
            made[stop - part.shape[0] : stop] = read(part)
        return made

    return Stored(shape, first.dtype, whole)


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
        raw.arrays = {"": _as_rows([raw.arrays[stem] for stem in stems])}
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
