"""Bits that flip, files that are cut or deleted: found, named, and computed anew."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from tiny_network import LAYERS, extractor

from skdnn import ActivationStore


@pytest.fixture
def store(tmp_path: Path, few_rows: None) -> ActivationStore:
    return ActivationStore(tmp_path / "store")


@pytest.fixture
def filled(store: ActivationStore, paths: list[str]) -> ActivationStore:
    extractor(store, batch_size=4).precompute(paths, LAYERS, verbose=0)
    return store


def files(store: ActivationStore, layer: str = "*", suffix: str = ".npy") -> list[Path]:
    return sorted((store.root / "layers").glob(f"*--{layer}--*/2*{suffix}"))


def check_all(store: ActivationStore, paths: list[str], expected: dict[str, np.ndarray]) -> None:
    """Every row is right, and nothing is wrong with what is on disk."""
    found = extractor(ActivationStore(store.root), LAYERS).extract(paths, flatten=True)
    for layer in LAYERS:
        assert_array_equal(found[layer], expected[layer])
    assert store.verify().empty


# --- damage ------------------------------------------------------------------------------


def flip(path: Path, place: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 4
    path.write_bytes(content)


DAMAGE = {
    "a bit of the last row": lambda path: flip(path, 1.0),
    "a bit of a row": lambda path: flip(path, 0.5),
    "a bit of the header": lambda path: flip(path, 0.0),
    "cut": lambda path: os.truncate(path, path.stat().st_size - 1),
    "empty": lambda path: os.truncate(path, 0),
    **{
        f"a bit of the manifest at {place}": lambda path, place=place: flip(
            path.with_suffix(".json"), place
        )
        for place in (0.0, 0.1, 0.35, 0.6, 0.85, 1.0)
    },
    "an empty manifest": lambda path: os.truncate(path.with_suffix(".json"), 0),
}


@pytest.mark.parametrize("fresh", [True, False], ids=["opened anew", "open already"])
@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_found_named_and_mended(filled, paths, expected, what, fresh):
    path = files(filled, "conv2")[1]
    DAMAGE[what](path)
    assert path.stem in filled.verify().file.item()
    if fresh:
        moved = shutil.move(filled.root, filled.root.with_name("moved"))
        filled = ActivationStore(moved)
        path = moved / path.relative_to(path.parents[2])
    before = filled.stats["images_forwarded"]
    if fresh or "manifest" not in what:
        with pytest.warns(UserWarning, match=rf"is damaged: .*{path.stem}.*computed anew"):
            features = extractor(filled, "conv2").fit_transform(paths)
        assert filled.stats["images_forwarded"] - before in (7, 8)
        assert filled.verify().empty
        assert not path.exists()
    else:  # what was read of it before is still right
        features = extractor(filled, "conv2").fit_transform(paths)
    assert_array_equal(features, expected["conv2"])


def test_deleted_rows_are_computed_anew(filled, paths, expected):
    files(filled, "fc")[0].unlink()
    check_all(filled, paths, expected)


def test_a_reader_leaves_damage_where_it_is(filled, paths):
    path = files(filled, "fc")[0]
    flip(path, 1.0)
    reader = ActivationStore(filled.root, mode="r")
    dnn = extractor(reader).fit(paths)
    with (
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(PermissionError, match="mode='r'"),
    ):
        dnn.transform(paths)
    assert path.exists()
    assert path.with_suffix(".json").exists()
    sound = pickle.loads(pickle.dumps(reader))
    assert len(sound.verify()) == 1


def test_columns_of_a_damaged_shard_are_not_given(filled, paths):
    stored = extractor(filled, "conv").fit(paths).stored(paths)
    flip(files(filled, "conv")[2], 1.0)
    with pytest.warns(UserWarning, match="is damaged"), pytest.raises(KeyError, match="no longer"):
        stored[:, 2:9]
