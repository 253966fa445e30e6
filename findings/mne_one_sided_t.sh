#!/usr/bin/env bash
# Guessed: `permutation_t_test(X, tail=1)` of MNE compares the largest t with the largest t under
#          each flip of signs, as a one-sided test does.
# True:    whatever the tail, it is compared with the largest *absolute* t under each flip, so
#          that a one-sided p is about as large as the two-sided one.
# Matters: tests of layers over time are one-sided (is a similarity above zero?). Against MNE's, ours
#          can be held only by the two-sided p, or by the null distribution.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3.11 -m venv v
v/bin/pip install -q --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 mne==1.13.2
v/bin/python - <<'PY'
import itertools
from importlib.metadata import version

import mne
import numpy as np

X = np.random.default_rng(0).normal(0.5, 1, (8, 5))
flips = np.array(list(itertools.product([1], *[[1, -1]] * 7)))
flips = np.vstack([flips, -flips])  # all 256, the data's own signs and their opposite among them


def t_of(signs):
    flipped = signs[:, None] * X
    return flipped.mean(0) / (flipped.std(0, ddof=1) / np.sqrt(len(X)))


null = np.array([t_of(signs) for signs in flips])
t = t_of(np.ones(8))
one_sided = (null.max(1)[:, None] >= t - 1e-9).mean(0)
absolute = (np.abs(null).max(1)[:, None] >= t - 1e-9).mean(0)
_, p, _ = mne.stats.permutation_t_test(X, n_permutations="all", tail=1, verbose=False)
print("mne", version("mne"), "t", t.round(2))
print("expected, against the largest t:  ", one_sided.round(3))
print("seen:                             ", p.round(3))
print("against the largest absolute t:   ", absolute.round(3))
assert np.allclose(p, absolute, atol=0.005)
assert (p > 1.3 * one_sided).all()
PY
