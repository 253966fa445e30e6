"""Rank networks by their brain hierarchy score, as figure 3 of Nonaka et al. (2021).

The score says whether the order of a network's layers is that of the visual areas V1, V2, V3, V4
and higher visual cortex (HVC). Decoding: which area predicts each unit best? Encoding: which
layer predicts each voxel best? Here both are computed from accuracies: those that were published
for 29 networks, or those in a folder of the same layout.

    python brain_hierarchy_ranking.py                      # fetches the published accuracies
    python brain_hierarchy_ranking.py --accuracies DIR     # DIR/decoding, DIR/encoding

Nonaka S, Majima K, Aoki SC, Kamitani Y (2021). Brain hierarchy score: Which deep neural networks
are hierarchically brain-like? iScience 24(9):103013.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from skdnn.datasets import fetch_brain_hierarchy
from skdnn.encoding import brain_hierarchy_score
from skdnn.formats import as_hierarchy, read_accuracies, read_settings

KINDS = ("decoding", "encoding")
N_IMAGES = 50  # test images behind each accuracy


def main(arguments: Sequence[str] | None = None) -> pd.DataFrame:
    """Rank, print, and save the picture."""
    options = parse(arguments)
    folders, settings = find(options.accuracies, options.settings)
    table = rank(folders, settings, options)
    print(table.to_string(float_format="{:.3f}".format))
    draw(table, options.figure)
    print(f"The picture is in {options.figure}.")
    if options.table:
        table.to_csv(options.table)
    return table


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--accuracies",
        type=Path,
        help="folder with 'decoding' and 'encoding', or one of them, and settings.json; "
        "without it, the published accuracies are fetched",
    )
    parser.add_argument("--settings", type=Path, help="another settings.json")
    parser.add_argument("--networks", nargs="+", help="only these of the settings' networks")
    parser.add_argument("--test", choices=("published", "t"), default="published")
    parser.add_argument("--alpha", type=float, default=0.05)
    parser.add_argument("--images", type=int, default=N_IMAGES, help="number of test images")
    parser.add_argument(
        "--layers",
        type=int,
        default=5,
        help="layers in each of 100 random selections, for decoding; 0 takes all layers once",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", type=Path, default=Path("brain_hierarchy_ranking.png"))
    parser.add_argument("--table", type=Path, help="also write the table, as CSV")
    return parser.parse_args(arguments)


def find(accuracies: Path | None, settings: Path | None) -> tuple[dict[str, Path], dict]:
    """The folder of each kind of accuracies, and the settings that list networks and layers."""
    if accuracies is None:
        fetched = {kind: fetch_brain_hierarchy(kind) for kind in KINDS}
        folders = {kind: data.folder for kind, data in fetched.items()}
        return folders, read_settings(settings or fetched["decoding"].settings)
    folders = {kind: accuracies / kind for kind in KINDS if (accuracies / kind).is_dir()}
    if not folders:
        raise SystemExit(f"There is neither 'decoding' nor 'encoding' in {accuracies}.")
    return folders, read_settings(settings or accuracies / "settings.json")


def rank(folders: dict[str, Path], settings: dict, options: argparse.Namespace) -> pd.DataFrame:
    """Scores of all networks, the highest first; one network at a time is in memory."""
    rows = {
        network: {
            kind: score(folder, kind, network, settings, options)
            for kind, folder in folders.items()
        }
        for network in options.networks or settings["dnns"]
    }
    table = pd.DataFrame.from_dict(rows, orient="index")
    if len(folders) == len(KINDS):
        table["average"] = table.mean(axis=1, skipna=False)
    table = table.sort_values(table.columns[-1], ascending=False)
    table.index.name = "network"
    table.insert(0, "rank", range(1, len(table) + 1))
    return table


def score(
    folder: Path, kind: str, network: str, settings: dict, options: argparse.Namespace
) -> float:
    """The score of one network by decoding, or by encoding."""
    accuracies = read_accuracies(folder, settings, networks=[network])[network]
    levels = as_hierarchy(accuracies, kind, random_state=options.seed)
    select = kind == "decoding" and 0 < options.layers < len(levels)
    return brain_hierarchy_score(
        levels,
        n_samples=options.images,
        alpha=options.alpha,
        test=options.test,
        n_layers=options.layers if select else None,
        random_state=options.seed,
    )


def draw(table: pd.DataFrame, path: Path) -> None:
    """Bars of each score, networks in the order of the table."""
    import matplotlib.pyplot as plt

    scores = table.drop(columns="rank")
    figure, axes = plt.subplots(
        1,
        scores.shape[1],
        figsize=(3 * scores.shape[1] + 2, 0.25 * len(scores) + 1.5),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, kind in zip(axes[0], scores, strict=True):
        ax.barh(scores.index, scores[kind], color="0.4")
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set(title=kind, xlabel="brain hierarchy score")
    axes[0, 0].invert_yaxis()
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
