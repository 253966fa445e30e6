"""One subject's responses to images: trials, averages, repeats, reliability, regions, maps."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from skdnn._files import sidecar, write_whole
from skdnn._html import card, product
from skdnn._optional import import_optional
from skdnn._wording import listed, nearest
from skdnn.encoding import average_repeats, ncsnr, ncsnr_ceiling, split_half_reliability
from skdnn.fmri._tables_of_voxels import VOXEL, as_maps
from skdnn.fmri._trials import Trials
from skdnn.io._nifti import NiftiBetas
from skdnn.io._nifti_writing import write_map

OnePath = str | os.PathLike[str]


class Betas:
    """Responses of fMRI to images, trial by trial, as :func:`~skdnn.fmri.load_betas` gives them.

    Attributes
    ----------
    responses : lazy array of shape (n_trials, n_voxels)
        Row ``i`` is trial ``i``; read when asked for, ``responses[:]`` is an array. float32, or
        float64 where the files hold more digits.
    trials : DataFrame
        A row for each trial: ``stimulus`` (as the events name it), ``image`` (position in
        `images`), ``run``, ``session`` and, where the events have it, ``onset``.
    images : list of str
        Paths of the images, in the order of the rows of :meth:`averages`.
    rois : dict of str to ndarray of bool, shape (n_voxels,)
        Voxels of each region.
    voxels : ndarray of int, shape (n_voxels,)
        Which voxels of the mask are here.
    affine : ndarray of shape (4, 4) or None
        Where volumes lie.

    See Also
    --------
    skdnn.fmri.load_betas : Makes one, with an example.
    skdnn.formats.read_betas : Maps alone, without events.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skdnn.fmri import load_betas
    >>> events = pd.DataFrame({"stim_file": ["cat.jpg", "dog.jpg", "cat.jpg"]})
    >>> betas = load_betas(np.eye(3), events=events, images=["cat.jpg", "dog.jpg"])
    >>> betas.repeats()[:, 0]
    array([[1., 0., 0.],
           [0., 0., 1.]])
    >>> betas.keep([2]).averages()
    voxel      2
    image
    cat.jpg  0.5
    dog.jpg  0.0
    """

    _space = ""  # MNI152, where files say so

    def __init__(
        self,
        responses: Trials,
        trials: pd.DataFrame,
        images: Sequence[str],
        *,
        source: Any,
        mask: NDArray[np.bool_] | None,
        affine: NDArray[np.float64] | None,
        rois: Mapping[str, NDArray[np.bool_]],
    ) -> None:
        self.responses, self.trials, self.images = responses, trials, list(images)
        self.affine, self.rois = affine, dict(rois)
        self._source, self._mask = source, mask
        # Of surfaces each hemisphere and its number of vertices, as files or the mask name them.
        self._sides = tuple(getattr(source, "hemispheres", None) or ())

    @property
    def voxels(self) -> NDArray[np.intp]:
        """Which voxels of the mask are here."""
        return self.responses.voxels

    @property
    def n_voxels(self) -> int:
        """Their number."""
        return self.responses.shape[1]

    def averages(self) -> pd.DataFrame:
        """Average the trials of each image.

        Returns
        -------
        averages : DataFrame of shape (n_images, n_voxels)
            Row ``i`` is the response to ``images[i]``, which is its label: a pipeline or a search
            compares it with its images. Columns are labelled by `voxels`, so that results can be
            put back into the brain (:meth:`save_map`). NaN in a trial stays NaN.
        """
        shown = self.trials["image"].to_numpy()
        found = average_repeats(self.responses, shown, order=list(range(len(self.images))))
        return pd.DataFrame(
            found.responses,
            index=pd.Index(self.images, name="image"),
            columns=pd.Index(self.voxels, name=VOXEL),
            copy=False,
        )

    def repeats(self) -> NDArray[Any]:
        """Sort the trials by repeat: the first showing of each image, the second, and so on.

        Returns
        -------
        repeats : ndarray of shape (n_repeats, n_images, n_voxels)
            NaN where an image was shown less often than another.
        """
        shown = self.trials["image"].to_numpy()
        number = self.trials.groupby("image").cumcount().to_numpy()
        out = np.full(
            (int(number.max()) + 1, len(self.images), self.n_voxels), np.nan, self.responses.dtype
        )
        for rows, block in self.responses.iter_blocks():
            out[number[rows], shown[rows]] = block
        return out

    def reliability(self, *, n_splits: int = 20, random_state: Any = 0) -> pd.DataFrame:
        """How much of each voxel's response is the image's, and the most a model can reach.

        Parameters
        ----------
        n_splits : int, default=20
            Random halves of the trials.
        random_state : int, RandomState instance or None, default=0
            Draws the halves.

        Returns
        -------
        table : DataFrame of n_voxels rows
            ``ncsnr`` (standard deviation of the signal over that of the noise, Allen et al.,
            2022), ``split_half`` (reliability of the average, Spearman-Brown corrected) and
            ``ceiling`` (the largest correlation of a model with :meth:`averages`, from
            ``ncsnr``).

        Raises
        ------
        ValueError
            If no image was shown twice.
        """
        counts = np.bincount(self.trials["image"], minlength=len(self.images))
        if counts.max() < 2:
            raise ValueError("No image was shown twice: there is no noise to be told from signal.")
        repeats = self.repeats()
        signal = ncsnr(repeats)
        halves = split_half_reliability(repeats, n_splits=n_splits, random_state=random_state)
        return pd.DataFrame(
            {"ncsnr": signal, "split_half": halves, "ceiling": ncsnr_ceiling(signal, counts)},
            index=pd.Index(self.voxels, name=VOXEL),
        )

    def keep(self, voxels: ArrayLike) -> Betas:
        """Leave out voxels; maps made later still lie where they were.

        Parameters
        ----------
        voxels : array-like of bool, shape (n_voxels,), or of int
            Which to keep. A mask with voxels as its index, as a column of `reliability` gives
            it, is taken by them, whatever its order.

        Returns
        -------
        betas : Betas
            With these voxels, in their order.

        Raises
        ------
        ValueError
            If a mask has another length or other voxels, nothing is kept, or a voxel is named
            twice.
        """
        if isinstance(voxels, pd.Series) and voxels.index.name == VOXEL and voxels.dtype == bool:
            if sorted(voxels.index) != sorted(self.voxels):
                raise ValueError("voxels has an index of other voxels than these.")
            voxels = voxels.loc[self.voxels.tolist()]
        chosen = np.asarray(voxels)
        if chosen.dtype == bool:
            if chosen.shape != (self.n_voxels,):
                raise ValueError(
                    f"voxels has shape {chosen.shape}, but there are {self.n_voxels} voxels."
                )
            chosen = np.flatnonzero(chosen)
        if chosen.size == 0:
            raise ValueError("voxels keeps nothing.")
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
            raise ValueError("voxels must be a mask, or a list of integers.")
        if chosen.min() < 0 or chosen.max() >= self.n_voxels:
            raise ValueError(f"voxels must lie in 0 to {self.n_voxels - 1}.")
        if len(np.unique(chosen)) < len(chosen):
            raise ValueError("voxels names some voxels twice.")
        part = Betas(
            self.responses.of(chosen.astype(np.intp)),
            self.trials,
            self.images,
            source=self._source,
            mask=self._mask,
            affine=self.affine,
            rois={name: inside[chosen] for name, inside in self.rois.items()},
        )
        part._space, part._sides = self._space, self._sides
        return part

    def roi(self, name: str | Sequence[str]) -> Betas:
        """Keep the voxels of one region, or of several together.

        Parameters
        ----------
        name : str or sequence of str
            One of `rois`, or some: what is in at least one of them is kept.

        Returns
        -------
        betas : Betas
            With these voxels, and the regions that have some of them.

        Raises
        ------
        ValueError
            If there is no such region, or none of its voxels were kept.
        """
        names = [name] if isinstance(name, str) else list(name)
        for one in names:
            if one not in self.rois:
                known = list(dict.fromkeys([*nearest(one, self.rois), *self.rois]))
                raise ValueError(
                    f"There is no region {one!r}; there are {listed(known) or 'none'}."
                )
            if not self.rois[one].any():
                raise ValueError(f"No voxel of {one!r} is among those that were kept.")
        if not names:
            raise ValueError("name is empty: name a region.")
        part = self.keep(np.any([self.rois[one] for one in names], axis=0))
        part.rois = {one: inside for one, inside in part.rois.items() if inside.any()}
        return part

    @property
    def regions_of_voxels(self) -> NDArray[np.object_]:
        """Names of the region that each voxel is in: ``""`` in none, ``"V1 & hV4"`` in two."""
        found = np.full(self.n_voxels, "", dtype=object)
        for name, inside in self.rois.items():
            found[inside] = [f"{one} & {name}" if one else name for one in found[inside]]
        return found

    def unmask(
        self,
        values: ArrayLike | pd.DataFrame,
        *,
        columns: str | Sequence[str] | None = None,
        fill: float = np.nan,
    ) -> Any:
        """Put a number for each voxel, such as a score, into the original grid.

        Parameters
        ----------
        values : array-like of shape (n_voxels,) or (n_maps, n_voxels), or DataFrame
            Numbers of the voxels that are here, or a table as for :meth:`save_map`.
        columns : str or sequence of str, default=None
            Of a table, as for :meth:`save_map`.
        fill : float, default=nan
            What all other voxels get, those outside of the mask and those left out.

        Returns
        -------
        image : nibabel.Nifti1Image, or ndarray of shape (..., n_vertices)
            Of float32. Several maps become the volumes of one image. Of surfaces an array with a
            value for each vertex.

        Raises
        ------
        ValueError
            If the voxels do not fit, or betas came from an array without a mask.
        """
        whole = self._whole(as_maps(values, columns, self.voxels).numbers, fill)
        if self._mask is None:
            raise ValueError("Betas from an array without a mask have no place in space.")
        flat = np.full((*whole.shape[:-1], self._mask.size), fill, dtype=np.float32)
        flat[..., self._mask.ravel()] = whole
        volume = flat.reshape(*whole.shape[:-1], *self._mask.shape)
        if self.affine is None:
            return volume
        nibabel = import_optional("nibabel", "to make NIfTI images")
        last = np.moveaxis(volume, 0, -1) if whole.ndim == 2 else volume
        image = nibabel.Nifti1Image(last, self.affine)
        image.header.set_xyzt_units("mm")
        return image

    def save_map(
        self,
        values: ArrayLike | pd.DataFrame,
        path: OnePath | Sequence[OnePath],
        *,
        columns: str | Sequence[str] | None = None,
        fill: float = np.nan,
    ) -> None:
        """Write numbers for each voxel or vertex into a file, whole or not at all.

        Parameters
        ----------
        values : array-like of shape (n_voxels,) or (n_maps, n_voxels), or DataFrame
            Numbers of the voxels that are here. A table has its voxels in a column or index
            called ``voxel``, in any order, and a map in each other column of numbers: of
            :func:`~skdnn.encoding.pool_folds`, :meth:`reliability`, or, with the voxels along its
            columns, :func:`~skdnn.encoding.voxel_variance_partitioning`. A table that names no
            voxels has a map in each row, called as its index says.
        path : str or path-like, or a pair of them
            ``.nii`` or ``.nii.gz``; of surfaces ``.func.gii`` or ``.mgz``, one for each
            hemisphere.
        columns : str or sequence of str, default=None
            Of a table, which maps, in this order; None takes all that hold numbers. One map makes
            a file of three dimensions, several the volumes of one, and their names go into a
            JSON file beside it. A categorical column, such as the layer, becomes numbers from 1,
            whose meaning stands in that file.
        fill : float, default=nan
            What all other voxels get.

        Raises
        ------
        TypeError
            If a column holds text.
        ValueError
            If the voxels are not those that are here, or a table has several rows for one.

        See Also
        --------
        unmask : The same in memory.

        Examples
        --------
        >>> table = pool_folds(nested_encoding(encoder, X, betas.averages()))  # doctest: +SKIP
        >>> betas.save_map(table, "r.nii.gz", columns="r")  # doctest: +SKIP
        >>> betas.save_map(table, "maps.nii.gz")  # and maps.json  # doctest: +SKIP
        """
        maps = as_maps(values, columns, self.voxels)
        reference = self._source
        if not isinstance(reference, NiftiBetas):
            if self._mask is None or self.affine is None:
                raise ValueError("Betas from an array without a place in space make no map.")
            nibabel = import_optional("nibabel", "to write NIfTI files")
            reference = nibabel.Nifti1Image(self._mask.astype(np.uint8), self.affine)
        write_map(self._whole(maps.numbers, fill), reference, path, fill=fill)
        if maps.meanings or len(maps.names) > 1:
            told = {"maps": maps.names, **({"values": maps.meanings} if maps.meanings else {})}
            text = f"{json.dumps(told, indent=1, ensure_ascii=False)}\n".encode()
            for one in [path] if isinstance(path, str | os.PathLike) else path:
                write_whole(sidecar(Path(one).expanduser()), text)

    def _whole(self, values: NDArray[np.float32], fill: float) -> NDArray[np.float32]:
        """Values of all voxels of the mask."""
        n_all = self.responses.source.shape[1]
        whole = np.full((*values.shape[:-1], n_all), fill, dtype=np.float32)
        whole[..., self.voxels] = values
        return whole

    def __len__(self) -> int:
        return len(self.trials)

    def _facts(self) -> dict[str, Any]:
        counts = np.bincount(self.trials["image"], minlength=len(self.images))
        low, high = int(counts.min()), int(counts.max())
        return {
            "trials": len(self.trials),
            "images": len(self.images),
            "shown": f"{low} times" if low == high else f"{low} to {high} times",
            "sessions": self.trials["session"].nunique(),
            "runs": len(self.trials[["session", "run"]].drop_duplicates()),
            "voxels": self.n_voxels,
            "regions": [f"{name} {int(inside.sum())}" for name, inside in self.rois.items()]
            or None,
            "grid": product(self._mask.shape) if self._mask is not None else None,
        }

    def __repr__(self) -> str:
        facts = {name: value for name, value in self._facts().items() if value is not None}
        return f"Betas({', '.join(f'{name}={value}' for name, value in facts.items())})"

    def _repr_html_(self) -> str:
        """A card for notebooks; no file is opened."""
        return card("Betas", self._facts())
