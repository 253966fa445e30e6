"""
Predicting the responses of inferior temporal cortex
====================================================

An encoding model predicts measured responses to images from the features of a network's layer.
Here the responses are those of human inferior temporal (IT) cortex to the 92 object images of
Kriegeskorte et al. (2008), and the model is a ridge regression on AlexNet's features.
"""

import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV
from sklearn.metrics import make_scorer, r2_score
from sklearn.model_selection import (
    RepeatedStratifiedKFold,
    StratifiedKFold,
    cross_val_predict,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import DNNFeatureExtractor, GramPCA, LayerSearchCV, fetch_kriegeskorte92
from skdnn.plotting import LayerScoresDisplay

quick = os.environ.get("SKDNN_EXAMPLE_QUICK") == "1"
data = fetch_kriegeskorte92()
kind = data.category["category"]

# %%
# The responses
# -------------
# The data set holds no voxels, only how dissimilar the response patterns are: 1 - r, with r the
# Pearson correlation of two patterns. That is enough for an encoding model. Correlation is the
# inner product of standardized patterns, so 1 - RDM is their Gram matrix, and its eigenvectors are
# the principal axes of the patterns: the coordinates below are those that a principal component
# analysis of the standardized voxels would give, up to the sign of each axis. (The RDM is a mean
# over subjects and sessions, hence these are the axes of their patterns side by side.)
#
# What it cannot tell is how well single voxels are predicted. And the axes are found with all 92
# images, test images included, as if one had chosen the voxels beforehand; the regression from
# features to axes never sees the test images.

n_axes = 4
gram = 1 - data.human_it.to_numpy()
centring = np.eye(len(gram)) - 1 / len(gram)
variances, directions = np.linalg.eigh(centring @ gram @ centring)
variances, directions = variances[::-1], directions[:, ::-1]  # largest first
responses = pd.DataFrame(
    directions[:, :n_axes] * np.sqrt(variances[:n_axes]),
    index=data.human_it.index,
    columns=[f"axis {i + 1}" for i in range(n_axes)],
)
shares = variances[:n_axes] / variances.sum()
print("share of the patterns' variance:", ", ".join(f"{share:.3f}" for share in shares))

# %%
# The network
# -----------
# Published weights are downloaded once; without a connection, random ones stand in.
# ``SKDNN_EXAMPLE_QUICK=1`` is for a short trial.

layers = {
    "features.1": "conv1",
    "features.4": "conv2",
    "features.7": "conv3",
    "features.9": "conv4",
    "features.11": "conv5",
    "classifier.2": "fc6",
    "classifier.5": "fc7",
}
if quick:
    layers = {layer: layers[layer] for layer in ["features.1", "classifier.5"]}


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

# %%
# The encoding model
# ------------------
# Features, their main components, and a ridge regression that chooses its penalty by itself. All
# of it is fitted on the training images of each fold. R² is the share of the responses' variance
# that is predicted: 0 for a model that says the mean of the training images, and less for one
# that does worse.

model = Pipeline(
    [
        ("dnn", DNNFeatureExtractor("alexnet", weights=weights)),
        ("center", StandardScaler(with_std=False)),
        ("pca", GramPCA(40)),
        ("ridge", RidgeCV(alphas=np.logspace(-6, 8, 29))),
    ]
)
explained = make_scorer(r2_score, multioutput="variance_weighted")
cv = RepeatedStratifiedKFold(
    n_splits=2 if quick else 4, n_repeats=1 if quick else 5, random_state=0
)
folds = list(cv.split(data.paths, kind))
search = LayerSearchCV(model, {"dnn__layer": list(layers)}, cv=folds, scoring=explained)
search.fit(data.paths, responses)
best = search.best_params_["dnn__layer"]
print(f"best layer: {layers[best]} ({best}), R² {search.best_score_:.2f}")

results = search.cv_results_
scores = {
    name: np.array([results[f"split{fold}_test_score"][row] for fold in range(len(folds))])
    for row, name in enumerate(layers[layer] for layer in results["param_dnn__layer"])
}

# %%
# Axis by axis
# ------------
# Each image is predicted once, by a model that was fitted without it. The layer was chosen with
# all images, so these correlations are a little too kind; for a number to publish, choose the
# layer inside the folds, with ``cross_validate(search, ...)``.

once = StratifiedKFold(2 if quick else 4, shuffle=True, random_state=0).split(data.paths, kind)
predicted = pd.DataFrame(
    cross_val_predict(search.best_estimator_, data.paths, responses, cv=list(once)),
    index=responses.index,
    columns=responses.columns,
)
correlations = predicted.corrwith(responses)
print("correlation of predicted and measured:")
print(correlations.round(2).to_string())

# %%
# The pictures
# ------------

LayerScoresDisplay.from_scores(
    scores,
    ylabel="R² of the responses' main axes",
    title=f"AlexNet, {'published' if weights else 'random'} weights: {len(folds)} test folds",
)

# %%
# Where the images lie on the first two axes, as measured and as predicted from their pixels alone.

colours = dict(zip(kind.unique(), plt.colormaps["tab10"].colors, strict=False))
figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained", sharey=True)
for ax, (title, table) in zip(
    axes, {"measured": responses, "predicted": predicted}.items(), strict=True
):
    for name, rows in table.groupby(kind, sort=False):
        ax.scatter(rows["axis 1"], rows["axis 2"], color=colours[name], label=name, alpha=0.8)
    ax.set(title=title, xlabel="axis 1")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("axis 2")
axes[1].legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
plt.show()
