"""
Where in the brain is each layer? A searchlight
===============================================

Around each voxel the responses of a sphere make an RDM, which is compared with the RDM of every
layer. The result is a map for each layer, the layer that fits best at each place, and, over
subjects in one space, where a layer is found at all.

The brains are simulated, so that the answer is known: two regions follow a layer each. It needs
nibabel, and nilearn, which draws the maps.
"""

import os

import matplotlib.pyplot as plt
import nibabel
import numpy as np

from skdnn.fmri import estimate_searchlight, searchlight_rsa
from skdnn.plotting import SearchlightDisplay
from skdnn.rsa import compute_rdm

quick = os.environ.get("SKDNN_EXAMPLE_QUICK")
rng = np.random.default_rng(0)
n_images, n_subjects, grid = 24, 10, (12, 14, 12) if quick else (22, 26, 22)

# A mask in which voxels are 3 mm wide, and an ellipsoid is the brain.
affine = np.diag([3.0, 3, 3, 1])
affine[:3, 3] = -1.5 * np.array(grid)
place = np.indices(grid).reshape(3, -1).T
middle = (np.array(grid) - 1) / 2
brain = (((place - middle) / (np.array(grid) / 2)) ** 2).sum(axis=1) < 1
mask = nibabel.Nifti1Image(brain.reshape(grid).astype(np.uint8), affine)
voxels = place[brain]

# %%
# Two regions, to the left and to the right of the middle, follow a layer each; subjects share
# nothing but that.

features = {name: rng.normal(size=(n_images, 50)) for name in ("conv1", "conv3", "fc6")}
layers = {name: compute_rdm(values) for name, values in features.items()}
step = np.array([grid[0] / 4.5, 0, 0])
regions = {
    name: np.linalg.norm(voxels - (middle + sign * step), axis=1) < grid[0] / 7
    for name, sign in (("conv1", -1), ("fc6", 1))
}
subjects = {}
for number in range(n_subjects):
    responses = rng.normal(size=(n_images, len(voxels)))
    for name, inside in regions.items():
        weights = rng.normal(size=(50, inside.sum()))
        responses[:, inside] += 0.15 * features[name] @ weights
    subjects[f"sub-{number + 1:02}"] = responses

# %%
# What it will take, before it is run.

print(estimate_searchlight(subjects, layers, radius=8.0, mask=mask))

# %%
# The maps. With ``folder=`` a run that was stopped goes on when it is started again.

result = searchlight_rsa(subjects, layers, radius=8.0, mask=mask)
print(result)
test = result.test(n_flips=1000)
print(test)

# %%
# The similarity of each layer, mean over subjects. Nothing is known of the space that this brain
# lies in, so no template stands behind the maps: the mask is outlined.

SearchlightDisplay.from_result(result)

# %%
# The layer that fits best, where any was found at all, and how high a model could come.

SearchlightDisplay.from_result(result, test, show="best_layer")
SearchlightDisplay.from_result(result, show="ceiling")
plt.show()
