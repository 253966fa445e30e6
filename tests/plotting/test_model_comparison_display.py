from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from skdnn.plotting import ModelComparisonDisplay
from skdnn.rsa import bootstrap_rsa, compute_rdm, permutation_test

FRAME = pd.DataFrame(
    {
        "model": ["V1", "V4", "IT", "noise"],
        "score": [0.1, 0.3, 0.5, -0.2],
        "low": [-0.05, 0.2, 0.45, -0.3],
        "high": [0.2, 0.45, 0.6, -0.1],
        "p": [0.2, 0.01, 0.001, 0.02],
    }
)
PAIRS = pd.DataFrame(
    [("V1", "V4", -0.2, 0.04), ("V1", "IT", -0.4, 0.001), ("IT", "V4", 0.2, 0.3),
     ("IT", "noise", 0.7, 0.001), ("noise", "V4", -0.5, 0.02), ("V1", "noise", 0.3, np.nan)],
    columns=["model_a", "model_b", "difference", "p"],
)  # fmt: skip


def many(n):
    """n models, each better than all before it."""
    names = [f"m{k}" for k in range(n)]
    frame = pd.DataFrame({"model": names, "score": np.arange(n) / n})
    rows = [(names[j], names[i], (j - i) / n, 0.001) for i in range(n) for j in range(i + 1, n)]
    return frame, pd.DataFrame(rows, columns=PAIRS.columns)


def legend_texts(display):
    legend = display.ax_.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def wings(display):
    """Winner -> losers, as drawn, from top to bottom (or right to left)."""
    found = {}
    for line in display.wings_.lines:
        points = np.array(line.get_data())[:: -1 if display.horizontal_ else 1]
        if line.get_marker() != "o":
            continue
        row = found.setdefault(points[1][0], {})
        filled = to_rgba(line.get_markerfacecolor())[:3] != (1, 1, 1)
        row["winner" if filled else "losers"] = [int(x) for x in points[0]]
    return [(row["winner"], row["losers"]) for _, row in sorted(found.items(), reverse=True)]


def stars(display):
    places = [
        np.asarray(line.get_data()).T for line in display.ax_.lines if line.get_marker() == "*"
    ]
    return np.concatenate(places)


def test_bars_and_intervals_are_the_values():
    display = ModelComparisonDisplay.from_frame(FRAME, title="all", ylabel="rho")
    bars = display.ax_.containers[0]
    np.testing.assert_allclose([bar.get_height() for bar in bars], FRAME["score"])
    np.testing.assert_allclose([bar.get_x() + bar.get_width() / 2 for bar in bars], range(4))
    (ends,) = display.ax_.containers[1].lines[2]
    drawn = np.array([segment[:, 1] for segment in ends.get_segments()])
    np.testing.assert_allclose(drawn, FRAME[["low", "high"]])
    assert [t.get_text() for t in display.ax_.get_xticklabels()] == list(FRAME["model"])
    assert display.ax_.get_title() == "all"
    assert display.ax_.get_ylabel() == "rho"
    assert display.wings_ is None
    assert not display.horizontal_


def test_long_names_let_bars_run_to_the_right():
    frame = FRAME.replace({"model": {"IT": "inferior temporal cortex"}})
    display = ModelComparisonDisplay.from_frame(frame, ceiling=(0.6, 0.7))
    assert display.horizontal_
    np.testing.assert_allclose([b.get_width() for b in display.ax_.containers[0]], frame["score"])
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == list(frame["model"])
    low, high = display.ax_.get_ylim()
    assert low > high  # the first model on top
    band = display.ax_.patches[-1].get_extents().transformed(display.ax_.transData.inverted())
    np.testing.assert_allclose((band.x0, band.x1), (0.6, 0.7))
    assert not ModelComparisonDisplay.from_frame(frame, horizontal=False).horizontal_
    assert ModelComparisonDisplay.from_frame(FRAME, horizontal=True).horizontal_


def test_dots():
    display = ModelComparisonDisplay.from_frame(FRAME, kind="dot")
    (dots,) = [c for c in display.ax_.collections if len(c.get_offsets()) == 4]
    np.testing.assert_allclose(dots.get_offsets()[:, 1], FRAME["score"])
    assert not display.ax_.patches


