"""``skdnn compare`` with RDMs over time: --times, --conditions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skdnn.cli._frame import Arguments, refuse
from skdnn.cli._input_files import read_lines, read_names, reading
from skdnn.cli._output_files import is_picture, save_picture, write_table
from skdnn.cli._rdm_files import Order, RDMFile, read_file
from skdnn.cli._terminal import note, show_table


def compare_over_time(arguments: Arguments, outs: list[Path]) -> None:
    """Layers against movies: peaks on the terminal, courses in files."""
    from skdnn.rsa import condition_test_over_time, time_resolved_rsa

    _check_usage(arguments)
    found = [one for path in arguments.files for one in read_file(path, arguments.metric)]
    movie = _movie(arguments, found)
    layers = _layers(found, movie, arguments)
    note(
        f"comparing {len(layers)} RDMs with {len(movie.subjects)} subjects at {len(movie.times)} "
        "times",
        arguments,
    )
    result = time_resolved_rsa(layers, movie, arguments.comparison)
    test = None
    if arguments.permutations:
        options: dict[str, Any] = {
            "kind": arguments.correct,
            "n_permutations": arguments.permutations,
            "random_state": arguments.seed,
        }
        if len(movie.subjects) > 1:
            test = result.test(**options)
        else:
            test = condition_test_over_time(layers, movie, arguments.comparison, **options)
    peaks = result.peaks(random_state=arguments.seed).rename(columns={"layer": "model"})
    if test is not None:
        peaks["p"] = test.p_values.min(axis=1)
        if arguments.correct != "cluster":
            peaks["onset"] = test.onsets().to_numpy()
    show_table(peaks if arguments.json else peaks.round(4), as_json=arguments.json)
    for out in outs:
        if is_picture(out):
            save_picture(_drawn(result, test, peaks, arguments), out)
        else:
            write_table(_courses(result, test), out)


def _check_usage(arguments: Arguments) -> None:
    wrong = None
    if arguments.model:
        wrong = "--times and --conditions go with files of RDMs or features, not with --model"
    elif len(arguments.reference) == 0:
        wrong = "--times and --conditions need --reference: RDMs over time, a file or one each"
    elif arguments.bootstrap or arguments.twin:
        wrong = "--bootstrap and --twin are not for RDMs over time; --permutations tests them"
    refuse(wrong)


def _movie(arguments: Arguments, found: list[RDMFile]) -> Any:
    """The references as one movie; several files are subjects."""
    from skdnn.io import load_rdm_movie
    from skdnn.rsa import read_rdm_movie

    conditions = read_names(arguments.conditions) if arguments.conditions else None
    times = _seconds(arguments.times) if arguments.times else None
    movies = {}
    for path in arguments.reference:
        with reading(path):
            movies[Path(path).stem] = load_rdm_movie(path, times=times, conditions=conditions)
    if len(movies) < len(arguments.reference):
        raise ValueError("--reference: several files have one name, by which subjects are told.")
    movie = next(iter(movies.values())) if len(movies) == 1 else read_rdm_movie(movies)
    if movie.conditions is None and not arguments.assume_order:
        named = next((one for one in found if one.labels is not None), None)
        order = f"those of {named.path}" if named else "the same order"
        raise ValueError(
            f"--reference {arguments.reference[0]} holds no names of conditions: give "
            f"--conditions FILE, a name on each line, or --assume-order if they are {order}."
        )
    return movie


def _seconds(path: str) -> np.ndarray:
    lines = read_lines(path)
    try:
        return np.array([float(line) for line in lines])
    except ValueError as error:
        raise ValueError(f"--times {path}: {error}; a number on each line is needed.") from error


def _layers(found: list[RDMFile], movie: Any, arguments: Arguments) -> dict[str, Any]:
    """RDMs with the movie's conditions, matched by name as everywhere in this command."""
    if movie.conditions is None:
        wrong = [one for one in found if len(one.square) != movie.n_conditions]
        if wrong:
            raise ValueError(
                f"{wrong[0].path} has {len(wrong[0].square)} conditions and the reference "
                f"{movie.n_conditions}."
            )
        return {_name(one, found): one.square for one in found}
    names = [str(name) for name in movie.conditions]
    of = f"--conditions {arguments.conditions}" if arguments.conditions else "the reference"
    order = Order(names, of, arguments.assume_order)
    return {_name(one, found): order.bring(one).to_numpy() for one in found}


def _name(one: RDMFile, found: list[RDMFile]) -> str:
    """The layer, with its file where there are several."""
    stem = Path(one.path).stem
    if len({other.path for other in found}) == 1 and one.name:
        return one.name
    return f"{stem}/{one.name}" if one.name else stem


def _courses(result: Any, test: Any) -> pd.DataFrame:
    """A row for each model and time."""
    table = result.to_frame().rename(columns={"layer": "model"})
    grouped = table.groupby(["model", "time"], sort=False)["score"]
    course = grouped.agg(["mean", "sem"]).reset_index()
    course = course.rename(columns={"mean": "score"}).dropna(axis=1, how="all")
    if result.ceilings is not None:
        lower, upper = result.ceilings.T
        course["ceiling_lower"] = np.tile(lower, len(result.layers))
        course["ceiling_upper"] = np.tile(upper, len(result.layers))
    if test is not None:
        course["statistic"], course["p"] = test.statistic.ravel(), test.p_values.ravel()
    return course


def _drawn(result: Any, test: Any, peaks: pd.DataFrame, arguments: Arguments) -> Any:
    from skdnn.plotting import TimeCourseDisplay

    several = len(result.subjects) > 1
    return TimeCourseDisplay.from_result(
        result,
        test,
        peaks=peaks.rename(columns={"model": "layer"}) if several else None,
        title=Path(arguments.reference[0]).stem if len(arguments.reference) == 1 else None,
    )
