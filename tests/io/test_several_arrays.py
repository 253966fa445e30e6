"""Files of other programs that hold several arrays, each with names of its own rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat
from scipy.spatial.distance import pdist, squareform

from skdnn.io import load_features, load_rdm

NAMES = [f"img{k}.png" for k in range(1, 7)]
ORDER = [3, 1, 5, 0, 2, 4]
TURNED = [NAMES[k] for k in ORDER]
VALUES = np.random.default_rng(0).normal(size=(6, 4))
RDM = squareform(pdist(VALUES))
OTHERS = [f"other{k}.png" for k in range(6)]

# How people call two arrays and their names.
CALLED = [
    ("run1_data", "run1_names", "run2_data", "run2_names"),
    ("data_run1", "names_run1", "data_run2", "names_run2"),
    ("data1", "names1", "data2", "names2"),
    ("dataA", "namesA", "dataB", "namesB"),
    ("run1/data", "run1/names", "run2/data", "run2/names"),
    ("run1/features/conv1", "run1/names", "run2/features/conv1", "run2/names"),
    ("features/run1", "names/run1", "features/run2", "names/run2"),
]


def write(path: Path, content: dict[str, Any]) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **{key: np.asarray(value) for key, value in content.items()})
    elif path.suffix == ".mat":
        cells = {k: np.array(v, object) if isinstance(v, list) else v for k, v in content.items()}
        savemat(path, cells)
    else:
        with h5py.File(path, "w") as file:
            for key, value in content.items():
                text = h5py.string_dtype() if isinstance(value, list) else None
                file.create_dataset(key, data=value, dtype=text)
    return path


FLAT = [called for called in CALLED if "/" not in called[0]]


@pytest.mark.parametrize(
    ("ending", "called"),
    [(".h5", called) for called in CALLED]
    + [(ending, called) for ending in (".npz", ".mat") for called in FLAT],
)
@pytest.mark.parametrize("names", [TURNED, OTHERS])
def test_names_of_another_array(
    tmp_path: Path, ending: str, called: tuple[str, ...], names: list[str]
) -> None:
    first, first_names, second, second_names = called
    content = {first: VALUES, first_names: NAMES, second: VALUES[ORDER], second_names: names}
    path = write(tmp_path / f"f{ending}", content)
    with pytest.raises(ValueError, match=r"are not the same: load them one by one"):
        load_features(path)
    assert load_features(path, layers=[first]).labels == NAMES
    loaded = load_features(path, layers=[second])
    assert loaded.labels == names
    np.testing.assert_array_equal(loaded.features[second], VALUES[ORDER])


@pytest.mark.parametrize("called", CALLED)
def test_names_of_another_rdm(tmp_path: Path, called: tuple[str, ...]) -> None:
    first, first_names, second, second_names = called
    turned = RDM[np.ix_(ORDER, ORDER)]
    content = {first: RDM, first_names: NAMES, second: turned, second_names: TURNED}
    path = write(tmp_path / "rdms.h5", content)
    for key in (first, second):
        found = load_rdm(path, key=key)
        np.testing.assert_allclose(found.loc[NAMES, NAMES], RDM)


def test_two_orders_of_one_array(tmp_path: Path) -> None:
    """Whatever the lists are called, and wherever they lie."""
    for content in (
        {"data": VALUES, "names1": NAMES, "names2": TURNED},
        {"data": VALUES, "stimuli": NAMES, "labels": [name[:-4] for name in TURNED]},
        {"all/data": VALUES, "all/names": NAMES, "stimuli": TURNED},
        {"all/data": VALUES, "run1/names": NAMES, "run2/names": OTHERS},
    ):
        path = write(tmp_path / "f.h5", content)
        with pytest.raises(ValueError, match="which differ: row 0 is 'img"):
            load_features(path)
    path = write(tmp_path / "rdm.h5", {"data": RDM, "names1": NAMES, "names2": TURNED})
    with pytest.raises(ValueError, match=r"rdm\.h5: the rows of 'data' are named by"):
        load_rdm(path)
    stems = [name[:-4] for name in NAMES]
    path = write(tmp_path / "f.h5", {"data": VALUES, "stimuli": NAMES, "labels": stems})
    assert load_features(path).labels in (NAMES, stems)
    path = write(tmp_path / "f.h5", {"data": VALUES, "image": NAMES, "subject_name": OTHERS})
    assert load_features(path).labels == NAMES


def test_a_file_of_names_in_another_order(tmp_path: Path) -> None:
    (tmp_path / "file_names.txt").write_text("\n".join(TURNED))
    path = write(tmp_path / "features.h5", {"features": VALUES, "names": NAMES})
    with pytest.raises(ValueError, match="'names' and by 'file_names', which differ"):
        load_features(path)


def test_parts_that_name_their_rows(tmp_path: Path) -> None:
    def parts(second: list[str], rows: np.ndarray) -> None:
        write(tmp_path / "features_01.h5", {"features": VALUES[:3], "names": NAMES[:3]})
        write(tmp_path / "features_02.h5", {"features": rows, "names": second})

    parts([f"/data/{name}" for name in NAMES[3:]], VALUES[3:])
    loaded = load_features(tmp_path)
    assert loaded.labels == [*NAMES[:3], *(f"/data/{name}" for name in NAMES[3:])]
    (tmp_path / "file_names.txt").write_text("\n".join(NAMES))
    assert load_features(tmp_path).labels == NAMES
    np.testing.assert_array_equal(load_features(tmp_path).features, VALUES)
    parts(NAMES[:2:-1], VALUES[:2:-1])
    with pytest.raises(ValueError, match=r"features_02\.h5 names its rows itself.*'img6\.png'"):
        load_features(tmp_path)


def test_tables_of_pandas_have_rows_of_their_own(tmp_path: Path) -> None:
    pytest.importorskip("tables", reason="writes them")
    path = tmp_path / "rdms.h5"
    pd.DataFrame(RDM, index=NAMES).to_hdf(path, key="a")
    pd.DataFrame(RDM[np.ix_(ORDER, ORDER)], index=TURNED).to_hdf(path, key="b")
    for key in ("a", "b"):
        np.testing.assert_allclose(
            load_rdm(path, key=key).loc[NAMES, NAMES].to_numpy(), RDM, err_msg=key
        )


def test_rows_that_netcdf_does_not_name_are_told(tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray", reason="writes netCDF")
    pytest.importorskip("h5netcdf", reason="writes netCDF")
    data = xarray.Dataset(
        {
            "run1": (("presentation", "neuroid"), VALUES),
            "run2": (("other", "neuroid"), VALUES[ORDER]),
        },
        coords={"stimulus_id": ("presentation", NAMES)},
    )
    data.to_netcdf(tmp_path / "runs.nc", engine="h5netcdf")
    with pytest.warns(UserWarning, match="names no rows of 'run2'"):
        loaded = load_features(tmp_path / "runs.nc")
    assert loaded.labels == NAMES
    assert list(loaded.features) == ["run1"]
