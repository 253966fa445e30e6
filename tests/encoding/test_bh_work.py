"""Jobs and their results on disk: stopped, corrupted, and shared by processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from skdnn.encoding import BrainHierarchyScore, SelectKBestRidge
from skdnn.encoding._hierarchy._shared_jobs import Job, ResultFolder, run_jobs

# A small study in a process of its own, whose decoder counts how often it is fitted, and dies.
SCRIPT = """
import os, sys, time
from pathlib import Path
import numpy as np
from skdnn.encoding import BrainHierarchyScore
from skdnn.encoding import SelectKBestRidge

folder, log, out = sys.argv[1:4]

class Counted(SelectKBestRidge):
    def fit(self, X, y, sample_weight=None, y_rows=None):
        with open(log, "a") as file:
            file.write(f"{os.getpid()}\\n")
        if len(Path(log).read_text().split()) == int(os.environ.get("DIE_AT", 0)):
            os._exit(9)  # nothing is cleaned up
        time.sleep(float(os.environ.get("PAUSE", 0)))
        return super().fit(X, y, sample_weight, y_rows)

rng = np.random.default_rng(0)
X, X_test = ({f"layer{i}": rng.normal(size=(n, 8)) for i in range(4)} for n in (20, 12))
y, y_test = ({s: {r: rng.normal(size=(n, 7)) for r in ("V1", "V4", "HVC")} for s in ("S1", "S2")}
             for n in (20, 12))
if "PARTNERS" in os.environ:  # begin together
    Path(f"{log}-{os.getpid()}").touch()
    while len(list(Path(log).parent.glob(f"{Path(log).name}-*"))) < int(os.environ["PARTNERS"]):
        time.sleep(0.005)
