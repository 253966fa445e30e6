"""Betas, events and masks as commands are given them, as responses of each subject."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skdnn._wording import counted, listed
from skdnn.cli._arguments import Arguments, in_python
from skdnn.cli._input_files import check_regular
from skdnn.cli._terminal import note

if TYPE_CHECKING:
    from skdnn.fmri import Betas

_REGION = re.compile(r"(?P<name>[^=]+)=(?P<file>.+?)(?::(?P<label>[^/\\:]+))?")
# What a message calls an argument in Python, and what it is called here.
_OPTIONS = {
    r"\bpaths: (?=\d+ of \d+ files)": "--betas: ",
    r"^mask is": "--mask is",
    r"(?<=: )mask is": "--mask is",
    r"\bstimulus=(?=\.|$)": "--stim-column",
    r"\bresample=True\b": "--resample",
    r"\b(surplus|unseen)='drop'": "--surplus drop",
    r"\bdrop=": "--drop",
    r"\bscale=(\d+)": r"--scale \1",
    r"\bscale\b(?= must)": "--scale",
    r"\bscale=": "--scale",
    r"\bkey=": "--key",
    r"\bstandardize='(\w+)'": r"--zscore \1",
    r"(?<![\w-])rois\['(.*?)'\]": r"--rois \1",
    r"(?<![\w-])(betas|events|mask|images|drop): ": r"--\1: ",
    r"say which is meant, by a pair \(atlas, label\)": "give NAME=FILE:LABEL",
    r"; or (say what is meant: threshold= .*? equal|give NAME=FILE:LABEL)(?=\.)": "",
    r"(?<=atlas, )say what is meant: threshold= .*? equal": "give a mask of its region",
}
_WITH_BETAS = ("events", "mask", "rois", "drop", "zscore", "scale", "key", "resample", "min_ncsnr")


def wrong_with_betas(arguments: Arguments, *own: str) -> str | None:
    """What of these options, and `own` of a command, does not go together."""
    if arguments.betas and not arguments.events:
        return "--betas needs --events"
    if not arguments.betas:
        given = [name for name in (*_WITH_BETAS, *own) if getattr(arguments, name)]
        return f"--{given[0].replace('_', '-')} goes with --betas" if given else None
    for text in arguments.rois:
        if not _REGION.fullmatch(text):
            return f"--rois {text}: give NAME=FILE, or NAME=FILE:LABEL of an atlas"
    names = [_region(text)[0] for text in arguments.rois]
    twice = sorted({name for name in names if names.count(name) > 1})
    return f"--rois: {twice[0]} is given twice" if twice else None


def read_subjects(
    arguments: Arguments,
    images: Sequence[str],
    source: str,
    *,
    unseen: str | None = None,
    gaps: bool = False,
) -> dict[str, Betas]:
    """Each subject's betas, joined with their events and the images; in regions, if there are any.

    `source` is where the images come from, for messages; `unseen` what becomes of those that were
    not shown, None where nothing but an error can. Voxels without numbers are refused, unless
    there may be `gaps`.

    Raises
    ------
    ValueError, FileNotFoundError
        What does not belong together, in the words of the options.
    """
    from skdnn.fmri import load_subjects

    files = [*arguments.betas, *arguments.events, *(arguments.mask or ())]
    check_regular(*files)
    try:
        subjects = load_subjects(
            arguments.betas,
            images=images,
            rois=dict(map(_region, arguments.rois)),
            drop=_dropped(arguments),
            unseen=unseen or "error",
            **in_python(arguments, "events", "mask", "stim_column", "surplus", "zscore"),
            **in_python(arguments, "scale", "key", "resample"),
        )
        if arguments.rois:
            subjects = {name: betas.roi(list(betas.rois)) for name, betas in subjects.items()}
    except (ValueError, FileNotFoundError) as error:
        text = str(error) if unseen else str(error).replace(", or set unseen='drop'", "")
        text = in_words_of_options(text).replace("--images: ", f"{source}: ")
        raise type(error)(text) from error
    for name, betas in subjects.items():
        if not gaps or arguments.min_ncsnr is not None:
            subjects[name] = _usable(betas, name or "the subject", arguments)
        told = [counted(len(betas), "trial"), counted(len(betas.images), "image")]
        told.append(counted(subjects[name].n_voxels, "voxel"))
        note(f"{name}: {', '.join(told)}".removeprefix(": "), arguments)
    return subjects


def in_words_of_options(text: str) -> str:
    """A message for people who write Python, for those who write commands."""
    for pattern, option in _OPTIONS.items():
        text = re.sub(pattern, option, text)
    return text


def facts_of(subjects: Mapping[str, Betas]) -> dict[str, Any]:
    """Of each subject what a plan says: trials, images and the voxels of each region."""
    facts = {}
    for name, betas in subjects.items():
        voxels = {area: int(inside.sum()) for area, inside in betas.rois.items()}
        voxels = voxels or {"all": betas.n_voxels}
        facts[name] = {"trials": len(betas), "images": len(betas.images), "voxels": voxels}
    return facts


def lines_of(facts: Mapping[str, Any]) -> list[str]:
    """The same, a line for each subject."""
    lines = []
    for name, found in facts.items():
        whose = f"subject {name}" if name else "one subject"
        told = counted(found["trials"], "trial")
        told += f" of {counted(found['images'], 'image')}" if "images" in found else ""
        voxels = ", ".join(f"{area} {n}" for area, n in found["voxels"].items())
        lines.append(f"{whose}: {told}; voxels: {voxels}")
    return lines


def _region(text: str) -> tuple[str, Any]:
    """``V1=atlas.nii.gz:1,2`` as a name and an atlas with labels, or a mask."""
    found = _REGION.fullmatch(text)
    assert found is not None
    if found["label"] is None:
        return found["name"], found["file"]
    labels = [int(one) if one.isdecimal() else one for one in found["label"].split(",")]
    return found["name"], (found["file"], labels)


def file_of_region(text: str) -> str:
    """The file of ``V1=atlas.nii.gz:1,2``, or files by wildcards."""
    found = _REGION.fullmatch(text)
    return found["file"] if found else ""


def _dropped(arguments: Arguments) -> dict[str, list[str]]:
    """Names to leave out, by the column that they stand in."""
    columns: dict[str, list[str]] = {}
    for text in arguments.drop:
        column, sign, value = text.partition("=")
        column, value = (column, value) if sign else (arguments.stim_column, text)
        columns.setdefault(column, []).append(value)
    return columns


def _usable(betas: Betas, whose: str, arguments: Arguments) -> Betas:
    """The voxels that are reliable enough; those without numbers would fail when work is done."""
    known = np.ones(betas.n_voxels, dtype=bool)
    for _, block in betas.responses.iter_blocks():
        known &= np.isfinite(block).all(axis=0)
    if arguments.min_ncsnr is None:
        if not known.all():
            raise ValueError(
                f"--betas: of {whose} {counted(int((~known).sum()), 'voxel')} of {len(known)} "
                "hold NaN or infinity in some trial: take them out of the mask"
                f"{'' if betas.trials['image'].is_unique else ', or give --min-ncsnr 0'}."
            )
        return betas
    kept = known.copy()
    try:
        if known.any():
            signal = betas.keep(known).reliability(n_splits=1)["ncsnr"].to_numpy()
            kept[known] = signal >= arguments.min_ncsnr
    except ValueError as error:
        raise ValueError(f"--min-ncsnr: {whose}: {error}") from error
    empty = [area for area, inside in betas.rois.items() if not (kept & inside).any()]
    if empty or not kept.any():
        where = f" in {listed(empty, show=str)}" if empty else ""
        raise ValueError(f"--min-ncsnr {arguments.min_ncsnr:g} keeps no voxel of {whose}{where}.")
    return betas.keep(kept)
