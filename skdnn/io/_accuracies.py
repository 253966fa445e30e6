"""Published accuracies of decoding and encoding: read, arranged by level, and scored."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from skdnn.encoding import (
    bootstrap_hierarchy_score,
    brain_hierarchy_score,
    hierarchy_permutation_test,
)
from skdnn.io._feature_folders import find_layer
from skdnn.io._file_faults import nearest_of, noting, refuse
from skdnn.io._mat import read_variable

VARIABLE = "accuracy"
Kind = Literal["decoding", "encoding"]
_KINDS: tuple[Kind, ...] = ("decoding", "encoding")
# layer -> subject -> ROI -> accuracies of units or voxels
NetworkAccuracies = dict[str, dict[str, dict[str, np.ndarray]]]


def read_accuracies(
    root: str | os.PathLike[str],
    settings: Mapping[str, Any] | str | os.PathLike[str],
    *,
    networks: Sequence[str] | None = None,
) -> dict[str, NetworkAccuracies]:
    """Read accuracies that lie as ``<root>/<network>/<layer>/<subject>/<ROI>/accuracy.mat``.

    Parameters
    ----------
    root : str or path-like
        Folder with the networks, or one that has them in ``ImageNetTest`` or ``*/ImageNetTest``,
        as an archive is unpacked.
    settings : mapping, str or path-like
        What to read: ``{"subjects": [...], "rois": [...], "dnns": {"AlexNet": {"dir":
        "caffe/AlexNet", "layers": [...]}}}``, layers and ROIs in the order of their hierarchies;
        or a JSON file with that. Of a longer ``dir`` its last two parts count.
    networks : sequence of str, default=None
        Which of the networks in `settings`; None reads all.

    Returns
    -------
    accuracies : dict of network to dict of layer to dict of subject to dict of ROI to ndarray
        Of float64, shape (n_units,) or (n_voxels,), everything in the order of `settings`.

    Raises
    ------
    FileNotFoundError
        If there is no such folder or file of settings.
    ValueError
        If the settings lack something, or files are missing or unreadable: all in one error.

    See Also
    --------
    skdnn.formats.as_hierarchy : What the brain hierarchy score takes.

    Examples
    --------
    >>> import tempfile
    >>> from skdnn.formats import read_accuracies, write_mat
    >>> settings = {"subjects": ["sub-01"], "rois": ["V1", "V2"],
    ...             "dnns": {"Net": {"dir": "caffe/Net", "layers": ["conv1"]}}}
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for roi, values in {"V1": [[.5, .4]], "V2": [[.3, .6]]}.items():
    ...         folder = f"{root}/ImageNetTest/caffe/Net/conv1/sub-01/{roi}"
    ...         write_mat(f"{folder}/accuracy.mat", {"accuracy": values})
    ...     read_accuracies(root, settings)["Net"]["conv1"]["sub-01"]
    {'V1': array([0.5, 0.4]), 'V2': array([0.3, 0.6])}
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"root: there is no folder {str(folder)!r}.")
    plan = _checked_settings(settings)
    wanted = list(plan["dnns"]) if networks is None else list(networks)
    for network in wanted:
        if network not in plan["dnns"]:
            near = nearest_of(network, plan["dnns"])
            raise ValueError(f"networks: {network!r} is not in settings. {near}")
    faults: dict[str, str] = {}
    made: dict[str, NetworkAccuracies] = {network: {} for network in wanted}
    files = [(network, *file) for network in wanted for file in _files(folder, plan, network)]
    for network, layer, subject, roi, path in files:
        place = made[network].setdefault(layer, {}).setdefault(subject, {})
        with noting(faults, path):
            place[roi] = np.asarray(read_variable(path, VARIABLE), dtype=np.float64).ravel()
    refuse(f"root: accuracies in {str(folder)!r}", faults, len(files))
    return made


