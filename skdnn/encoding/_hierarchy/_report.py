"""What a brain hierarchy study says and draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from joblib import effective_n_jobs

from skdnn._html import card
from skdnn._wording import in_bytes, in_time
from skdnn.encoding._hierarchy._jobs import JobMaker
from skdnn.encoding._hierarchy._shared_jobs import Job, ResultFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_shares(
    table: pd.DataFrame, levels: Sequence[str], others: Sequence[str], title: str, ax: Axes | None
) -> Axes:
    """Stacked shares of best levels, one bar for each level; colours follow the hierarchy."""
    from matplotlib import colormaps
    from matplotlib import pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
    table = table.set_index(["level", "best"])
    shares = np.array(
        [[table.loc[(level, other), "proportion"] for other in others] for level in levels]
    )
    shares = np.nan_to_num(shares)
    below = np.cumsum(shares, axis=1) - shares
    colours = colormaps["viridis"](np.linspace(0, 0.95, len(others)))
    for number, other in enumerate(others):
        heights, bottoms = shares[:, number], below[:, number]
        ax.bar(
            range(len(levels)), heights, 0.8, bottom=bottoms, color=colours[number], label=other
        )
    kept = table["n_kept"].groupby(level="level").first().loc[list(levels)]
    ax.set_xticks(range(len(levels)), [f"{n}\n({k})" for n, k in zip(levels, kept, strict=True)])
    ax.set_ylim(0, 1)
    handles, names = ax.get_legend_handles_labels()
    ax.legend(
        handles[::-1],
        [str(name) for name in names[::-1]],
        title=title,
        loc="center left",
        bbox_to_anchor=(1, 0.5),
        frameon=False,
    )
    return ax


def study_card(study: Any) -> str:
    """A card for notebooks of a fitted study, the table of best areas and layers in it."""
    if not hasattr(study, "score_"):
        return ""
    low, high = getattr(study, "interval_", (None, None))
    facts = {
        "score": study.score_,
        "interval": None if low is None else f"{low:.4g} to {high:.4g}",
        "p": getattr(study, "p_value_", None),
        "layers": study.layers_,
        "areas": study.rois_,
        "subjects": study.subjects_,
        "test images": study.n_test_images_,
    }
    return card("BrainHierarchyScore", facts, study.top_table_)


def announce_work(
    maker: JobMaker,
    n_all: int,
    folder: ResultFolder | None,
    n_jobs: int | None,
    left: Sequence[Job],
    seconds: Mapping[str, tuple[float, float]],
) -> None:
    """Print what the jobs that are left will take, by the first of each direction."""
    from skdnn._progress import tell

    workers = effective_n_jobs(n_jobs)
    total = sum(job.cost * _rate(seconds, job.name[0]) for job in left)
    largest = max((maker.n_bytes(job) for job in left), default=0)
    where = "" if folder is None else f" ({n_all - len(left)} are done and in {folder.root})"
    study = maker.study
    tell(
        f"Brain hierarchy score: {len(study.layers)} layers, {len(study.subjects)} subjects, "
        f"{len(study.rois)} areas; {len(left)} of {n_all} jobs to do{where}; about "
        f"{in_time(total / workers)} in {workers} worker{'s' if workers > 1 else ''} of this "
        f"process, and up to {in_bytes(largest)} of memory in each, beside the data."
    )


def _rate(seconds: Mapping[str, tuple[float, float]], direction: str) -> float:
    """Seconds for a multiplication, in this direction or, if it was not measured, in another."""
    found = seconds.get(direction) or next(iter(seconds.values()), (0.0, 1.0))
    return found[0] / found[1]
