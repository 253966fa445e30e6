"""What all displays share: files in four formats, and figures of one's own."""

import os

import numpy as np
import pandas as pd
import pytest

from skdnn.plotting import LayerScoresDisplay, MDSDisplay, ModelComparisonDisplay, RDMDisplay


def draw(kind, **options):
    rdm = 1 - np.eye(4)
    if kind == "rdm":
        return RDMDisplay.from_rdm(rdm, **options)
    if kind == "mds":
        return MDSDisplay.from_rdm(rdm, **options)
    if kind == "layers":
        return LayerScoresDisplay.from_scores({"a": [0.1, 0.2]}, **options)
    frame = pd.DataFrame({"model": ["a", "b"], "score": [0.1, 0.3]})
    return ModelComparisonDisplay.from_frame(frame, **options)


KINDS = ["rdm", "mds", "layers", "models"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", ["png", "jpg", "JPEG", "svg", "pdf"])
def test_files_of_each_format(kind, ending, tmp_path):
    from PIL import Image

    display = draw(kind)
    path = tmp_path / f"picture.{ending}"
    assert display.save(path, dpi=60) is display
    assert os.listdir(tmp_path) == [path.name]
    if ending == "pdf":
        assert path.read_bytes().startswith(b"%PDF")
    elif ending == "svg":
        assert "</svg>" in path.read_text(encoding="utf-8")
    else:
        with Image.open(path) as image:
            image.load()
            width, height = display.figure_.get_size_inches() * 60
            assert image.size == (int(width + 1e-6), int(height + 1e-6))


def test_the_size_in_dots(tmp_path):
    import matplotlib.image

    path = tmp_path / "rdm.png"
    RDMDisplay.from_rdm(np.ones((9, 9)), labels=list("abcdefghi")).save(path, dpi=50)
    assert matplotlib.image.imread(path).shape[:2] == (230, 270)


@pytest.mark.parametrize("name", ["picture.gif", "picture", "picture.tif", "png"])
def test_other_formats_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match=r"saved as \.png, \.jpg, \.svg or \.pdf"):
        draw("rdm").save(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_nothing_to_save(tmp_path):
    with pytest.raises(ValueError, match="call plot"):
        RDMDisplay(np.ones((3, 3))).save(tmp_path / "rdm.png")
    with pytest.raises(FileNotFoundError, match=r"folder .*absent.* does not exist"):
        draw("rdm").save(tmp_path / "absent" / "rdm.png")


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "rdm.png"
    display = draw("rdm").save(path, dpi=30)
    before = path.read_bytes()

    def fail(*args, **options):
        raise OSError("disk full")

    monkeypatch.setattr("skdnn.plotting._display.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        display.save(path, dpi=60)
    monkeypatch.setattr(type(display.figure_), "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        display.save(path, dpi=60)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["rdm.png"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_of_ones_own(kind):
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2)
    n_figures = len(plt.get_fignums())
    display = draw(kind, ax=right, title="here")
    assert display.ax_ is right
    assert display.figure_ is figure
    assert right.get_title() == "here"
    assert not left.has_data()
    assert len(plt.get_fignums()) == n_figures


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_without_pyplot(kind, tmp_path):
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    draw(kind, ax=figure.subplots()).save(tmp_path / "picture.png", dpi=30)
    assert (tmp_path / "picture.png").stat().st_size > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("title", ["a title", None])
def test_nothing_is_cut(kind, title):
    """All that is drawn lies within the figure."""
    display = draw(kind, title=title)
    figure = display.figure_
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 >= -0.01
    assert box.y0 >= -0.01
    assert box.x1 <= width + 0.01
    assert box.y1 <= height + 0.01


@pytest.mark.parametrize(
    "options",
    [{"images": True}, {"order": "cluster", "dendrogram": True, "title": "a title"},
     {"images": True, "order": "cluster", "dendrogram": True, "title": "a title"},
     {"images": True, "groups": ["a long name of a group"] * 5 + ["another long name"] * 4},
     {"labels": [f"a long name of a condition {k}" for k in range(9)]}],
)  # fmt: skip
@pytest.mark.parametrize("n", [1, 3])
def test_nothing_around_an_rdm_is_cut(rdm, pictures, options, n):
    options = options | ({"images": pictures} if "images" in options else {})
    if n == 1:
        figure = RDMDisplay.from_rdm(rdm, **options).figure_
    else:
        options.pop("title", None)
        figure = RDMDisplay.from_rdms({str(k): rdm for k in range(n)}, **options).figure_
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 >= -0.01
    assert box.y0 >= -0.01
    assert box.x1 <= width + 0.01
    assert box.y1 <= height + 0.01
