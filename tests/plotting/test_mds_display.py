import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from scipy.spatial import procrustes
from scipy.spatial.distance import pdist, squareform
from sklearn.manifold import smacof
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdnn.plotting import MDSDisplay
from skdnn.rsa import RDM, compute_rdm

PLACES = np.random.default_rng(4).normal(size=(9, 2)) * [3, 1]
GROUPS = list("aabbbcaca")


def flat_rdm():
    return squareform(pdist(PLACES))


@pytest.mark.parametrize("method", ["smacof", "classical"])
def test_a_plane_is_found_again(method):
    display = MDSDisplay.from_rdm(flat_rdm(), method=method)
    assert procrustes(PLACES, display.coordinates_)[2] < 1e-6
    np.testing.assert_allclose(pdist(display.coordinates_), pdist(PLACES), rtol=1e-3)
    assert display.stress_ < 1e-3
    (points,) = display.ax_.collections
    np.testing.assert_array_equal(points.get_offsets(), display.coordinates_)
    assert display.ax_.get_aspect() == 1
    assert "stress 0.00" in [text.get_text() for text in display.ax_.texts]


def test_classical_scaling_by_hand(rdm):
    values = rdm.to_numpy()
    centring = np.eye(9) - 1 / 9
    gram = -0.5 * centring @ values**2 @ centring
    left, weights, _ = np.linalg.svd(gram)
    signs = np.einsum("ij,ij->j", left, gram @ left)
    keep = np.argsort(-signs)[:2]
    expected = left[:, keep] * np.sqrt(weights[keep])
    drawn = MDSDisplay.from_rdm(rdm, method="classical").coordinates_
    np.testing.assert_allclose(np.abs(drawn), np.abs(expected), atol=1e-10)


def test_stress_is_that_of_scikit_learn(rdm):
    """Where smacof has converged; ours finds no worse places than its random starts."""
    display = MDSDisplay.from_rdm(rdm)
    values = rdm.to_numpy()
    options = {"n_init": 8, "eps": 1e-9, "max_iter": 3000, "random_state": 1}
    _, raw = smacof(values, normalized_stress=False, **options)
    assert display.stress_ == pytest.approx(
        np.sqrt(raw / np.sum(squareform(values) ** 2)), rel=0.01
    )


def test_stress_by_hand(rdm):
    display = MDSDisplay.from_rdm(rdm, method="classical")
    d, delta = pdist(display.coordinates_), squareform(rdm.to_numpy())
    candidates = np.linspace(0, 2, 20001)[:, None]
    stress = np.sqrt(((candidates * delta - d) ** 2).sum(1) / (d**2).sum())
    assert display.stress_ == pytest.approx(stress.min(), abs=1e-6)
    thrice = MDSDisplay.from_rdm(3 * rdm, method="classical")
    assert thrice.stress_ == pytest.approx(display.stress_)
    assert display.stress_ > MDSDisplay.from_rdm(rdm).stress_


def test_places_do_not_depend_on_the_start_or_on_the_order(rdm):
    first = MDSDisplay.from_rdm(rdm, random_state=0)
    again = MDSDisplay.from_rdm(rdm, random_state=0)
    np.testing.assert_array_equal(first.coordinates_, again.coordinates_)
    np.testing.assert_allclose(first.coordinates_.mean(0), 0, atol=1e-12)
    spread = first.coordinates_.var(axis=0)
    assert spread[0] >= spread[1]
    assert np.abs(np.cov(first.coordinates_.T)[0, 1]) < 1e-12
    shuffled = MDSDisplay.from_rdm(rdm.iloc[::-1, ::-1], method="classical")
    straight = MDSDisplay.from_rdm(rdm, method="classical")
    np.testing.assert_allclose(shuffled.coordinates_, straight.coordinates_[::-1], atol=1e-10)


def test_no_warnings_of_scikit_learn(rdm):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MDSDisplay.from_rdm(rdm)


def test_groups_have_colours_and_a_legend():
    display = MDSDisplay.from_rdm(flat_rdm(), groups=GROUPS)
    by_group = display.ax_.collections
    assert [len(points.get_offsets()) for points in by_group] == [4, 3, 2]
    np.testing.assert_array_equal(by_group[2].get_offsets(), display.coordinates_[[5, 7]])
    legend = display.ax_.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "c"]
    for points, handle in zip(by_group, legend.legend_handles, strict=True):
        assert to_rgba(handle.get_color()) == tuple(points.get_facecolor()[0])
    assert len({tuple(points.get_facecolor()[0]) for points in by_group}) == 3


def test_more_groups_than_colours_differ_by_marker():
    n = 12
    display = MDSDisplay.from_rdm(1 - np.eye(n), groups=range(n))
    looks = {(h.get_color(), h.get_marker()) for h in display.ax_.get_legend().legend_handles}
    assert len(looks) == n


def test_images_stand_at_their_places(pictures):
    display = MDSDisplay.from_rdm(flat_rdm(), images=pictures, groups=GROUPS, image_size=0.1)
    extent = np.ptp(display.coordinates_, axis=0).max()
    colours = {}
    for k, (image, frame) in enumerate(zip(display.ax_.images, display.ax_.patches, strict=True)):
        left, right, bottom, top = image.get_extent()
        np.testing.assert_allclose(
            [(left + right) / 2, (bottom + top) / 2], display.coordinates_[k], atol=1e-12
        )
        height, width = pictures[k].shape[:2]
        assert max(right - left, top - bottom) == pytest.approx(0.1 * extent)
        assert (right - left) / (top - bottom) == pytest.approx(width / height)
        assert np.asarray(image.get_array())[0, 0, 0] == k
        assert (frame.get_x(), frame.get_y()) == pytest.approx((left, bottom))
        assert (frame.get_width(), frame.get_height()) == pytest.approx(
            (right - left, top - bottom)
        )
        colours.setdefault(GROUPS[k], set()).add(frame.get_edgecolor())
        x0, x1 = display.ax_.get_xlim()
        y0, y1 = display.ax_.get_ylim()
        assert x0 < left < right < x1
        assert y0 < bottom < top < y1
    assert [len(found) for found in colours.values()] == [1, 1, 1]
    assert len(set.union(*colours.values())) == 3


