"""ActivationStore: activations on disk that are found again by the image they belong to."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skdnn._store._cards import store_card
from skdnn._store._checksums import read_json
from skdnn._store._layer_folder import block_names, remove_shard
from skdnn._store._shard import CorruptShardError, Shard, describe_layer
from skdnn._store._store_folder import StoreFolder
from skdnn._store._verify import find_faults
from skdnn._store._write import clean

_COLUMNS = ["model", "weights", "layer", "pooling", "images", "bytes", "date"]
_MORE_COLUMNS = ["precision", "preprocess", "dtype", "folder"]


class ActivationStore:
    """Activations on disk: each image goes through a network once, for all that comes after.

    A folder of plain ``.npy`` files (shards of some hundred images each), with a JSON file
    beside each that says what it holds. Rows are found by the SHA-256 of the image's bytes, and
    lie in a folder that belongs to one network with its weights, preprocessing, precision, layer
    and pooling: whatever is changed, nothing stale is found. Several processes and machines may
    use it at once, and may be killed at any moment.

    Parameters
    ----------
    root : str or path-like
        The folder; made when something is written. It must be empty or a store.
    dtype : {"float32", "float16"}, default="float32"
        Type of new rows on disk. ``"float16"`` halves the space and costs about 2e-5 in the
        correlations of an RDM; features are handed out as float32 in any case.
    mode : {"a", "r"}, default="a"
        ``"r"`` only reads: activations that are not there are an error.

    Attributes
    ----------
    root : pathlib.Path
        The folder.
    dtype : str
        As given.
    mode : str
        As given.
    is_temporary : bool
        Whether it is a search's own, and is removed with it.
    depot : object
        What extraction works with; of no use otherwise.

    Raises
    ------
    ValueError
        If `root` is a folder that holds something else, or a parameter is unknown.

    See Also
    --------
    skdnn.DNNFeatureExtractor : Takes a store, or just its folder, as ``cache``.
    skdnn.LayerSearchCV : Fills one before a search over layers.

    Notes
    -----
    A shard is written under a temporary name, synced and renamed; its manifest, without which it
    does not count, comes last. There are no locks. Of files that a killed writer has left, those
    an hour old are removed when the next one starts. Each row is checked by its XXH3 hash
    (64 bits) whenever it is read, and each file that says what rows are by another (128 bits).
    A shard with a damaged row is named by a warning; the row is computed anew, and the others
    are kept. A store that an older version wrote is read as it is; once this version has added
    to it, older ones refuse it.

    scikit-learn's ``clone`` keeps a store as it is, and pickles hold only its folder.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from skdnn import ActivationStore, DNNFeatureExtractor
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 40, 60, 3), dtype=np.uint8)
    >>> folder = tempfile.TemporaryDirectory()
    >>> store = ActivationStore(folder.name)
    >>> extractor = DNNFeatureExtractor("alexnet", "features.3", weights=None, cache=store)
    >>> first, again = extractor.fit_transform(images), extractor.fit_transform(images)
    >>> store.stats["images_forwarded"], bool((first == again).all())
    (4, True)
    >>> store.contents()[["model", "layer", "images"]]
                     model       layer  images
    0  torchvision/alexnet  features.3       4
    >>> folder.cleanup()
    """

    def __init__(
        self, root: str | os.PathLike[str], *, dtype: str = "float32", mode: str = "a"
    ) -> None:
        if dtype not in ("float32", "float16"):
            raise ValueError(f"dtype={dtype!r}: use 'float32' or 'float16'.")
        if mode not in ("a", "r"):
            raise ValueError(f"mode={mode!r}: use 'a' (read and add) or 'r' (read only).")
        self.root = Path(root).expanduser().absolute()
        self.dtype = dtype
        self.mode = mode
        self.is_temporary = False
        self.depot = StoreFolder(self.root, dtype, mode)
        index = self.depot.index
        self._before = (index.hits, index.misses)
        self._old_blocks = {
            block for folder in self.depot.folders() for block in block_names(folder)
        }
        self._forwards: dict[str, tuple[int, int]] = {}

    # --- what the user asks ------------------------------------------------------------------

    @property
    def stats(self) -> dict[str, int]:
        """What has happened since the store was opened.

        Returns
        -------
        stats : dict of str to int
            ``hits`` and ``misses``: rows (one image in one layer) that this process found and
            did not find. ``images_forwarded`` and ``batches_forwarded``: what went through a
            network, in whatever process, by the manifests of the shards written since.
        """
        for folder in self.depot.folders():
            for block in block_names(folder) - self._old_blocks - self._forwards.keys():
                try:
                    forward = read_json(folder / f"{block}.json")["forward"]
                    self._forwards[block] = (int(forward["images"]), int(forward["batches"]))
                except (OSError, ValueError, KeyError, TypeError):
                    continue  # removed or damaged meanwhile: `verify` tells
        return {
            "hits": self.depot.index.hits - self._before[0],
            "misses": self.depot.index.misses - self._before[1],
            "images_forwarded": sum(images for images, _ in self._forwards.values()),
            "batches_forwarded": sum(batches for _, batches in self._forwards.values()),
        }

    @property
    def size(self) -> int:
        """Bytes on disk."""
        total = 0
        for folder, _, names in os.walk(self.root):
            for name in names:
                try:
                    total += os.stat(os.path.join(folder, name)).st_size
                except OSError:
                    continue  # renamed meanwhile by a writer, or a link to nothing
        return total

    def contents(self) -> pd.DataFrame:
        """List what is stored.

        Returns
        -------
        contents : DataFrame
            One row for each layer: ``model``, ``weights``, ``layer``, ``pooling``, ``images``
            (distinct ones), ``bytes`` (of data), ``date`` (of the last shard, UTC), then
            ``precision``, ``preprocess``, ``dtype`` and ``folder``.
        """
        rows = []
        for folder, identity in self._identified():
            shards = list(_open_shards(folder))
            if not shards:
                continue
            digests = [shard.digests for shard in shards]
            written = [shard.manifest["written"] for shard in shards]
            rows.append(
                {
                    **{name: identity.get(name) for name in (*_COLUMNS, *_MORE_COLUMNS)},
                    "images": len(np.unique(np.concatenate(digests))),
                    "bytes": sum(shard.n_bytes for shard in shards),
                    "date": pd.Timestamp(max(written)),
                    "folder": folder.name,
                }
            )
        table = pd.DataFrame(rows, columns=[*_COLUMNS, *_MORE_COLUMNS])
        return table.sort_values(["model", "weights", "date"], ignore_index=True)

    def verify(self, *, repair: bool = False) -> pd.DataFrame:
        """Read everything and compare it with the checksums.

        Parameters
        ----------
        repair : bool, default=False
            Whether to mend what is faulty. Of a damaged shard the rows that are as they were
            written are kept, and the others are computed anew when they are asked for. Shards and
            folders of layers in a wrong place are moved to the right one. The file that marks
            the folder as a store, and those that describe a layer or a network, are written
            anew. Shards of older versions get the checksums of this one.

        Returns
        -------
        faults : DataFrame
            What was found: columns ``model``, ``layer``, ``file`` and ``fault``; empty if all is
            well.

        Raises
        ------
        PermissionError
            If the store is to be repaired, and open for reading only.

        Notes
        -----
        Reading finds faulty rows by itself, too. A file that the system cannot read (a faulty
        disk, missing rights) is named and stays. What stands in the place of a file and is a
        folder that is not empty is kept under a name that begins with ``.aside-``.
        """
        if repair:
            self.depot.refuse_writing("repairing")
        faults = []
        for path, fault in find_faults(self.depot, repair):
            inside = path.parent.parent == self.root / "layers"
            who = describe_layer(path.parent) if inside else {}
            about = {name: who.get(name) for name in ("model", "layer")}
            faults.append({**about, "file": str(path.relative_to(self.root)), "fault": fault})
        if repair:
            for folder in self.depot.folders():
                self.depot.index.layer(folder.name).reset()
        return pd.DataFrame(faults, columns=["model", "layer", "file", "fault"])

    def prune(
        self,
        *,
        model: str | None = None,
        layer: str | None = None,
        older_than: float | timedelta | None = None,
        max_bytes: int | None = None,
        dry_run: bool = False,
    ) -> pd.DataFrame:
        """Remove shards, and what killed writers have left.

        Parameters
        ----------
        model, layer : str, default=None
            Names, or globs such as ``"torchvision/*"``; None is any.
        older_than : float (days) or timedelta, default=None
            Only what was written longer ago.
        max_bytes : int, default=None
            Only as many of these shards, the oldest first, as bring the whole store down to this
            size.
        dry_run : bool, default=False
            Whether to remove nothing.

        Returns
        -------
        removed : DataFrame
            One row for each layer: ``model``, ``layer``, ``pooling``, ``shards``, ``bytes``.
            Without any condition no shard is removed.

        Raises
        ------
        ValueError
            If the store is open for reading only.
        """
        if not dry_run:
            self.depot.refuse_writing("prune()")
        some = any(given is not None for given in (model, layer, older_than, max_bytes))
        chosen = self._choose(model, layer, older_than) if some else []
        if max_bytes is not None:
            surplus = self.size - max_bytes
            kept = np.cumsum([0, *(shard.n_bytes for shard, _ in chosen)])[:-1]
            chosen = [pair for pair, before in zip(chosen, kept, strict=True) if before < surplus]
        rows = [
            {
                **{name: identity.get(name) for name in ("model", "layer", "pooling")},
                "shards": 1,
                "bytes": shard.n_bytes,
            }
            for shard, identity in chosen
        ]
        if not dry_run:
            for shard, _ in chosen:
                remove_shard(shard.path.parent, shard.path.stem)
                self.depot.index.layer(shard.path.parent.name).refresh()
            for folder in (self.root, self.root / "networks", *self.depot.folders()):
                if folder.is_dir():
                    clean(folder)
        table = pd.DataFrame(rows, columns=["model", "layer", "pooling", "shards", "bytes"])
        return table.groupby(["model", "layer", "pooling"], as_index=False, dropna=False).sum()

    def _choose(
        self, model: str | None, layer: str | None, older_than: float | timedelta | None
    ) -> list[tuple[Shard, dict[str, Any]]]:
        """Shards that meet all conditions, the oldest first."""
        days = timedelta(days=older_than) if isinstance(older_than, int | float) else older_than
        limit = None if days is None else datetime.now(UTC) - days
        chosen = [
            (shard, identity)
            for folder, identity in self._identified()
            if _is_named(identity.get("model"), model) and _is_named(identity.get("layer"), layer)
            for shard in _open_shards(folder)
            if limit is None or datetime.fromisoformat(shard.manifest["written"]) < limit
        ]
        return sorted(chosen, key=lambda pair: (pair[0].manifest["written"], pair[0].path))

    # --- folders -----------------------------------------------------------------------------

    def _identified(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        self.depot.refuse_fault()
        for folder in self.depot.folders():
            yield folder, describe_layer(folder)

    def __sklearn_clone__(self) -> ActivationStore:
        return self

    def __getstate__(self) -> dict[str, Any]:
        state = {"root": self.root, "dtype": self.dtype, "mode": self.mode}
        return {**state, "is_temporary": self.is_temporary}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["root"], dtype=state["dtype"], mode=state["mode"])  # type: ignore[misc]
        self.is_temporary = state["is_temporary"]

    def __repr__(self) -> str:
        mode = ", mode='r'" if self.mode == "r" else ""
        dtype = "" if self.dtype == "float32" else f", dtype={self.dtype!r}"
        return f"ActivationStore({str(self.root)!r}{dtype}{mode})"

    def _repr_html_(self) -> str:
        """A card for notebooks; no activations are read, and no shard but its size."""
        facts = {
            "new activations": self.dtype if self.mode == "a" else "none: opened to read only"
        }
        return store_card(self.root, self.depot.folders(), facts)


def _is_named(name: Any, wanted: str | None) -> bool:
    """Whether a name is wanted: itself (it may hold brackets) or by a glob."""
    return wanted is None or wanted == name or fnmatch.fnmatchcase(str(name), wanted)


def _open_shards(folder: Path) -> Iterator[Shard]:
    """Every shard of a layer whose manifest can be read; `verify` names the others."""
    for block in sorted(block_names(folder)):
        try:
            yield Shard.open(folder / f"{block}.json")
        except (FileNotFoundError, CorruptShardError):
            continue
