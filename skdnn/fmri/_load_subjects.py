"""Betas of several subjects, whose files say in their names whose they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from skdnn._labels import natural_key
from skdnn._wording import listed
from skdnn.fmri._betas import Betas
from skdnn.fmri._events import entities, files_of, paths_of
from skdnn.fmri._load import load_betas
from skdnn.fmri._regions import check_is_mapping, is_atlas
from skdnn.io._nifti_files import in_pairs

_PATH = (str, os.PathLike)


def load_subjects(
    betas: Any,
    *,
    events: Any,
    images: Any,
    mask: Any = None,
    rois: Mapping[str, Any] | None = None,
    **options: Any,
) -> dict[str, Betas]:
    """Load the betas of several subjects, told apart by ``sub-`` in the names of their files.

    Parameters
    ----------
    betas : path-like or sequence of them, or of pairs of hemispheres
        Files of all subjects, of the kinds that :func:`load_betas` takes; a path with wildcards
        is all files that it fits. What is sorted by letters, as by a shell, is put into natural
        order (run 2 before run 10), any other order is kept. Surfaces of both hemispheres are
        paired by their names (``lh.`` and ``rh.``, ``hemi-L`` and ``hemi-R``), as masks and
        regions are.
    events : path-like or sequence of them
        Tables of all subjects, those of a subject in the order of its betas.
    images : sequence of str or Path, Bunch with ``paths``, or str with wildcards
        The images, the same for all subjects.
    mask : path-like or sequence of them, default=None
        One for each subject, or one for all, which has no ``sub-`` in its name.
    rois : mapping of str to path-like, or to pair of path-like and label, default=None
        Regions; files are told apart like masks, and may be several or have wildcards.
    **options
        As of :func:`load_betas`, the same for all subjects.

    Returns
    -------
    subjects : dict of str to Betas
        By name, such as ``"sub-01"``, in natural order; ``""`` where no file names a subject.

    Raises
    ------
    FileNotFoundError
        If no file fits.
    ValueError
        If a subject lacks events, a mask or a region, or has several; and as
        :func:`load_betas`, naming the subject. All of it before betas are read.

    See Also
    --------
    load_betas : One subject.
    search_regions : Takes what this gives.

    Examples
    --------
    >>> from skdnn.fmri import load_subjects
    >>> brains = load_subjects(  # doctest: +SKIP
    ...     "study/sub-*/*_betas.nii.gz",
    ...     events="study/sub-*/*_events.tsv",
    ...     mask="study/sub-*/*_mask.nii.gz",
    ...     rois={"V1": ("study/sub-*/*_atlas.nii.gz", 1)},
    ...     images="study/stimuli/*.png",
    ... )
    >>> list(brains)  # doctest: +SKIP
    ['sub-01', 'sub-02']
    """
    of_betas = _by_subject(betas, "betas")
    subjects = sorted(of_betas, key=natural_key)
    of_events = _events_of(subjects, _by_subject(events, "events"))
    masks = {} if mask is None else _one_each(mask, subjects, "mask")
    regions: dict[str, dict[str, Any]] = {subject: {} for subject in subjects}
    check_is_mapping(rois)
    for name, given in (rois or {}).items():
        files, *label = given if is_atlas(given) else (given,)
        for subject, file in _one_each(files, subjects, f"rois[{name!r}]").items():
            regions[subject][name] = (file, *label) if label else file
    images = paths_of(images)
    found = {}
    for subject in subjects:
        try:
            found[subject] = load_betas(
                of_betas[subject],
                events=of_events[subject],
                images=images,
                mask=masks.get(subject),
                rois=regions[subject],
                **options,
            )
        except (ValueError, FileNotFoundError) as error:
            raise type(error)(f"{subject}: {error}" if subject else str(error)) from error
    return found


def _by_subject(given: Any, what: str) -> dict[str, list[Any]]:
    """Files of each subject, in their order; under an empty name where none says whose it is.

    A shell sorts by letters, so that run 10 comes before run 2: what is sorted like that is put
    into natural order, any other order is meant.
    """
    found: dict[str, list[Any]] = {}
    for file in files_of(given, what):
        found.setdefault(_subject_of(file), []).append(file)
    if not found:
        raise ValueError(f"{what} is empty: give at least one file.")
    if "" in found and len(found) > 1:
        raise ValueError(
            f"{what}: some files say by 'sub-' in their names whose they are, others do not: "
            f"{listed(found[''], show=str)}."
        )
    for subject, files in found.items():
        if all(isinstance(file, _PATH) for file in files):
            names = [os.fspath(file) for file in files]
            if names == sorted(names):
                found[subject] = sorted(names, key=natural_key)
        found[subject] = in_pairs(found[subject], what)
    return found


def _subject_of(file: Any) -> str:
    """By the name of a file, or of the first of a pair; empty where it names none."""
    first = file[0] if isinstance(file, tuple | list) else file
    label = entities(os.fspath(first)).get("sub") if isinstance(first, _PATH) else None
    return "" if label is None else f"sub-{label}"


def _events_of(subjects: list[str], events: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Events of each subject; where there is one only, its files need not both say whose."""
    if len(subjects) == len(events) == 1 and "" in (*subjects, *events):
        return {subjects[0]: next(iter(events.values()))}
    for some, others, what in (
        (subjects, events, "betas but no events"),
        (events, subjects, "events but no betas"),
    ):
        lacking = [name or "files without 'sub-'" for name in some if name not in others]
        if lacking:
            raise ValueError(f"there are {what} of {listed(lacking, show=str)}.")
    return dict(events)


def _one_each(given: Any, subjects: list[str], what: str) -> dict[str, Any]:
    """The file of each subject: its own, or the one that names none."""
    files = files_of(given, what) if isinstance(given, (*_PATH, list)) else [given]
    own: dict[str, list[Any]] = {}
    for file in files:
        own.setdefault(_subject_of(file), []).append(file)
    found = {}
    for subject in subjects:
        fitting = files if subjects == [""] else own.get(subject) or own.get("", [])
        fitting = in_pairs(fitting, what)
        if len(fitting) != 1:
            whose = subject or "the subject"
            raise ValueError(
                f"{what}: {whose} has {len(fitting)} files: {listed(fitting, show=str)}."
                if fitting
                else f"{what}: {whose} has no file; one without 'sub-' in its name is for all."
            )
        found[subject] = fitting[0]
    return found
