#!/usr/bin/env bash
# Guessed: a crossnobis distance is made of differences between two patterns of one run, so that what
#          a run adds to all its patterns (its mean, a drift) cancels, in rsatoolbox's
#          calc_rdm_unbalanced as in calc_rdm, also where a run lacks a condition.
# True:    calc_rdm_unbalanced averages the three products of a distance (i with i, j with j, i with
#          j) each over the pairs of runs that it has. Where a run lacks condition i, they come from
#          different runs: a constant added to one run moves the distances of that condition, those
#          of complete conditions not at all.
# Matters: designs lose conditions in runs (n/a trials, aborted runs), and run means differ. Ours
#          takes each two runs that hold both conditions, so that numbers differ from theirs there.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv v
v/bin/pip install -q --disable-pip-version-check numpy==1.26.4 scipy==1.15.3 rsatoolbox==0.3.2
v/bin/python - <<'PY'
from importlib.metadata import version

import numpy as np
from rsatoolbox.data import Dataset
from rsatoolbox.rdm import calc_rdm_unbalanced

conditions, runs = np.tile(np.arange(4), 3), np.repeat(np.arange(3), 4)
patterns = np.random.default_rng(0).normal(size=(12, 8))


def distances(patterns, kept):
    data = Dataset(patterns[kept], obs_descriptors={"c": conditions[kept], "run": runs[kept]})
    found = calc_rdm_unbalanced(data, method="crossnobis", descriptor="c", cv_descriptor="run")
    return found.get_matrices()[0]


shifted = patterns + 3 * (runs == 2)[:, None]  # the last run's mean
everything, lacks = np.full(12, True), ~((conditions == 0) & (runs == 2))
moved = {
    name: np.abs(distances(shifted, kept) - distances(patterns, kept)).round(6)
    for name, kept in (("complete", everything), ("condition 0 lacks the run", lacks))
}
print("rsatoolbox", version("rsatoolbox"))
print("expected: a run's mean moves no distance; seen, by how much distances moved:")
for name, change in moved.items():
    print(f"{name}: {change[0, 1:].tolist()} of condition 0, others {change[1:, 1:].max()}")
assert moved["complete"].max() < 1e-6
change = moved["condition 0 lacks the run"]
assert change[0, 1:].min() > 0.1
assert change[1:, 1:].max() < 1e-6
PY
