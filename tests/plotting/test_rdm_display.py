from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import dendrogram, leaves_list
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline

from skdnn.plotting import RDMDisplay
from skdnn.rsa import RDM, RSAScorer, compute_rdm

GROUPS = ["tool", "face", "tool", "face", "food", "food", "tool", "face", "food"]


def tick_texts(axis):
    return [tick.get_text() for tick in axis.get_ticklabels()]


def strips(display):
    """The axes below and beside the matrix that hold the images."""
    below, beside = display.ax_.child_axes[:2]
    return below, beside


def reds(images):
    """Which picture each drawn one is."""
    return [int(np.asarray(image.get_array())[0, 0, 0]) for image in images]


def test_rdm_is_drawn_with_its_labels(rdm):
    display = RDMDisplay.from_rdm(rdm, title="IT")
    np.testing.assert_array_equal(display.image_.get_array(), rdm)
    assert tick_texts(display.ax_.xaxis) == tick_texts(display.ax_.yaxis) == list("abcdefghi")
    assert display.ax_.get_title() == "IT"
    assert display.colorbar_.ax.get_ylabel() == "dissimilarity"
    assert display.ax_.figure is display.figure_


def test_groups_are_sorted_together_and_named(rdm):
    display = RDMDisplay.from_rdm(rdm, groups=GROUPS)
    assert display.labels == list("acgbdhefi")
    np.testing.assert_array_equal(display.rdm, rdm.loc[display.labels, display.labels])
    assert tick_texts(display.ax_.yaxis) == ["tool", "face", "food"]
    assert len(display.ax_.lines) == 4  # two boundaries, across and down
    ordered = RDMDisplay.from_rdm(rdm, groups=GROUPS, order=np.arange(9)[::-1])
    assert ordered.labels == list("gcahdbife")


def test_cluster_order_puts_twins_side_by_side():
    X = np.random.default_rng(1).normal(size=(4, 20))
    X = np.r_[X, X + 0.01 * np.random.default_rng(2).normal(size=X.shape)]
    order = RDMDisplay.from_rdm(compute_rdm(X), labels=range(8), order="cluster").labels
    for i in range(4):
        assert abs(order.index(i) - order.index(i + 4)) == 1


def test_dendrogram_has_its_leaves_over_the_columns(rdm):
    display = RDMDisplay.from_rdm(rdm, order="cluster", dendrogram=True, title="IT")
    assert display.labels == [rdm.index[i] for i in leaves_list(display.tree)]
    (above,) = display.ax_.child_axes
    (branches,) = above.collections
    segments = np.stack(branches.get_segments())
    assert segments.shape == (8, 4, 2)  # a bracket for each of eight merges
    assert above.get_xlim() == display.ax_.get_xlim()
    expected = np.array(dendrogram(display.tree, no_plot=True)["dcoord"])
    np.testing.assert_allclose(segments[:, :, 1], expected)
    leaves = segments[segments[:, :, 1] == 0][:, 0]
    np.testing.assert_allclose(np.sort(leaves), np.arange(9))
    # The lowest merge joins the nearest pair.
    lowest = segments[np.argmin(segments[:, 1, 1])]
    i, j = round(lowest[0, 0]), round(lowest[3, 0])
    nearest = display.rdm[np.triu_indices(9, 1)].min()
    assert display.rdm[i, j] == lowest[1, 1] == nearest


def test_rank_transform(rdm):
    display = RDMDisplay.from_rdm(rdm, rank_transform=True)
    values = np.unique(display.rdm)
    np.testing.assert_allclose(values, np.arange(36) / 35)
    upper = np.triu_indices(9, 1)
    drawn, given = display.rdm[upper], rdm.to_numpy()[upper]
    np.testing.assert_array_equal(np.argsort(drawn), np.argsort(given))
    assert "rank" in display.colorbar_.ax.get_ylabel()


def test_many_conditions_are_not_named():
    display = RDMDisplay.from_rdm(np.ones((50, 50)), labels=range(50))
    assert display.ax_.get_xlabel() == "condition"


