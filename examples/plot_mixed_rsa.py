"""
How much may a model be fitted? Fixed, reweighted and mixed RSA
===============================================================

Classical RSA compares a network with a brain as it is: every unit counts alike. But a region may
read some units and ignore others. Three ways let the data decide, each with more freedom than the
one before: a weight for each layer, a weight for each unit, and a linear map from units to voxels
(mixed RSA). Freedom is fair only if it is paid for with held-out conditions.

Here the truth is known. A small network looks at digits, and four regions are simulated from it,
each made for one of the ways to succeed, and one for all to fail.
"""

import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import RepeatedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skdnn.rsa import (
    RDM,
    FeatureReweightedRSA,
    LayerMixtureRSA,
    RSAScorer,
    stack_layers,
)

quick = os.environ.get("SKDNN_EXAMPLE_QUICK") == "1"
rng = np.random.default_rng(0)

# %%
# The network and its features
# ----------------------------
# A network with three hidden layers learns to name digits. Other digits, which it never saw, are
# the stimuli; their features are the activations of its layers, side by side.

digits = load_digits()
pixels = digits.data / 16
sizes = {"layer 1": 60, "layer 2": 30, "layer 3": 15}
network = MLPClassifier(tuple(sizes.values()), early_stopping=True, random_state=0)
network.fit(pixels[:1000], digits.target[:1000])
n_images = 160
images, names = pixels[-n_images:], digits.target[-n_images:]


def hidden_layers(images: np.ndarray) -> dict[str, np.ndarray]:
    """Activations of each hidden layer."""
    layers, values = {}, images
    for name, weights, bias in zip(sizes, network.coefs_, network.intercepts_, strict=False):
        values = np.maximum(values @ weights + bias, 0)
        layers[name] = values
    return layers


layers = hidden_layers(images)
X, groups = stack_layers(layers)
print(f"{n_images} images, {X.shape[1]} units: {sizes}")

# %%
# Four regions
# ------------
# Signal and noise have the same variance in each region.


def standardized(values: np.ndarray) -> np.ndarray:
    spread = values.std(axis=0)
    return (values - values.mean(axis=0))[:, spread > 0] / spread[spread > 0]


units = standardized(X)
signals = {
    # Every unit of layer 3 has two voxels of its own; no other unit has any.
    "one layer": np.repeat(standardized(layers["layer 3"]), 2, axis=1),
    # A few units of all layers have five voxels each.
    "few units": np.repeat(units[:, rng.choice(units.shape[1], 6, replace=False)], 5, axis=1),
    # Two directions in the space of units, along none of its axes.
    "two directions": units @ rng.normal(size=(units.shape[1], 2)) @ rng.normal(size=(2, 40)),
    "nothing": np.zeros((n_images, 40)),
}
regions = {}
for name, signal in signals.items():
    level = signal.std() or 1.0
    regions[name] = signal + rng.normal(scale=level, size=signal.shape)

# %%
# Four ways
# ---------
# All on the same folds, and all scored alike: the Spearman correlation of a predicted RDM with the
# measured one, among test images only. What is fitted (means and standard deviations, weights,
# penalties) is fitted to training images; where a penalty is chosen, the folds inside the training
# images are folds of images too, never of pairs.
#
# Mixed RSA needs no estimator of its own. A regression predicts voxels, and
# ``scoring=RSAScorer(...)`` compares the RDM of the predictions with that of the measured voxels.

metric = "sqeuclidean"
scorer = RSAScorer("spearman", target="patterns", metric=metric)
target = {"target": "patterns", "target_metric": metric, "random_state": 0}
ways = {
    "fixed": make_pipeline(StandardScaler(), RDM(metric)),
    "a weight per layer": make_pipeline(
        StandardScaler(), LayerMixtureRSA(groups=groups, metric=metric, **target)
    ),
    "a weight per unit": FeatureReweightedRSA(
        nonnegative=True, normalize=False, standardize=True, **target
    ),
    "mixed: units to voxels": make_pipeline(
        StandardScaler(), RidgeCV(alphas=np.logspace(-1, 5, 13))
    ),
}
scorers = {
    "fixed": scorer,
    "a weight per layer": None,  # its own score
    "a weight per unit": None,
    "mixed: units to voxels": scorer,
}
cv = RepeatedKFold(n_splits=4, n_repeats=1 if quick else 4, random_state=0)
scores = {
    (region, way): cross_val_score(
        estimator, X, voxels, cv=cv, scoring=scorers[way], error_score="raise"
    )
    for region, voxels in regions.items()
    for way, estimator in ways.items()
}
table = pd.DataFrame(
    {way: {region: scores[region, way].mean() for region in regions} for way in ways}
)

# %%
# The most that a model could reach: the RDM of the signal itself, without the noise.

attainable = {
    name: cross_val_score(
        make_pipeline(FunctionTransformer(), RDM(metric)),
        signal,
        regions[name],
        cv=cv,
        scoring=scorer,
    ).mean()
    for name, signal in signals.items()
    if signal.any()
}
print(table.assign(**{"the signal itself": pd.Series(attainable)}).round(2).to_string())

# %%
# What was found
# --------------
# - *One layer*: the fixed RDM mixes in two layers that the region does not read. Three weights
#   are enough to turn them off, and cost next to nothing; those with more freedom do no better.
# - *Few units*: no weights of layers can tell units apart. A weight per unit, or a linear map,
#   comes close to what can be reached.
# - *Two directions*: weights per unit help, but the distances along a direction that lies across
#   units depend on how units go together, which no sum over single units holds. The linear map
#   finds more of it.
# - *Nothing*: all are near 0, however free. That is what folds over images are for: a mean over
#   many such studies would be 0, while each single one is a little off, all ways together, since
#   they share its images.
#
# So more freedom is not simply better: it finds more where there is more to find, and asks for
# more images. And a high score of a free model says that the information is there, not that the
# network holds it in the region's form. The points are folds, which share images: their spread is
# no standard error.

colours = dict(zip(ways, plt.colormaps["tab10"].colors, strict=False))
figure, axes = plt.subplots(1, 4, figsize=(12, 4.2), sharey=True, layout="constrained")
for ax, region in zip(axes, regions, strict=True):
    for place, (way, colour) in enumerate(colours.items()):
        folds = scores[region, way]
        ax.bar(place, folds.mean(), color=colour, alpha=0.5, width=0.8, label=way)
        jitter = np.linspace(-0.25, 0.25, len(folds))
        ax.scatter(place + jitter, folds, color=colour, s=9)
    if region in attainable:
        ax.axhline(attainable[region], color="0.3", linestyle="--", label="the signal itself")
    ax.axhline(0, color="0.3", linewidth=0.8)
    ax.set(title=region, xticks=[])
    ax.spines[["top", "right", "bottom"]].set_visible(False)
axes[0].set_ylabel("Spearman correlation of RDMs, test images")
figure.legend(
    *axes[0].get_legend_handles_labels(), ncols=5, frameon=False, loc="outside lower center"
)
plt.show()

# %%
# The weights of the layers in the first region, which reads the third only, and the share that the
# six largest weights of units have in the second, where six units are all there is:

mixture = ways["a weight per layer"].fit(X, regions["one layer"])[-1]
print(dict(zip(mixture.layer_names_, mixture.weights_.round(2).tolist(), strict=True)))
reweighted = ways["a weight per unit"].fit(X, regions["few units"])
found = np.argsort(reweighted.coef_)[::-1][:6]
print(f"the six largest weights are {reweighted.coef_[found].sum() / reweighted.coef_.sum():.0%}")
