"""``skdnn compare`` with RDMs over time: --times, --conditions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skdnn._wording import counted
from skdnn.cli._arguments import Arguments, refuse
from skdnn.cli._input_files import read_lines, read_names, reading
from skdnn.cli._output_files import is_picture, is_report, save_picture, write_table
from skdnn.cli._rdm_files import Order, RDMFile, read_file, short_names
from skdnn.cli._row_order import matched
from skdnn.cli._terminal import note, show_table


def is_over_time(arguments: Arguments) -> bool:
    """Whether references are RDMs over time: options say so, or a file that holds a movie."""
    given = bool(arguments.times or arguments.conditions)
    return given or any(map(_is_movie, arguments.reference))


def _is_movie(path: str) -> bool:
    """Whether it is a file of `save_rdm_movie`, which has times and names of its own."""
    if Path(path).suffix.lower() not in (".h5", ".hdf5") or not Path(path).is_file():
        return False
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return {"pairs", "times", "subjects"} <= set(file)
    except OSError:  # whoever reads it says what is wrong
        return False


def compare_over_time(arguments: Arguments, outs: list[Path]) -> None:
    """Layers against movies: peaks on the terminal, courses in files."""
    from skdnn.rsa import condition_test_over_time, time_resolved_rsa

    _check_usage(arguments, outs)
    found = [one for path in arguments.files for one in read_file(path, arguments.metric)]
    movie, order = _movie(arguments, found)
    layers = _layers(found, order)
    note(
        f"comparing {counted(len(layers), 'RDM')} with {counted(len(movie.subjects), 'subject')} "
        f"at {counted(len(movie.times), 'time')}",
        arguments,
    )
    result = time_resolved_rsa(layers, movie, arguments.comparison)
    test, untested = None, None
    if arguments.permutations:
        options: dict[str, Any] = {
            "kind": arguments.correct,
            "n_permutations": arguments.permutations,
            "random_state": arguments.seed,
        }
        try:
            if len(movie.subjects) > 1:
                test = result.test(**options)
            else:
                test = condition_test_over_time(layers, movie, arguments.comparison, **options)
        except ValueError as error:  # such as of a score that is NaN
            untested = error
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
    if untested is not None:
        raise ValueError(
            f"--permutations: no test could be made, and all else is there: {untested}"
        ) from untested


def _check_usage(arguments: Arguments, outs: list[Path]) -> None:
    wrong = None
    if arguments.model:
        wrong = (
            "RDMs over time (--times, --conditions) go with files of RDMs or features, not with "
        )
        wrong += "--model: skdnn extract makes such files"
    elif len(arguments.reference) == 0:
        wrong = "--times and --conditions need --reference: RDMs over time, a file or one each"
    elif arguments.bootstrap or arguments.twin:
        wrong = "--bootstrap and --twin are not for RDMs over time; --permutations tests them"
    elif any(map(is_report, outs)):
        wrong = "reports are not made of RDMs over time: --out takes tables and pictures"
    refuse(wrong)


def _movie(arguments: Arguments, found: list[RDMFile]) -> tuple[Any, Order]:
    """The references as one movie in the order of some names; several files are subjects."""
    from skdnn.rsa import read_rdm_movie

    references = _references(arguments)
    order = _order(references, found, arguments)
    short = _distinct(arguments.reference)
    movies = {}
    for path, (movie, _) in references.items():
        if movie.conditions is None:
            movie = replace(movie, conditions=_vouched(movie, path, order))
        movies[short[path]] = movie
    if len(movies) == 1:
        return movie, order
    try:
        return read_rdm_movie(movies), order
    except ValueError as error:  # as of times that differ
        text = re.sub(r"rdms\['(.*?)'\]", r"--reference \1", str(error))
        raise ValueError(text) from error


def _vouched(movie: Any, path: str, order: Order) -> pd.Index:
    """Names for the conditions of a reference that has none, and a note that says so."""
    what, n_rows = f"--reference {path}", movie.n_conditions
    if n_rows != len(order.names):
        raise ValueError(
            f"{what} has {n_rows} conditions and {order.of} {len(order.names)}: RDMs of the same "
            "conditions are needed."
        )
    matched(None, n_rows, order.names, what, assume_order=True, order=order.of)
    return pd.Index(order.names)


def _references(arguments: Arguments) -> dict[str, tuple[Any, str]]:
    """By its path each reference, and whose names its conditions have."""
    from skdnn.io import load_rdm_movie
    from skdnn.rsa import read_rdm_movie

    given = read_names(arguments.conditions) if arguments.conditions else None
    times = _seconds(arguments.times) if arguments.times else None
    _distinct(arguments.reference, "--reference ")
    movies = {}
    for path in arguments.reference:
        with reading(path):
            movie, of = load_rdm_movie(path), path
            if times is not None:
                _check_count(times, "--times", arguments.times, len(movie.times), path, "times")
                movie = read_rdm_movie(movie, times=times)
            if isinstance(movie.conditions, pd.RangeIndex):  # which only count
                movie = replace(movie, conditions=None)
            if movie.conditions is not None:
                movie = replace(movie, conditions=movie.conditions.map(str))
            elif given is not None:
                option = ("--conditions", arguments.conditions)
                _check_count(given, *option, movie.n_conditions, path, "conditions")
                movie = read_rdm_movie(movie, conditions=given)
                of = f"--conditions {arguments.conditions}"
        movies[path] = movie, of
    return movies


def _check_count(given: Any, option: str, file: str, n: int, path: str, what: str) -> None:
    if len(given) != n:
        raise ValueError(
            f"{option} {file} has {counted(len(given), 'line')}, and --reference {path} RDMs of "
            f"{n} {what}."
        )


def _order(
    references: dict[str, tuple[Any, str]], found: list[RDMFile], arguments: Arguments
) -> Order:
    """Of the first reference that has names, or else of the first file."""
    own = next((one for one in references.values() if one[0].conditions is not None), None)
    first = next((one for one in found if one.labels is not None), None)
    if own is not None:
        names, of = list(own[0].conditions), own[1]
    elif first is not None and first.labels is not None:
        names, of = first.labels, first.path
    else:
        names, of = [f"row {row + 1}" for row in range(len(found[0].square))], found[0].path
    unnamed = [path for path, (one, _) in references.items() if one.conditions is None]
    if unnamed and not arguments.assume_order:
        there = f"those of {of}" if own or first else "the same order"
        raise ValueError(
            f"--reference {unnamed[0]} holds no names of conditions: give --conditions FILE, a "
            f"name on each line, or --assume-order if they are {there}."
        )
    return Order(names, of, arguments.assume_order)


def _seconds(path: str) -> np.ndarray:
    lines = read_lines(path)
    try:
        found = np.array([float(line) for line in lines])
    except ValueError as error:
        raise ValueError(
            f"--times {path}: {error}; a number on each line, with a decimal point, is needed."
        ) from error
    if not np.isfinite(found).all() or (np.diff(found) <= 0).any():
        raise ValueError(f"--times {path}: seconds must ascend, without NaN.")
    return found


def _layers(found: list[RDMFile], order: Order) -> dict[str, pd.DataFrame]:
    """RDMs with the movie's conditions, matched by name as everywhere in this command."""
    names = _distinct(list(dict.fromkeys(one.path for one in found)))
    layers = {}
    for one in found:
        of_file = names[one.path] if len(names) > 1 or not one.name else ""
        name = "/".join(filter(None, [of_file, one.name]))
        if name in layers:
            raise ValueError(f"{one.path} is given twice.")
        layers[name] = order.bring(one)
    return layers


def _distinct(paths: Sequence[str], what: str = "") -> dict[str, str]:
    """Files by path with their `short_names`.

    Raises
    ------
    ValueError
        If one file is given twice.
    """
    places = [Path(path).resolve() for path in paths]
    twice = [path for k, path in enumerate(paths) if places[k] in places[:k]]
    if twice:
        raise ValueError(f"{what}{twice[0]} is given twice.")
    return short_names(paths)


def _courses(result: Any, test: Any) -> pd.DataFrame:
    """A row for each model and time, NaN where a subject's score is."""
    n_subjects, n_layers, n_times = result.scores.shape
    course = pd.DataFrame(
        {
            "model": np.repeat(list(result.layers), n_times),
            "time": np.tile(result.times, n_layers),
            "score": result.mean.to_numpy().ravel(),
        }
    )
    if n_subjects > 1:
        course["sem"] = (result.scores.std(axis=0, ddof=1) / np.sqrt(n_subjects)).ravel()
    if result.ceilings is not None:
        lower, upper = result.ceilings.T
        course["ceiling_lower"] = np.tile(lower, n_layers)
        course["ceiling_upper"] = np.tile(upper, n_layers)
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
