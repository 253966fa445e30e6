"""
A whole fMRI study: from a GLM's maps to the layer of each region and voxel
===========================================================================

After preprocessing and a single-trial GLM there are files: a map of betas for each trial, tables
of events, masks, an atlas, and the pictures that were shown. This is all that it takes from there
to the layer that each region of each subject resembles most, and to maps of the brain.

The study is simulated, so that it runs anywhere and the answer is known: each of three regions
responds to one layer of an untrained AlexNet. It needs nibabel; the maps are drawn by nilearn,
where that is installed.
"""

import tempfile
from importlib.util import find_spec

import matplotlib.pyplot as plt
import pandas as pd

from skdnn import DNNFeatureExtractor, make_search
from skdnn.datasets import make_study
from skdnn.encoding import LayerwiseEncoder, pool_folds, summarize_voxels
from skdnn.fmri import encode_regions, load_subjects, search_regions
from skdnn.plotting import RegionScoresDisplay

folder = tempfile.mkdtemp()
study = make_study(folder)
layers = list(study.planted.values())
print(study.planted)

# %%
# From files to responses
# -----------------------
# Files say by ``sub-`` in their names whose they are. Events, betas and pictures are joined by
# name, and what does not belong together is an error here, before anything is computed.

files = f"{folder}/sub-*/*_"
brains = load_subjects(
    f"{files}betas.nii.gz", events=f"{files}events.tsv", mask=f"{files}mask.nii.gz",
    rois={roi: (f"{files}atlas.nii.gz", number) for number, roi in enumerate(study.planted, 1)},
    images=study.images, standardize="session",
)  # fmt: skip
print(brains["sub-01"])

# %%
# Which layer does each region resemble?
# --------------------------------------
# A search for each subject and region: layers are compared on pictures held out, and each picture
# goes through the network once. Rings mark the layers that were chosen, the band is the noise
# ceiling over subjects.

network = DNNFeatureExtractor(study.model, weights=None, cache=f"{folder}/activations")
search = make_search(network, layers, len(study.images), target="patterns")
table = search_regions(search, study.images, brains)
print(table.loc[table["chosen"], ["subject", "roi", "layer", "score", "p_adjusted"]].round(3))
RegionScoresDisplay(table).plot()

# %%
# And each voxel?
# ---------------
# An encoding model chooses a layer for each voxel inside the training pictures, and predicts those
# that were held out.

features = network.extract(study.images, layers, flatten=True)
voxels = pool_folds(encode_regions(LayerwiseEncoder(random_state=0), features, brains))
voxels["layer"] = pd.Categorical(voxels["layer"], layers)
print(summarize_voxels(voxels, layers=layers))

# %%
# Back into the brain
# -------------------
# Each value lies where its voxel was. The upper row is the correlation of predicted and measured
# responses, the lower the layer: 1, 2, 3 in the order of the network. ``save_map`` writes files
# for other programs, with a list of their maps beside them. The regions of this brain are three
# blocks, side by side.

for subject, betas in brains.items():
    own = voxels[voxels["subject"] == subject]
    betas.save_map(own, f"{folder}/{subject}_maps.nii.gz", columns=["r", "layer"])
    if find_spec("nilearn"):
        from nilearn.plotting import plot_img

        figure, axes = plt.subplots(2, figsize=(5, 6))
        for ax, name in zip(axes, ["r", "layer"], strict=True):
            plot_img(betas.unmask(own, columns=name, fill=0), axes=ax, title=f"{subject}: {name}",
                     display_mode="z", cut_coords=[0], threshold=0.01, cmap="viridis")  # fmt: skip
plt.show()