study = BrainHierarchyScore(decoder=Counted(1, 4), folder=folder, n_boot=None, alpha=1, test="t")
study.fit(X, y, X_test=X_test, y_test=y_test)
values = study.table_["r"].to_numpy()
np.save(out, values)
"""
N_JOBS = 2 * 4 * 2 * 3


def start(tmp_path: Path, name: str, folder: str = "results", **environment: str) -> Any:
    arguments = [tmp_path / folder, tmp_path / "log", tmp_path / f"{name}.npy"]
    command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
    return subprocess.Popen(command, env=os.environ | environment)


def n_fits(tmp_path: Path) -> int:
    return len((tmp_path / "log").read_text().split())


def contents(folder: Path) -> tuple[int, int]:
    """Numbers of results, and of files that are none."""
    names = [path.name for path in folder.iterdir()]
    results = [name for name in names if name.endswith(".npz")]
    return len(results), len(names) - len(results)


@pytest.mark.slow
def test_killed_and_resumed(tmp_path: Path) -> None:
    """What was complete is not computed again, and all is equal to the bit."""
    assert start(tmp_path, "whole", folder="elsewhere").wait() == 0
    (tmp_path / "log").unlink()
    assert start(tmp_path, "killed", DIE_AT="18").wait() == 9
    assert contents(tmp_path / "results") == (17, 1)  # and the claim of the last
    assert start(tmp_path, "killed", DIE_AT="31").wait() == 9
    assert start(tmp_path, "resumed").wait() == 0
    assert n_fits(tmp_path) == N_JOBS + 2
    assert contents(tmp_path / "results") == (N_JOBS, 0)
    whole, resumed = (np.load(tmp_path / f"{name}.npy") for name in ("whole", "resumed"))
    np.testing.assert_array_equal(resumed, whole)
    assert start(tmp_path, "again").wait() == 0
    assert n_fits(tmp_path) == N_JOBS + 2
    np.testing.assert_array_equal(np.load(tmp_path / "again.npy"), whole)


def test_two_processes_share(tmp_path: Path) -> None:
    """Each job is done about once: only the last of each process may be done by the other too."""
    processes = [start(tmp_path, name, PAUSE="0.02", PARTNERS="2") for name in ("one", "two")]
    assert [process.wait() for process in processes] == [0, 0]
    workers = (tmp_path / "log").read_text().split()
    assert N_JOBS <= len(workers) <= N_JOBS + 3
    assert len(set(workers)) == 2
    one, two = (np.load(tmp_path / f"{name}.npy") for name in ("one", "two"))
    np.testing.assert_array_equal(one, two)
    assert contents(tmp_path / "results") == (N_JOBS, 0)


# --- jobs of numbers ---------------------------------------------------------------------------


def square(number: int, log: Path) -> np.ndarray:
    with open(log, "a") as file:
        file.write(f"{number}\n")
    if number < 0:
        raise RuntimeError("negative")
    return np.full(3, float(number**2))


# Workers cannot import the tests: functions of a main module travel as code.
square.__module__ = "__main__"


def make_jobs(numbers: list[int], log: Path) -> list[Job]:
    log.touch()
    return [
        Job(("decoding", str(n)), f"key{n}", square, lambda n=n: (n, log), 1.0)  # type: ignore[misc]
        for n in numbers
    ]


def done(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()]


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("kept", [False, True])
def test_results_in_order(tmp_path: Path, n_jobs: int | None, kept: bool) -> None:
    folder = ResultFolder(tmp_path / "results") if kept else None
    jobs = make_jobs([3, 1, 2], tmp_path / "log")
    for _ in range(2):
        found = run_jobs(jobs, folder, n_jobs=n_jobs)
        assert [result[0] for result in found] == [9, 1, 4]
    assert sorted(done(tmp_path / "log")) == sorted([1, 2, 3] * (1 if kept else 2))


def test_claimed_jobs_come_last(tmp_path: Path) -> None:
    """The oldest claim first; nobody waits, and no claim stays behind."""
    folder = ResultFolder(tmp_path / "results")
    jobs = make_jobs([1, 2, 3, 4], tmp_path / "log")
    now = time.time()
    for number, age in ((1, 5), (3, 50)):
        assert folder.claim(f"key{number}")
        assert not folder.claim(f"key{number}")
        os.utime(folder.root / f".claim-key{number}", (now - age, now - age))
    found = run_jobs(jobs, folder)
    assert done(tmp_path / "log") == [2, 4, 3, 1]
    assert [result[0] for result in found] == [1, 4, 9, 16]
    assert contents(folder.root) == (4, 0)


def test_what_another_did_meanwhile(tmp_path: Path) -> None:
    """A result that appears while others are computed is taken."""
    folder = ResultFolder(tmp_path / "results")
    jobs = make_jobs([1, 2], tmp_path / "log")

    def load_and_interfere() -> tuple[int, Path]:
        folder.write("key2", np.zeros(3), {})
        return 1, tmp_path / "log"

    jobs[0] = Job(jobs[0].name, "key1", square, load_and_interfere, 1.0)
    assert run_jobs(jobs, folder)[1].tolist() == [0, 0, 0]
    assert done(tmp_path / "log") == [1]


def test_an_error_keeps_what_is_done(tmp_path: Path) -> None:
    folder = ResultFolder(tmp_path / "results")
    with pytest.raises(RuntimeError, match="negative"):
        run_jobs(make_jobs([2, -1, 3], tmp_path / "log"), folder)
    assert contents(folder.root) == (1, 0)  # no claim either
    run_jobs(make_jobs([2, 3], tmp_path / "log"), folder)
    assert done(tmp_path / "log") == [2, -1, 3]


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    folder = ResultFolder(tmp_path)
    folder.write("key", np.array([0.1, np.nan, -2]), {"layer": "conv1"})
    path = folder.path("key")
    content = path.read_bytes()
    for place in range(len(content)):
        flipped = content[place] ^ (1 << place % 8)
        path.write_bytes(content[:place] + bytes([flipped]) + content[place + 1 :])
        assert folder.read("key") is None, place
        assert not path.exists()
    for length in (0, 4, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        assert folder.read("key") is None
    path.write_bytes(content)
    np.testing.assert_array_equal(folder.read("key"), [0.1, np.nan, -2])  # type: ignore[arg-type]
    with np.load(path) as file:  # numpy reads it as it is
        assert file["about"].item() == '{"layer": "conv1"}'
        np.testing.assert_array_equal(file["accuracy"], [0.1, np.nan, -2])


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ResultFolder(tmp_path / "results")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        run_jobs(make_jobs([1], tmp_path / "log"), folder)
    assert contents(folder.root) == (0, 0)


def test_leftovers(tmp_path: Path) -> None:
    """Half-written files of killed processes are removed, those of others at work are not."""
    folder = ResultFolder(tmp_path / "results")
    old, new = (folder.root / f".tmp-key{n}-77-ab" for n in (1, 2))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    run_jobs(make_jobs([1, 2], tmp_path / "log"), folder)
    assert not old.exists()
    assert new.exists()


# --- keys --------------------------------------------------------------------------------------


def make_study() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    X, X_test = ({f"layer{i}": rng.normal(size=(n, 8)) for i in range(2)} for n in (20, 12))
    y, y_test = ({"S1": {r: rng.normal(size=(n, 7)) for r in ("V1", "HVC")}} for n in (20, 12))
    rows = {"stimuli": {"S1": np.arange(20)}, "test_stimuli": {"S1": np.arange(12)}}
    return {"X": X, "y": y, "X_test": X_test, "y_test": y_test} | rows


def fit(data: dict[str, Any], folder: Path, **parameters: Any) -> BrainHierarchyScore:
    settings = {"decoder": SelectKBestRidge(1, 4), "n_boot": None, "alpha": 1, "test": "t"}
    return BrainHierarchyScore(**settings | parameters, folder=folder).fit(**data)


@pytest.mark.parametrize(
    ("change", "n_new"),
    [
        ("nothing", 0),
        ("training features of a layer", 4),
        ("test features of a layer", 4),
        ("training responses of an area", 4),
        ("test responses of an area", 4),
        ("order of trials", 8),
        ("alpha of the decoder", 8),
        ("kind of decoder", 8),
        ("units are drawn", 4),
        ("voxels are drawn", 4),
        ("another draw", 8),
        ("name of an area", 4),
        ("one more layer", 4),
        ("type of numbers", 8),
        ("score's own parameters", 0),
        ("workers", 0),
    ],
)
def test_a_changed_input_is_not_mistaken(tmp_path: Path, change: str, n_new: int) -> None:
    """Results as without a folder, and as many new files as jobs depend on the change."""
    data, settings = make_study(), {}
    if change == "another draw":
        settings = {"n_units": 3, "n_voxels": 3}
    first = fit(data, tmp_path, **settings)
    before = contents(tmp_path)[0]
    assert before == 8
    if change == "training features of a layer":
        data["X"]["layer1"][3, 2] += 1e-9
    elif change == "test features of a layer":
        data["X_test"]["layer0"][11, 7] += 1
    elif change == "training responses of an area":
        data["y"]["S1"]["V1"][0, 0] += 1
    elif change == "test responses of an area":
        data["y_test"]["S1"]["HVC"][0, 0] += 1
    elif change == "order of trials":
        data["stimuli"]["S1"] = np.r_[1, 0, 2:20]
    elif change == "alpha of the decoder":
        settings = {"decoder": SelectKBestRidge(2, 4)}
    elif change == "kind of decoder":
        from sklearn.linear_model import Ridge

        settings = {"decoder": Ridge(1)}
    elif change == "units are drawn":
        settings = {"n_units": 5}
    elif change == "voxels are drawn":
        settings = {"n_voxels": 5}
    elif change == "another draw":
        settings = settings | {"random_state": 1}
    elif change == "name of an area":
        for side in ("y", "y_test"):
            data[side]["S1"] = {"V2": data[side]["S1"]["V1"], "HVC": data[side]["S1"]["HVC"]}
    elif change == "one more layer":
        for side in ("X", "X_test"):
            data[side]["layer2"] = data[side]["layer0"][:, ::-1].copy()
    elif change == "type of numbers":
        for side in ("X", "X_test"):
            data[side] = {n: v.astype(np.float32) for n, v in data[side].items()}
    elif change == "score's own parameters":
        settings = {"alpha": 0.999, "test": "published", "n_layers": 2, "n_draws": 3}
    elif change == "workers":
        settings = {"n_jobs": 2}
    kept = fit(data, tmp_path, **settings)
    assert contents(tmp_path)[0] - before == n_new
    alone = fit(data, None, **settings)  # type: ignore[arg-type]
    for place, accuracy in alone.decoding_accuracy_.items():
        np.testing.assert_array_equal(kept.decoding_accuracy_[place], accuracy)
    if n_new == 0:
        for place, accuracy in first.encoding_accuracy_.items():
            np.testing.assert_array_equal(kept.encoding_accuracy_[place], accuracy)


def test_a_corrupt_result_is_named_and_computed_anew(tmp_path: Path) -> None:
    data = make_study()
    first = fit(data, tmp_path)
    victim = sorted(tmp_path.glob("*.npz"))[3]
    victim.write_bytes(victim.read_bytes()[:-30])
    with pytest.warns(UserWarning, match=victim.name):
        second = fit(data, tmp_path)
    for place, accuracy in first.encoding_accuracy_.items():
        np.testing.assert_array_equal(second.encoding_accuracy_[place], accuracy)
    for place, accuracy in first.decoding_accuracy_.items():
        np.testing.assert_array_equal(second.decoding_accuracy_[place], accuracy)
    fit(data, tmp_path)  # without a warning


def test_on_a_dask_cluster(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    data = make_study()
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        found = fit(data, tmp_path, n_jobs=-1)
    alone = fit(data, None)  # type: ignore[arg-type]
    assert contents(tmp_path) == (8, 0)
    for place, accuracy in alone.encoding_accuracy_.items():
        np.testing.assert_allclose(found.encoding_accuracy_[place], accuracy, atol=1e-12)
