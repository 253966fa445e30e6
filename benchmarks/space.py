"""Searchlight RSA beside other toolboxes, on one thread.

    python benchmarks/time_space.py space [--only NAME ...]

Seconds are CPU seconds (``time.process_time``), both sides one after the other in one process, the
better of two runs of ours: trust the ratio. Others do a part of the centres and are scaled
linearly. Data are random; scores are compared first, so that a row is of the same numbers. The
last row is a process of its own, with imports and data.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import nibabel
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from skdnn import load_betas
from skdnn.fmri import SearchlightResult, searchlight_rsa
from skdnn.fmri._searchlight._places import places_of_mask

os.environ["TQDM_DISABLE"] = "1"
N = 92
RADIUS = 8.9  # of voxels of 3 mm: 93 of them
Row = tuple[str, str, float, float]


def box(n_whole: int) -> tuple[np.ndarray, Any]:
    """A cube in which so many voxels along each axis have whole spheres, as mask and image."""
    mask = np.ones((n_whole + 4,) * 3, dtype=bool)
    return mask, nibabel.Nifti1Image(mask.astype(np.uint8), np.diag([3.0, 3, 3, 1]))


def layers_of(n_layers: int) -> dict[str, np.ndarray]:
    """Unrelated RDMs."""
    rng = np.random.default_rng(1)
    return {f"layer{k}": rng.random(N * (N - 1) // 2) for k in range(n_layers)}


def cpu(work: Callable[[], Any], runs: int = 1) -> tuple[float, Any]:
    """CPU seconds of the better of several runs, and what came of it."""
    best, found = np.inf, None
    for _ in range(runs):
        start = time.process_time()
        found = work()
        best = min(best, time.process_time() - start)
    return best, found


def spheres(mask: np.ndarray, some: np.ndarray) -> list[np.ndarray]:
    """The voxels around some of them, as rsatoolbox numbers them."""
    shifts = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    shifts = shifts[(shifts**2).sum(axis=1) < 9]
    places = np.stack(np.unravel_index(some, mask.shape), -1)
    return [np.ravel_multi_index(tuple((place + shifts).T), mask.shape) for place in places]


def rows() -> Iterator[Row]:
    """Everything but the process of its own."""
    mask, image = box(17)
    voxels = np.random.default_rng(0).normal(size=(N, mask.size))
    whole = np.flatnonzero(np.pad(np.ones((17,) * 3, dtype=bool), 2))
    for comparison in ("spearman", "pearson"):
        for n_layers in (3, 20):
            layers = layers_of(n_layers)
            ours, result = cpu(
                lambda m=layers, c=comparison: searchlight_rsa(
                    voxels, m, radius=RADIUS, mask=image, comparison=c, min_voxels=93
                ),
                2,
            )
            what = f"{len(whole)} centres of 93 voxels, {n_layers} layers, {comparison}"
            for peer, run in (("rsatoolbox", by_rsatoolbox), ("mne_rsa.rsa_array", by_mne_rsa)):
                part = whole[:: len(whole) // 250]
                seconds, scores = cpu(
                    lambda m=layers, c=comparison, r=run, p=part: r(voxels, mask, p, m, c)
                )
                assert np.allclose(scores, result.scores[0][:, part], rtol=0, atol=1e-10)
                yield what, peer, seconds * len(whole) / len(part), ours
    yield crossnobis_row()
    yield from group_rows()


def by_rsatoolbox(voxels: Any, mask: Any, part: Any, layers: Any, comparison: str) -> np.ndarray:
    """Scores (n_layers, n_centres) of its searchlight."""
    from rsatoolbox.inference import eval_fixed
    from rsatoolbox.model import ModelFixed
    from rsatoolbox.util.searchlight import evaluate_models_searchlight, get_searchlight_RDMs

    rdms = get_searchlight_RDMs(voxels, part, spheres(mask, part), np.arange(N), verbose=False)
    models = [ModelFixed(name, pairs) for name, pairs in layers.items()]
    method = {"pearson": "corr"}.get(comparison, comparison)
    found = evaluate_models_searchlight(rdms, models, eval_fixed, method=method, n_jobs=1)
    return np.array([one.evaluations.ravel() for one in found]).T


def by_mne_rsa(voxels: Any, mask: Any, part: Any, layers: Any, comparison: str) -> np.ndarray:
    """The same of mne-rsa."""
    import mne_rsa

    found = mne_rsa.rsa_array(
        voxels,
        list(layers.values()),
        patches=[(slice(None), points) for points in spheres(mask, part)],
        data_rdm_metric="correlation",
        rsa_metric=comparison,
        verbose=False,
    )
    return np.asarray(found)


def crossnobis_row() -> Row:
    """A noise precision of each sphere's own residuals."""
    from rsatoolbox.data import Dataset
    from rsatoolbox.data.noise import prec_from_residuals
    from rsatoolbox.rdm import calc_rdm

    mask, image = box(10)
    rng = np.random.default_rng(0)
    trials = rng.normal(size=(4 * N, mask.size))
    residuals = rng.normal(size=(600, mask.size))
    names = [f"{k:02}.png" for k in range(N)]
    events = [pd.DataFrame({"stim_file": names}) for _ in range(4)]
    betas = load_betas(trials, events=events, images=names, mask=image)
    layer = {"layer": pd.DataFrame(_square(rng.random(N * (N - 1) // 2)), names, names)}
    ours, result = cpu(
        lambda: searchlight_rsa(betas, layer, radius=RADIUS, metric="crossnobis", min_voxels=93,
                                residuals=residuals, comparison="pearson"),
        2,
    )  # fmt: skip
    whole = np.flatnonzero(np.pad(np.ones((10,) * 3, dtype=bool), 2))
    part = whole[::20]
    pairs = layer["layer"].to_numpy()[np.triu_indices(N, 1)]

    def toolbox() -> list[float]:
        found = []
        for points in spheres(mask, part):
            data = Dataset(
                trials[:, points],
                obs_descriptors={"image": names * 4, "run": np.repeat(range(4), N)},
            )
            precision = prec_from_residuals(residuals[:, points])
            rdm = calc_rdm(data, "crossnobis", "image", noise=precision, cv_descriptor="run")
            found.append(float(np.corrcoef(rdm.dissimilarities[0], pairs)[0, 1]))
        return found

    seconds, scores = cpu(toolbox)
    assert np.allclose(scores, result.scores[0, 0, part], rtol=0, atol=1e-10)
    what = f"{len(whole)} centres of 93 voxels, crossnobis, 4 runs, 600 residuals for each sphere"
    return what, "rsatoolbox in a loop", seconds * len(whole) / len(part), ours


def group_rows() -> Iterator[Row]:
    """Tests of one map of 50,653 voxels over 20 subjects."""
    from nilearn.maskers import NiftiMasker
    from nilearn.mass_univariate import permuted_ols
    from scipy.ndimage import gaussian_filter

    mask, image = box(33)
    noise = np.random.default_rng(0).normal(size=(20, *mask.shape))
    scores = np.stack([gaussian_filter(one, 1.5)[mask] for one in noise])
    result = SearchlightResult(
        scores=scores[:, None], subjects=[f"{k:02}" for k in range(20)], layers=["layer"],
        sizes=np.full(scores.shape, 93, dtype=np.int32), ceiling=None,
        settings={"metric": "correlation", "comparison": "spearman"},
        places=places_of_mask(image),
    )  # fmt: skip
    masker = NiftiMasker(image).fit()
    for kind, given, n in (
        ("max", {}, 1000),
        ("cluster", {"threshold": 0.001}, 20),
        ("tfce", {"tfce": True}, 20),
    ):
        ours, test = cpu(lambda k=kind: result.test(k, n_flips=1000), 2)
        seconds, theirs = cpu(
            lambda g=given, n=n: permuted_ols(
                np.ones((20, 1)), scores, model_intercept=False, two_sided_test=False, n_perm=n,
                n_jobs=1, masker=masker, output_type="dict", verbose=0, **g,
            )
        )  # fmt: skip
        assert np.allclose(theirs["t"], test.t, rtol=1e-6)
        what = f"test over 20 subjects, 1,000 signs, {mask.size} voxels, {kind}"
        yield what, "nilearn permuted_ols", seconds * 1000 / n, ours


def _square(pairs: np.ndarray) -> np.ndarray:
    from scipy.spatial.distance import squareform

    return squareform(pairs)


def alone(n_whole: int) -> None:
    """Imports, data and a searchlight of 20 layers; prints what this process took."""
    mask, image = box(n_whole)
    voxels = np.random.default_rng(0).normal(size=(N, mask.size))
    searchlight_rsa(voxels, layers_of(20), radius=RADIUS, mask=image, min_voxels=93)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss * 1024}))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="rows that hold one of these words")
    parser.add_argument("--alone", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        alone(arguments.alone)
        return
    show(arguments.only)


def show(only: list[str]) -> None:
    """Measure and print."""
    print("| work | beside | its CPU-s | skdnn CPU-s | ratio |\n|---|---|---|---|---|")
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        for work, peer, theirs, ours in rows():
            if not only or any(word in f"{work} {peer}" for word in only):
                print(f"| {work} | {peer} | {theirs:.3g} | {ours:.3g} | {theirs / ours:.3g} |",
                      flush=True)  # fmt: skip
    environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")}
    command = [sys.executable, __file__, "--alone", "37"]
    used = json.loads(
        subprocess.run(command, check=True, capture_output=True, env=environment).stdout
    )
    print(f"\n{37**3} centres of 93 voxels, 20 layers, the whole process: "
          f"{used['cpu']:.1f} CPU-s, peak {used['peak'] / 1e9:.2f} GB")  # fmt: skip


if __name__ == "__main__":
    main()