@pytest.mark.parametrize("horizontal", [False, True])
def test_differences_are_shown_as_wings(horizontal):
    display = ModelComparisonDisplay.from_frame(FRAME, pairwise=PAIRS, horizontal=horizontal)
    # IT surpasses V1 and noise, V4 surpasses V1 and noise; the rest is not significant.
    assert wings(display) == [([2], [0, 3]), ([1], [0, 3])]
    assert "scores higher than ○, p < 0.05" in legend_texts(display)
    strict = ModelComparisonDisplay.from_frame(FRAME, pairwise=PAIRS, alpha=0.01)
    assert wings(strict) == [([2], [0, 3])]
    assert "scores higher than ○, p < 0.01" in legend_texts(strict)


def test_adjusted_values_decide():
    pairs = PAIRS.assign(p_adjusted=[1, 0.01, 1, 1, 1, 1])
    assert wings(ModelComparisonDisplay.from_frame(FRAME, pairwise=pairs)) == [([2], [0])]
    none = ModelComparisonDisplay.from_frame(FRAME, pairwise=PAIRS.assign(p=0.5))
    assert none.wings_ is None
    assert not any("higher" in text for text in legend_texts(none))
    frame = FRAME.assign(p_adjusted=[1, 1, 0.01, 1])
    np.testing.assert_array_equal(stars(ModelComparisonDisplay.from_frame(frame))[:, 0], [2])


@pytest.mark.parametrize("horizontal", [False, True])
def test_twelve_models_stay_readable(horizontal):
    frame, pairs = many(12)
    display = ModelComparisonDisplay.from_frame(frame, pairwise=pairs, horizontal=horizontal)
    assert wings(display) == [([k], list(range(k))) for k in range(11, 0, -1)]
    display.figure_.draw_without_rendering()
    box = display.wings_.get_window_extent()
    dpi = display.figure_.dpi
    room = (box.width if horizontal else box.height) / dpi / 11
    assert room == pytest.approx(0.17)  # inches for each row, whatever the size of the axes
    columns = (box.height if horizontal else box.width) / dpi / 12
    assert columns > 0.12
    along = display.wings_.get_ylim() if horizontal else display.wings_.get_xlim()
    assert along == (display.ax_.get_ylim() if horizontal else display.ax_.get_xlim())
    # Beyond the axes, and all of it in the figure.
    beside = display.ax_.get_window_extent()
    assert box.x0 > beside.x1 if horizontal else box.y0 > beside.y1
    whole = display.figure_.get_tightbbox()
    assert whole.x0 > -0.01 < whole.y0
    assert whole.x1 < display.figure_.get_figwidth() + 0.01
    assert whole.y1 < display.figure_.get_figheight() + 0.01


def test_stars_stand_beyond_what_is_drawn():
    each = {name: [0.0, 0.9] for name in FRAME["model"]}
    display = ModelComparisonDisplay.from_frame(FRAME, each=each)
    places = stars(display)
    np.testing.assert_array_equal(places[:, 0], [1, 2, 3])
    np.testing.assert_allclose(places[:, 1], [0.9, 0.9, -0.3])
    assert "p < 0.05 against 0" in legend_texts(display)
    plain = ModelComparisonDisplay.from_frame(FRAME)
    np.testing.assert_allclose(stars(plain)[:, 1], [0.45, 0.6, -0.3])
    unsure = ModelComparisonDisplay.from_frame(FRAME.assign(p=np.nan))
    assert legend_texts(unsure) == ["interval as given"]


def test_no_star_where_the_interval_holds_zero():
    """A one-sided test may say other than the two-sided interval beside it."""
    frame = FRAME.assign(p=0.001)  # the interval of the first is -0.05 to 0.2
    np.testing.assert_array_equal(stars(ModelComparisonDisplay.from_frame(frame))[:, 0], [1, 2, 3])
    bare = frame.drop(columns=["low", "high"])
    np.testing.assert_array_equal(
        np.sort(stars(ModelComparisonDisplay.from_frame(bare))[:, 0]), range(4)
    )
    none = ModelComparisonDisplay.from_frame(frame.assign(low=-1, high=1))
    assert legend_texts(none) == ["interval as given"]
    edge = ModelComparisonDisplay.from_frame(frame.assign(low=0.0, high=1.0))
    assert not [line for line in edge.ax_.lines if line.get_marker() == "*"]


