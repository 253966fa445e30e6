"""What a searchlight found: scores by subject, layer and place, and their maps."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from skdnn._files import write_whole
from skdnn._html import card, product
from skdnn._version import __version__
from skdnn._wording import listed, nearest
from skdnn.fmri._searchlight._group_test import SearchlightTest, group_test
from skdnn.fmri._searchlight._places import Places, file_names

Array = NDArray[np.float64]


class SearchlightResult:
    """Similarity of layers and brain around each voxel: what `searchlight_rsa` returns.

    Attributes
    ----------
    scores : ndarray of shape (n_subjects, n_layers, n_voxels)
        NaN where a sphere has too few voxels with data.
    subjects, layers : list of str
        Names, in the order of `scores`.
    sizes : ndarray of int, shape (n_subjects, n_voxels)
        Voxels with data in each sphere; 0 where the centre has none.
    ceiling : ndarray of shape (2, n_voxels) or None
        Lower and upper noise ceiling over subjects; NaN where one of them has no RDM.
    mask : ndarray of bool, shape (nx, ny, nz) or (n_vertices,)
        Where the voxels lie, in C order: those that any subject has.
    affine : ndarray of shape (4, 4) or None
        Of volumes.
    meshes : dict of str to (coordinates, faces)
        Of surfaces, by the name of the hemisphere.
    settings : dict
        Radius, metric, comparison and so on; ``space`` is ``"MNI152"`` where the mask's name or
        header says so.

    See Also
    --------
    searchlight_rsa : Makes one.

    Examples
    --------
    >>> import nibabel, numpy as np
    >>> from skdnn.fmri import searchlight_rsa
    >>> from skdnn.rsa import compute_rdm
    >>> rng = np.random.default_rng(0)
    >>> mask = nibabel.Nifti1Image(np.ones((5, 6, 7), np.uint8), np.diag([3.0, 3, 3, 1]))
    >>> conv1 = rng.normal(size=(12, 40))
    >>> subjects = {f"sub-{k}": rng.normal(size=(12, 210)) for k in range(8)}
    >>> for voxels in subjects.values():
    ...     voxels[:, :60] += conv1 @ rng.normal(size=(40, 60))
    >>> result = searchlight_rsa(subjects, {"conv1": compute_rdm(conv1)}, radius=6.0, mask=mask)
    >>> result.map("conv1").shape
    (5, 6, 7)
    >>> result.save("maps/")  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        scores: Array,
        subjects: Sequence[str],
        layers: Sequence[str],
        sizes: NDArray[np.int32],
        ceiling: Array | None,
        settings: dict[str, Any],
        places: Places,
    ) -> None:
        self.scores, self.sizes, self.ceiling = scores, sizes, ceiling
        self.subjects, self.layers = list(subjects), list(layers)
        self.settings, self._places = dict(settings), places
        self.mask, self.affine = places.mask, places.affine
        sides = [side for side, _ in places.hemispheres]
        self.meshes = dict(zip(sides, places.meshes, strict=False))

    def mean(self) -> Array:
        """Mean over the subjects that have a score.

        Returns
        -------
        scores : ndarray of shape (n_layers, n_voxels)
            NaN where nobody has one.
        """
        known = ~np.isnan(self.scores)
        n = known.sum(axis=0)
        total = np.where(known, self.scores, 0.0).sum(axis=0)
        return np.where(n > 0, total / np.maximum(n, 1), np.nan)

    def best_layer(self) -> NDArray[np.intp]:
        """Which layer is most similar on average over subjects.

        Returns
        -------
        layers : ndarray of int, shape (n_voxels,)
            Positions in `layers`; -1 where there is no score. Of several that are equal the
            first.
        """
        mean = self.mean()
        known = ~np.isnan(mean).all(axis=0)
        return np.where(known, np.where(np.isnan(mean), -np.inf, mean).argmax(axis=0), -1)

    def map(self, layer: str, subject: str | None = None) -> Any:
        """The map of a layer.

        Parameters
        ----------
        layer : str
            One of `layers`.
        subject : str, default=None
            One of `subjects`; None is their mean.

        Returns
        -------
        image : nibabel.Nifti1Image, or ndarray of shape (n_vertices,)
            Of float32, NaN elsewhere.
        """
        row = _position(layer, self.layers, "layer")
        if subject is None:
            return self.unmask(self.mean()[row])
        return self.unmask(self.scores[_position(subject, self.subjects, "subject"), row])

    def unmask(self, values: ArrayLike, *, fill: float = np.nan) -> Any:
        """Put a number for each voxel into the grid.

        Parameters
        ----------
        values : array-like of shape (n_voxels,) or (n_maps, n_voxels)
            E.g. ``result.ceiling[0]``, or ``result.sizes[0]``.
        fill : float, default=nan
            What all other voxels get.

        Returns
        -------
        image : nibabel.Nifti1Image, or ndarray of shape (..., n_vertices)
            Of float32; several maps are the volumes of one image.
        """
        return self._places.image(values, fill)

    def test(
        self,
        kind: str = "max",
        *,
        chance: float | None = None,
        n_flips: int = 5000,
        alternative: str = "greater",
        cluster_alpha: float = 0.001,
        tfce_step: float = 0.2,
        min_subjects: int | None = None,
        random_state: Any = 0,
    ) -> SearchlightTest:
        """Test whether layers are similar to the brain, over subjects in one space.

        Parameters
        ----------
        kind : {"max", "cluster", "tfce"}, default="max"
            What is compared with its largest value under random signs: t of each voxel, the sum
            of t over each cluster, or t with threshold-free cluster enhancement. A cluster tells
            that there is something in it, not where.
        chance : float, default=None
            What is subtracted from scores first; None is 0. A cosine, or Bures similarity, of
            distances that are not cross-validated is far above 0 for unrelated RDMs, and needs
            a number.
        n_flips : int, default=5000
            Random sets of signs; all of them where there are no more.
        alternative : {"greater", "less", "two-sided"}, default="greater"
            What is to be shown.
        cluster_alpha : float, default=0.001
            The p-value of a single voxel at the threshold of clusters, for "cluster" (one half at
            each side for "two-sided").
        tfce_step : float, default=0.2
            Between the thresholds of "tfce", in units of t.
        min_subjects : int, default=None
            Voxels are tested where so many subjects have scores; None asks for all. Few subjects
            have large t by chance, which the largest t of all voxels then has to exceed: a small
            number costs power everywhere.
        random_state : int, RandomState or None, default=0
            Where the signs come from.

        Returns
        -------
        test : SearchlightTest
            Student's t, and p corrected for all voxels and layers.

        Raises
        ------
        ValueError
            If there is one subject only, no voxel that enough subjects have, a parameter is not
            known, or 0 is not what unrelated RDMs have, and `chance` is
            not given.

        Notes
        -----
        The signs of whole subjects are flipped at random, and the largest t (or cluster) of all
        maps decides (Nichols & Holmes, 2002): the chance that any voxel (or cluster) of any layer
        is called significant wrongly is at most alpha. With n subjects p is at least
        :math:`2^{-n}` for one side.

        Neighbours are voxels that share a face, as in nilearn's ``permuted_ols``, and vertices
        that share an edge; layers never join. Enhancement (Smith & Nichols, 2009) has E = .5 and
        H = 2, and counts voxels, or vertices.

        References
        ----------
        Nichols, T. E., & Holmes, A. P. (2002). Nonparametric permutation tests for functional
        neuroimaging. Human Brain Mapping, 15(1), 1-25.

        Smith, S. M., & Nichols, T. E. (2009). Threshold-free cluster enhancement. NeuroImage,
        44(1), 83-98.
        """
        return group_test(
            self, kind=kind, chance=chance, cluster_alpha=cluster_alpha, tfce_step=tfce_step,
            n_flips=n_flips, alternative=alternative, min_subjects=min_subjects,
            random_state=random_state,
        )  # fmt: skip

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write all maps into a folder, each whole or not at all.

        Parameters
        ----------
        folder : str or path-like
            Made where there is none; files of the same names are replaced.

        Notes
        -----
        A file for each layer, ``layer-NAME``, with a volume for each subject; of several
        subjects also ``layer-NAME_mean``. Further ``best_layer``, where 1 is the first layer in
        ``layers.tsv`` and 0 is none; ``sizes``; ``ceiling_lower`` and ``ceiling_upper``; and
        ``searchlight.json`` with the settings. Volumes are ``.nii.gz``, surfaces ``.func.gii``
        for each hemisphere.
        """
        place = Path(folder).expanduser()
        names = file_names(self.layers)
        several = len(self.subjects) > 1
        mean = self.mean()
        for row, name in enumerate(names):
            of_subjects = self.scores[:, row] if several else self.scores[0, row]
            self._places.write(of_subjects, place, f"layer-{name}")
            if several:
                self._places.write(mean[row], place, f"layer-{name}_mean")
        self._places.write(self.best_layer() + 1, place, "best_layer", fill=0)
        self._places.write(self.sizes if several else self.sizes[0], place, "sizes", fill=0)
        if self.ceiling is not None:
            for bound, values in zip(("lower", "upper"), self.ceiling, strict=True):
                self._places.write(values, place, f"ceiling_{bound}")
        table = pd.DataFrame({"number": range(1, len(names) + 1), "layer": self.layers,
                              "file": [f"layer-{name}" for name in names]})  # fmt: skip
        write_whole(place / "layers.tsv", table.to_csv(sep="\t", index=False).encode())
        facts = {
            "skdnn": __version__,
            "subjects": self.subjects,
            "layers": self.layers,
            **self.settings,
        }
        write_whole(place / "searchlight.json", f"{json.dumps(facts, indent=2)}\n".encode())

    def _facts(self) -> dict[str, Any]:
        sizes = self.sizes[self.sizes > 0]
        return {
            "subjects": len(self.subjects),
            "layers": len(self.layers),
            "centres": int((self.sizes > 0).any(axis=0).sum()),
            "sizes": f"{sizes.min()} to {sizes.max()}",
            "comparison": self.settings["comparison"],
        }

    def __repr__(self) -> str:
        facts = ", ".join(f"{name}={value}" for name, value in self._facts().items())
        return f"SearchlightResult({facts})"

    def _repr_html_(self) -> str:
        """A card for notebooks: the layers, and how high each reaches."""
        best = self.best_layer()
        table = pd.DataFrame({
            "layer": self.layers,
            "largest score": [_largest(row) for row in self.mean()],
            "best in": [int((best == row).sum()) for row in range(len(self.layers))],
        })  # fmt: skip
        return card(
            "SearchlightResult", {**self._facts(), "grid": product(self.mask.shape)}, table
        )


def _position(name: str, known: list[str], what: str) -> int:
    if name not in known:
        near = list(dict.fromkeys([*nearest(str(name), known), *known]))
        raise ValueError(f"There is no {what} {name!r}; there are {listed(near)}.")
    return known.index(name)


def _largest(values: Array) -> float:
    return float(np.nanmax(values)) if not np.isnan(values).all() else np.nan
