"""The published data of the brain hierarchy score: accuracies, features and fMRI."""

from __future__ import annotations

import json
import os
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sklearn.utils import Bunch

from skdnn._config import data_home as _data_home
from skdnn._file_digests import file_digest
from skdnn._files import write_whole
from skdnn.datasets._data_set import DataSet, how_to_place
from skdnn.datasets._zip_archives import unpack

Split = Literal["training", "test"]
_FIGSHARE = "https://ndownloader.figshare.com/files/"
_SETTINGS = "settings.json"
_ADDRESSES = {
    _SETTINGS: (
        "https://raw.githubusercontent.com/KamitaniLab/BHscore/"
        "1b6240f3f0dbe65251a3850bd1c25415a83d64bf/settings.json"
    ),
    "decoding_accuracy.zip": f"{_FIGSHARE}24132263",
    "encoding_accuracy.zip": "https://figshare.com/ndownloader/files/32116400",
    "features_training_caffe.zip": f"{_FIGSHARE}24172706",
    "features_training_pytorch.zip": f"{_FIGSHARE}24172862",
    "features_training_tensorflow.zip": f"{_FIGSHARE}24172895",
    "features_test_caffe.zip": f"{_FIGSHARE}24172679",
    "features_test_pytorch.zip": f"{_FIGSHARE}24172691",
    "features_test_tensorflow.zip": f"{_FIGSHARE}24172697",
    "sub-01_perceptionNaturalImageTest_VC_v2.h5": f"{_FIGSHARE}33900890",
    "sub-01_perceptionNaturalImageTraining_VC_v2.h5": f"{_FIGSHARE}33900893",
    "sub-02_perceptionNaturalImageTest_VC_v2.h5": f"{_FIGSHARE}33900896",
    "sub-02_perceptionNaturalImageTraining_VC_v2.h5": f"{_FIGSHARE}33900899",
    "sub-03_perceptionNaturalImageTest_VC_v2.h5": f"{_FIGSHARE}33900902",
    "sub-03_perceptionNaturalImageTraining_VC_v2.h5": f"{_FIGSHARE}33900908",
}
_SUBJECTS = ("sub-01", "sub-02", "sub-03")
_FRAMEWORKS = ("caffe", "pytorch", "tensorflow")
_SPLITS = ("training", "test")
_RECORD = "hashes.json"
_DEEPEST = 4  # folders within folders, to where an archive's own begin
_DESCR = """\
Published data of the brain hierarchy score

Accuracies of 29 networks, their activations for 1,200 training and 50 test images, and fMRI of
three subjects who saw them, from V1, V2, V3, V4 and higher visual cortex (HVC). The images
themselves are not part of it. No hashes were published with the files: those of the first
download are written down in hashes.json, and later files are compared with it.

Nonaka S, Majima K, Aoki SC, Kamitani Y (2021). Brain hierarchy score: Which deep neural networks
are hierarchically brain-like? iScience 24(9):103013.
Shen G, Horikawa T, Majima K, Kamitani Y (2019). Deep image reconstruction from human brain
activity. PLOS Computational Biology 15(1):e1006633.
"""


