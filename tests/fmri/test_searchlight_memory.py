"""What a searchlight holds, in bytes that are counted: no copies, and a true estimate."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skdnn import load_betas
from skdnn.fmri import estimate_searchlight, searchlight_rsa
from skdnn.fmri._searchlight import _subjects
from skdnn.rsa import compute_rdm

nibabel = pytest.importorskip("nibabel")

N = 60  # images
NAMES = [f"{k}.png" for k in range(N)]
AFFINE = np.diag([3.0, 3, 3, 1])


def peak_of(call: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def brain(side: int) -> Any:
    """Voxels that lie alone, whose data are held and whose spheres are too small; and a block."""
    inside = np.zeros((side,) * 3, dtype=bool)
    inside[::2, ::2, ::2] = True
    inside[:7, :7, :7] = True
    return inside


def layers(n: int) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(0)
    return {
        f"layer {k}": pd.DataFrame(compute_rdm(rng.normal(size=(N, 9))), NAMES, NAMES)
        for k in range(n)
    }


def betas_of(inside: Any, n_runs: int) -> Any:
    """Volumes in float32, in memory."""
    rng = np.random.default_rng(1)
    volumes = np.zeros((*inside.shape, n_runs * N), dtype=np.float32)
    volumes[inside] = rng.normal(size=(int(inside.sum()), n_runs * N))
    events = [pd.DataFrame({"stim_file": NAMES}) for _ in range(n_runs)]
    mask = nibabel.Nifti1Image(inside.astype(np.uint8), AFFINE)
    return load_betas(volumes, events=events, mask=mask, images=NAMES)


INSIDE = brain(60)
N_VOXELS = int(INSIDE.sum())
VALUES = 4 * N * N_VOXELS  # bytes of a subject's averages
MASK = nibabel.Nifti1Image(INSIDE.astype(np.uint8), AFFINE)


def test_data_of_arrays_are_held_once_more() -> None:
    """Turned, so that the values of a voxel lie together; not a second time on the way."""
    data = np.random.default_rng(2).normal(size=(N, N_VOXELS)).astype(np.float32)
    frame = pd.DataFrame(data, index=NAMES)
    peak = peak_of(lambda: searchlight_rsa(frame, layers(2), radius=6.0, mask=MASK))
    assert VALUES < peak < 1.25 * VALUES + 4e6  # RDMs of a block of spheres


@pytest.mark.parametrize("n_subjects", [1, 3])
def test_a_subject_is_read_beside_the_others(n_subjects: int) -> None:
    """Averages of all, and for one at a time sums in float64, and a block of trials."""
    betas = betas_of(INSIDE, 2)
    subjects = {f"sub-{k}": betas for k in range(n_subjects)}
    peak = peak_of(lambda: searchlight_rsa(subjects, layers(2), radius=6.0))
    expected = n_subjects * VALUES + 2 * VALUES + 2 * VALUES
    assert 0.9 * expected < peak < 1.2 * expected


def test_large_sums_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers to the bit, for z-scored trials and crossnobis, too."""
    inside = brain(12)
    plain = betas_of(inside, 3)
    events = [pd.DataFrame({"stim_file": NAMES}) for _ in range(3)]
    scored = load_betas(
        np.asarray(plain.unmask(plain.responses[:], fill=0).dataobj), events=events,
        mask=nibabel.Nifti1Image(inside.astype(np.uint8), AFFINE), images=NAMES,
        standardize="run",
    )  # fmt: skip
    for betas, options in ((plain, {}), (scored, {}), (plain, {"metric": "crossnobis"})):
        kept = betas.keep(np.random.default_rng(3).permutation(int(inside.sum()))[:400])
        given: dict[str, Any] = {"radius": 6.0, "min_voxels": 5, **options}
        whole = searchlight_rsa(kept, layers(2), **given)
        with monkeypatch.context() as patched:
            patched.setattr(_subjects, "_SUM_BYTES", 8 * N * 3 * 70)
            parts = searchlight_rsa(kept, layers(2), **given)
        np.testing.assert_array_equal(parts.scores, whole.scores)
        np.testing.assert_array_equal(parts.sizes, whole.sizes)


CASES: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {
    "an array": lambda: (np.random.default_rng(4).normal(size=(N, N_VOXELS)), {"mask": MASK}),
    "integers": lambda: (
        np.random.default_rng(4).integers(0, 99, size=(N, N_VOXELS)), {"mask": MASK},
    ),
    "betas": lambda: (betas_of(INSIDE, 2), {}),
    "three subjects": lambda: ({f"sub-{k}": betas_of(INSIDE, 1) for k in range(3)}, {}),
    "crossnobis": lambda: (betas_of(INSIDE, 2), {"metric": "crossnobis"}),
    "residuals": lambda: (
        betas_of(INSIDE, 2),
        {"metric": "crossnobis",
         "residuals": np.random.default_rng(5).normal(size=(80, N_VOXELS)).astype(np.float32)},
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Only one of layers and betas:UserWarning")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("n_layers", [2, 20])
def test_the_estimate_is_what_is_held(name: str, n_layers: int) -> None:
    data, options = CASES[name]()
    given: dict[str, Any] = {"radius": 6.0, **options}
    estimate = estimate_searchlight(data, layers(n_layers), **given)
    models = layers(n_layers)
    peak = peak_of(lambda: searchlight_rsa(data, models, **given))
    assert estimate.memory / 1.5 < peak < estimate.memory * 1.5


def test_an_estimate_leaves_a_trace_as_it_was() -> None:
    data = np.random.default_rng(6).normal(size=(N, N_VOXELS))
    models = {name: one.to_numpy() for name, one in layers(1).items()}
    tracemalloc.start()
    try:
        estimate_searchlight(data, models, radius=6.0, mask=MASK)
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()
    estimate_searchlight(data, models, radius=6.0, mask=MASK)
    assert not tracemalloc.is_tracing()
