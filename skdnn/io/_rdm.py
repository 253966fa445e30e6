"""RDMs in files: labelled where the file says so, refused where they are none."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skdnn.io import _rdm_text
from skdnn.io._content import Ask, DamageError, Raw
from skdnn.io._formats import by_extension
from skdnn.io._load import read_files, tell
from skdnn.io._members import names_of
from skdnn.io._rdm_check import LEVELS, RDMs, as_squares, check_labels, check_rdm
from skdnn.io._save import save_features
from skdnn.io._text import is_ours

_MEADOWS = "rdmutv_"  # behind it, the name of a participant
_BINARY = (".npy", ".npz", ".mat", ".h5", ".hdf5")
_WRITTEN = (*_rdm_text.EXTENSIONS, *_BINARY)


def load_rdm(
    path: str | os.PathLike[str],
    *,
    labels: Sequence[Any] | None = None,
    key: str | None = None,
    check: bool = False,
    external: bool = False,
) -> pd.DataFrame:
    """Load an RDM, or those of several subjects, with the labels of its conditions.

    Parameters
    ----------
    path : str or path-like
        A .csv, .tsv or .txt file, .npy, .npz, .mat (version 4, 5 or 7.3), .h5, .parquet or .nc;
        what is in it see Notes.
    labels : sequence of str or int, default=None
        Names of the conditions, in the order of the file's rows, where the file has none. Where
        it has some, they must be the same.
    key : str or None, default=None
        Which variable, or which of the RDMs that were saved together; needed where several could
        be meant. In an array of structs, as MATLAB's RSA toolbox has it, ``"RDMs(2)"``,
        ``"RDMs.RDM"`` (all of them) or the struct's ``name``.
    check, external : bool, default=False
        As for :func:`load_features`.

    Returns
    -------
    rdm : DataFrame of float64, shape (n_conditions, n_conditions)
        Index and columns are the labels; without any, both are mere counts (a
        :class:`pandas.RangeIndex`). With several RDMs the shape is (n_conditions, n_rdms *
        n_conditions), and the columns are a MultiIndex whose last level is the condition, as
        :class:`~skdnn.RSAScorer` takes them.

    Raises
    ------
    ValueError
        If there is no RDM in it, or several that could be meant; if it is not symmetric, its
        diagonal is not zero, it holds similarities, infinity or text in place of numbers,
        naming file and place; or if labels repeat or don't fit.
    FileNotFoundError
        If there is no such file.

    See Also
    --------
    skdnn.io.save_rdm : Save an RDM.
    skdnn.rsa.compare_rdms : Compare them; different orders are matched by their labels.

    Notes
    -----
    A text file holds a square table with the names of conditions in the first row and the first
    column (pandas' ``to_csv``; several header rows: several RDMs side by side), or in one of
    them; a square table without names; or the :math:`n(n-1)/2` values above the diagonal in the
    order of :func:`scipy.spatial.distance.squareform`, a line for each RDM. Columns that are
    ordered otherwise than rows are put in order by name. Empty cells are unknown (NaN).

    An array file holds one RDM as ``(n, n)`` or ``n(n-1)/2`` values, or a stack ``(k, n, n)``,
    ``(n, n, k)`` or ``(k, n(n-1)/2)``. Labels are those that :func:`save_rdm` or
    :func:`save_features` wrote, or names that other programs keep beside the RDM: a list of text
    of that length, rsatoolbox's pattern descriptors, an index of pandas, Meadows' ``stimuli``.

    Triangles may differ by 1e-6 of the largest value, and their mean is taken. NaN are kept, and
    on the diagonal replaced by zero.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skdnn.io import load_rdm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "it.csv")
    ...     _ = file.write_text(",cat,dog,saw\\ncat,0,0.2,0.9\\ndog,0.2,0,0.8\\nsaw,0.9,0.8,0\\n")
    ...     load_rdm(file)
         cat  dog  saw
    cat  0.0  0.2  0.9
    dog  0.2  0.0  0.8
    saw  0.9  0.8  0.0
    """
    place = Path(path)
    if place.suffix.lower() in _rdm_text.EXTENSIONS and place.is_file() and not is_ours(place):
        try:
            found = _rdm_text.read(place)
        except DamageError as error:
            raise ValueError(f"{place}: {error}.") from error
        if key is not None and found.names is None:
            raise ValueError(f"{place} holds one RDM without a name: key={key!r} picks none.")
        found = found.only(key, place)
    elif by_extension(place) is None:
        known = ", ".join((*_WRITTEN, ".parquet", ".nc"))
        raise ValueError(f"{place} is no file of a format that holds RDMs: {known}.")
    else:
        raw = read_files(place, None, Ask(external=external, rdm=True), check=check)
        tell(raw)
        found = _from_arrays(place, key, raw)
    if labels is not None:
        found.labels = _agreed(found.labels, check_labels(labels, len(found.squares[0])), place)
    return _frame(found, place)


def save_rdm(
    rdm: Any,
    path: str | os.PathLike[str],
    *,
    labels: Sequence[Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Save an RDM, or those of several subjects, with the labels of its conditions.

    Parameters
    ----------
    rdm : DataFrame, array-like or mapping of str to these
        One RDM: a DataFrame labelled in rows and columns, a square array, or its condensed form.
        Several: a DataFrame whose columns are a MultiIndex that ends in the condition, a stack
        of shape (n_rdms, n_conditions, n_conditions) or (n_rdms, n_pairs), or a dict by name.
    path : str or path-like
        The file; its extension (.csv, .tsv, .npy, .npz, .mat or .h5) is the format. Missing
        folders are made.
    labels : sequence of str or int, default=None
        Names of the conditions, where `rdm` has none.
    overwrite : bool, default=False
        Replace the file if it is there.

    Returns
    -------
    path : Path
        The file.

    Raises
    ------
    ValueError
        If it is no RDM, the extension is unknown, or labels repeat or don't fit.
    FileExistsError
        If there is such a file and `overwrite` is false.

    See Also
    --------
    skdnn.io.load_rdm : Load what was saved.
    skdnn.io.save_features : Says how the array files look.

    Notes
    -----
    The file is there completely or not at all. Text holds the labels in the first row and the
    first column, with a header row for each level of columns, and every digit; it reads integer
    labels back as text. Array files hold one square array, ``features``; of several RDMs one
    array by name, or in .npy a stack (n_rdms, n_conditions, n_conditions). The labels of an .npy
    file lie beside it, in a file of the same name plus ``.json``.

    Examples
    --------
    >>> import tempfile
    >>> from skdnn.io import load_rdm, save_rdm
    >>> subjects = {"sub-01": [0.1, 0.8, 0.9], "sub-02": [0.2, 0.7, 0.7]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_rdm(subjects, f"{folder}/it.h5", labels=["cat", "dog", "saw"])
    ...     loaded = load_rdm(path)
    >>> loaded["sub-02"].loc["cat", "saw"]
    np.float64(0.7)
    """
    place = Path(path)
    kind = place.suffix.lower()
    if kind not in _WRITTEN:
        raise ValueError(f"path={str(path)!r} must end in one of {', '.join(_WRITTEN)}.")
    if place.exists() and not overwrite:
        raise FileExistsError(
            f"{place} exists: give overwrite=True to replace it, or another name."
        )
    made = _given(rdm, labels)
    if kind in _rdm_text.EXTENSIONS:
        _rdm_text.write(made, place)
        return place
    features: Any = np.stack(made.squares) if kind == ".npy" else made.by_name()
    single = made.names is None
    about = {"names": made.names, "levels": made.levels, "conditions": made.labels}
    save_features(
        made.squares[0] if single else features,
        place,
        labels=made.labels if single or kind != ".npy" else None,
        provenance={"rdm": about},
        overwrite=overwrite,
    )
    return place


