"""Files as other programs see them, files of other programs, and names."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skdnn.io import load_features, save_features
from skdnn.io._mat import fields
from skdnn.io._parquet import as_frame, from_frame
from skdnn.io._saved_header import Content, Source, parse_header

LABELS = ["cat.png", "Käse.png", "dog.png", "猫.png"]


@pytest.fixture
def deep() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(4, 3, 5, 2)).astype(np.float32)


@pytest.fixture
def layers(deep: np.ndarray) -> dict[str, np.ndarray]:
    return {"features.10": deep, "block/fc": np.arange(8).reshape(4, 2)}


def test_numpy_alone_reads_npy_and_npz(deep, layers, tmp_path: Path) -> None:
    save_features(deep, tmp_path / "a.npy", labels=LABELS)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), deep)
    save_features(layers, tmp_path / "a.npz", labels=LABELS, targets=[1.5, 2, 3, 4])
    with np.load(tmp_path / "a.npz") as file:
        np.testing.assert_array_equal(file["features/features.10"], deep)
        np.testing.assert_array_equal(file["features/block/fc"], layers["block/fc"])
        assert file["labels"].tolist() == LABELS
        assert file["targets"].tolist() == [1.5, 2, 3, 4]
    save_features(deep, tmp_path / "b.npz", targets=LABELS)
    with np.load(tmp_path / "b.npz") as file:
        np.testing.assert_array_equal(file["features"], deep)
        assert file["targets"].tolist() == LABELS


def test_h5py_alone_reads_hdf5(deep, layers, tmp_path: Path) -> None:
    import h5py

    save_features(layers, tmp_path / "a.h5", labels=LABELS, targets=LABELS)
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["features/features.10"][:], deep)
        np.testing.assert_array_equal(file["features/block%2Ffc"][:], layers["block/fc"])
        assert file["labels"].asstr()[:].tolist() == LABELS
        assert file["targets"].asstr()[:].tolist() == LABELS
    save_features(deep, tmp_path / "b.hdf5", labels=[3, 1, 2, 0])
    with h5py.File(tmp_path / "b.hdf5") as file:
        np.testing.assert_array_equal(file["features"][:], deep)
        assert file["labels"][:].tolist() == [3, 1, 2, 0]


def test_scipy_alone_reads_mat_of_version_5(deep, layers, tmp_path: Path) -> None:
    from scipy.io import loadmat

    save_features(layers, tmp_path / "a.mat", labels=LABELS, targets=[1.5, 2, 3, 4])
    file = loadmat(tmp_path / "a.mat")
    struct = file["features"][0, 0]
    np.testing.assert_array_equal(struct["features_10"], deep)
    np.testing.assert_array_equal(struct["block_fc"], layers["block/fc"])
    assert [str(cell[0]) for cell in file["labels"][:, 0]] == LABELS
    assert file["targets"].tolist() == [[1.5], [2], [3], [4]]


def test_h5py_alone_reads_mat_of_version_73(deep, layers, tmp_path: Path) -> None:
    """As MATLAB does: axes turned round, text through references."""
    import h5py

    save_features(layers, tmp_path / "a.mat", "mat-v7.3", labels=LABELS)
    assert (tmp_path / "a.mat").read_bytes().startswith(b"MATLAB 7.3")
    with h5py.File(tmp_path / "a.mat") as file:
        np.testing.assert_array_equal(file["features/features_10"][()].T, deep)
        assert file["features/features_10"].attrs["MATLAB_class"] == b"single"
        assert file["labels"].attrs["MATLAB_class"] == b"cell"
        assert file["labels"].shape == (1, 4)  # MATLAB's 4 x 1
        texts = [file[reference] for reference in file["labels"][0]]
        assert all(text.attrs["MATLAB_class"] == b"char" for text in texts)
        assert [text[()].tobytes().decode("utf-16-le") for text in texts] == LABELS


def test_large_mat_files_are_of_version_73(deep, tmp_path: Path, monkeypatch) -> None:
    save_features(deep, tmp_path / "small.mat")
    monkeypatch.setattr("skdnn.io._mat.V5_BYTES", deep.nbytes)
    save_features(deep, tmp_path / "large.mat")
    assert (tmp_path / "small.mat").read_bytes().startswith(b"MATLAB 5.0")
    assert (tmp_path / "large.mat").read_bytes().startswith(b"MATLAB 7.3")
    np.testing.assert_array_equal(load_features(tmp_path / "large.mat").features, deep)
    with pytest.raises(ValueError, match=r"480 bytes, and a .mat file of version 5 ends at 480"):
        save_features(deep, tmp_path / "b.mat", "mat-v5")
    assert not (tmp_path / "b.mat").exists()
    half = deep[:2].astype(np.float16)  # 120 bytes, 240 as single
    monkeypatch.setattr("skdnn.io._mat.V5_BYTES", 200)
    with pytest.raises(ValueError, match=r"The features take 240 bytes"):
        save_features(half, tmp_path / "b.mat", "mat-v5")


def test_names_of_fields() -> None:
    names = ["features.10", "features 10", "1x", "ü", "a" * 70, "a" * 71, "_b"]
    made = fields(names)
    assert made == [
        "features_10",
        "features_10_2",
        "x1x",
        "x_",
        "a" * 63,
        "a" * 61 + "_2",
        "x_b",
    ]
    assert all(name.isidentifier() for name in made)


@pytest.mark.parametrize(("extension", "comma"), [("txt", None), ("csv", ",")])
def test_numpy_alone_reads_text(extension: str, comma, deep, tmp_path: Path) -> None:
    path = tmp_path / f"a.{extension}"
    save_features(deep, path)
    found = np.loadtxt(path, delimiter=comma, dtype=np.float32).reshape(deep.shape)
    np.testing.assert_array_equal(found, deep)
    lines = path.read_text().splitlines()
    assert '"shape": [4, 3, 5, 2], "dtype": "float32"' in lines[1]
    assert lines[2] == "# slice [0, 0, :, :]"
    assert [line for line in lines if line.startswith("# slice")][-1] == "# slice [3, 2, :, :]"
    place = lines.index("# slice [2, 1, :, :]")
    rows = [line.split(comma) for line in lines[place + 1 : place + 6]]
    np.testing.assert_array_equal(np.array(rows, np.float32), deep[2, 1])


def test_pandas_and_csv_read_a_table(tmp_path: Path) -> None:
    table = np.array([[0.1, 1e300, -0.0], [np.pi, 1 / 3, 5e-324]])
    save_features(table, tmp_path / "a.csv")
    frame = pd.read_csv(tmp_path / "a.csv", comment="#", header=None)
    np.testing.assert_allclose(frame.to_numpy(), table, rtol=1e-14)
    with open(tmp_path / "a.csv") as file:
        rows = [row for row in csv.reader(file) if not row[0].startswith("#")]
    assert rows[0] == ["0.1", "1e+300", "-0.0"]


def test_pandas_reads_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(np.eye(3, 2), ["x", "y", "z"], ["f0", "f1"])
    save_features(frame, tmp_path / "a.parquet")
    found = pd.read_parquet(tmp_path / "a.parquet")
    assert found.index.name == "label"
    pd.testing.assert_frame_equal(found, frame, check_names=False)
    save_features({"fc": np.eye(3, 2)}, tmp_path / "b.parquet")
    assert list(pd.read_parquet(tmp_path / "b.parquet")) == ["fc_0", "fc_1"]


def test_parquet_needs_pyarrow_and_flat_features(tmp_path: Path, monkeypatch, deep) -> None:
    with pytest.raises(ValueError, match=r"have more axes: features \(4, 3, 5, 2\)"):
        save_features(deep, tmp_path / "a.parquet")
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pyarrow is needed for parquet files. Install it"):
        save_features(np.ones((2, 2)), tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []


def test_layers_side_by_side_in_a_table() -> None:
    """What parquet holds, without parquet."""
    layers = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([True, False])}
    sources = [Source(name, array, 0, 2, array.dtype) for name, array in layers.items()]
    content = Content(False, sources, ["x", "y"], None, None, {}, "id", (1, 1), (0, 2, 2))
    frame = as_frame(content)
    assert list(frame.columns) == ["a_0", "a_1", "a_2", "b_0"]
    header, _ = parse_header(content.header(inline=True))
    found = from_frame(frame, header, None)
    np.testing.assert_array_equal(found["a"], layers["a"])
    assert found["b"].ravel().tolist() == [True, False]
    with pytest.raises(ValueError, match="should have 4 columns, but has 3"):
        from_frame(frame.iloc[:, :3], header, None)


# --- files of other programs -----------------------------------------------------------------


def test_files_that_others_wrote(deep, tmp_path: Path) -> None:
    import h5py
    from scipy.io import savemat

    table = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "a.npy", deep)
    np.savez_compressed(tmp_path / "a.npz", x=deep, y=table)
    savemat(tmp_path / "a.mat", {"x": deep, "s": {"y": table}, "text": "words"})
    np.savetxt(tmp_path / "a.txt", table)
    pd.DataFrame(table, columns=["p", "q", "r"]).to_csv(tmp_path / "a.csv", index=False)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("deep/x", data=deep, chunks=(1, 1, 5, 2), compression="gzip")
        file["words"] = "text"
        file["y"] = table
    loaded = load_features(tmp_path / "a.npy")
    np.testing.assert_array_equal(loaded.features, deep)
    assert loaded.labels is loaded.targets is None
    assert loaded.provenance == {}
    for name, keys in {"npz": ["x", "y"], "mat": ["x", "s.y"], "h5": ["deep/x", "y"]}.items():
        found = load_features(tmp_path / f"a.{name}").features
        assert list(found) == keys
        np.testing.assert_array_equal(found[keys[0]], deep)
        np.testing.assert_array_equal(found[keys[1]], table)
        some = load_features(tmp_path / f"a.{name}", layers=keys[1:]).features
        assert list(some) == keys[1:]
    for name in ("txt", "csv"):
        np.testing.assert_array_equal(load_features(tmp_path / f"a.{name}").features, table)
    with pytest.raises(ValueError, match="stored in pieces, so mmap=True cannot map it"):
        load_features(tmp_path / "a.h5", mmap=True)
    mapped = load_features(tmp_path / "a.h5", layers=["y"], mmap=True).features["y"]
    np.testing.assert_array_equal(mapped, table)


def test_tensors(tmp_path: Path) -> None:
    import torch

    tensor = torch.arange(6.0).reshape(2, 3)
    torch.save(tensor, tmp_path / "a.pt")
    np.testing.assert_array_equal(load_features(tmp_path / "a.pt").features, tensor.numpy())
    torch.save({"fc": tensor.bfloat16(), "conv": tensor.half()}, tmp_path / "b.pth")
    found = load_features(tmp_path / "b.pth").features
    assert found["fc"].dtype == np.float32
    assert found["conv"].dtype == np.float16
    np.testing.assert_array_equal(found["fc"], tensor.numpy())
    assert list(load_features(tmp_path / "b.pth", layers=["fc"]).features) == ["fc"]
    torch.save([tensor], tmp_path / "c.pt")
    with pytest.raises(ValueError, match="it holds a list, not a tensor or a dict of tensors"):
        load_features(tmp_path / "c.pt")
    with pytest.raises(ValueError, match=r"format tsv are only read. Save as one of: npy, npz"):
        save_features(np.ones((2, 2)), tmp_path / "d.tsv")


def test_tensors_for_others(tmp_path: Path) -> None:
    """A plain dict, which torch reads without running code."""
    torch = pytest.importorskip("torch")
    features = {"fc": np.float32([[1, 2], [3, 4]]), "conv": np.ones((2, 3, 1), np.float16)}
    save_features(features, tmp_path / "a.pt", labels=["x.png", "y.png"], targets=[0, 1])
    held = torch.load(tmp_path / "a.pt", weights_only=True)
    assert list(held)[:2] == ["fc", "conv"]
    assert held["labels"] == ["x.png", "y.png"]
    for name, values in features.items():
        np.testing.assert_array_equal(held[name].numpy(), values)
    save_features(features["fc"], tmp_path / "b.pt")
    assert torch.load(tmp_path / "b.pt", weights_only=True)["features"].shape == (2, 2)
    with pytest.raises(ValueError, match="an entry of its own called 'labels': rename"):
        save_features({"labels": np.ones((1, 2))}, tmp_path / "c.pt", labels=["x"])


class Dangerous:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_no_code_is_run(tmp_path: Path) -> None:
    import torch

    torch.save({"fc": Dangerous(tmp_path / "ran")}, tmp_path / "a.pt")
    np.save(tmp_path / "a.npy", np.array([Dangerous(tmp_path / "ran")], dtype=object))
    np.savez(tmp_path / "a.npz", x=np.array([Dangerous(tmp_path / "ran")], dtype=object))
    for name in ("a.pt", "a.npy", "a.npz"):
        with pytest.raises(ValueError, match=r"cannot be read|holds Python objects"):
            load_features(tmp_path / name)
    assert not (tmp_path / "ran").exists()


# --- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_parts", [1, 2])
def test_names_with_dots(n_parts: int, tmp_path: Path) -> None:
    array = np.ones((3, 2))
    saved = save_features(array, tmp_path / "alexnet_features.10", "npy", n_parts=n_parts)
    save_features(array + 1, tmp_path / "alexnet_features.npy", n_parts=n_parts)
    save_features(array + 2, tmp_path / "alexnet_features.10.part-x.npy", n_parts=n_parts)
    expected = {1: ["10.npy"], 2: ["10.part-1-of-2.npy", "10.part-2-of-2.npy"]}[n_parts]
    assert [path.name for path in saved] == [f"alexnet_features.{end}" for end in expected]
    for place in (
        tmp_path / "alexnet_features.10",
        tmp_path / "alexnet_features.10.npy",
        saved[0],
    ):
        np.testing.assert_array_equal(load_features(place).features, array)
    found = load_features(str(tmp_path / "alexnet_features.10"), "npy").features
    np.testing.assert_array_equal(found, array)


def test_the_stem_finds_the_one_file(tmp_path: Path) -> None:
    save_features(np.ones((2, 2)), tmp_path / "a.h5", n_parts=2)
    assert load_features(tmp_path / "a").features.shape == (2, 2)
    save_features(np.ones((2, 2)), tmp_path / "a.npy")
    with pytest.raises(ValueError, match=r"could be any of a.npy, a.h5: add the extension"):
        load_features(tmp_path / "a")


def test_any_name_with_a_format(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.eye(2))
    (tmp_path / "a.npy").rename(tmp_path / "a.dat")
    np.testing.assert_array_equal(load_features(tmp_path / "a.dat", "npy").features, np.eye(2))


def test_unknown_formats_and_names(tmp_path: Path) -> None:
    array = np.ones((2, 2))
    known = r"Known formats are npy \(.npy\), npz \(.npz\), hdf5 \(.h5, .hdf5\), mat"
    for ask in (
        lambda: save_features(array, tmp_path / "a.xlsx"),
        lambda: save_features(array, tmp_path / "a"),
        lambda: save_features(array, tmp_path / "a.npy", "pickle"),
        lambda: load_features(tmp_path / "a.xlsx"),
        lambda: load_features(tmp_path / "a.npy", "pickle"),
    ):
        with pytest.raises(ValueError, match=known):
            ask()
    with pytest.raises(ValueError, match="ends like a file of format npy, but format='mat'"):
        save_features(array, tmp_path / "a.npy", "mat")
    with pytest.raises(
        ValueError, match=r"named like a part: give the name of the whole, .*a.npy"
    ):
        save_features(array, tmp_path / "a.part-1-of-2.npy")
    with pytest.raises(FileNotFoundError, match=r"There is no file .*a.npy, nor parts of it"):
        load_features(tmp_path / "a.npy")
    with pytest.raises(FileNotFoundError, match="with the extension of a known format"):
        load_features(tmp_path / "a")
    with pytest.raises(ValueError, match="is a folder"):
        load_features(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_capital_extensions_and_new_folders(tmp_path: Path) -> None:
    save_features(np.eye(3), tmp_path / "new" / "er" / "A.H5", n_parts=3)
    assert load_features(tmp_path / "new" / "er" / "A.H5").features.shape == (3, 3)
