"""Bits that flip, files that are cut, deleted, exchanged or made folders: nothing is silent."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from tiny_network import LAYERS, extractor, files

from skdnn import ActivationStore
from skdnn._store._checksums import read_json, write_json
from skdnn._store._shard import npy_header


@pytest.fixture
def filled(root: Path) -> ActivationStore:
    return ActivationStore(root)


def check_all(root: Path, paths: list[str], expected: dict[str, np.ndarray]) -> None:
    """Every row is right, and nothing is wrong with what is on disk."""
    found = extractor(ActivationStore(root), LAYERS).extract(paths, flatten=True)
    for layer in LAYERS:
        assert_array_equal(found[layer], expected[layer])
    assert ActivationStore(root).verify().empty


def flip(path: Path, place: float, mask: int = 4) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= mask
    path.write_bytes(content)


# --- rows and manifests ------------------------------------------------------------------

#: What happens to a block of a layer, and how many of its eight rows that costs; one less where
#: it is the block of seven, as names of one second have no order.
DAMAGE: dict[str, tuple[Callable[[Path], object], int]] = {
    "a bit of the last row": (lambda path: flip(path, 1.0), 1),
    "a bit of a row": (lambda path: flip(path, 0.5), 1),
    "a bit of the header": (lambda path: flip(path, 0.0), 0),
    "a space of the header": (lambda path: flip(path, 100 / path.stat().st_size, 8), 0),
    "cut": (lambda path: os.truncate(path, path.stat().st_size - 1), 1),
    "cut in half": (lambda path: os.truncate(path, path.stat().st_size // 2), 5),
    "longer": (lambda path: path.write_bytes(path.read_bytes() + b"more"), 0),
    "empty": (lambda path: os.truncate(path, 0), 8),
    **{
        f"a bit of the manifest at {place}": (
            lambda path, place=place: flip(path.with_suffix(".json"), place),
            8,
        )
        for place in (0.0, 0.1, 0.35, 0.6, 0.85, 1.0)
    },
    "an empty manifest": (lambda path: os.truncate(path.with_suffix(".json"), 0), 8),
}


@pytest.mark.parametrize("fresh", [True, False], ids=["opened anew", "open already"])
@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_found_named_and_mended(filled, paths, expected, what, fresh):
    damage, lost = DAMAGE[what]
    if not fresh:  # manifests have been read
        extractor(filled, "conv2").fit_transform(paths)
    path = files(filled.root, "conv2")[1]
    damage(path)
    assert path.stem in ActivationStore(filled.root).verify().file.item()
    if fresh:
        filled = ActivationStore(shutil.move(filled.root, filled.root.with_name("moved")))
    before = filled.stats["images_forwarded"]
    silent = not lost or ("manifest" in what and not fresh)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        features = extractor(filled, "conv2").fit_transform(paths)
    assert_array_equal(features, expected["conv2"])
    assert [path.stem in str(warning.message) for warning in told] == [True] * (not silent)
    assert all("is damaged: " in str(warning.message) for warning in told)
    if not silent:
        assert filled.stats["images_forwarded"] - before in {lost, max(lost - 1, 1)}
        assert not (filled.root / path.relative_to(path.parents[2])).exists()
        assert filled.verify().empty
    check_after_repair(filled.root, paths, expected, at_most=8 if "manifest" in what else 0)


def check_after_repair(
    root: Path, paths: list[str], expected: dict[str, np.ndarray], at_most: int
) -> None:
    """Once repaired, a store is whole but for some rows; sound ones are still there."""
    store = ActivationStore(root)
    store.verify(repair=True)
    assert store.verify().empty
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_all(root, paths, expected)
    assert store.stats["images_forwarded"] <= at_most


def test_sound_rows_of_a_damaged_shard_stay(root, paths, expected):
    """Bytes of two rows change so that no sum of words would tell; nothing else is forwarded."""
    path = max(files(root, "fc"), key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[128 + 7] ^= 128
    content[128 + 15] ^= 128  # two signs of one row
    content[168:172], content[172:176] = content[172:176], content[168:172]  # words of another
    path.write_bytes(content)
    store = ActivationStore(root)
    fault = store.verify(repair=True).fault.item()
    assert fault == "the checksum of 2 of 8 rows is wrong"
    assert dict(store.contents().set_index("layer").images) == {"conv": 23, "conv2": 23, "fc": 21}
    assert store.verify().empty
    assert_array_equal(extractor(store, "fc").fit_transform(paths), expected["fc"])
    assert store.stats["images_forwarded"] == 2


@pytest.mark.parametrize("where", ["header", "manifest"])
def test_a_shape_that_no_file_could_hold(root, paths, expected, where):
    """Is not believed, whoever sealed it."""
    path = files(root, "fc")[0]
    if where == "header":
        content = path.read_bytes()
        huge = npy_header(np.dtype("<f4"), (8, 10**12))
        path.write_bytes(huge + content[len(huge) :])
    else:
        manifest = path.with_suffix(".json")
        write_json(manifest, {**read_json(manifest), "shape": [10**12, 5]})
    store = ActivationStore(root)
    assert store.verify().file.item() == str(path.relative_to(root))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert_array_equal(extractor(store, "fc").fit_transform(paths), expected["fc"])
        stored = extractor(store, "fc").fit(paths).stored(paths)
        assert_array_equal(stored[:, 1:3], expected["fc"][:, 1:3])
    assert [path.stem in str(warning.message) for warning in told] == [True] * (where != "header")
    check_after_repair(root, paths, expected, at_most=0)


def test_a_header_is_what_numpy_writes() -> None:
    for dtype in ("<f4", "<f2"):
        for n_rows in (0, 1, 512, 10**7):
            for shape in ((), (5,), (64, 27, 27), (3,) * 20, *((n,) for n in range(1, 200, 7))):
                about = {"descr": dtype, "fortran_order": False, "shape": (n_rows, *shape)}
                np.lib.format.write_array_header_1_0(written := io.BytesIO(), about)
                assert npy_header(np.dtype(dtype), (n_rows, *shape)) == written.getvalue()


def test_half_precision_rows_are_kept_to_the_bit(paths, tmp_path):
    store = ActivationStore(tmp_path / "store", dtype="float16")
    before = extractor(store).fit_transform(paths)
    assert store.stats["images_forwarded"] == 23
    flip(files(store.root)[0], 1.0)
    store.verify(repair=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_array_equal(extractor(store).fit_transform(paths), before)
    assert store.stats["images_forwarded"] == 23 + 1


def test_a_damaged_shard_stays_where_there_is_no_room_for_its_rows(root, paths, monkeypatch):
    path = files(root, "fc")[0]
    flip(path, 1.0)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("skdnn._store._write.write_json", full)
    with pytest.raises(OSError, match="No space left"):
        ActivationStore(root).verify(repair=True)
    with (
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(OSError, match="no space left for the activation store"),
    ):
        extractor(root).fit_transform(paths)
    monkeypatch.undo()
    assert list(path.parent.glob(".tmp-*")) == []
    store = ActivationStore(root)
    assert len(store.verify()) == 1
    store.verify(repair=True)
    extractor(store).fit_transform(paths)
    assert store.stats["images_forwarded"] == 1


def test_a_reader_leaves_damage_where_it_is(filled, paths):
    path = files(filled.root, "fc")[0]
    flip(path, 1.0)
    reader = ActivationStore(filled.root, mode="r")
    dnn = extractor(reader).fit(paths)
    with (
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(PermissionError, match="mode='r'"),
    ):
        dnn.transform(paths)
    with pytest.raises(PermissionError, match="repairing needs mode='a'"):
        reader.verify(repair=True)
    assert path.exists()
    assert path.with_suffix(".json").exists()
    sound = pickle.loads(pickle.dumps(reader))
    assert len(sound.verify()) == 1


@pytest.mark.parametrize("place", [0.0, 1.0], ids=["header", "row"])
def test_columns_of_a_damaged_shard_are_not_given(filled, paths, expected, place):
    stored = extractor(filled, "conv").fit(paths).stored(paths)
    flip(files(filled.root, "conv")[2], place)
    if place:
        with (
            pytest.warns(UserWarning, match="is damaged"),
            pytest.raises(KeyError, match="no longer"),
        ):
            stored[:, 2:9]
    else:
        assert_array_equal(stored[:, 2:9], expected["conv"][:, 2:9])


# --- every kind of file ------------------------------------------------------------------

KINDS: dict[str, Callable[[Path], Path]] = {
    "marker": lambda root: root / "skdnn-store.json",
    "network": lambda root: next((root / "networks").glob("*.json")),
    "layer": lambda root: next((root / "layers").glob("*--conv2--*/layer.json")),
    "manifest": lambda root: files(root, "conv2", ".json")[1],
    "rows": lambda root: files(root, "conv2")[1],
}
#: Of the same kind; there is but one marker and one network.
OTHERS: dict[str, Callable[[Path], Path]] = {
    "marker": KINDS["layer"],
    "network": KINDS["marker"],
    "layer": lambda root: next((root / "layers").glob("*--fc--*/layer.json")),
    "manifest": lambda root: files(root, "conv2", ".json")[0],
    "rows": lambda root: files(root, "conv2")[0],
}


def become_folder(path: Path, inside: str = "") -> None:
    path.unlink()
    path.mkdir()
    if inside:
        (path / inside).write_text("of somebody else")


def become(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def exchange(path: Path, other: Path) -> None:
    held = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(held)


HAPPENS: dict[str, Callable[[Path], object]] = {
    "flipped": lambda path: flip(path, 0.7),
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "emptied": lambda path: os.truncate(path, 0),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "removed": lambda path: path.unlink(),
    "a folder": become_folder,
    "a folder that holds something": lambda path: become_folder(path, "thesis.doc"),
    "a pipe": lambda path: become(path, os.mkfifo),
    "a device": lambda path: become(path, lambda p: p.symlink_to("/dev/zero")),
    "a dangling link": lambda path: become(path, lambda p: p.symlink_to("nowhere")),
    "a ring of links": lambda path: become(path, lambda p: p.symlink_to(p.name)),
    "exchanged": lambda path: None,
    "exchanged with another kind": lambda path: None,
}


@pytest.fixture
def no_hanging(request):
    """A pipe that is opened to be read would wait for ever."""
    signal = pytest.importorskip("signal")
    if not hasattr(signal, "SIGALRM"):
        pytest.skip("needs POSIX signals")

    def late(*_: object) -> None:
        raise AssertionError("still at work after 30 s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("what", HAPPENS)
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_happens_to_a_file(root, paths, expected, kind, what, no_hanging):
    path = KINDS[kind](root)
    HAPPENS[what](path)
    if what == "exchanged":
        exchange(path, OTHERS[kind](root))
    elif what == "exchanged with another kind":
        exchange(path, KINDS[{"rows": "manifest", "manifest": "network"}.get(kind, "rows")](root))
    reader = ActivationStore(root, mode="r")
    named = " ".join(reader.verify().file)
    # Rows without a manifest are what a killed writer leaves; tables of networks may be lacking.
    if what != "removed" or kind not in ("manifest", "network"):
        assert path.stem in named
    if kind == "marker" or (what, kind) in {("exchanged", "network")}:
        with pytest.raises(ValueError, match=r"skdnn-store\.json.*verify\(repair=True\)"):
            extractor(ActivationStore(root)).fit(paths)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            copy = shutil.copytree(
                root, root.with_name("copy"), symlinks=True, copy_function=copy_
            )
            store = ActivationStore(copy)
            found = extractor(store, LAYERS).extract(paths, flatten=True)
        for layer in LAYERS:
            assert_array_equal(found[layer], expected[layer])
        assert store.stats["images_forwarded"] <= 16
    check_after_repair(root, paths, expected, at_most=16 if kind in ("manifest", "rows") else 8)
    assert what != "a folder that holds something" or list(root.rglob("thesis.doc"))


def copy_(source: str, target: str) -> object:
    """Pipes, too."""
    return shutil.copy2(source, target) if Path(source).is_file() else os.mkfifo(target)
