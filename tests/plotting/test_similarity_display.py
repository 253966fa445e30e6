import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from skdnn.plotting import SimilarityDisplay

NAMES = ["alexnet", "vgg16", "resnet50", "cornet-s", "clip-RN"]


@pytest.fixture
def frame():
    """Correlations of five things, the first like the fourth."""
    z = np.random.default_rng(0).normal(size=(5, 20))
    z[3] += 3 * z[0]
    return pd.DataFrame(np.corrcoef(z), NAMES, NAMES)


def tick_texts(ax, axis):
    return [tick.get_text() for tick in getattr(ax, f"get_{axis}ticklabels")()]


def test_cells_and_numbers_are_the_values(frame):
    display = SimilarityDisplay.from_frame(frame, title="models", label="rho")
    np.testing.assert_array_equal(display.image_.get_array(), frame)
    printed = {text.get_position(): text.get_text() for text in display.texts_}
    assert printed == {(j, i): f"{frame.iloc[i, j]:.2f}" for i in range(5) for j in range(5)}
    assert tick_texts(display.ax_, "x") == tick_texts(display.ax_, "y") == NAMES
    assert display.ax_.get_title() == "models"
    assert display.colorbar_.ax.get_ylabel() == "rho"
    assert display.image_.get_clim() == (frame.to_numpy().min(), frame.to_numpy().max())


def test_rows_and_columns_are_not_swapped(frame):
    wide = frame.iloc[:2].rename(index={"alexnet": "IT"})
    display = SimilarityDisplay.from_frame(wide, vmin=-1, vmax=1, fmt="+.1f")
    assert tick_texts(display.ax_, "y") == ["IT", "vgg16"]
    assert tick_texts(display.ax_, "x") == NAMES
    assert display.image_.get_clim() == (-1, 1)
    texts = {text.get_position(): text.get_text() for text in display.texts_}
    assert texts[3, 0] == f"{wide.iloc[0, 3]:+.1f}"
    assert not display.is_square


def test_clusters_of_a_square_frame(frame):
    display = SimilarityDisplay.from_frame(frame, order="cluster", dendrogram=True)
    distances = 1 - frame.to_numpy()
    np.fill_diagonal(distances, 0)
    tree = linkage(squareform(distances, checks=False), "average", optimal_ordering=True)
    order = leaves_list(tree)
    pd.testing.assert_frame_equal(display.frame, frame.iloc[order, order])
    np.testing.assert_allclose(display.tree, tree)
    places = [list(display.frame).index(name) for name in ("alexnet", "cornet-s")]
    assert abs(places[0] - places[1]) == 1


def test_clusters_of_rows(frame):
    part = frame.iloc[:, :2]
    display = SimilarityDisplay.from_frame(part, order="cluster")
    assert sorted(display.frame.index) == sorted(NAMES)
    assert list(display.frame) == NAMES[:2]
    pd.testing.assert_frame_equal(display.frame.loc[NAMES], part)


def test_groups_stay_together(frame):
    display = SimilarityDisplay.from_frame(frame, order=[4, 3, 2, 1, 0], groups=list("ababa"))
    assert list(display.frame) == ["clip-RN", "resnet50", "alexnet", "cornet-s", "vgg16"]
    assert display.groups == list("aaabb")
    lines = [line.get_xydata() for line in display.ax_.lines]
    assert {tuple(line[:, 1]) for line in lines if line[0, 1] == line[1, 1]} == {(2.5, 2.5)}
    assert {tuple(line[:, 0]) for line in lines if line[0, 0] == line[1, 0]} == {(2.5, 2.5)}
    (right,) = (child for child in display.ax_.child_axes if child.get_yticks().size)
    assert tick_texts(right, "y") == ["a", "b"]
    np.testing.assert_allclose(right.get_yticks(), [1, 3.5])


def test_numbers_only_where_they_fit():
    rng = np.random.default_rng(0)
    large = pd.DataFrame(rng.random((90, 90)))
    assert SimilarityDisplay.from_frame(large).texts_ == []
    assert len(SimilarityDisplay.from_frame(large.iloc[:40, :3], values=True).texts_) == 120
    assert SimilarityDisplay.from_frame(large.iloc[:3, :3], values=False).texts_ == []


def test_numbers_stay_within_their_cells(frame):
    display = SimilarityDisplay.from_frame(frame)
    display.figure_.canvas.draw()
    box = display.ax_.get_window_extent()
    for text in display.texts_:
        extent = text.get_window_extent()
        assert extent.width < box.width / 5
        assert extent.height < box.height / 5


def test_numbers_are_readable(frame):
    display = SimilarityDisplay.from_frame(frame, cmap="gray", vmin=-1, vmax=1)
    for text in display.texts_:
        value = frame.iloc[text.get_position()[1], text.get_position()[0]]
        assert text.get_color() == ("black" if (value + 1) / 2 > 0.55 else "white")


def test_unknown_values_stay_grey(frame):
    frame = frame.copy()
    frame.iloc[1, 2] = np.nan
    display = SimilarityDisplay.from_frame(frame)
    assert len(display.texts_) == 24
    assert (2, 1) not in {text.get_position() for text in display.texts_}
    with pytest.raises(ValueError, match="without NaN"):
        SimilarityDisplay.from_frame(frame, order="cluster")


def test_levels_are_joined(frame):
    index = pd.MultiIndex.from_product([["alexnet"], list("abcde")], names=["model", "layer"])
    display = SimilarityDisplay.from_frame(frame.set_axis(index).set_axis(index, axis=1))
    assert tick_texts(display.ax_, "x")[0] == "alexnet / a"
    assert display.is_square


def test_a_given_axes_is_used(frame):
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(1, 2, figsize=(9, 4))
    display = SimilarityDisplay.from_frame(frame, ax=axes[1])
    assert display.ax_ is axes[1]
    assert isinstance(display.figure_, mpl.figure.Figure)
    assert not axes[0].images


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": list("ab")}, "groups has 2 entries for 5 rows"),
        ({"dendrogram": True}, "dendrogram=True needs"),
        ({"dendrogram": True, "order": "cluster", "groups": list("aabbb")}, "dendrogram=True"),
        ({"order": "sorted"}, "order must be"),
        ({"order": [0, 0, 1, 2, 3]}, "order must hold each position"),
    ],
)
def test_wrong_options(frame, options, message):
    with pytest.raises(ValueError, match=message):
        SimilarityDisplay.from_frame(frame, **options)


@pytest.mark.parametrize("frame", [np.eye(3), pd.DataFrame()])
def test_wrong_frames(frame):
    with pytest.raises(ValueError, match="frame must be a DataFrame"):
        SimilarityDisplay.from_frame(frame)
