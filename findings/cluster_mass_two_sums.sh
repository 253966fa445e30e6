#!/usr/bin/env bash
# Guessed: the "mass" of a cluster is one thing, so that nilearn and MNE, given the same maps and the
#          same threshold, find the same cluster to be the most massive.
# True:    MNE sums t over the cluster; nilearn sums by how much t exceeds the threshold. A wide
#          cluster just above the threshold has the larger mass in MNE, a small and strong one in
#          nilearn, and so the p-values of the two differ, too.
# Matters: maps of searchlights are tested by clusters. A p-value from one toolbox is no check of
#          another's, and a methods section has to say which sum it was.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3.11 -m venv v
v/bin/pip install -q --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 mne==1.13.2 nilearn==0.14.1
v/bin/python - <<'PY' 2>/dev/null
from importlib.metadata import version

import mne
import nibabel
import numpy as np
from nilearn.maskers import NiftiMasker
from nilearn.mass_univariate import permuted_ols
from scipy import stats

rng = np.random.default_rng(0)
n_subjects, shape, alpha = 10, (12, 6, 6), 0.01
threshold = stats.t.isf(alpha, n_subjects - 1)


def column(t):  # ten values with exactly this t
    z = stats.zscore(rng.normal(size=n_subjects), ddof=1)
    return z + t / np.sqrt(n_subjects)


t = np.zeros(shape)
t[:4, :4, :4] = threshold + 0.2  # wide and weak
t[8:10, :2, :2] = threshold + 6  # small and strong
maps = np.stack([column(value) for value in t.ravel()], axis=1)

masker = NiftiMasker(nibabel.Nifti1Image(np.ones(shape, np.uint8), np.eye(4))).fit()
found = permuted_ols(
    np.ones((n_subjects, 1)), maps, model_intercept=False, two_sided_test=False, n_perm=100,
    threshold=alpha, masker=masker, output_type="dict", random_state=0,
)
mass = found["mass"].reshape(shape)
in_nilearn = mass[0, 0, 0], mass[8, 0, 0]

_, clusters, _, _ = mne.stats.permutation_cluster_1samp_test(
    maps.reshape(n_subjects, *shape), threshold=threshold, tail=1, n_permutations=100,
    out_type="mask", rng=0, verbose="error",
)
sums = {bool(c[0, 0, 0]): t[c].sum() for c in clusters}
in_mne = sums[True], sums[False]

print("nilearn", version("nilearn"), "mne", version("mne"), "t threshold", round(threshold, 3))
print("expected: the same cluster has the larger mass in both")
print("nilearn, mass of the wide and of the small cluster:", np.round(in_nilearn, 1))
print("sums of t over MNE's clusters, wide and small:     ", np.round(in_mne, 1))
assert np.allclose(in_nilearn, [64 * 0.2, 8 * 6], rtol=1e-6)
assert in_nilearn[0] < in_nilearn[1]
assert in_mne[0] > in_mne[1]

# That MNE's null is of sums of t: its largest value, under the observed signs, is that sum.
_, _, _, null = mne.stats.permutation_cluster_1samp_test(
    maps.reshape(n_subjects, *shape), threshold=threshold, tail=1, n_permutations="all",
    rng=0, verbose="error",
)
print("largest value in MNE's null:                       ", null.max().round(1))
assert np.isclose(null.max(), in_mne[0], rtol=1e-6)
PY
