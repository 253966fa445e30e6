"""The 92 images of Kriegeskorte et al. (2008), fetched once and checked against their hashes."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from skdnn._config import data_home as _data_home
from skdnn._file_digests import file_digest
from skdnn._files import write_whole
from skdnn._optional import import_optional
from skdnn.datasets._data_set import DataSet, how_to_place

_ADDRESS = (
    "https://raw.githubusercontent.com/rsagroup/rsatoolbox/"
    "903e911696e062868af1045769405bfef41f1c47/demos/92imageData/"
)
_STIMULI = "Kriegeskorte_Neuron2008_supplementalData.mat"
_BRAIN = "92_brainRDMs.mat"
_BEHAVIOUR = "92_behavRDMs.mat"
_MODELS = "92_modelRDMs.mat"
_SHA256 = {
    _STIMULI: "06f21214399a5d43dc264eed19a7f4b8daf11c8622a59eec3e106064ce5e3504",
    _BRAIN: "1743f90a15e895798a94318649e80e1123a7e5943a1703fa1dd7c31ea5780b7c",
    _BEHAVIOUR: "7a8e118c144c3840adeeeef6ea0706a0be2b3e80df719af15fbb56fc62562f5f",
    _MODELS: "e1d2b58bb2f9508bc13da4c81b94d1ab07823b25ed30b9563bd9d6d730c2a00a",
}
_DESCR = """\
The 92 object images of Kriegeskorte et al. (2008)

92 colour photographs of isolated objects on grey, 175 x 175 pixels: parts and faces of humans
and animals, natural and artificial inanimate objects. Dissimilarities are 1 - the Pearson
correlation between response patterns in inferior temporal cortex, of two monkeys (674 neurons)
and of four humans (fMRI, 316 voxels, two sessions each); the human RDM is the mean of the eight.
`behaviour` holds similarity judgements of 16 people, `models` the RDMs of models as distributed
with the data.

The files are those distributed with rsatoolbox. They carry no licence of their own and show
faces: don't redistribute them.

