"""Searchlight RSA: layers of a network against the brain, around each voxel or vertex."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdnn._labels import find_rows, text_labels
from skdnn._wording import in_lines
from skdnn.fmri._betas import Betas
from skdnn.fmri._searchlight._centres import Work, score_all
from skdnn.fmri._searchlight._neighbours import Neighbours, Patches, Spheres, sizes_of
from skdnn.fmri._searchlight._places import Places, read_meshes
from skdnn.fmri._searchlight._result import SearchlightResult
from skdnn.fmri._searchlight._sphere_rdms import Patterns
from skdnn.fmri._searchlight._subjects import (
    Subject,
    check_residuals,
    fold_codes,
    patterns_of,
    read_subjects,
)
from skdnn.rsa._comparison._rdm_stack import RDMStack, rdm_name, read_rdms
from skdnn.rsa._comparison._similarity_measures import (
    MIN_PAIRS,
    WHITENED,
    check_comparison,
    is_flat,
)
from skdnn.rsa._dissimilarity._compute_rdm import check_metric
from skdnn.rsa._inference._random_draws import check_count

_NOISY = ("crossnobis", "mahalanobis")


def searchlight_rsa(
    betas: Any,
    layers: Any,
    *,
    radius: float,
    mask: Any = None,
    mesh: Any = None,
    distance: str = "edges",
    metric: str = "correlation",
    comparison: str = "spearman",
    min_voxels: int = 10,
    folds: str = "run",
    residuals: Any = None,
    covariance: str = "shrinkage_diag",
    dof: float | None = None,
    ceilings: bool = True,
    conditions: ArrayLike | None = None,
    folder: str | os.PathLike[str] | None = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> SearchlightResult:
    r"""Compare the layers of a network with the brain around each voxel, or vertex.

    The RDM of the responses inside a sphere is compared with the RDM of each layer, and the
    similarity is written to the centre (Kriegeskorte, Goebel & Bandettini, 2006).

    Parameters
    ----------
    betas : Betas, array-like of shape (n_images, n_voxels), or mapping of str to these
        Responses of one subject, or of several by name, which lie in one space and have the same
        images. Of Betas, the average of each image (for crossnobis, within folds). An array needs
        `mask`; a DataFrame has the names of images as its index.
    layers : DataFrame, dict, list or array
        RDMs of the layers, in any form that :func:`skdnn.rsa.compare_rdms` takes; of those with
        labels, each label names its image: path, end of a path, file name or stem.
    radius : float
        In millimetres. Points at this very distance are inside, as in nilearn; rsatoolbox takes
        voxels, and leaves such points out.
    mask : NIfTI image, path-like, or pair of them, default=None
        Where the voxels of arrays lie, as for :func:`skdnn.formats.read_betas`.
    mesh : path-like, (coordinates, faces), or list of them for two hemispheres, default=None
        For surfaces: GIFTI (``.surf.gii``) or FreeSurfer files, arrays, or nilearn's meshes.
    distance : {"edges", "straight"}, default="edges"
        On a mesh: the length of the shortest path along edges, a little longer than the geodesic
        distance; or the straight line between two vertices.
    metric : str, default="correlation"
        Dissimilarity of patterns in a sphere, any of :func:`skdnn.rsa.compute_rdm`.
        ``"crossnobis"`` needs Betas; ``"mahalanobis"`` needs `residuals`.
    comparison : str, default="spearman"
        Of two RDMs, any of :func:`skdnn.rsa.compare_rdms`.
    min_voxels : int, default=10
        Spheres of fewer points with data are NaN.
    folds : {"run", "session"}, default="run"
        For crossnobis: trials of different folds have independent noise. Runs of different
        sessions differ.
    residuals : array-like, path-like or list of them, or mapping of str to these, default=None
        For crossnobis and Mahalanobis, by subject where there are several: what the GLM left
        over, of shape (n_residuals, n_voxels), a column for each voxel of the betas; an array, a
        lazy array as of :func:`skdnn.formats.read_betas`, or NIfTI files of time series. The
        noise of each sphere is estimated from its own voxels.
    covariance : str, default="shrinkage_diag"
        How, see `method` of :func:`skdnn.rsa.estimate_noise_precision`.
    dof : float, default=None
        Degrees of freedom of the residuals, as there.
    ceilings : bool, default=True
        Whether the noise ceiling of each sphere is computed, where there are several subjects.
    conditions : array-like of shape (n_images,), default=None
        Names of the images, in the order of the rows of arrays, and of RDMs without labels.
    folder : str or path-like, default=None
        Where scores are kept. A run that was stopped goes on when the same call is made again,
        also on several machines at a time; with other data or settings nothing is mistaken.
    n_jobs : int, default=None
        Workers of joblib. The result does not depend on it.
    verbose : int, default=0
        1 shows progress.

    Returns
    -------
    result : SearchlightResult
        Scores by subject, layer and voxel; maps, sizes of the spheres, ceilings, a group test.

    Raises
    ------
    ValueError
        Before anything runs: if images, spaces or shapes do not fit, a layer's RDM is constant, a
        parameter is not known, all spheres are too small, or Bures' similarity is asked for with
        crossnobis, whose estimates can be negative.

    Warns
    -----
    UserWarning
        If RDMs and responses are taken to be in the same order because one of them has no names;
        if crossnobis lacks pairs of images.

    See Also
    --------
    estimate_searchlight : Number and size of spheres, memory and time, before the run.
    search_regions : The same question in regions, with cross-validation over images.

    Notes
    -----
    *Voxels without data* (NaN, or the same value for all images, as outside of the brain) are
    left out of all spheres, which become smaller; where the centre has none, the map is NaN.
    Subjects with other masks share the grid; each has NaN outside of its own.

    *Numbers.* A score is that of ``compare_rdms(layers, compute_rdm(averages of the sphere))`` to
    1e-10; ceilings are those of :func:`skdnn.rsa.noise_ceiling`. Crossnobis is free of the bias
    by noise, so a cosine with it is above zero only where patterns differ; of other distances
    cosines are high everywhere: take a centred comparison.

    *Memory.* Averages of all subjects once, as the files have them, residuals, and blocks of 64
    spheres. While a subject is read, its sums in float64 beside them.

    References
    ----------
    Kriegeskorte, N., Goebel, R., & Bandettini, P. (2006). Information-based functional brain
    mapping. PNAS, 103(10), 3863-3868.

    Examples
    --------
    >>> import nibabel, numpy as np
    >>> from skdnn.fmri import searchlight_rsa
    >>> from skdnn.rsa import compute_rdm
    >>> rng = np.random.default_rng(0)
    >>> mask = nibabel.Nifti1Image(np.ones((5, 6, 7), np.uint8), np.diag([3.0, 3, 3, 1]))
    >>> features = {"conv1": rng.normal(size=(12, 40)), "conv2": rng.normal(size=(12, 40))}
    >>> layers = {name: compute_rdm(one) for name, one in features.items()}
    >>> voxels = rng.normal(size=(12, 210))
    >>> voxels[:, :60] += 0.5 * features["conv2"] @ rng.normal(size=(40, 60))
    >>> result = searchlight_rsa(voxels, layers, radius=6.0, mask=mask)
    >>> result
    SearchlightResult(subjects=1, layers=2, centres=210, sizes=11 to 33, comparison=spearman)
    >>> result.scores.shape
    (1, 2, 210)
    >>> result.best_layer()[:3]
    array([1, 1, 1])
    """
    plan = make_plan(
        betas, layers, radius=radius, mask=mask, mesh=mesh, distance=distance, metric=metric,
        comparison=comparison, min_voxels=min_voxels, folds=folds, residuals=residuals,
        covariance=covariance, dof=dof, ceilings=ceilings, conditions=conditions,
    )  # fmt: skip
    work = plan.work()
    sizes = np.stack([sizes_of(work.neighbours, one.usable) for one in work.subjects])
    refuse_too_small(sizes, min_voxels, radius)
    found = score_all(work, None if folder is None else os.fspath(folder), n_jobs, verbose)
    n_subjects, n_layers = len(plan.subjects), len(plan.layers)
    return SearchlightResult(
        scores=found[: n_subjects * n_layers].reshape(n_subjects, n_layers, -1),
        subjects=[one.name for one in plan.subjects],
        layers=plan.layers,
        sizes=sizes,
        ceiling=found[-2:] if work.ceilings else None,
        settings=plan.settings,
        places=plan.places,
    )


@dataclass(frozen=True)
class Plan:
    """What a searchlight will do, checked; patterns are not read yet."""

    subjects: list[Subject]
    places: Places
    neighbours: Neighbours
    models: RDMStack
    layers: list[str]
    folds: str | None
    residuals: dict[str, Any]
    settings: dict[str, Any]

    def work(self) -> Work:
        """Read what is to be compared."""
        n = self.places.n_points
        read = [patterns_of(one, n, self.folds, self.residuals[one.name]) for one in self.subjects]
        kept = self._kept(read)
        self.settings["n_pairs"] = int(kept.sum())
        if self.settings["comparison"] in WHITENED:  # by the covariance of the pairs there are
            kept = np.ones_like(kept)
        return Work(
            read, self.neighbours, self.models.pairs if kept.all() else (
                self.models.pairs[:, kept]), self.settings["metric"],
            self.settings["comparison"], self.settings["min_voxels"], self.settings["covariance"],
            self.settings["dof"], self.settings["ceilings"], kept,
        )  # fmt: skip

    def _kept(self, read: list[Patterns]) -> NDArray[np.bool_]:
        """Pairs of images that two folds of each subject hold both of."""
        kept = np.ones(self.models.pairs.shape[1], dtype=bool)
        if self.folds is None:
            return kept
        first, second = np.triu_indices(self.models.n_conditions, k=1)
        for one in read:
            measured = (one.counts > 0).astype(np.int64)
            kept &= (measured.T @ measured)[first, second] > 1
        if kept.sum() < MIN_PAIRS:
            raise ValueError(
                f"folds={self.folds!r}: only {int(kept.sum())} pairs of images were shown both in "
                "two folds, which crossnobis needs."
            )
        if not kept.all():
            warnings.warn(
                f"folds={self.folds!r}: {int((~kept).sum())} of {len(kept)} pairs of images were "
                "not shown both in two folds of each subject; crossnobis leaves them out.",
                UserWarning,
                stacklevel=4,
            )
            _refuse_flat(self.models, self.settings["comparison"], kept)
        return kept


def make_plan(
    betas: Any, layers: Any, *, radius: float, mask: Any, mesh: Any, distance: str, metric: str,
    comparison: str, min_voxels: int, folds: str, residuals: Any, covariance: str,
    dof: float | None, ceilings: bool, conditions: ArrayLike | None,
) -> Plan:  # fmt: skip
    """Check everything that can be wrong; nothing large is read."""
    comparison = check_comparison(comparison)
    if metric not in _NOISY:
        check_metric(metric)
    if residuals is not None and metric not in _NOISY:
        raise ValueError(f"residuals are for {' and '.join(_NOISY)}, not for {metric!r}.")
    if metric == "mahalanobis" and residuals is None:
        raise ValueError("metric='mahalanobis' needs residuals, which the noise is estimated of.")
    if isinstance(radius, bool) or not isinstance(radius, Real) or not 0 < radius < np.inf:
        raise ValueError(f"radius must be a number of millimetres above 0, got {radius!r}.")
    if distance not in ("edges", "straight"):
        raise ValueError(f"distance must be 'edges' or 'straight', got {distance!r}.")
    check_count(min_voxels, "min_voxels", 2)
    if dof is not None:
        if isinstance(dof, bool) or not isinstance(dof, Real) or not 0 < dof < np.inf:
            raise ValueError(f"dof must be a number above 0, got {dof!r}.")
        dof = float(dof)
    subjects, places = read_subjects(betas, mask)
    places = _with_meshes(places, mesh)
    if metric == "crossnobis":
        if comparison == "bures":
            raise ValueError(
                "comparison='bures' is of squared distances, and crossnobis estimates of them are "
                "negative where noise has it so: take 'cosine_cov' or 'corr_cov', which are made "
                "for such estimates."
            )
        for one in subjects:
            if not isinstance(one.data, Betas):
                raise ValueError(
                    "metric='crossnobis' needs repeated measurements: give Betas, which "
                    "load_betas makes of arrays and events, too."
                )
            fold_codes(one.data, folds, f"betas of {one.name!r}" if one.name else "betas")
    models = _models_of(layers, subjects, conditions, comparison)
    settings = {
        "radius": float(radius), "distance": None if places.is_volume else distance,
        "metric": metric, "comparison": comparison, "min_voxels": int(min_voxels),
        "folds": folds if metric == "crossnobis" else None,
        "noise": residuals is not None, "covariance": covariance, "dof": dof,
        "ceilings": bool(ceilings) and len(subjects) > 1, "n_images": models.n_conditions,
        "space": places.space or None,
    }  # fmt: skip
    names = range(len(models)) if models.names is None else models.names
    return Plan(
        subjects, places, _neighbours(places, radius, distance), models,
        [rdm_name(name) for name in names], settings["folds"],
        check_residuals(residuals, subjects, covariance), settings,
    )  # fmt: skip


def _with_meshes(places: Places, mesh: Any) -> Places:
    """The mesh of each hemisphere, if points are vertices."""
    if places.is_volume:
        if mesh is not None:
            raise ValueError("mesh is for surfaces, and betas are of volumes.")
        return places
    if mesh is None:
        raise ValueError("betas are of surfaces: give the mesh that they lie on with mesh=.")
    return replace(places, meshes=tuple(read_meshes(mesh, places)))


def _neighbours(places: Places, radius: float, distance: str) -> Neighbours:
    if places.is_volume:
        assert places.affine is not None
        return Spheres(places.mask, places.affine, radius)
    return Patches(list(places.meshes), places.mask, radius, distance)


def _models_of(layers: Any, subjects: list[Subject], conditions: Any, comparison: str) -> RDMStack:
    """RDMs of the layers, in the order of the images."""
    stack = read_rdms(layers, "layers", conditions)
    n = len(subjects[0].data.images) if subjects[0].images and isinstance(
        subjects[0].data, Betas) else len(subjects[0].data)  # fmt: skip
    images = next((one.images for one in subjects if one.images is not None), None)
    if images is None and conditions is not None:
        images = [str(one) for one in np.asarray(conditions)]
        if len(images) != n:
            raise ValueError(f"conditions has {len(images)} names for {n} images.")
    labels = text_labels(stack.conditions)
    if images is not None and labels is not None:
        stack = stack.subset(find_rows(labels, images, "layers"))
    elif stack.n_conditions != n:
        raise ValueError(f"layers have RDMs of {stack.n_conditions} images, the betas are of {n}.")
    elif images is not None or labels is not None:
        warnings.warn(
            "Only one of layers and betas has the names of images: they are taken to be in the "
            "same order. Label the RDMs, or give conditions=.",
            UserWarning,
            stacklevel=4,
        )
    _refuse_flat(stack, comparison)
    return stack


def _refuse_flat(stack: RDMStack, comparison: str, kept: Any = slice(None)) -> None:
    """Raise if RDMs are constant, among the pairs that are kept."""
    flat = [
        name
        for name, pairs in zip(stack.labels("layers"), stack.pairs[:, kept], strict=True)
        if is_flat(pairs[None, ~np.isnan(pairs)], comparison)[0]
    ]
    if flat:
        raise ValueError(
            f"These RDMs are constant, and have no similarity to any other:{in_lines(flat)}"
        )


def refuse_too_small(sizes: NDArray[np.int32], min_voxels: int, radius: float) -> None:
    if sizes.max() < min_voxels:
        raise ValueError(
            f"radius={radius} gives spheres of at most {sizes.max()} voxels, and min_voxels is "
            f"{min_voxels}: take a larger radius."
        )
