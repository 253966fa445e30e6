"""The work of a searchlight: centres in blocks, whose scores are kept in a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdnn._threads import blas
from skdnn._version import __version__
from skdnn.encoding._hierarchy._shared_jobs import Job, ResultFolder, run_jobs
from skdnn.fmri._searchlight._neighbours import Neighbours, Points
from skdnn.fmri._searchlight._sphere_rdms import Patterns, SphereRDMs
from skdnn.rsa._comparison._model_scores import ModelScores

Array = NDArray[np.float64]

# Spheres of a block, and the numbers that their RDMs, of all subjects, may have at most.
_SPHERES, _NUMBERS = 64, 2**22
# A file holds the scores of as many centres as have so many pairs, of all subjects together.
_PAIRS_OF_A_FILE = 2**25
# To be raised whenever the same input gives other scores.
_VERSION = 1


@dataclass(frozen=True)
class Work:
    """All that scores depend on.

    Attributes
    ----------
    subjects : list of Patterns
        Data of each.
    neighbours : Neighbours
        The points around each centre.
    models : ndarray of shape (n_models, n_pairs)
        Condensed RDMs of the layers.
    metric, comparison : str
        Of the spheres' RDMs, and of these with the models.
    min_voxels : int
        Spheres of fewer are NaN.
    covariance : str
        Of the noise, where there are residuals.
    dof : float or None
        For that.
    ceilings : bool
        Whether there are noise ceilings.
    kept : ndarray of bool, shape (n_image_pairs,)
        Pairs of images that are compared: those of the models.
    """

    subjects: list[Patterns]
    neighbours: Neighbours
    models: Array
    metric: str
    comparison: str
    min_voxels: int
    covariance: str
    dof: float | None
    ceilings: bool
    kept: NDArray[np.bool_]

    @property
    def n_images(self) -> int:
        """Number of images."""
        return int(self.subjects[0].counts.shape[1])

    @property
    def n_centres(self) -> int:
        """Number of points."""
        return len(self.subjects[0].usable)


def scores_of_centres(work: Work, start: int, stop: int) -> Array:
    """Scores of some centres: a row for each subject and layer, then lower and upper ceiling."""
    n_subjects, (n_models, n_pairs) = len(work.subjects), work.models.shape
    scorer = ModelScores(work.models, work.n_images, work.comparison)
    makers = [
        SphereRDMs(one, work.metric, work.min_voxels, work.covariance, work.dof, work.kept)
        for one in work.subjects
    ]
    out = np.full((n_subjects * n_models + 2 * work.ceilings, stop - start), np.nan)
    size = max(1, min(_SPHERES, _NUMBERS // (n_subjects * n_pairs)))
    held = n_subjects if work.ceilings else 1
    buffer = np.empty((held, min(size, stop - start), n_pairs))
    with blas().limit(limits=1, user_api="blas"):  # small products wait for each other otherwise
        for spheres in _in_blocks(_worth_a_look(work, makers, start, stop), size):
            columns, rdms = [centre - start for centre, _ in spheres], buffer[:, : len(spheres)]
            for number, maker in enumerate(makers):
                pairs = rdms[number if work.ceilings else 0]
                maker.fill(spheres, pairs)
                rows = slice(number * n_models, (number + 1) * n_models)
                out[rows, columns] = scorer.of(pairs).T
            if work.ceilings:
                out[-2:, columns] = scorer.ceilings(rdms)
    return out


def _worth_a_look(
    work: Work, makers: list[SphereRDMs], start: int, stop: int
) -> Iterator[tuple[int, Points]]:
    """Centres, with their points, that some subject has enough data around."""
    for first in range(start, stop, _SPHERES):
        found = work.neighbours.of(first, min(first + _SPHERES, stop))
        for centre, points in enumerate(found, first):
            if any(maker.usable(centre, points) is not None for maker in makers):
                yield centre, points


def _in_blocks(things: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while block := list(islice(things, size)):
        yield block


def score_all(work: Work, folder: str | None, n_jobs: int | None, verbose: int) -> Array:
    """Scores of all centres, taken from the folder where they were computed before."""
    n_pairs = work.models.shape[1] * len(work.subjects)
    step = max(1, min(_SPHERES * 64, _PAIRS_OF_A_FILE // n_pairs // _SPHERES * _SPHERES))
    name = digest_of(work)
    jobs = [
        Job(
            ("searchlight", f"centres {start} to {stop - 1}"),
            hashlib.blake2b(f"{name} {start} {stop}".encode(), digest_size=16).hexdigest(),
            partial(_compute, start=start, stop=stop),
            lambda: (work,),
            float((stop - start) * n_pairs),
        )
        for start, stop in _ranges(work.n_centres, step)
    ]
    results = ResultFolder(folder) if folder is not None else None
    return np.concatenate(run_jobs(jobs, results, n_jobs=n_jobs, verbose=verbose), axis=1)


def _compute(work: Work, *, start: int, stop: int) -> Array:
    return scores_of_centres(work, start, stop)


def _ranges(n: int, step: int) -> list[tuple[int, int]]:
    return [(start, min(start + step, n)) for start in range(0, n, step)]


def digest_of(work: Work) -> str:
    """Names all that scores depend on; other data or settings give another one."""
    content: list[Any] = [
        *(_VERSION, __version__, work.metric, work.comparison, work.min_voxels),
        *(work.covariance, work.dof, work.ceilings, _digest(work.models)),
        _digest(work.kept),
    ]
    for one in work.subjects:
        arrays = (one.values, one.usable, one.counts, one.residuals)
        content.append([None if each is None else _digest(each) for each in arrays])
    content.append([_digest(one) for one in vars(work.neighbours).values()])
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()


def _digest(numbers: NDArray[Any]) -> list[Any]:
    content = np.ascontiguousarray(numbers)
    found = hashlib.blake2b(content.data, digest_size=16).hexdigest()
    return [found, str(content.dtype), content.shape]
