"""Loading features: everything is compared with what was saved before anything is returned."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skdnn._html import card, product
from skdnn._wording import in_bytes, in_lines, listed
from skdnn.io._file_formats import FORMATS, Format, by_extension, choose
from skdnn.io._numbered_files import find_numbered, is_numbered, join
from skdnn.io._reading import Ask, DamageError, Raw, damage_told, wanted
from skdnn.io._row_names import finished
from skdnn.io._saved_header import checked, parse_header
from skdnn.io._split_files import find_parts, part_faults, sidecar, whole_path
from skdnn.io._text_features import is_ours


@dataclass(frozen=True, repr=False)
class SavedFeatures:
    """Features with what was saved beside them.

    Parameters
    ----------
    features : ndarray, or dict of str to ndarray
        One row per image; a dict holds layers.
    labels : list of str or int, or None, default=None
        Names of the rows.
    targets : ndarray or None, default=None
        What belongs to the rows.
    provenance : dict, default={}
        Where the features come from; empty for files of other programs.
    feature_names : list of str or None, default=None
        Columns of the DataFrame that was saved.

    See Also
    --------
    skdnn.io.load_features : Makes one from files.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.io import SavedFeatures
    >>> loaded = SavedFeatures(np.ones((2, 3)), labels=["cat", "dog"])
    >>> loaded.to_frame()
           0    1    2
    cat  1.0  1.0  1.0
    dog  1.0  1.0  1.0
    """

    features: Any
    labels: list[Any] | None = None
    targets: np.ndarray | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    feature_names: list[str] | None = None

    def _arrays(self) -> dict[str, np.ndarray]:
        """By layer; one array has no name."""
        return self.features if isinstance(self.features, dict) else {"": self.features}

    def to_frame(self, layer: str | None = None) -> pd.DataFrame:
        """One flattened row per image, indexed by the labels.

        Parameters
        ----------
        layer : str or None, default=None
            Which one, where features is a dict.

        Returns
        -------
        frame : DataFrame, shape (n_rows, n_features)
            Columns are named as those that were saved, or numbered.

        Raises
        ------
        ValueError
            If `layer` is not there, or missing where there are several.
        """
        arrays = self._arrays()
        if layer is None and len(arrays) > 1:
            raise ValueError(f"layer=None, but there are several: {list(arrays)}.")
        if layer is not None and arrays is not self.features:
            raise ValueError(f"layer={layer!r}, but there is one array without a name.")
        (name,) = wanted(list(arrays), list(arrays) if layer is None else [layer])
        array = arrays[name]
        flat = array.reshape(len(array), int(np.prod(array.shape[1:], dtype=np.int64)))
        return pd.DataFrame(flat, index=self.labels, columns=self.feature_names)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The features, where there is one array of them."""
        arrays = self._arrays()
        if len(arrays) > 1:
            raise TypeError(
                f"There are several arrays, {list(arrays)}: choose one of features[...]."
            )
        (array,) = arrays.values()
        return np.array(array, dtype, copy=copy) if copy else np.asarray(array, dtype)

    def __repr__(self) -> str:
        arrays = self._arrays()
        told = [f"{name} {a.shape} {a.dtype}".strip() for name, a in arrays.items()]
        told = [f"features: {listed(told, 3, str)}"]
        if self.labels is not None:
            first = ", ".join([*map(repr, self.labels[:2]), *["..."][: len(self.labels) - 2]])
            told.append(f"labels: {len(self.labels)}, [{first}]")
        if self.targets is not None:
            told.append(f"targets: {self.targets.shape}")
        if self.provenance:
            told.append(f"provenance: {', '.join(self.provenance)}")
        return f"SavedFeatures({'; '.join(told)})"

    def _repr_html_(self) -> str:
        """A card for notebooks; no numbers are read."""
        arrays = self._arrays()
        rows = [(n, product(x.shape), x.dtype, in_bytes(x.nbytes)) for n, x in arrays.items()]
        table = pd.DataFrame(rows, columns=["layer", "shape", "type", "size"])
        facts = {
            "labels": self.labels,
            "targets": None if self.targets is None else product(self.targets.shape),
            **{str(name): value for name, value in self.provenance.items()},
        }
        table = table if arrays is self.features else table.drop(columns="layer")
        return card("SavedFeatures", facts, table)


