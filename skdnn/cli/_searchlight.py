"""``skdnn searchlight``."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from skdnn._labels import fitting_files
from skdnn._wording import listed
from skdnn.cli._arguments import Arguments, refuse
from skdnn.cli._betas_files import in_words_of_options, read_subjects, wrong_with_betas
from skdnn.cli._input_files import check_regular
from skdnn.cli._rdm_files import check_measures, in_common_order, read_file
from skdnn.cli._terminal import note, records, show_facts

_NOT_CENTRED = ("cosine", "cosine_cov", "bures")
_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")
_LAYER = re.compile(r"layer-[A-Za-z0-9.+-]+")  # names of maps, without their ends
# What a run keeps until it is done; whatever else is there is somebody's own.
_KEPT = re.compile(r"[0-9a-f]{32}\.npz|\.claim-[0-9a-f]{32}|\.tmp-.*")


def run(arguments: Arguments) -> None:
    """Search, report and write."""
    from skdnn.fmri import estimate_searchlight, searchlight_rsa

    _check_usage(arguments)
    out = _checked_folder(arguments)
    check_measures(arguments, comparison=arguments.comparison)
    layers = _layers(arguments)
    images = list(next(iter(layers.values())).index)
    subjects = read_subjects(arguments, images, arguments.files[0], gaps=True)
    refuse(_untestable(arguments) if len(subjects) > 1 else None)
    options: dict[str, Any] = {
        "radius": arguments.radius, "metric": arguments.brain_metric,
        "comparison": arguments.comparison, "min_voxels": arguments.min_voxels,
        "folds": arguments.folds, "residuals": _residuals(arguments, list(subjects)),
    }  # fmt: skip
    with _told_in_options():
        if arguments.dry_run:
            estimate = estimate_searchlight(subjects, layers, **options)
            show_facts(estimate.to_dict(), str(estimate), as_json=arguments.json)
            return
        note(f"{len(layers)} layer(s) around each voxel", arguments)
        result = searchlight_rsa(
            subjects, layers, folder=out / "unfinished", n_jobs=arguments.jobs,
            verbose=int(not arguments.quiet), **options,
        )  # fmt: skip
    _remove_maps(out)
    result.save(out)
    test, untested = None, ""
    if len(subjects) > 1 and arguments.flips:
        try:
            test = result.test(n_flips=arguments.flips, random_state=arguments.seed)
            test.save(out)
        except ValueError as error:  # e.g. masks without a common voxel
            untested = f"no test: {error}"
    _tidy(out / "unfinished")
    _report(result, test, untested, out, arguments)


def _check_usage(arguments: Arguments) -> None:
    wrong = wrong_with_betas(arguments)
    if arguments.flips < 0:
        wrong = f"--flips {arguments.flips}: give 0 or more"
    elif not 0 < arguments.radius < float("inf"):
        wrong = f"--radius {arguments.radius:g}: give millimetres above 0"
    elif arguments.residuals and arguments.brain_metric not in ("crossnobis", "mahalanobis"):
        wrong = "--residuals goes with --brain-metric crossnobis or mahalanobis"
    refuse(wrong)


def _untestable(arguments: Arguments) -> str | None:
    """Why a test against zero would find all voxels, if it would."""
    may_be_zero = arguments.brain_metric == "crossnobis" and arguments.comparison != "bures"
    if not arguments.flips or may_be_zero or arguments.comparison not in _NOT_CENTRED:
        return None
    return (
        f"--comparison {arguments.comparison} is far above zero for unrelated RDMs, so the test "
        "would find all voxels: give --flips 0, or another comparison such as spearman"
    )


def _checked_folder(arguments: Arguments) -> Path:
    """The folder of --out, if maps can be written there."""
    out = Path(arguments.out)
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"--out {out} is a file: give the name of a folder.")
    if (out / "searchlight.json").exists() and not arguments.overwrite:
        raise FileExistsError(f"{out} holds maps: give --overwrite, or another name.")
    place = next(folder for folder in (out.absolute(), *out.absolute().parents)
                 if folder.exists())  # fmt: skip
    if not os.access(place, os.W_OK | os.X_OK):
        raise PermissionError(f"--out {out}: the folder {place} can't be written to.")
    return out


def _layers(arguments: Arguments) -> dict[str, pd.DataFrame]:
    """An RDM for each layer, with the names of images."""
    found = [one for path in arguments.files for one in read_file(path, arguments.metric)]
    if arguments.layer:
        known = [one.name for one in found]
        missing = [name for name in arguments.layer if name not in known]
        if missing:
            raise ValueError(f"--layer {missing[0]}: the files have {listed(known, 10)}.")
        found = [one for name in arguments.layer for one in found if one.name == name]
    if all(one.labels is None for one in found):
        raise ValueError(
            f"{found[0].path} has no names of images, so nothing says which row is which image: "
            "save it with labels."
        )
    models, _ = in_common_order(found, [], arguments.metric, assume_order=arguments.assume_order)
    if len(arguments.files) > 1:
        return models
    return {one.name or name: rdm for one, (name, rdm) in zip(found, models.items(), strict=True)}


def _residuals(arguments: Arguments, subjects: list[str]) -> dict[str, Any] | None:
    """Files of each subject, by their names."""
    if not arguments.residuals:
        return None
    files = [file for name in arguments.residuals for file in fitting_files(name, "--residuals")]
    check_regular(*files)
    if subjects == [""]:
        whose = {name for path in files for name in _SUBJECT.findall(path)[-1:]}
        if len(whose) > 1:
            raise ValueError(
                f"--residuals are of {listed(sorted(whose), show=str)}; --betas are of one."
            )
        return {"": files}
    alone = subjects[0] if len(subjects) == 1 else ""  # whose files need not tell whose they are
    given: dict[str, list[str]] = {}
    for path in files:
        named = _SUBJECT.findall(path)
        given.setdefault(named[-1] if named else alone, []).append(path)
    strangers = [path for name, paths in given.items() if name not in subjects for path in paths]
    if strangers:
        raise ValueError(f"--residuals {listed(strangers, show=str)}: of no subject of --betas.")
    return given


@contextlib.contextmanager
def _told_in_options() -> Any:
    """What Python calls an argument is called here as it was given."""
    try:
        yield
    except ValueError as error:
        text = in_words_of_options(str(error))
        for name, option in (
            ("radius=", "--radius "), ("min_voxels", "--min-voxels"), ("folds=", "--folds "),
            ("metric=", "--brain-metric "), ("residuals", "--residuals"),
        ):  # fmt: skip
            # Not in the names of files.
            alone = rf"(?<![\w./\\-]){name}" + ("" if name.endswith("=") else r"(?![\w/\\-]|\.\w)")
            text = re.sub(alone, option, text)
        raise ValueError(text) from error


def _remove_maps(out: Path) -> None:
    """Remove what another run has written here, by its own list: maps of other layers, tests."""
    if not (out / "searchlight.json").exists():
        return
    (out / "searchlight.json").unlink()  # what is half removed is no result
    held = pd.DataFrame()
    with contextlib.suppress(OSError, ValueError):  # somebody has edited it
        held = pd.read_csv(out / "layers.tsv", sep="\t", dtype=str)
    files = filter(_LAYER.fullmatch, map(str, held.get("file", ())))
    layers = [file.removeprefix("layer-") for file in files]
    stems = [f"{kind}-{layer}" for kind in ("layer", "t", "p") for layer in layers]
    stems += [f"layer-{layer}_mean" for layer in layers]
    for stem in (*stems, "best_layer", "sizes", "ceiling_lower", "ceiling_upper"):
        surfaces = [f"{hemisphere}{stem}.func.gii" for hemisphere in ("", "hemi-L_", "hemi-R_")]
        for name in (f"{stem}.nii.gz", *surfaces):
            (out / name).unlink(missing_ok=True)


def _tidy(folder: Path) -> None:
    """Remove what was kept to go on from."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if _KEPT.fullmatch(path.name):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # somebody else's files
        folder.rmdir()


def _report(result: Any, test: Any, untested: str, out: Path, arguments: Arguments) -> None:
    """Of each layer how high it reaches, where it is best, and where it is found."""
    mean, best = result.mean(), result.best_layer()
    scores = pd.DataFrame(mean)  # NaN of a layer without any score
    table = pd.DataFrame({
        "layer": result.layers,
        "largest": scores.max(axis=1),
        "median": scores.median(axis=1),
        "best_in": [int((best == row).sum()) for row in range(len(mean))],
    })  # fmt: skip
    if test is not None:
        table["significant"] = test.significant().sum(axis=1)
    facts: Mapping[str, Any] = {
        "folder": str(out), "subjects": result.subjects, "layers": records(table),
        "settings": result.settings, **({"untested": untested} if untested else {}),
    }  # fmt: skip
    text = table.to_string(index=False, float_format="{:.3f}".format)
    text += f"\nbest_in: voxels of {int((best >= 0).sum())} where the layer is the most similar"
    if test is not None:
        text += "; significant: voxels with p <= .05, corrected for all voxels and layers"
    text += f"\n{untested}" * bool(untested)
    text += f"\nmaps are in {out}"
    show_facts(dict(facts), text, as_json=arguments.json)
