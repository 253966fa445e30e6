"""Stored features of given images as an array that stays on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from skdnn._store._cards import features_card
from skdnn._store._index import LayerRows
from skdnn._store._shard import CorruptShardError, Shard
from skdnn._wording import in_bytes

_BLOCK_BYTES = 64 * 2**20


class StoredFeatures:
    """Features on disk, row i being image i; rows or columns are read when they are asked for.

    Parameters
    ----------
    layers : sequence of LayerRows
        Their features stand side by side.
    n_units : sequence of int
        Of each layer.
    digests : ndarray of bytes, shape (n_images,)
        The images, all of them stored.

    Attributes
    ----------
    shape : tuple of int
        (n_images, n_features).
    dtype : numpy dtype
        float32, whatever the type on disk.

    See Also
    --------
    skdnn.DNNFeatureExtractor.stored : Makes one from images.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from skdnn import DNNFeatureExtractor
    >>> images = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), dtype=np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     extractor = DNNFeatureExtractor(
    ...         "alexnet", "features.3", weights=None, cache=folder).fit(images)
    ...     features = extractor.stored(images)
    ...     print(features.shape, features[:2].shape, features[:, :10].shape)
    (3, 139968) (2, 139968) (3, 10)
    """

    ndim = 2
    dtype = np.dtype(np.float32)

    def __init__(
        self, layers: Sequence[LayerRows], n_units: Sequence[int], digests: np.ndarray
    ) -> None:
        self._layers = list(layers)
        self._ends = np.cumsum([0, *n_units])
        self._digests = digests
        self._checked: set[Any] = set()
        self.shape = (len(digests), int(self._ends[-1]))

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array in memory."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("StoredFeatures lie on disk: an array of them is always a copy.")
        return np.asarray(self[:], dtype=dtype)

    def __getitem__(self, key: Any) -> np.ndarray:
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        single = isinstance(rows, int | np.integer)
        digests = self._digests[[rows] if single else rows]
        plain = isinstance(columns, slice) and columns.step in (None, 1)
        start, stop, _ = columns.indices(self.shape[1]) if plain else (0, self.shape[1], 1)
        if (start, stop) == (0, self.shape[1]):
            found = self._rows(digests) if plain else self._rows(digests)[:, columns]
        else:
            found = self._columns(digests, start, stop)
        return found[0] if single else found

    def iter_blocks(self, n_rows: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        """Give the rows in blocks, in order.

        Parameters
        ----------
        n_rows : int, default=None
            In a block; None takes as many as 64 MB hold.

        Returns
        -------
        blocks : iterator of tuples
            Which rows of the whole, as a slice, and they as an array (n_rows, n_features) of
            float32.
        """
        if n_rows is None:
            n_rows = max(1, _BLOCK_BYTES // max(1, 4 * self.shape[1]))
        for start in range(0, len(self), n_rows):
            rows = slice(start, min(start + n_rows, len(self)))
            yield rows, self[rows]

    def _rows(self, digests: np.ndarray) -> np.ndarray:
        out = np.empty((len(digests), self.shape[1]), np.float32)
        for layer, start, stop in zip(self._layers, self._ends[:-1], self._ends[1:], strict=True):
            self._refuse(layer.read(digests, out[:, start:stop], n_threads=2), layer)
        return out

    def _columns(self, digests: np.ndarray, start: int, stop: int) -> np.ndarray:
        out = np.empty((len(digests), max(stop - start, 0)), np.float32)
        for layer, first, last in zip(self._layers, self._ends[:-1], self._ends[1:], strict=True):
            low, high = max(start, first), min(stop, last)
            if low >= high:
                continue
            lookup = layer.lookup()
            shard_of, row_of = lookup.find(digests)
            self._refuse(shard_of < 0, layer)
            for number in np.unique(shard_of):
                shard = lookup.shards[number]
                places = np.flatnonzero(shard_of == number)
                columns = slice(low - first, high - first)
                try:
                    self._check(shard)
                    part = shard.read_columns(columns, row_of[places])
                except (FileNotFoundError, CorruptShardError) as error:  # or pruned meanwhile
                    layer.discard(shard.path.stem, error)
                    self._refuse(np.ones(len(places), dtype=bool), layer)
                out[places, low - start : high - start] = part
        return out

    def _check(self, shard: Shard) -> None:
        """Columns carry no checksums of their own: look at whole rows once."""
        if shard.path in self._checked:
            return
        fault, sound = shard.check()
        if not sound.all():
            raise CorruptShardError(f"{shard.path}: {fault}")
        self._checked.add(shard.path)

    def _refuse(self, absent: np.ndarray, layer: LayerRows) -> None:
        if absent.any():
            raise KeyError(
                f"{int(absent.sum())} of {len(absent)} images are no longer stored in "
                f"{layer.folder}: call precompute again."
            )

    def __repr__(self) -> str:
        return f"StoredFeatures(shape={self.shape}, layers={len(self._layers)})"

    def _repr_html_(self) -> str:
        """A card for notebooks; no features are read."""
        facts = {
            "images": self.shape[0],
            "features": self.shape[1],
            "in memory": in_bytes(self.nbytes),
        }
        return features_card(self._layers, np.diff(self._ends), facts)
