"""Maps of searchlights: that what is drawn is what was found, and where it was found."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from fmri.spheres import icosphere
from matplotlib.colors import to_rgba

from skdnn.fmri import searchlight_rsa
from skdnn.plotting import SearchlightDisplay
from skdnn.rsa import compute_rdm

nibabel = pytest.importorskip("nibabel")
plotting = pytest.importorskip("nilearn.plotting")

GRID, AFFINE = (8, 9, 10), np.diag([3.0, 3, 3, 1])
AFFINE[:3, 3] = (-12, -15, 6)
RNG = np.random.default_rng(0)
MASK = np.zeros(GRID, dtype=bool)
MASK[1:7, 1:8, 1:9] = RNG.random((6, 7, 8)) < 0.9
N = int(MASK.sum())


def drawn(ax: Any) -> Any:
    """Numbers of the last picture in an axes, without those that are not drawn."""
    numbers = np.ma.masked_invalid(ax.images[-1].get_array())
    return np.sort(np.ma.compressed(numbers))


def plane(values: Any, k: int) -> Any:
    whole = np.full(GRID, np.nan)
    whole[MASK] = values
    return np.sort(whole[:, :, k][np.isfinite(whole[:, :, k])])


@pytest.fixture(scope="module")
def found() -> Any:
    """Eight subjects in whom a corner of the brain is like conv1."""
    features = {name: RNG.normal(size=(12, 40)) for name in ("conv1", "fc6")}
    corner = np.argwhere(MASK)[:, 0] < 4
    subjects = {}
    for number in range(8):
        voxels = RNG.normal(size=(12, N))
        voxels[:, corner] += features["conv1"] @ RNG.normal(size=(40, corner.sum())) / 2
        subjects[f"sub-{number}"] = voxels
    layers = {name: compute_rdm(values) for name, values in features.items()}
    mask = nibabel.Nifti1Image(MASK.astype(np.uint8), AFFINE)
    result = searchlight_rsa(subjects, layers, radius=6.0, mask=mask)
    return result, result.test(n_flips=500)


def test_slices_hold_the_values_of_their_planes() -> None:
    values = {name: RNG.normal(size=N) for name in ("a", "b")}
    values["b"][np.argwhere(MASK)[:, 2] == 4] = np.nan
    display = SearchlightDisplay(values, MASK, AFFINE).plot(slices=[6 + 3 * 3, 6 + 3 * 4])
    for axes, (name, each) in zip(display.axes_, values.items(), strict=True):
        for ax, k in zip(axes, (3, 4), strict=True):
            np.testing.assert_allclose(drawn(ax), plane(each, k), rtol=1e-6, err_msg=name)
            low, high = ax.images[-1].get_clim()
            assert (-low, high) == (high, np.nanmax(np.abs([*values.values()])))


def test_one_of_the_slices_goes_through_the_largest_value() -> None:
    z = np.argwhere(MASK)[:, 2]
    for k in (2, 5, 8):
        values = RNG.normal(size=N)
        values[np.flatnonzero(z == k)[3]] = -9.0
        heights = SearchlightDisplay({"a": values}, MASK, AFFINE).heights(3)
        assert len(heights) == 3
        assert 6 + 3 * k in heights
    assert SearchlightDisplay({"a": values}, MASK, AFFINE).heights(8) == [
        6.0 + 3 * k for k in range(1, 9)
    ]


def test_scores_are_drawn_where_the_test_finds_them(found: Any) -> None:
    result, test = found
    slices = [6 + 3 * 4]
    whole = SearchlightDisplay.from_result(result, layers=["conv1"], slices=slices)
    np.testing.assert_allclose(drawn(whole.ax_), plane(result.mean()[0], 4), rtol=1e-5)
    display = SearchlightDisplay.from_result(result, test, slices=slices)
    significant = test.significant()
    assert significant[0].any()
    for row, ax in enumerate(axes[0] for axes in display.axes_):
        expected = plane(np.where(significant[row], result.mean()[row], np.nan), 4)
        np.testing.assert_allclose(drawn(ax), expected, rtol=1e-5)
    t = SearchlightDisplay.from_result(result, test, show="t", layers=["conv1"], slices=slices)
    np.testing.assert_allclose(
        drawn(t.ax_), plane(np.where(significant[0], test.t[0], np.nan), 4), rtol=1e-5
    )
    texts = [text.get_text() for text in display.figure_.texts]
    assert texts == ["conv1", "fc6"]


def test_best_layers_have_a_colour_each(found: Any) -> None:
    result, test = found
    display = SearchlightDisplay.from_result(result, show="best_layer", slices=[18])
    np.testing.assert_array_equal(drawn(display.ax_), plane(result.best_layer() + 1, 4))
    (legend,) = display.figure_.legends
    assert [text.get_text() for text in legend.get_texts()] == result.layers
    image = display.ax_.images[-1]
    for number, patch in enumerate(legend.get_patches(), 1):
        assert image.cmap(image.norm(number)) == patch.get_facecolor()
    only = SearchlightDisplay.from_result(result, test, show="best_layer", slices=[18])
    best = np.where(test.significant().any(axis=0), result.best_layer() + 1.0, np.nan)
    np.testing.assert_array_equal(drawn(only.ax_), plane(best, 4))


def test_sizes_ceilings_and_subjects(found: Any) -> None:
    result, _ = found
    sizes = SearchlightDisplay.from_result(result, show="sizes", slices=[18])
    np.testing.assert_array_equal(drawn(sizes.ax_), plane(result.sizes[0], 4))
    ceiling = SearchlightDisplay.from_result(result, show="ceiling", slices=[18])
    for axes, bound in zip(ceiling.axes_, result.ceiling, strict=True):
        np.testing.assert_allclose(drawn(axes[0]), plane(bound, 4), rtol=1e-5)
    one = SearchlightDisplay.from_result(result, subject="sub-3", layers=["fc6"], slices=[18])
    np.testing.assert_allclose(drawn(one.ax_), plane(result.scores[3, 1], 4), rtol=1e-5)


def test_a_template_stands_behind_maps_of_its_space_alone(
    found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, Any]] = []
    real = plotting.plot_stat_map

    def recorded(*args: Any, **options: Any) -> Any:
        given.append(options)
        return real(*args, **options)

    monkeypatch.setattr(plotting, "plot_stat_map", recorded)
    maps = {"a": RNG.normal(size=N)}
    SearchlightDisplay(maps, MASK, AFFINE).plot(slices=2)
    assert given[-1]["bg_img"] is None
    SearchlightDisplay(maps, MASK, AFFINE, space="MNI152").plot(slices=2)
    assert "bg_img" not in given[-1]
    glass = SearchlightDisplay(maps, MASK, AFFINE, space="MNI152").plot(kind="glass")
    assert len(glass.axes_[0]) == 4
    with pytest.raises(ValueError, match="MNI152, and these maps are not in it"):
        SearchlightDisplay.from_result(found[0], kind="glass")


def test_maps_of_nothing_are_drawn_as_nothing() -> None:
    display = SearchlightDisplay({"a": np.full(N, np.nan)}, MASK, AFFINE).plot(slices=2)
    assert all(not drawn(ax).size for ax in display.axes_[0] if ax.images)


def test_surfaces_have_the_colours_of_their_vertices() -> None:
    xyz, faces = icosphere()
    mask = np.ones(324, dtype=bool)
    mask[:20] = False
    values = RNG.normal(size=304)
    meshes = {"left": (xyz - 30, faces), "right": (xyz + 30, faces)}
    display = SearchlightDisplay({"conv1": values}, mask, meshes=meshes).plot()
    whole = np.full(324, np.nan)
    whole[mask] = values
    reach = np.abs(values).max()
    import matplotlib as mpl

    scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(-reach, reach), "RdBu_r")
    assert len(display.axes_[0]) == 4
    for ax, part in zip(display.axes_[0], np.repeat(np.split(whole, 2), 2, axis=0), strict=True):
        of_faces = part[faces].mean(axis=1)
        known = np.isfinite(of_faces)
        collection = ax.collections[0]
        colours = collection._facecolor3d
        np.testing.assert_allclose(colours[known], scale.to_rgba(of_faces[known]), atol=1e-6)
        # What is unknown is grey.
        np.testing.assert_allclose(np.ptp(colours[~known][:, :3], axis=1), 0, atol=1e-6)
    titles = [ax.get_title() for ax in display.axes_[0]]
    assert titles[0] == "left hemisphere, from the left"
    best = SearchlightDisplay({"best": np.arange(304) > 220}, mask, meshes=meshes)
    best.plot(categories=["conv1", "fc6"])
    colours = {tuple(np.round(c, 4)) for c in best.axes_[0][2].collections[0]._facecolor3d}
    assert colours == {tuple(np.round(to_rgba(c), 4)) for c in ("#0072B2", "#D55E00")}


def test_without_nilearn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nilearn", None)
    monkeypatch.delitem(sys.modules, "nilearn.plotting")
    with pytest.raises(ImportError, match=r'nilearn is needed .*pip install "skdnn\[nilearn\]"'):
        SearchlightDisplay({"a": np.ones(N)}, MASK, AFFINE).plot()


@pytest.mark.parametrize(
    ("maps", "options", "message"),
    [
        ({}, {}, "maps is empty"),
        ({"a": np.ones(3)}, {"affine": AFFINE}, rf"'a' has shape \(3,\), the mask {N} voxels"),
        ({"a": np.ones(N)}, {}, "affine of shape"),
    ],
)
def test_what_is_refused(maps: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SearchlightDisplay(maps, MASK, **options)


def test_what_is_refused_of_results(found: Any) -> None:
    result, _ = found
    for options, message in (
        ({"show": "scores"}, "show='scores' is not known: choose one of 'layers'"),
        ({"layers": ["conv9"]}, "no layer 'conv9'; there are 'conv1', 'fc6'"),
        ({"subject": "sub-9"}, "no subject 'sub-9'"),
        ({"show": "t"}, "show='t' needs the test"),
        ({"kind": "flat"}, "kind='flat' is not known"),
        ({"vmin": 1.0, "vmax": 0.5}, "vmin=1.0 is not below vmax=0.5"),
    ):
        with pytest.raises(ValueError, match=message):
            SearchlightDisplay.from_result(result, **options)
    with pytest.raises(ValueError, match="meshes have no vertices, the mask has 9"):
        SearchlightDisplay({"a": np.ones(9)}, np.ones(9, dtype=bool))
