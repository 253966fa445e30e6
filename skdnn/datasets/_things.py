"""The THINGS database as its users download it: images by concept, and the concepts' table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from skdnn._images import EXTENSIONS, list_images
from skdnn._wording import listed, nearest
from skdnn.datasets._data_set import DataSet
from skdnn.datasets._things_tables import Tables, read_tables

N_CONCEPTS, N_IMAGES = 1854, 26107
_FEWEST = 12  # images of a concept
_DEEPEST = 4  # levels below root, to where folders of concepts are looked for
_OF_SYSTEMS = frozenset(("thumbs.db", "desktop.ini"))
_WHERE = (
    "THINGS is at https://things-initiative.org, its files at https://osf.io/jum2f (images: "
    "object_images_*.zip, to be unpacked with the password that is given there)."
)
_DESCR = """\
THINGS: 1,854 object concepts and 26,107 naturalistic images

Photographs of objects, 12 or more of each of 1,854 concepts that were chosen systematically from
the nouns of American English, with definitions, frequencies and categories of the concepts.

The images are under licences of their own and come with a password: don't redistribute them.
https://things-initiative.org

Hebart MN, Dickter AH, Kidder A, Kwok WY, Corriveau A, Van Wicklin C, Baker CI (2019). THINGS: A
database of 1,854 object concepts and more than 26,000 naturalistic object images. PLOS ONE
14(10):e0223792.
"""


def load_things(
    root: str | os.PathLike[str],
    *,
    concepts: Sequence[str] | int | None = None,
    n_images: int | None = None,
    complete: bool = True,
) -> Bunch:
    """List the images of the THINGS database by concept, if all of them are there.

    Parameters
    ----------
    root : str or path-like
        The folder with what was downloaded and unpacked: folders of images, one per concept
        (``object_images/aardvark/aardvark_01b.jpg``), in one folder or in parts
        (``object_images_A-C``, ...), and the table of concepts (``things_concepts.tsv`` or
        ``_concepts-metadata_things.tsv``). They may lie in `root` or up to two folders below.
    concepts : sequence of str or int, default=None
        Unique identifiers of some concepts (``"bat1"``, not the word ``"bat"``), in the order
        wanted; or a number, of the first concepts. None takes all. Others are not looked at.
    n_images : int, default=None
        The first so many images of each concept. None takes all.
    complete : bool, default=True
        Whether an incomplete download is an error. False takes the concepts and images that are
        there; of a list of `concepts`, all must be. Files that are empty or no images, concepts
        that lie in two folders, and folders without a concept are errors in any case.

    Returns
    -------
    things : sklearn.utils.Bunch
        With the attributes

        - ``paths`` : list of str, all images, concept by concept;
        - ``concept`` : ndarray of str of shape (n_images,), the concept of each image;
        - ``names`` : list of str, the concepts;
        - ``conditions`` : list, one element per concept, which make one row each as X of
          :class:`~skdnn.DNNFeatureExtractor`: the folder of the concept, so that row labels of y
          are compared with the concepts; with `n_images`, a list of paths, which has no name to
          compare with;
        - ``images`` : list of list of str, the images of each concept;
        - ``concepts`` : DataFrame, the table, indexed by unique identifier; without a table the
          index alone;
        - ``categories`` : DataFrame of bool (n_concepts, 27), the categories of the concepts, or
          None where there is no ``category27_manual.tsv``;
        - ``root`` : str;
        - ``DESCR`` : str.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, no table of concepts, or no folder of images in it.
    ValueError
        If the download is not complete, or not what was published: one error that tells all.
        If `concepts` holds unknown ones (with the nearest), or `n_images` is more than there are.
    TypeError
        If `concepts` or `n_images` is of a wrong type.

    See Also
    --------
    load_image_folder : Images of one's own.
    skdnn.DNNFeatureExtractor : Takes the concepts as conditions.

    Notes
    -----
    Concepts are in THINGS's own order, that of ``unique_id.csv`` where there is one, else of the
    table, which is the order of RDMs and embeddings that were published with it; images are
    sorted naturally. Folders belong to the concepts by their unique identifiers, since words are
    shared (``bat1`` is the animal, ``bat2`` for baseball).

    Complete is what has a folder with 12 images or more for each concept of the table, all
    images of ``image-paths.csv`` where there is one, and 26,107 images where the table has the
    1,854 concepts. Whether each file can be decoded is found by what reads it.

    References
    ----------
    Hebart, M. N., Dickter, A. H., Kidder, A., Kwok, W. Y., Corriveau, A., Van Wicklin, C., &
    Baker, C. I. (2019). THINGS: A database of 1,854 object concepts and more than 26,000
    naturalistic object images. PLOS ONE, 14(10), e0223792.

    Examples
    --------
    >>> things = load_things("THINGS")  # doctest: +SKIP
    >>> len(things.paths), len(things.conditions)  # doctest: +SKIP
    (26107, 1854)
    >>> features = extractor.fit_transform(things.conditions)  # doctest: +SKIP

    A few concepts of a made-up database:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ["bat1/bat1_01b.jpg", "bat1/bat1_02s.jpg", "bat2/bat2_01b.jpg"]:
    ...     path = root / "object_images" / name
    ...     path.parent.mkdir(parents=True, exist_ok=True)
    ...     Image.new("RGB", (5, 4)).save(path)
    >>> table = "Word\\tuniqueID\\nbat\\tbat1\\nbat\\tbat2\\ncup\\tcup\\n"
    >>> _ = (root / "things_concepts.tsv").write_text(table)
    >>> things = load_things(root, complete=False)
    >>> things.names, things.concept.tolist()
    (['bat1', 'bat2'], ['bat1', 'bat1', 'bat2'])
    >>> [Path(condition).name for condition in things.conditions]
    ['bat1', 'bat2']
    """
    top = Path(root).expanduser()
    if not top.is_dir():
        raise FileNotFoundError(f"root: there is no folder {str(top)!r}. {_WHERE}")
    _check_numbers(concepts, n_images)
    tables = read_tables(top, _WHERE)
    chosen = _chosen(concepts, tables.table)
    folders = _find_folders(top, set(tables.ids))
    wanted = {name: _Concept(name, folders.of[name][0]) for name in chosen if name in folders.of}
    doubled = [folders.of[name] for name in wanted if len(folders.of[name]) > 1]
    faults: list[tuple[str, Iterable[str]]] = [
        ("concepts in more than one folder", [" and ".join(map(str, both)) for both in doubled])
    ]
    if concepts is None:
        faults.append(("folders without a concept in the table", folders.strangers))
        faults.append(("images outside of the concepts' folders", folders.loose))
    for concept in wanted.values():
        faults.append(("files that are empty", concept.empty))
        faults.append(("files that are no images", concept.no_images))
    if complete or not (concepts is None or isinstance(concepts, Integral)):
        absent = [name for name in chosen if name not in wanted]
        faults.append(("concepts without a folder", absent))
    if complete:
        faults.extend(_incomplete(wanted, tables, everything=concepts is None))
    _refuse(top, faults)
    found = [wanted[name] for name in chosen if name in wanted and wanted[name].images]
    return _bunch(top, found, tables, n_images)


def _check_numbers(concepts: Any, n_images: Any) -> None:
    """What is wrong before any folder is looked at."""
    if isinstance(concepts, str):
        raise TypeError(f"concepts={concepts!r}: give a list of identifiers, [{concepts!r}].")
    for name, number in (("concepts", concepts), ("n_images", n_images)):
        whole = isinstance(number, Integral) and not isinstance(number, bool)
        if whole and int(number) < 1:
            raise ValueError(f"{name}={number!r}: give 1 or more, or None for all.")
        if name == "n_images" and not whole and number is not None:
            raise TypeError(f"n_images={number!r}: give a whole number, or None for all.")


def _chosen(concepts: Any, table: pd.DataFrame) -> list[str]:
    """Identifiers in the order of the rows."""
    ids = list(table.index)
    if concepts is None:
        return ids
    if isinstance(concepts, Integral):
        if int(concepts) > len(ids):
            raise ValueError(f"concepts={concepts}: the table has {len(ids)} concepts only.")
        return ids[: int(concepts)]
    try:
        given = list(concepts)
    except TypeError:
        raise TypeError(
            f"concepts={concepts!r}: give a list of identifiers, a number, or None for all."
        ) from None
    unknown = [name for name in given if name not in table.index]
    if unknown:
        hints = "; ".join(f"{name!r}{_meant(name, table)}" for name in unknown[:10])
        raise ValueError(
            f"concepts holds {len(unknown)} that are no unique identifiers of the table: {hints}."
        )
    twice = sorted({name for name in given if given.count(name) > 1})
    if twice or not given:
        problem = f"holds some more than once: {listed(twice, 10, str)}" if twice else "is empty"
        raise ValueError(f"concepts {problem}.")
    return given


def _meant(name: Any, table: pd.DataFrame) -> str:
    """Which identifiers a wrong one may stand for: those of that word, else similar ones."""
    word = next((column for column in table if str(column).lower() == "word"), None)
    text = str(name)
    found = list(table.index[table[word] == text]) if word is not None else []
    found = found or nearest(text, table.index, 3)
    return f" (perhaps {' or '.join(map(repr, found))})" if found else ""


@dataclass
class _Folders:
    """Where the images of concepts lie, and what else lies beside them."""

    of: dict[str, list[Path]]  # more than one is a fault
    strangers: list[str]
    loose: list[str]


def _find_folders(root: Path, ids: set[str]) -> _Folders:
    """Folders with the names of concepts."""
    found = _Folders({}, [], [])
    for folder in _subfolders(root, _DEEPEST, ids):
        if folder.name in ids:
            found.of.setdefault(folder.name, []).append(folder)
    if not found.of:
        zips = sorted(path.name for path in root.rglob("object_images*.zip"))
        still = f" ({listed(zips, 10, str)} is still packed)" if zips else ""
        raise FileNotFoundError(
            f"root: no folder in or below {str(root)!r} has folders with the "
            f"unique identifiers of concepts as names{still}. {_WHERE}"
        )
    parents = dict.fromkeys(folder.parent for folders in found.of.values() for folder in folders)
    for entry in (entry for parent in parents for entry in sorted(parent.iterdir())):
        name = str(entry.relative_to(root))
        if not entry.is_dir():
            found.loose += [name] * _is_image(entry.name)
        elif entry.name not in ids and not entry.name.startswith("."):
            found.strangers += [name] * any(_is_image(path.name) for path in entry.iterdir())
    return found


def _subfolders(folder: Path, levels: int, ids: set[str]) -> Iterator[Path]:
    """Folders below in the order of their names; those of concepts are not entered."""
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.name.startswith("."):
            yield entry
            if levels > 1 and entry.name not in ids:
                yield from _subfolders(entry, levels - 1, ids)


def _is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


class _Concept:
    """One folder: its images, and files that have no business there."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.images = list_images(folder)
        self.empty = [f"{name}/{path.name}" for path in self.images if not path.stat().st_size]
        self.no_images = sorted(
            f"{name}/{entry.name}"
            for entry in os.scandir(folder)
            if entry.is_file() and not entry.name.startswith(".") and not _is_image(entry.name)
            if entry.name.lower() not in _OF_SYSTEMS
        )

    @property
    def keys(self) -> list[str]:
        """The images as ``image-paths.csv`` ends."""
        return [f"{self.name}/{path.relative_to(self.folder).as_posix()}" for path in self.images]


