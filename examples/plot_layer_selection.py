"""
Which layer is most like inferior temporal cortex?
==================================================

The 92 object images of Kriegeskorte et al. (2008) go through AlexNet. For each of its layers, the
representational dissimilarity matrix (RDM) is compared with that of human inferior temporal (IT)
cortex. The choice of the layer is a grid search over cross-validated scores, and monkey IT, on
the same folds, is the yardstick.
"""

import os

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.pipeline import Pipeline

from skdnn import RDM, DNNFeatureExtractor, LayerSearchCV, RSAScorer, fetch_kriegeskorte92
from skdnn.plotting import LayerScoresDisplay, RDMDisplay
from skdnn.rsa import compare_rdms, compute_rdm

# %%
# The data
# --------
# ``data.paths`` are image files. ``data.human_it`` is a labelled RDM: the names in its index and
# columns are those of the images, so that nothing can get out of step unnoticed.

data = fetch_kriegeskorte92()
print(data.category.head())
print(data.human_it.iloc[:3, :3].round(2))

# %%
# The network
# -----------
# Published weights are downloaded once. Without a connection, random weights show how everything
# works; they say little about the brain. ``SKDNN_EXAMPLE_QUICK=1`` is for a short trial.

quick = os.environ.get("SKDNN_EXAMPLE_QUICK") == "1"
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
# The folds
# ---------
# The images are sorted by category, and ``cv=4`` would not shuffle them: each fold would hold a
# category or two. Here every fold has the same share of bodies, faces and things, and the images
# are dealt anew several times.

kind = data.category["category"]
cv = RepeatedStratifiedKFold(
    n_splits=2 if quick else 4, n_repeats=1 if quick else 5, random_state=0
)
folds = list(cv.split(data.paths, kind))
print(f"{len(folds)} test folds of {len(folds[0][1])} images")

# %%
# The search
# ----------

pipeline = Pipeline(
    [
        ("dnn", DNNFeatureExtractor("alexnet", weights=weights)),
        ("rdm", RDM("correlation")),
        ("rsa", RSAScorer("spearman")),
    ]
)
search = LayerSearchCV(pipeline, {"dnn__layer": list(layers)}, cv=folds)
search.fit(data.paths, data.human_it)
best = search.best_params_["dnn__layer"]
print(f"nearest to human IT: {layers[best]} ({best}), Spearman {search.best_score_:.3f}")

# %%
# The noise, and a yardstick
# --------------------------
# One number per layer would hide how much it depends on the images that happen to be in a fold.
# The same folds, scored for monkey IT instead of a network, show what a brain of another species
# reaches.

results = search.cv_results_
scores = {
    name: np.array([results[f"split{fold}_test_score"][row] for fold in range(len(folds))])
    for row, name in enumerate(layers[layer] for layer in results["param_dnn__layer"])
}
human, monkey = data.human_it, data.monkey_it
yardstick = [
    compare_rdms(monkey.iloc[test, test], human.iloc[test, test], "spearman") for _, test in folds
]
print(f"monkey IT: {np.mean(yardstick):.3f} ± {np.std(yardstick, ddof=1):.3f} over folds")

# %%
# The pictures
# ------------

display = LayerScoresDisplay.from_scores(
    scores,
    reference={"monkey IT": yardstick},
    ylabel="Spearman correlation with human IT",
    title=f"AlexNet, {'published' if weights else 'random'} weights: {len(folds)} test folds",
)

# %%
# The RDMs themselves, ranked for comparison, with the images in the order of their categories.

figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
features = DNNFeatureExtractor("alexnet", best, weights=weights).fit_transform(data.paths)
rdms = {f"AlexNet, {layers[best]}": compute_rdm(features, "correlation"), "human IT": human}
for ax, (title, rdm) in zip(axes, rdms.items(), strict=True):
    RDMDisplay.from_rdm(rdm, groups=list(kind), rank_transform=True, ax=ax, title=title)
plt.show()
