"""What was shown when: BIDS tables of events, and the image of each trial."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skdnn._labels import (
    MEANING,
    find_images,
    fitting_files,
    natural_key,
    nearest_names,
    refuse_repeated,
)
from skdnn._wording import in_lines, listed, nearest

_ENTITY = re.compile(r"(?:^|[_/\\])(sub|ses|task|run)-([A-Za-z0-9]+)(?=[_./\\]|$)")
_BLANK = ("", "n/a", "N/A", "nan", "NaN")


@dataclass(frozen=True)
class Run:
    """The events of one run, and what its file's name says of it."""

    name: str  # for messages
    table: pd.DataFrame
    entities: Mapping[str, str]


def entities(name: str) -> dict[str, str]:
    """Subject, session, task and run as BIDS writes them into names of files and folders."""
    return dict(_ENTITY.findall(name.replace("\\", "/")))


def files_of(given: Any, what: str) -> list[Any]:
    """One thing or several; a path with wildcards is all files that it fits, in natural order."""
    if isinstance(given, pd.DataFrame):
        return [given]
    if isinstance(given, Mapping):
        raise TypeError(f"{what} is a dict: give a list, in the order of the runs.")
    found: list[Any] = []
    for one in [given] if isinstance(given, str | os.PathLike) else given:
        is_path = isinstance(one, str | os.PathLike)
        found += fitting_files(os.fspath(one), what) if is_path else [one]
    return found


def paths_of(images: Any) -> list[str]:
    """Paths of images as they are, of a Bunch, or by wildcards."""
    images = getattr(images, "paths", images)
    if isinstance(images, str | os.PathLike):
        if Path(images).is_dir():
            name = os.fspath(images)
            raise ValueError(
                f"images: {name!r} is a folder: give load_image_folder({name!r}), or wildcards."
            )
        images = files_of(images, "images")
    return [os.fspath(path) for path in images]


def read_events(events: Any, stimulus: str) -> list[Run]:
    """The tables of all runs, each row a trial in the order of time."""
    runs = []
    for number, one in enumerate(files_of(events, "events"), 1):
        if isinstance(one, pd.DataFrame):
            name, table, known = f"events {number}", one.reset_index(drop=True), {}
        else:
            name, known = Path(one).name, entities(os.fspath(one))
            table = _read_table(Path(one))
        if stimulus not in table.columns:
            raise ValueError(
                f"events: {name} has no column {stimulus!r}, but "
                f"{listed(map(str, table.columns), 10)}: name the column of images with "
                "stimulus=."
            )
        if "onset" in table.columns:
            onset = pd.to_numeric(table["onset"], errors="coerce").to_numpy()
            if (np.diff(onset[np.isfinite(onset)]) < 0).any():
                raise ValueError(
                    f"events: the onsets of {name} do not rise, so that its rows may be in "
                    "another order than the betas. Sort it by onset."
                )
        runs.append(Run(name, table, known))
    if not runs:
        raise ValueError("events is empty: give a table for each run.")
    subjects = {run.entities["sub"] for run in runs if "sub" in run.entities}
    if len(subjects) > 1:
        raise ValueError(f"events are of several subjects: {listed(sorted(subjects))}.")
    return runs


def _read_table(path: Path) -> pd.DataFrame:
    """Text as it stands, but for n/a."""
    if not path.is_file():
        raise FileNotFoundError(f"events: there is no file {str(path)!r}.")
    separator = "," if path.suffix.lower() == ".csv" else "\t"
    try:
        table = pd.read_csv(
            path, sep=separator, dtype=str, na_values=["n/a"], keep_default_na=False
        )
        if len(table.columns) == 1 and separator not in (other := str(table.columns[0])):
            found = next((sign for sign in ",;\t " if sign in other), None)
            if found is not None:
                needed = "tabs" if separator == "\t" else "commas"
                raise ValueError(f"its columns are not separated by {needed}, but by {found!r}")
        return table
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"events: {str(path)!r} is no table: {error}") from error


def trials_of(runs: Sequence[Run], stimulus: str) -> pd.DataFrame:
    """All rows one after the other: what was shown, run, session, and whether it is blank."""
    parts = []
    tasks = {run.entities.get("task", "") for run in runs}
    for number, run in enumerate(runs, 1):
        table = run.table
        shown = [None if _is_blank(one) else str(one) for one in table[stimulus]]
        part = pd.DataFrame({"stimulus": pd.Series(shown, dtype=object)})
        part["run"] = (
            table["run"].to_numpy() if "run" in table else run.entities.get("run", number)
        )
        if len(tasks) > 1 and "task" in run.entities:  # each task counts its own runs
            part["run"] = [f"{run.entities['task']}_{one}" for one in part["run"]]
        part["session"] = (
            table["session"].to_numpy() if "session" in table else run.entities.get("ses", "1")
        )
        if "onset" in table:
            part["onset"] = pd.to_numeric(table["onset"], errors="coerce").to_numpy()
        part["file"] = number - 1
        parts.append(part)
    trials = pd.concat(parts, ignore_index=True)
    trials["run"], trials["session"] = trials["run"].astype(str), trials["session"].astype(str)
    return trials


