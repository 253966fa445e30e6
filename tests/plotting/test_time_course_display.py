"""Time courses of layers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skdnn.plotting import TimeCourseDisplay
from skdnn.rsa import temporal_generalization, time_resolved_rsa

LAYERS = ("conv1", "fc8")
TIMES = np.arange(-5, 20) / 100


@pytest.fixture
def result():
    rng = np.random.default_rng(0)
    layers = {name: rng.random(45) for name in LAYERS}
    course = np.where((TIMES > 0.045) & (TIMES < 0.125), 2.0, 0.0)[:, None]
    return time_resolved_rsa(
        layers, course * layers["fc8"] + rng.random((9, len(TIMES), 45)), times=TIMES
    )


def labels(display) -> list[str]:
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def test_lines_bars_and_marks(result, tmp_path) -> None:
    test = result.test(random_state=0)
    peaks = result.peaks(0, random_state=0)
    display = TimeCourseDisplay.from_result(result, test, peaks=peaks, title="courses")
    assert_allclose(display.lines_[1].get_ydata(), result.scores[:, 1].mean(axis=0))
    assert_allclose(display.lines_[1].get_xdata(), TIMES)
    shown = labels(display)
    assert shown[:2] == list(LAYERS)
    assert {"noise ceiling", "95% interval of the mean", "p < 0.05", "onset"} <= set(shown)
    span = test.spans().query("layer == 'fc8'").iloc[0]
    bars = [
        line for line in display.ax_.lines if line.get_linewidth() == 3 and len(line.get_xdata())
    ]
    ends = [tuple(np.round(line.get_xdata(), 3)) for line in bars]
    assert (round(span["start"] - 0.005, 3), round(span["stop"] + 0.005, 3)) in ends
    assert display.ax_.get_title() == "courses"
    assert "spearman" in display.ax_.get_ylabel()
    assert display.save(tmp_path / "course.png") is display


def test_what_is_said_of_the_subjects(result) -> None:
    for spread, name in (("sem", "1 SEM"), ("subjects", "each subject")):
        assert any(
            name in text for text in labels(TimeCourseDisplay.from_result(result, spread=spread))
        )
    plain = TimeCourseDisplay.from_result(result, spread=None, ceiling=False)
    assert labels(plain) == list(LAYERS)
    single = TimeCourseDisplay(result.scores[:1], TIMES, LAYERS).plot()
    assert labels(single) == list(LAYERS)


def test_clusters_have_no_onset(result) -> None:
    display = TimeCourseDisplay.from_result(result, result.test("cluster", random_state=0))
    assert "onset" not in labels(display)
    assert "p < 0.05" in labels(display)


def test_many_layers(result) -> None:
    scores = np.repeat(result.scores, 15, axis=1)
    display = TimeCourseDisplay(scores, TIMES, [f"layer {k}" for k in range(30)]).plot()
    shown = [text for text in labels(display) if text.startswith("layer")]
    assert len(display.lines_) == 30
    assert len(shown) == 9
    assert {"layer 0", "layer 29"} <= set(shown)
    colours = {line.get_color() for line in display.lines_}
    assert len(colours) == 30


def test_generalization() -> None:
    movie = np.random.default_rng(0).random((3, 6, 45))
    found = temporal_generalization(movie, times=np.arange(6) / 10 - 0.2)
    display = TimeCourseDisplay.from_generalization(found, title="others")
    drawn = np.asarray(display.image_.get_array()).reshape(6, 6)
    assert_allclose(drawn, found.mean.to_numpy())
    assert "other subjects" in display.ax_.get_xlabel()
    own = temporal_generalization(movie[0])
    display = TimeCourseDisplay.from_generalization(own)
    assert display.image_.get_clim()[1] < 0.999  # not the ones on the diagonal


def test_what_is_refused(result) -> None:
    with pytest.raises(ValueError, match="3 layers"):
        TimeCourseDisplay(result.scores, TIMES, ["a", "b", "c"])
    with pytest.raises(ValueError, match="ceilings has shape"):
        TimeCourseDisplay(result.scores, TIMES, LAYERS, ceilings=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="spread='sd'"):
        TimeCourseDisplay.from_result(result, spread="sd")
    with pytest.raises(ValueError, match="none of the layers"):
        TimeCourseDisplay.from_result(result, result.test(pairs=[LAYERS]))
    with pytest.raises(ValueError, match="peaks lacks the column"):
        TimeCourseDisplay.from_result(result, peaks=result.peaks().drop(columns="low"))
    with pytest.raises(ValueError, match="1 entries for 2 layers"):
        TimeCourseDisplay.from_result(result, colours=["red"])
