#!/usr/bin/env bash
# Guessed: a NIfTI masker gives the voxels of an image as they are, so that a voxel without a value
#          (NaN, as first-level models leave outside the brain) stays NaN and can be told.
# True:    nilearn's NiftiMasker gives 0 for NaN, like a voxel that was measured and did not respond.
#          A constant 0 has no correlation, a 0 among numbers pulls averages and distances.
# Matters: betas that are read here keep NaN, and the same voxels through nilearn's masker differ.
#          Comparisons of both must look at voxels with values only.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv v
v/bin/pip install -q --disable-pip-version-check numpy==2.2.6 scipy==1.15.3 nibabel==5.3.2 nilearn==0.11.1
v/bin/python - <<'PY'
import warnings

import nibabel
import nilearn
import numpy as np
from nilearn.maskers import NiftiMasker

warnings.simplefilter("ignore")
values = np.arange(1, 9, dtype=np.float32).reshape(2, 2, 2)
values[1, 0, 1] = np.nan
mask = nibabel.Nifti1Image(np.ones((2, 2, 2), np.uint8), np.eye(4))
found = NiftiMasker(mask_img=mask).fit().transform(nibabel.Nifti1Image(values, np.eye(4))).ravel()
print("nilearn", nilearn.__version__)
print(f"expected: NaN for the voxel without a value; seen: {found.tolist()}")
assert not np.isnan(found).any()
assert (found == 0).sum() == 1
PY
