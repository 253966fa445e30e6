"""From betas, events and masks to responses; what does not belong together is refused first."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import whosmat

from skdnn._wording import in_lines, listed
from skdnn.fmri._betas import Betas
from skdnn.fmri._events import (
    Run,
    dropped,
    entities,
    files_of,
    images_of,
    paths_of,
    read_events,
    rows_with_betas,
    trials_of,
)
from skdnn.fmri._regions import Sides, check_is_mapping, is_atlas, regions_in, sides_of
from skdnn.fmri._trials import GridArray, Trials, too_small
from skdnn.formats import read_betas, read_mat
from skdnn.io._hdf5_links import is_hdf5, open_hdf5
from skdnn.io._nifti import NiftiBetas
from skdnn.io._nifti_masks import Label, read_masks, space_of

_STANDARDIZE = ("session", "run")
# Names under which GLMsingle and NSD store responses.
_KEYS = ("betasmd", "betas")


def load_betas(
    betas: Any,
    *,
    events: Any,
    images: Any,
    mask: Any = None,
    rois: Mapping[str, Any] | None = None,
    stimulus: str = "stim_file",
    drop: Any = (),
    surplus: str = "error",
    unseen: str = "error",
    standardize: str | None = None,
    scale: float | None = None,
    key: str | None = None,
    threshold: float | None = None,
    label: Label | None = None,
    resample: bool = False,
) -> Betas:
    """Join a GLM's single-trial betas with events and images, one subject at a time.

    Parameters
    ----------
    betas : path-like, sequence of them, or ndarray
        A map for each trial, in the order of the events: a 4-D NIfTI file or one for each run; 3-D
        files, one for each trial; surfaces and pairs of hemispheres as for
        :func:`~skdnn.formats.read_betas`; an HDF5 or ``.mat`` file of GLMsingle or of the
        Natural Scenes Dataset; an array (n_trials, n_voxels), or (nx, ny, nz, n_trials) with a
        mask. A path with wildcards is all files that it fits, in natural order.
    events : path-like, DataFrame, or sequence of them
        BIDS tables ``events.tsv``, one for each run in the order of the betas; wildcards as for
        `betas`. Rows are trials in the order of their onsets. Run and session are read from the
        files' names, or from columns ``run`` and ``session``; where tasks differ, the task is
        put before the run, since each counts its own.
    images : sequence of str or Path, Bunch with ``paths``, or str with wildcards
        The images, each once.
    mask : NIfTI image, path-like, ndarray or pair of them, default=None
        Which voxels, as for :func:`~skdnn.formats.read_betas`; volumes need one.
    rois : mapping of str to mask, default=None
        Regions: a mask in the same grid, of the same kinds, or a pair ``(atlas, label)`` of an
        atlas and a number or name in it. What lies outside of `mask` is left out. Of two
        hemispheres a pair, or a file of one, whose name says which.
    stimulus : str, default="stim_file"
        The column that names the image of each trial. ``n/a`` is a blank trial.
    drop : str, sequence of str, or mapping of str to them, default=()
        Trials to leave out by name: of the stimulus, or, by a mapping, of the values of other
        columns, such as ``{"trial_type": "catch"}``. Nothing else is left out.
    surplus : {"error", "drop"}, default="error"
        What to do with trials whose image is not in `images`.
    unseen : {"error", "drop"}, default="error"
        What to do with images that were not shown.
    standardize : {"session", "run"} or None, default=None
        Z-score each voxel over the trials that are used, within sessions or within runs.
    scale : float, default=None
        What numbers are divided by. Integers need it: the Natural Scenes Dataset holds betas
        times 300.
    key : str, default=None
        In an HDF5 or ``.mat`` file, which array; None takes ``betasmd`` or ``betas``.
    threshold : float, default=None
        Of `mask`, as for :func:`~skdnn.formats.read_betas`.
    label : int, str or sequence of them, default=None
        Of `mask`, likewise.
    resample : bool, default=False
        Bring regions of another grid into that of `mask`, by nearest neighbour.

    Returns
    -------
    betas : Betas
        Responses by trial, which stay in the files until they are asked for.

    Raises
    ------
    FileNotFoundError
        If a file is not there.
    TypeError
        If betas are no numbers, events a dict, or regions none.
    ValueError
        If the numbers of maps and events differ in any run, subjects or runs of files contradict
        each other, masks lie elsewhere, events have no image or several, an image has no event,
        or integers come without `scale`. All of it is found before betas are read.

    See Also
    --------
    Betas : What it gives.
    skdnn.formats.read_trials : Trials from files of BdPy.
    skdnn.encoding.VoxelwiseRidgeCV : Predicts averages from features.

    Notes
    -----
    A stimulus names an image by its path or the end of it, its file name, or that without
    ending. A GLM may have estimated all events, those with a stimulus, or those that are not
    dropped: which it was follows from the number of maps.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skdnn.fmri import load_betas
    >>> events = pd.DataFrame({"onset": [0, 4, 8], "stim_file": ["cat.jpg", "dog.jpg", "cat.jpg"]})
    >>> betas = load_betas(
    ...     np.array([[1.0, 2.0], [5.0, 6.0], [3.0, 4.0]]),
    ...     events=events, images=["img/cat.jpg", "img/dog.jpg"],
    ... )
    >>> betas
    Betas(trials=3, images=2, shown=1 to 2 times, sessions=1, runs=1, voxels=2)
    >>> betas.averages().to_numpy()
    array([[2., 3.],
           [5., 6.]])
    """
    if standardize not in (None, *_STANDARDIZE):
        raise ValueError(f"standardize must be one of {_STANDARDIZE} or None: {standardize!r}.")
    paths = paths_of(images)
    check_is_mapping(rois)
    runs = read_events(events, stimulus)
    trials = trials_of(runs, stimulus)
    leave = dropped(trials, runs, drop)
    source, n_maps, names, voxels_mask, affine, sides = _open(
        betas, mask, threshold, label, key, len(runs)
    )
    _same_subject(names, runs, mask, rois or {})
    if len(names) == len(runs):
        _same_runs(names, range(len(runs)), runs)
    estimated = rows_with_betas(trials, leave, runs, n_maps)
    if isinstance(source, NiftiBetas) and len(names) != len(runs):
        of_trials = trials["file"].to_numpy()[estimated]
        _same_runs([names[file] for file in source.file_of], of_trials, runs)
    has_image = trials["stimulus"].notna().to_numpy() & ~leave
    rows, positions, paths = images_of(
        trials, estimated[has_image[estimated]], paths, surplus, unseen
    )
    used = trials.iloc[rows].drop(columns="file").reset_index(drop=True)
    used.insert(1, "image", positions)
    groups = None
    if standardize is not None:
        by = "session" if standardize == "session" else ["session", "run"]
        grouped = used.groupby(by, sort=False)
        groups = grouped.ngroup().to_numpy().astype(np.intp)
        too_small(groups, [str(name) for name in grouped.size().index], standardize)
    maps = np.searchsorted(estimated, rows)
    responses = Trials(source, maps, np.arange(source.shape[1]), _scale(source, scale), groups)
    regions = regions_in(rois or {}, voxels_mask, affine, resample, sides)
    found = Betas(
        responses, used, paths, source=source, mask=voxels_mask, affine=affine, rois=regions
    )
    found._sides = tuple(sides)
    if affine is not None:
        volumes = [mask, *(names[:1] if isinstance(source, NiftiBetas) else ())]
        found._space = next(filter(None, map(space_of, volumes)), "")
    return found


def _open(
    betas: Any, mask: Any, threshold: Any, label: Any, key: str | None, n_runs: int
) -> tuple[Any, list[int], list[str], NDArray[np.bool_] | None, Any, Sides]:
    """All maps as rows of voxels; maps of each run, or of all; files' names; where they lie."""
    if isinstance(betas, np.ndarray):
        source, *where = _from_array(betas, mask, threshold, label, "betas", False)
        return (source, [source.shape[0]], [], *where)
    files = files_of(betas, "betas")
    if not files:
        raise ValueError("betas is empty: give at least one file.")
    first = files[0] if isinstance(files[0], str | os.PathLike) else ""
    if Path(first).suffix.lower() in (".h5", ".hdf5", ".mat"):
        if len(files) > 1:
            raise ValueError(
                "betas: give one HDF5 or .mat file, or the sessions one by one: "
                f"there are {len(files)}."
            )
        source, *where = _from_container(Path(first), mask, threshold, label, key)
        return (source, [source.shape[0]], [os.fspath(first)], *where)
    found = read_betas(files, mask, threshold=threshold, label=label)
    counts = np.bincount(found.file_of, minlength=len(files)).tolist()
    names = [os.fspath(one if isinstance(one, str | os.PathLike) else one[0]) for one in files]
    n_maps = counts if len(files) == n_runs > 1 else [len(found)]
    sides = found.hemispheres
    if mask is not None and sides and found.axis is None:  # files may leave open what masks say
        of_mask = sides_of(read_masks(mask, len(sides), threshold, label))
        sides = [(one or other, n) for (one, n), (other, _) in zip(sides, of_mask, strict=True)]
    return found, n_maps, names, found.mask, found.affine, sides


