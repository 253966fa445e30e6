#!/usr/bin/env bash
# Guessed: rsatoolbox's calc_rdm and calc_rdm_unbalanced differ in how they average repeats, and give
#          the conditions of an RDM in the same order, that of the data.
# True:    calc_rdm with a descriptor sorts the conditions by name; calc_rdm_unbalanced keeps the
#          order in which they first appear. The names stand in the pattern descriptors of both.
# Matters: an RDM whose names are dropped (the bare matrix of get_matrices) is paired with others by
#          position: with one function it is right, with the other every row is another stimulus.
#          Rows are therefore matched by the names, also in files that rsatoolbox wrote.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv v
v/bin/pip install -q --disable-pip-version-check numpy==1.26.4 scipy==1.15.3 rsatoolbox==0.3.2
v/bin/python - <<'PY'
from importlib.metadata import version

import numpy as np
from rsatoolbox.data import Dataset
from rsatoolbox.rdm import calc_rdm, calc_rdm_unbalanced

names = ["cat", "ant", "dog", "bee"]
patterns = np.array([[0.0, 0], [1, 0], [3, 0], [7, 0]])
data = Dataset(patterns, obs_descriptors={"stimulus": names})
sorted_ = calc_rdm(data, method="euclidean", descriptor="stimulus")
kept = calc_rdm_unbalanced(data, method="euclidean", descriptor="stimulus")
orders = [[str(n) for n in rdms.pattern_descriptors["stimulus"]] for rdms in (sorted_, kept)]
print("rsatoolbox", version("rsatoolbox"))
print(f"expected from both: {names}; seen: {orders[0]} and {orders[1]}")
assert orders == [sorted(names), names]
assert not np.allclose(sorted_.get_matrices(), kept.get_matrices())
PY