def test_names(rdm):
    def texts(display):
        return [text.get_text() for text in display.ax_.texts if "stress" not in text.get_text()]

    assert texts(MDSDisplay.from_rdm(rdm)) == list(rdm.index)
    assert texts(MDSDisplay.from_rdm(rdm.to_numpy())) == []
    assert texts(MDSDisplay.from_rdm(rdm, names=range(9))) == [str(k) for k in range(9)]
    pictures = [np.zeros((4, 4, 3), dtype=np.uint8)] * 9
    assert texts(MDSDisplay.from_rdm(rdm, images=pictures)) == []
    assert len(texts(MDSDisplay.from_rdm(rdm, images=pictures, names=rdm.index))) == 9
    assert texts(MDSDisplay.from_rdm(pd.DataFrame(1 - np.eye(41)))) == []


def test_from_estimator():
    X = np.random.default_rng(0).normal(size=(8, 5))
    pipeline = make_pipeline(StandardScaler(), RDM("euclidean")).fit(X)
    display = MDSDisplay.from_estimator(pipeline, X, method="classical")
    expected = MDSDisplay.from_rdm(
        compute_rdm(StandardScaler().fit_transform(X), "euclidean"), method="classical"
    )
    np.testing.assert_array_equal(display.coordinates_, expected.coordinates_)
    with pytest.raises(ValueError, match="must end in RDM"):
        MDSDisplay.from_estimator(pipeline[0], X)


def test_coordinates_of_ones_own():
    display = MDSDisplay(PLACES, names=list("abcdefghi")).plot(title="mine")
    assert display.stress_ is None
    assert not any("stress" in text.get_text() for text in display.ax_.texts)
    assert display.ax_.get_title() == "mine"
    one_place = MDSDisplay(np.zeros((3, 2))).plot()
    assert len(one_place.ax_.collections[0].get_offsets()) == 3


def test_negative_dissimilarities_count_as_zero():
    values = flat_rdm()
    values[0, 1] = values[1, 0] = -0.5
    with pytest.warns(
        UserWarning, match="3% of the dissimilarities in rdm are negative"
    ) as caught:
        display = MDSDisplay.from_rdm(values)
    assert caught[0].filename == __file__
    values[0, 1] = values[1, 0] = 0
    np.testing.assert_array_equal(display.coordinates_, MDSDisplay.from_rdm(values).coordinates_)


def changed(i, j, value):
    values = flat_rdm()
    values[i, j] = values[j, i] = value
    return values


@pytest.mark.parametrize(
    ("rdm", "options", "message"),
    [
        (np.ones((3, 4)), {}, "must be a square"),
        (np.zeros((2, 2)), {}, "has 2 conditions"),
        (np.zeros((3, 3)), {}, "no dissimilarity above 0"),
        (np.triu(flat_rdm()), {}, "not symmetric"),
        (changed(3, 5, np.nan), {}, r"condition\(s\) 3, 5: drop"),
        (pd.DataFrame(changed(3, 5, np.inf), index=list("abcdefghi")), {}, r"d, f: drop"),
        (np.eye(3), {}, "rdm: its diagonal is 1"),
        (flat_rdm(), {"method": "tsne"}, "method must be 'smacof' or 'classical'"),
        (flat_rdm(), {"groups": ["a"]}, "groups has 1 entries for 9"),
        (flat_rdm(), {"names": ["a"]}, "names has 1 entries for 9"),
        (flat_rdm(), {"image_size": 2}, "image_size must lie between"),
        (flat_rdm(), {"images": [np.zeros((2, 2, 3), dtype=np.uint8)]}, "images has 1 entries"),
    ],
)
def test_errors(rdm, options, message):
    with pytest.raises(ValueError, match=message):
        MDSDisplay.from_rdm(rdm, **options)


def test_errors_of_coordinates():
    with pytest.raises(ValueError, match="two columns"):
        MDSDisplay(np.zeros((4, 3)))


def test_faces_lie_together(kriegeskorte92):
    """In monkey IT, human faces are nearer to each other than to other images."""
    kind = kriegeskorte92.category["category"].to_numpy()
    display = MDSDisplay.from_rdm(
        kriegeskorte92.monkey_it, images=kriegeskorte92.paths, groups=kind
    )
    assert len(display.ax_.images) == 92
    faces = kind == "human face"
    distances = squareform(pdist(display.coordinates_))
    within = distances[np.ix_(faces, faces)].sum() / (faces.sum() * (faces.sum() - 1))
    assert within < 0.5 * distances[np.ix_(faces, ~faces)].mean()
    assert 0.1 < display.stress_ < 0.5


def test_the_metric_is_named_beside_the_stress():
    X = np.random.default_rng(3).normal(size=(7, 4))
    display = MDSDisplay.from_estimator(RDM("euclidean").fit(X), X)
    assert [text.get_text() for text in display.ax_.texts if "stress" in text.get_text()] == [
        f"stress {display.stress_:.2f} (euclidean)"
    ]
