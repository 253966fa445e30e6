"""Brain hierarchy scores of accuracies that are there already."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skdnn.cli._output import note, show_table, write_table
from skdnn.cli._places import is_picture, save_figure
from skdnn.cli._reading import reading

_KINDS = ("decoding", "encoding")


def run(arguments: argparse.Namespace) -> Callable[[Sequence[Path]], None]:
    """Rank networks; what is returned prints and writes."""
    from skdnn.formats import read_settings

    root = Path(arguments.accuracies)
    folders = _folders(root, arguments.direction)
    place = arguments.settings or root / "settings.json"
    with reading(place):
        settings = read_settings(place)
    networks = arguments.networks or list(settings["dnns"])
    unknown = [name for name in networks if name not in settings["dnns"]]
    if unknown:
        raise ValueError(
            f"--networks: {', '.join(unknown)} not in the settings, which list "
            f"{', '.join(settings['dnns'])}."
        )
    if arguments.dry_run:
        return lambda outs: _show_plan(networks, folders, settings, arguments)
    rows = []
    for name in networks:
        note(name, arguments)
        scores = {kind: _score(folders[kind], kind, name, settings, arguments) for kind in folders}
        rows.append({"network": name, **_flat(scores)})
    table = _ranked(pd.DataFrame(rows), list(folders))
    return lambda outs: _finish(table, list(folders), outs, arguments)


def _folders(root: Path, direction: str) -> dict[str, Path]:
    """The folder of each kind of accuracies."""
    if not root.is_dir():
        raise FileNotFoundError(f"--accuracies: there is no folder {root}.")
    kinds = _KINDS if direction == "both" else (direction,)
    found = {kind: root / kind for kind in kinds if (root / kind).is_dir()}
    if not found:
        raise FileNotFoundError(f"--accuracies: {root} holds no folder {' or '.join(kinds)}.")
    return found


def _score(
    folder: Path, kind: str, network: str, settings: Any, arguments: argparse.Namespace
) -> dict[str, float]:
    """The score of a network, with its interval over subjects and units."""
    from skdnn.encoding import (
        bootstrap_hierarchy_score,
        brain_hierarchy_score,
        hierarchy_permutation_test,
    )
    from skdnn.formats import as_hierarchy, read_accuracies

    accuracies = read_accuracies(folder, settings, networks=[network])[network]
    levels = as_hierarchy(accuracies, kind, random_state=arguments.seed)  # type: ignore[arg-type]
    rule: dict[str, Any] = {
        "n_samples": arguments.n_test_images,
        "alpha": arguments.alpha,
        "test": arguments.test,
        "adjust": arguments.adjust,
    }
    select = kind == "decoding" and arguments.random_layers
    n_layers = arguments.random_layers if select and select < len(levels) else None
    score: Any = brain_hierarchy_score(
        levels, n_layers=n_layers, random_state=arguments.seed, **rule
    )
    found = {"score": float(score)}
    if arguments.permutations:
        tested = hierarchy_permutation_test(
            levels, n_permutations=arguments.permutations, random_state=arguments.seed, **rule
        )
        found |= {"p": tested.p_value, "expected": tested.expected}
    if not arguments.bootstrap or n_layers:
        return found
    by_subject = [
        as_hierarchy(
            {layer: {subject: each[subject]} for layer, each in accuracies.items()},
            kind,  # type: ignore[arg-type]
            random_state=arguments.seed,
        )
        for subject in settings["subjects"]
    ]
    boot = bootstrap_hierarchy_score(
        by_subject,
        n_boot=arguments.bootstrap,
        shared_units=kind == "decoding",
        random_state=arguments.seed,
        **rule,
    )
    return {**found, "low": boot.low, "high": boot.high}


def _flat(scores: dict[str, dict[str, float]]) -> dict[str, float]:
    return {
        kind if name == "score" else f"{kind}_{name}": value
        for kind, found in scores.items()
        for name, value in found.items()
    }


def _ranked(table: pd.DataFrame, kinds: list[str]) -> pd.DataFrame:
    table["score"] = table[kinds].mean(axis=1, skipna=False)
    table = table.sort_values("score", ascending=False, ignore_index=True)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    return table


def _show_plan(
    networks: list[str], folders: dict[str, Path], settings: Any, arguments: argparse.Namespace
) -> None:
    rows = [
        {
            "network": name,
            "layers": len(settings["dnns"][name]["layers"]),
            "subjects": len(settings["subjects"]),
            "areas": len(settings["rois"]),
            "directions": " ".join(folders),
        }
        for name in networks
    ]
    show_table(pd.DataFrame(rows), as_json=arguments.json)


def _finish(
    table: pd.DataFrame, kinds: list[str], outs: Sequence[Path], arguments: argparse.Namespace
) -> None:
    shown = table.astype(object).where(table.notna(), None)
    if not arguments.json:
        shown = table.map(lambda value: f"{value:.3f}" if isinstance(value, float) else value)
    show_table(shown, as_json=arguments.json)
    for out in outs:
        if is_picture(out):
            save_figure(_drawn(table, kinds), out)
        else:
            write_table(table, out)


def _drawn(table: pd.DataFrame, kinds: list[str]) -> Any:
    """Bars of each score, networks in the order of the table."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1,
        len(kinds),
        figsize=(3.5 * len(kinds) + 2, 0.25 * len(table) + 1.5),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, kind in zip(axes[0], kinds, strict=True):
        ax.barh(table["network"], table[kind], color="0.4")
        if f"{kind}_low" in table:
            ax.hlines(table["network"], table[f"{kind}_low"], table[f"{kind}_high"], color="black")
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set(title=kind, xlabel="brain hierarchy score")
    axes[0, 0].invert_yaxis()
    return figure
