"""``skdnn extract``: files equal to the extractor's features, asked, interrupted, killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import skdnn
from skdnn import ActivationStore, DNNFeatureExtractor, load_features

Run = Callable[..., subprocess.CompletedProcess[str]]
NETWORK = ("--model", "alexnet", "--weights", "none", "--seed", 5, "--device", "cpu")


def extractor(**options: Any) -> DNNFeatureExtractor:
    return DNNFeatureExtractor("alexnet", weights=None, random_state=5, device="cpu", **options)


def paths_of(folder: Path) -> list[str]:
    return [str(folder / f"img{n}.png") for n in range(1, 13)]


@pytest.mark.slow
def test_one_layer_as_rows(pictures: Path, run_skdnn: Run, tmp_path: Path) -> None:
    done = run_skdnn(
        "extract", *NETWORK, "--layer", "features.5", "--images", pictures, "--out", "f.h5",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "12 rows" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["f.h5"]
    saved = load_features(tmp_path / "f.h5")
    assert saved.labels == [f"img{n}.png" for n in range(1, 13)]
    expected = extractor(layer="features.5").fit_transform(paths_of(pictures))
    np.testing.assert_array_equal(saved.features, expected)
    assert saved.provenance["seed"] == 5
    assert saved.provenance["n_images"] == 12


@pytest.mark.parametrize("name", ["f.npy", "f.mat", "f.csv", "f.npz", "f.parquet"])
def test_formats(name: str, pictures: Path, say: Any, tmp_path: Path) -> None:
    said = say(
        *("extract", *NETWORK, "--layer", "classifier.6", "--images", pictures),
        *("--out", tmp_path / name, "--json"),
    )
    assert said.code == 0, said.err
    assert "12 of 12 images to forward" in said.err  # not on stdout, which is for a program
    assert json.loads(said.out)["files"] == [str(tmp_path / name)]
    expected = extractor(layer="classifier.6").fit_transform(paths_of(pictures))
    np.testing.assert_array_equal(load_features(tmp_path / name).features, expected)


def test_several_layers_in_their_shapes_in_parts(pictures: Path, say: Any, tmp_path: Path) -> None:
    said = say(
        *(
            "extract",
            *NETWORK,
            "--layer",
            "features.2",
            "features.5",
            "avg*",
            "--images",
            pictures,
        ),
        *("--out", tmp_path / "sub" / "f.h5", "--keep-shape", "--parts", 5),
    )
    assert said.code == 0, said.err
    assert len(list((tmp_path / "sub").iterdir())) == 5
    saved = load_features(tmp_path / "sub" / "f.h5")
    expected = extractor().extract(paths_of(pictures), ["features.2", "features.5", "avgpool"])
    assert list(saved.features) == list(expected)
    for layer, values in expected.items():
        np.testing.assert_array_equal(saved.features[layer], values)
    described = say("describe", tmp_path / "sub" / "f.h5")
    assert described.code == 0, described.err
    assert "features.2" in described.out
    assert "@" in described.out  # BibTeX


def test_ten_parts_unless_told_otherwise(pictures: Path, say: Any, tmp_path: Path) -> None:
    given = ("extract", *NETWORK, "--layer", "classifier.6", "--images", pictures)
    assert say(*given, "--out", tmp_path / "f.npy", "--parts", "--quiet").code == 0
    assert len(list(tmp_path.glob("f.part-*-of-10.npy"))) == 10
    assert load_features(tmp_path / "f.npy").features.shape == (12, 1000)


def test_a_row_per_folder(pictures: Path, say: Any, tmp_path: Path) -> None:
    for number, path in enumerate(paths_of(pictures)):
        place = tmp_path / "concepts" / ("dog", "cat", "aardvark")[number % 3]
        place.mkdir(parents=True, exist_ok=True)
        (place / Path(path).name).symlink_to(path)
    given = ("--layer", "classifier.5", "--images", tmp_path / "concepts")
    out = tmp_path / "f.npz"
    said = say("extract", *NETWORK, *given, "--average-folders", "--out", out)
    assert said.code == 0, said.err
    saved = load_features(out)
    assert saved.labels == ["aardvark", "cat", "dog"]
    each = extractor(layer="classifier.5").fit_transform(paths_of(pictures))
    expected = [each[2::3].mean(axis=0), each[1::3].mean(axis=0), each[0::3].mean(axis=0)]
    np.testing.assert_allclose(saved.features, expected, rtol=1e-5, atol=1e-6)
    # Without it, a row per image, and the folders are the targets.
    assert say("extract", *NETWORK, *given, "--out", tmp_path / "g.npz").code == 0
    assert load_features(tmp_path / "g.npz").targets.tolist() == [
        *["aardvark"] * 4, *["cat"] * 4, *["dog"] * 4,
    ]  # fmt: skip


def test_dry_run_writes_nothing_and_counts(pictures: Path, say: Any, tmp_path: Path) -> None:
    given = ("extract", *NETWORK, "--layer", "features.2", "--images", pictures)
    said = say(*given, "--out", tmp_path / "f.h5", "--dry-run", "--json")
    assert said.code == 0, said.err
    facts = json.loads(said.out)
    assert facts["n_images"] == facts["n_to_forward"] == 12
    assert facts["n_units"] == {"features.2": 64 * 27 * 27}
    assert facts["result_bytes"] == 12 * 64 * 27 * 27 * 4
    assert list(tmp_path.iterdir()) == []
    assert "12" in say(*given, "--out", tmp_path / "f.h5", "--dry-run").out


def test_a_dry_run_refuses_the_files_that_cannot_be_written(
    pictures: Path, say: Any, tmp_path: Path
) -> None:
    (tmp_path / "old.h5").write_text("")
    given = ("extract", *NETWORK, "--layer", "features.2", "--images", pictures)
    for name, told in (
        ("features", "features has no extension that names a format"),
        ("features.foo", "features.foo has no extension"),
        ("old.h5", "old.h5 exists: give --overwrite"),
        (".", "is a folder: give the name of a file"),
    ):
        errors = [say(*given, "--out", tmp_path / name, *more) for more in (["--dry-run"], [])]
        assert [said.code for said in errors] == [1, 1]
        assert told in errors[0].err
        assert errors[0].err == errors[1].err


@pytest.mark.parametrize(
    ("changes", "code", "culprit"),
    [
        ({"--layer": "feature.2"}, 1, "features.2"),
        ({"--layer": None}, 2, "--layer is needed"),
        ({"--images": "no/such/folder"}, 1, "no/such/folder"),
        ({"--out": "f.xyz"}, 1, "xyz"),
        ({"--out": "f.npy", "--layer": "features.*"}, 1, ".npz"),
        ({"--model": "alexnot"}, 1, "'alexnet'"),
        ({"--weights": "missing.pth"}, 1, "missing.pth"),
        ({"--pooling": "cls"}, 1, "cls"),
        ({"--batch-size": "0"}, 1, "batch_size"),
        ({"--pooling": "average"}, 2, "--pooling"),
    ],
)
def test_faults_are_found_before_the_work(
    changes: dict[str, str | None],
    code: int,
    culprit: str,
    pictures: Path,
    say: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    options: dict[str, Any] = {
        "--model": "alexnet",
        "--weights": "none",
        "--layer": "features.2",
        "--images": str(pictures),
        "--out": "f.h5",
        **changes,
    }
    given = [word for pair in options.items() if pair[1] is not None for word in pair]
    said = say("extract", *given)
    assert said.code == code, said.err
    assert culprit in said.err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.slow
def test_a_damaged_image_is_named_and_the_rest_is_kept(
    pictures: Path, run_skdnn: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for path in paths_of(pictures)[:4]:
        (folder / Path(path).name).write_bytes(Path(path).read_bytes())
    (folder / "img2.png").write_bytes(b"no picture")
    given = ("extract", *NETWORK, "--layer", "features.2", "--images", folder, "--out", "f.h5")
    done = run_skdnn(*given, cwd=tmp_path)
    assert done.returncode == 1
    assert "img2.png" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "f.h5").exists()


def test_nothing_is_replaced_unasked(pictures: Path, say: Any, tmp_path: Path) -> None:
    given = ("extract", *NETWORK, "--layer", "classifier.6", "--images", pictures)
    assert say(*given, "--out", tmp_path / "f.npz", "--quiet").err == ""
    before = (tmp_path / "f.npz").read_bytes()
    said = say(*given, "--out", tmp_path / "f.npz")
    assert said.code == 1
    assert "--overwrite" in said.err
    assert (tmp_path / "f.npz").read_bytes() == before
    assert say(*given, "--out", tmp_path / "f.npz", "--overwrite", "--pooling", "max").code == 0


def test_an_interrupted_run_goes_on(
    pictures: Path, say: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the file is written: what went through the network is kept, and then found."""

    def interrupted(features: Any, path: Any, **options: Any) -> None:
        if "provenance" in options:  # the real one, not the rehearsal
            raise KeyboardInterrupt

    given = ("extract", *NETWORK, "--layer", "features.2", "--images", pictures)
    out = tmp_path / "f.h5"
    with monkeypatch.context() as patch:
        patch.setattr(skdnn, "save_features", interrupted)
        assert say(*given, "--out", out).code == 130
    (left,) = tmp_path.iterdir()
    assert left.name == "f.h5.unfinished"
    shards = {path: path.stat().st_mtime_ns for path in left.rglob("*.npy")}
    assert shards
    seen: list[set[Path]] = []
    real = skdnn.save_features

    def watched(features: Any, path: Any, **options: Any) -> Any:
        seen.append(set(left.rglob("*.npy")))
        return real(features, path, **options)

    monkeypatch.setattr(skdnn, "save_features", watched)
    assert say(*given, "--out", out).code == 0
    assert seen[-1] == set(shards)  # no image went through the network again
    assert not left.exists()
    expected = extractor(layer="features.2").fit_transform(paths_of(pictures))
    np.testing.assert_array_equal(load_features(out).features, expected)


