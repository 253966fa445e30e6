"""The folder behind a store: what extraction reads from it and writes to it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from skdnn._files import TEMPORARY, sync_folder
from skdnn.models import digest_of
from skdnn.store._index import LayerRows, StoreIndex
from skdnn.store._json import read_json, write_json
from skdnn.store._write import FORMAT, BlockWriter, explained

_MARKER = "skdnn-store.json"


class Depot:
    """A folder of layers, each a folder of shards.

    Parameters
    ----------
    root : Path
        Made when something is written.
    dtype : {"float32", "float16"}
        Of new rows.
    mode : {"a", "r"}

    Raises
    ------
    ValueError
        If `root` holds something else.
    """

    def __init__(self, root: Path, dtype: str, mode: str) -> None:
        self.root, self.dtype, self.mode = root, dtype, mode
        self._check_folder()
        self.index = StoreIndex.of(root, writable=mode == "a")

    def _check_folder(self) -> None:
        if not self.root.exists():
            if self.mode == "r":
                raise ValueError(f"root={str(self.root)!r}: there is no such store to read.")
            return
        if not self.root.is_dir():
            raise ValueError(f"root={str(self.root)!r} is a file: give a folder.")
        names = [name for name in os.listdir(self.root) if not name.startswith(".")]
        if names and _MARKER not in names:
            raise ValueError(
                f"root={str(self.root)!r} is no activation store, and it is not empty (it holds "
                f"{sorted(names)[0]!r}): give a folder of its own."
            )
        if _MARKER in names:
            try:
                form = json.loads((self.root / _MARKER).read_bytes())["format"]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"root={str(self.root)!r}: its file {_MARKER} is damaged; if this is a store, "
                    f'replace what the file holds by {{"format": {FORMAT}}}.'
                ) from error
            if form != FORMAT:
                raise ValueError(
                    f"root={str(self.root)!r} is a store of format {form}, and this version of "
                    f"skdnn reads format {FORMAT}: update skdnn, or give another folder."
                )

    def layer(self, identity: Mapping[str, Any]) -> LayerRows:
        """The rows of one layer.

        Parameters
        ----------
        identity : mapping
            ``key`` stands for all that the values depend on; ``model``, ``layer`` and
            ``pooling`` name the folder, and the rest is kept for people to read.
        """
        return self.index.layer(self._folder_name(identity))

    def _folder_name(self, identity: Mapping[str, Any]) -> str:
        words = [str(identity[name]) for name in ("model", "layer", "pooling")]
        slug = "--".join(re.sub(r"[^A-Za-z0-9._@]+", "-", word)[-60:] for word in words)
        return f"{slug}--{digest_of([identity['key'], self.dtype])[:16]}"

    def count(self, hits: int, misses: int) -> None:
        """Count rows that were and were not there, for `stats`."""
        self.index.count(hits, misses)

    def remember_network(self, key: str, table: Any) -> None:
        """Keep what is known of a network, if possible: a warm store need not build it then."""
        with suppress(OSError):
            self.prepare_writing()
            write_json(self.root / "networks" / f"{key}.json", table)

    def recall_network(self, key: str) -> Any | None:
        """What `remember_network` kept, or None."""
        try:
            return read_json(self.root / "networks" / f"{key}.json")
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None  # or damaged: it is written anew

    def prepare_writing(self) -> None:
        """Make the folder, or say at once that it can't be written to."""
        self.refuse_writing("writing new activations")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            if not (self.root / _MARKER).exists():  # first: by it alone a store is known
                about = "Activations stored by skdnn; see ActivationStore in its documentation."
                write_json(self.root / _MARKER, {"format": FORMAT, "about": about})
                sync_folder(self.root)
            for name in ("layers", "networks"):
                (self.root / name).mkdir(exist_ok=True)
            probe = self.root / f"{TEMPORARY}{os.getpid()}-{os.urandom(4).hex()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise explained(error, self.root) from error

    @property
    def free_bytes(self) -> int:
        """Space left on the disk."""
        folder = self.root
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free

    def begin_block(
        self, layers: Sequence[tuple[Mapping[str, Any], tuple[int, ...]]]
    ) -> BlockWriter:
        """Start a block of images for some layers, given by identity and shape of one row."""
        targets = [(self.layer(identity), identity, shape) for identity, shape in layers]
        return BlockWriter(self.root, self.dtype, targets)

    def folders(self) -> list[Path]:
        """Folders of all layers."""
        try:
            with os.scandir(self.root / "layers") as entries:
                return sorted(Path(entry.path) for entry in entries if entry.is_dir())
        except FileNotFoundError:
            return []

    def refuse_writing(self, what: str) -> None:
        """Raise if the store is open for reading only."""
        if self.mode == "r":
            raise PermissionError(
                f"The activation store {self.root} was opened with mode='r' and only reads; "
                f"{what} needs mode='a'."
            )
