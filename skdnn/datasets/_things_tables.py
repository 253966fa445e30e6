"""Tables that come with the THINGS database: concepts, their order, images and categories."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from skdnn._wording import listed

_LEVELS = 2
_TABLES = ("thingsconcepts", "conceptsmetadatathings", "conceptsmetadata")
_ORDERS = ("uniqueid", "uniqueids")
_IMAGES = ("imagepaths",)
_CATEGORIES = ("category27manual", "categorymatmanual")
_TEXT = {".tsv": "\t", ".csv": ",", ".txt": "\t"}


@dataclass(frozen=True)
class Tables:
    """What the tables say, by unique identifier.

    Attributes
    ----------
    table : DataFrame
        The concepts in THINGS's own order.
    images : dict of str to list of str, or None
        The images of each concept, ``concept/file``; None where no file tells.
    categories : DataFrame of bool, or None
    """

    table: pd.DataFrame
    images: dict[str, list[str]] | None
    categories: pd.DataFrame | None

    @property
    def ids(self) -> list[str]:
        """The concepts."""
        return list(self.table.index)


def read_tables(root: Path, where: str) -> Tables:
    """Find and read the tables in a folder and two levels below.

    Raises
    ------
    FileNotFoundError
        If neither a table of concepts nor a list of them is there; `where` says where to get it.
    ValueError
        If one is damaged, or they contradict each other.
    """
    files = list(_text_files(root))
    table_path, order_path = _named(files, _TABLES), _named(files, _ORDERS)
    if table_path is None and order_path is None:
        raise FileNotFoundError(
            f"root: there is no table of concepts (things_concepts.tsv) in {str(root)!r}, or up "
            f"to {_LEVELS} levels below. {where}"
        )
    table, one_order = _table_in_order(table_path, order_path)
    category_path = _named(files, _CATEGORIES)
    if category_path is not None and not one_order:
        raise ValueError(
            f"{category_path} names no concepts, and {table_path} and {order_path} have them in "
            "different orders: move the one away that is not in the order of the categories."
        )
    return Tables(
        table,
        _read_images(_named(files, _IMAGES)),
        None if category_path is None else _read_categories(category_path, table.index),
    )


def _table_in_order(table_path: Path | None, order_path: Path | None) -> tuple[pd.DataFrame, bool]:
    """The concepts in the order of the list where there is one, and whether both agree on it."""
    table = None if table_path is None else _read_concepts(table_path)
    order = None if order_path is None else _read_order(order_path)
    if table is None:
        return pd.DataFrame(index=pd.Index(order or [], name="uniqueID")), True
    if order is None or list(table.index) == order:
        return table, True
    _check_same(order, list(table.index), order_path, table_path)
    return table.loc[order], False


def _text_files(root: Path) -> Iterator[Path]:
    """Tables in a folder, then those in folders below it; nothing hidden."""
    for depth in range(_LEVELS + 1):
        tables = [path for path in root.glob("*/" * depth + "*") if path.suffix.lower() in _TEXT]
        for path in sorted(tables):
            hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
            if path.is_file() and not hidden:
                yield path


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _named(files: Sequence[Path], names: Sequence[str]) -> Path | None:
    """The first file by name, then the one nearest to the root."""
    by_name: dict[str, list[Path]] = {}
    for path in files:
        by_name.setdefault(_plain(path.stem), []).append(path)
    for name in names:
        if name in by_name:
            return min(by_name[name], key=lambda path: len(path.parts))
    return None


def _frame(path: Path, **options: Any) -> pd.DataFrame:
    """A table as pandas reads it, or an error that names it."""
    try:
        found: pd.DataFrame = pd.read_csv(
            path, sep=_TEXT[path.suffix.lower()], encoding="utf-8-sig", **options
        )
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path} is no table that can be read ({error}).") from error
    return found


def _read_concepts(path: Path) -> pd.DataFrame:
    """The table of concepts, indexed by unique identifier."""
    columns = list(_frame(path, nrows=0).columns)
    chosen = next((column for column in columns if _plain(str(column)) in _ORDERS), None)
    if chosen is None:
        raise ValueError(
            f"{path} has no column uniqueID, by which concepts are told apart; it has "
            f"{columns[:10]}."
        )
    table = _frame(path)
    # Once more as text: pandas takes a concept called "null" or "nan" for a missing value.
    texts = _frame(path, dtype=str, na_filter=False)
    for column in columns:
        if column == chosen or _plain(str(column)) == "word":
            table[column] = texts[column].str.strip().to_numpy(dtype=object)
    _check_ids(list(table[chosen]), path)
    return table.set_index(chosen)


def _read_order(path: Path) -> list[str]:
    """Identifiers, one on a line; a heading, or quotation marks, are left out."""
    lines = _lines(path)
    ids = [line.strip().strip('"') for line in lines if line.strip()]
    ids = ids[1:] if ids and _plain(ids[0]) in _ORDERS else ids
    _check_ids(ids, path)
    return ids


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8 ({error}).") from error


def _check_ids(ids: Sequence[str], path: Path) -> None:
    """Refuse identifiers that do not identify."""
    if not ids:
        raise ValueError(f"{path} holds no concepts.")
    if "" in ids:
        raise ValueError(f"{path}: row {ids.index('') + 1} has no unique identifier.")
    counts = pd.Series(ids, dtype=object).value_counts(sort=False)
    twice = [str(name) for name, count in counts.items() if count > 1]
    if twice:
        told = listed(twice, 10, str)
        raise ValueError(f"{path} has unique identifiers more than once: {told}.")


def _check_same(
    order: list[str], ids: list[str], order_path: Path | None, path: Path | None
) -> None:
    """The list and the table hold the same concepts."""
    in_list, in_table = set(order), set(ids)
    apart = [name for name in order if name not in in_table]
    apart += [name for name in ids if name not in in_list]
    if apart:
        raise ValueError(
            f"{order_path} and {path} do not hold the same concepts; only one of them has "
            f"{listed(apart, 10, str)}."
        )


def _read_images(path: Path | None) -> dict[str, list[str]] | None:
    """The images of each concept from lines such as ``images/aardvark/aardvark_01b.jpg``."""
    if path is None:
        return None
    found: dict[str, list[str]] = {}
    for line in _lines(path):
        parts = line.strip().strip('"').replace("\\", "/").split("/")
        if len(parts) > 1:  # a heading has none
            found.setdefault(parts[-2], []).append("/".join(parts[-2:]))
    if not found:
        raise ValueError(f"{path} names no images as folder/file.")
    return found


def _read_categories(path: Path, index: pd.Index) -> pd.DataFrame:
    """Membership of categories, whose rows are the concepts in their order."""
    frame = _frame(path)
    if len(frame) != len(index) or not frame.isin([0, 1]).all(axis=None):
        raise ValueError(
            f"{path} should have {len(index)} rows of 0 and 1, one for each concept; it has "
            f"{len(frame)}{'' if len(frame) != len(index) else ', and other values'}."
        )
    return frame.astype(bool).set_axis(index, axis=0)