def load_features(
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    layers: Sequence[str] | None = None,
    mmap: bool = False,
    check: bool = False,
    external: bool = False,
) -> SavedFeatures:
    """Load features, with their labels and where they come from, if all of them are there.

    Parameters
    ----------
    path : str or path-like
        A file, or for features in parts any of them, or the name that was given when they were
        saved, with or without extension. Or a folder or pattern (``features_*.npy``) of parts of
        THINGSvision.
    format : str or None, default=None
        As for `save_features`; or ``"pt"`` (tensors that torch saved; no code in them is run),
        ``"tsv"`` or ``"netcdf"`` (needs xarray). By default the extension says it.
    layers : sequence of str or None, default=None
        Which layers to load from a file of several; by default all.
    mmap : bool, default=False
        Leave the numbers on disk and read them as they are used (.npy and .h5, not in parts).
        The size of the file is checked, the digest of the numbers is not.
    check : bool, default=False
        Refuse text files that were edited by hand after they were saved; by default a warning
        says so.
    external : bool, default=False
        Follow links of HDF5 files to other files.

    Returns
    -------
    loaded : SavedFeatures
        With ``features`` (an array, or a dict of layers), ``labels``, ``targets`` and
        ``provenance``.

    Raises
    ------
    ValueError
        If anything is missing, cut short, changed, doubled or from another save, naming all
        files at fault; if a file leads to others; or if the format or a layer is unknown.
    FileNotFoundError
        If there is no such file.

    See Also
    --------
    skdnn.io.save_features : Saves them; says what the files look like.
    skdnn.formats.read_feature_folder : One .mat file per image and layer.

    Notes
    -----
    Numbers, labels, targets and provenance are compared with the SHA-256 of what was saved. Parts
    must be all there, once each, from one save.

    Files of other programs are loaded too: numbers in .npy, .npz, .h5, .mat (version 4, 5 or 7.3),
    .pt, tables in .txt, .csv, .tsv and .parquet, and in HDF5 what Octave, rsatoolbox, pandas
    (needs tables) and xarray or Brain-Score (needs xarray and h5netcdf) write. Names of rows are
    taken from the file: an index or a first column of names, a list of text that is as long as
    the array (``labels``, ``names``, ``stimuli``), ``stimulus_id``, or the ``file_names.txt`` of
    THINGSvision beside it. Of arrays with other rows than those that are named, only those that
    `layers` asks for are loaded.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from skdnn.io import load_features, save_features
    >>> layers = {"conv1": np.zeros((2, 4, 3, 3)), "fc": np.ones((2, 5), dtype=np.float16)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = save_features(layers, f"{folder}/a.mat", targets=["animal", "tool"])
    ...     loaded = load_features(f"{folder}/a.mat", layers=["fc"])
    >>> loaded.features["fc"].dtype, loaded.targets.tolist()
    (dtype('float16'), ['animal', 'tool'])
    """
    if isinstance(layers, str):
        raise TypeError(f"layers must be a list of names, got the text {layers!r}.")
    ask = Ask(None if layers is None else list(layers), mmap, external)
    found = read_files(Path(path), format, ask, check=check)
    tell(found)
    return as_saved(found)


def as_saved(found: Raw) -> SavedFeatures:
    """What was found, one array by itself or layers by name."""
    arrays = found.arrays
    single = found.header["single"] if found.header else list(arrays) == [""]
    return SavedFeatures(
        arrays[""] if single else arrays,
        found.labels,
        found.targets,
        found.provenance,
        found.feature_names,
    )


def read_files(path: Path, format: str | None, ask: Ask, *, check: bool = False) -> Raw:
    """What a file, or all parts together, hold, compared with what was saved."""
    chosen, files, parts = _find(path, format)
    if ask.mmap and (parts or not chosen.maps):
        what = "features in parts" if parts else f"files of format {chosen.name}"
        raise ValueError(f"mmap=True works with one .npy or .h5 file, not with {what}.")
    of_file = Ask(part=True) if parts == "numbered" else ask
    raws: list[Raw] = []
    faults: list[str] = []
    whole: dict[str, np.ndarray] = {}
    for file in files:
        try:
            raws.append(_read(chosen, file, of_file, split=parts == "saved", check=check))
            if parts == "saved":
                _move(raws[-1], whole, raws[0])
        except DamageError as error:
            faults.append(f"{file.name}: {error}")
    if parts == "saved" and not faults:
        faults = _part_disagreements(raws, files)
    if parts == "numbered" and not faults:
        try:
            return finished(join(raws, files), files[0], ask)
        except DamageError as error:
            faults = [str(error)]
    if faults:
        raise ValueError(f"The features {path} cannot be loaded:{in_lines(faults)}")
    first = raws[0]
    if parts:
        first.arrays = whole
        first.notes = [note for raw in raws for note in raw.notes]
        if first.labels is not None:
            first.labels = [label for raw in raws for label in raw.labels or ()]
        if first.targets is not None:
            first.targets = np.concatenate([raw.targets for raw in raws])
    return first


def tell(found: Raw) -> None:
    """What the caller of our caller should know."""
    for note in found.notes:
        warnings.warn(note, UserWarning, stacklevel=3)


