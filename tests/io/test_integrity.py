"""Nothing is loaded that is missing, cut short, changed, doubled or from another save."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from skdnn.io import load_features, save_features
from skdnn.io._saved_header import Content
from skdnn.io._split_files import count_parts, split_rows

EVERY = ["npy", "npz", "h5", "mat", "txt", "csv"]
EVERY += ["parquet"] if importlib.util.find_spec("pyarrow") else []
ROWS = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
LABELS = [f"{n}.png" for n in range(40)]


@pytest.mark.parametrize("where", [0.0, 0.02, 0.3, 0.7, 0.98, "one byte"])
@pytest.mark.parametrize("extension", [*EVERY, "v7.3"])
def test_files_cut_short(extension: str, where: Any, tmp_path: Path) -> None:
    name = "mat-v7.3" if extension == "v7.3" else None
    path = tmp_path / f"a.{'mat' if name else extension}"
    save_features(ROWS, path, name, labels=LABELS, targets=LABELS)
    content = path.read_bytes()
    end = len(content) - 1 if where == "one byte" else int(len(content) * where)
    path.write_bytes(content[:end])
    with pytest.raises(ValueError, match=r"The features .*a\.\w+ cannot be loaded:\n  a\.\w+: it"):
        load_features(path)


@pytest.mark.parametrize("extension", EVERY)
def test_changed_numbers(extension: str, tmp_path: Path) -> None:
    """One number of the features, as an editor would change it."""
    path = tmp_path / f"a.{extension}"
    array = np.full((4, 3), 1.5)
    array[2, 1] = 1234.5
    save_features(array, path)
    content = path.read_bytes()
    old, new = (b"1234.5", b"1234.6")
    if extension not in ("txt", "csv"):
        old, new = np.float64(1234.5).tobytes(), np.float64(1234.75).tobytes()
    assert content.count(old) >= 1
    path.write_bytes(content.replace(old, new))
    with pytest.raises(ValueError, match=r"a.\w+: .*(digest|cannot be read)"):
        load_features(path, check=True)
    if extension in ("txt", "csv"):
        with pytest.warns(UserWarning, match=rf"a.{extension}: it was edited after it was saved"):
            assert load_features(path).features[2, 1] == 1234.6
    else:
        with pytest.raises(ValueError, match=r"a.\w+: .*(digest|cannot be read)"):
            load_features(path)


@pytest.mark.parametrize("extension", ["txt", "csv"])
def test_labels_corrected_by_hand(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{extension}"
    save_features(ROWS[:3], path, labels=["cat", "dgo", "saw"], targets=[1, 2, 3])
    beside = path.with_name(f"{path.name}.json")
    beside.write_text(beside.read_text().replace("dgo", "dog"))
    with pytest.warns(UserWarning, match=rf"a.{extension}: a.{extension}.json was edited .*check"):
        loaded = load_features(path)
    assert loaded.labels == ["cat", "dog", "saw"]
    np.testing.assert_array_equal(loaded.features, ROWS[:3])
    with pytest.raises(ValueError, match="its description is not what was saved"):
        load_features(path, check=True)


@pytest.mark.parametrize("what", ["a row", "a number"])
def test_text_that_was_edited_out_of_shape(what: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    save_features(ROWS[:3], path, labels=["cat", "dog", "saw"])
    lines = path.read_text().splitlines(keepends=True)
    lines = lines[:-1] if what == "a row" else [*lines[:-1], lines[-1].partition(",")[2]]
    path.write_text("".join(lines))
    with pytest.raises(ValueError, match=r"a.csv: it( cannot be read|s array '' has 12 numbers)"):
        load_features(path)


@pytest.mark.parametrize("extension", ["npz", "h5", "mat", "parquet"])
def test_copies_of_labels_for_other_programs(extension: str, tmp_path: Path) -> None:
    """A label stands twice in a file, for us and for others: one that differs is found out."""
    path = tmp_path / f"a.{extension}"
    save_features(ROWS[:3], path, labels=["alpha", "gamma", "delta"], targets=["x", "y", "z"])
    content = path.read_bytes()
    forms = ["gamma".encode(code) for code in ("utf-8", "utf-16-le", "utf-32-le")]
    places = [n for n in range(len(content)) if any(content.startswith(x, n) for x in forms)]
    refused = 0
    for place in places:
        path.write_bytes(content[:place] + b"f" + content[place + 1 :])
        try:
            assert load_features(path).labels == ["alpha", "gamma", "delta"]
        except ValueError as error:
            refused += f"a.{extension}" in str(error)
    assert refused >= (1 if extension == "parquet" else 2)  # whose statistics hold it as well


def test_descriptions_beside_the_file(tmp_path: Path) -> None:
    for extension in ("npy", "csv"):
        path, beside = tmp_path / f"a.{extension}", tmp_path / f"a.{extension}.json"
        save_features(ROWS, path)
        about = json.loads(beside.read_text())
        assert about["file"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        save_features(ROWS[::-1], tmp_path / f"b.{extension}")
        shutil.copy(tmp_path / f"b.{extension}", path)  # as long, but other rows
        with pytest.raises(ValueError, match=r"not the file that .*json describes|bytes, but"):
            load_features(path)
        beside.write_text(beside.read_text()[:100])
        with pytest.raises(ValueError, match="its description is damaged"):
            load_features(path)
        beside.unlink()
    with pytest.raises(ValueError, match=r"its description a.csv.json is missing"):
        load_features(tmp_path / "a.csv")
    assert load_features(tmp_path / "a.npy").labels is None  # an array like any other


@pytest.mark.parametrize("extension", ["npy", "h5"])
def test_mapped_files_of_another_size(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{extension}"
    save_features(ROWS, path)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=r"a.\w+: it (has \d+ bytes, but|cannot be read)"):
        load_features(path, mmap=True)
    if extension == "npy":
        path.write_bytes(content + b"more")
        with pytest.raises(ValueError, match=r"bytes, but a.npy.json says 1088"):
            load_features(path, mmap=True)


def test_a_later_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skdnn.io._saved_header.VERSION", 3)
    save_features(ROWS, tmp_path / "a.h5")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="by a later version of skdnn: update skdnn"):
        load_features(tmp_path / "a.h5")


# --- one bit ---------------------------------------------------------------------------------

KINDS = {name: name for name in EVERY} | {"mat-v7.3": "mat", "several": "h5", "parts": "npz"}


def saved_for_flips(folder: Path, kind: str) -> Path:
    layers = {"conv/1": ROWS[:5].reshape(5, 3, 2), "fc": ROWS[5:10].astype(np.float64)}
    features: Any = layers if kind == "several" else ROWS[:5]
    path = folder / f"a.{KINDS[kind]}"
    save_features(
        features,
        path,
        "mat-v7.3" if kind == "mat-v7.3" else None,
        labels=["alpha", "beta", "gämma", "delta", "epsilon"],
        targets=["a", "b", "c", "d", "e"] if kind in ("h5", "npz") else np.arange(5) / 3,
        provenance={"model": "alexnet", "layers": [1, 2]},
        n_parts=2 if kind == "parts" else None,
    )
    return path


def as_loaded(path: Path) -> dict[str, Any]:
    loaded = load_features(path)
    arrays = loaded.features if isinstance(loaded.features, dict) else {"": loaded.features}
    return {
        "features": {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()},
        "labels": loaded.labels,
        "targets": loaded.targets.tolist(),
        "provenance": loaded.provenance,
        "feature_names": loaded.feature_names,
    }


def flip_bits(tmp_path: Path, kind: str, n: int) -> None:
    """Right values, or a refusal by name; of text also a warning."""
    path = saved_for_flips(tmp_path, kind)
    truth = as_loaded(path)
    files = sorted(tmp_path.iterdir())
    contents = {file: file.read_bytes() for file in files}
    sizes = np.array([len(content) for content in contents.values()])
    rng = np.random.default_rng(0)
    refused = unnamed = 0
    for place in rng.choice(sizes.sum() * 8, n, replace=n > sizes.sum() * 8):
        which = int(np.searchsorted(np.cumsum(sizes * 8), place, side="right"))
        at, bit = divmod(int(place - np.cumsum(sizes * 8)[which] + sizes[which] * 8), 8)
        changed = bytearray(contents[files[which]])
        changed[at] ^= 1 << bit
        files[which].write_bytes(changed)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                found = as_loaded(path)
            except ValueError as error:
                unnamed += files[which].name.partition(".json")[0] not in str(error)
                refused += 1
            else:
                edited = any("edited" in str(warning.message) for warning in told)
                what = f"{files[which].name}, bit {bit} of byte {at}"
                assert found == truth or (edited and path.suffix in (".txt", ".csv")), what
        files[which].write_bytes(contents[files[which]])
    assert as_loaded(path) == truth
    assert refused > n / 10
    assert unnamed == 0


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bits(kind: str, tmp_path: Path) -> None:
    flip_bits(tmp_path, kind, 60)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_flipped_bits(kind: str, tmp_path: Path) -> None:
    flip_bits(tmp_path, kind, 1000)


# --- files of the first layout ----------------------------------------------------------------


def first_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers without a digest, arrays under SHA-256, nothing that says twice whose file it is."""

    def header(content: Any, *, inline: bool = False, file: Any = None) -> str:
        made = json.loads(written(content, inline=inline, file=file))
        made.pop("sha256")
        made["skdnn_features"] = 1
        for source, entry in zip(content.sources, made["arrays"], strict=True):
            entry.pop("xxh3", None)
            entry["sha256"] = hashlib.sha256(source.whole().tobytes()).hexdigest()
        return json.dumps(made)

    written = Content.header
    monkeypatch.setattr(Content, "header", header)
    for module in ("_hdf5", "_npy", "_parquet"):
        monkeypatch.setattr(f"skdnn.io.{module}.MARK", "nothing")
    monkeypatch.setattr("skdnn.io._mat.MARK", "Platform: skdnn")


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_layout_is_still_read(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, then = tmp_path / "now", tmp_path / "then"
    now.mkdir()
    then.mkdir()
    expected = as_loaded(saved_for_flips(now, kind))
    with monkeypatch.context() as older:
        first_layout(older)
        path = saved_for_flips(then, kind)
    found = as_loaded(path)
    for name in ("features", "labels", "targets", "feature_names"):
        assert found[name] == expected[name]
    assert found["provenance"]["model"] == "alexnet"
    for file in then.iterdir():
        if file.suffix not in (".json", ".parquet"):
            content = bytearray(file.read_bytes())
            place = content.find(ROWS[4, 3].tobytes())
            content[place if place > 0 else len(content) // 2] ^= 1
            file.write_bytes(content)
    if kind != "parquet":  # which is packed
        with pytest.raises(ValueError, match=r"digest|cannot be read"):
            load_features(path)


@pytest.mark.parametrize("key", ["save", "part", "rows", "single", "arrays", "labels", "targets"])
@pytest.mark.parametrize("version", [1, 2])
def test_descriptions_that_lack_something(key: str, version: int, tmp_path: Path) -> None:
    path, beside = tmp_path / "a.npy", tmp_path / "a.npy.json"
    save_features(ROWS, path, labels=LABELS)
    header = json.loads(beside.read_text())
    del header[key]
    header["skdnn_features"] = version
    beside.write_text(json.dumps(header))
    with pytest.raises(ValueError, match=r"a.npy: its description is damaged: '\w+' is missing"):
        load_features(path)


# --- parts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", EVERY)
def test_parts_are_merged_and_checked(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{extension}"
    parts = save_features(ROWS, path, labels=LABELS, n_parts=10)
    assert [part.name for part in parts[::9]] == [
        f"a.part-01-of-10.{extension}",
        f"a.part-10-of-10.{extension}",
    ]
    for start in (path, parts[0], parts[6]):
        loaded = load_features(start)
        np.testing.assert_array_equal(loaded.features, ROWS)
        assert loaded.labels == LABELS

    def moved(source: Path, to: Path) -> None:
        for end in ("", ".json"):
            if Path(f"{source}{end}").exists():
                os.replace(f"{source}{end}", f"{to}{end}")

    away = tmp_path / f"away.{extension}"
    moved(parts[3], away)
    with pytest.raises(ValueError, match="part 4 of 10 is missing"):
        load_features(path)
    for end in ("", ".json"):  # its neighbour under its name
        if Path(f"{parts[4]}{end}").exists():
            shutil.copy(f"{parts[4]}{end}", f"{parts[3]}{end}")
    with pytest.raises(ValueError, match=rf"a.part-04-of-10.{extension}: inside, it is part 5 of"):
        load_features(parts[0])
    moved(away, parts[3])
    twin = tmp_path / f"a.part-4-of-10.{extension}"
    shutil.copy(parts[3], twin)
    with pytest.raises(ValueError, match=r"part 4 is there twice: a.part-04-of-10"):
        load_features(path)
    twin.unlink()
    (other,) = (save_features(ROWS, tmp_path / "b", extension_name(extension), n_parts=10)[3:4],)
    moved(other[0], parts[3])
    with pytest.raises(
        ValueError, match=r"part-04-of-10.\w+: it is from another save than a.part"
    ):
        load_features(path)


def extension_name(extension: str) -> str:
    return {"h5": "hdf5"}.get(extension, extension)


def test_all_faulty_parts_are_named_together(tmp_path: Path) -> None:
    parts = save_features(ROWS, tmp_path / "a.h5", n_parts=5)
    for part in parts[1:4]:
        part.write_bytes(part.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"cannot be loaded:\n  a.part-2.*\n  .*-3-.*\n  .*-4-"):
        load_features(tmp_path / "a.h5")


def test_two_splits_side_by_side(tmp_path: Path) -> None:
    save_features(ROWS, tmp_path / "a.h5", n_parts=2)
    for n in (1, 2):
        shutil.copy(tmp_path / f"a.part-{n}-of-2.h5", tmp_path / f"b.part-{n}-of-2.h5")
    save_features(ROWS, tmp_path / "a.h5", n_parts=3, overwrite=True)
    assert load_features(tmp_path / "a.h5").features.shape == ROWS.shape
    for n in (1, 2):
        (tmp_path / f"b.part-{n}-of-2.h5").rename(tmp_path / f"a.part-{n}-of-2.h5")
    with pytest.raises(ValueError, match="splits into 2 and 3 parts lie side by side"):
        load_features(tmp_path / "a.h5")
    with pytest.raises(ValueError, match="splits into 2 and 3 parts lie side by side"):
        load_features(tmp_path / "a.part-1-of-2.h5")


def test_the_whole_beside_its_parts(tmp_path: Path) -> None:
    save_features(ROWS, tmp_path / "b.h5")
    save_features(ROWS, tmp_path / "a.h5", n_parts=2)
    (tmp_path / "b.h5").rename(tmp_path / "a.h5")
    with pytest.raises(ValueError, match=r"a.h5 and parts of it lie side by side"):
        load_features(tmp_path / "a.h5")


def test_a_file_named_like_a_part(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.part-1-of-1.npz", x=ROWS)
    with pytest.raises(ValueError, match="named like a part, but says nothing about the others"):
        load_features(tmp_path / "a.part-1-of-1.npz")


def test_by_size(tmp_path: Path) -> None:
    parts = save_features(ROWS, tmp_path / "a.npy", max_bytes=7 * 24)
    assert [len(np.load(part)) for part in parts] == [6, 7, 7, 6, 7, 7]
    np.testing.assert_array_equal(load_features(tmp_path / "a.npy").features, ROWS)
    assert len(save_features(ROWS, tmp_path / "b.npy", max_bytes=ROWS.nbytes)) == 1
    assert count_parts(0, 24, max_bytes=100) == 1


@pytest.mark.parametrize("n_rows", [1, 9, 10, 92, 101])
def test_rows_are_split_evenly(n_rows: int) -> None:
    for n_parts in range(1, n_rows + 1):
        sizes = [stop - first for first, stop in split_rows(n_rows, n_parts)]
        assert sum(sizes) == n_rows
        assert len(sizes) == n_parts
        assert max(sizes) - min(sizes) <= 1


def test_splits_that_cannot_be(tmp_path: Path) -> None:
    for ask, what in (
        ({"n_parts": 41}, "n_parts=41 must lie between 1 and the number of rows, 40"),
        ({"n_parts": 0}, "n_parts=0 must lie"),
        ({"max_bytes": 23}, "max_bytes=23 is less than one row, 24 bytes"),
        ({"n_parts": 2, "max_bytes": 99}, "n_parts or max_bytes, not both"),
    ):
        with pytest.raises(ValueError, match=what):
            save_features(ROWS, tmp_path / "a.npy", **ask)
    assert list(tmp_path.iterdir()) == []


# --- writing ---------------------------------------------------------------------------------


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_overwriting(tmp_path: Path) -> None:
    save_features(ROWS, tmp_path / "a.npy", n_parts=3)
    for ask in ({}, {"n_parts": 3}, {"n_parts": 2}):
        with pytest.raises(FileExistsError, match=r"part-1-of-3.npy exists and more: give overw"):
            save_features(ROWS + 1, tmp_path / "a.npy", **ask)
    np.testing.assert_array_equal(load_features(tmp_path / "a").features, ROWS)
    save_features(ROWS + 1, tmp_path / "a.npy", overwrite=True)
    assert names(tmp_path) == ["a.npy", "a.npy.json"]
    np.testing.assert_array_equal(load_features(tmp_path / "a").features, ROWS + 1)
    save_features(ROWS + 2, tmp_path / "a.npy", n_parts=1, overwrite=True)
    assert names(tmp_path) == ["a.npy", "a.npy.json"]


class Breaks:
    """Fails while it is read."""

    shape, dtype = (40, 6), np.dtype(np.float32)

    def __getitem__(self, rows: slice) -> np.ndarray:
        if rows.stop > 20:
            raise OSError("the disk is gone")
        return ROWS[rows]


@pytest.mark.parametrize("extension", [name for name in EVERY if name != "parquet"])
@pytest.mark.parametrize("n_parts", [1, 4])
def test_errors_while_writing_leave_the_old_file(
    extension: str, n_parts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skdnn.io._saved_header.BLOCK_BYTES", 24 * 5)
    path = tmp_path / f"a.{extension}"
    save_features(ROWS, path, n_parts=n_parts)
    before = names(tmp_path)
    with pytest.raises(OSError, match="the disk is gone"):
        save_features(Breaks(), path, n_parts=n_parts, overwrite=True)
    assert names(tmp_path) == before
    np.testing.assert_array_equal(load_features(path).features, ROWS)


KILLED = """
import os, signal, sys
import numpy as np
import skdnn.io._saved_header as content
from skdnn.io import save_features
content.BLOCK_BYTES = 24 * 5
class Killed:
    shape, dtype = (40, 6), np.dtype(np.float32)
    def __getitem__(self, rows):
        if rows.stop > 30:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.zeros((rows.stop - rows.start, 6), np.float32)
for path in sys.argv[1:]:
    if os.fork() == 0:
        save_features(Killed(), path, n_parts=2 if "2" in path else None, overwrite=True)
    print(os.wait()[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_in_the_middle(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}" / f"a{n}.{end}" for n in (1, 2) for end in ("npy", "h5", "csv")]
    for path in paths:
        save_features(ROWS, path, labels=LABELS, n_parts=2 if "2" in path.name else None)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, [p.relative_to(tmp_path) for p in paths])],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split() == [str(int(signal.SIGKILL))] * len(paths), done.stderr
    for path in paths:
        loaded = load_features(path)
        np.testing.assert_array_equal(loaded.features, ROWS)
        assert loaded.labels == LABELS
        save_features(ROWS + 1, path, overwrite=True)
        np.testing.assert_array_equal(load_features(path).features, ROWS + 1)


@pytest.mark.parametrize("extension", ["npy", "csv"])
def test_killed_between_two_renames_is_found_out(
    extension: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a.{extension}"
    save_features(ROWS, path)
    rename = os.replace

    def once(source: Any, to: Any) -> None:
        monkeypatch.setattr(os, "replace", never)
        rename(source, to)

    def never(source: Any, to: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", once)
    with pytest.raises(KeyboardInterrupt):
        save_features(ROWS + 1, path, overwrite=True)
    with pytest.raises(ValueError, match=r"is not the file that|bytes, but"):
        load_features(path)


def test_faults_of_the_input(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    two = np.ones((2, 3))
    multi = pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])
    for features, ask, error, what in (
        (two.astype(complex), {}, TypeError, "features has type complex128, but only float16"),
        ([["a", "b"]], {}, TypeError, "features has type"),
        ({"fc": two.astype(object)}, {}, TypeError, r"features\['fc'\] has type object"),
        ({}, {}, ValueError, "features must be an array, or a dict with names of layers"),
        ({3: two}, {}, ValueError, r"names of layers, got keys \[3\]"),
        ({"a": two, "b": two[:1]}, {}, ValueError, r"number of rows: {'a': 2, 'b': 1}"),
        (csr_array(two), {}, TypeError, r"features is sparse, .*use .toarray"),
        (np.ma.masked_less(two, 2), {}, ValueError, "features is masked"),
        (two, {"n_parts": 1.5}, TypeError, r"n_parts must be a whole number, got 1.5"),
        (np.float64(3), {}, ValueError, "features must have rows"),
        (two, {"labels": ["x"]}, ValueError, "labels has 1 entries, but features has 2 rows"),
        (two, {"labels": ["x", 3]}, TypeError, r"all str or all int, got 3 \(int\)"),
        (two, {"labels": ["x", "a\0"]}, ValueError, "null characters"),
        (two, {"targets": [1, 2, 3]}, ValueError, r"targets has shape \(3,\), but features has 2"),
        (two, {"targets": [["a"], ["b"]]}, ValueError, "targets of text must have one axis"),
        (two, {"targets": [None, 1]}, TypeError, "targets has type object"),
        (two, {"provenance": "alexnet"}, TypeError, "provenance must be a dict, got str"),
        (two, {"provenance": {"f": [len]}}, TypeError, r"provenance\['f'\]\[0\] is a builtin"),
        (pd.DataFrame(two, multi), {}, ValueError, "index of several levels: give labels="),
        (pd.DataFrame(two, columns=["a", "a", "b"]), {}, ValueError, "columns of the same name"),
    ):
        with pytest.raises(error, match=what):
            save_features(features, path, **ask)
    with pytest.raises(ValueError, match=r"An .npy file holds one array, but features is a dict"):
        save_features({"a": two, "b": two}, tmp_path / "a.npy")
    assert names(tmp_path) == []
    save_features(two, path)
    with pytest.raises(TypeError, match="layers must be a list of names, got the text 'fc'"):
        load_features(path, layers="fc")
    with pytest.raises(ValueError, match=r"layers=\['fc'\] are not in it"):
        load_features(path, layers=["fc"])


class Lies:
    """Gives fewer rows than it says."""

    shape, dtype = (4, 3), np.dtype(np.float32)

    def __getitem__(self, rows: slice) -> np.ndarray:
        return np.ones((3, 3))


def test_arrays_that_are_not_what_they_say(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"say shape \(4, 3\), but rows 0 to 4 have shape \(3, 3\)"
    ):
        save_features(Lies(), tmp_path / "a.npy")
    assert names(tmp_path) == []
