"""A whole brain hierarchy study from files of features and responses."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skdnn._wording import counted, listed
from skdnn.cli._arguments import Arguments, in_python
from skdnn.cli._betas_files import lines_of, read_subjects
from skdnn.cli._input_files import read_features, read_names, reading
from skdnn.cli._output_files import write_all
from skdnn.cli._report_files import of_hierarchy
from skdnn.cli._row_order import matched
from skdnn.cli._terminal import note, show_facts, visible

if TYPE_CHECKING:
    from skdnn.io import OpenFeatures

_MIN_IMAGES = 3
# What a message calls an argument in Python, and what it is called here.
_OPTIONS = {
    r"\bn_samples=(\d+)": r"\1 test images",
    r"\btest='t'": "--test t",
    r"\balpha=": "--alpha ",
    r"\bn_layers=": "--random-layers ",
    r"\bX_test\b": "the test images",
    r"\bof X\b": "of the training images",
}


@dataclass
class Trials:
    """One subject: responses of each area, and the row of features that each trial showed."""

    areas: dict[str, np.ndarray]
    shown: np.ndarray

    def among(self, rows: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Responses to images in these rows, and the place of each trial's image among them."""
        kept = np.isin(self.shown, rows)
        areas = {area: values[kept] for area, values in self.areas.items()}
        return areas, np.searchsorted(rows, self.shown[kept])


def run(outs: Sequence[Path], arguments: Arguments) -> None:
    """Train, test and score, and print and write what is found."""
    if arguments.results and Path(arguments.results).is_file():
        raise NotADirectoryError(f"--results {arguments.results} is a file: give a folder.")
    features = read_features(arguments.features, arguments.layer)
    if features.names is None:
        raise ValueError(f"--features {features.path} has no names of images: save with labels.")
    names = read_names(arguments.test_images)
    if len(names) < _MIN_IMAGES:
        raise ValueError(
            f"--test-images {arguments.test_images} names {counted(len(names), 'image')}: "
            f"{_MIN_IMAGES} or more are needed."
        )
    test = np.sort(matched(features.names, features.n_rows, names, f"--features {features.path}"))
    subjects = _subjects(features, arguments)
    option = "--betas" if arguments.betas else "--responses"
    _check_shown(subjects, test, features.names, option)
    _check_trained(subjects, test, option)
    train = np.setdiff1d(np.concatenate([each.shown for each in subjects.values()]), test)
    study, data = _study(features, arguments), _data(features, subjects, train, test)
    with _in_words_of_options():
        if not arguments.dry_run:
            study.fit(**data)
        else:
            _refuse_what_a_run_refuses(study, data)
    if arguments.dry_run:
        return _show_plan(features, subjects, train, test, arguments)
    _finish(study, outs, arguments)


def _subjects(features: OpenFeatures, arguments: Arguments) -> dict[str, Trials]:
    """All files of responses, or of betas."""
    if arguments.betas:
        return _of_betas(features, arguments)
    found: dict[str, Trials] = {}
    for path in arguments.responses:
        name = Path(path).stem
        if name in found:
            raise ValueError(f"--responses: two files are named {name}: each is a subject.")
        note(f"reading {path}", arguments)
        found[name] = _read(path, features, arguments)
    return found


def _of_betas(features: OpenFeatures, arguments: Arguments) -> dict[str, Trials]:
    """Trials of each subject; images that nobody saw are of no use, and no error."""
    assert features.names is not None
    subjects = read_subjects(arguments, features.names, features.path, unseen="drop")
    arguments.areas = arguments.areas or list(next(iter(subjects.values())).rois)
    row_of = {name: row for row, name in enumerate(features.names)}
    found = {}
    for name, betas in subjects.items():
        try:
            areas = {
                area: np.asarray(betas.roi(area).responses[:], np.float64)
                for area in arguments.areas
            }
        except ValueError as error:
            raise ValueError(f"--areas: {error}") from error
        rows = np.array([row_of[image] for image in betas.images])
        found[name or "subject"] = Trials(areas, rows[betas.trials["image"]])
    return found


def _read(path: str, features: OpenFeatures, arguments: Arguments) -> Trials:
    from skdnn.formats import read_trials

    with reading(path):
        names, areas = read_trials(path, arguments.areas, stimulus_key=arguments.stimulus_key)
    stimuli = list(dict.fromkeys(names))
    rows = matched(features.names, features.n_rows, stimuli, f"--features {features.path}")
    row_of = dict(zip(stimuli, rows, strict=True))
    for area, values in areas.items():
        if not np.isfinite(values).all():
            raise ValueError(f"--responses {path}: {area} holds NaN or infinity.")
    return Trials(areas, np.array([row_of[name] for name in names]))


def _check_shown(
    subjects: dict[str, Trials], test: np.ndarray, images: Sequence[str], option: str
) -> None:
    """Every subject has to have seen all test images."""
    for subject, each in subjects.items():
        missing = np.setdiff1d(test, each.shown)
        if missing.size:
            names = [images[row] for row in missing]
            raise ValueError(f"{option}: {subject} has no trial of {listed(names, 10, visible)}.")


def _check_trained(subjects: dict[str, Trials], test: np.ndarray, option: str) -> None:
    """Every subject has to have seen images to train with."""
    for subject, each in subjects.items():
        n_images = len(np.setdiff1d(each.shown, test))
        if n_images < _MIN_IMAGES:
            raise ValueError(
                f"{option}: {subject} has {counted(n_images, 'training image')}, of which "
                f"{_MIN_IMAGES} are needed: images that are not among --test-images."
            )