def fetch_brain_hierarchy(
    what: Literal["decoding", "encoding", "features", "fmri"],
    *,
    subject: str | None = None,
    framework: str | None = None,
    split: Split | None = None,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
) -> Bunch:
    """Fetch published data of the brain hierarchy score of Nonaka et al. (2021).

    Parameters
    ----------
    what : {"decoding", "encoding", "features", "fmri"}
        Accuracies of decoding or encoding, activations of the networks, or brain data.
    subject : {"sub-01", "sub-02", "sub-03"}, default=None
        Whose brain data; None fetches all. Only for ``"fmri"``.
    framework : {"caffe", "pytorch", "tensorflow"}, default=None
        Activations of whose networks; None fetches all. Only for ``"features"``.
    split : {"training", "test"}, default=None
        For which images; None fetches both. Only for ``"features"`` and ``"fmri"``.
    data_home : str or path-like, default=None
        Folder of data sets; the files live in its subfolder ``brain_hierarchy``. None takes the
        environment variable ``SKDNN_DATA``, and without it ``~/skdnn_data``.
    download_if_missing : bool, default=True
        Whether files that are not there are downloaded. Features and brain data are gigabytes.

    Returns
    -------
    data : sklearn.utils.Bunch
        With ``DESCR`` and, by `what`,

        - ``folder`` (Path) and ``settings`` (Path) for accuracies: what
          `skdnn.formats.read_accuracies` takes;
        - ``folders`` for features: dict of (split, framework) to Path, folders of networks, of
          which one is the `root` of `skdnn.formats.read_feature_folder`;
        - ``files`` for brain data: dict of (subject, split) to Path, for
          `skdnn.formats.read_bdata`.

    Raises
    ------
    OSError
        If files are missing and cannot be downloaded; the message says what to put where.
    ValueError
        If a choice is unknown or does not go with `what`, or a file is not what it was when it
        was first fetched, or not of the right kind, or an archive cannot be unpacked.

    See Also
    --------
    skdnn.formats.read_accuracies : Reads accuracies.
    skdnn.formats.read_feature_folder : Reads features.
    skdnn.formats.read_bdata : Reads brain data.

    Notes
    -----
    A folder filled by hand serves as well: archives under the names that the error gives, or
    what they hold in the folders ``decoding``, ``encoding`` and ``features/<split>/<framework>``.
    Downloaded archives are removed once they are unpacked. No hashes are published: the SHA-256
    of each file is written into ``hashes.json`` when it is first seen, and a file that differs
    later is refused.

    References
    ----------
    Nonaka et al. (2021). Brain hierarchy score: Which deep neural networks are hierarchically
    brain-like? iScience 24(9):103013.

    Examples
    --------
    >>> from skdnn.formats import as_hierarchy, read_accuracies
    >>> data = fetch_brain_hierarchy("decoding")  # doctest: +SKIP
    >>> accuracies = read_accuracies(data.folder, data.settings)  # doctest: +SKIP
    >>> levels = as_hierarchy(accuracies["AlexNet"], "decoding")  # doctest: +SKIP
    """
    _check_choices(what, subject=subject, framework=framework, split=split)
    home = _Home(_data_home(data_home) / "brain_hierarchy", download_if_missing)
    splits = _SPLITS if split is None else (split,)
    if what == "fmri":
        files = {
            (who, part): f"{who}_perceptionNaturalImage{part.title()}_VC_v2.h5"
            for who in (_SUBJECTS if subject is None else (subject,))
            for part in splits
        }
        home.require([_Wanted(name) for name in files.values()])
        return DataSet(files={key: home.file(name) for key, name in files.items()}, DESCR=_DESCR)
    if what == "features":
        frameworks = _FRAMEWORKS if framework is None else (framework,)
        wanted = {
            (part, kind): _Wanted(f"features_{part}_{kind}.zip", f"features/{part}/{kind}")
            for part in splits
            for kind in frameworks
        }
        home.require(list(wanted.values()))
        folders = {
            key: _folder_called(home.unpacked(archive), key[1]) for key, archive in wanted.items()
        }
        return DataSet(folders=folders, DESCR=_DESCR)
    archive = _Wanted(f"{what}_accuracy.zip", what)
    home.require([archive, _Wanted(_SETTINGS)])
    folder = _folder_called(home.unpacked(archive), "ImageNetTest")
    return DataSet(folder=folder, settings=home.file(_SETTINGS), DESCR=_DESCR)


def _check_choices(what: str, **choices: str | None) -> None:
    """Refuse what is unknown, and choices that say nothing about what is asked for."""
    goes_with = {
        "decoding": (),
        "encoding": (),
        "features": ("framework", "split"),
        "fmri": ("subject", "split"),
    }
    known = {"subject": _SUBJECTS, "framework": _FRAMEWORKS, "split": _SPLITS}
    if what not in goes_with:
        raise ValueError(f"what must be one of {list(goes_with)}, got {what!r}.")
    for name, value in choices.items():
        if value is None:
            continue
        if name not in goes_with[what]:
            raise ValueError(f"{name}={value!r} does not go with {what!r}: leave it out.")
        if value not in known[name]:
            raise ValueError(f"{name} must be one of {list(known[name])}, got {value!r}.")


@dataclass(frozen=True)
class _Wanted:
    """A file, and the folder that stands for it once it is unpacked."""

    name: str
    folder: str = ""


