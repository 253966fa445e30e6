"""The main job on real images, small enough to watch from start to end: ``skdnn demo``.

scikit-learn's handwritten digits become image files. A small convolutional network learns to read
half of them; its untrained twin does not. On digits that neither has seen, two questions are
asked of every layer: does its geometry separate the ten digits (representational similarity
analysis), and does it still know the pixels (a ridge regression per pixel)?
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeCV
from sklearn.metrics import make_scorer, r2_score
from sklearn.model_selection import RepeatedStratifiedKFold, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from skdnn import RDM, DNNFeatureExtractor, LayerSearchCV, RSAScorer, load_image_folder
from skdnn.models import Model
from skdnn.plotting import LayerScoresDisplay, RDMDisplay
from skdnn.rsa import category_rdm, compute_rdm

if TYPE_CHECKING:
    from torch import nn

__all__ = ["run_demo"]

LAYERS = ["relu1", "relu2", "relu3", "relu4", "relu5", "fc6"]
IMAGE_SIZE = 32
# What the network is fed: no resizing, no crop, values from -1 to 1.
PREPROCESS: dict[str, Any] = {
    "resize": None,
    "crop": None,
    "interpolation": "bilinear",
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
}
N_SPLITS = 5


def run_demo(
    out: str | os.PathLike[str] = ".",
    *,
    n_images: int = 200,
    n_epochs: int = 15,
    n_repeats: int = 2,
    seed: int = 0,
    verbose: bool = True,
) -> Bunch:
    """Train a small network on handwritten digits and search its layers, from files to pictures.

    Parameters
    ----------
    out : str or path-like, default="."
        Folder for the pictures and, in its subfolder ``skdnn_demo_digits``, the image files.
        Made if missing; files of an earlier demo are replaced.
    n_images : int, default=200
        Held-out images that the layers are compared on: as many of each digit, from 100 to 800.
    n_epochs : int, default=15
        Passes of the training over its half of the digits.
    n_repeats : int, default=2
        How often the images are dealt anew into five folds for the similarity analysis.
    seed : int, default=0
        Decides the split of the digits, the initial weights, the order of training and the folds.
    verbose : bool, default=True
        Whether to print what happens, the table and the files written.

    Returns
    -------
    result : sklearn.utils.Bunch
        With the entries

        scores : pandas.DataFrame
            One row per network and layer; mean and standard deviation over folds of both scores.
        category_folds, pixel_folds : dict of str to pandas.DataFrame
            For ``"trained"`` and ``"untrained"``, scores of shape (n_layers, n_folds).
        accuracy : dict of str to float
            Share of the held-out digits that each network names rightly.
        ceiling : float
            The highest score that any features could reach against the category RDM.
        best_layer : str
            The trained network's layer with the highest category score.
        paths : list of str
            The held-out image files.
        files : list of pathlib.Path
            The pictures.

    Raises
    ------
    ValueError
        If `n_images`, `n_epochs` or `n_repeats` is out of range.

    Examples
    --------
    >>> from skdnn.demo import run_demo
    >>> result = run_demo("results/")  # doctest: +SKIP
    >>> result.best_layer  # doctest: +SKIP
    'relu5'
    """
    _check_settings(n_images, n_epochs, n_repeats)
    start = time.perf_counter()

    def say(text: str) -> None:
        if verbose:
            print(f"[{time.perf_counter() - start:5.1f} s] {text}", flush=True)

    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)

    stimuli = write_digits(folder / "skdnn_demo_digits", n_images=n_images, seed=seed)
    say(f"wrote {len(stimuli.train)} digits to learn from and {n_images} held-out ones "
        f"as PNG files into {stimuli.root}")  # fmt: skip
    networks = {"trained": build_network(seed), "untrained": build_network(seed)}
    train_network(networks["trained"], stimuli.train, n_epochs=n_epochs, seed=seed)
    n_weights = sum(parameter.numel() for parameter in networks["trained"].parameters())
    say(f"trained a network of {n_weights:,} weights for {n_epochs} epochs; its twin starts from "
        "the same weights and stays there")  # fmt: skip

    images = load_image_folder(stimuli.held_out)
    paths, names = list(images.paths), [Path(path).stem for path in images.paths]
    categories = category_rdm(images.target, names=names)
    dealt = RepeatedStratifiedKFold(n_splits=N_SPLITS, n_repeats=n_repeats, random_state=seed)
    folds = list(dealt.split(paths, images.target))
    result = Bunch(category_folds={}, pixel_folds={}, accuracy={}, paths=paths)
    result.ceiling = highest_spearman(categories, [test for _, test in folds])
    rdms = {"same digit, or not": categories}
    with tempfile.TemporaryDirectory() as activations:  # each image goes through once
        for name, network in networks.items():
            model = Model(network, preprocess=PREPROCESS, name=f"digits-{name}")
            extractor = DNNFeatureExtractor(model, device="cpu", cache=activations)
            category = rsa_search(extractor, folds).fit(paths, categories)
            encoding = encoding_search(extractor, folds[:N_SPLITS])
            encoding.fit(paths, stimuli.pixels.loc[names])
            result.category_folds[name] = fold_scores(category)
            result.pixel_folds[name] = fold_scores(encoding)
            # Class folders are named 0 to 9, so targets and output units count alike.
            answers = extractor.extract(paths, ["fc6"])["fc6"].argmax(axis=1)
            result.accuracy[name] = float(np.mean(answers == images.target))
            say(f"searched {len(LAYERS)} layers of the {name} network "
                f"({result.accuracy[name]:.0%} of the held-out digits read rightly)")  # fmt: skip
            best = str(result.category_folds["trained"].mean(axis=1).idxmax())  # the first in turn
            features = extractor.set_params(layer=best).fit_transform(paths)
            rdms[f"{best}, {name} network"] = compute_rdm(pd.DataFrame(features, index=names))

    result.best_layer = best
    result.scores = _summary(result)
    result.files = [
        draw_rdms(rdms, images.target, folder / "skdnn_demo_rdms.png"),
        draw_profile(result, folder / "skdnn_demo_layers.png"),
    ]
    if verbose:
        print(report(result, n_images // N_SPLITS))
    return result


# --- the stimuli -------------------------------------------------------------------------------


def write_digits(root: Path, *, n_images: int, seed: int) -> Bunch:
    """Write half of the digits (to learn from) and `n_images` of the others as PNG files.

    Returns a Bunch: `root` and `held_out` (folders), `train` (list of (path, digit)) and `pixels`
    (DataFrame, one row per held-out image, the 64 grey values as measured).
    """
    digits = load_digits()
    learn, rest = train_test_split(
        np.arange(len(digits.target)), train_size=0.5, stratify=digits.target, random_state=seed
    )
    per_digit = n_images // len(digits.target_names)
    held_out = np.concatenate([rest[digits.target[rest] == k][:per_digit] for k in range(10)])
    # What an earlier demo wrote would be listed too; nothing else is removed.
    for path in root.glob("*/[0-9]/digit[0-9]_[0-9][0-9][0-9][0-9].png"):
        path.unlink()

    def write(folder: str, rows: np.ndarray) -> list[Path]:
        return [_write_digit(root / folder, i, digits.images[i], digits.target[i]) for i in rows]

    train = list(zip(write("train", learn), digits.target[learn], strict=True))
    paths = write("held_out", held_out)
    pixels = pd.DataFrame(
        digits.data[held_out], index=[p.stem for p in paths], columns=digits.feature_names
    )
    return Bunch(root=root, held_out=root / "held_out", train=train, pixels=pixels)


def _write_digit(root: Path, number: int, image: np.ndarray, digit: int) -> Path:
    """Write one 8 x 8 digit (values 0 to 16) as a grey PNG of 32 x 32 pixels."""
    from PIL import Image

    path = root / str(digit) / f"digit{digit}_{number:04d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = Image.fromarray(np.round(image * 255 / 16).astype(np.uint8))
    grey.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC).save(path)
    return path


# --- the networks ------------------------------------------------------------------------------


def build_network(seed: int) -> nn.Sequential:
    """Four convolutional blocks and two linear layers; the same weights for the same seed."""
    import torch
    from torch import nn

    layers: OrderedDict[str, nn.Module] = OrderedDict()
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
        torch.manual_seed(seed)
        n_in = 3
        for block, n_out in enumerate([16, 32, 64, 64], start=1):
            layers[f"conv{block}"] = nn.Conv2d(n_in, n_out, kernel_size=3, padding=1)
            layers[f"relu{block}"] = nn.ReLU()
            layers[f"pool{block}"] = nn.MaxPool2d(2)
            n_in = n_out
        layers["flatten"] = nn.Flatten()
        layers["fc5"] = nn.Linear(n_in * (IMAGE_SIZE // 16) ** 2, 64)
        layers["relu5"] = nn.ReLU()
        layers["fc6"] = nn.Linear(64, 10)
    return nn.Sequential(layers)


def train_network(
    network: nn.Module, examples: list[tuple[Path, int]], *, n_epochs: int, seed: int
) -> None:
    """Teach `network`, in place, to name the digits in the image files `examples`."""
    import torch
    from torch import nn

    inputs = torch.stack([_as_input(path) for path, _ in examples])
    targets = torch.tensor([int(digit) for _, digit in examples])
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    loss_function = nn.CrossEntropyLoss()
    network.train()
    for _ in range(n_epochs):
        for batch in torch.randperm(len(inputs), generator=order).split(64):
            optimizer.zero_grad()
            loss_function(network(inputs[batch]), targets[batch]).backward()
            optimizer.step()
    network.eval()


def _as_input(path: Path) -> Any:
    """Read a PNG file as the (3, 32, 32) tensor that PREPROCESS describes."""
    import torch
    from PIL import Image

    with Image.open(path) as image:
        values = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    mean, std = np.float32(PREPROCESS["mean"]), np.float32(PREPROCESS["std"])
    return torch.from_numpy(((values - mean) / std).transpose(2, 0, 1).copy())


# --- the analyses ------------------------------------------------------------------------------


def rsa_search(extractor: DNNFeatureExtractor, folds: Iterable[Any]) -> LayerSearchCV:
    """Search the layers for the geometry that is nearest to the category RDM."""
    pipe = Pipeline([("dnn", extractor), ("rdm", RDM("correlation")), ("rsa", RSAScorer())])
    return LayerSearchCV(pipe, {"dnn__layer": LAYERS}, cv=folds, refit=False)


def encoding_search(extractor: DNNFeatureExtractor, folds: Iterable[Any]) -> LayerSearchCV:
    """Search the layers for the features that predict the pixels best.

    Ridge regression, its penalty chosen on the training images alone. Pixels count by their
    variance, so that the ones that are always white don't count at all.
    """
    pipe = Pipeline(
        [
            ("dnn", extractor),
            ("center", StandardScaler(with_std=False)),
            ("ridge", RidgeCV(alphas=np.logspace(-6, 6, 13))),
        ]
    )
    explained = make_scorer(r2_score, multioutput="variance_weighted")
    return LayerSearchCV(pipe, {"dnn__layer": LAYERS}, scoring=explained, cv=folds, refit=False)


def fold_scores(search: LayerSearchCV) -> pd.DataFrame:
    """Scores of shape (n_layers, n_folds) of a fitted search over layers."""
    results = search.cv_results_
    layers = pd.Index(results["param_dnn__layer"], name="layer")
    n_folds = range(search.n_splits_)
    return pd.DataFrame({fold: results[f"split{fold}_test_score"] for fold in n_folds}, layers)


def highest_spearman(target: pd.DataFrame, folds: Iterable[np.ndarray]) -> float:
    """Mean over folds of the highest rank correlation that any RDM can have with `target`.

    A target that only says "same" or "different" is full of ties, and no RDM without ties can
    reach 1: the best one orders all pairs rightly.
    """
    highest = []
    for rows in folds:
        square = target.to_numpy()[np.ix_(rows, rows)]
        pairs = np.sort(square[np.triu_indices(len(rows), k=1)])
        highest.append(spearmanr(pairs, np.arange(len(pairs))).statistic)
    return float(np.mean(highest))


# --- table and pictures ------------------------------------------------------------------------


def _summary(result: Bunch) -> pd.DataFrame:
    """One row per network and layer: mean and spread over folds of both scores."""
    columns = {}
    for score in ("category", "pixel"):
        folds = pd.concat(result[f"{score}_folds"], names=["network"])
        plural = "pixels" if score == "pixel" else score
        columns[f"{plural}_mean"] = folds.mean(axis=1)
        columns[f"{plural}_std"] = folds.std(axis=1, ddof=0)
    return pd.DataFrame(columns)


def report(result: Bunch, n_conditions: int) -> str:
    """The table as text, with what to read in it and where the files are."""
    category, pixels = result.category_folds["trained"], result.pixel_folds["trained"]
    lines = [
        "",
        "Every layer, on images the networks never saw (mean ± standard deviation over folds)",
        "",
        f"{'':8}  {'digit category (RSA)':^31}  {'pixels (ridge regression)':^31}",
        f"{'layer':8}  {'trained':^15} {'untrained':^15}  {'trained':^15} {'untrained':^15}",
    ]
    for layer in LAYERS:
        cells = [
            _cell(result.scores.loc[(network, layer)], score)
            for score in ("category", "pixels")
            for network in ("trained", "untrained")
        ]
        mark = " <- best" if layer == result.best_layer else ""
        lines.append(f"{layer:8}  {cells[0]} {cells[1]}  {cells[2]} {cells[3]}{mark}")
    lines += [
        "",
        f"RSA: Spearman correlation of each layer's RDM with 'same digit or not', in "
        f"{category.shape[1]} test folds of",
        f"  {n_conditions} images; no features can score above {result.ceiling:.2f} "
        "(the category RDM has two values only).",
        f"Ridge: share of the pixels' variance predicted in {pixels.shape[1]} test folds.",
        "",
        "Pictures:",
        *(f"  {path.resolve()}" for path in result.files),
    ]
    return "\n".join(lines)


def _cell(row: pd.Series, score: str) -> str:
    return f"{row[f'{score}_mean']:6.3f} ± {row[f'{score}_std']:.3f} "


def draw_rdms(rdms: dict[str, pd.DataFrame], digits: np.ndarray, path: Path) -> Path:
    """Draw RDMs side by side, the images sorted by digit."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(rdms), figsize=(4.6 * len(rdms), 4), layout="constrained")
    for ax, (title, rdm) in zip(axes, rdms.items(), strict=True):
        RDMDisplay.from_rdm(rdm, groups=digits, rank_transform=True, ax=ax, title=title)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def draw_profile(result: Bunch, path: Path) -> Path:
    """Draw both scores over layers, the two networks in the same axes."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.1), layout="constrained")
    for ax, scores, ylabel, title in (
        (
            *(left, result.category_folds, "Spearman correlation with the category RDM"),
            "Does it tell digits apart?",
        ),
        (
            *(right, result.pixel_folds, "share of the pixels' variance predicted (R²)"),
            "Does it know the pixels?",
        ),
    ):
        for name, folds in scores.items():
            LayerScoresDisplay.from_scores(folds.T, ax=ax, label=name, ylabel=ylabel, title=title)
    left.axhline(result.ceiling, color="#555555", linestyle="--", zorder=1)
    left.annotate(
        "highest possible", (0, result.ceiling), xytext=(-8, 4), textcoords="offset points"
    )
    left.set_ylim(min(0.0, left.get_ylim()[0]), max(1.1 * result.ceiling, left.get_ylim()[1]))
    right.set_ylim(min(0.0, right.get_ylim()[0]), 1.05)
    left.get_legend().remove()  # the right one is for both
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _check_settings(n_images: int, n_epochs: int, n_repeats: int) -> None:
    """Refuse settings under which the folds would be empty, or the digits not balanced."""
    if n_images % 10 or not 100 <= n_images <= 800:
        raise ValueError(
            f"n_images={n_images} must be a multiple of 10 from 100 to 800: as many images of "
            "each digit, and at least two of each in every fold."
        )
    for name, value in (("n_epochs", n_epochs), ("n_repeats", n_repeats)):
        if value < 1:
            raise ValueError(f"{name}={value} must be an integer of 1 or more.")