def _from_container(
    path: Path, mask: Any, threshold: Any, label: Any, key: str | None
) -> tuple[Any, NDArray[np.bool_] | None, Any, Sides]:
    """Betas in an HDF5 or MATLAB file, which stay there where it is HDF5."""
    path = path.expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"betas: there is no file {str(path)!r}.")
    if is_hdf5(path):
        file = open_hdf5(path)
        held: dict[str, Any] = {}
        file.visititems(
            lambda name, item: (
                held.__setitem__(name, item) if len(getattr(item, "shape", ())) > 1 else None
            )
        )
    else:
        held = {name: shape for name, shape, _ in whosmat(path) if len(shape) > 1}
    chosen = next((name for name in ([key] if key else _KEYS) if name in held), None)
    if chosen is None:
        raise ValueError(
            f"betas: {str(path)!r} has no array {key or ' or '.join(_KEYS)!r}, but "
            f"{listed(held) or 'none of two dimensions or more'}: name it with key=."
        )
    values = held[chosen] if is_hdf5(path) else read_mat(path, chosen)
    return _from_array(values, mask, threshold, label, f"{path.name}, {chosen}", True)


def _from_array(
    values: Any, mask: Any, threshold: Any, label: Any, what: str, of_file: bool
) -> tuple[Any, NDArray[np.bool_] | None, Any, Sides]:
    """Rows of voxels, whichever way the axes run."""
    shape = tuple(values.shape)
    if values.dtype.kind not in "iuf":
        raise TypeError(f"betas: {what} holds {values.dtype}, not real numbers.")
    if mask is None:
        flat = tuple(n for n in shape if n > 1) if of_file else shape
        if len(flat) != 2 or of_file:
            raise ValueError(
                f"betas: {what} has shape {shape}: give the mask, which tells voxels from trials."
            )
        return values, None, None, ()
    pair = isinstance(mask, list | tuple) and len(mask) == 2
    read = read_masks(mask, 2 if pair else 1, threshold, label)
    halves = [np.asarray(one.chosen) for one in read]
    if any(one.chosen is None for one in read):
        raise ValueError("mask: a .label does not say how many vertices there are.")
    if pair and any(half.ndim != 1 for half in halves):
        raise ValueError("mask: a pair is of two hemispheres, and these are volumes.")
    inside = np.concatenate(halves) if pair else halves[0]
    affine, sides = read[0].affine, sides_of(read) if inside.ndim == 1 else ()
    grid, voxels = inside.shape, np.flatnonzero(inside)
    if len(shape) == inside.ndim + 1 and (of_file or inside.ndim == 3):
        # Files of MATLAB run the other way in h5py; an array would be turned without a word.
        reverse = of_file and shape[1:] == grid[::-1]
        if reverse or shape[:-1] == grid:
            return GridArray(values, voxels, grid, reverse=reverse), inside, affine, sides
    if len(shape) == 2 and shape[1] in (len(voxels), inside.size):
        picked = np.asarray(values) if shape[1] == len(voxels) else np.asarray(values)[:, voxels]
        return picked, inside, affine, sides
    if len(shape) == 2 and of_file and shape[0] in (len(voxels), inside.size):
        picked = np.asarray(values) if shape[0] == len(voxels) else np.asarray(values)[voxels]
        return np.ascontiguousarray(picked.T), inside, affine, sides
    raise ValueError(
        f"betas: {what} has shape {shape}, which does not fit the mask of shape {grid} with "
        f"{len(voxels)} voxels and trials beside it"
        f"{'' if of_file else ': (nx, ny, nz, n_trials), or (n_trials, n_voxels)'}."
    )


