"""Brain hierarchy scores of accuracies that are there already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skdnn.cli._frame import Arguments
from skdnn.cli._output import note, show_table
from skdnn.cli._places import write_all
from skdnn.cli._reading import reading

_KINDS = ("decoding", "encoding")


def run(outs: Sequence[Path], arguments: Arguments) -> None:
    """Rank networks, and print and write what is found."""
    from skdnn.formats import read_settings, score_accuracies

    root = Path(arguments.accuracies)
    if not root.is_dir():
        raise FileNotFoundError(f"--accuracies: there is no folder {root}.")
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
    kinds = [kind for kind in _KINDS if arguments.direction in ("both", kind)]
    folders = [kind for kind in kinds if (root / kind).is_dir()]
    if not folders:
        raise FileNotFoundError(f"--accuracies: {root} holds no folder {' or '.join(kinds)}.")
    if arguments.dry_run:
        return _show_plan(networks, folders, settings, arguments)
    tables = []
    for name in networks:
        note(name, arguments)
        tables.append(
            score_accuracies(
                root,
                settings,
                networks=[name],
                direction=arguments.direction,
                n_samples=arguments.n_test_images,
                alpha=arguments.alpha,
                test=arguments.test,
                adjust=arguments.adjust,
                n_layers=arguments.random_layers,
                n_boot=arguments.bootstrap,
                n_permutations=arguments.permutations,
                random_state=arguments.seed,
            )
        )
    table = pd.concat(tables).sort_values("score", ascending=False, ignore_index=True)
    table["rank"] = np.arange(1, len(table) + 1)
    _finish(table, folders, outs, arguments)


def _show_plan(
    networks: list[str], folders: list[str], settings: Any, arguments: Arguments
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
    table: pd.DataFrame, kinds: list[str], outs: Sequence[Path], arguments: Arguments
) -> None:
    shown = table.astype(object).where(table.notna(), None)
    if not arguments.json:
        shown = table.map(lambda value: f"{value:.3f}" if isinstance(value, float) else value)
    show_table(shown, as_json=arguments.json)
    write_all(outs, table, lambda: _drawn(table, kinds))


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