def _refuse(root: Path, faults: Iterable[tuple[str, Iterable[str]]]) -> None:
    """One error for all that is wrong, by kind."""
    kinds: dict[str, list[str]] = {}
    for kind, names in faults:
        kinds.setdefault(kind, []).extend(names)
    told = [f"- {len(n)} {kind}: {listed(n, 10, str)}" for kind, n in kinds.items() if n]
    if told:
        lines = "\n".join(told)
        raise ValueError(
            f"root: {str(root)!r} does not hold the THINGS database as it was published:\n"
            f"{lines}\n"
            "Unpack or download again what is missing and move away what does not belong there; "
            f"complete=False takes part of a download. {_WHERE}"
        )


def _incomplete(
    wanted: dict[str, _Concept], tables: Tables, *, everything: bool
) -> Iterator[tuple[str, list[str]]]:
    """What is missing, or too much."""
    few = [f"{c.name} ({len(c.images)})" for c in wanted.values() if len(c.images) < _FEWEST]
    yield f"concepts with fewer than {_FEWEST} images", few
    if tables.images is not None:
        keys = {key for concept in wanted.values() for key in concept.keys}
        due = {key for name in wanted for key in tables.images.get(name, [])}
        yield "images of image-paths.csv that are missing", sorted(due - keys)
        yield "images that are not in image-paths.csv", sorted(keys - due)
    total = sum(len(concept.images) for concept in wanted.values())
    if everything and len(tables.ids) == N_CONCEPTS and total != N_IMAGES:
        yield "wrong total", [f"{total:,} images instead of {N_IMAGES:,}"]


def _bunch(root: Path, found: list[_Concept], tables: Tables, n_images: int | None) -> Bunch:
    """What the user gets of the concepts that were found."""
    names = [concept.name for concept in found]
    few = [f"{c.name} ({len(c.images)})" for c in found if len(c.images) < (n_images or 1)]
    if few:
        raise ValueError(
            f"n_images={n_images}: {len(few)} concepts have fewer: {listed(few, 10, str)}."
        )
    images = [[str(path) for path in concept.images[:n_images]] for concept in found]
    folders = [str(concept.folder) for concept in found]
    return DataSet(
        paths=[path for paths in images for path in paths],
        concept=np.repeat(np.array(names, dtype=str), [len(paths) for paths in images]),
        names=names,
        conditions=folders if n_images is None else images,
        images=images,
        concepts=tables.table.loc[names],
        categories=None if tables.categories is None else tables.categories.loc[names],
        root=str(root),
        DESCR=_DESCR,
    )
