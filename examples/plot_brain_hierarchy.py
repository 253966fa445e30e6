"""
Do the layers of a network follow the order of brain areas?
===========================================================

The brain hierarchy score of Nonaka et al. (2021) asks whether early layers of a network are most
like early visual areas, and late layers like late ones. Here the truth is known, because the
brain is made up: its areas are layers of a small network that was trained on handwritten digits,
seen through noisy voxels. The network under test has the same architecture but was trained from
other initial weights, so that its units are not those of the brain.
"""

import os
from itertools import permutations

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from skdnn import DNNFeatureExtractor
from skdnn.encoding import BrainHierarchyScore, brain_hierarchy_score, pool_subjects
from skdnn.models import Model

quick = os.environ.get("SKDNN_EXAMPLE_QUICK") == "1"

# %%
# Two networks
# ------------
# The digits of scikit-learn have 8 x 8 pixels; here they are images of 32 x 32. A thousand of them
# train the networks, and those of the study come from the rest.

digits = load_digits()
grey = np.kron(np.rint(digits.images * 255 / 16).astype(np.uint8), np.ones((1, 4, 4), np.uint8))
order = np.random.default_rng(0).permutation(len(grey))
images = np.repeat(grey[order, :, :, None], 3, axis=3)
labels = digits.target[order]
areas = ["V1", "V2", "V3", "V4", "HVC"]
layers = ["relu1", "relu2", "relu3", "relu4", "relu5"]
preprocess = {"resize": None, "crop": None, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


def train_network(seed: int, n_epochs: int = 2 if quick else 8) -> nn.Sequential:
    """Four convolutions and a linear layer that name digits."""
    torch.manual_seed(seed)
    network = nn.Sequential()
    n_in = 3
    for block, n_out in enumerate([8, 16, 32, 64], start=1):
        network.add_module(f"conv{block}", nn.Conv2d(n_in, n_out, 3, padding=1))
        network.add_module(f"relu{block}", nn.ReLU())
        network.add_module(f"pool{block}", nn.MaxPool2d(2))
        n_in = n_out
    network.add_module("flatten", nn.Flatten())
    network.add_module("fc5", nn.Linear(4 * n_in, 64))
    network.add_module("relu5", nn.ReLU())
    network.add_module("fc6", nn.Linear(64, 10))
    inputs = torch.from_numpy(images[:1000].transpose(0, 3, 1, 2) / 127.5 - 1).float()
    targets = torch.from_numpy(labels[:1000]).long()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for _ in range(n_epochs):
        for batch in torch.randperm(len(inputs)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs[batch]), targets[batch]).backward()
            optimizer.step()
    return network.eval()


brain, tested = (
    DNNFeatureExtractor(Model(train_network(seed), preprocess=preprocess, name=name), device="cpu")
    for seed, name in enumerate(["brain", "tested"])
)

# %%
# Three subjects in a scanner
# ---------------------------
# Each voxel is a random mixture of twenty units of its area's layer. Every trial adds noise whose
# standard deviation is that of the signal. Training images are shown three times, test images
# eight times, all in random order.

n_subjects, n_voxels = (2, 40) if quick else (3, 80)
train, test = (
    (images[1000:1100], images[1100:1160]) if quick else (images[1000:1250], images[1250:1400])
)
rng = np.random.default_rng(1)


def respond(features: np.ndarray, weights: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Responses of some voxels in some trials."""
    signal = features @ weights
    signal = (signal - signal.mean(axis=0)) / signal.std(axis=0)
    return signal[shown] + rng.normal(size=(len(shown), weights.shape[1]))


activity = brain.extract(np.concatenate([train, test]), layers, flatten=True)
stimuli, test_stimuli, y, y_test = {}, {}, {}, {}
for subject in [f"S{number + 1}" for number in range(n_subjects)]:
    stimuli[subject] = rng.permutation(np.repeat(np.arange(len(train)), 3))
    test_stimuli[subject] = rng.permutation(np.repeat(np.arange(len(test)), 8))
    y[subject], y_test[subject] = {}, {}
    for area, layer in zip(areas, layers, strict=True):
        units = activity[layer]
        alive = np.flatnonzero(units.std(axis=0) > 0)
        weights = np.zeros((units.shape[1], n_voxels))
        for voxel in range(n_voxels):
            weights[rng.choice(alive, 20), voxel] = rng.normal(size=20)
        trials = np.concatenate([stimuli[subject], len(train) + test_stimuli[subject]])
        both = respond(units, weights, trials)
        y[subject][area], y_test[subject][area] = np.split(both, [len(stimuli[subject])])

# %%
# The study
# ---------
# Decoders from each area to units of each layer, encoders from each layer to voxels of each area,
# trained and tested. With ``folder=`` the results would be kept, and a study that was stopped
# would go on from there; ``n_jobs=`` shares the work among processes.

study = BrainHierarchyScore(
    tested, layers, n_units=60 if quick else 150, test="t", n_boot=50 if quick else 1000
)
study.fit(train, y, stimuli=stimuli, X_test=test, y_test=y_test, test_stimuli=test_stimuli)
low, high = study.interval_
print(f"brain hierarchy score {study.score_:.2f} (95% interval {low:.2f} to {high:.2f})")
print(f"decoding {study.decoding_score_:.2f}, encoding {study.encoding_score_:.2f}")
print(study.top_table_.query("direction == 'decoding'").pivot_table(
    "proportion", "level", "best", sort=False).round(2))  # fmt: skip

# %%
# For each layer, the areas from which its units are decoded best; for each area, the layers from
# which its voxels are predicted best. In a perfect hierarchy each bar would have one colour. Here
# neighbouring layers have much in common, and in the noise an area next to the true one often
# wins; that is why the score is well below 1 although the hierarchies are the same. (AlexNet and
# the human visual cortex reached .42 in the paper.)

figure, axes = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
for ax, direction in zip(axes, ["decoding", "encoding"], strict=True):
    study.plot(direction, ax=ax)

# %%
# All other orders
# ----------------
# Would the score be high in any order of the areas? The accuracies stay what they are; only the
# order changes, and there are 120 of them. Reversed orders have the same score with the other
# sign, so that their mean is zero by construction. What says something is the spread, and where
# the true order stands in it. Orders near the true one, with two neighbours swapped, do well too.


def score_of_order(order: list[str]) -> float:
    """The mean of both scores, had the areas this order."""
    decoding = [
        [np.stack([study.decoding_accuracy_[layer, subject, area] for area in order])
         for layer in layers]
        for subject in study.subjects_
    ]  # fmt: skip
    encoding = [
        [np.stack([study.encoding_accuracy_[layer, subject, area] for layer in layers])
         for area in order]
        for subject in study.subjects_
    ]  # fmt: skip
    scores = [
        brain_hierarchy_score(pool_subjects(each), n_samples=len(test), test="t")
        for each in (decoding, encoding)
    ]
    return float(np.mean(scores))


shuffled = np.array([score_of_order(list(order)) for order in permutations(areas)])
true_score = score_of_order(areas)
as_high = int((shuffled >= true_score - 1e-12).sum())
print(f"all orders: mean {shuffled.mean():.2f}, standard deviation {shuffled.std():.2f}")
print(f"{as_high} of {len(shuffled)} orders score as high as the true one")

figure, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
ax.hist(shuffled, bins=np.linspace(-1, 1, 41), color="#0072B2", label="all orders of the areas")
ax.axvline(true_score, color="#D55E00", label=f"true order: {true_score:.2f}")
ax.set(xlabel="brain hierarchy score", ylabel="number of orders")
ax.legend(frameon=False, loc="upper left")
plt.show()
