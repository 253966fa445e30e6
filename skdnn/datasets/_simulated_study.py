"""A simulated fMRI study in files, whose answer is known: each region responds to one layer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skdnn._feature_extractor import DNNFeatureExtractor
from skdnn._optional import import_optional
from skdnn.datasets._data_set import DataSet

REGIONS = {"early": "features.2", "middle": "features.7", "late": "classifier.1"}
_KINDS = ("blocks", "clouds", "discs", "gratings")
_HEIGHT, _WIDTH = 96, 128
_AFFINE = np.array([[-2.0, 0, 0, 20], [0, 2, 0, -60], [0, 0, 2, -10], [0, 0, 0, 1]])
_SLAB = (2, 6)  # a region's voxels along x and y
_SECONDS = 4.0  # from one image to the next


def make_study(
    folder: str | os.PathLike[str],
    *,
    n_subjects: int = 2,
    n_images: int = 48,
    n_repeats: int = 4,
    n_voxels: int = 100,
    regions: Mapping[str, str] | None = None,
    model: str = "alexnet",
    noise: float = 1.0,
    random_state: int = 0,
) -> DataSet:
    """Write an fMRI study with a planted hierarchy: pictures, betas, events, masks, an atlas.

    Parameters
    ----------
    folder : str or path-like
        Where files are written; files of the same names are replaced.
    n_subjects : int, default=2
        Each with voxels and noise of its own.
    n_images : int, default=48
        Pictures of four kinds: blocks, clouds, discs, gratings.
    n_repeats : int, default=4
        Runs, in each of which every picture is shown once, in an order of its own, and two trials
        are blank. The first half of the runs is session 1, the others session 2.
    n_voxels : int, default=100
        In each region.
    regions : mapping of str to str, default=None
        The layer that each region responds to; None is ``features.2``, ``features.7`` and
        ``classifier.1`` for ``early``, ``middle`` and ``late``.
    model : str, default="alexnet"
        A network, with random weights under the seed `random_state`.
    noise : float, default=1.0
        Standard deviation of a single trial's noise, where that of the signal is 1.
    random_state : int, default=0
        Seed of pictures, voxels, orders and noise, and of the network's weights.

    Returns
    -------
    study : Bunch
        ``images`` : list of str, ``target`` : ndarray of int and ``target_names`` : list of str,
        as of :func:`load_image_folder`; ``subjects`` : list of Bunch with the paths ``betas`` and
        ``events`` (one for each run), ``mask``, ``atlas``, and ``rois``, as
        :func:`skdnn.load_betas` takes them; ``planted`` : dict of region to layer; ``model``,
        ``weights`` (None) and ``random_state``, as :class:`skdnn.DNNFeatureExtractor` takes them.

    Raises
    ------
    ImportError
        If nibabel is not installed.
    ValueError
        If a number is too small, or the network has no such layer.

    See Also
    --------
    skdnn.load_betas : Reads the responses.
    skdnn.LayerSearchCV : Finds the layers.

    Notes
    -----
    A voxel's signal is a random sum of its layer's units, so that a region's dissimilarities are
    those of its layer, but for the choice of voxels. Blank trials have no betas, as where a GLM
    models pictures only. Each session has an offset of its own in each voxel.

    Examples
    --------
    >>> import tempfile
    >>> from skdnn import load_betas
    >>> from skdnn.datasets import make_study
    >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +SKIP
    ...     study = make_study(folder, n_subjects=1)
    ...     one = study.subjects[0]
    ...     load_betas(one.betas, events=one.events, mask=one.mask, rois=one.rois,
    ...                images=study.images)
    Betas(trials=192, images=48, shown=4 times, sessions=2, runs=4, voxels=300, ...)
    """
    planted = dict(REGIONS if regions is None else regions)
    for name, value, least in (
        ("n_subjects", n_subjects, 1),
        ("n_images", n_images, len(_KINDS)),
        ("n_repeats", n_repeats, 1),
        ("n_voxels", n_voxels, 1),
        ("regions", len(planted), 1),
    ):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}.")
    nibabel = import_optional("nibabel", "to write NIfTI files")
    root, rng = Path(folder).expanduser(), np.random.default_rng(random_state)
    images, kinds = _write_pictures(root / "stimuli", n_images, rng)
    extractor = DNNFeatureExtractor(
        model, list(dict.fromkeys(planted.values())), weights=None, random_state=random_state
    )
    features = extractor.extract(images, flatten=True)
    components = {layer: _components(features[layer]) for layer in features}
    atlas = _atlas(len(planted), n_voxels)
    subjects = [
        _write_subject(
            nibabel,
            root / f"sub-{number:02}",
            [components[layer] for layer in planted.values()],
            [Path(image).relative_to(root).as_posix() for image in images],
            atlas,
            list(planted),
            n_repeats,
            noise,
            np.random.default_rng([random_state, number]),
        )
        for number in range(1, n_subjects + 1)
    ]
    return DataSet(
        images=images,
        target=kinds,
        target_names=list(_KINDS),
        subjects=subjects,
        planted=planted,
        model=model,
        weights=None,
        random_state=random_state,
        DESCR=__doc__,
    )


def _write_pictures(
    folder: Path, n_images: int, rng: np.random.Generator
) -> tuple[list[str], NDArray[np.intp]]:
    """Pictures by kind, as files; their paths in natural order, and the kind of each."""
    pillow = import_optional("PIL.Image", "to write pictures")
    kinds = np.sort(np.arange(n_images) % len(_KINDS))
    paths = []
    for number, kind in enumerate(kinds):
        path = folder / _KINDS[kind] / f"{number + 1:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pillow.fromarray(_picture(_KINDS[kind], rng)).save(path)
        paths.append(str(path))
    return paths, kinds


def _picture(kind: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One picture of a kind, in two random colours."""
    y, x = np.mgrid[:_HEIGHT, :_WIDTH] / _HEIGHT
    ink, paper = rng.random((2, 3))
    if kind == "gratings":
        angle, waves, phase = rng.uniform(0, np.pi), rng.uniform(3, 14), rng.uniform(0, 6.3)
        amount = 0.5 + 0.5 * np.sin(
            6.283 * waves * (x * np.cos(angle) + y * np.sin(angle)) + phase
        )
    elif kind == "clouds":
        spectrum = np.fft.rfft2(rng.normal(size=x.shape))
        frequency = np.hypot(
            np.fft.fftfreq(_HEIGHT)[:, None] * _HEIGHT, np.fft.rfftfreq(_WIDTH) * _WIDTH
        )
        amount = np.fft.irfft2(
            spectrum / np.maximum(frequency, 1) ** rng.uniform(0.6, 1.6), x.shape
        )
        amount = (amount - amount.min()) / np.ptp(amount)
    else:
        amount = np.zeros(x.shape)
        for _ in range(rng.integers(3, 12)):
            at_x, at_y, size = rng.uniform(0, 1.3), rng.uniform(0, 1), rng.uniform(0.04, 0.22)
            distance = (
                np.hypot(x - at_x, y - at_y)
                if kind == "discs"
                else np.maximum(abs(x - at_x), abs(y - at_y))
            )
            amount = np.where(distance < size, rng.uniform(0.3, 1), amount)
    colours = paper + amount[..., None] * (ink - paper)
    return (255 * np.clip(colours + rng.normal(0, 0.02, colours.shape), 0, 1)).astype(np.uint8)