def many(names):
    rng = np.random.default_rng(0)
    return compute_rdm(pd.DataFrame(rng.normal(size=(len(names), 6)), index=names))


@pytest.mark.parametrize(
    "name",
    ["{kind}_{k:02d}", "{kind}{k}", "{kind}-{k}.jpg", "{k:02d}_{kind}", "{kind}_{k}b.png",
     "stimuli/{kind}/{k}.jpg", "stimuli\\{kind}\\img {k}.png", "{kind}/x_{k}"],
)  # fmt: skip
def test_many_names_that_carry_categories_stand_in_blocks(name):
    kinds = ["animal", "tool", "human face"]
    names = [name.format(kind=kind, k=k) for kind in kinds for k in range(20)]
    display = RDMDisplay.from_rdm(many(names))
    assert tick_texts(display.ax_.xaxis) == tick_texts(display.ax_.yaxis) == kinds
    np.testing.assert_allclose(display.ax_.get_yticks(), [9.5, 29.5, 49.5])
    assert len(display.ax_.lines) == 4
    assert display.labels == names
    several = RDMDisplay.from_rdms({"a": many(names), "b": many(names)})
    assert tick_texts(several.axes_[1].xaxis) == kinds


def test_many_names_without_blocks_are_written_small():
    names = [f"{kind}_{k}" for k in range(24) for kind in ("animal", "tool")]  # not neighbours
    display = RDMDisplay.from_rdm(many(names), order=np.arange(48)[::-1])
    assert tick_texts(display.ax_.yaxis) == tick_texts(display.ax_.xaxis) == names[::-1]
    display.figure_.draw_without_rendering()
    for axis in (display.ax_.xaxis, display.ax_.yaxis):
        boxes = [text.get_window_extent() for text in axis.get_ticklabels()]
        assert not any(a.overlaps(b) for a, b in pairwise(boxes))


@pytest.mark.parametrize("n", [150, 400])
def test_more_names_than_there_is_room_for(n):
    words = [f"{chr(97 + k % 26)}{chr(97 + k // 26)}x" for k in range(n)]
    display = RDMDisplay.from_rdm(many(words))
    places = display.ax_.get_yticks()
    assert len(set(np.diff(places))) == 1
    assert 40 < len(places) < n
    assert tick_texts(display.ax_.yaxis) == [words[int(k)] for k in places]
    display.figure_.draw_without_rendering()
    boxes = [text.get_window_extent() for text in display.ax_.yaxis.get_ticklabels()]
    assert not any(a.overlaps(b) for a, b in pairwise(boxes))
    assert max(display.figure_.get_size_inches()) < 14


def test_the_metric_is_named(rdm):
    assert RDMDisplay.from_rdm(rdm, metric="cosine").colorbar_.ax.get_ylabel() == (
        "dissimilarity (cosine)"
    )
    ranked = RDMDisplay.from_rdms({"a": rdm}, metric="cosine", rank_transform=True)
    assert ranked.colorbar_.ax.get_ylabel() == "dissimilarity (cosine, scaled rank)"
    X = np.random.default_rng(3).normal(size=(7, 4))
    display = RDMDisplay.from_estimator(RDM("euclidean").fit(X), X)
    assert display.colorbar_.ax.get_ylabel() == "dissimilarity (euclidean)"


def test_long_names_lose_what_they_share():
    names = [f"/data/of/a/project/with/a/long/path/stimuli/{name}.jpg" for name in "xyz"]
    display = RDMDisplay.from_rdm(1 - np.eye(3), labels=names)
    assert tick_texts(display.ax_.yaxis) == ["…x…", "…y…", "…z…"]
    assert display.labels == names
    names = [f"{k} {'very ' * 20} long {k}" for k in range(3)]
    texts = tick_texts(RDMDisplay.from_rdm(1 - np.eye(3), labels=names).ax_.yaxis)
    assert len(set(texts)) == 3
    assert max(map(len, texts)) == 40


