"""Data sets that show what they hold, not all of it, and tell where to place what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from skdnn._html import card


class DataSet(Bunch):
    """A Bunch whose picture in a notebook or a shell is short, however many images it lists."""

    def __repr__(self) -> str:
        told = {name: _told(value) for name, value in self.items()}
        lines = [f"  {name}: {text}" for name, text in told.items() if text]
        return "\n".join([f"{type(self).__name__} with", *lines])

    def _repr_html_(self) -> str:
        """A card for notebooks, with the number of images of each class."""
        facts = {name: _told(value) or None for name, value in self.items()}
        return card(type(self).__name__, facts, _classes(self))


def _told(value: Any) -> str:
    """A value in a few words; empty for what is not there."""
    if value is None:
        return ""
    if isinstance(value, pd.DataFrame | np.ndarray):
        return f"{type(value).__name__} of shape {value.shape}"
    if isinstance(value, list | tuple | dict) and value:
        names = [name for name in value if isinstance(name, str)]
        between = f", from {names[0]} to {names[-1]}" if len(names) == len(value) > 1 else ""
        return names[0] if len(value) == len(names) == 1 else f"{len(value):,}{between}"
    return str(value).strip().partition("\n")[0]


def _classes(data: Bunch) -> pd.DataFrame | None:
    """How many images each class has."""
    names, target = data.get("target_names"), data.get("target")
    if names is None or target is None:
        return None
    counts = Counter(np.asarray(target).tolist())
    return pd.DataFrame({"class": names, "images": [counts[k] for k in range(len(names))]})


def how_to_place(data_set: str, files: Iterable[tuple[str, str]], folder: Path, why: str) -> str:
    """A message that tells the address of each file, and what is to know about it."""
    told = "\n".join(f"  {address}\n    {about}" for address, about in files)
    return (
        f"Files of the data set {data_set} are missing and could not be downloaded ({why}):\n"
        f"{told}\nTo place them by hand, download them on any computer and put them, under the "
        f"same names, into\n  {folder}"
    )
