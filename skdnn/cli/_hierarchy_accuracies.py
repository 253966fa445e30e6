"""Brain hierarchy scores of accuracies that are there already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skdnn.cli._arguments import Arguments, in_python
from skdnn.cli._input_files import reading
from skdnn.cli._output_files import write_all
from skdnn.cli._report_files import of_hierarchy
from skdnn.cli._terminal import note, show_table


def run(outs: Sequence[Path], arguments: Arguments) -> None:
    """Rank networks, and print and write what is found."""
    from skdnn.formats import read_settings

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
    kinds = [k for k in ("decoding", "encoding") if arguments.direction in ("both", k)]
    folders = [kind for kind in kinds if (root / kind).is_dir()]
    if not folders:
        raise FileNotFoundError(f"--accuracies: {root} holds no folder {' or '.join(kinds)}.")
    if arguments.dry_run:
        few = {"bootstrap": 0, "permutations": min(arguments.permutations, 1)}
        _ranking(root, settings, networks, Arguments(**(vars(arguments) | few)))
        show_table(_plan(networks, folders, settings), as_json=arguments.json)
        return
    table = _ranking(root, settings, networks, arguments)
    shown = table.astype(object).where(table.notna(), None)
    if not arguments.json:
        shown = table.map(lambda value: f"{value:.3f}" if isinstance(value, float) else value)
    show_table(shown, as_json=arguments.json)
    write_all(outs, table, lambda: _drawn(table, folders))
    of_hierarchy(arguments, table)


def _plan(networks: list[str], folders: list[str], settings: Any) -> pd.DataFrame:
    facts = {
        "network": networks,
        "layers": [len(settings["dnns"][name]["layers"]) for name in networks],
        "subjects": len(settings["subjects"]),
        "areas": len(settings["rois"]),
        "directions": " ".join(folders),
    }
    return pd.DataFrame(facts)


def _ranking(
    root: Path, settings: Any, networks: Sequence[str], arguments: Arguments
) -> pd.DataFrame:
    """A row for each network, named when its turn comes; the best first."""
    from skdnn.formats import score_accuracies

    rows = []
    for name in networks:
        note(name, arguments)
        row = score_accuracies(
            root,
            settings,
            networks=[name],
            n_samples=arguments.n_test_images,
            **in_python(arguments, "direction", "alpha", "test", "adjust", "random_layers"),
            **in_python(arguments, "bootstrap", "permutations", "seed"),
        )
        rows.append(row)
    table = pd.concat(rows).sort_values("score", ascending=False, ignore_index=True)
    return table.assign(rank=np.arange(1, len(table) + 1))


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