def test_nan_has_no_colour(rdm):
    rdm.iloc[0, 1] = rdm.iloc[1, 0] = np.nan
    display = RDMDisplay.from_rdm(rdm)
    assert np.ma.getmaskarray(display.image_.get_array()).sum() == 2
    assert display.image_.get_clim() == (0, np.nanmax(rdm))
    nothing = RDMDisplay.from_rdm(np.full((3, 3), np.nan))
    assert np.ma.getmaskarray(nothing.image_.get_array()).all()


def test_scale_can_be_given(rdm):
    assert RDMDisplay.from_rdm(rdm, vmin=-1, vmax=2).image_.get_clim() == (-1, 2)


def test_images_stand_at_their_conditions(rdm, pictures):
    order = np.array([3, 1, 4, 0, 5, 8, 2, 6, 7])
    display = RDMDisplay.from_rdm(rdm, images=pictures, order=order)
    below, beside = strips(display)
    assert reds(below.images) == reds(beside.images) == list(order)
    for k, (low, left) in enumerate(zip(below.images, beside.images, strict=True)):
        x0, x1, _, _ = low.get_extent()
        _, _, y0, y1 = left.get_extent()
        assert (x0 + x1) / 2 == pytest.approx(k)
        assert (y0 + y1) / 2 == pytest.approx(k)
        height, width = pictures[order[k]].shape[:2]
        assert (x1 - x0) / abs(y1 - y0) == pytest.approx(width / height, rel=0.05)
        assert max(x1 - x0, abs(y1 - y0)) < 1
    assert below.get_xlim() == display.ax_.get_xlim()
    assert beside.get_ylim() == display.ax_.get_ylim()
    assert tick_texts(display.ax_.xaxis) == []


def test_images_are_upright(rdm):
    """Rows run down, columns to the right, in both strips."""
    picture = np.zeros((40, 20, 3), dtype=np.uint8)
    display = RDMDisplay.from_rdm(rdm, images=[picture] * 9)
    display.figure_.draw_without_rendering()
    for strip in strips(display):
        left, right, bottom, top = strip.images[0].get_extent()
        assert strip.images[0].origin == "upper"
        corners = strip.transData.transform([(left, top), (right, bottom)])
        assert corners[0, 0] < corners[1, 0]
        assert corners[0, 1] > corners[1, 1]
        width, height = corners[1] - corners[0]
        assert -height / width == pytest.approx(2, rel=0.01)


def test_many_images_stand_in_several_rows():
    n = 60
    pictures = [np.full((8, 8, 3), k, dtype=np.uint8) for k in range(n)]
    below, beside = strips(RDMDisplay.from_rdm(1 - np.eye(n), images=pictures))
    for strip, across in ((below, 0), (beside, 1)):
        boxes = np.array([image.get_extent() for image in strip.images])
        centres = np.stack([boxes[:, :2].mean(1), boxes[:, 2:].mean(1)], 1)
        np.testing.assert_allclose(centres[:, across], np.arange(n))
        assert len(np.unique(centres[:, 1 - across].round(6))) == 3
        # No two overlap.
        gaps = np.abs(centres[:, None] - centres).max(axis=2)[np.triu_indices(n, 1)]
        assert gaps.min() >= np.ptp(boxes[:, :2], axis=1).max()


def test_images_with_groups_are_framed_and_the_groups_named(rdm, pictures):
    display = RDMDisplay.from_rdm(rdm, images=pictures, groups=GROUPS)
    below, beside = strips(display)
    assert tick_texts(below.xaxis) == tick_texts(beside.yaxis) == ["tool", "face", "food"]
    colours = [frame.get_edgecolor() for frame in below.patches]
    assert len(set(colours)) == 3
    assert colours[0] == colours[2] != colours[3]
    assert len(display.ax_.lines) == 4


