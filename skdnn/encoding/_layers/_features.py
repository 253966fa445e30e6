"""Features of several layers side by side, which scikit-learn can slice by rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.validation import check_array

from skdnn._array_blocks import is_lazy
from skdnn._html import card
from skdnn._labels import row_labels
from skdnn._wording import in_bytes


class LayerFeatures:
    """Features of the same images in several layers, as one X of scikit-learn's.

    A dictionary of arrays cannot be cut into folds by ``cross_val_score``; this can. Arrays that
    lie on disk stay there: a selection of their rows is remembered, and read by blocks of columns
    when it is needed.

    Parameters
    ----------
    layers : mapping of str to array-like or lazy array
        Layer name to features (n_images, n_units), as ``DNNFeatureExtractor.extract`` gives them;
        what has more dimensions in memory is flattened. All with the same images in the same
        order; DataFrames whose rows are labelled are held to it.

    Attributes
    ----------
    shape : tuple of int
        (n_images, n_features of all layers together).
    names : list of str
        Names of the layers, in the order of their columns.
    row_names : list of str or None
        Labels of the rows, where a DataFrame brought some.

    See Also
    --------
    LayerwiseEncoder : Takes it as X.
    skdnn.DNNFeatureExtractor.extract : Makes the dictionary, in one pass.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import LayerFeatures
    >>> features = LayerFeatures({"conv": np.zeros((6, 3, 2, 2)), "fc": np.ones((6, 5))})
    >>> features.shape, features.names
    ((6, 17), ['conv', 'fc'])
    >>> features[[0, 2]].layer("fc").shape
    (2, 5)
    """

    ndim = 2

    def __init__(self, layers: Mapping[str, Any]) -> None:
        if not isinstance(layers, Mapping) or not layers:
            raise ValueError("layers must be a mapping of layer names to arrays, not empty.")
        self.row_names = _common_labels(layers)
        self._arrays = {str(name): _as_matrix(name, array) for name, array in layers.items()}
        lengths = {name: array.shape[0] for name, array in self._arrays.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"layers have different numbers of images: {lengths}.")
        n_columns = sum(array.shape[1] for array in self._arrays.values())
        self.shape = (next(iter(lengths.values())), n_columns)

    # Not `dtype`: that would make it a lazy array, whose columns can be sliced.
    def common_dtype(self) -> np.dtype[Any]:
        """Find the dtype that the features of all layers fit in.

        Returns
        -------
        dtype : numpy dtype
            For example float32, if all of them are.
        """
        return np.result_type(*(array.dtype for array in self._arrays.values()))

    @property
    def names(self) -> list[str]:
        """Names of the layers.

        Returns
        -------
        names : list of str
            In the order of their columns.
        """
        return list(self._arrays)

    def layer(self, name: str) -> Any:
        """Give the features of one layer.

        Parameters
        ----------
        name : str
            Of the layer.

        Returns
        -------
        features : ndarray or lazy array of shape (n_images, n_units)
            Not a copy.
        """
        if name not in self._arrays:
            raise KeyError(f"No layer {name!r}; there are {self.names}.")
        return self._arrays[name]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> LayerFeatures:
        """Some rows of all layers."""
        if isinstance(key, tuple):  # (rows, ...) is how scikit-learn asks
            key, *rest = key
            if rest not in ([], [Ellipsis], [slice(None)]):
                raise IndexError("LayerFeatures can be indexed by rows only; see layer(name).")
        if isinstance(key, int | np.integer):
            raise IndexError(f"one row is a slice too: [{key}:{key + 1}].")
        some = LayerFeatures({name: _take(array, key) for name, array in self._arrays.items()})
        some.row_names = _taken_names(self.row_names, key)
        return some

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("Layers side by side are always a copy.")
        return np.hstack([np.asarray(a[:]) for a in self._arrays.values()]).astype(
            self.common_dtype() if dtype is None else dtype, copy=False
        )

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}: {array.shape[1]}" for name, array in self._arrays.items())
        return f"LayerFeatures({len(self)} images; {sizes})"

    def _repr_html_(self) -> str:
        """A card for notebooks; nothing is read from disk."""
        table = pd.DataFrame(
            [
                {
                    "layer": name,
                    "units": array.shape[1],
                    "type": array.dtype,
                    "size": in_bytes(len(self) * array.shape[1] * array.dtype.itemsize),
                    "place": "memory" if type(array) is np.ndarray else "disk",
                }
                for name, array in self._arrays.items()
            ]
        )
        return card("LayerFeatures", {"images": len(self), "features": self.shape[1]}, table)


class LazyRows:
    """Some rows of a lazy array, still lazy."""

    ndim = 2

    def __init__(self, array: Any, rows: NDArray[np.intp]) -> None:
        self._array = array
        self._rows = rows
        self.shape = (len(rows), array.shape[1])
        self.dtype = array.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        wanted = self._rows[rows]
        if not wanted.size:
            return np.asarray(self._array[:0])[wanted, columns]
        # In increasing order and each once, which h5py asks for.
        places, back = np.unique(wanted, return_inverse=True)
        first, last = places[0], places[-1] + 1
        if 2 * len(places) >= last - first:  # one run is quicker than many picks
            return np.asarray(self._array[first:last, columns])[places - first][back]
        return np.asarray(self._array[places, columns])[back]

    def take(self, rows: NDArray[np.intp]) -> LazyRows:
        """Some of the rows."""
        return LazyRows(self._array, self._rows[rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)


def _as_matrix(name: str, array: Any) -> Any:
    if is_lazy(array) or (isinstance(array, np.memmap) and array.ndim == 2):
        return array
    if hasattr(array, "shape") and not isinstance(array, np.ndarray) and len(array.shape) > 2:
        raise ValueError(
            f"Layer {name!r} is a lazy array of shape {tuple(array.shape)}: (n_images, n_units) "
            "is needed."
        )
    found = check_array(
        array, dtype="numeric", ensure_all_finite=False, allow_nd=True, input_name=str(name)
    )
    return found.reshape(len(found), -1)


def _take(array: Any, key: Any) -> Any:
    """Rows of an array: a view or copy in memory, a remembered selection on disk."""
    if isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        return array[key]
    rows = np.arange(array.shape[0])[key]
    return array.take(rows) if isinstance(array, LazyRows) else LazyRows(array, rows)


def _common_labels(layers: Mapping[str, Any]) -> list[str] | None:
    """Labels of the rows of all layers that have some, which must be the same."""
    first, names = "", None
    for name, array in layers.items():
        labels = row_labels(array)
        if labels is None:
            continue
        if names is None:
            first, names = name, labels
        elif labels != names and len(labels) == len(names):
            row = next(k for k, label in enumerate(labels) if label != names[k])
            raise ValueError(
                f"Rows of layer {name!r} are not those of {first!r}: row {row} is "
                f"{labels[row]!r}, and {names[row]!r} of {first!r}. Bring them into one order, "
                "e.g. with .loc[...]."
            )
    return names


def _taken_names(names: list[str] | None, key: Any) -> list[str] | None:
    return None if names is None else list(np.array(names, dtype=object)[key])


def read_layers(X: Any, layers: Any) -> LayerFeatures:
    """X of any form that holds several layers.

    Parameters
    ----------
    X : LayerFeatures, mapping, DataFrame or array of shape (n_images, n_features)
    layers : None, mapping of str to slice or indices, or array-like of shape (n_features,)
        Which columns of an array belong to which layer.
    """
    if isinstance(X, LayerFeatures | Mapping):
        features = X if isinstance(X, LayerFeatures) else LayerFeatures(X)
        if layers is None:
            return features
        absent = [name for name in layers if name not in features.names]
        if absent:
            raise ValueError(f"layers: X has no {absent}; it has {features.names}.")
        chosen = LayerFeatures({name: features.layer(name) for name in layers})
        chosen.row_names = features.row_names
        return chosen
    if layers is None and isinstance(X, pd.DataFrame) and isinstance(X.columns, pd.MultiIndex):
        layers = X.columns.get_level_values(0)
    if layers is None:
        raise ValueError(
            "X is one table: say with layers= which of its columns belong to which layer (a "
            "label for each, or a dict of slices), or give a dict of arrays, LayerFeatures, or a "
            "DataFrame whose columns are a MultiIndex (layer, unit)."
        )
    if is_lazy(X):
        raise ValueError(
            "X is one lazy array, which layers= would read into memory: give a dict with a lazy "
            "array for each layer."
        )
    array = check_array(X, dtype="numeric", ensure_all_finite=False)
    found = LayerFeatures(_split(array, layers))
    found.row_names = row_labels(X)
    return found


def _split(array: Any, layers: Any) -> dict[str, Any]:
    """The columns of each layer."""
    if isinstance(layers, Mapping):
        return {name: array[:, columns] for name, columns in layers.items()}
    labels = np.asarray(layers)
    if labels.shape != (array.shape[1],):
        raise ValueError(
            f"layers has shape {labels.shape}, but X has {array.shape[1]} columns: give one label "
            "for each."
        )
    return {str(name): array[:, _columns(labels == name)] for name in pd.unique(labels)}


def _columns(mask: NDArray[np.bool_]) -> Any:
    """A slice where the columns are successive, which copies nothing."""
    places = np.flatnonzero(mask)
    start, stop = int(places[0]), int(places[-1]) + 1
    return slice(start, stop) if stop - start == len(places) else places