def _data(
    features: OpenFeatures, subjects: dict[str, Trials], train: np.ndarray, test: np.ndarray
) -> dict[str, Any]:
    """What a study is fitted to."""
    found: dict[str, Any] = {}
    for rows, (X, y, stimuli) in (
        (train, ("X", "y", "stimuli")),
        (test, ("X_test", "y_test", "test_stimuli")),
    ):
        found[X] = {name: np.asarray(array[rows]) for name, array in features.layers.items()}
        found[y] = {subject: each.among(rows)[0] for subject, each in subjects.items()}
        found[stimuli] = {subject: each.among(rows)[1] for subject, each in subjects.items()}
    return found


def _study(features: OpenFeatures, arguments: Arguments) -> Any:
    from skdnn import BrainHierarchyScore

    return BrainHierarchyScore(
        layers=list(features.layers),
        n_boot=arguments.bootstrap or None,
        n_permutations=arguments.permutations or None,
        verbose=int(not arguments.quiet),
        **in_python(arguments, "direction", "alpha", "test", "adjust", "random_layers"),
        **in_python(arguments, "units", "voxels", "seed", "jobs", "results"),
    )


@contextlib.contextmanager
def _in_words_of_options() -> Iterator[None]:
    """What a study refuses, for those who write commands."""
    try:
        yield
    except ValueError as error:
        text = str(error)
        for pattern, option in _OPTIONS.items():
            text = re.sub(pattern, option, text)
        raise type(error)(text) from error


class _CheckedError(Exception):
    """Everything has been looked at, and training would begin."""


def _refuse_what_a_run_refuses(study: Any, data: dict[str, Any]) -> None:
    """Let the study check its data, and end it where its first decoder would be trained."""
    from sklearn.base import BaseEstimator, RegressorMixin, clone

    class Untrained(RegressorMixin, BaseEstimator):
        def fit(self, X: Any, y: Any) -> None:
            raise _CheckedError

        def predict(self, X: Any) -> None:
            raise AssertionError("nothing is trained")

    rehearsal = clone(study).set_params(decoder=Untrained(), folder=None, n_jobs=1, verbose=0)
    with contextlib.suppress(_CheckedError):
        rehearsal.fit(**data)


def _show_plan(
    features: OpenFeatures,
    subjects: dict[str, Trials],
    train: np.ndarray,
    test: np.ndarray,
    arguments: Arguments,
) -> None:
    """How much work it is; the study itself measures how long its first jobs take."""
    facts: dict[str, Any] = {
        "layers": {name: int(array.shape[1]) for name, array in features.layers.items()},
        "training_images": len(train),
        "test_images": len(test),
        "subjects": {
            subject: {
                "trials": len(each.shown),
                "voxels": {area: int(values.shape[1]) for area, values in each.areas.items()},
            }
            for subject, each in subjects.items()
        },
    }
    directions = 2 if arguments.direction == "both" else 1
    n_jobs = directions * len(features.layers) * len(subjects) * len(arguments.areas)
    lines = [f"{len(train)} training images, {len(test)} test images"]
    lines += [f"layer {name}: {n_units} units" for name, n_units in facts["layers"].items()]
    lines += lines_of(facts["subjects"])
    lines.append(f"{n_jobs} jobs; the study times its first ones and then says how long it takes")
    show_facts({**facts, "jobs": n_jobs}, "\n".join(lines), as_json=arguments.json)


def _finish(study: Any, outs: Sequence[Path], arguments: Arguments) -> None:
    directions = [
        name for name in ("decoding", "encoding") if arguments.direction in ("both", name)
    ]
    low, high = study.interval_ if arguments.bootstrap else (None, None)
    facts = {
        "score": _number(study.score_),
        "low": _number(low),
        "high": _number(high),
        **{name: _number(getattr(study, f"{name}_score_")) for name in directions},
        "n_test_images": study.n_test_images_,
        "best": study.top_table_.to_dict(orient="records"),
    }
    interval = "" if low is None else f" (95% interval {low:.3f} to {high:.3f})"
    lines = [f"brain hierarchy score {study.score_:.3f}{interval}"]
    if arguments.permutations:
        facts |= {"p": study.p_value_, "expected": _number(study.expected_score_)}
        lines.append(
            f"without a hierarchy {study.expected_score_:.3f} (p = {study.p_value_:.3g}, "
            f"{arguments.permutations} pairings)"
        )
    lines += [f"{name} {getattr(study, f'{name}_score_'):.3f}" for name in directions]
    for name in directions:
        part = study.top_table_[study.top_table_["direction"] == name]
        shares = part.pivot_table("proportion", "level", "best", sort=False)
        best = "best area" if name == "decoding" else "best layer"
        lines += [f"\n{name}: share of each level whose {best} is", shares.round(3).to_string()]
    show_facts(facts, "\n".join(lines), as_json=arguments.json)
    write_all(outs, study.table_, lambda: _drawn(study, directions))
    of_hierarchy(arguments, study)


def _drawn(study: Any, directions: Sequence[str]) -> Any:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, len(directions), figsize=(6.5 * len(directions), 4), squeeze=False, layout="constrained"
    )
    for ax, direction in zip(axes[0], directions, strict=True):
        study.plot(direction, ax=ax)
    return figure


def _number(value: Any) -> float | None:
    """As JSON has it."""
    return None if value is None or np.isnan(value) else float(value)