# --- reading ---------------------------------------------------------------------------------


def _from_arrays(place: Path, key: str | None, raw: Raw) -> RDMs:
    """One of the arrays of a file, or all that belong together."""
    about = raw.provenance.get("rdm") or {}
    labels = about.get("conditions") or raw.labels
    if about.get("names") is not None:
        names = [tuple(name) for name in about["names"]]
        single = list(raw.arrays) == [""]
        squares = list(raw.arrays[""] if single else raw.arrays.values())
        return RDMs(squares, labels, names, about["levels"]).only(key, place)
    chosen = _chosen(raw, key, place)
    if len(chosen) == 1 and (frame := _labelled_frame(raw, chosen[0])) is not None:
        return _of_frame(frame)
    found = [_rdm_of(raw, one, labels, place) for one in chosen]
    if len(found) == 1:
        found[0].levels = about.get("levels", found[0].levels)
        return found[0]
    squares, first = [], found[0].labels
    for one, rdm in zip(chosen, found, strict=True):
        if len(rdm.squares) > 1 or len(rdm.squares[0]) != len(found[0].squares[0]):
            raise ValueError(f"{place}: {one!r} is not an RDM like the others: say which by key=.")
        if first is not None and sorted(rdm.labels or []) != sorted(first):
            raise ValueError(f"{place}: {one!r} has other conditions: say which RDM by key=.")
        order = slice(None) if first is None else [(rdm.labels or []).index(x) for x in first]
        squares.append(rdm.squares[0][order][:, order])
    titles = [_title(raw, one) for one in chosen]
    if len(set(titles)) < len(titles):
        titles = chosen
    return RDMs(squares, first, [(title,) for title in titles], ["name", "condition"])