def test_intervals_and_comparison_are_named():
    display = ModelComparisonDisplay.from_frame(FRAME.drop(columns="p"), level=0.9)
    assert legend_texts(display) == ["90% interval"]
    rng = np.random.default_rng(0)
    models = {name: compute_rdm(rng.normal(size=(12, 6))) for name in "ab"}
    subjects = np.stack([compute_rdm(rng.normal(size=(12, 6))) for _ in range(3)])
    found = bootstrap_rsa(models, subjects, "pearson", n_boot=20, random_state=0)
    display = ModelComparisonDisplay.from_result(found)
    assert "95% interval,\nbootstrap of conditions and subjects" in legend_texts(display)
    assert display.ax_.get_ylabel() == "RSA score (pearson)"
    tested = permutation_test(models, subjects, "cosine", n_permutations=19, random_state=0)
    display = ModelComparisonDisplay.from_result(tested)
    assert display.ax_.get_ylabel() == "RSA score (cosine)"
    assert not any("interval" in text for text in legend_texts(display))
    assert ModelComparisonDisplay.from_result(tested, ylabel="r").ax_.get_ylabel() == "r"


def test_many_models_stand_in_the_order_of_their_scores():
    frame, pairs = many(28)
    frame = frame.sample(frac=1, random_state=0)
    colours = dict(zip(frame["model"], ["red"] + ["blue"] * 27, strict=True))
    display = ModelComparisonDisplay.from_frame(frame, pairwise=pairs, colours=colours)
    assert display.horizontal_
    assert display.models == [f"m{k}" for k in range(27, -1, -1)]
    widths = [bar.get_width() for bar in display.ax_.containers[0]]
    np.testing.assert_allclose(widths, np.arange(27, -1, -1) / 28)
    faces = {
        m: b.get_facecolor()
        for m, b in zip(display.models, display.ax_.containers[0], strict=True)
    }
    assert faces == {model: to_rgba(colour) for model, colour in colours.items()}
    assert wings(display) == [([k], list(range(k + 1, 28))) for k in range(27)]
    display.figure_.draw_without_rendering()
    whole = display.figure_.get_tightbbox()
    assert whole.x0 > -0.01 < whole.y0
    assert whole.x1 < display.figure_.get_figwidth() + 0.01
    texts = [text.get_window_extent() for text in display.ax_.get_yticklabels()]
    assert not any(a.overlaps(b) for a, b in pairwise(texts))
    as_given = ModelComparisonDisplay.from_frame(frame, sort=False)
    assert as_given.models == list(frame["model"])
    columns = ModelComparisonDisplay.from_frame(frame, horizontal=False)
    assert columns.models == list(frame["model"])
    few = ModelComparisonDisplay.from_frame(FRAME, sort=True)
    assert few.models == ["IT", "V4", "V1", "noise"]


def test_groups_have_colours_and_are_named_once():
    names = [f"{model} / {layer}" for model in ("net", "other") for layer in ("conv1", "fc")]
    frame = FRAME.assign(model=names, group=["net", "net", "other", "other"])
    display = ModelComparisonDisplay.from_frame(frame)
    ticks = [tick.get_text() for tick in display.ax_.get_yticklabels()]
    assert ticks == ["net  conv1", "fc", "other  conv1", "fc"]
    faces = [bar.get_facecolor() for bar in display.ax_.containers[0]]
    assert faces[0] == faces[1] != faces[2] == faces[3]
    assert display.models == names


def test_subjects_are_dots():
    each = pd.DataFrame(np.arange(12.0).reshape(3, 4), columns=list(FRAME["model"]))
    display = ModelComparisonDisplay.from_frame(FRAME, each=each[["IT", "V1", "noise", "V4"]])
    dots = [c.get_offsets() for c in display.ax_.collections if len(c.get_offsets()) == 3]
    for k, model in enumerate(FRAME["model"]):
        np.testing.assert_array_equal(dots[k][:, 1], each[model])
        assert (np.abs(dots[k][:, 0] - k) < 0.31).all()
    assert legend_texts(display).count("subject") == 1


def test_ceiling():
    display = ModelComparisonDisplay.from_frame(FRAME, ceiling=([0.5, 0.7], [0.8, 0.9]))
    assert display.ceiling == pytest.approx((0.6, 0.85))
    assert "noise ceiling" in legend_texts(display)
    assert ModelComparisonDisplay.from_frame(FRAME, ceiling=(np.nan, np.nan)).ceiling is None


