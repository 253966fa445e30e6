"""The folder behind a store: what extraction reads from it and writes to it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from skdnn._files import TEMPORARY, sync_folder
from skdnn._store._checksums import is_sealed, read_bytes, read_json, write_json
from skdnn._store._index import LayerRows, StoreIndex
from skdnn._store._layer_folder import folder_name, is_folder_name
from skdnn._store._plain_files import ASIDE, remove
from skdnn._store._shard import FORMAT, FORMATS
from skdnn._store._write import BlockWriter, explained

MARKER = "skdnn-store.json"


class StoreFolder:
    """A folder of layers, each a folder of shards.

    Parameters
    ----------
    root : Path
        Made when something is written.
    dtype : {"float32", "float16"}
        Of new rows.
    mode : {"a", "r"}

    Attributes
    ----------
    fault : str
        What is wrong with the file that marks the folder as a store, "" if nothing is. Such a
        store can only be verified.

    Raises
    ------
    ValueError
        If `root` holds something else.
    """

    def __init__(self, root: Path, dtype: str, mode: str) -> None:
        self.root, self.dtype, self.mode = root, dtype, mode
        self.fault = ""
        self._format = FORMAT
        self.check_folder()
        self.index = StoreIndex.of(root, writable=mode == "a")

    def check_folder(self) -> None:
        """Look at what marks the folder as a store."""
        if not self.root.exists():
            if self.mode == "r":
                raise ValueError(f"root={str(self.root)!r}: there is no such store to read.")
            return
        if not self.root.is_dir():
            raise ValueError(f"root={str(self.root)!r} is a file: give a folder.")
        names = [name for name in os.listdir(self.root) if not name.startswith(".")]
        self.fault = self._read_marker() if MARKER in names else "is missing" if names else ""
        if self.fault and not any(is_folder_name(folder.name) for folder in self.folders()):
            raise ValueError(
                f"root={str(self.root)!r} is no activation store (its file {MARKER} {self.fault}, "
                f"and it holds no layers), and it is not empty (it holds {sorted(names)[0]!r}): "
                "give a folder of its own."
            )

    def _read_marker(self) -> str:
        """Learn the format; gives what is wrong with the file."""
        path, fault = self.root / MARKER, ""
        try:
            form = read_json(path).get("format")
            if not isinstance(form, int):
                raise ValueError("it tells no format")
        except (OSError, ValueError) as error:
            fault, form = f"is damaged ({error})", _unsealed_format(path)
        self._format = form
        if self._format not in FORMATS:
            raise ValueError(
                f"root={str(self.root)!r} is a store of format {self._format}, and this version "
                f"of skdnn reads format {FORMAT}: update skdnn, or give another folder."
            )
        return fault

    def write_marker(self) -> None:
        """Mark the folder as a store."""
        path = self.root / MARKER
        if not path.is_file():
            remove(path)
        about = "Activations stored by skdnn; see ActivationStore in its documentation."
        write_json(path, {"format": FORMAT, "about": about})
        sync_folder(self.root)
        self.fault, self._format = "", FORMAT

    def refuse_fault(self) -> None:
        """Raise if the folder is not marked as a store as it should be."""
        if self.fault:
            raise ValueError(
                f"The activation store {self.root} can't be used: its file {MARKER} "
                f"{self.fault}. ActivationStore({str(self.root)!r}).verify(repair=True) writes it "
                f"anew, or, in a shell: skdnn cache verify {shlex.quote(str(self.root))} --repair"
            )

    def layer(self, identity: Mapping[str, Any]) -> LayerRows:
        """The rows of one layer.

        Parameters
        ----------
        identity : mapping
            ``key`` stands for all that the values depend on; ``model``, ``layer`` and
            ``pooling`` name the folder, and the rest is kept for people to read.
        """
        self.refuse_fault()
        return self.index.layer(folder_name(identity, self.dtype))

    def count(self, hits: int, misses: int) -> None:
        """Count rows that were and were not there, for `stats`."""
        self.index.count(hits, misses)

    def remember_network(self, key: str, table: Any) -> None:
        """Keep what is known of a network, if possible: a warm store need not build it then."""
        with suppress(OSError):
            self.prepare_writing()
            write_json(self.root / "networks" / f"{key}.json", {"key": key, **table})

    def recall_network(self, key: str) -> Any | None:
        """What `remember_network` kept, or None."""
        self.refuse_fault()
        try:
            return read_network(self.root / "networks" / f"{key}.json")
        except (OSError, ValueError):
            return None  # not there or damaged: it is written anew

    def prepare_writing(self) -> None:
        """Make the folder, or say at once that it can't be written to."""
        self.refuse_writing("writing new activations")
        self.refuse_fault()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            # First: by it alone a store is known, and by its format refused by older versions.
            if self._format != FORMAT or not (self.root / MARKER).exists():
                self.write_marker()
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
                found = [Path(entry.path) for entry in entries if entry.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(path for path in found if not path.name.startswith(ASIDE))

    def refuse_writing(self, what: str) -> None:
        """Raise if the store is open for reading only."""
        if self.mode == "r":
            raise PermissionError(
                f"The activation store {self.root} was opened with mode='r' and only reads; "
                f"{what} needs mode='a'."
            )


def read_network(path: Path) -> dict[str, Any]:
    """What is known of a network.

    Raises
    ------
    ValueError
        If the file is not as it was written, or of another network.
    OSError
        If it is not there, or can't be read.
    """
    content = read_json(path)
    in_format_1 = "key" not in content and "layers" in content
    if not in_format_1 and content.get("key") != path.stem:
        raise ValueError("it does not describe this network")
    return content


def _unsealed_format(path: Path) -> int:
    """Of a damaged file, ours; of one without a checksum that we know, what it says."""
    with suppress(OSError, ValueError):
        content = json.loads(read_bytes(path))
        if isinstance(content, dict) and not is_sealed(content):
            form = content.get("format")
            return form if isinstance(form, int) else FORMAT
    return FORMAT
