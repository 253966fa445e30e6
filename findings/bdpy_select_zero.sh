#!/usr/bin/env bash
# Guessed: in BdPy's selection language "ROI_V1 = 0" takes the columns whose metadata is 0, as
#          "ROI_V1 = 1" takes those of 1.
# True:    a comparison is made in two steps, first with 1 and then with the number, so that
#          "= 0" takes every column that is not 1, those without a value (NaN: labels and
#          columns of other regions) among them.
# Matters: such a selection is used for "all voxels outside a region". It brings columns of labels
#          (categories, image numbers) into the features, and a decoder finds them at once.
#          Here "KEY = 0" takes columns whose value is 0, and no others.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3.11 -m venv v
v/bin/pip install -q --disable-pip-version-check numpy==1.26.4 scipy==1.15.3 pandas==2.2.3 h5py==3.13.0 bdpy==0.26
v/bin/python - <<'PY'
import warnings
from importlib.metadata import version

import bdpy
import numpy as np

warnings.simplefilter("ignore")
data = bdpy.BData()
data.add(np.array([[0.1, 0.2]]), "Voxels")
data.add(np.array([[7.0]]), "image_index")  # has no value for the region
data.add_metadata("ROI_V1", [1, 0], "voxels of the region", "Voxels")
values = data.metadata.get("ROI_V1", "value")
found = data.select("ROI_V1 = 0")
print("bdpy", version("bdpy"), "metadata", values.tolist())
print("expected: [[0.2]]; seen:", found.tolist())
assert np.isnan(values[2])
assert found.tolist() == [[0.2, 7.0]]
PY