def _is_blank(value: Any) -> bool:
    return value is None or value is pd.NA or value != value or str(value).strip() in _BLANK


def dropped(trials: pd.DataFrame, runs: Sequence[Run], drop: Any) -> np.ndarray:
    """Rows that are to be left out by name: of stimuli, or of the values of other columns."""
    wanted = drop if isinstance(drop, Mapping) else {None: drop}
    out = np.zeros(len(trials), dtype=bool)
    for column, names in wanted.items():
        values = (
            trials["stimulus"]
            if column is None
            else pd.concat([_column(run, column) for run in runs], ignore_index=True)
        )
        listing = [names] if isinstance(names, str) else list(names)
        for name in map(str, listing):
            here = (values.astype(object).map(str) == name).to_numpy()
            if not here.any():
                known = sorted({str(v) for v in values if not _is_blank(v)}, key=natural_key)
                near = nearest(name, known) or known
                raise ValueError(
                    f"drop: no event has {name!r}; there are {listed(near)}: nothing would be "
                    "left out."
                )
            out |= here
    return out


def _column(run: Run, column: str) -> pd.Series:
    if column not in run.table:
        raise ValueError(
            f"drop: {run.name} has no column {column!r}, but "
            f"{listed(map(str, run.table.columns), 10)}."
        )
    return run.table[column]


def rows_with_betas(
    trials: pd.DataFrame, leave: np.ndarray, runs: Sequence[Run], n_maps: Sequence[int]
) -> np.ndarray:
    """Rows of the events that the maps belong to, by their numbers.

    A GLM may have estimated every event, all but the blank ones, or only those that are wanted;
    these are parts of each other, so that the number of maps says which it was.
    """
    blank = trials["stimulus"].isna().to_numpy()
    kinds = {
        "events": np.ones(len(trials), dtype=bool),
        "events with a stimulus": ~blank,
        "events that are not dropped": ~blank & ~leave,
    }
    file_of = trials["file"].to_numpy() if len(n_maps) > 1 else np.zeros(len(trials), dtype=int)
    for kept in kinds.values():
        if np.bincount(file_of[kept], minlength=len(n_maps)).tolist() == list(n_maps):
            return np.flatnonzero(kept)
    told = {}
    for i, n in enumerate(n_maps):
        counts = {kind: int((kept & (file_of == i)).sum()) for kind, kept in kinds.items()}
        name = runs[i].name if len(n_maps) > 1 else "all runs together"
        told[f"{name}: {n} maps, but {', '.join(f'{k} {kind}' for kind, k in counts.items())}"] = (
            n in counts.values()
        )
    wrong = [line for line, fits in told.items() if not fits]
    raise ValueError(
        "betas and events do not match: each event needs a map, in the same order"
        + (":" if wrong else "; runs match, but not all in the same way:")
        + in_lines(wrong or told)
    )


def images_of(
    trials: pd.DataFrame, rows: np.ndarray, images: Sequence[str], surplus: str, unseen: str
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Which of these rows are kept, the position of the image that each shows, and the images.

    Raises
    ------
    ValueError
        Naming events without an image, images without an event, and names that fit several.
    """
    for name, value in {"surplus": surplus, "unseen": unseen}.items():
        if value not in ("error", "drop"):
            raise ValueError(f"{name} must be 'error' or 'drop', got {value!r}.")
    refuse_repeated(images)
    labels = trials["stimulus"].to_numpy()[rows]
    names = list(dict.fromkeys(labels))
    found = dict(zip(names, find_images(names, images, "events"), strict=True))
    unknown = [name for name in names if found[name] is None]
    if unknown and surplus == "error":
        raise ValueError(
            f"events show {len(unknown)} of {len(names)} stimuli that no image fits: "
            f"{listed(unknown)}{nearest_names(unknown, images)}. Give their images, name them in "
            f"drop= if they are catch trials, or set surplus='drop'. {MEANING}"
        )
    shown = {position for position in found.values() if position is not None}
    missing = [image for position, image in enumerate(images) if position not in shown]
    if missing and unseen == "error":
        raise ValueError(
            f"images: {len(missing)} of {len(images)} were never shown: {listed(missing)}"
            f"{nearest_names(missing, names)}. Leave them out, or set unseen='drop'. {MEANING}"
        )
    if not shown:
        raise ValueError(f"events show none of the images{nearest_names(images, names)}.")
    seen = sorted(shown)
    kept = np.array([found[label] is not None for label in labels], dtype=bool)
    positions = np.searchsorted(seen, [found[label] for label in labels[kept]])
    return rows[kept], positions, [images[position] for position in seen]
