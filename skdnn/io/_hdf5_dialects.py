"""What other libraries keep in HDF5: rsatoolbox's RDMs and data, pandas' tables, netCDF."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import squareform

from skdnn._optional import import_optional
from skdnn._wording import listed
from skdnn.io._hdf5_links import is_hdf5, open_hdf5, plain
from skdnn.io._rdm_forms import n_conditions
from skdnn.io._reading import Ask, DamageError, Raw, Stored, first_line, read, wanted
from skdnn.io._row_names import choose_names, finished, is_naming

#: The mark of our own RDMs over time.
MOVIE = "skdnn RDM movie 1"

# What an array of texts needs to be unpickled; none of it runs anything.
_SAFE = {
    *(("numpy.core.multiarray", name) for name in ("_reconstruct", "scalar")),
    *(("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")),
}


def of_hdf5(file: Any, path: Path, ask: Ask) -> Raw | None:
    """What the marks in a file say that it holds, None if there are none."""
    if "rsatoolbox_version" in file.file.attrs:
        return _of_rsatoolbox(file, path, ask)
    if "PYTABLES_FORMAT_VERSION" in file.file.attrs:
        return _of_pandas(file, path, ask)
    if file.file.attrs.get("format") == MOVIE:
        raise DamageError(
            "it holds RDMs over time: load_rdm_movie reads it, and skdnn compare takes it as "
            "--reference"
        )
    scales = (item.attrs.get("CLASS") for _, item in file.items(file.file))
    if "_NCProperties" in file.file.attrs or b"DIMENSION_SCALE" in scales:
        return read_netcdf(path, ask)
    return None


def _of_rsatoolbox(file: Any, path: Path, ask: Ask) -> Raw | None:
    """``RDMs.save`` and ``Dataset.save``: texts are attributes, or data sets of bytes."""
    tree = file.tree()

    def described(name: str) -> dict[str, Any]:
        made = {key: np.atleast_1d(value) for key, value in file.file[name].attrs.items()}
        made |= {k: read(v) if isinstance(v, Stored) else v for k, v in tree[name].items()}
        return {key: value for key, value in made.items() if not isinstance(value, str)}

    if "measurements" in tree:
        data = tree["measurements"]
        raw = Raw({"": data})
        raw.labels = _own_names(described("obs_descriptors"), data.shape[0])
        columns = _own_names(described("channel_descriptors"), data.shape[1], unique=True)
        raw.feature_names = columns and list(map(str, columns))
        return finished(raw, path, ask)
    if "dissimilarities" not in tree:
        return None
    pairs = read(tree["dissimilarities"])
    n = n_conditions(pairs.shape[1])
    labels = _own_names(described("pattern_descriptors"), n, unique=True)
    about = described("rdm_descriptors")
    own = {k: np.asarray(v).tolist() for k, v in about.items() if k != "index"}
    own = {k: [plain(x) for x in v] for k, v in own.items() if len(v) == len(pairs)}
    names = list(zip(*own.values(), strict=True)) if own else [()] * len(pairs)
    if len(set(names)) < len(names):
        own, names = {"index": []}, [(n,) for n in range(len(names))]
    squares = [squareform(row, checks=False) for row in pairs]
    keys = ["/".join(map(str, name)) for name in names]
    levels = [*own, "condition"]
    shown = {"names": names if own else None, "levels": levels, "conditions": labels}
    return Raw(dict(zip(keys, squares, strict=True)), labels=labels, provenance={"rdm": shown})


def _own_names(described: Mapping[str, Any], n: int, *, unique: bool = False) -> list[Any] | None:
    """Names of rows; the index that rsatoolbox adds is one if rows were chosen or sorted."""
    lists = {k: np.asarray(v).tolist() for k, v in described.items() if k != "index"}
    own = choose_names({k: list(map(plain, v)) for k, v in lists.items()}, n)
    own = None if unique and own and len(set(own)) < n else own
    index = np.asarray(described.get("index", ())).tolist()
    counted = own is None and len(index) == n and index != list(range(n))
    return index if counted else own


# --- pandas ----------------------------------------------------------------------------------


def _of_pandas(file: Any, path: Path, ask: Ask) -> Raw | None:
    """``to_hdf``, fixed and table, by pandas itself; None for other files of PyTables."""
    keys: list[str] = []

    def visit(name: str, item: Any) -> None:
        if "pandas_type" in item.attrs:
            keys.append(name)
        _check_pickles(item)

    visit("", file.file)
    file.file.visititems(visit)
    if not keys:
        return None
    try:
        import_optional("tables", "for tables of pandas in HDF5")
    except ImportError as error:
        raise DamageError(f"it holds tables of pandas (PyTables), and {error}") from error
    chosen = wanted(keys, ask.layers)
    with pd.HDFStore(path, "r") as store:
        frames = {key: pd.DataFrame(store.get(key)) for key in chosen}
    parts = {key: of_frame(frame) for key, frame in frames.items()}
    first = parts[chosen[0]]
    if any(part.labels != first.labels for part in parts.values()) and not ask.rdm:
        raise DamageError("its tables have different rows: load them one by one with layers=")
    arrays = {key: part.arrays[""] for key, part in parts.items()}
    columns = first.feature_names if len(parts) == 1 else None
    return Raw(arrays, labels=first.labels, feature_names=columns, frames=frames)


def of_frame(frame: pd.DataFrame) -> Raw:
    """Columns of numbers; rows are named by the index, or else by a column of text."""
    numbers = frame.select_dtypes(["number", "bool"])
    raw = Raw({"": numbers.to_numpy()}, feature_names=[_joined(x) for x in numbers.columns])
    index = frame.index
    if not isinstance(index, pd.RangeIndex) and index.tolist() != list(range(len(index))):
        whole = pd.api.types.is_integer_dtype(index)
        raw.labels = index.tolist() if whole else [_joined(x) for x in index]
    elif len(frame):
        texts = {_joined(k): frame[k].tolist() for k in frame.columns.difference(numbers.columns)}
        texts = {k: v for k, v in texts.items() if all(isinstance(x, str) for x in v)}
        texts = {k: v for k, v in texts.items() if is_naming(k) or len(set(v)) == len(v)}
        raw.labels = choose_names(texts, len(frame))
    return raw


def _joined(name: Any) -> str:
    """Of an index of several levels; a path, where these are folders and files."""
    return "/".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _check_pickles(item: Any) -> None:
    """PyTables unpickles attributes and objects, which can run any code but for this."""
    texts = [np.ravel(value) for value in item.attrs.values()]
    if item.attrs.get("PSEUDOATOM") in (b"object", "object"):
        texts.append(np.array([row.tobytes() for row in item[()]], dtype=object))
    for text in (x for array in texts for x in array.tolist() if isinstance(x, bytes)):
        try:
            _Plain(io.BytesIO(text)).load()
        except DamageError as error:
            raise DamageError(f"{item.name!r} {error}") from error
        except Exception:  # no pickle
            continue


class _Plain(pickle.Unpickler):
    """Lists, numbers, texts, and arrays of these."""

    def find_class(self, module: str, name: str) -> Any:
        """Only what numpy needs for an array."""
        if (module.replace("numpy._core", "numpy.core"), name) not in _SAFE:
            raise DamageError(
                f"holds Python objects ({module}.{name}), which are not read since they may run "
                "code: save only columns of numbers, or as .parquet"
            )
        return super().find_class(module, name)


# --- netCDF ----------------------------------------------------------------------------------


def read_netcdf(path: Path, ask: Ask) -> Raw:
    """Assemblies of Brain-Score, and any data of xarray: rows are stimuli, a layer of each."""
    if is_hdf5(path):  # not so before netCDF 4
        open_hdf5(path, ask.external).close()
    try:
        xarray = import_optional("xarray", 'for netCDF files, with an engine such as "h5netcdf"')
        data = xarray.open_dataset(path, decode_times=False)
    except (ImportError, ValueError) as error:
        why = f"it is netCDF, which needs xarray and h5netcdf ({first_line(error)})"
        raise DamageError(why) from error
    with data:
        texts = {
            name: found.to_numpy().astype(str).tolist()
            if found.dtype.kind in "OSU"
            else found.to_numpy().tolist()
            for name, found in data.variables.items()
            if found.ndim == 1 and (found.dtype.kind in "OSU" or name == "stimulus_id")
        }
        named = "stimulus_id" if "stimulus_id" in texts else next(filter(is_naming, texts), None)
        rows = None if named is None else data[named].dims[0]
        kept = [v for v in data.data_vars.values() if v.dtype.kind in "biuf" and v.ndim > 1]
        strange = [str(v.name) for v in kept if rows is not None and rows not in v.dims]
        kept = [v for v in kept if rows is None or rows in v.dims]
        raw = Raw({}, labels=None if named is None else texts[named])
        if strange:
            raw.notes.append(f"{named!r} names no rows of {listed(strange)}: left aside.")
        for found in kept:
            turned = found if rows is None else found.transpose(rows, ...)
            name = "" if found.name == "__xarray_dataarray_variable__" else str(found.name)
            raw.arrays |= _by_layer(turned, name, len(kept) == 1)
        columns = texts.get("neuroid_id")
        if len(raw.arrays) == 1 and columns and len(set(columns)) == len(columns):
            raw.feature_names = columns
        return finished(raw, path, ask)


def _by_layer(found: Any, name: str, alone: bool) -> dict[str, Stored]:
    """One array, or one for each layer (or region) that a coordinate tells."""
    for coordinate in ("layer", "region"):
        if coordinate in found.coords and found[coordinate].ndim == 1:
            of = found[coordinate].to_numpy().astype(str)
            (dim,) = found[coordinate].dims
            parts = {x: found.isel({dim: np.flatnonzero(of == x)}) for x in dict.fromkeys(of)}
            return {str(x) if alone else f"{name}/{x}": _stored(v) for x, v in parts.items()}
    return {name: _stored(found)}


def _stored(found: Any) -> Stored:
    return Stored(found.shape, found.dtype, lambda: np.asarray(found.to_numpy()))
