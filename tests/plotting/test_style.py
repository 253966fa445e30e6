"""What all pictures share, and what a notebook shows of them."""

import sys
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np

from skdnn.plotting import LayerScoresDisplay, RDMDisplay


def test_the_style_does_not_leak():
    before = dict(mpl.rcParams)
    display = LayerScoresDisplay.from_scores({"conv1": [0.1, 0.2]}, title="one")
    assert dict(mpl.rcParams) == before
    with mpl.rc_context({"axes.titlesize": 30, "xtick.labelsize": 30, "legend.frameon": True}):
        other = LayerScoresDisplay.from_scores(
            {"conv1": [0.1, 0.2]}, title="one", reference={"a": 0.1}
        )
        other.figure_.draw_without_rendering()
    display.figure_.draw_without_rendering()
    for first, second in (
        (display.ax_.title, other.ax_.title),
        (display.ax_.get_yticklabels()[0], other.ax_.get_yticklabels()[0]),
    ):
        assert first.get_size() == second.get_size() < 12
    assert not other.ax_.get_legend().get_frame_on()


def test_letters_stay_letters(tmp_path):
    path = tmp_path / "rdm.svg"
    RDMDisplay.from_rdm(1 - np.eye(3), title="a title").save(path)
    assert "a title</text>" in path.read_text(encoding="utf-8")


def test_a_notebook_shows_no_line_of_text(monkeypatch):
    """IPython asks for this method first, and prints nothing besides where there is one."""
    import matplotlib.pyplot as plt

    shown = []
    ipython = SimpleNamespace(display=shown.append)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=ipython))
    monkeypatch.setitem(sys.modules, "IPython.display", ipython)
    display = RDMDisplay.from_rdm(1 - np.eye(3))
    display._ipython_display_()
    assert shown == []  # pyplot shows what is open at the end of a cell
    number = display.figure_.number
    plt.close(display.figure_)
    other = plt.figure(number)  # the number of a closed figure is given again
    display._ipython_display_()
    assert shown == [display.figure_]
    assert plt.gcf() is other
    RDMDisplay(1 - np.eye(3))._ipython_display_()  # nothing drawn, nothing shown
    assert len(shown) == 1
