"""Seven networks against human IT and behaviour, after figure 2 of Muttenthaler & Hebart (2021).

Representational dissimilarity matrices (RDMs) of AlexNet, VGG-16 and VGG-19 (with batch
normalisation), ResNet-50, CORnet-S and CLIP's two image encoders, trained and with random
weights, for the 92 images of Kriegeskorte et al. (2008); their correlations with the RDMs of human
inferior temporal cortex (fMRI, four subjects) and of similarity judgements (16 people).

    python figure_two.py --out figure_two        # published weights are downloaded
    python figure_two.py --weights none          # random weights only, without a network
    python figure_two.py --networks AlexNet CORnet-S
    python figure_two.py --networks EfficientNet-Lite0  # trained, without a connection

Layers are those before the last linear layer, and for CLIP the embedding of the image.

Muttenthaler L, Hebart MN (2021). THINGSvision: A Python toolbox for streamlining the extraction of
activations from deep neural networks. Frontiers in Neuroinformatics 15:679838.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from skdnn.datasets import fetch_kriegeskorte92
from skdnn.model_comparison import ModelComparison, compare_models
from skdnn.plotting import ModelComparisonDisplay, RDMDisplay, SimilarityDisplay

NETWORKS = {  # name in the pictures: name of the network, layer
    "AlexNet": ("alexnet", "penultimate"),
    "VGG-16 bn": ("vgg16_bn", "penultimate"),
    "VGG-19 bn": ("vgg19_bn", "penultimate"),
    "ResNet-50": ("resnet50", "penultimate"),
    "CORnet-S": ("cornet-s", "penultimate"),
    "CLIP-RN": ("clip-RN", "output"),
    "CLIP-ViT": ("clip-ViT", "output"),
}
PUBLISHED = list(NETWORKS)  # those of the article
NETWORKS["EfficientNet-Lite0"] = ("efficientnet-lite0", "penultimate")
COLOURS = {"trained": "#0072B2", "random": "#BBBBBB"}


def main(arguments: Sequence[str] | None = None) -> pd.DataFrame:
    """Compare, print, and save the pictures."""
    options = parse(arguments)
    data = fetch_kriegeskorte92(options.data, images_dir=options.images_dir)
    rows = chosen_rows(len(data.paths), options.images)
    kinds = {"random": None}
    if options.weights == "default":
        kinds = {"trained": "default", **kinds}
    found = {kind: compare(kind, weights, data, rows, options) for kind, weights in kinds.items()}
    table = pd.concat(
        {kind: result.reference_scores.droplevel("layer") for kind, result in found.items()},
        names=["weights"],
    )
    print(table.xs("score", axis=1, level="statistic").round(3).to_string())
    options.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(options.out / "scores.csv")
    for kind, result in found.items():
        draw_rdms(result, kind, data, rows, options.out)
        draw_similarities(result, kind, options.out)
    draw_scores(table, options.comparison, options.out)
    print(f"Pictures and scores.csv are in {options.out}.")
    return table


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--weights",
        choices=("default", "none"),
        default="default",
        help="'default' compares published and random weights, 'none' random ones only",
    )
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=PUBLISHED)
    parser.add_argument("--out", type=Path, default=Path("figure_two"), help="folder of results")
    parser.add_argument("--cache", type=Path, help="folder that keeps activations")
    parser.add_argument("--data", type=Path, help="folder of data sets; see fetch_kriegeskorte92")
    parser.add_argument("--images-dir", type=Path, help="where the images are written")
    parser.add_argument("--images", type=int, help="so many of the 92 images, at equal distances")
    parser.add_argument("--metric", default="correlation")
    parser.add_argument("--comparison", default="pearson")
    parser.add_argument("--seed", type=int, default=0, help="of the random weights")
    return parser.parse_args(arguments)


def chosen_rows(n: int, wanted: int | None) -> np.ndarray:
    """Which images take part."""
    return np.arange(n) if wanted is None else np.linspace(0, n - 1, wanted).round().astype(int)


def compare(
    kind: str, weights: str | None, data: Bunch, rows: np.ndarray, options: argparse.Namespace
) -> ModelComparison:
    """All networks with one kind of weights against the two references."""
    print(f"Networks with {kind} weights")
    chosen = {name: NETWORKS[name] for name in options.networks}
    return compare_models(
        {name: model for name, (model, _) in chosen.items()},
        {name: layer for name, (_, layer) in chosen.items()},
        [data.paths[row] for row in rows],
        metric=options.metric,
        comparison=options.comparison,
        references={"human IT": data.human_it_subjects, "behaviour": data.behaviour},
        weights=weights,
        cache=options.cache,
        random_state=options.seed,
        verbose=1,
    )


def draw_rdms(
    result: ModelComparison, kind: str, data: Bunch, rows: np.ndarray, out: Path
) -> None:
    """RDMs of brain, behaviour and networks: categories, and within them clusters of human IT."""
    labels = result.rdms.index
    judged = data.behaviour.T.groupby(level="condition", sort=False).mean().T
    rdms = {"human IT": data.human_it.loc[labels, labels], "behaviour": judged.loc[labels, labels]}
    for model, layer in result.index:
        rdms[model] = result.rdms[model][layer]
    categories = data.category["category"].iloc[rows].tolist()
    display = RDMDisplay.from_rdms(
        rdms, groups=categories, order="cluster", rank_transform=True, n_columns=3
    )
    display.figure_.suptitle(f"networks with {kind} weights")
    display.save(out / f"rdms_{kind}.png", dpi=150)


def draw_similarities(result: ModelComparison, kind: str, out: Path) -> None:
    """Similarity of the networks to each other."""
    if len(result.index) < 2:
        return
    frame = result.to_frame().droplevel("layer").droplevel("layer", axis=1)
    SimilarityDisplay.from_frame(
        frame,
        order="cluster",
        dendrogram=len(frame) > 2,
        label=f"similarity of RDMs ({result.comparison})",
        title=f"{kind} weights",
    ).save(out / f"similarities_{kind}.png", dpi=150)


def draw_scores(table: pd.DataFrame, comparison: str, out: Path) -> None:
    """Bars of each network, trained beside random, with the noise ceilings."""
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(table.columns.get_level_values("reference")))
    kinds = " and ".join(dict.fromkeys(table.index.get_level_values("weights")))
    width = max(6.0, 0.75 * len(table) + 3)
    figure, axes = plt.subplots(
        len(names), 1, figsize=(width, 4.2 * len(names)), layout="constrained"
    )
    for ax, name in zip(axes, names, strict=True):
        bars, colours = bars_of(table[name]["score"])
        ceiling = tuple(table[name][["lower", "upper"]].iloc[0])
        ModelComparisonDisplay.from_frame(
            bars,
            ceiling=ceiling,
            ax=ax,
            horizontal=False,
            colours=colours,
            title=f"{name}, {kinds} weights",
            ylabel=f"similarity of RDMs ({comparison})",
        )
    figure.savefig(out / "scores.png", dpi=150)
    plt.close(figure)


def bars_of(scores: pd.Series) -> tuple[pd.DataFrame, Mapping[str, str]]:
    """A row for each bar, the kinds of weights of a network beside each other, and its colour."""
    models = list(dict.fromkeys(scores.index.get_level_values("model")))
    kinds = list(dict.fromkeys(scores.index.get_level_values("weights")))
    keys = [(kind, model) for model in models for kind in kinds]
    told = len(kinds) == 1  # by the title
    texts = [model if told or kind == "trained" else f"{model} {kind}" for kind, model in keys]
    bars = pd.DataFrame({"model": texts, "score": [scores[key] for key in keys]})
    return bars, {text: COLOURS[kind] for text, (kind, _) in zip(texts, keys, strict=True)}


if __name__ == "__main__":
    main()
