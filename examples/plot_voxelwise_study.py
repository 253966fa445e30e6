"""
A voxelwise study: noise ceilings, and the layer that predicts each voxel best
==============================================================================

From single trials to a layer for each voxel: average the repeats, find out how reliable each voxel
is, predict held-out images, and read the scores as a share of what noise allows.

Here the truth is known. A small network looks at digits, and the voxels of three regions are
simulated from units of its layers. Two regions are hard to predict, for different reasons: V4 is
noisy, and half of what IT says about an image is in no layer at all.
"""

import os
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from skdnn.encoding import (
    LayerFeatures,
    LayerwiseEncoder,
    StimulusKFold,
    average_repeats,
    check_disjoint,
    ncsnr,
    ncsnr_ceiling,
    nested_encoding,
    normalize_scores,
    pool_folds,
    split_half_reliability,
)

quick = os.environ.get("SKDNN_EXAMPLE_QUICK") == "1"
rng = np.random.default_rng(0)

# %%
# The network and its features
# ----------------------------
# A network with three hidden layers learns to name digits. Digits that it never saw are the
# stimuli. With a network for photographs, ``DNNFeatureExtractor.extract(images, layers)`` gives
# such a dictionary of layers.

digits = load_digits()
pixels = digits.data / 16
sizes = {"layer 1": 60, "layer 2": 40, "layer 3": 30}
network = MLPClassifier(tuple(sizes.values()), early_stopping=True, random_state=0)
network.fit(pixels[:1000], digits.target[:1000])
n_images = 200 if quick else 500
images = pixels[-n_images:]
names = np.array([f"digit{number:04d}" for number in range(n_images)])

layers, values = {}, images
for layer, weights, bias in zip(sizes, network.coefs_, network.intercepts_, strict=False):
    values = np.maximum(values @ weights + bias, 0)
    layers[layer] = values
X = LayerFeatures(layers)
print(X)

# %%
# Three regions
# -------------
# A voxel mixes eight units of one layer, the layers with these probabilities:

planted = pd.DataFrame(
    {"V1": [0.8, 0.2, 0.0], "V4": [0.2, 0.6, 0.2], "IT": [0.0, 0.2, 0.8]}, index=list(sizes)
)
noise_of = {"V1": (0.5, 2.0), "V4": (2.0, 4.0), "IT": (0.5, 2.0)}
n_repeats, n_good, n_noise, n_dead = 4, 24 if quick else 60, 6, 3


def standardized(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(axis=0)) / values.std(axis=0)


def signal(layer: str) -> np.ndarray:
    """What a voxel says about each image: a random mixture of eight units of a layer."""
    units = layers[layer][:, layers[layer].std(axis=0) > 0]
    chosen = rng.choice(units.shape[1], 8, replace=False)
    return standardized(units[:, chosen] @ rng.normal(size=8))


rois, truth, signals, noises = [], [], [], []
for roi in planted:
    true_layers = rng.choice(list(sizes), n_good, p=planted[roi])
    good = np.column_stack([signal(layer) for layer in true_layers])
    if roi == "IT":
        good = (good + standardized(rng.normal(size=good.shape))) / np.sqrt(2)
    signals.append(np.hstack([good, np.zeros((n_images, n_noise + n_dead))]))
    noises += [*rng.uniform(*noise_of[roi], n_good), *[2.0] * n_noise, *[0.0] * n_dead]
    truth += [*true_layers, *["noise"] * n_noise, *["dead"] * n_dead]
    rois += [roi] * (n_good + n_noise + n_dead)

# %%
# The scanner shows all images in each of four runs, in another order each time. What comes out is
# a row for each trial, and the name of the image that was shown.

shown = np.concatenate([rng.permutation(names) for _ in range(n_repeats)])
runs = np.repeat(np.arange(n_repeats), n_images)
order = np.searchsorted(names, shown)
trials = np.hstack(signals)[order] + rng.normal(size=(len(shown), len(rois))) * noises

# %%
# Averages and their reliability
# ------------------------------
# Rows of averages follow the rows of the features. For reliability, trials are put into an array
# of repeats, images and voxels: here the repeats are the runs. The correlation between averages of
# two runs and of the two others says how reliable the average of all four is (Spearman-Brown);
# variances say the same (ncsnr).

averages = average_repeats(trials, shown, order=names)
repeats = np.stack([average_repeats(trials[runs == run], shown[runs == run]).responses
                    for run in range(n_repeats)])  # fmt: skip
reliability = split_half_reliability(repeats, random_state=0)
from_variances = ncsnr_ceiling(ncsnr(repeats), n_repeats)
voxels = pd.DataFrame({"roi": rois, "truth": truth, "reliability": reliability})
good = ~voxels["truth"].isin(["noise", "dead"])
kind = voxels["truth"].where(~good, "signal").rename("kind")
print(voxels.pivot_table("reliability", kind, "roi", sort=False).round(2).to_string())
difference = np.abs(reliability - from_variances)[good].max()
print(f"the two ways to reliability differ by {difference:.3f} at most, in voxels with a signal")

# %%
# Held-out images
# ---------------
# For each fold, ``LayerwiseEncoder`` chooses a penalty and a layer for each voxel, with folds of
# its own inside the training images, and only then sees the test images. ``StimulusKFold`` keeps
# an image on one side. With averages there is one row for each image, and any shuffled folds
# would do; with single trials they would not, and ``check_disjoint`` would raise an error.

folds = list(StimulusKFold(5, random_state=0).split(averages.ids))
for train, test in folds:
    check_disjoint(averages.ids[train], averages.ids[test])

encoder = LayerwiseEncoder(alphas=np.logspace(-1, 4, 6), random_state=0)
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "9 of .* constant")  # the dead voxels, in every fold
    table = nested_encoding(
        encoder,
        X,
        averages.responses,
        folds,
        model="digits",
        subject="S1",
        roi=rois,
        random_state=0,
    )
