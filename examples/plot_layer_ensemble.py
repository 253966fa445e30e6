"""
Ensembles of layers: several at once, each reduced before it joins
==================================================================

No single layer need be the best model of a brain region: early layers hold what things look like,
late ones what they are, and a region may hold both. Several layers side by side are an ensemble.
But layers differ in size and scale (AlexNet's second has 140,000 units, its last hidden one
4,096), so that side by side, as they are, the largest speaks for all. The remedy is to reduce and
to normalise every layer *before* joining them.

Here ensembles of AlexNet's layers are compared with the single layers, as models of human inferior
temporal (IT) cortex, on the 92 object images of Kriegeskorte et al. (2008).
"""

import math
import os
import tempfile

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV, KFold, RepeatedStratifiedKFold, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.random_projection import SparseRandomProjection

from skdnn import (
    RDM,
    ActivationStore,
    DNNFeatureExtractor,
    GramPCA,
    LayerSearchCV,
    RSAScorer,
    fetch_kriegeskorte92,
)
from skdnn.rsa import compare_rdms

quick = os.environ.get("SKDNN_EXAMPLE_QUICK") == "1"
data = fetch_kriegeskorte92()
layers = {
    "conv2": "features.4",
    "conv4": "features.9",
    "fc6": "classifier.2",
    "fc7": "classifier.5",
}
if quick:
    layers = {name: layers[name] for name in ["conv4", "fc7"]}

# %%
# One pass for all
# ----------------
# Published weights are downloaded once; without a connection, random ones stand in.
#
# Every pipeline below has extractors of its own, and cross-validation fits each of them many
# times. They share one cache, so that each image goes through the network once, for all layers
# together.


def published_or_random() -> str | None:
    """ "default" if AlexNet's published weights can be had, else None."""
    if quick:
        return None
    try:
        DNNFeatureExtractor("alexnet").fit(data.paths[:1]).transform(data.paths[:1])
    except OSError as error:
        print(f"AlexNet's published weights cannot be had ({error}); random weights stand in.")
        return None
    return "default"


weights = published_or_random()
print(f"AlexNet with {'published' if weights else 'random'} weights")
folder = tempfile.TemporaryDirectory()
store = ActivationStore(folder.name)


def extractor(layer: str | list[str]) -> DNNFeatureExtractor:
    """Any layer, from the one cache."""
    return DNNFeatureExtractor("alexnet", layer, weights=weights, cache=store)


extractor(list(layers.values())).precompute(data.paths, verbose=0)

# %%
# Centring and normalising
# ------------------------
# What THINGSvision offers as ``center_features`` and ``normalize_features`` is one part of
# scikit-learn each:
#
# - ``StandardScaler(with_std=False)`` subtracts each unit's mean. Within cross-validation it is
#   the mean over *training* images;
# - ``Normalizer()`` divides each image's features by their length.
#
# After centring, distances are best measured as cosines: unlike correlations, these do not change
# when PCA turns the axes or chooses their signs.

centre, normalise = StandardScaler(with_std=False), Normalizer()


def compared(*steps: object) -> Pipeline:
    """A pipeline from images to a score."""
    return make_pipeline(*steps, RDM("cosine"), RSAScorer("spearman"))


singles = {name: compared(extractor(layer), centre) for name, layer in layers.items()}

# %%
# Ensembles
# ---------
# Each layer has a branch of its own, and ``FeatureUnion`` joins the branches. Since every branch
# ends with rows of length 1, each layer has the same say; the cosine of joined rows is the mean of
# the layers' cosines. ``transformer_weights`` gives some layers more: it multiplies features,
# hence cosines by its square.
#
# PCA keeps the directions in which the training images differ most; 20 components of each layer
# are plenty for so few images. A random projection needs no training at all: it keeps
# all distances about as they are, and suits studies with more images than PCA can hold.


def ensemble(reduce: object, transformer_weights: dict[str, float] | None = None) -> FeatureUnion:
    """Branches of all layers, each centred, reduced and normalised."""
    branches = [
        (name, make_pipeline(extractor(layer), centre, reduce, normalise))
        for name, layer in layers.items()
    ]
    return FeatureUnion(branches, transformer_weights=transformer_weights)


pca = GramPCA(n_components=20)
projection = SparseRandomProjection(n_components=500, random_state=0)
ensembles = {
    "as they are": compared(extractor(list(layers.values())), centre),
    "PCA of each": compared(ensemble(pca)),
    "projection of each": compared(ensemble(projection)),
}

# %%
# Which layers deserve more weight can be asked of the data, if only training images answer: the
# search below is a part of the model, and runs anew within each training set. So does the choice
# of a single layer, with which ensembles must be compared: the best of all layers on the very
# folds that they are compared on would be a choice with hindsight.

