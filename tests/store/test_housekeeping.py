"""What a store tells of itself: contents, size, manifests; verifying and pruning."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from tiny_network import LAYERS, UNITS, extractor

from skdnn import ActivationStore, __version__
from skdnn._store._checksums import read_json, write_json


@pytest.fixture
def store(tmp_path: Path, paths: list[str], few_rows: None) -> ActivationStore:
    """Three layers of 23 images in shards of eight."""
    filled = ActivationStore(tmp_path / "store")
    return extractor(filled, batch_size=4).precompute(paths, LAYERS, verbose=0)


def manifests(store: ActivationStore, layer: str = "*") -> list[Path]:
    """In the order of the images; within a second, names of blocks have none."""
    found = (store.root / "layers").glob(f"tiny--{layer}--*/2*.json")
    return sorted(found, key=lambda path: json.loads(path.read_bytes())["names"][0])


def rewrite(path: Path, **changes: object) -> None:
    write_json(path, {**read_json(path), **changes})


def make_old(path: Path, days: float) -> None:
    written = datetime.now(UTC) - timedelta(days=days)
    rewrite(path, written=written.isoformat(timespec="seconds"))


def test_contents(store):
    table = store.contents()
    assert list(table.columns[:7]) == [
        "model", "weights", "layer", "pooling", "images", "bytes", "date"
    ]  # fmt: skip
    assert set(table.model) == {"tiny"}
    assert set(table.weights) == {"as given"}
    assert dict(zip(table.layer, table.bytes, strict=True)) == {
        layer: 23 * 4 * UNITS[layer] for layer in LAYERS
    }
    assert set(table.images) == {23}
    assert set(table.dtype) == {"float32"}
    assert (pd.Timestamp.now("UTC") - table.date < pd.Timedelta("1h")).all()


def test_contents_count_distinct_images(store, paths, run_script):
    other = ActivationStore(store.root.parent / "other")
    extractor(other).precompute(paths[:6], LAYERS, verbose=0)
    for path in (other.root / "layers").glob("*/2*"):
        os.rename(path, store.root / "layers" / path.parent.name / path.name)
    assert set(store.contents().images) == {23}


def test_size(store):
    files = [path for path in store.root.rglob("*") if path.is_file()]
    assert store.size == sum(path.stat().st_size for path in files)
    assert store.size > store.contents().bytes.sum()


def test_manifests_can_be_read_by_a_person(store, paths):
    path = manifests(store, "fc")[0]
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["names"] == paths[:8]
    assert all(len(digest) == 64 for digest in content["images"])
    assert (content["model"], content["layer"], content["pooling"]) == ("tiny", "fc", "flatten")
    assert (content["rows"], content["shape"], content["dtype"]) == (8, [5], "float32")
    assert content["software"]["skdnn"] == __version__
    assert {"torch", "torchvision", "numpy", "Pillow", "python"} <= content["software"].keys()
    assert len(content["network"]) == 64
    written = datetime.fromisoformat(content["written"])
    assert abs(datetime.now(UTC) - written) < timedelta(hours=1)
    assert content["forward"] == {"images": 8, "batches": 2}
    about = json.loads((path.parent / "layer.json").read_text(encoding="utf-8"))
    assert about["preprocess"]["resize"] == [16, 20]
    assert np.load(path.with_suffix(".npy")).shape == (8, 5)


def test_verify_names_what_is_wrong(store, paths):
    assert store.verify().empty
    flipped, cut, gone = manifests(store, "conv")
    content = bytearray(flipped.with_suffix(".npy").read_bytes())
    content[-1] ^= 1
    flipped.with_suffix(".npy").write_bytes(content)
    os.truncate(cut.with_suffix(".npy"), 300)
    gone.with_suffix(".npy").unlink()
    edited = manifests(store, "fc")[0]
    edited.write_bytes(edited.read_bytes().replace(b"image00003", b"image00004"))
    faults = store.verify()
    told = {store.root / row.file: row.fault for row in faults.itertuples()}
    assert "checksum" in told.pop(flipped.with_suffix(".npy"))
    assert "172 bytes of data, not 8064" in told.pop(cut.with_suffix(".npy"))
    assert "No such file" in told.pop(gone.with_suffix(".npy"))
    assert "checksum" in told.pop(edited)
    assert told == {}
    assert list(faults.layer) == ["conv", "conv", "conv", "fc"]
    assert len(store.verify(repair=True)) == 4
    assert store.verify().empty
    before = store.stats["images_forwarded"]
    extractor(store).precompute(paths, LAYERS, verbose=0)
    assert store.stats["images_forwarded"] == before + 23
    assert store.verify().empty


def test_without_conditions_nothing_is_pruned(store):
    before = store.size
    assert store.prune().empty
    assert store.size == before


def test_prune_by_name(store, paths):
    assert list(store.prune(layer="conv?").layer) == ["conv2"]
    assert sorted(store.contents().layer) == ["conv", "fc"]
    assert store.prune(model="torchvision/*").empty
    removed = store.prune(model="tiny", layer="fc")
    assert removed[["shards", "bytes"]].to_numpy().tolist() == [[3, 23 * 5 * 4]]
    assert list(store.contents().layer) == ["conv"]
    extractor(store).precompute(paths, LAYERS, verbose=0)
    assert sorted(store.contents().layer) == LAYERS


def test_a_layer_with_brackets_is_pruned_by_its_name(store):
    for path in manifests(store, "fc")[:1]:
        layer_file = path.parent / "layer.json"
        rewrite(layer_file, layer="both[1]")
    assert list(store.prune(layer="both[1]").layer) == ["both[1]"]


@pytest.mark.parametrize("age", [10, 10.0, timedelta(days=10)])
def test_prune_by_age(store, age):
    for path in manifests(store, "conv")[:2]:
        make_old(path, 11)
    removed = store.prune(older_than=age)
    assert removed[["layer", "shards"]].to_numpy().tolist() == [["conv", 2]]
    assert dict(store.contents().set_index("layer").images) == {"conv": 7, "conv2": 23, "fc": 23}


def test_prune_to_a_size_takes_the_oldest(store):
    for days, path in enumerate(reversed(manifests(store, "conv"))):
        make_old(path, 1 + days)
    newest = manifests(store, "conv")[-1]
    limit = store.size - 8 * 4 * UNITS["conv"] - 10  # more than one shard must go
    dry = store.prune(max_bytes=limit, dry_run=True)
    assert dry.shards.sum() == 2
    assert len(manifests(store, "conv")) == 3
    assert store.prune(max_bytes=limit).equals(dry)
    assert manifests(store, "conv") == [newest]
    assert store.size <= limit
    assert store.prune(max_bytes=limit).empty


def test_prune_is_noticed_by_all(store, paths):
    dnn = extractor(store, "fc").fit(paths)
    before = dnn.transform(paths)
    other = ActivationStore(store.root)
    other.prune(layer="fc")
    assert_array_equal(dnn.transform(paths), before)
    assert other.stats["images_forwarded"] == 23


def test_a_store_to_read_is_not_pruned(store):
    reader = ActivationStore(store.root, mode="r")
    assert reader.prune(layer="fc", dry_run=True).shards.sum() == 3
    for change in (lambda: reader.prune(layer="fc"), lambda: reader.prune()):
        with pytest.raises(PermissionError, match="mode='r'"):
            change()
    assert len(manifests(store, "fc")) == 3


def test_a_damaged_table_of_layers_is_made_anew(store, paths):
    (table,) = (store.root / "networks").glob("*.json")
    sound = table.read_bytes()
    table.write_bytes(sound.replace(b'"conv2"', b'"conv"', 1))
    features = extractor(store, "conv2").fit_transform(paths)
    assert features.shape == (23, UNITS["conv2"])
    assert table.read_bytes() == sound
