#!/usr/bin/env bash
# Guessed: a reader of MATLAB's version 7.3 gives a cell array of names as one list, whether MATLAB
#          saw a row or a column of cells, and an empty matrix as an empty array.
# True:    mat73 gives a row of cells as a flat list and a column as a list of lists with one name
#          each, and an empty matrix as None.
# Matters: names of stimuli come in both shapes. Code that was tried on a row pairs, for a column,
#          every row of an RDM with a list, which equals no name.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv v
v/bin/pip install -q --disable-pip-version-check numpy==2.2.6 h5py==3.13.0 mat73==0.65
v/bin/python - <<'PY'
from importlib.metadata import version

import h5py
import mat73
import numpy as np

with h5py.File("names.mat", "w", userblock_size=512) as file:
    cells = file.create_group("#refs#")
    for n, name in enumerate(["cat", "dog"]):
        text = cells.create_dataset(f"c{n}", data=np.frombuffer(name.encode("utf-16-le"), "<u2")[:, None])
        text.attrs["MATLAB_class"] = np.bytes_(b"char")
        text.attrs["MATLAB_int_decode"] = np.int32(2)
    references = [cells["c0"].ref, cells["c1"].ref]
    for name, shape in {"column": (1, 2), "row": (2, 1)}.items():  # HDF5's axes are MATLAB's in reverse
        item = file.create_dataset(name, shape=shape, dtype=h5py.ref_dtype)
        item[...] = np.array(references, dtype=h5py.ref_dtype).reshape(shape)
        item.attrs["MATLAB_class"] = np.bytes_(b"cell")
    empty = file.create_dataset("empty", data=np.zeros(2, np.uint64))
    empty.attrs["MATLAB_class"] = np.bytes_(b"double")
    empty.attrs["MATLAB_empty"] = np.uint8(1)
with open("names.mat", "r+b") as file:
    file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
found = mat73.loadmat("names.mat")
print("mat73", version("mat73"))
print("expected: ['cat', 'dog'] twice and an empty array; seen:", found["row"], found["column"], found["empty"])
assert found["row"] == ["cat", "dog"]
assert found["column"] == [["cat"], ["dog"]]
assert found["empty"] is None
PY