def test_images_from_files_and_conditions_of_several(rdm, image_paths):
    display = RDMDisplay.from_rdm(rdm, images=image_paths)
    assert max(display.images[0].shape) <= 128
    assert display.images[0].shape == (40, 56, 3)  # as small as it is
    grouped = [[path, image_paths[0]] for path in image_paths]
    again = RDMDisplay.from_rdm(rdm, images=grouped)
    for first, second in zip(display.images, again.images, strict=True):
        np.testing.assert_array_equal(first, second)


def test_large_jpegs_are_read_small_and_as_a_person_sees_them(tmp_path):
    from PIL import Image

    wide = np.zeros((800, 1600, 3), dtype=np.uint8)
    wide[:, :800] = 255  # white on the left
    exif = Image.Exif()
    exif[274] = 6  # to be turned by a quarter: white comes to the top
    Image.fromarray(wide).save(tmp_path / "turned.jpg", exif=exif)
    Image.fromarray(wide).save(tmp_path / "plain.png")
    rdm = 1 - np.eye(2)
    display = RDMDisplay.from_rdm(rdm, images=[tmp_path / "turned.jpg", tmp_path / "plain.png"])
    turned, plain = display.images
    assert turned.shape == (128, 64, 3)
    assert plain.shape == (64, 128, 3)
    assert turned[:60].min() > 250 > 5 > turned[-60:].max()


def test_too_many_images_give_way_to_groups():
    n = 100
    pictures = [np.zeros((4, 4, 3), dtype=np.uint8)] * n
    with pytest.raises(ValueError, match="images of 100 conditions would be too small"):
        RDMDisplay.from_rdm(1 - np.eye(n), images=pictures)
    display = RDMDisplay.from_rdm(1 - np.eye(n), images=pictures, groups=np.arange(n) // 50)
    assert display.images is None
    assert tick_texts(display.ax_.xaxis) == ["0", "1"]


def test_several_rdms_share_order_scale_and_figure(rdm):
    shuffled = rdm.iloc[::-1, ::-1] * 3
    display = RDMDisplay.from_rdms({"one": rdm, "two": shuffled}, groups=GROUPS)
    assert [ax.get_title() for ax in display.axes_] == ["one", "two"]
    first, second = (np.asarray(image.get_array()) for image in display.images_)
    order = list("acgbdhefi")
    np.testing.assert_array_equal(first, rdm.loc[order, order])
    np.testing.assert_allclose(second, 3 * first)
    assert display.labels == order
    scales = {image.get_clim() for image in display.images_}
    assert scales == {(0.0, float(second.max()))}
    assert {ax.figure for ax in display.axes_} == {display.figure_}
    assert len(display.figure_.axes) == 3  # two RDMs, one colour bar
    assert display.ax_ is display.axes_[0]


def test_several_rdms_in_other_forms(rdm):
    one, two = rdm.to_numpy(), 2 * rdm.to_numpy()
    columns = pd.MultiIndex.from_product([["S1", "S2"], rdm.columns])
    frame = pd.DataFrame(np.c_[one, two], index=rdm.index, columns=columns)
    shown = RDMDisplay.from_rdms(frame, order="cluster", dendrogram=True)
    assert shown.names == ["S1", "S2"]
    single = RDMDisplay.from_rdm(rdm, order="cluster")
    assert shown.labels == single.labels
    np.testing.assert_array_equal(shown.rdm, [single.rdm, 2 * single.rdm])
    assert [len(ax.child_axes) for ax in shown.axes_] == [1, 0]
    stack = RDMDisplay.from_rdms(np.stack([one, two]), rank_transform=True)
    np.testing.assert_array_equal(stack.rdm[0], stack.rdm[1])
    assert stack.names == ["RDM 0", "RDM 1"]
    levels = pd.MultiIndex.from_product([["S1"], ["V1", "IT"], rdm.columns])
    assert RDMDisplay.from_rdms(frame.set_axis(levels, axis=1)).names == ["S1/V1", "S1/IT"]


def test_rows_of_several_rdms(rdm):
    display = RDMDisplay.from_rdms({str(k): rdm for k in range(5)}, n_columns=3)
    grid = display.axes_[0].get_subplotspec().get_gridspec()
    assert (grid.nrows, grid.ncols) == (2, 3)
    named = [bool(ax.yaxis.get_tick_params()["labelleft"]) for ax in display.axes_]
    assert named == [True, False, False, True, False]
    named = [ax.xaxis.get_major_ticks()[0].label1.get_visible() for ax in display.axes_]
    assert named == [False, False, True, True, True]


def test_axes_of_ones_own(rdm):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2)
    display = RDMDisplay.from_rdms({"a": rdm, "b": rdm}, ax=axes)
    assert display.axes_ == list(axes)
    assert display.figure_ is figure
    with pytest.raises(ValueError, match="ax holds 2 axes for 3"):
        RDMDisplay.from_rdms([rdm.to_numpy()] * 3, ax=axes)
    part = plt.figure().subfigures(1, 2)[0]
    inner = RDMDisplay.from_rdm(rdm, ax=part.subplots())
    assert inner.figure_ is part.figure