def _find(path: Path, name: str | None) -> tuple[Format, list[Path], str]:
    """The format, the files, and whether they are parts: saved here, or numbered by others."""
    files = find_numbered(path)
    if files and is_numbered(files[0]):
        return choose(files[0], name)[0], files, "numbered"
    path = files[0] if files else path
    if path.is_dir():
        raise ValueError(f"path={str(path)!r} is a folder: give a file in it.")
    if name is None and by_extension(path) is None and not path.exists():
        path = _by_stem(path)
    chosen, place = choose(path, name, found=path.is_file())
    whole = whole_path(place) or place
    parts = find_parts(whole)
    if not parts:
        if not place.is_file():
            raise FileNotFoundError(f"There is no file {place}, nor parts of it.")
        return chosen, [place], ""
    faults = part_faults(parts)
    if whole.exists():
        faults.append(f"{whole.name} and parts of it lie side by side: remove what is older")
    if faults:
        raise ValueError(f"The features {whole} cannot be loaded:{in_lines(faults)}")
    return chosen, [part.path for part in parts], "saved"


def _by_stem(path: Path) -> Path:
    """The one saved file whose name, without extension, this is."""
    extensions = [extension for made in FORMATS.values() for extension in made.extensions]
    candidates = [path.with_name(path.name + extension) for extension in dict.fromkeys(extensions)]
    found = [place for place in candidates if place.is_file() or find_parts(place)]
    if len(found) > 1:
        names = ", ".join(place.name for place in found)
        raise ValueError(f"path={str(path)!r} could be any of {names}: add the extension.")
    if not found:
        if path.suffix:
            choose(path, None)  # says which formats are known
        raise FileNotFoundError(f"There is no file {path} with the extension of a known format.")
    return found[0]


def _read(chosen: Format, file: Path, ask: Ask, *, split: bool, check: bool) -> Raw:
    """One file, checked; a DamageError says what is wrong with it."""
    with damage_told(file):
        header, edited = _beside(chosen, file, ask, split, check) if chosen.beside else (None, "")
        raw = chosen.read(file, replace(ask, header=header))
        if edited:
            raw.notes.append(f"{edited}. It is taken as it is now; check=True refuses it.")
        raw.notes = [f"{file.name}: {note}" for note in raw.notes]
        if split and raw.header is None:
            raise DamageError("it is named like a part, but says nothing about the others")
        raw.unchecked |= header is not None  # the digest of the file was compared
        return checked(raw)


def _beside(
    chosen: Format, file: Path, ask: Ask, split: bool, check: bool
) -> tuple[dict[str, Any] | None, str]:
    """The description beside a file that it describes, and what was edited by hand since."""
    place = sidecar(file)
    if not place.exists():
        if split or (chosen.text and is_ours(file)):
            raise DamageError(f"its description {place.name} is missing")
        return None, ""
    by_hand = chosen.text and not check
    header, changed = parse_header(place.read_text(encoding="utf-8"), edited=by_hand)
    if changed:
        return header, f"{place.name} was edited after it was saved (its digest differs)"
    about, size = header["file"], file.stat().st_size
    by_hand = by_hand and header["skdnn_features"] > 1
    if size != about["bytes"] and not by_hand:
        raise DamageError(f"it has {size} bytes, but {place.name} says {about['bytes']}")
    if ask.mmap:
        return header, ""
    with open(file, "rb") as data:
        digest = hashlib.file_digest(data, "sha256").hexdigest()
    if digest == about["sha256"]:
        return header, ""
    if not by_hand:
        raise DamageError(f"it is not the file that {place.name} describes (digests differ)")
    return header, "it was edited after it was saved (its digest differs)"


def _part_disagreements(raws: list[Raw], files: list[Path]) -> list[str]:
    """What is wrong with files that are each in order but don't belong together."""
    faults = []
    headers = [raw.header or {} for raw in raws]
    first, row = headers[0], 0
    for number, (header, file) in enumerate(zip(headers, files, strict=True), start=1):
        if header["save"] != first["save"]:
            faults.append(f"{file.name}: it is from another save than {files[0].name}")
        elif [*header["part"], header["rows"][0]] != [number, len(files), row]:
            inside = "part {} of {}, from row {}".format(*header["part"], header["rows"][0])
            faults.append(f"{file.name}: inside, it is {inside}; row {row} is due")
        row = header["rows"][1]
    if not faults and row != first["rows"][2]:
        faults.append(f"{row} rows are there, not {first['rows'][2]}")
    return faults


def _move(raw: Raw, whole: dict[str, np.ndarray], first: Raw) -> None:
    """Put the rows of a part where they belong, so that they are in memory once."""
    header, expected = raw.header or {}, first.header or {}
    for name in list(raw.arrays):
        rows = raw.arrays.pop(name)
        if header["save"] != expected["save"]:
            continue  # said later, of all such parts together
        if name not in whole:
            whole[name] = np.empty((header["rows"][2], *rows.shape[1:]), rows.dtype)
        whole[name][slice(*header["rows"][:2])] = rows
