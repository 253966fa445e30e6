"""Every byte of a store compared with what was written, and mended where that can be done."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from skdnn._files import sync_folder
from skdnn._store._checksums import write_json
from skdnn._store._layer_folder import (
    LAYER_FILE,
    block_names,
    is_folder_name,
    is_name,
    read_layer,
    remove_shard,
)
from skdnn._store._plain_files import ASIDE, remove, set_aside
from skdnn._store._shard import (
    CorruptShardError,
    Shard,
    StrayShardError,
    describe_layer,
    is_at_home,
)
from skdnn._store._store_folder import MARKER, StoreFolder, read_network
from skdnn._store._write import layer_of, make_layer_folder, rescue, retire

#: Where it is, and what is wrong.
Fault = tuple[Path, str]


def find_faults(depot: StoreFolder, repair: bool) -> Iterator[Fault]:
    """Read a store and name what is not as it was written.

    Parameters
    ----------
    depot : StoreFolder
    repair : bool
        Whether to mend it: what lies in a wrong place is moved, what tells of a layer or marks
        the store is written anew, sound rows of damaged shards are kept in new ones, and what
        can be computed anew is removed.

    Yields
    ------
    path, fault : Path, str
    """
    root = depot.root
    depot.check_folder()
    if depot.fault:
        if repair:
            depot.write_marker()
        yield root / MARKER, f"the file that marks the store {depot.fault}"
    yield from _no_folders(root, ("layers", "networks"), repair)
    if (root / "layers").is_dir():
        names = [name for name in os.listdir(root / "layers") if is_folder_name(name)]
        yield from _no_folders(root / "layers", names, repair)
    # First, as they may be what is missing elsewhere.
    for folder in [*_other_folders(root), *depot.folders()]:
        yield from _strays(folder, root / "layers", repair)
    yield from _networks(root / "networks", repair)
    for folder in depot.folders():
        yield from _shards(folder, repair)
        yield from _layer_file(folder, repair)


def _no_folders(parent: Path, names: Iterable[str], repair: bool) -> Iterator[Fault]:
    """Files in the place of folders."""
    for name in sorted(names):
        path = parent / name
        if os.path.lexists(path) and not path.is_dir():
            if repair and not path.is_symlink():  # to a disk that is not there now, maybe
                set_aside(path)
            yield path, "it is no folder"


def _other_folders(root: Path) -> Iterator[Path]:
    """Folders where shards may have got to and don't belong."""
    for name, inner, _ in os.walk(root):
        folder = Path(name)
        inner[:] = [name for name in inner if not name.startswith(ASIDE)]
        known = folder in (root, root / "layers", root / "networks")
        if known or (is_folder_name(folder.name) and folder.parent != root / "layers"):
            yield folder


def _strays(folder: Path, layers: Path, repair: bool) -> Iterator[Fault]:
    """Shards of another layer or block, or in a folder that is none of `layers`."""
    found = False
    for block in sorted(block_names(folder)):
        path = folder / f"{block}.json"
        try:
            shard = Shard.open(path, anywhere=True)
        except StrayShardError as error:  # of a newer format
            yield path, str(error)
            continue
        except (OSError, CorruptShardError):  # no shard, or told of later
            continue
        home = _home_of(shard, path, layers)
        if home == path:
            continue
        if repair and home is not None:
            _send_home(shard, path, home)
            found = True
        place = home and home.relative_to(layers)
        yield path, f"it does not belong here, but to {place or 'another layer'}"
    if found and set(os.listdir(folder)) <= {LAYER_FILE}:
        remove(folder / LAYER_FILE)
        folder.rmdir()


def _home_of(shard: Shard, path: Path, layers: Path) -> Path | None:
    """Where a manifest belongs; None if it can't be told."""
    if is_at_home(shard.manifest, path):
        return layers / path.parent.name / path.name
    name, block = shard.manifest.get("folder", ""), shard.manifest["block"]
    return layers / name / f"{block}.json" if is_folder_name(name) and is_name(block) else None


def _send_home(shard: Shard, path: Path, home: Path) -> None:
    """Move a stray shard to where it belongs; where that is taken, its rows go to a new shard.

    Its data lie beside its manifest, or, if the manifest alone has been moved, at home.
    """
    make_layer_folder(home.parent, layer_of(shard.manifest, path.parent))
    data = home.with_suffix(".npy")
    if _is_sound(shard) and not (os.path.lexists(home) or os.path.lexists(data)):
        os.replace(shard.path, data)
        os.replace(path, home)
        sync_folder(home.parent)
        return
    with suppress(OSError, CorruptShardError):
        twin = Shard.open(home)
        if list(twin.digests) == list(shard.digests) and not twin.check()[0]:
            remove_shard(path.parent, path.stem)  # a copy
            return
    for place in (shard.path, data):
        with suppress(FileNotFoundError, CorruptShardError):
            if rescue(replace(shard, path=place), path, home.parent):
                break
    remove(path)


def _is_sound(shard: Shard) -> bool:
    try:
        return not shard.check()[0]
    except (FileNotFoundError, CorruptShardError):
        return False


def _networks(folder: Path, repair: bool) -> Iterator[Fault]:
    """Tables of networks' layers; they are made anew when they are asked for."""
    names = os.listdir(folder) if folder.is_dir() else []
    for path in (folder / name for name in sorted(names)):
        if path.name.startswith(".") or path.suffix != ".json":
            continue
        try:
            read_network(path)
        except (OSError, ValueError) as error:
            if not os.path.lexists(path):  # removed meanwhile
                continue
            if repair:
                remove(path)
            yield path, str(error)


def _shards(folder: Path, repair: bool) -> Iterator[Fault]:
    for block in sorted(block_names(folder)):
        path, shard = folder / f"{block}.json", None
        try:
            shard = Shard.open(path)
            path = shard.path
            fault = shard.check()[0]
        except StrayShardError:
            continue
        except CorruptShardError as error:
            fault = str(error)
        except FileNotFoundError as error:
            if shard is None and not os.path.lexists(path):  # pruned meanwhile
                continue
            fault = _unreadable(error)
        except OSError as error:  # which may pass: nothing is removed
            yield path, _unreadable(error)
            continue
        is_old = shard is not None and shard.manifest["format"] == 1
        if repair and (fault or is_old):
            retire(folder, block, shard)
        if fault:
            yield path, fault


def _layer_file(folder: Path, repair: bool) -> Iterator[Fault]:
    """What is said of a layer, which its shards say, too."""
    path = folder / LAYER_FILE
    blocks = block_names(folder)
    try:
        read_layer(folder)
    except FileNotFoundError:
        fault = "it is missing" if blocks else ""
    except OSError as error:
        yield path, _unreadable(error)
        return
    except ValueError as error:
        fault = str(error)
    else:
        return
    if fault and repair:
        remove(path)
        if "model" in (known := describe_layer(folder)):
            write_json(path, {**known, "folder": folder.name})
    if fault:
        yield path, fault


def _unreadable(error: OSError) -> str:
    return f"the file can't be read ({error.strerror})"