Kriegeskorte N, Mur M, Ruff DA, Kiani R, Bodurka J, Esteky H, Tanaka K, Bandettini PA (2008).
Matching categorical object representations in inferior temporal cortex of man and monkey.
Neuron 60:1126-1141.
Mur M, Meys M, Bodurka J, Goebel R, Bandettini PA, Kriegeskorte N (2013). Human object-similarity
judgments reflect and transcend the primate-IT object representation. Frontiers in Psychology
4:128.
"""


def fetch_kriegeskorte92(
    data_home: str | os.PathLike[str] | None = None,
    *,
    download_if_missing: bool = True,
    images_dir: str | os.PathLike[str] | None = None,
) -> Bunch:
    """Fetch the 92 object images with the RDMs of human and monkey inferior temporal cortex.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder of data sets; the files live in its subfolder ``kriegeskorte92``. None takes the
        environment variable ``SKDNN_DATA``, and without it ``~/skdnn_data``.
    download_if_missing : bool, default=True
        Whether files that are not there are downloaded (5 MB).
    images_dir : str or path-like, default=None
        Where the images are written as PNG files, once; None means
        ``<data_home>/kriegeskorte92/images``. Needed where that cannot be written.

    Returns
    -------
    data : sklearn.utils.Bunch
        Conditions are labelled by the stems of the images' files, e.g.
        ``"13_human_face"``; with the attributes

        - ``paths`` : list of str, the 92 PNG files;
        - ``category`` : DataFrame of 92 rows: ``category`` (str), and as bool ``human``,
          ``face``, ``animal``, ``natural`` and the further columns of the published category
          matrix;
        - ``human_it``, ``monkey_it`` : DataFrames (92, 92), float64;
        - ``human_it_subjects`` : DataFrame (92, 4 * 92), float64, its columns a MultiIndex
          (subject, condition), sessions averaged;
        - ``behaviour`` : DataFrame (92, 16 * 92), float64, columns likewise;
        - ``models`` : dict of str to DataFrame (92, 92), float64: animacy,
          FaceBodyManmadeNatobj, monkeyIT, EVA, HMAX, V1, Silhouette, RADON;
        - ``DESCR`` : str.

    Raises
    ------
    OSError
        If files are missing and cannot be downloaded, or the images cannot be written.
    ValueError
        If a file does not have the expected hash (it is left where it is), or an image in
        `images_dir` is not the one that belongs there.

    See Also
    --------
    load_image_folder : Images of one's own.

    Notes
    -----
    The images come sorted by category: shuffle in cross-validation.

    References
    ----------
    Kriegeskorte et al. (2008). Matching categorical object representations in inferior temporal
    cortex of man and monkey. Neuron 60:1126-1141.

    Examples
    --------
    >>> data = fetch_kriegeskorte92()  # doctest: +SKIP
    >>> data.human_it.shape  # doctest: +SKIP
    (92, 92)
    """
    folder = _data_home(data_home) / "kriegeskorte92"
    _obtain(folder, download_if_missing)
    loadmat = import_optional("scipy.io", "to read .mat files").loadmat
    files: dict[str, dict[str, Any]] = {name: loadmat(folder / name) for name in _SHA256}
    stimuli = files[_STIMULI]["stimuli_92objs"].ravel()
    kinds = [str(stimulus["category"].item()) for stimulus in stimuli]
    labels = [f"{i:02d}_{kind.replace(' ', '_')}" for i, kind in enumerate(kinds, start=1)]
    index = pd.Index(labels, name="condition")

    images = Path(images_dir).expanduser() if images_dir is not None else folder / "images"
    paths = _write_images(images, labels, [stimulus["image"] for stimulus in stimuli])
    monkey, human = (rdm["RDM"] for rdm in files[_STIMULI]["RDMs_mIT_hIT_fig1"].ravel())
    return DataSet(
        paths=paths,
        category=_category_table(files[_STIMULI], kinds, index),
        human_it=_rdm_table(human, index),
        monkey_it=_rdm_table(monkey, index),
        human_it_subjects=_subject_table(files[_BRAIN]["RDMs"][0], index),
        behaviour=_subject_table(files[_BEHAVIOUR]["rdms_behav_92"][0][:, None], index),
        models={
            str(model["name"].item()): _rdm_table(model["RDM"], index)
            for model in files[_MODELS]["Models"].ravel()
        },
        DESCR=_DESCR,
    )


def _obtain(folder: Path, download_if_missing: bool) -> None:
    """Have all files in `folder` with their right hashes."""
    missing = [name for name in _SHA256 if not (folder / name).is_file()]
    for name, expected in _SHA256.items():
        if name not in missing and (found := file_digest(folder / name)) != expected:
            raise ValueError(
                f"{folder / name} is not the file that was published: its SHA-256 is {found}, "
                f"expected {expected}. It is not used, and left as it is; move it away to have it "
                "downloaded again."
            )
    if not missing:
        return
    try:
        if not download_if_missing:
            raise OSError("download_if_missing is False")
        import pooch

        hashes = {name: f"sha256:{_SHA256[name]}" for name in missing}
        fetcher = pooch.create(folder, _ADDRESS, registry=hashes)
        for name in hashes:
            fetcher.fetch(name)
            missing.remove(name)
    except OSError as error:  # also requests' errors of every kind
        files = [(f"{_ADDRESS}{name}", f"sha256 {_SHA256[name]}") for name in missing]
        raise OSError(how_to_place("kriegeskorte92", files, folder, str(error))) from error


def _category_table(file: dict[str, Any], kinds: list[str], index: pd.Index) -> pd.DataFrame:
    """Categories by condition; `human` and `face` are in both published tables, and equal."""
    table = pd.DataFrame({"category": kinds}, index=index)
    stimuli = file["stimuli_92objs"].ravel()
    for column in ("human", "face", "animal", "natural"):
        table[column] = [bool(stimulus[column].item()) for stimulus in stimuli]
    columns = [str(label.item()) for label in file["categoryLabels"].ravel()]
    for column, values in zip(columns, file["categoryVectors"].T, strict=True):
        table[column] = values.astype(bool)
    return table


def _rdm_table(rdm: np.ndarray, index: pd.Index) -> pd.DataFrame:
    """A labelled RDM from a square one, or from its upper triangle read by rows."""
    from scipy.spatial.distance import squareform

    rdm = np.asarray(rdm, dtype=np.float64)
    square = squareform(rdm.ravel()) if rdm.size != len(index) ** 2 else rdm
    return pd.DataFrame(square, index=index, columns=index)


def _subject_table(rdms: Iterable[Any], index: pd.Index) -> pd.DataFrame:
    """RDMs of several subjects side by side, columns (subject, condition).

    Each is the mean of a row of sessions; names are ``hIT | BE | Session: 1``.
    """
    tables = {
        str(sessions[0]["name"].item()).split(" | ")[1]: _rdm_table(
            np.mean([rdm["RDM"].astype(np.float64) for rdm in sessions], axis=0), index
        )
        for sessions in rdms
    }
    return pd.concat(tables, axis=1, names=["subject", "condition"])


def _write_images(folder: Path, labels: Sequence[str], images: Sequence[np.ndarray]) -> list[str]:
    """Write the images that are not there yet; check those that are."""
    from PIL import Image

    paths = [folder / f"{label}.png" for label in labels]
    missing = [(p, image) for p, image in zip(paths, images, strict=True) if not _holds(p, image)]
    try:
        for path, image in missing:
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, format="PNG")
            write_whole(path, buffer.getvalue())
    except OSError as error:
        raise OSError(
            f"The images of kriegeskorte92 cannot be written into {folder} ({error}): pass "
            "images_dir, a folder that can be written."
        ) from error
    return [str(path) for path in paths]


def _holds(path: Path, image: np.ndarray) -> bool:
    """Whether a file holds this image; False if there is none, an error if it is another."""
    from PIL import Image

    if not path.exists():
        return False
    try:
        with Image.open(path) as file:
            same = np.array_equal(np.asarray(file), image)
    except OSError:
        same = False
    if not same:
        raise ValueError(
            f"{path} is not the stimulus that belongs there: delete it to have it written "
            "again, or pass another images_dir."
        )
    return True
