"""Tests of searchlight maps over subjects in one space, corrected for all voxels and layers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skdnn._files import write_whole
from skdnn.fmri._searchlight._neighbours import adjacent
from skdnn.fmri._searchlight._places import file_names
from skdnn.rsa._inference._map_test import MapTest, map_test
from skdnn.rsa._inference._scored_models import NOT_CENTRED
from skdnn.rsa._inference._sign_flips import sign_flip_test
from skdnn.rsa._inference._time_course_test import check_kind

if TYPE_CHECKING:
    from skdnn.fmri._searchlight._result import SearchlightResult

Array = NDArray[np.float64]


class SearchlightTest:
    """Sign-flip test of searchlight maps over subjects: what `SearchlightResult.test` returns.

    Attributes
    ----------
    t : ndarray of shape (n_layers, n_voxels)
        Student's t over subjects; NaN where it was not tested.
    p : ndarray of shape (n_layers, n_voxels)
        Corrected for all voxels and layers. Of the test of clusters, voxels of a cluster have its
        p, and others 1.
    kind : {"max", "cluster", "tfce"}
        What was compared.
    clusters : DataFrame or None
        Of the test of clusters, the least likely first: ``layer``, ``size`` (voxels, or
        vertices), ``mass`` (the sum of t), ``p``, ``peak_t`` (t where it is furthest from zero),
        and where that is: ``x``, ``y`` and ``z`` in millimetres, or ``hemisphere`` and the number
        of the ``vertex`` there.
    exact : bool
        Whether all sets of signs were taken.

    See Also
    --------
    SearchlightResult.test : Makes one.

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
    >>> result.test()
    SearchlightTest(significant voxels at .05: {'conv1': 107})
    """

    def __init__(
        self,
        result: SearchlightResult,
        t: Array,
        p: Array,
        exact: bool,
        kind: str = "max",
        clusters: pd.DataFrame | None = None,
    ) -> None:
        self.t, self.p, self.exact, self.kind, self.clusters = t, p, exact, kind, clusters
        self._result = result

    def significant(self, alpha: float = 0.05) -> NDArray[np.bool_]:
        """Where p is at most `alpha`.

        Parameters
        ----------
        alpha : float, default=0.05
            The chance that anything is found wrongly.

        Returns
        -------
        found : ndarray of bool, shape (n_layers, n_voxels)
            False where it was not tested.
        """
        return np.asarray(self.p <= alpha)  # NaN is not

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``t-NAME`` and ``p-NAME`` of each layer beside the maps, and ``clusters.tsv``.

        What an earlier test of another kind left there, ``clusters.tsv``, is removed.

        Parameters
        ----------
        folder : str or path-like
            Made where there is none; files of the same names are replaced.
        """
        place = Path(folder).expanduser()
        for row, name in enumerate(file_names(self._result.layers)):
            self._result._places.write(self.t[row], place, f"t-{name}")
            self._result._places.write(self.p[row], place, f"p-{name}")
        if self.clusters is not None:
            table = self.clusters.to_csv(sep="\t", index=False)
            write_whole(place / "clusters.tsv", table.encode())
        else:  # of an earlier test
            (place / "clusters.tsv").unlink(missing_ok=True)

    def __repr__(self) -> str:
        found = self.significant().sum(axis=1)
        counts = {n: int(k) for n, k in zip(self._result.layers, found, strict=True)}
        return f"SearchlightTest(significant voxels at .05: {counts})"


def zero_is_chance(metric: str, comparison: str) -> bool:
    """Whether unrelated RDMs have a similarity of zero on average, so that it can be tested."""
    if comparison == "bures":
        return False
    return comparison not in NOT_CENTRED or metric == "crossnobis"


def group_test(
    result: SearchlightResult,
    *,
    kind: str,
    chance: float | None,
    cluster_alpha: float,
    tfce_step: float,
    **options: Any,
) -> SearchlightTest:
    """What `SearchlightResult.test` does, and says."""
    check_kind(kind, cluster_alpha, tfce_step)
    if len(result.subjects) < 2:
        raise ValueError("A test over subjects needs two or more; there is one.")
    metric, comparison = result.settings["metric"], result.settings["comparison"]
    if chance is None and not zero_is_chance(metric, comparison):
        raise ValueError(
            f"Unrelated RDMs have a {comparison} similarity far above zero, so that a test "
            "against 0 finds all voxels: say what chance gives with chance=, or take a "
            "centred comparison such as 'spearman' or 'corr_cov'."
        )
    values = result.scores - (chance or 0.0)
    if kind == "max":
        largest = sign_flip_test(values, undefined="omit", **options)
        return SearchlightTest(result, largest.t, largest.p, largest.exact, kind)
    neighbours = adjacent(result.mask, result._places.meshes)
    found = map_test(
        values, neighbours, kind=kind, cluster_alpha=cluster_alpha, tfce_step=tfce_step, **options
    )
    clusters = _table(found, result) if kind == "cluster" else None
    return SearchlightTest(result, found.t, found.p, found.exact, kind, clusters)


def _table(found: MapTest, result: SearchlightResult) -> pd.DataFrame:
    """Clusters, the least likely first, with their peaks."""
    rows, peaks = [], np.zeros(len(found.clusters), dtype=np.intp)
    for number, (row, own, mass, p) in enumerate(found.clusters):
        peaks[number] = peak = own[np.abs(found.t[row, own]).argmax()]
        rows.append((result.layers[row], len(own), mass, p, found.t[row, peak]))
    table = pd.DataFrame(rows, columns=["layer", "size", "mass", "p", "peak_t"])
    table = table.assign(**result._places.where(peaks))
    order = np.lexsort([-table["mass"].abs(), table["p"]])
    return table.iloc[order].reset_index(drop=True)