def _scale(source: Any, scale: float | None) -> float:
    """What numbers are divided by; integers without a factor of their own must be told."""
    if scale is not None:
        if not (np.isfinite(scale) and scale > 0):
            raise ValueError(f"scale must be a number above 0, got {scale!r}.")
        return float(scale)
    if isinstance(source, NiftiBetas):
        integers = source.plain_integers
    else:
        held = source.values if isinstance(source, GridArray) else source
        integers = held.dtype.kind in "iu"
    if integers:
        raise ValueError(
            "betas holds integers: say what they are to be divided by, scale=300 for the Natural "
            "Scenes Dataset, scale=1 for nothing."
        )
    return 1.0


def _same_subject(
    names: Sequence[str], runs: Sequence[Run], mask: Any, rois: Mapping[str, Any]
) -> None:
    """Names of files must not be of different subjects."""
    subjects = {one["sub"] for one in map(entities, names) if "sub" in one}
    of_events = {run.entities["sub"] for run in runs if "sub" in run.entities}
    if len(subjects) > 1:
        raise ValueError(f"betas are of several subjects: {listed(sorted(subjects))}.")
    if subjects and of_events and subjects != of_events:
        raise ValueError(
            f"betas are of subject {listed(subjects)}, events of subject {listed(of_events)}."
        )
    own = subjects or of_events
    regions = {f"rois[{name!r}]": one[0] if is_atlas(one) else one for name, one in rois.items()}
    for what, given in {"mask": mask, **regions}.items():
        for file in given if isinstance(given, list | tuple) else [given]:
            path = os.fspath(file) if isinstance(file, str | os.PathLike) else ""
            whose = entities(path).get("sub")
            if own and whose is not None and whose not in own:
                raise ValueError(
                    f"{what}: {path!r} is of subject {whose!r}, betas and events are of subject "
                    f"{listed(own)}."
                )


def _same_runs(names: Sequence[str], places: Iterable[int], runs: Sequence[Run]) -> None:
    """Names of files must not contradict the runs that their maps are taken for."""
    wrong = [
        f"{Path(name).name} with {runs[place].name}"
        for name, place in dict.fromkeys(zip(names, places, strict=True))
        if any(
            one[what].lstrip("0") != known[what].lstrip("0")
            for one, known in [(entities(name), runs[place].entities)]
            for what in ("ses", "task", "run")
            if what in one and what in known
        )
    ]
    if wrong:
        raise ValueError(
            "betas and events are of different runs, by their names; give both in one order:"
            + in_lines(wrong)
        )
