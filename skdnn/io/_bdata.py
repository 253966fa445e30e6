"""Brain data of BdPy: samples x columns in HDF5, with metadata that say what a column is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skdnn._files import replaced
from skdnn._html import MAX_ROWS, card
from skdnn._optional import import_optional
from skdnn.io._bdata_selection import keys_like, matching, select
from skdnn.io._file_faults import nearest_of
from skdnn.io._hdf5_links import open_hdf5, plain
from skdnn.io._lazy_array import LazyArray, Positions

_READ_BYTES = 2**26


class HDF5Array(LazyArray):
    """A two-dimensional dataset of an HDF5 file, opened anew for each read: it can be pickled.

    Columns that are asked for are read from blocks of rows, so that no more than they, and one
    block, are in memory.
    """

    def __init__(self, path: Path, dataset: Any) -> None:
        self._path, self._name = path.absolute(), dataset.name
        self.shape, self.dtype = dataset.shape, dataset.dtype

    def _fill(self, out: np.ndarray, rows: Positions, columns: Positions | slice) -> None:
        """Sorted rows in blocks; of the columns everything between the first and the last."""
        span: Any = columns
        picked: Any = slice(None)
        if not isinstance(columns, slice):
            span = slice(int(columns.min()), int(columns.max()) + 1)
            picked = columns - span.start
        step = max(1, _READ_BYTES // (self.dtype.itemsize * (span.stop - span.start)))
        order = np.argsort(rows, kind="stable")
        with open_hdf5(self._path, external=True) as file:
            dataset = file[self._name]
            for start in range(0, len(rows), step):
                places = order[start : start + step]
                low, high = rows[places[0]], rows[places[-1]] + 1
                if high - low > 4 * step:  # far apart: one at a time
                    for place in places:
                        out[place] = dataset[rows[place], span][picked]
                    continue
                out[places] = dataset[low:high, span][rows[places] - low][:, picked]

    def __repr__(self) -> str:
        return f"HDF5Array({self._path.name!r}, shape={self.shape}, dtype={self.dtype})"


class BData:
    """Samples x columns, where metadata say which columns are voxels of an ROI, or labels.

    Parameters
    ----------
    dataset : array-like of shape (n_samples, n_columns)
        In memory, or read by slices.
    metadata : DataFrame of shape (n_keys, n_columns)
        Keys such as ``ROI_V1`` in the index; 1 where a column belongs to it, else 0 or NaN;
        ``voxel_x`` and the like have other numbers.
    vmap : mapping of str to mapping of float to str, default=None
        Names for the numbers of label columns, e.g. ``{"stimulus_name": {1: "n01443537_2256"}}``.
    descriptions : mapping of str to str, default=None
        What each key means.

    Attributes
    ----------
    dataset, metadata, vmap, descriptions : as given
        The metadata as float64, the mappings as dicts.

    Raises
    ------
    ValueError
        If the metadata describe another number of columns, or a key twice.

    See Also
    --------
    skdnn.formats.read_bdata : From a file.
    skdnn.formats.write_bdata : Into a file.

    Notes
    -----
    In the selection language ``=`` binds most; ``+`` and ``|`` (or), ``&`` (and) and ``-`` (and
    not) bind alike and work from left to right, so that ``A = 1 & B = 1 | C = 1`` means
    ``(A = 1 & B = 1) | C = 1``, and ``A = 1 | B = 1 & C = 1`` means ``(A = 1 | B = 1) & C = 1``.
    Parentheses come first. A key alone means ``key = 1``; ``*`` and ``?`` in it stand for any
    characters, and any of the keys that match will do. Keys that contain signs of the language
    stand in quotes.

    ``ROI_V1 = 0`` selects columns whose metadata are 0, voxels outside of V1 as a rule, not those
    with NaN, such as labels. BdPy asks whether the key is 1 first, and so takes these too; and it
    takes keys that only begin with the name.

    In files of the brain hierarchy score, ``image_index`` is the position of an image in
    ``sorted(names)``, counted from 1. That is not natural order: give `read_feature_folder` the
    sorted names as `images` before counting its rows, or match by `get_labels`.

    Examples
    --------
    >>> import pandas as pd
    >>> from skdnn.formats import BData
    >>> metadata = pd.DataFrame([[1, 1, 0, None], [0, 1, 1, None], [None, None, None, 1]],
    ...                         index=["ROI_V1", "ROI_V2", "image_index"])
    >>> brain = BData([[.1, .2, .3, 2], [.4, .5, .6, 1]], metadata)
    >>> brain.select("ROI_V1 = 1 - ROI_V2 = 1")
    array([[0.1],
           [0.4]])
    >>> brain.label("image_index")
    array([2, 1])
    """

    def __init__(
        self,
        dataset: Any,
        metadata: pd.DataFrame,
        vmap: Mapping[str, Mapping[float, str]] | None = None,
        descriptions: Mapping[str, str] | None = None,
    ) -> None:
        self.dataset = dataset if hasattr(dataset, "shape") else np.asarray(dataset)
        self.metadata = metadata.astype(np.float64)
        self.vmap = {key: dict(names) for key, names in (vmap or {}).items()}
        self.descriptions = dict(descriptions or {})
        if len(self.dataset.shape) != 2 or self.dataset.shape[1] != self.metadata.shape[1]:
            raise ValueError(
                f"metadata describes {self.metadata.shape[1]} columns, but dataset has shape "
                f"{tuple(self.dataset.shape)}."
            )
        if not self.metadata.index.is_unique:
            twice = self.metadata.index[self.metadata.index.duplicated()].unique()
            raise ValueError(f"metadata has keys more than once: {list(twice)[:10]}.")

    def select(self, expression: str) -> np.ndarray:
        """Read the columns that an expression selects.

        Parameters
        ----------
        expression : str
            E.g. ``"ROI_V1 = 1 + ROI_V2 = 1"``; see the notes of the class.

        Returns
        -------
        data : ndarray of shape (n_samples, n_selected)
            Columns in the order of the dataset.

        Raises
        ------
        ValueError
            If the expression is not understood, names an unknown key, or selects no column.
        """
        return np.asarray(self.dataset[:, self.columns(expression)])

    def columns(self, expression: str) -> np.ndarray:
        """Find the columns that an expression selects.

        Parameters
        ----------
        expression : str
            See the notes of the class.

        Returns
        -------
        columns : ndarray of int, shape (n_selected,)
            Their positions in the dataset, increasing.
        """
        mask = select(expression, lambda key, value: matching(self.metadata, key, value))
        if not mask.any():
            raise ValueError(f"The selection {expression!r} is true of no column.")
        return np.flatnonzero(mask)

    def label(self, key: str) -> np.ndarray:
        """Read a label column, e.g. ``image_index``.

        Parameters
        ----------
        key : str
            A key of the metadata that is 1 for one column, or for several.

        Returns
        -------
        values : ndarray of shape (n_samples,) or (n_samples, n_label_columns)
            Of int64 where all are whole numbers.

        Raises
        ------
        ValueError
            If there is no such key, or no column of it.
        """
        columns = np.flatnonzero(matching(self.metadata, key, 1.0))
        if not columns.size:
            raise ValueError(f"The key {key!r} is 1 for no column.")
        values = np.asarray(self.dataset[:, columns])
        whole = values.astype(np.int64) if np.isfinite(values).all() else values
        values = whole if np.array_equal(whole, values) else values
        return values[:, 0] if values.shape[1] == 1 else values

    def get_labels(self, key: str) -> np.ndarray:
        """Read a label column as names, e.g. ``stimulus_name``.

        Parameters
        ----------
        key : str
            A key of the metadata for whose numbers ``vmap`` has names.

        Returns
        -------
        labels : ndarray of str, shape (n_samples,)
            One name for each sample.

        Raises
        ------
        ValueError
            If there are no names for the key, or not for all of its numbers.
        """
        if key not in self.vmap:
            raise ValueError(f"vmap has no names for {key!r}. {nearest_of(key, self.vmap)}")
        numbers = np.asarray(self.label(key), dtype=np.float64)
        if numbers.ndim != 1:
            raise ValueError(f"{key!r} has {numbers.shape[1]} columns: labels need one.")
        names = self.vmap[key]
        unknown = sorted(set(numbers.tolist()) - set(names))
        if unknown:
            raise ValueError(f"vmap has no names for the numbers {unknown[:10]} of {key!r}.")
        return np.array([names[number] for number in numbers.tolist()])

    def coordinates(self, expression: str) -> np.ndarray:
        """Where voxels lie, from the metadata ``voxel_x``, ``voxel_y`` and ``voxel_z``.

        Parameters
        ----------
        expression : str
            Which columns; see the notes of the class.

        Returns
        -------
        xyz : ndarray of float64, shape (n_selected, 3)
            In the file's space, millimetres as a rule.

        Raises
        ------
        ValueError
            If the metadata have no coordinates.

        See Also
        --------
        skdnn.formats.write_map : Values at such coordinates as a NIfTI file.
        """
        columns = self.columns(expression)
        rows = [keys_like(f"voxel_{axis}", list(self.metadata.index))[0] for axis in "xyz"]
        return self.metadata.loc[rows].to_numpy()[:, columns].T.copy()

    def __repr__(self) -> str:
        keys = ", ".join(map(str, self.metadata.index[:6]))
        more = ", ..." if len(self.metadata) > 6 else ""
        return f"BData(shape={tuple(self.dataset.shape)}, keys=[{keys}{more}])"

    def _repr_html_(self) -> str:
        """A card for notebooks; no samples are read."""
        shown = self.metadata.iloc[:MAX_ROWS]
        table = pd.DataFrame(
            {
                "key": shown.index,
                "columns with 1": (shown == 1).sum(axis=1).to_numpy(),
                "meaning": [self.descriptions.get(key, "") for key in shown.index],
            }
        )
        n_samples, n_columns = self.dataset.shape
        named = list(self.vmap) or None
        facts = {"samples": n_samples, "columns": n_columns, "named labels": named}
        return card("BData", facts, table, more=len(self.metadata) - len(shown))


def read_bdata(
    path: str | os.PathLike[str], *, lazy: bool = True, external: bool = False
) -> BData:
    """Read brain data of BdPy from HDF5.

    Parameters
    ----------
    path : str or path-like
        The file: ``/dataset``, ``/metadata/key``, ``/metadata/description``, ``/metadata/value``
        and, where there are names, ``/vmap/<key>/<number>``.
    lazy : bool, default=True
        Whether the dataset stays on disk until columns are selected.
    external : bool, default=False
        Whether parts of it may lie in other files (external links and storage, virtual data
        sets), as where sessions were joined.

    Returns
    -------
    data : BData
        Samples x columns, with what the columns are.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If it is no such file, or cut short.

    See Also
    --------
    skdnn.formats.write_bdata : Write such a file.
    skdnn.formats.BData : Selects from it.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from skdnn.formats import BData, read_bdata, write_bdata
    >>> metadata = pd.DataFrame([[1, 1, 0], [0, 0, 1]], index=["ROI_V1", "stimulus"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_bdata(f"{folder}/sub-01.h5", BData(
    ...         [[.1, .2, 2], [.3, .4, 1]], metadata, vmap={"stimulus": {1: "cat", 2: "dog"}}))
    ...     brain = read_bdata(f"{folder}/sub-01.h5")
    ...     brain.select("ROI_V1 = 1"), brain.get_labels("stimulus")
    (array([[0.1, 0.2], [0.3, 0.4]]), array(['dog', 'cat'], dtype='<U3'))
    """
    file_path = Path(path).expanduser()
    if not file_path.is_file():
        raise FileNotFoundError(f"path: there is no file {str(file_path)!r}.")
    try:
        with open_hdf5(file_path, external) as file:
            missing = [name for name in _PARTS if name not in file]
            if missing:
                raise ValueError(f"has no {', '.join('/' + name for name in missing)}")
            keys = [str(plain(key)) for key in file["metadata/key"][()].ravel()]
            values = np.asarray(file["metadata/value"][()], dtype=np.float64)
            described = [str(plain(text)) for text in file["metadata/description"][()].ravel()]
            vmap = _read_vmap(file["vmap"]) if "vmap" in file else {}
            dataset = HDF5Array(file_path, file["dataset"])
        metadata = pd.DataFrame(values, index=pd.Index(keys, name="key"))
        whole = dataset if lazy else dataset[:]
        return BData(whole, metadata, vmap, dict(zip(keys, described, strict=True)))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"path: {str(file_path)!r} is no BData file ({error}).") from error


def write_bdata(path: str | os.PathLike[str], data: BData) -> None:
    """Write brain data as HDF5 of BdPy.

    Parameters
    ----------
    path : str or path-like
        The file; an existing one is replaced.
    data : BData
        Samples x columns, metadata and names of labels.

    Raises
    ------
    TypeError
        If `data` is no BData.

    See Also
    --------
    skdnn.formats.read_bdata : Read such a file; has an example.

    Examples
    --------
    >>> from skdnn.formats import read_bdata, write_bdata
    >>> write_bdata("copy.h5", read_bdata("sub-01.h5"))  # doctest: +SKIP
    """
    if not isinstance(data, BData):
        raise TypeError(f"data must be a BData, got {type(data).__name__}.")
    h5py = import_optional("h5py", "to write HDF5 files")
    keys = [str(key) for key in data.metadata.index]
    described = [data.descriptions.get(key, "") for key in keys]
    text = h5py.string_dtype("utf-8")
    with replaced(Path(path).expanduser(), ".h5") as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("dataset", data=np.asarray(data.dataset[:]))
        file.create_dataset("metadata/key", data=keys, dtype=text)
        file.create_dataset("metadata/description", data=described, dtype=text)
        file.create_dataset("metadata/value", data=data.metadata.to_numpy())
        for key, names in data.vmap.items():
            for number, name in names.items():
                file.create_dataset(f"vmap/{key}/{number}", data=name, dtype=text)


_PARTS = ("dataset", "metadata/key", "metadata/description", "metadata/value")


def _read_vmap(group: Any) -> dict[str, dict[float, str]]:
    """Names by number by key; in HDF5 the numbers are names, too: ``/vmap/<key>/<number>``."""
    return {
        str(key): {float(n): str(plain(np.asarray(name[()]).item())) for n, name in names.items()}
        for key, names in group.items()
    }