def test_from_result():
    result = SimpleNamespace(
        to_frame=lambda: FRAME, ceiling=(0.6, 0.7), pairwise=lambda: PAIRS.assign(low=0, high=1)
    )
    display = ModelComparisonDisplay.from_result(result, title="study")
    assert display.ceiling == (0.6, 0.7)
    assert len(wings(display)) == 2
    assert display.ax_.get_title() == "study"

    def refuse():
        raise AssertionError("one model has no pairs")

    one = SimpleNamespace(to_frame=lambda: FRAME[:1], ceiling=None, pairwise=refuse)
    display = ModelComparisonDisplay.from_result(one)
    assert display.models == ["V1"]
    assert display.ceiling is None
    bare = SimpleNamespace(to_frame=lambda: FRAME.set_index("model"))
    assert ModelComparisonDisplay.from_result(bare).models == list(FRAME["model"])


def test_results_of_real_tests():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 6))
    subjects = np.stack([compute_rdm(X + rng.normal(size=X.shape)) for _ in range(4)])
    models = {"same": compute_rdm(X), "other": compute_rdm(rng.normal(size=X.shape))}
    found = bootstrap_rsa(models, subjects, "pearson", n_boot=50, random_state=0)
    display = ModelComparisonDisplay.from_result(found)
    assert display.ceiling == pytest.approx(tuple(found.ceiling))
    drawn = [bar.get_height() for bar in display.ax_.containers[0]]
    np.testing.assert_allclose(drawn, found.scores)
    assert wings(display) == [([0], [1])]
    tested = permutation_test(models, subjects, "pearson", n_permutations=99, random_state=0)
    display = ModelComparisonDisplay.from_result(tested)
    expected = np.flatnonzero(tested.to_frame()["p_adjusted"] < 0.05)
    np.testing.assert_array_equal(stars(display)[:, 0], expected)
    assert 0 in expected
    assert display.ceiling is display.wings_ is None


def test_nan_scores_have_no_bar():
    frame = FRAME.copy()
    frame.loc[1, ["score", "low", "high", "p"]] = np.nan
    display = ModelComparisonDisplay.from_frame(frame)
    heights = [bar.get_height() for bar in display.ax_.containers[0]]
    assert np.isnan(heights[1])
    assert [t.get_text() for t in display.ax_.get_xticklabels()] == list(FRAME["model"])
    np.testing.assert_array_equal(stars(display)[:, 0], [2, 3])


@pytest.mark.parametrize(
    "colours",
    ["red", ["red"] * 4, dict.fromkeys(FRAME["model"], "red")],
)
def test_colours(colours):
    display = ModelComparisonDisplay.from_frame(FRAME, colours=colours)
    faces = {bar.get_facecolor() for bar in display.ax_.containers[0]}
    assert faces == {to_rgba("red")}


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (FRAME.drop(columns="score"), {}, "frame lacks the column.* score"),
        (FRAME[:0], {}, "no rows"),
        (FRAME.drop(columns="low"), {}, "only one of the columns low and high"),
        (FRAME.assign(model="V1"), {}, "same name"),
        (FRAME, {"kind": "violin"}, "kind must be 'bar' or 'dot'"),
        (FRAME, {"alpha": 0}, "alpha must lie between"),
        (FRAME, {"colours": ["red"]}, "colours has 1 entries for 4"),
        (FRAME, {"colours": {"V1": "red"}}, "colours has none for .*V4, IT, noise"),
        (FRAME, {"pairwise": PAIRS.drop(columns="difference")}, "pairwise lacks .*difference"),
        (FRAME, {"pairwise": PAIRS.drop(columns="p")}, "lacks the column p"),
        (FRAME[:3], {"pairwise": PAIRS}, r"pairwise names \['noise'\]"),
        (FRAME, {"each": {"V1": [1, 2]}}, "each lacks the model.* IT, V4, noise"),
        (FRAME, {"ceiling": 0.5}, "ceiling must be a pair"),
    ],
)
def test_errors(frame, options, message):
    with pytest.raises(ValueError, match=message):
        ModelComparisonDisplay.from_frame(frame, **options)