def _rdm_of(raw: Raw, one: str, labels: list[Any] | None, place: Path) -> RDMs:
    squares, single = as_squares(raw.arrays[one]) or _no_rdm(raw.arrays[one], place)
    n = len(squares[0])
    if labels is None and (names := names_of(raw, one, n, unique=True)) is not None:
        labels = raw.texts[names]
    fits = labels is not None and (raw.header is not None or len(labels) == n)
    return RDMs.counted(squares, labels if fits else None, single=single)


def _chosen(raw: Raw, key: str | None, place: Path) -> list[str]:
    """Which arrays: the one that is asked for or fits, or those of one array of structs."""
    fits = [one for one, array in raw.arrays.items() if as_squares(array) is not None]
    fields = [one for one in fits if re.search(r"\.rdm$", one, re.IGNORECASE)]
    fits = fields or fits  # beside .RDM, MATLAB's RSA toolbox keeps .color
    if key is not None:
        if key in raw.arrays:
            return [key]
        plain = key.replace("{", "(").replace("}", ")")
        fits = [one for one in fits if plain in _calls(raw, one)]
        if not fits:
            titles = [name for one in fields if (name := _title(raw, one)) != one]
            held = ", ".join(map(repr, filter(None, [*raw.arrays, *titles])))
            raise ValueError(f"{place} holds no key={key!r}, but {held or 'one without a name'}.")
    if not fits:
        _no_rdm(next(iter(raw.arrays.values())), place)
    if len({_group(one) for one in fits}) > 1:
        raise ValueError(
            f"{place} holds several arrays that could be RDMs: say which with key=, one of "
            f"{', '.join(map(repr, fits))}."
        )
    return fits


def _calls(raw: Raw, one: str) -> set[str]:
    """What an RDM in a struct can be called: RDMs.RDM, RDMs(2).RDM, RDMs(2), RDMs, its name."""
    parents = {one, one.rpartition(".")[0] or one}
    parents |= {re.sub(r"\(\d+\)", "", name) for name in parents}
    if "(" not in one and "." in one:
        parents |= {f"{one.rpartition('.')[0]}(1)"}
    return parents | {_title(raw, one)}


def _title(raw: Raw, one: str) -> str:
    """The name field of a struct, the participant of Meadows, or the place."""
    parent = one.rpartition(".")[0]
    title = raw.texts.get(f"{parent}.name")
    return title if isinstance(title, str) else one.removeprefix(_MEADOWS)


def _group(one: str) -> str:
    """What RDMs of one struct array, cell or participant file have in common."""
    return _MEADOWS if one.startswith(_MEADOWS) else re.sub(r"\(\d+\)", "", one)


def _labelled_frame(raw: Raw, one: str) -> pd.DataFrame | None:
    """A table of pandas whose columns are named like its rows."""
    frame = raw.frames.get(one)
    if frame is None or isinstance(frame.index, pd.RangeIndex):
        return None
    return frame if set(frame.index) == set(frame.columns.get_level_values(-1)) else None


