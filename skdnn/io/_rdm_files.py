"""RDMs in files: labelled where the file says so, refused where they are none."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skdnn._files import refuse_existing, write_whole
from skdnn.io._file_formats import by_extension
from skdnn.io._hdf5_dialects import of_frame as of_table
from skdnn.io._load_features import read_files, tell
from skdnn.io._rdm_forms import (
    LEVELS,
    RDMs,
    as_squares,
    check_labels,
    of_array,
    of_frame,
    together,
)
from skdnn.io._reading import Ask, DamageError, Raw
from skdnn.io._row_names import names_of
from skdnn.io._save_features import save_features
from skdnn.io._text_features import is_ours
from skdnn.io._text_tables import is_number, read_table
from skdnn.rsa._comparison._rdm_stack import check_square

_MEADOWS = "rdmutv_"  # behind it, the name of a participant
_TEXT = (".csv", ".tsv", ".txt")
_BINARY = (".npy", ".npz", ".mat", ".h5", ".hdf5")
_WRITTEN = (*_TEXT, *_BINARY)


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
    if place.suffix.lower() in _TEXT and place.is_file() and not is_ours(place):
        try:
            found = _of_text(place).only(key, place)
        except DamageError as error:
            raise ValueError(f"{place}: {error}.") from error
    elif by_extension(place) is None:
        known = ", ".join((*_WRITTEN, ".parquet", ".nc"))
        raise ValueError(f"{place} is no file of a format that holds RDMs: {known}.")
    else:
        raw = read_files(place, None, Ask(external=external, rdm=True), check=check)
        tell(raw)
        found = _of_members(place, key, raw)
    return _frame(_labelled(found, labels, place), place)


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
        of shape (n_rdms, n_conditions, n_conditions) or (n_rdms, n_pairs), or a dict by name, of
        which all are put in the order of the first by their labels.
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
    refuse_existing(place, overwrite)
    made = _given(rdm, labels)
    if kind in _TEXT:
        _write_text(made, place)
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


def _of_text(place: Path) -> RDMs:
    """A table with names on both sides, on one side or on none."""
    table = read_table(place)
    numbers = [str(n) for n in range(1, len(table.values) + 1)]
    # R counts rows 1, 2, 3 and columns V1, V2, V3 of a matrix without names.
    if table.names == numbers and table.head in ([[f"{x}{n}" for n in numbers]] for x in "VX"):
        return of_array(table.values, None, place)
    if table.names is not None and table.head:
        levels = [corner or None for corner in table.corners]
        columns: Any = pd.MultiIndex.from_arrays(table.head, names=levels)
        columns = columns if len(levels) > 1 else pd.Index(table.head[0], name=levels[0])
        frame = pd.DataFrame(table.values, pd.Index(table.names, name=levels[-1]), columns)
        return of_frame(frame, place)
    if as_squares(table.values) is None:
        rows, columns = np.shape(table.values)
        raise DamageError(
            f"it holds no RDM of three or more conditions, but a table of {rows} rows and "
            f"{columns} columns of numbers: a square table is needed, or the n(n-1)/2 values "
            "above its diagonal"
        )
    found = of_array(table.values, table.names or (table.head[-1] if table.head else None), place)
    if len(found.labels or ()) != len(found.squares[0]):
        found.labels = None  # names of pairs
    return found


def _of_members(place: Path, key: str | None, raw: Raw) -> RDMs:
    """One of the arrays of a file, or all that belong together."""
    about = raw.provenance.get("rdm") or {}
    labels = about.get("conditions") or raw.labels
    if about.get("names") is not None:
        names = [tuple(name) for name in about["names"]]
        squares = list(raw.arrays[""] if list(raw.arrays) == [""] else raw.arrays.values())
        return RDMs(squares, labels, names, about["levels"]).only(key, place)
    chosen = _chosen(raw, key, place)
    found = [_of_member(raw, one, labels, place) for one in chosen]
    if len(found) == 1:
        found[0].levels = about.get("levels", found[0].levels)
        return found[0]
    titles = [_title(raw, one) for one in chosen]
    titles = chosen if len(set(titles)) < len(titles) else titles
    return together(dict(zip(titles, found, strict=True)), ["name", "condition"], place)


def _of_member(raw: Raw, one: str, labels: list[Any] | None, place: Path) -> RDMs:
    frame = raw.frames.get(one)
    if frame is not None and set(frame.index) == set(frame.columns.get_level_values(-1)):
        return of_frame(frame, place)
    if frame is not None:  # each has rows of its own
        labels = of_table(frame).labels
    found = of_array(raw.arrays[one], labels, place)
    n = len(found.squares[0])
    if labels is None:
        try:
            names = names_of(raw, one, n, places=raw.arrays, unique=True)
        except DamageError as error:
            raise ValueError(f"{place}: {error}.") from error
        found.labels = None if names is None else raw.texts[names]
    elif raw.header is None and labels is not None and len(labels) != n:
        found.labels = None  # of features beside
    return found


def _chosen(raw: Raw, key: str | None, place: Path) -> list[str]:
    """Which arrays: the one that is asked for or fits, or those of one array of structs."""
    fits = [one for one, array in raw.arrays.items() if as_squares(array) is not None]
    # Beside .RDM, MATLAB's RSA toolbox keeps .color, as long as the pairs of three conditions.
    fields = [one for one in fits if one.lower().endswith(".rdm")]
    if key is not None and key not in raw.arrays:
        plain = key.replace("{", "(").replace("}", ")")
        fits = [one for one in fields or fits if plain in _calls(raw, one)]
        if not fits:
            held = ", ".join(
                map(repr, filter(None, [*raw.arrays, *(_title(raw, one) for one in fields)]))
            )
            raise ValueError(
                f"{place} holds no key={key!r}, but {held or 'one array without a name'}."
            )
    fits = [key] if key in raw.arrays else fields or fits if key is None else fits
    if not fits:
        return [next(iter(raw.arrays))]
    if len({_group(one) for one in fits}) > 1:
        raise ValueError(
            f"{place} holds several arrays that could be RDMs: say which with key=, one of "
            f"{', '.join(map(repr, fits))}."
        )
    return fits


def _calls(raw: Raw, one: str) -> set[str]:
    """What an RDM in a struct can be called: RDMs.RDM, RDMs(2).RDM, RDMs(2), RDMs, its name."""
    parent = one.rpartition(".")[0] or one
    first = {f"{parent}(1)"} if "(" not in one else set()
    return {one, parent, _group(one), _group(parent), _title(raw, one)} | first


def _title(raw: Raw, one: str) -> str:
    """The name field of a struct, the participant of Meadows, or the place."""
    title = raw.texts.get(f"{one.rpartition('.')[0]}.name")
    return title if isinstance(title, str) else one.removeprefix(_MEADOWS)


def _group(one: str) -> str:
    """What RDMs of one struct array, one cell or one file of Meadows have in common."""
    return _MEADOWS if one.startswith(_MEADOWS) else re.sub(r"\(\d+\)", "", one)


def _labelled(found: RDMs, labels: Sequence[Any] | None, what: object) -> RDMs:
    """The same with `labels`, if they are given, and are its own where it has some."""
    if labels is None:
        return found
    given = check_labels(labels, len(found.squares[0]))
    for own, label in zip(found.labels or given, given, strict=True):
        if str(own) != str(label):
            raise ValueError(
                f"{what} has labels of its own, and they are not those of labels=: {own!r} there, "
                f"{label!r} here."
            )
    return replace(found, labels=given)


def _frame(found: RDMs, place: Path) -> pd.DataFrame:
    """The table, after all checks."""
    labels = None if found.labels is None else check_labels(found.labels, len(found.squares[0]))
    squares = []
    for number, square in enumerate(found.squares):
        name = "" if found.names is None else "/".join(map(str, found.names[number]))
        squares.append(check_square(square, f"{place}, {name}" if name else str(place), labels))
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
        parts = {name: _given(item, labels) for name, item in rdm.items()}
        return together(parts, LEVELS, "rdm")
    if isinstance(rdm, pd.DataFrame):
        found = of_frame(rdm, "rdm")
    else:
        found = of_array(np.asarray(rdm, dtype=np.float64), None, "rdm")
    found = _labelled(found, labels, "rdm")
    found.squares = [check_square(square, "rdm", found.labels) for square in found.squares]
    return found


def _write_text(rdms: RDMs, path: Path) -> None:
    """A table with names in the first row and column, or without any names."""
    buffer = io.StringIO()
    comma = "," if path.suffix.lower() == ".csv" else "\t"
    returns = any("\r" in str(label) for label in rdms.labels or ())
    quoting: Any = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    out = csv.writer(buffer, delimiter=comma, lineterminator="\n", quoting=quoting)
    names = [()] if rdms.names is None else rdms.names
    if rdms.labels is None and rdms.names is not None:
        raise ValueError(
            "A text file of several RDMs tells them apart by the labels of their conditions: give "
            "labels=, or save as .h5, .mat or .npy."
        )
    if rdms.labels is not None:
        labels = [str(label) for label in rdms.labels]
        if len(set(labels)) < len(labels):
            raise ValueError("Labels of conditions are the same text: rename them.")
        for level, what in enumerate(rdms.levels[:-1]):
            header = [str(name[level]) for name in names for _ in labels]
            out.writerow([_corner(what), *header])
        out.writerow([_corner(rdms.levels[-1]), *labels * len(names)])
    for number, row in enumerate(np.hstack(rdms.squares).tolist()):
        start = [] if rdms.labels is None else [str(rdms.labels[number])]
        out.writerow([*start, *row])
    write_whole(path, buffer.getvalue().encode("utf-8"))


def _corner(name: Any) -> str:
    """What stands above the labels of rows: no number, by which tables without names are known."""
    return "" if name is None or is_number(str(name)) else str(name)
