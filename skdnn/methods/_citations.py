"""References by their keys: as author and year for the running text, and as BibTeX."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from skdnn.methods._networks import NETWORKS
from skdnn.methods._training import SOFTWARE, TRAINING

_FIELD = r", {} = \{{(.*?)\}}(?:, \w+ = \{{| \}}$)"  # in an entry on one line


def _entries(text: str) -> dict[str, str]:
    paragraphs = text.strip().split("\n\n")
    return {paragraph.partition("{")[2].partition(",")[0]: paragraph for paragraph in paragraphs}


#: BibTeX of every reference known, by key.
ENTRIES = {**_entries(NETWORKS), **_entries(TRAINING), **_entries(SOFTWARE)}


@functools.cache
def label(key: str) -> str:
    """Author and year, e.g. ``"He et al., 2016"``."""
    author = field(key, "author")
    if author.startswith("{"):  # an institution
        names = [author.strip("{}")]
    else:
        names = [name.partition(",")[0] for name in author.split(" and ")]
    by = names[0] if len(names) == 1 else f"{names[0]} et al."
    if len(names) == 2 and names[1] != "others":
        by = " and ".join(names)
    return f"{by}, {field(key, 'year')}"


def field(key: str, name: str) -> str:
    """One field of an entry, as BibTeX has it."""
    found = re.search(_FIELD.format(name), " ".join(ENTRIES[key].split()))
    assert found is not None  # every entry has author, title and year
    return found[1]


def bibtex(keys: Sequence[str]) -> str:
    """The entries of these references, each once."""
    return "\n\n".join(ENTRIES[key] for key in dict.fromkeys(keys))
