"""What a searchlight will take, before it is run."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from skdnn._wording import counted, in_bytes, in_time
from skdnn.fmri._betas import Betas
from skdnn.fmri._searchlight._centres import Work, scores_of_centres
from skdnn.fmri._searchlight._neighbours import sizes_of
from skdnn.fmri._searchlight._searchlight_rsa import Plan, make_plan, refuse_too_small
from skdnn.fmri._searchlight._sphere_rdms import Patterns
from skdnn.fmri._searchlight._subjects import bytes_of_reading

# Centres that are tried, for so many pairs at most.
_TRIED, _PAIRS = 192, 2**22


@dataclass(frozen=True)
class SearchlightEstimate:
    """What a searchlight will take.

    Given by :func:`estimate_searchlight`.

    Parameters
    ----------
    n_subjects, n_layers, n_images : int
        What is compared.
    n_centres : int
        Voxels or vertices that any subject has.
    n_too_small : int
        Centres of fewer than `min_voxels`, whose map is NaN.
    smallest, median, largest : int
        Voxels in a sphere, if all have data.
    seconds : float
        Processor time of all centres in one process, from made-up data.
    memory : int
        Bytes that are allocated at a time, at most, in one process: patterns and residuals, what
        reading them takes, RDMs, scores.

    See Also
    --------
    estimate_searchlight : Makes one.

    Examples
    --------
    >>> from skdnn.fmri import SearchlightEstimate
    >>> print(SearchlightEstimate(n_subjects=1, n_layers=8, n_images=92, n_centres=50000,
    ...     n_too_small=12, smallest=7, median=81, largest=93, seconds=10.0, memory=2**27))
    50,000 centres of 7 to 93 voxels (median 81), 12 of them too small
    1 subject, 92 images, 8 layers
    about 10 s in one process, 134 MB of memory
    """

    n_subjects: int
    n_layers: int
    n_images: int
    n_centres: int
    n_too_small: int
    smallest: int
    median: int
    largest: int
    seconds: float
    memory: int

    def to_dict(self) -> dict[str, Any]:
        """Give all as values that JSON can hold.

        Returns
        -------
        attributes : dict
            By name.
        """
        return dict(vars(self))

    def __str__(self) -> str:
        return (
            f"{counted(self.n_centres, 'centre')} of {self.smallest} to {self.largest} voxels "
            f"(median {self.median}), {self.n_too_small} of them too small\n"
            f"{counted(self.n_subjects, 'subject')}, {counted(self.n_images, 'image')}, "
            f"{counted(self.n_layers, 'layer')}\n"
            f"about {in_time(self.seconds)} in one process, {in_bytes(self.memory)} of memory"
        )


def estimate_searchlight(betas: Any, layers: Any, **options: Any) -> SearchlightEstimate:
    """Check everything, count spheres and their voxels, and try some of them on made-up data.

    Parameters
    ----------
    betas, layers : object
        As for :func:`searchlight_rsa`; no betas are read.
    **options : object
        As for :func:`searchlight_rsa`; `radius` is needed, and `folder`, `n_jobs` and `verbose`
        change nothing.

    Returns
    -------
    estimate : SearchlightEstimate
        Print it.

    Raises
    ------
    ValueError
        As :func:`searchlight_rsa` does before it runs.

    See Also
    --------
    searchlight_rsa : The run itself.

    Examples
    --------
    >>> import nibabel, numpy as np
    >>> from skdnn.fmri import estimate_searchlight
    >>> from skdnn.rsa import compute_rdm
    >>> mask = nibabel.Nifti1Image(np.ones((5, 6, 7), np.uint8), np.diag([3.0, 3, 3, 1]))
    >>> layers = {"conv1": compute_rdm(np.random.default_rng(0).random((12, 5)))}
    >>> estimate = estimate_searchlight(np.zeros((12, 210)), layers, radius=6.0, mask=mask)
    >>> print(str(estimate).splitlines()[0])
    210 centres of 11 to 33 voxels (median 22), 0 of them too small
    """
    given = {name: value for name, value in options.items() if name not in _RUNNING}
    plan = make_plan(betas, layers, **{**_DEFAULTS, **given})
    n = plan.places.n_points
    sizes = sizes_of(plan.neighbours, np.ones(n, dtype=bool))
    refuse_too_small(sizes, plan.settings["min_voxels"], plan.settings["radius"])
    work = _made_up(plan, n)
    n_pairs = work.models.shape[1]
    tried = max(1, min(n, _TRIED, _PAIRS // n_pairs // len(plan.subjects)))
    start = (n - tried) // 2
    block = _peak_of(lambda: scores_of_centres(work, start, start + tried))
    begin = time.process_time()
    scores_of_centres(work, start, start + tried)
    each = (time.process_time() - begin) / tried
    return SearchlightEstimate(
        n_subjects=len(plan.subjects), n_layers=len(plan.layers),
        n_images=plan.settings["n_images"], n_centres=n,
        n_too_small=int((sizes < plan.settings["min_voxels"]).sum()), smallest=int(sizes.min()),
        median=int(np.median(sizes)), largest=int(sizes.max()), seconds=each * n,
        memory=_memory(plan, work, block),
    )  # fmt: skip


_RUNNING = ("folder", "n_jobs", "verbose")
_DEFAULTS: dict[str, Any] = {
    "mask": None, "mesh": None, "distance": "edges", "metric": "correlation",
    "comparison": "spearman", "min_voxels": 10, "folds": "run", "residuals": None,
    "covariance": "shrinkage_diag", "dof": None, "ceilings": True, "conditions": None,
}  # fmt: skip


def _peak_of(call: Callable[[], Any]) -> int:
    """The most bytes that a call has allocated at a time."""
    traced = tracemalloc.is_tracing()
    if not traced:
        tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not traced:
            tracemalloc.stop()


def _memory(plan: Plan, work: Work, block: int) -> int:
    """Of all subjects' data, and the larger of reading the last one and comparing all."""
    n, n_subjects, made_up = plan.places.n_points, len(plan.subjects), work.subjects[0]
    n_cells = made_up.counts.size
    held, reading = 0, 0
    for one in plan.subjects:
        of_betas = isinstance(one.data, Betas)
        dtype = one.data.responses.dtype if of_betas else one.data.dtype
        held += n * n_cells * (8 if plan.folds or dtype.kind != "f" else dtype.itemsize)
        reading = bytes_of_reading(one.data, n_cells) if of_betas else 0
    if made_up.residuals is not None:
        dtype = getattr(plan.residuals[plan.subjects[0].name], "dtype", np.dtype(np.float32))
        item = dtype.itemsize if dtype.kind == "f" else 8
        held += n_subjects * n * made_up.residuals.shape[1] * item
    n_maps = n_subjects * len(plan.layers) + 2 * work.ceilings
    fixed = work.models.nbytes + sum(one.nbytes for one in vars(plan.neighbours).values())
    return int(held + fixed + max(reading, block + 2 * 8 * n_maps * n))