def test_two_commands_do_not_write_one_file(
    pictures: Path, say: Any, run_skdnn: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is refused, and disturbs nothing."""
    given = ("extract", *NETWORK, "--layer", "classifier.6", "--images", pictures)
    out = tmp_path / "f.npz"
    real, others = skdnn.save_features, []

    def meanwhile(features: Any, path: Any, **options: Any) -> Any:
        if "provenance" in options:  # the real one, not the rehearsal
            others.append(run_skdnn(*given, "--out", out))
        return real(features, path, **options)

    monkeypatch.setattr(skdnn, "save_features", meanwhile)
    assert say(*given, "--out", out).code == 0
    (other,) = others
    assert other.returncode == 1
    assert "another command is writing" in other.stderr
    assert load_features(out).features.shape == (12, 1000)
    assert [path.name for path in tmp_path.iterdir()] == ["f.npz"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kills with SIGKILL")
def test_a_killed_run_goes_on(
    tmp_path: Path, run_skdnn: Run, skdnn_environment: dict[str, str]
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    chance = np.random.default_rng(0)
    for number in range(1100):  # more than two blocks of 512
        pixels = chance.integers(0, 256, (20, 26, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.bmp")
    words = ["extract", *NETWORK, "--layer", "features.2", "--pooling", "mean"]
    words += ["--images", folder, "--out", tmp_path / "f.npy", "--cache", tmp_path / "kept"]
    process = subprocess.Popen(
        [sys.executable, "-m", "skdnn", *map(str, words)],
        env=skdnn_environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 200
    kept = 0
    while kept == 0 and time.monotonic() < deadline:
        time.sleep(0.02)
        if (tmp_path / "kept").exists():
            kept = int(ActivationStore(tmp_path / "kept", mode="r").contents()["images"].sum())
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "f.npy").exists()
    store = ActivationStore(tmp_path / "kept")
    kept = int(store.contents()["images"].sum())
    assert 0 < kept < 1100
    done = run_skdnn(*words)
    assert done.returncode == 0, done.stderr
    assert store.stats["images_forwarded"] == 1100 - kept
    paths = [str(folder / f"{number}.bmp") for number in range(1100)]
    expected = extractor(layer="features.2", pooling="mean").fit_transform(paths)
    np.testing.assert_array_equal(np.load(tmp_path / "f.npy"), expected)


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
@pytest.mark.slow
def test_at_a_terminal_it_shows_the_layers_and_asks(
    pictures: Path, tmp_path: Path, skdnn_environment: dict[str, str]
) -> None:
    import pty

    terminal, end = pty.openpty()
    words = ["extract", *NETWORK, "--images", pictures / "img1.png", "--out", tmp_path / "f.npz"]
    process = subprocess.Popen(
        [sys.executable, "-m", "skdnn", *map(str, words)],
        env=skdnn_environment,
        stdin=end,
        stdout=end,
        stderr=end,
    )
    os.close(end)
    os.write(terminal, b"999\n3 classifier.6\n")  # no such number, then two layers
    said = b""
    while True:
        try:
            said += os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
    assert process.wait() == 0, said.decode()
    os.close(terminal)
    assert b"No layer has the number 999" in said
    assert list(load_features(tmp_path / "f.npz").features) == ["features.2", "classifier.6"]