early, late = list(layers)[: len(layers) // 2], list(layers)[len(layers) // 2 :]
candidates = [
    dict.fromkeys(layers, 1.0),
    {**dict.fromkeys(early, 2.0), **dict.fromkeys(late, 1.0)},
    {**dict.fromkeys(early, 1.0), **dict.fromkeys(late, 2.0)},
]
inner = KFold(n_splits=2 if quick else 3, shuffle=True, random_state=0)
ensembles["weighted PCA"] = GridSearchCV(
    Pipeline([("layers", ensemble(pca)), ("rdm", RDM("cosine")), ("rsa", RSAScorer("spearman"))]),
    {"layers__transformer_weights": candidates},
    cv=inner,
)
chosen = LayerSearchCV(
    Pipeline(
        [
            ("dnn", extractor(next(iter(layers.values())))),
            ("centre", centre),
            ("rdm", RDM("cosine")),
            ("rsa", RSAScorer("spearman")),
        ]
    ),
    {"dnn__layer": list(layers.values())},
    cv=inner,
)

# %%
# The folds
# ---------
# The images come sorted by category. Every fold has the same share of each, and the images are
# dealt anew several times.

kind = data.category["category"]
cv = RepeatedStratifiedKFold(
    n_splits=2 if quick else 4, n_repeats=1 if quick else 3, random_state=0
)
folds = list(cv.split(data.paths, kind))
models = {**singles, "one layer, chosen": chosen, **ensembles}
human, monkey = data.human_it, data.monkey_it
scores = pd.DataFrame(
    {
        name: cross_val_score(model, data.paths, human, cv=folds, error_score="raise")
        for name, model in models.items()
    }
)
yardstick = np.array(
    [
        compare_rdms(monkey.iloc[test, test], human.iloc[test, test], "spearman")
        for _, test in folds
    ]
)
print(scores.agg(["mean", "std"]).T.round(3).to_string())
print(f"monkey IT: {yardstick.mean():.3f} ± {yardstick.std(ddof=1):.3f} over {len(folds)} folds")
forwarded = store.stats["images_forwarded"]
print(f"{forwarded} images went through the network, for {len(models)} models and all folds")

# %%
# The picture
# -----------
# Each point is a fold; folds share images, so that their spread is no standard error. What an
# ensemble adds is better seen fold by fold, as the difference to the one layer that was chosen on
# the same training images. (With random weights, layers side by side as they are score almost like
# the largest of them alone: it does speak for all.)

base = "one layer, chosen"
groups = dict.fromkeys(singles, "tab:blue") | {base: "tab:orange"}
colours = groups | dict.fromkeys(ensembles, "tab:green")
figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), sharey=True, layout="constrained")
differences = scores.sub(scores[base], axis=0)
for ax, frame in zip(axes, (scores, differences), strict=True):
    for place, (name, colour) in enumerate(colours.items()):
        spread = np.linspace(-0.25, 0.25, len(frame))
        ax.scatter(frame[name], place + spread, color=colour, s=10, alpha=0.6)
        ax.plot([frame[name].mean()] * 2, [place - 0.38, place + 0.38], color=colour, linewidth=3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.locator_params(axis="x", nbins=5)
axes[0].axvline(yardstick.mean(), color="0.3", linestyle="--")
axes[0].text(yardstick.mean() - 0.005, 0, "monkey IT", ha="right", va="center", color="0.3")
axes[0].set(
    xlabel="Spearman correlation with human IT",
    yticks=range(len(colours)),
    yticklabels=list(colours),
)
axes[0].invert_yaxis()
axes[1].axvline(0, color="0.3", linewidth=0.8)
axes[1].set(xlabel=f"difference to {base!r}, fold by fold")
figure.suptitle(
    f"AlexNet, {'published' if weights else 'random'} weights: layers (blue), ensembles (green)"
)
plt.show()

# %%
# The same from one extractor
# ---------------------------
# An extractor of several layers gives them side by side, and ``ColumnTransformer`` tells them
# apart by their columns. That needs no cache, but keeps all layers in memory at once.

several = extractor(list(layers.values())).fit(data.paths)
ends = np.cumsum([0, *(math.prod(shape) for shape in several.feature_shapes_.values())])
branches = [
    (name, make_pipeline(centre, pca, normalise), slice(start, stop))
    for name, start, stop in zip(layers, ends[:-1], ends[1:], strict=True)
]
by_columns = make_pipeline(several, ColumnTransformer(branches)).fit_transform(data.paths)
by_branches = ensemble(pca).fit_transform(data.paths)
print(f"largest difference: {np.abs(by_columns - by_branches).max():.1g}")
folder.cleanup()