def _made_up(plan: Plan, n_points: int) -> Work:
    """The same work on noise, of which all points share a few rows."""
    rng = np.random.default_rng(0)
    n_images, n_folds = plan.settings["n_images"], 1
    if plan.folds is not None:
        by = ["session", "run"] if plan.folds == "run" else ["session"]
        n_folds = len(plan.subjects[0].data.trials[by].drop_duplicates())
    some = rng.normal(size=(4096, n_folds * n_images))
    values = np.resize(np.arange(4096), n_points)
    residuals = None
    if plan.settings["noise"]:
        n_residuals = _n_residuals(plan.residuals[plan.subjects[0].name])
        residuals = rng.normal(size=(4096, n_residuals))
    one = Patterns(
        some, np.ones(n_points, dtype=bool), np.ones((n_folds, n_images), dtype=np.int64),
        residuals,
    )  # fmt: skip
    settings = plan.settings
    return Work(
        [one] * len(plan.subjects), _Wrapped(plan.neighbours, values), plan.models.pairs,
        settings["metric"], settings["comparison"], settings["min_voxels"],
        settings["covariance"], settings["dof"], settings["ceilings"],
        np.ones(plan.models.pairs.shape[1], dtype=bool),
    )  # fmt: skip


@dataclass(frozen=True)
class _Wrapped:
    """Neighbours whose data are rows of a smaller table."""

    neighbours: Any
    row: np.ndarray

    def of(self, start: int, stop: int) -> list[Any]:
        return [self.row[points].astype(np.int32) for points in self.neighbours.of(start, stop)]


def _n_residuals(residuals: Any) -> int:
    shape = getattr(residuals, "shape", None)
    return int(shape[0]) if shape else 300  # of files, which are not opened
