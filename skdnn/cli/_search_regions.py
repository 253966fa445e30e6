"""``skdnn search --betas``: a search for each subject and region, in one table and one picture."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from skdnn._wording import counted
from skdnn.cli._arguments import Arguments
from skdnn.cli._betas_files import read_subjects
from skdnn.cli._output_files import write_all
from skdnn.cli._report_files import of_regions
from skdnn.cli._terminal import as_text, note, records, show_facts

_N = 1000  # samples, permutations
Targets = Mapping[tuple[str, str], Any]  # by subject and region


def read(arguments: Arguments, paths: Sequence[str]) -> Targets:
    """Responses to the images of each subject and region."""
    found = {}
    for subject, betas in read_subjects(arguments, paths, "--images").items():
        for region in betas.rois or [""]:
            found[subject, region] = (betas.roi(region) if region else betas).averages()
    return found


@contextlib.contextmanager
def named(name: Sequence[str]) -> Iterator[None]:
    """Errors in this block come to name the subject and region."""
    try:
        yield
    except ValueError as error:
        told = " ".join(filter(None, name))
        if not told:
            raise
        raise ValueError(f"{told}: {error}") from error


def show_plan(estimate: Any, targets: Targets, outs: Sequence[Path], arguments: Arguments) -> None:
    """What all searches take, and what they are of."""
    n = len(targets)
    seconds = estimate.search_seconds * n
    passing = estimate.total_seconds - estimate.search_seconds
    whole = replace(
        estimate,
        n_fits=estimate.n_fits * n,
        search_seconds=seconds,
        total_seconds=passing + seconds,
    )
    voxels = {" ".join(filter(None, key)): y.shape[1] for key, y in targets.items()}
    files = [str(out) for out in outs]
    facts = {**whole.to_dict(), "searches": n, "voxels": voxels, "files": files}
    lines = [f"{name or 'all voxels'}: {counted(k, 'voxel')}" for name, k in voxels.items()]
    lines.append(f"{n} search(es), one for each of these")
    lines.append(f"would write {', '.join(files)}" if files else "would write no file")
    show_facts(facts, "\n".join([str(whole), *lines]), as_json=arguments.json)


def run(
    search: Any,
    paths: Sequence[str],
    targets: Targets,
    outs: Sequence[Path],
    measure: str,
    arguments: Arguments,
) -> None:
    """Search each subject and region, report and write."""
    from skdnn.fmri import search_regions
    from skdnn.plotting import RegionScoresDisplay

    by_subject: dict[str, dict[str, pd.DataFrame]] = {}
    for (subject, region), y in targets.items():
        by_subject.setdefault(subject, {})[region] = y
    note(f"{len(targets)} search(es)", arguments)
    with contextlib.redirect_stdout(sys.stderr):  # progress; stdout is for the result
        table = search_regions(
            search,
            paths,
            by_subject,
            n_boot=_N if arguments.bootstrap is None else arguments.bootstrap,
            n_permutations=_N if arguments.permutations is None else arguments.permutations,
            random_state=arguments.seed,
            verbose=int(not arguments.quiet),
        )
    write_all(outs, table, lambda: RegionScoresDisplay(table).plot(ylabel=f"score ({measure})"))
    of_regions(arguments, table, len(paths))
    _report(table, measure, arguments)


def _report(table: pd.DataFrame, measure: str, arguments: Arguments) -> None:
    """The layer that each search chose, and of each region the best on average."""
    chosen = table[table["chosen"]].drop(columns=["chosen", "p", "depth"])
    means = table.groupby(["roi", "layer"], sort=False)["score"].mean().dropna().reset_index()
    best = means.loc[means.groupby("roi", sort=False)["score"].idxmax()]
    n_subjects = table["subject"].nunique()
    text = _told(chosen)
    if n_subjects > 1:
        text += f"\n\nbest layer of each region, mean of {n_subjects} subjects:\n{_told(best)}"
    text += (
        f"\nscore: {measure}, mean of {arguments.cv * arguments.repeats} folds; the chosen layer "
        f"is the best of {table['layer'].nunique()}, so its score is somewhat too high"
    )
    if table["p"].notna().any():
        text += (
            "\nlow, high (95%) and p of the RDMs of all images; p_adjusted for the number of "
            "layers (Holm), not for subjects and regions"
        )
    facts = {
        "measure": measure,
        "chosen": records(chosen),
        "best": records(best),
        "table": records(table),
    }
    show_facts(facts, text, as_json=arguments.json)


def _told(table: pd.DataFrame) -> str:
    shown = table.dropna(axis=1, how="all")
    empty = [name for name in ("subject", "roi") if name in shown and (shown[name] == "").all()]
    return as_text(shown.drop(columns=empty))
