"""The demo's result is real: training matters, and depth does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.utils import Bunch

from skdnn.demo import LAYERS, build_network, highest_spearman, run_demo, write_digits
from skdnn.rsa import category_rdm


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def result(folder: Path) -> Bunch:
    """The demo, a little smaller than by default, run once for this file."""
    import matplotlib

    matplotlib.use("agg")
    return run_demo(folder, n_images=200, n_epochs=12, n_repeats=1, verbose=False)


def beats(better: pd.Series, worse: pd.Series) -> bool:
    """Whether scores of the same folds differ by twice the spread of their differences."""
    difference = better - worse
    return bool(difference.mean() > 2 * difference.std(ddof=1) > 0)


@pytest.mark.slow
def test_training_beats_no_training(result: Bunch) -> None:
    trained, untrained = result.category_folds["trained"], result.category_folds["untrained"]
    best_untrained = untrained.loc[untrained.mean(axis=1).idxmax()]
    assert beats(trained.loc[result.best_layer], best_untrained)
    assert result.accuracy["trained"] > 0.9
    assert result.accuracy["untrained"] < 0.3


@pytest.mark.slow
def test_depth_matters_and_in_opposite_directions(result: Bunch) -> None:
    category, pixels = result.category_folds["trained"], result.pixel_folds["trained"]
    assert LAYERS.index(result.best_layer) >= 3
    assert beats(category.loc[result.best_layer], category.loc["relu1"])
    assert beats(pixels.loc["relu1"], pixels.loc[result.best_layer])
    assert beats(result.category_folds["untrained"].loc["relu1"],
                 result.category_folds["untrained"].loc["fc6"])  # fmt: skip


@pytest.mark.slow
def test_scores_are_means_and_spreads_over_folds(result: Bunch) -> None:
    assert list(result.scores.index) == [(n, x) for n in ("trained", "untrained") for x in LAYERS]
    folds = result.category_folds["untrained"].loc["relu3"].to_numpy()
    row = result.scores.loc[("untrained", "relu3")]
    assert folds.shape == (5,)
    np.testing.assert_allclose(row[["category_mean", "category_std"]], [folds.mean(), folds.std()])
    assert (result.scores["category_std"] > 0).all()


@pytest.mark.slow
def test_no_score_is_above_what_can_be_reached(result: Bunch) -> None:
    for folds in result.category_folds.values():
        assert folds.to_numpy().mean(axis=1).max() < result.ceiling
    assert result.scores["pixels_mean"].max() < 1


def test_highest_spearman_is_that_of_an_embedding_that_separates_all() -> None:
    labels = np.repeat(np.arange(4), 6)
    points = 100.0 * np.eye(4)[labels] + np.random.default_rng(0).normal(size=(24, 4))
    target = category_rdm(labels)
    reached = spearmanr(pdist(points), target.to_numpy()[np.triu_indices(24, k=1)]).statistic
    assert highest_spearman(target, [np.arange(24)]) == pytest.approx(reached, abs=1e-12)
    assert reached < 0.8  # it is not 1


@pytest.mark.slow
def test_pictures_and_files(result: Bunch, folder: Path) -> None:
    assert [path.name for path in result.files] == ["skdnn_demo_rdms.png", "skdnn_demo_layers.png"]
    for path in result.files:
        assert path.parent == folder
        assert path.read_bytes().startswith(b"\x89PNG")
    assert len(result.paths) == 200
    assert all(Path(path).is_file() for path in result.paths)


def test_digits_are_balanced_and_apart(tmp_path: Path) -> None:
    from PIL import Image

    digits = load_digits()
    written = write_digits(tmp_path, n_images=100, seed=3)
    held_out = sorted(written.held_out.glob("*/*.png"))
    numbers = [int(path.stem.partition("_")[2]) for path in held_out]
    assert np.bincount(digits.target[numbers]).tolist() == [10] * 10
    assert [int(path.parent.name) for path in held_out] == digits.target[numbers].tolist()
    learnt = {int(path.stem.partition("_")[2]) for path, _ in written.train}
    assert not learnt & set(numbers)
    np.testing.assert_array_equal(
        written.pixels.loc[[path.stem for path in held_out]], digits.data[numbers]
    )
    with Image.open(held_out[7]) as image:
        assert image.size == (32, 32)
        # Blocks of 4 x 4 of the enlarged image are the measured pixels, but for interpolation.
        blocks = np.asarray(image, dtype=float).reshape(8, 4, 8, 4).mean(axis=(1, 3))
    assert np.corrcoef(blocks.ravel(), digits.data[numbers[7]])[0, 1] > 0.97


def test_a_second_demo_replaces_the_first_ones_digits_and_nothing_else(tmp_path: Path) -> None:
    write_digits(tmp_path, n_images=200, seed=0)
    own = tmp_path / "held_out" / "3" / "my_photo.png"
    own.write_bytes(b"mine")
    write_digits(tmp_path, n_images=100, seed=1)
    assert len(list((tmp_path / "held_out").glob("*/digit*.png"))) == 100
    assert own.read_bytes() == b"mine"


def test_twins_start_alike_and_leave_the_random_state_alone() -> None:
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, twin, other = build_network(0), build_network(0), build_network(1)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a, b) for a, b in
               zip(first.parameters(), twin.parameters(), strict=True))  # fmt: skip
    assert not torch.equal(first.fc6.weight, other.fc6.weight)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("n_images", 90), ("n_images", 105), ("n_images", 810), ("n_epochs", 0), ("n_repeats", 0)],
)
def test_settings_are_checked_before_anything_is_written(
    setting: str, value: int, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=rf"{setting}={value}"):
        run_demo(tmp_path / "out", **{setting: value})
    assert not (tmp_path / "out").exists()