def _components(features: NDArray[Any]) -> NDArray[np.float64]:
    """Pictures in as many coordinates as they need; random sums of them are those of units."""
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    vectors, sizes, _ = np.linalg.svd(centred @ centred.T, hermitian=True)
    return vectors[:, :-1] * np.sqrt(sizes[:-1])


def _atlas(n_regions: int, n_voxels: int) -> NDArray[np.int16]:
    """Regions side by side, numbered from 1, with a margin of nothing around each."""
    wide, deep = _SLAB
    high = -(-n_voxels // (wide * deep))
    atlas = np.zeros((n_regions * (wide + 1) + 1, deep + 2, high + 2), dtype=np.int16)
    for region in range(n_regions):
        start = 1 + region * (wide + 1)
        inside = np.zeros(wide * deep * high, dtype=np.int16)
        inside[:n_voxels] = region + 1
        atlas[start : start + wide, 1:-1, 1:-1] = inside.reshape(wide, deep, high)
    return atlas


def _write_subject(
    nibabel: Any,
    folder: Path,
    components: list[NDArray[np.float64]],
    stimuli: list[str],
    atlas: NDArray[np.int16],
    names: list[str],
    n_runs: int,
    noise: float,
    rng: np.random.Generator,
) -> DataSet:
    """One subject's files."""
    folder.mkdir(parents=True, exist_ok=True)

    def save(values: NDArray[Any], name: str) -> str:
        path = folder / f"{folder.name}_{name}.nii.gz"
        image = nibabel.Nifti1Image(values, _AFFINE)
        image.header.set_xyzt_units("mm")
        image.to_filename(path)
        return str(path)

    signal = np.zeros((len(stimuli), *atlas.shape))
    for number, parts in enumerate(components, 1):
        mixed = parts @ rng.normal(size=(parts.shape[1], int((atlas == number).sum())))
        signal[:, atlas == number] = mixed / mixed.std(axis=0)
    brain = atlas > 0
    betas: list[str] = []
    events: list[str] = []
    offset = np.zeros(atlas.shape)
    for run in range(n_runs):
        session = 1 + (run >= -(-n_runs // 2))
        if run == 0 or (session == 2 and len(betas) == -(-n_runs // 2)):
            offset = rng.normal(0, 0.5, atlas.shape)
        order = rng.permutation(len(stimuli))
        values = signal[order] + offset + noise * rng.normal(size=(len(order), *atlas.shape))
        stem = f"ses-{session}_task-images_run-{run + 1}"
        betas.append(save(np.moveaxis(values * brain, 0, -1).astype(np.float32), f"{stem}_betas"))
        shown: list[str | None] = [stimuli[i] for i in order]
        for place in sorted(rng.choice(len(shown), 2, replace=False), reverse=True):
            shown.insert(int(place), None)
        path = folder / f"{folder.name}_{stem}_events.tsv"
        pd.DataFrame(
            {
                "onset": np.arange(len(shown)) * _SECONDS,
                "duration": 2.0,
                "trial_type": ["blank" if name is None else "image" for name in shown],
                "stim_file": shown,
            }
        ).to_csv(path, sep="\t", index=False, na_rep="n/a")
        events.append(str(path))
    atlas_path = save(atlas, "atlas")
    return DataSet(
        name=folder.name,
        betas=betas,
        events=events,
        mask=save(brain.astype(np.uint8), "mask"),
        atlas=atlas_path,
        rois={name: (atlas_path, number) for number, name in enumerate(names, 1)},
    )
