"""What all pictures share, and what a notebook shows of them."""

from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest

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


@pytest.fixture
def shown(monkeypatch):
    """What IPython was asked to display, as a list of dictionaries."""
    pytest.importorskip("IPython")
    from IPython.core.formatters import DisplayFormatter

    displayed = []
    shell = SimpleNamespace(display_formatter=DisplayFormatter())
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    monkeypatch.setattr("IPython.display.display", lambda data, **_: displayed.append(data))
    return displayed


def test_a_notebook_shows_pictures_once_and_no_line_of_text(shown, monkeypatch):
    """IPython asks for this method first, and prints nothing besides where there is one."""
    import matplotlib.pyplot as plt

    monkeypatch.setitem(mpl.rcParams, "interactive", True)
    display = RDMDisplay.from_rdm(1 - np.eye(3))
    display._ipython_display_()
    assert shown == []  # pyplot shows what is open at the end of a cell
    number = display.figure_.number
    plt.close(display.figure_)
    other = plt.figure(number)  # the number of a closed figure is given again
    display._ipython_display_()
    assert shown[0]["image/png"].startswith(b"\x89PNG")
    assert plt.gcf() is other


def test_pictures_are_shown_where_pyplot_shows_none(shown):
    """E.g. with MPLBACKEND=agg in the environment."""
    assert not mpl.is_interactive()
    RDMDisplay.from_rdm(1 - np.eye(3))._ipython_display_()
    assert [data.keys() for data in shown] == [{"text/plain", "image/png"}]


def test_a_display_without_a_picture_says_so(capsys):
    RDMDisplay(1 - np.eye(3))._ipython_display_()
    assert capsys.readouterr().out == "RDMDisplay: not drawn yet, plot() draws it\n"


def test_what_the_first_figure_sets_stays(monkeypatch):
    """A notebook's backend turns interaction on when it is loaded; off, no cell has a picture."""
    import matplotlib.pyplot as plt

    subplots = plt.subplots

    def load(*args, **options):
        mpl.interactive(True)
        return subplots(*args, **options)

    monkeypatch.setattr(plt, "subplots", load)
    try:
        LayerScoresDisplay.from_scores({"conv1": [0.1, 0.2]})
        assert mpl.is_interactive()
    finally:
        mpl.interactive(False)
