"""What data sets look like in a shell and in a notebook."""

import copy
import pickle

import pytest
from PIL import Image
from sklearn.utils import Bunch

from skdnn.datasets import load_image_folder


@pytest.fixture
def folder(tmp_path):
    for name in [*(f"cat/{k}.png" for k in range(90)), *(f"dog/{k}.png" for k in range(50))]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (5, 4)).save(tmp_path / name)
    return tmp_path


def test_a_folder_of_many_images_is_a_card(folder):
    images = load_image_folder(folder)
    lines = repr(images).splitlines()
    assert len(lines) == 4
    assert (
        f"paths: 140, from {folder / 'cat' / '0.png'} to {folder / 'dog' / '49.png'}" in lines[1]
    )
    assert "target: ndarray of shape (140,)" in lines[2]
    assert "cat" in lines[3]
    html = images._repr_html_()
    assert html.count("<tr>") < 9
    for text in ("140", ">cat<", ">90<", ">dog<", ">50<"):
        assert text in html


def test_a_folder_without_classes(folder):
    images = load_image_folder(folder / "cat")
    assert "target" not in repr(images)
    assert "from" in repr(images)
    assert ">90, from" in images._repr_html_()


def test_it_is_a_bunch_like_all_others(folder):
    images = load_image_folder(folder)
    assert isinstance(images, Bunch)
    for twin in (copy.copy(images), pickle.loads(pickle.dumps(images))):
        assert twin.paths == images["paths"]
        assert repr(twin) == repr(images)


def test_names_are_escaped(folder):
    (folder / "cat").rename(folder / "<b>")
    assert "<b>" not in load_image_folder(folder)._repr_html_()
    assert "&lt;b&gt;" in load_image_folder(folder)._repr_html_()


def test_the_92_images(kriegeskorte92):
    assert len(repr(kriegeskorte92).splitlines()) < 12
    assert "human_it: DataFrame of shape (92, 92)" in repr(kriegeskorte92)
