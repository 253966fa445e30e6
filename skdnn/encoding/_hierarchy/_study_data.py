"""What a brain hierarchy study is made from: layers, responses, and which trial showed what."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from skdnn._array_blocks import is_lazy, not_finite, row_parts
from skdnn._labels import find_images
from skdnn._optional import import_optional
from skdnn._wording import listed
from skdnn.encoding._hierarchy._train_and_test import Flags, Rows
from skdnn.encoding._repeats._averages import id_list
from skdnn.encoding._repeats._stimulus_folds import check_disjoint, is_name

_SETS = ("training", "test")
_MIN_IMAGES, _MIN_UNITS = 3, 3
_BYTES = 16


@dataclass(frozen=True)
class Data:
    """One array for training and one for test, with digests of both."""

    arrays: tuple[Any, Any]
    digests: tuple[str, str]

    @property
    def n_columns(self) -> int:
        return int(self.arrays[0].shape[1])


@dataclass(frozen=True)
class Study:
    """All data, checked: layers and regions in the order of their hierarchies."""

    layers: dict[str, Data]
    responses: dict[tuple[str, str], Data]  # by subject and region
    rows: dict[str, tuple[Rows, Rows]]  # image of each trial, by subject
    subjects: list[str]
    rois: list[str]
    n_test: int


def read_study(
    load_layers: Callable[[], tuple[Mapping[str, Any], Mapping[str, Any]]],
    n_images: tuple[int, int],
    responses: tuple[Any, Any],
    stimuli: tuple[Any, Any],
    ids: tuple[Any, Any],
) -> Study:
    """Check everything, reading it once; layers, which may have to be extracted, come last.

    Raises
    ------
    ValueError
        Naming the layer, subject, region or image that is at fault.
    """
    for count, kind in zip(n_images, _SETS, strict=True):
        if count < _MIN_IMAGES:
            raise ValueError(
                f"There are {count} {kind} images: at least {_MIN_IMAGES} are needed."
            )
    names = (_image_names(ids[0], n_images[0], 0), _image_names(ids[1], n_images[1], 1))
    if names[0] is not None and names[1] is not None:
        check_disjoint(names[0], names[1])
    subjects, rois = _subjects_and_rois(responses)
    rows: dict[str, tuple[Rows, Rows]] = {}
    data: dict[tuple[str, str], Data] = {}
    flat: dict[str, int] = {}
    for subject in subjects:
        n_trials = []
        for kind, side in zip(_SETS, responses, strict=True):
            lengths = {roi: len(array) for roi, array in side[subject].items()}
            if len(set(lengths.values())) > 1:
                raise ValueError(
                    f"The regions of {subject} have different numbers of {kind} trials: {lengths}."
                )
            n_trials.append(next(iter(lengths.values())))
        both = [
            _trial_rows(stimuli[kind], subject, n_trials[kind], names[kind], n_images[kind], kind)
            for kind in range(2)
        ]
        rows[subject] = (both[0], both[1])
        _check_shown(subject, both[0], both[1], n_images[1])
        for roi in rois:
            where = f"{roi} of {subject}"
            data[subject, roi], constant = _read_region(
                tuple(side[subject][roi] for side in responses), where
            )
            if constant:
                flat[where] = constant
    if flat:
        warnings.warn(
            f"{sum(flat.values())} voxels are constant over training trials ("
            + ", ".join(f"{where}: {count}" for where, count in flat.items())
            + "): nothing is decoded from them, and their encoding accuracy is NaN.",
            UserWarning,
            stacklevel=4,
        )
    layers = _read_layers(load_layers(), n_images)
    return Study(layers, data, rows, subjects, rois, n_images[1])


def _read_region(arrays: tuple[Any, ...], where: str) -> tuple[Data, int]:
    """Responses of one region, and how many voxels are constant in training."""
    train, test = (_matrix(array, where) for array in arrays)
    _check_columns((train, test), where, "voxels", 1)
    found, constant = _voxels(train, where)
    return Data((train, test), (found, _voxels(test, where)[0])), int(constant.sum())


def given_layers(features: tuple[Any, Any], layers: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Layers in order, or those of them that are wanted."""
    for name, side in zip(("X", "X_test"), features, strict=True):
        if not isinstance(side, Mapping):
            raise TypeError(
                f"{name} must be a dict of layer name to features, in the order of the layers, "
                f"got {type(side).__name__}; for images give extractor= and layers=."
            )
    if layers is None and set(features[0]) != set(features[1]):
        apart = sorted(map(str, set(features[0]) ^ set(features[1])))
        raise ValueError(f"X and X_test need the same layers; only one of them has {apart}.")
    names = list(features[0]) if layers is None else _names(layers)
    absent = [name for name in names if any(name not in side for side in features)]
    if absent:
        raise ValueError(f"layers: X or X_test lacks {absent}; X has {list(features[0])}.")
    return {n: features[0][n] for n in names}, {n: features[1][n] for n in names}