print(table.drop(columns="normalised").head(3).round(3).to_string())

# %%
# One row for each voxel: its mean correlation, the layer that most folds chose, and one p-value.
# It says that a voxel is predicted at all, not how well, nor that its layer is right. Folds share
# training images, so their p-values depend on each other: ``pool_folds`` allows for that, and
# adjusts for the number of voxels (false discovery rate).

pooled = pool_folds(table).set_index("voxel")
voxels[["r", "layer", "p_fdr"]] = pooled[["r", "layer", "p_fdr"]]
voxels["agreement"] = pooled["layer_share"]  # share of folds
significant = voxels["p_fdr"] < 0.05

# %%
# Scores as a share of what noise allows
# --------------------------------------
# The true signal itself would not correlate by 1 with noisy averages, but by the square root of
# their reliability. That is what a correlation is divided by. Voxels whose reliability is small
# are left out (a ratio of two small numbers may be anything), and they are chosen by reliability
# alone: choosing by score makes the mean too high, and clipping at 1 too low. (With ``ceiling=``,
# ``nested_encoding`` fills its column ``normalised`` in the same way, fold by fold.)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", RuntimeWarning)  # counts what is counted below
    normalised, above_one, unreliable, _, divided_by = normalize_scores(
        voxels["r"], reliability, min_ceiling=0.2
    )
voxels["normalised"] = normalised
print(f"normalised is {divided_by}: {unreliable.sum()} voxels are left out, "
      f"{above_one.sum()} are above 1")  # fmt: skip

# %%
# What was found
# --------------
# Layers are only looked at where a voxel is both reliable and significant.

kept = good & significant & ~unreliable
voxels["right"] = voxels["layer"] == voxels["truth"]
usable = voxels[~unreliable].groupby("roi", sort=False)
mapped = voxels[kept].groupby("roi", sort=False)
summary = pd.DataFrame(
    {
        "reliable voxels": usable.size(),
        "r": usable["r"].median(),
        "normalised": usable["normalised"].median(),
        "right layer": mapped["right"].mean(),
        "folds agree": mapped["agreement"].mean(),
    }
)
false_alarms = int(significant[~good].sum())
print(summary.round(2).to_string())
n_null = n_noise * len(planted)
print(f"{significant[good].mean():.0%} of the voxels with a signal are significant, and "
      f"{false_alarms} of the {n_null} that are only noise")  # fmt: skip


def layer_shares(layer: pd.Series) -> pd.DataFrame:
    """Share of the kept voxels of each region (columns) that have each layer."""
    counts = pd.crosstab(layer[kept], voxels["roi"][kept])
    counts = counts.reindex(index=list(sizes), columns=list(planted), fill_value=0)
    return counts / counts.sum()


shares, true_shares = layer_shares(voxels["layer"]), layer_shares(voxels["truth"])
print(pd.concat({"found": shares, "planted": true_shares}, axis=1).round(2).to_string())

# %%
# - By correlation alone, V4 and IT look alike, and V1 better. Normalised, V4 is as well predicted
#   as V1: it was only noisy. IT stays low: what it lacks is reliable, so that a better model could
#   find it. The dashed line is what the layers hold of IT, the square root of one half.
# - Normalised scores scatter around their mean, since both the score and the reliability are
#   estimates; some are above 1.
# - Most voxels get their own layer, the more reliable ones more often. Where it is wrong it is
#   mostly a neighbour, which is computed from it or feeds it, and predicts the voxel nearly as
#   well. So the shares of a region say more than the layer of any one voxel.
# - Here the voxels are made from the very units that predict them. In a brain they are not, layers
#   differ in size, and the layer of a voxel is that of the best linear prediction, no more.

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
places = np.arange(len(planted))
kinds = {"r": ("0.75", "correlation"), "normalised": ("#56B4E9", "correlation / ceiling")}
for offset, (column, (colour, label)) in zip((-0.2, 0.2), kinds.items(), strict=True):
    boxes = left.boxplot(
        [usable.get_group(roi)[column] for roi in planted],
        positions=places + offset,
        widths=0.34,
        patch_artist=True,
        boxprops={"facecolor": colour},
        medianprops={"color": "black"},
        flierprops={"markersize": 3},
        manage_ticks=False,
    )
    boxes["boxes"][0].set_label(label)
left.axhline(1, color="0.3", linewidth=0.8)
held = {"color": "#D55E00", "linestyle": "--", "label": "what the layers hold of IT"}
left.hlines(np.sqrt(0.5), 1.6, 2.4, **held)
left.set(xticks=places, xticklabels=list(planted), ylim=(0, None))
left.set(ylabel="score of held-out images", title="How well are voxels predicted?")
left.legend(frameon=False, loc="lower left")

colours = plt.colormaps["viridis"](np.linspace(0, 0.9, len(sizes)))
for offset, part, hatch in ((-0.2, shares, None), (0.2, true_shares, "//")):
    below = part.cumsum() - part
    for layer, colour in zip(sizes, colours, strict=True):
        right.bar(
            places + offset,
            part.loc[layer],
            0.36,
            bottom=below.loc[layer],
            color=colour,
            edgecolor="white",
            hatch=hatch,
            label=layer if hatch is None else None,
        )
counts = mapped.size()
right.set(xticks=places, xticklabels=[f"{roi}\n({counts[roi]} voxels)" for roi in planted])
right.set(ylabel="share of voxels", title="Which layer predicts them best? Found | planted (//)")
legend = {"reverse": True, "frameon": False, "loc": "center left", "bbox_to_anchor": (1, 0.5)}
right.legend(**legend)
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