def as_hierarchy(
    accuracies: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]],
    kind: Kind,
    *,
    max_per_subject: int | None = 1000,
    random_state: Any = 0,
) -> list[np.ndarray]:
    """Arrange the accuracies of one network as the brain hierarchy score takes them.

    Parameters
    ----------
    accuracies : mapping of layer to mapping of subject to mapping of ROI to ndarray
        Of one network, layers and ROIs in the order of their hierarchies; see `read_accuracies`.
    kind : {"decoding", "encoding"}
        Whether the accuracies are those of units, decoded from ROIs, or those of voxels, encoded
        by layers.
    max_per_subject : int, default=1000
        Where a subject has more units in a layer, or more voxels in an ROI, so many are drawn at
        random: the same units for all ROIs, the same voxels for all layers. None keeps all.
    random_state : int, RandomState instance or None, default=0
        For the draw. An integer starts each draw anew, as the original code does.

    Returns
    -------
    levels : list of float64 ndarray
        For decoding by layer, each (n_rois, n_units), for encoding by ROI, each
        (n_layers, n_voxels); subjects stand side by side.

    Raises
    ------
    ValueError
        If subjects or ROIs differ between layers, or numbers of units between ROIs, or of voxels
        between layers.

    See Also
    --------
    skdnn.formats.read_accuracies : Reads them.
    skdnn.encoding.brain_hierarchy_score : The score.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.formats import as_hierarchy
    >>> network = {"conv1": {"sub-01": {"V1": np.array([.5, .4]), "V2": np.array([.3, .6])}},
    ...            "fc6": {"sub-01": {"V1": np.array([.1, .2]), "V2": np.array([.2, .3])}}}
    >>> as_hierarchy(network, "encoding")[1]  # V2: layers x voxels
    array([[0.3, 0.6],
           [0.2, 0.3]])
    """
    if kind not in ("decoding", "encoding"):
        raise ValueError(f"kind must be 'decoding' or 'encoding', got {kind!r}.")
    if max_per_subject is not None and max_per_subject < 1:
        raise ValueError(f"max_per_subject must be 1 or more, or None, got {max_per_subject}.")
    layers, subjects, rois = _same_everywhere(accuracies)
    levels = []
    for level in layers if kind == "decoding" else rois:
        parts = []
        for subject in subjects:
            if kind == "decoding":
                rows = {roi: accuracies[level][subject][roi] for roi in rois}
            else:
                rows = {layer: accuracies[layer][subject][level] for layer in layers}
            sizes = {name: int(np.size(values)) for name, values in rows.items()}
            n = next(iter(sizes.values()))
            if set(sizes.values()) != {n}:
                raise ValueError(
                    f"accuracies: {level}, {subject} has different numbers of values: {sizes}."
                )
            part = np.array([np.asarray(values, np.float64).ravel() for values in rows.values()])
            if max_per_subject is not None and n > max_per_subject:
                random = check_random_state(random_state)
                part = part[:, random.choice(n, max_per_subject, replace=False)]
            parts.append(part)
        levels.append(np.hstack(parts))
    return levels