def _no_rdm(array: Any, place: Path) -> Any:
    shape = tuple(array.shape)
    reason = "a square matrix is needed, or its n(n-1)/2 values above the diagonal"
    if len(shape) > 3:
        reason = f"it has {len(shape)} axes, and a stack of RDMs has three: choose a part of it"
    raise ValueError(
        f"{place} holds no RDM of three or more conditions, but an array of shape {shape}: "
        f"{reason}."
    )


def _agreed(own: list[Any] | None, given: list[Any], place: Path) -> list[Any]:
    if own is not None and [str(label) for label in own] != [str(label) for label in given]:
        wrong = next((a, b) for a, b in zip(own, given, strict=True) if str(a) != str(b))
        raise ValueError(
            f"{place} has labels of its own, and they are not those of labels=: {wrong[0]!r} "
            f"there, {wrong[1]!r} here."
        )
    return given


def _frame(found: RDMs, place: Path) -> pd.DataFrame:
    """The table, after all checks."""
    labels = None if found.labels is None else check_labels(found.labels, len(found.squares[0]))
    squares = []
    for number, square in enumerate(found.squares):
        name = "" if found.names is None else "/".join(map(str, found.names[number]))
        squares.append(check_rdm(square, f"{place}, {name}" if name else str(place), labels))
    count = pd.RangeIndex(len(squares[0]))
    index = count if labels is None else pd.Index(labels)
    index = index.rename(found.levels[-1])
    if found.names is None:
        return pd.DataFrame(squares[0], index=index, columns=index)
    pairs = [(*name, label) for name in found.names for label in index]
    columns = pd.MultiIndex.from_tuples(pairs, names=found.levels)
    return pd.DataFrame(np.hstack(squares), index=index, columns=columns)


# --- what is saved ---------------------------------------------------------------------------


def _given(rdm: Any, labels: Sequence[Any] | None) -> RDMs:
    """RDMs in any form, checked."""
    if isinstance(rdm, Mapping):
        if not rdm:
            raise ValueError("rdm is a dict without any RDM.")
        parts = [_given(item, labels) for item in rdm.values()]
        if any(part.names is not None for part in parts):
            raise ValueError("rdm is a dict, so each of its values must be one RDM.")
        own = [part.labels for part in parts]
        if any(one != own[0] for one in own):
            raise ValueError("The RDMs of the dict differ in their labels: put them in one order.")
        squares = [part.squares[0] for part in parts]
        if len({len(square) for square in squares}) > 1:
            raise ValueError("The RDMs of the dict differ in their numbers of conditions.")
        return RDMs(squares, own[0], [(name,) for name in rdm], list(LEVELS))
    found = _of_frame(rdm) if isinstance(rdm, pd.DataFrame) else _of_array(rdm)
    n = len(found.squares[0])
    if labels is not None:
        found.labels = _agreed(found.labels, check_labels(labels, n), Path("rdm"))
    elif found.labels is not None:
        found.labels = check_labels(found.labels, n)
    found.squares = [check_rdm(square, "rdm", found.labels) for square in found.squares]
    return found


def _of_array(rdm: Any) -> RDMs:
    array = np.asarray(rdm, dtype=np.float64)
    squares, single = as_squares(array) or _no_rdm(array, Path("rdm"))
    return RDMs.counted(squares, None, single=single)


def _of_frame(frame: pd.DataFrame) -> RDMs:
    counted = isinstance(frame.index, pd.RangeIndex)
    labels = None if counted else frame.index.tolist()
    if not isinstance(frame.columns, pd.MultiIndex):
        return RDMs([_square(frame)], labels, None, [frame.index.name])
    keys = frame.columns.droplevel(-1)
    frame = frame.set_axis(frame.columns.get_level_values(-1), axis=1)
    squares = [_square(frame.loc[:, keys == key]) for key in keys.unique()]
    names = [key if isinstance(key, tuple) else (key,) for key in keys.unique()]
    return RDMs(squares, labels, names, [*keys.names, frame.columns.name])


def _square(frame: pd.DataFrame) -> np.ndarray:
    """Values with the columns in the order of the rows."""
    same = sorted(map(repr, frame.index)) == sorted(map(repr, frame.columns))
    if not same or not frame.index.is_unique:
        raise ValueError(
            f"rdm must have the same labels in its rows and columns, once each; it has shape "
            f"{frame.shape}."
        )
    return frame.loc[:, frame.index].to_numpy(dtype=np.float64)