class _Home:
    """The folder of the data set."""

    def __init__(self, folder: Path, download: bool) -> None:
        self.folder = folder
        self._download = download

    def require(self, wanted: list[_Wanted]) -> None:
        """Refuse before any download if some files are missing and may not be downloaded."""
        missing = [
            item
            for item in wanted
            if not (self._is_unpacked(item) or (self.folder / item.name).is_file())
        ]
        if missing and not self._download:
            raise OSError(self._how_to_place(missing, "download_if_missing is False"))

    def file(self, name: str) -> Path:
        """A file, downloaded if need be, and the same as when it was first seen."""
        path = self.folder / name
        if not path.is_file():
            self._fetch(_Wanted(name))
        self._compare(path)
        return path

    def unpacked(self, wanted: _Wanted) -> Path:
        """The folder of an archive, unpacked if need be."""
        folder = self.folder / wanted.folder
        if self._is_unpacked(wanted):
            return folder
        archive = self.folder / wanted.name
        placed_by_hand = archive.is_file()
        if not placed_by_hand:
            self._fetch(wanted)
        self._compare(archive)
        unpack(archive, folder)
        if not placed_by_hand:
            archive.unlink()
        return folder

    def _is_unpacked(self, wanted: _Wanted) -> bool:
        folder = self.folder / wanted.folder
        return bool(wanted.folder) and folder.is_dir() and any(folder.iterdir())

    def _fetch(self, wanted: _Wanted) -> None:
        """Download to a hidden name, look whether it is of the right kind, and rename it."""
        import pooch

        path = self.folder / wanted.name
        hidden = path.with_name(f".{os.getpid()}-{path.name}")
        try:
            pooch.retrieve(
                _ADDRESSES[wanted.name],
                known_hash=None,  # none is published; `_compare` keeps our own
                fname=hidden.name,
                path=self.folder,
                progressbar=True,
            )
            if not _is_of_its_kind(hidden, wanted.name):
                raise OSError(
                    f"what came is no {path.suffix} file, perhaps a web page that wants a browser"
                )
            os.replace(hidden, path)
        except OSError as error:  # also requests' errors of every kind
            raise OSError(self._how_to_place([wanted], str(error))) from error
        finally:
            hidden.unlink(missing_ok=True)

    def _compare(self, path: Path) -> None:
        """Refuse a file that is another than the first of its name; hash only what changed."""
        if not _is_of_its_kind(path, path.name):
            raise ValueError(
                f"{path} is no {path.suffix} file, or cut short. It is left as it is; move it "
                "away to have it downloaded again."
            )
        record = self._record()
        known = record.get(path.name)
        status = path.stat()
        seen = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
        if known is not None and {key: known.get(key) for key in seen} == seen:
            return
        sha256 = file_digest(path)
        if known is not None and known.get("sha256") != sha256:
            raise ValueError(
                f"{path} has changed: its SHA-256 is {sha256}, when it was first fetched it was "
                f"{known.get('sha256')}. It is not used, and left as it is; move it away to have "
                f"it downloaded again, or remove its entry in {self.folder / _RECORD} to trust it."
            )
        record[path.name] = {"sha256": sha256, **seen, "address": _ADDRESSES[path.name]}
        with suppress(OSError):  # a folder that can only be read: nothing is remembered
            text = json.dumps(record, indent=1, sort_keys=True)
            write_whole(self.folder / _RECORD, text.encode())

    def _record(self) -> dict[str, Any]:
        path = self.folder / _RECORD
        if not path.is_file():
            return {}
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ValueError(f"{path} is no JSON ({error}): remove it.") from error

    def _how_to_place(self, missing: list[_Wanted], reason: str) -> str:
        files = []
        for item in missing:
            unpacked = f", or unpacked into {self.folder / item.folder}" if item.folder else ""
            files.append((_ADDRESSES[item.name], f"as {item.name}{unpacked}"))
        return how_to_place("brain_hierarchy", files, self.folder, reason)


def _is_of_its_kind(path: Path, name: str) -> bool:
    """Whether a file is what its name's ending says."""
    if name.endswith(".zip"):
        return zipfile.is_zipfile(path)
    with open(path, "rb") as file:
        head = file.read(8)
    if name.endswith(".h5"):
        return head == b"\x89HDF\r\n\x1a\n"
    return head.lstrip()[:1] == b"{"


def _folder_called(root: Path, name: str) -> Path:
    """The nearest folder of that name in an archive; the archive itself if there is none."""
    level = [root]
    for _ in range(_DEEPEST):
        inner = (path for folder in level for path in folder.iterdir() if path.is_dir())
        level = sorted(path for path in inner if path.name != "__MACOSX")
        if found := next((path for path in level if path.name == name), None):
            return found
    return root