def read_settings(settings: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a ``settings.json``, which lists subjects, ROIs and networks.

    Parameters
    ----------
    settings : str or path-like
        The file; see `read_accuracies` for what it holds.

    Returns
    -------
    settings : dict
        With the keys ``subjects``, ``rois`` and ``dnns``.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If it is no JSON, or lacks something.

    See Also
    --------
    skdnn.formats.read_accuracies : Reads what is listed.

    Examples
    --------
    >>> from skdnn.formats import read_settings
    >>> list(read_settings("settings.json")["dnns"])[:2]  # doctest: +SKIP
    ['AlexNet', 'VGG-F']
    """
    path = Path(settings).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"settings: there is no file {str(path)!r}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"settings: {str(path)!r} is no JSON ({error}).") from error
    return _checked_settings(content)


def score_accuracies(
    root: str | os.PathLike[str],
    settings: Mapping[str, Any] | str | os.PathLike[str],
    *,
    networks: Sequence[str] | None = None,
    direction: str = "both",
    n_samples: int = 50,
    alpha: float = 0.05,
    test: str = "published",
    adjust: str | None = None,
    n_layers: int | None = None,
    n_boot: int = 1000,
    n_permutations: int = 0,
    random_state: int = 0,
) -> pd.DataFrame:
    """Rank networks by the brain hierarchy score of published accuracies.

    Parameters
    ----------
    root : str or path-like
        A folder with ``decoding`` and ``encoding``, or one of them, each as
        :func:`read_accuracies` takes it.
    settings : mapping, or str or path-like
        Subjects, ROIs and networks with their layers, or the JSON file that lists them.
    networks : sequence of str or None, default=None
        Which of them; None takes all.
    direction : {"both", "decoding", "encoding"}, default="both"
        Units decoded from voxels, voxels encoded from units, or both.
    n_samples : int, default=50
        Test images behind each accuracy.
    alpha : float, default=0.05
        Level of the test of each accuracy.
    test : {"published", "t"}, default="published"
        As of :func:`skdnn.encoding.brain_hierarchy_score`.
    adjust : {"sidak"} or None, default=None
        As of :func:`skdnn.encoding.brain_hierarchy_score`.
    n_layers : int or None, default=None
        Decoding: the mean over random selections of so many layers; such a score has no interval.
    n_boot : int, default=1000
        Resamples behind the interval; 0 for none.
    n_permutations : int, default=0
        Pairings behind a p-value; 0 for none.
    random_state : int, default=0
        Of everything random.

    Returns
    -------
    ranking : DataFrame
        A row for each network, the best first: ``rank``, ``network``, ``score`` (the mean over
        directions, in the last column), and for each direction the score under its name and, with
        its name in front, ``_low``, ``_high``, ``_p`` and ``_expected``.

    Raises
    ------
    FileNotFoundError
        If `root` holds no such folder, or accuracies are missing.
    ValueError
        If accuracies do not fit the settings.

    See Also
    --------
    read_accuracies : Reads them.
    skdnn.encoding.brain_hierarchy_score : The score.

    Examples
    --------
    >>> from skdnn.formats import score_accuracies
    >>> table = score_accuracies("published/", "published/settings.json")  # doctest: +SKIP
    >>> table[["rank", "network", "score"]]  # doctest: +SKIP
    """
    given = dict(settings) if isinstance(settings, Mapping) else read_settings(settings)
    folders = _folders(Path(root), direction)
    rule: dict[str, Any] = {"n_samples": n_samples, "alpha": alpha, "test": test, "adjust": adjust}
    drawn: dict[str, Any] = {"random_state": random_state}
    rows = []
    for network in networks if networks is not None else list(given["dnns"]):
        row: dict[str, Any] = {"network": network}
        for kind, folder in folders.items():
            accuracies = read_accuracies(folder, given, networks=[network])[network]
            levels = as_hierarchy(accuracies, kind, **drawn)
            few = n_layers if kind == "decoding" and n_layers and n_layers < len(levels) else None
            score: Any = brain_hierarchy_score(levels, n_layers=few, **rule, **drawn)
            row[kind] = float(score)
            if n_permutations:
                tested = hierarchy_permutation_test(
                    levels, n_permutations=n_permutations, **rule, **drawn
                )
                row |= {f"{kind}_p": tested.p_value, f"{kind}_expected": tested.expected}
            if n_boot and not few:
                alone = [
                    {layer: {subject: each[subject]} for layer, each in accuracies.items()}
                    for subject in given["subjects"]
                ]
                by_subject = [as_hierarchy(one, kind, **drawn) for one in alone]
                boot = bootstrap_hierarchy_score(
                    by_subject, n_boot=n_boot, shared_units=kind == "decoding", **rule, **drawn
                )
                row |= {f"{kind}_low": boot.low, f"{kind}_high": boot.high}
        rows.append(row)
    table = pd.DataFrame(rows)
    table["score"] = table[list(folders)].mean(axis=1, skipna=False)
    table = table.sort_values("score", ascending=False, ignore_index=True)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    return table


def _checked_settings(settings: Any) -> dict[str, Any]:
    if isinstance(settings, str | os.PathLike):
        return read_settings(settings)
    if not isinstance(settings, Mapping):
        raise TypeError(f"settings must be a mapping or a path, got {type(settings).__name__}.")
    missing = [key for key in ("subjects", "rois", "dnns") if not settings.get(key)]
    if missing:
        raise ValueError(f"settings has no {' and no '.join(map(repr, missing))}.")
    for name, network in settings["dnns"].items():
        lacks = [key for key in ("dir", "layers") if not network.get(key)]
        if lacks:
            raise ValueError(f"settings: the network {name!r} has no {' and no '.join(lacks)}.")
    return dict(settings)


def _files(
    root: Path, settings: Mapping[str, Any], network: str
) -> Iterator[tuple[str, str, str, Path]]:
    """Layer, subject, ROI and file; the file's folder is guessed where there is none."""
    folder = _network_folder(root, settings["dnns"][network]["dir"])
    for layer in settings["dnns"][network]["layers"]:
        try:
            place = find_layer(folder, layer)
        except FileNotFoundError:
            place = folder / layer
        for subject in settings["subjects"]:
            for roi in settings["rois"]:
                yield layer, subject, roi, place / subject / roi / "accuracy.mat"


def _network_folder(root: Path, name: str) -> Path:
    """Where a network's layers lie: in the root, or in the part of the test images within."""
    parts = PurePosixPath(name).parts
    spellings = [Path(*parts)] if not PurePosixPath(name).is_absolute() else []
    within = [path for path in root.glob("*/ImageNetTest") if path.parent.name != "__MACOSX"]
    bases = (root, root / "ImageNetTest", *sorted(within))
    places = [base / part for part in (*spellings, Path(*parts[-2:])) for base in bases]
    return next((place for place in places if place.is_dir()), places[0])


def _same_everywhere(
    accuracies: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]],
) -> tuple[list[str], list[str], list[str]]:
    """Layers, subjects and ROIs, if every layer has the same subjects and ROIs."""
    if not accuracies:
        raise ValueError("accuracies is empty: a hierarchy needs layers.")
    layers = list(accuracies)
    subjects = list(accuracies[layers[0]])
    if not subjects:
        raise ValueError(f"accuracies: the layer {layers[0]!r} has no subjects.")
    rois = list(accuracies[layers[0]][subjects[0]])

    def check(what: str, held: Mapping[str, Any], expected: list[str]) -> None:
        if set(held) != set(expected):
            raise ValueError(f"accuracies: {what} {list(held)}, {layers[0]!r} {expected}.")

    for layer, by_subject in accuracies.items():
        check(f"{layer!r} has the subjects", by_subject, subjects)
        for subject, by_roi in by_subject.items():
            check(f"{layer!r}, {subject!r} has the ROIs", by_roi, rois)
    return layers, subjects, rois


def _folders(root: Path, direction: str) -> dict[Kind, Path]:
    """The folder of each kind of accuracies."""
    kinds = [kind for kind in _KINDS if direction in ("both", kind)]
    if not kinds:
        raise ValueError(f"direction={direction!r}: use 'both', 'decoding' or 'encoding'.")
    found = {kind: root / kind for kind in kinds if (root / kind).is_dir()}
    if not found:
        raise FileNotFoundError(f"{root} holds no folder {' or '.join(kinds)}.")
    return found
