"""Stores of older versions: read as they are, and given the checksums of this one by a repair."""

from __future__ import annotations

import json
import shutil
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from tiny_network import LAYERS, UNITS, extractor, files

from skdnn import ActivationStore

NEW_IN_2 = {"folder", "key", "module", "precision", "preprocess", "decoding"}


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    """As format 1 did."""
    body = json.dumps(content, indent=1).encode().removesuffix(b"\n}")
    seal = f',\n "crc32_of_all_above": "{zlib.crc32(body):08x}"\n}}\n'
    path.write_bytes(body + seal.encode())


def read_sealed(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_bytes())
    content.popitem()
    return content


def to_format_1(root: Path) -> None:
    """Write down a store as version 0.1 would have."""
    write_sealed(root / "skdnn-store.json", {"format": 1, "about": "Activations stored by skdnn"})
    for path in (root / "networks").glob("*.json"):
        write_sealed(path, {k: v for k, v in read_sealed(path).items() if k != "key"})
    for path in (root / "layers").glob("*/*.json"):
        content = read_sealed(path)
        if path.name == "layer.json":
            del content["folder"]
        else:
            rows = np.load(path.with_suffix(".npy"))
            sums = rows.reshape(len(rows), -1).view(_words(rows)).sum(axis=1, dtype=np.uint64)
            content = {name: value for name, value in content.items() if name not in NEW_IN_2}
            content |= {"format": 1, "crc32": f"{zlib.crc32(rows.data):08x}"}
            content["row_sums"] = [f"{int(value):016x}" for value in sums]
        write_sealed(path, content)


def _words(rows: np.ndarray) -> str:
    n_bytes = rows[0].size * rows.itemsize
    return next(f"<u{size}" for size in (8, 4, 2, 1) if n_bytes % size == 0)


@pytest.fixture
def root(filled_once: Path, tmp_path: Path) -> Path:
    """All images, in format 1."""
    copy = Path(shutil.copytree(filled_once, tmp_path / "store"))
    to_format_1(copy)
    return copy


def formats(root: Path) -> list[int]:
    return [read_sealed(path)["format"] for path in files(root, suffix=".json")]


def check_all(store: ActivationStore, paths: list[str], expected: dict[str, np.ndarray]) -> None:
    found = extractor(store, LAYERS).extract(paths, flatten=True)
    for layer in LAYERS:
        assert_array_equal(found[layer], expected[layer])


@pytest.mark.parametrize("mode", ["r", "a"])
def test_an_old_store_is_read_as_it_is(root, paths, expected, mode):
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    store = ActivationStore(root, mode=mode)
    check_all(store, paths, expected)
    stored = extractor(store, "conv").fit(paths).stored(paths)
    assert_array_equal(stored[:, 3:9], expected["conv"][:, 3:9])
    assert store.verify().empty
    assert store.stats["images_forwarded"] == 0
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    table = store.contents().set_index("layer")
    assert dict(table.bytes) == {layer: 23 * 4 * UNITS[layer] for layer in LAYERS}
    assert set(table.precision) == {"float32"}
    assert "tiny" in store._repr_html_()


@pytest.mark.parametrize("place", ["sum", "checksum of the file"])
def test_old_checksums_are_looked_at(root, paths, expected, place):
    path = files(root, "fc")[0]
    content = bytearray(path.read_bytes())
    if place == "sum":
        content[-1] ^= 1
    else:  # as a whole only: two signs of a row
        content[128 + 3] ^= 128
        content[128 + 7] ^= 128
    path.write_bytes(content)
    store = ActivationStore(root)
    assert store.verify().file.item() == str(path.relative_to(root))
    if place == "sum":
        with pytest.warns(UserWarning, match="is damaged"):
            check_all(store, paths, expected)
    else:
        store.verify(repair=True)
        check_all(store, paths, expected)
        assert store.stats["images_forwarded"] in (7, 8)
    assert store.verify().empty


def test_a_repair_gives_new_checksums(root, paths, expected):
    written = {path.stem: read_sealed(path)["written"] for path in files(root, suffix=".json")}
    store = ActivationStore(root)
    assert store.verify(repair=True).empty
    assert formats(root) == [2] * 9
    assert {path.stem for path in files(root)}.isdisjoint(written)
    assert {read_sealed(path)["written"] for path in files(root, suffix=".json")} <= {
        *written.values()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_all(ActivationStore(root), paths, expected)
    assert store.stats["images_forwarded"] == 0
    assert store.verify().empty
    content = read_sealed(files(root, "conv", ".json")[0])
    assert content.keys() >= NEW_IN_2
    assert len(content["names"]) == len(content["images"]) == content["rows"]


def test_once_added_to_older_versions_refuse_a_store(root, paths, expected):
    store = ActivationStore(root)
    extractor(store, "conv").precompute(paths, verbose=0)
    assert read_sealed(root / "skdnn-store.json")["format"] == 1  # nothing was added
    extractor(store, "relu@0").precompute(paths, verbose=0)
    assert read_sealed(root / "skdnn-store.json")["format"] == 2
    assert sorted(formats(root)) == [1] * 9 + [2]
    assert ActivationStore(root).verify().empty
    check_all(ActivationStore(root), paths, expected)


def test_old_layers_that_changed_places_are_not_used(root, paths, expected):
    """What is known of an old shard's layer is not enough to move it; it stays."""
    conv, fc = (next((root / "layers").glob(f"*--{layer}--*")) for layer in ("conv", "fc"))
    conv.rename(root / "conv")
    fc.rename(conv)
    (root / "conv").rename(fc)
    store = ActivationStore(root)
    with pytest.warns(UserWarning, match="are not used"):
        check_all(store, paths, expected)
    assert store.stats["images_forwarded"] == 23
    before = len(files(root))
    faults = store.verify(repair=True)
    assert len(faults) == 6
    assert len(files(root)) == before


def test_an_old_layers_file_that_is_lost_is_written_anew(root, paths, expected):
    for path in (root / "layers").glob("*/layer.json"):
        path.unlink()
    store = ActivationStore(root)
    assert set(store.contents().layer) == set(LAYERS)
    check_all(store, paths, expected)
    assert len(store.verify(repair=True)) == 3
    assert store.verify().empty
    check_all(store, paths, expected)
    assert store.stats["images_forwarded"] == 0


@pytest.mark.parametrize("where", ["marker", "manifest"])
def test_a_newer_store_is_refused_and_kept(root, paths, expected, where):
    """Sealed as we do, or as nobody knows yet."""
    from skdnn._store._checksums import write_json

    if where == "marker":
        for write in (write_json, lambda path, content: path.write_text(json.dumps(content))):
            write(root / "skdnn-store.json", {"format": 3, "about": "news"})
            with pytest.raises(ValueError, match=r"is a store of format 3, .*: update skdnn"):
                ActivationStore(root)
        return
    path = files(root, "fc", ".json")[0]
    write_json(path, {**read_sealed(path), "format": 3})
    store = ActivationStore(root)
    with pytest.warns(UserWarning, match="format 3: update skdnn"):
        check_all(store, paths, expected)
    assert "format 3: update skdnn" in store.verify(repair=True).fault.item()
    assert path.exists()
    assert path.with_suffix(".npy").exists()
