"""Shards, folders and the marker in wrong places or lost: named, not used, and put right."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from numpy.testing import assert_array_equal
from tiny_network import LAYERS, Tiny, extractor, files
from torch import nn

from skdnn import ActivationStore, DNNFeatureExtractor
from skdnn._store._checksums import read_json, write_json
from skdnn.cli import main
from skdnn.models import Model


def layer(root: Path, name: str) -> Path:
    return next((root / "layers").glob(f"*--{name}--*"))


def both(path: Path) -> tuple[Path, Path]:
    return path, path.with_suffix(".json")


def exchange(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def exchange_pairs(root: Path) -> None:
    """A shard of each of two layers; all layers have the same names of blocks."""
    first = files(root, "conv")[0]
    for path in both(first):
        exchange(path, layer(root, "fc") / path.name)


def exchange_manifests(root: Path) -> None:
    exchange(*files(root, "conv", ".json")[:2])


def rename_a_block(root: Path) -> None:
    for path in both(files(root, "fc")[0]):
        path.rename(path.with_name("20200101T000000-0123456789" + path.suffix))


def move_a_shard_to_the_root(root: Path) -> None:
    for path in both(files(root, "fc")[0]):
        path.rename(root / path.name)


def copy_a_folder(root: Path) -> None:
    """To the name of a layer that is not there."""
    shutil.copytree(layer(root, "fc"), root / "layers" / "tiny--new--flatten--0123456789abcdef")


#: What is done to a store, and the rows that it costs those who don't repair it first.
MOVES: dict[str, tuple[Callable[[Path], object], int]] = {
    "folders exchanged": (lambda root: exchange(layer(root, "conv"), layer(root, "fc")), 23),
    "folder renamed": (
        lambda root: layer(root, "conv").rename(root / "layers" / ("a--b--c--" + 16 * "0")),
        23,
    ),
    "folder in the root": (
        lambda root: layer(root, "conv").rename(root / layer(root, "conv").name),
        23,
    ),
    "folder in another": (
        lambda root: layer(root, "conv").rename(layer(root, "fc") / layer(root, "conv").name),
        23,
    ),
    "folder among networks": (
        lambda root: layer(root, "fc").rename(root / "networks" / layer(root, "fc").name),
        23,
    ),
    "folder copied": (copy_a_folder, 0),
    "shards exchanged": (exchange_pairs, 8),
    "manifests exchanged": (exchange_manifests, 16),
    "shard renamed": (rename_a_block, 8),
    "shard in the root": (move_a_shard_to_the_root, 8),
}


@pytest.mark.parametrize("repaired", [True, False])
@pytest.mark.parametrize("what", MOVES)
def test_what_lies_in_a_wrong_place(root, paths, expected, what, repaired):
    move, cost = MOVES[what]
    move(root)
    store = ActivationStore(root)
    faults = store.verify()
    assert len(faults)
    assert faults.fault.str.contains("belong|describes another layer|is missing").all()
    if repaired:
        store.verify(repair=True)
        assert store.verify().empty
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = extractor(store, LAYERS).extract(paths, flatten=True)
    for name in LAYERS:
        assert_array_equal(found[name], expected[name])
    assert all("verify(repair=True) moves" in str(warning.message) for warning in told)
    assert (
        (store.stats["images_forwarded"] == 0)
        if repaired
        else (max(cost - 2, 0) <= store.stats["images_forwarded"] <= cost)
    )
    # Nothing that was sound is lost by a reader: all of it is there once repaired.
    ActivationStore(root).verify(repair=True)
    assert ActivationStore(root).verify().empty
    assert set(ActivationStore(root).contents().images) == {23}
    assert set(ActivationStore(root).contents().layer) == set(LAYERS)


def test_two_networks_of_one_shape_are_not_taken_for_each_other(root, paths, expected):
    """Folders that differ by nothing but their digest."""
    extractor(root, seed=1).fit_transform(paths)
    one, other = (root / "layers").glob("*--fc--*")
    exchange(one, other)
    store = ActivationStore(root)
    with pytest.warns(UserWarning, match="are not used"):
        assert_array_equal(extractor(store).fit_transform(paths), expected["fc"])
    store.verify(repair=True)
    assert store.verify().empty
    before = store.stats["images_forwarded"]
    truth = extractor(None, seed=1).fit_transform(paths)
    assert_array_equal(extractor(store, seed=1).fit_transform(paths), truth)
    assert store.stats["images_forwarded"] == before


def test_a_network_may_have_any_name(tmp_path, paths):
    tiny = Tiny().eval()
    for name in (".hidden", "a/../b", "--"):
        model = Model(tiny, {"resize": (16, 20), "crop": None}, name=name)
        dnn = DNNFeatureExtractor(model, "fc", cache=tmp_path / "store")
        dnn.fit_transform(paths[:3])
    store = ActivationStore(tmp_path / "store")
    assert store.verify(repair=True).empty
    assert set(store.contents().model) == {".hidden", "a/../b", "--"}


def test_a_table_of_another_network_is_not_believed(tmp_path, paths):
    class Wide(Tiny):
        def __init__(self) -> None:
            super().__init__()
            self.other = nn.Identity()

    def fit(network: nn.Module) -> DNNFeatureExtractor:
        model = Model(network, {"resize": (16, 20), "crop": None}, name="tiny")
        return DNNFeatureExtractor(model, "fc", cache=tmp_path / "store").fit(paths)

    tiny, wide = Tiny().eval(), Wide().eval()
    for network in (tiny, wide):
        assert ("other" in fit(network).layer_table().layer.to_list()) == (network is wide)
    exchange(*(tmp_path / "store" / "networks").glob("*.json"))
    store = ActivationStore(tmp_path / "store")
    (tmp_path / "store" / "layers" / "--of somebody else").mkdir()
    assert store.verify().fault.to_list() == ["it does not describe this network"] * 2
    assert "other" in fit(wide).layer_table().layer.to_list()
    assert len(store.verify(repair=True)) == 1
    assert store.verify().empty
    assert "other" not in fit(tiny).layer_table().layer.to_list()
    assert (tmp_path / "store" / "layers" / "--of somebody else").exists()


@pytest.mark.parametrize("name", ["../../outside--0123456789abcdef", "/tmp/a--0123456789abcdef"])
@pytest.mark.parametrize("key", ["folder", "block"])
def test_a_manifest_leads_nowhere_else(root, name, key):
    path = files(root, "fc", ".json")[0]
    write_json(path, {**read_json(path), key: name})
    before = sorted(root.parent.rglob("*"))
    assert len(ActivationStore(root).verify(repair=True)) == 1
    assert sorted(root.parent.rglob("*")) == before


# --- the marker, and what is no folder ---------------------------------------------------


@pytest.mark.parametrize("what", ["lost", "damaged"])
@pytest.mark.parametrize("mode", ["a", "r"])
def test_a_store_without_its_marker_says_how_to_restore_it(root, paths, expected, what, mode):
    marker = root / "skdnn-store.json"
    whole = marker.read_bytes()
    if what == "lost":
        marker.unlink()
    else:
        marker.write_bytes(whole.replace(b"2", b"3", 1))
    store = ActivationStore(root, mode=mode)
    for use in (
        lambda: extractor(store).fit(paths),
        lambda: extractor(store).fit_transform(paths),
        lambda: extractor(store).precompute(paths, verbose=0),
        store.contents,
        lambda: store.prune(model="*", dry_run=True),
    ):
        with pytest.raises(ValueError, match=r"skdnn-store\.json is .*verify\(repair=True\)"):
            use()
    assert store.verify().file.to_list() == ["skdnn-store.json"]
    assert store.stats["images_forwarded"] == 0
    if mode == "a":
        assert len(store.verify(repair=True)) == 1
        assert marker.read_bytes() == whole
        assert_array_equal(extractor(store).fit_transform(paths), expected["fc"])
        assert store.stats["images_forwarded"] == 0


def test_a_marker_that_is_lost_while_a_store_is_open(root, paths, expected):
    store = ActivationStore(root)
    (root / "skdnn-store.json").unlink()
    assert_array_equal(extractor(store).fit_transform(paths), expected["fc"])
    assert len(store.verify(repair=True)) == 1
    assert (root / "skdnn-store.json").exists()
    assert store.verify().empty


def test_the_marker_is_restored_from_a_shell(root, capsys):
    (root / "skdnn-store.json").unlink()
    assert main(["cache", "list", str(root)]) == 1
    assert "skdnn cache verify" in capsys.readouterr().err
    assert main(["cache", "verify", str(root), "--repair"]) == 0
    assert main(["cache", "list", str(root)]) == 0


@pytest.mark.parametrize("name", ["layers", "networks", "a layer"])
@pytest.mark.parametrize("what", ["file", "pipe", "dangling link"])
def test_a_file_in_the_place_of_a_folder(root, paths, expected, name, what):
    place = root / name if name != "a layer" else layer(root, "fc")
    shutil.rmtree(place)
    if what == "file":
        place.write_text("of somebody else")
    elif what == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to("disk-that-is-away")
    store = ActivationStore(root)
    assert store.verify().file.to_list() == [str(place.relative_to(root))]
    with pytest.raises(FileExistsError, match=place.name):  # of networks, where one is to be added
        extractor(store).precompute(paths, "fc" if name != "networks" else "relu@0", verbose=0)
    store.verify(repair=True)
    if what == "dangling link":  # the disk may come back
        assert place.is_symlink()
        return
    assert store.verify().empty
    assert_array_equal(extractor(store).fit_transform(paths), expected["fc"])
    assert [path.read_text() for path in root.rglob(".aside-*") if path.is_file()] == (
        ["of somebody else"] if what == "file" else []
    )