@pytest.mark.parametrize(
    ("rdms", "message"),
    [
        ({}, "rdms is empty"),
        ({"a": np.ones((3, 3)), "b": np.ones((4, 4))}, "'a': 3, 'b': 4"),
        ({"a": np.ones((3, 4))}, "'a' must be square"),
        (np.ones((3, 3)), "array of shape"),
        (pd.DataFrame(np.ones((2, 2))), "from_rdm"),
        ({"a": pd.DataFrame(np.ones((2, 2))), "b": pd.DataFrame(np.ones((2, 2)), [1, 2], [1, 2])},
         "labels of the RDM 'b'"),
    ],
)  # fmt: skip
def test_errors_of_several_rdms(rdms, message):
    with pytest.raises(ValueError, match=message):
        RDMDisplay.from_rdms(rdms)


def test_from_estimator():
    X = np.random.default_rng(3).normal(size=(7, 4))
    pipeline = Pipeline([("rdm", RDM("euclidean")), ("rsa", RSAScorer())]).fit(X, X**2)
    expected = compute_rdm(X, "euclidean")
    for estimator in (pipeline, pipeline[:-1], pipeline[0]):
        np.testing.assert_array_equal(RDMDisplay.from_estimator(estimator, X).rdm, expected)
    with pytest.raises(ValueError, match="must end in RDM"):
        RDMDisplay.from_estimator(PCA().fit(X), X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "size"}, "order must be None, 'cluster'"),
        ({"order": [0, 1]}, "each position from 0 to 8"),
        ({"groups": ["a"]}, "groups has 1 entries for 9"),
        ({"labels": ["a"]}, "labels has 1 entries for 9"),
        ({"images": [np.zeros((2, 2, 3), dtype=np.uint8)]}, "images has 1 entries for 9"),
        ({"dendrogram": True}, "needs order='cluster'"),
        ({"dendrogram": True, "order": "cluster", "groups": GROUPS}, "and no groups"),
    ],
)
def test_rdm_errors(rdm, options, message):
    with pytest.raises(ValueError, match=message):
        RDMDisplay.from_rdm(rdm, **options)


def test_rdm_errors_of_values(rdm):
    with pytest.raises(ValueError, match="square"):
        RDMDisplay.from_rdm(np.ones((3, 4)))
    with pytest.raises(ValueError, match="square"):
        RDMDisplay.from_rdm(np.ones((2, 3, 3)))
    rdm.iloc[0, 1] = rdm.iloc[1, 0] = np.nan
    with pytest.raises(ValueError, match="without NaN"):
        RDMDisplay.from_rdm(rdm, order="cluster")


def test_ninety_two_images(kriegeskorte92):
    kind = list(kriegeskorte92.category["category"])
    display = RDMDisplay.from_rdm(
        kriegeskorte92.human_it, images=kriegeskorte92.paths, groups=kind, rank_transform=True
    )
    below, _ = strips(display)
    assert len(below.images) == 92
    assert tick_texts(below.xaxis) == list(dict.fromkeys(kind))
    assert [Path(path).stem for path in kriegeskorte92.paths] == display.labels