def _names(layers: Any) -> list[str]:
    return [layers] if isinstance(layers, str) else list(layers)


def extract_layers(
    extractor: Any, layers: Any, images: tuple[Any, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Features of both sets: on disk where the extractor keeps them, else in memory."""
    names = _names(layers)
    if getattr(extractor, "cache", None) is None:
        return (
            extractor.extract(images[0], names, flatten=True),
            extractor.extract(images[1], names, flatten=True),
        )
    resolved = clone(extractor).set_params(layer=names).fit(images[0]).layers_
    found: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for side, some in zip(found, images, strict=True):
        extractor.precompute(some, resolved)
        for name in resolved:
            side[name] = clone(extractor).set_params(layer=name).fit(some).stored(some)
    return found


def names_of_images(images: Any) -> list[str] | None:
    """Paths of images, where they are given as such."""
    if getattr(getattr(images, "dtype", None), "kind", "O") not in "OUT":
        return None  # pixels, which are not read for this
    items = list(images)
    return [str(item) for item in items] if items and all(map(is_name, items)) else None


def _read_layers(
    features: tuple[Mapping[str, Any], Mapping[str, Any]], n_images: tuple[int, int]
) -> dict[str, Data]:
    """Layers in order; an image that is on both sides in all of them is refused."""
    if len(features[0]) < 2:
        raise ValueError(f"The layers are {list(features[0])}: a hierarchy needs two or more.")
    found: dict[str, Data] = {}
    seen: list[set[tuple[int, int]]] = []
    for name in features[0]:
        where = f"Layer {name!r}"
        train, test = (_matrix(side[name], where) for side in features)
        _check_columns((train, test), where, "units", _MIN_UNITS)
        for array, expected, kind in zip((train, test), n_images, _SETS, strict=True):
            if array.shape[0] != expected:
                raise ValueError(
                    f"{where} has {array.shape[0]} {kind} images, but there are {expected}."
                )
        rows = [
            _digest_rows(array, f"{where}, {kind} set")
            for array, kind in zip((train, test), _SETS, strict=True)
        ]
        digests = _digest_all(train, rows[0]), _digest_all(test, rows[1])
        found[str(name)] = Data((train, test), digests)
        place = {digest: row for row, digest in enumerate(rows[0])}
        seen.append({(place[d], row) for row, d in enumerate(rows[1]) if d in place})
    both = sorted(set.intersection(*seen))
    if both:
        same = [f"row {test} of X_test is row {train} of X" for train, test in both]
        raise ValueError(
            f"{len(both)} test images have the features of training images in all layers "
            f"({listed(same, show=str)}): an image must not be in both sets."
        )
    return found


def _matrix(array: Any, where: str) -> Any:
    """Two dimensions, in memory or lazy."""
    if is_lazy(array):
        found = FileDataset(array) if type(array).__module__.startswith("h5py") else array
    else:
        found = np.asarray(array)
        if found.ndim < 2:
            raise ValueError(f"{where} has shape {found.shape}: one row for each is needed.")
        found = found.reshape(len(found), -1)
    if found.dtype.kind not in "biuf":
        raise TypeError(f"{where} has dtype {found.dtype}: it must hold real numbers.")
    return found


def _check_columns(pair: tuple[Any, ...], where: str, what: str, least: int) -> None:
    n_train, n_test = (array.shape[1] for array in pair)
    if n_train != n_test:
        raise ValueError(f"{where} has {n_train} {what} for training, but {n_test} for test.")
    if n_train < least:
        raise ValueError(f"{where} has {n_train} {what}: at least {least} are needed.")


def _digest_rows(array: Any, where: str) -> list[bytes]:
    """A digest of each row."""
    found: list[bytes] = []
    for rows, part in row_parts(array):
        bad = not_finite(part) + rows.start
        if len(bad):
            raise ValueError(
                f"{where} has NaN or infinity in {len(bad)} images, the first is row {bad[0]}."
            )
        found += _digests(part)
    return found


def _digests(part: Any) -> list[bytes]:
    return [
        hashlib.blake2b(row.data, digest_size=_BYTES).digest()
        for row in np.ascontiguousarray(part)
    ]


def _digest_all(array: Any, rows: Iterable[bytes]) -> str:
    head = f"{array.dtype.str} {array.shape[1]} ".encode()
    return hashlib.blake2b(head + b"".join(rows), digest_size=_BYTES).hexdigest()


def _voxels(array: Any, where: str) -> tuple[str, Flags]:
    """A digest of the responses, and which voxels are constant.

    Raises
    ------
    ValueError
        If voxels have NaN or infinity.
    """
    first: Any = None
    bad, varies = np.zeros((2, array.shape[1]), dtype=bool)
    rows: list[bytes] = []
    for _, part in row_parts(array):
        first = part[0] if first is None else first
        bad[not_finite(part, axis=0)] = True
        varies |= (part != first).any(axis=0)
        rows += _digests(part)
    if bad.any():
        raise ValueError(
            f"{where} has NaN or infinity in {bad.sum()} of {len(bad)} voxels: "
            f"{listed(np.flatnonzero(bad).tolist())}. Leave them out, or replace the values."
        )
    return _digest_all(array, rows), ~varies


def _subjects_and_rois(responses: tuple[Any, Any]) -> tuple[list[str], list[str]]:
    """Names, in the order of training data and of its first subject."""
    for name, side in zip(("y", "y_test"), responses, strict=True):
        if not isinstance(side, Mapping) or not side:
            raise TypeError(f"{name} must be a dict of subjects to dicts of regions to arrays.")
        for subject, regions in side.items():
            if not isinstance(regions, Mapping):
                raise TypeError(
                    f"{name}[{subject!r}] must be a dict of regions, in the order of their "
                    f"hierarchy, to arrays, got {type(regions).__name__}."
                )
    if set(responses[0]) != set(responses[1]):
        apart = sorted(map(str, set(responses[0]) ^ set(responses[1])))
        raise ValueError(f"y and y_test need the same subjects; only one of them has {apart}.")
    subjects = list(responses[0])
    rois = list(responses[0][subjects[0]])
    for name, side in zip(("y", "y_test"), responses, strict=True):
        for subject in subjects:
            lacking = [roi for roi in rois if roi not in side[subject]]
            surplus = [roi for roi in side[subject] if roi not in rois]
            if lacking or surplus:
                raise ValueError(
                    f"{name}[{subject!r}] lacks {lacking} and has {surplus} beside: every subject "
                    f"needs the regions {rois}."
                )
    if len(rois) < 2:
        raise ValueError(f"y has the regions {rois}: a hierarchy needs two or more.")
    return subjects, rois


def _image_names(ids: Any, n_images: int, kind: int) -> list[Any] | None:
    """Names of the images, or None where they have none."""
    if ids is None:
        return None
    parameter = ("ids", "test_ids")[kind]
    names = id_list(ids, parameter)
    if len(names) != n_images:
        raise ValueError(
            f"{parameter} has {len(names)} names, but there are {n_images} {_SETS[kind]} images."
        )
    if len(set(names)) < len(names):
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        raise ValueError(f"{parameter} has names twice: {listed(twice)}.")
    return names


def _trial_rows(
    stimuli: Any, subject: str, n_trials: int, names: Any, n_images: int, kind: int
) -> Rows:
    """The image of each trial of one subject, as a row of the features."""
    parameter = ("stimuli", "test_stimuli")[kind]
    if stimuli is None:
        if n_trials != n_images:
            raise ValueError(
                f"{subject} has {n_trials} {_SETS[kind]} trials for {n_images} images: say with "
                f"{parameter}= which image each of them showed."
            )
        return np.arange(n_images)
    if isinstance(stimuli, Mapping):
        if subject not in stimuli:
            raise ValueError(f"{parameter} has no entry for {subject}; it has {list(stimuli)}.")
        stimuli = stimuli[subject]
    found = id_list(stimuli, f"{parameter} of {subject}")
    if len(found) != n_trials:
        raise ValueError(
            f"{parameter} of {subject} has {len(found)} entries for {n_trials} {_SETS[kind]} "
            "trials."
        )
    places = _places(found, range(n_images) if names is None else names, parameter)
    unknown = [item for item in dict.fromkeys(found) if _key(item) not in places]
    if unknown:
        raise ValueError(
            f"{parameter} of {subject} has {len(unknown)} images that are unknown: "
            f"{listed(unknown)}. "
            + (
                f"Without names of images ({('ids', 'test_ids')[kind]}=) they are rows, from 0 to "
                f"{n_images - 1}."
                if names is None
                else f"Images are named as in {('ids', 'test_ids')[kind]}, e.g. {names[0]!r}."
            )
        )
    return np.array([places[_key(item)] for item in found], dtype=np.intp)


def _places(items: Sequence[Any], images: Sequence[Any], what: str) -> dict[Any, int]:
    """Row of the image that each item stands for, by name where both are names."""
    places = {_key(image): row for row, image in enumerate(images)}
    named = {row: str(image) for row, image in enumerate(images) if is_name(image)}
    labels = [str(item) for item in dict.fromkeys(items) if is_name(item)]
    rows = list(named)
    found = zip(labels, find_images(labels, list(named.values()), what), strict=True)
    return places | {label: rows[place] for label, place in found if place is not None}


def _key(name: Any) -> Any:
    return str(name) if is_name(name) else name


def _check_shown(subject: str, train: Rows, test: Rows, n_test: int) -> None:
    if len(np.unique(train)) < _MIN_IMAGES:
        raise ValueError(
            f"{subject} saw {len(np.unique(train))} training images: at least {_MIN_IMAGES} are "
            "needed."
        )
    absent = np.setdiff1d(np.arange(n_test), test)
    if len(absent):
        raise ValueError(
            f"{subject} did not see {len(absent)} of the {n_test} test images (rows "
            f"{listed(absent.tolist())}): accuracies can only be compared over the same images."
        )


class FileDataset:
    """A dataset of h5py that can be sent to another process, which opens the file itself."""

    ndim = 2

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.shape, self.dtype = tuple(dataset.shape), dataset.dtype
        self.chunks = dataset.chunks

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        return self._dataset[key]

    def __reduce__(self) -> Any:
        return _open_dataset, (str(self._dataset.file.filename), self._dataset.name)


def _open_dataset(path: str, name: str) -> FileDataset:
    h5py = import_optional("h5py", "to read features in another process")
    return FileDataset(h5py.File(path, "r")[name])
