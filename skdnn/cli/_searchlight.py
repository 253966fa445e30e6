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
from skdnn._optional import import_optional
from skdnn._wording import listed
from skdnn.cli._arguments import Arguments, refuse
from skdnn.cli._betas_files import in_words_of_options, read_subjects, wrong_with_betas
from skdnn.cli._images import image_paths
from skdnn.cli._input_files import check_regular
from skdnn.cli._network_and_layers import (
    estimate_from,
    extractor_from,
    layers_worth_scoring,
    precomputed,
)
from skdnn.cli._output_files import check_free, is_report
from skdnn.cli._rdm_files import check_measures
from skdnn.cli._report_files import of_network, of_searchlight
from skdnn.cli._searchlight_layers import made_up_rdms, rdms_of_files, rdms_of_network
from skdnn.cli._terminal import note, records, show_facts
from skdnn.cli._unfinished_work import unfinished

_NOT_CENTRED = ("cosine", "cosine_cov", "bures")
_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")
_LAYER = re.compile(r"layer-[A-Za-z0-9.+-]+")  # names of maps, without their ends
# What a run keeps until it is done; whatever else is there is somebody's own.
_KEPT = re.compile(r"[0-9a-f]{32}\.npz|\.claim-[0-9a-f]{32}|\.tmp-.*")


def run(arguments: Arguments) -> None:
    """Search, report and write."""
    from skdnn.fmri import estimate_searchlight

    _check_usage(arguments)
    out = _checked_folder(arguments)
    check_measures(arguments, comparison=arguments.comparison)
    if not arguments.model:
        layers = rdms_of_files(arguments)
        images = list(next(iter(layers.values())).index)
        subjects, options = _responses(arguments, images, arguments.files[0])
        if arguments.dry_run:
            with _told_in_options():
                estimate = estimate_searchlight(subjects, layers, **options)
            show_facts(estimate.to_dict(), str(estimate), as_json=arguments.json)
            return
        _search(layers, subjects, options, out, arguments)
        return
    paths = image_paths(arguments.images)
    subjects, options = _responses(arguments, paths, "--images")
    names = layers_worth_scoring(arguments, extractor_from(arguments, cache=None))
    with _told_in_options():  # all that can be refused, before images go through the network
        estimate = estimate_searchlight(subjects, made_up_rdms(names, paths), **options)
    if arguments.dry_run:
        passing = estimate_from(arguments, paths, names, out)
        facts = {**estimate.to_dict(), "extraction": passing.to_dict()}
        show_facts(facts, f"{passing}\n{estimate}", as_json=arguments.json)
        return
    with unfinished(out, arguments.cache) as folder:
        extractor = precomputed(folder, paths, names, arguments)
        layers = rdms_of_network(extractor, names, paths, arguments.metric)
        _search(layers, subjects, options, out, arguments)
        of_network(arguments, extractor, names, paths)


def _responses(
    arguments: Arguments, images: list[str], source: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Betas of each subject, and how they are compared."""
    subjects = read_subjects(arguments, images, source, gaps=True)
    refuse(_untestable(arguments) if len(subjects) > 1 else None)
    return subjects, {
        "radius": arguments.radius, "metric": arguments.brain_metric,
        "comparison": arguments.comparison, "min_voxels": arguments.min_voxels,
        "folds": arguments.folds, "residuals": _residuals(arguments, list(subjects)),
        "mesh": _meshes(arguments), "distance": arguments.distance,
    }  # fmt: skip


def _search(
    layers: Mapping[str, pd.DataFrame],
    subjects: Mapping[str, Any],
    options: Mapping[str, Any],
    out: Path,
    arguments: Arguments,
) -> None:
    from skdnn.fmri import searchlight_rsa

    with _told_in_options():
        note(f"{len(layers)} layer(s) around each point", arguments)
        result = searchlight_rsa(
            subjects, layers, folder=out / "unfinished", n_jobs=arguments.jobs,
            verbose=int(not arguments.quiet), **options,
        )  # fmt: skip
    _remove_maps(out)
    result.save(out)
    test, untested = None, ""
    if len(subjects) > 1 and arguments.flips:
        try:
            test = result.test(
                arguments.correct, n_flips=arguments.flips, random_state=arguments.seed
            )
            test.save(out)
        except ValueError as error:  # e.g. masks without a common voxel
            untested = f"no test: {error}"
    _tidy(out / "unfinished")
    of_searchlight(arguments, result, test, out)
    _report(result, test, untested, out, arguments)


def _check_usage(arguments: Arguments) -> None:
    wrong = wrong_with_betas(arguments)
    if bool(arguments.files) == bool(arguments.model):
        wrong = "give files of features or RDMs, or a network with --model and --images"
    elif arguments.model and not arguments.images:
        wrong = "--model needs --images"
    elif arguments.files and arguments.images:
        wrong = "--images goes with --model: files have their features already"
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
    """The folder of --out, if maps can be written there, and reports beside it."""
    reports = [path for path in map(Path, arguments.out) if is_report(path)]
    folders = [path for path in map(Path, arguments.out) if not is_report(path)]
    if len(folders) != 1:
        refuse(f"--out: give one folder for the maps, got {len(folders)}")
    check_free(reports, arguments)
    if reports:
        import_optional("nilearn", "to draw the maps of a report")
    (out,) = folders
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"--out {out} is a file: give the name of a folder.")
    if (out / "searchlight.json").exists() and not arguments.overwrite:
        raise FileExistsError(f"{out} holds maps: give --overwrite, or another name.")
    place = next(folder for folder in (out.absolute(), *out.absolute().parents)
                 if folder.exists())  # fmt: skip
    if not os.access(place, os.W_OK | os.X_OK):
        raise PermissionError(f"--out {out}: the folder {place} can't be written to.")
    return out


def _meshes(arguments: Arguments) -> list[str] | None:
    """The files that --mesh names."""
    files = [file for name in arguments.mesh for file in fitting_files(name, "--mesh")]
    check_regular(*files)
    return files or None


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
    except (ValueError, FileNotFoundError) as error:
        text = in_words_of_options(str(error))
        for name, option in (
            ("radius=", "--radius "), ("min_voxels", "--min-voxels"), ("folds=", "--folds "),
            ("metric=", "--brain-metric "), ("residuals", "--residuals"), ("mesh=", "--mesh"),
        ):  # fmt: skip
            # Not in the names of files.
            alone = rf"(?<![\w./\\-]){name}" + ("" if name.endswith("=") else r"(?![\w/\\-]|\.\w)")
            text = re.sub(alone, option, text)
        text = re.sub(r"^mesh(?=:| '| of the | has | is for )", "--mesh", text)
        raise type(error)(text) from error


def _remove_maps(out: Path) -> None:
    """Remove what another run has written here, by its own list: maps of other layers, tests."""
    if not (out / "searchlight.json").exists():
        return
    (out / "searchlight.json").unlink()  # what is half removed is no result
    (out / "clusters.tsv").unlink(missing_ok=True)
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
    unit = "voxels" if result.affine is not None else "vertices"
    text += f"\nbest_in: {unit} of {int((best >= 0).sum())} where the layer is the most similar"
    if test is not None:
        whose = f"{unit} of clusters" if test.kind == "cluster" else unit
        text += f"; significant: {whose} with p <= .05, corrected for all {unit} and layers"
    text += f"\n{untested}" * bool(untested)
    text += f"\nmaps are in {out}"
    show_facts(dict(facts), text, as_json=arguments.json)
