"""
A network of one's own: Gabor filters as a model of V1
======================================================

Any ``torch.nn.Module`` can take the place of a network's name. This one was not trained: it is a
bank of Gabor filters, the textbook model of simple and complex cells in primary visual cortex. Its
layers are listed, captured and pooled, and compared with the V1 model that was published with the
92 images of Kriegeskorte et al. (2008).
"""

import os

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.pipeline import Pipeline
from torch import nn

from skdnn import (
    RDM,
    DNNFeatureExtractor,
    LayerSearchCV,
    RSAScorer,
    fetch_kriegeskorte92,
    list_layers,
)
from skdnn.models import Model
from skdnn.plotting import LayerScoresDisplay, RDMDisplay

quick = os.environ.get("SKDNN_EXAMPLE_QUICK") == "1"

# %%
# The network
# -----------
# Simple cells come in pairs whose filters are a quarter of a wave apart; the energy of a pair is a
# complex cell; and cells at one place share their gain. What matters for skdnn is only that every
# step that one may want to look at is a module with a name.


def gabor_bank(wavelengths: list[float], n_orientations: int, phase: float) -> torch.Tensor:
    """Filters of shape (n_wavelengths * n_orientations, 1, 25, 25), zero mean and unit norm."""
    y, x = np.mgrid[-12:13, -12:13]
    filters = []
    for wavelength in wavelengths:
        envelope = np.exp(-(x**2 + y**2) / (2 * (0.5 * wavelength) ** 2))
        for angle in np.arange(n_orientations) * np.pi / n_orientations:
            along = x * np.cos(angle) + y * np.sin(angle)
            wave = envelope * np.cos(2 * np.pi * along / wavelength + phase)
            wave -= envelope * wave.sum() / envelope.sum()
            filters.append(wave / np.linalg.norm(wave))
    return torch.tensor(np.array(filters)[:, None], dtype=torch.float32)


class Energy(nn.Module):
    """Length of the pair (even, odd)."""

    def forward(self, even: torch.Tensor, odd: torch.Tensor) -> torch.Tensor:
        return torch.sqrt(even**2 + odd**2)


class SharedGain(nn.Module):
    """Divide each cell by the mean of all cells at its place."""

    def forward(self, energy: torch.Tensor) -> torch.Tensor:
        return energy / (0.1 + energy.mean(dim=1, keepdim=True))


class GaborV1(nn.Module):
    def __init__(self, wavelengths: list[float], n_orientations: int) -> None:
        super().__init__()
        n_cells = len(wavelengths) * n_orientations
        self.luminance = nn.Conv2d(3, 1, kernel_size=1, bias=False)
        self.even = nn.Conv2d(1, n_cells, kernel_size=25, stride=6, bias=False)
        self.odd = nn.Conv2d(1, n_cells, kernel_size=25, stride=6, bias=False)
        self.energy = Energy()
        self.gain = SharedGain()
        with torch.no_grad():
            self.luminance.weight.copy_(torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1))
            self.even.weight.copy_(gabor_bank(wavelengths, n_orientations, phase=0.0))
            self.odd.weight.copy_(gabor_bank(wavelengths, n_orientations, phase=-np.pi / 2))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        grey = self.luminance(images)
        return self.gain(self.energy(self.even(grey), self.odd(grey)))


network = GaborV1(wavelengths=[5.0, 9.0, 16.0], n_orientations=8)

# %%
# Its preprocessing
# -----------------
# A network of one's own has no published preprocessing; without a word from you, it gets that of
# ImageNet's networks (resize to 256, cut out the central 224). Here the whole image is wanted, in
# the size in which these images are stored, with values from -1 to 1.
#
# ``Model`` holds the network, its preprocessing and a name together, and keeps scikit-learn from
# copying the network with every clone.

v1 = Model(
    network,
    preprocess={"resize": 175, "crop": None, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
    name="gabor-v1",
)
print(list_layers(v1))

# %%
# Several layers in one pass
# --------------------------
# ``extract`` gives every layer in its own shape: images, channels, height, width.

data = fetch_kriegeskorte92()
features = DNNFeatureExtractor(v1).extract(data.paths[:4], ["even", "energy", "gain"])
for layer, values in features.items():
    print(f"{layer:8} {values.shape}")

# %%
# ``pooling="mean"`` averages each cell over the image: how much there is of each orientation and
# wavelength, wherever it is.

pooled = DNNFeatureExtractor(v1, layer="gain", pooling="mean").fit_transform(data.paths)
print("pooled  ", pooled.shape)

# %%
# Which layer, and which dissimilarity?
# -------------------------------------
# Layer and metric are both parameters of the pipeline: one grid search asks for both. Correlation
# distance forgets how strong a pattern is, Euclidean distance does not; which of them an RDM was
# made with can matter more than the layer.
#
# The size of the images (their own, rather than 96 or 48 pixels) and Euclidean distance were found
# by trying some fifty settings on these same images, so the highest score is a kind one.

kind = data.category["category"]
cv = RepeatedStratifiedKFold(
    n_splits=2 if quick else 4, n_repeats=1 if quick else 2, random_state=0
)
pipeline = Pipeline(
    [("dnn", DNNFeatureExtractor(v1)), ("rdm", RDM()), ("rsa", RSAScorer("spearman"))]
)
grid = {"dnn__layer": ["even", "energy", "gain"], "rdm__metric": ["correlation", "euclidean"]}
folds = list(cv.split(data.paths, kind))
search = LayerSearchCV(pipeline, grid, cv=folds).fit(data.paths, data.models["V1"])
results = search.cv_results_
scores: dict[str, dict[str, np.ndarray]] = {metric: {} for metric in grid["rdm__metric"]}
for row, params in enumerate(results["params"]):
    by_fold = [results[f"split{fold}_test_score"][row] for fold in range(len(folds))]
    scores[params["rdm__metric"]][params["dnn__layer"]] = np.array(by_fold)
print(f"nearest to the published V1 model: {search.best_params_}, {search.best_score_:.2f}")

# %%
# The pictures
# ------------

figure, axes = plt.subplots(3, 8, figsize=(8, 3.3), layout="constrained")
for ax, weight in zip(axes.flat, network.even.weight[:, 0], strict=True):
    limit = float(weight.detach().abs().max())
    ax.imshow(weight.detach().numpy(), cmap="gray", vmin=-limit, vmax=limit)
    ax.set_axis_off()
figure.suptitle("The even filters: three wavelengths, eight orientations")

# %%
# Small dots are the test folds: how much a score depends on which images are in it.

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for metric, by_layer in scores.items():
    LayerScoresDisplay.from_scores(
        by_layer,
        ax=ax,
        label=metric,
        ylabel="Spearman correlation with\nthe published V1 model",
        title=f"Layers and dissimilarities of the filter bank, {len(folds)} test folds",
    )

# %%
# The best layer's RDM beside the published one.

figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
rdms = {
    "the filter bank": search.best_estimator_[:-1].transform(data.paths),
    "published V1 model": data.models["V1"],
}
for ax, (title, rdm) in zip(axes, rdms.items(), strict=True):
    RDMDisplay.from_rdm(rdm, groups=list(kind), rank_transform=True, ax=ax, title=title)
plt.show()
