import importlib.util

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skdnn import DNNFeatureExtractor
from skdnn.models import Model, Preprocessing
from skdnn.plotting import InputsDisplay
from skdnn.plotting._inputs import _crop_box

from_extractor = InputsDisplay.from_extractor
with_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="tensorflow is not installed"
)


def titles(display):
    """Of original and input, the multiplication sign written as x."""
    return [
        tuple(ax.get_title().replace("\N{MULTIPLICATION SIGN}", "x") for ax in pair)
        for pair in display.axes_
    ]


def test_what_is_drawn_is_what_the_network_is_fed(image_paths):
    """The network itself says what it got; mean and deviation undone by hand."""
    seen = []

    class Witness(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Flatten()

        def forward(self, batch):
            if not batch.is_meta:
                seen.append(batch.clone())
            return self.layer(batch)

    mean, std = (0.3, 0.5, 0.6), (0.2, 0.3, 0.1)
    model = Model(Witness(), {"resize": 64, "crop": 48, "mean": mean, "std": std})
    extractor = DNNFeatureExtractor(model, "layer")
    extractor.fit_transform(image_paths)
    fed = seen[-1][: len(image_paths)].numpy().astype(np.float64)
    undone = np.moveaxis(fed, 1, -1) * std + mean
    display = from_extractor(extractor, image_paths, n_images=99)
    assert len(display.inputs) == len(image_paths)
    for shown, expected, values in zip(display.inputs, undone, fed, strict=True):
        np.testing.assert_array_equal(shown.picture, np.rint(255 * expected))
        np.testing.assert_allclose([shown.low, shown.high], [values.min(), values.max()])
        assert shown.exact
    drawn = display.axes_[2][1].images[0].get_array()
    np.testing.assert_array_equal(drawn, display.inputs[2].picture)


@settings(deadline=None, max_examples=40)
@given(
    width=st.integers(20, 200),
    height=st.integers(20, 200),
    resize=st.one_of(st.none(), st.integers(20, 90), st.tuples(*[st.integers(20, 90)] * 2)),
    crop=st.one_of(st.none(), st.integers(5, 20), st.tuples(*[st.integers(5, 20)] * 2)),
)
def test_the_frame_is_where_the_pixels_come_from(width, height, resize, crop):
    """An image whose colours are its coordinates: what the crop holds says where it was."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    image = Image.fromarray(np.stack([x, y, 0 * x], axis=-1).astype(np.uint8))
    preprocess = Preprocessing(resize=resize, crop=crop, interpolation="nearest")
    pixels = preprocess.pixels(image)
    left, top, right, bottom = _crop_box((width, height), preprocess)
    step_x, step_y = (right - left) / pixels.shape[1], (bottom - top) / pixels.shape[0]
    np.testing.assert_allclose(
        pixels[0, :, 0] + 0.5, left + step_x * (np.arange(pixels.shape[1]) + 0.5), atol=1.01
    )
    np.testing.assert_allclose(
        pixels[:, 0, 1] + 0.5, top + step_y * (np.arange(pixels.shape[0]) + 0.5), atol=1.01
    )


@pytest.mark.parametrize(("width", "height"), [(30, 91), (92, 30), (31, 30)])
def test_a_crop_beyond_the_edge(width, height):
    """Torchvision pads with black; the frame reaches as far beyond the image as the black."""
    image = Image.new("RGB", (width, height), (255, 255, 255))
    preprocess = Preprocessing(resize=None, crop=50)
    inside = preprocess.pixels(image)[..., 0] > 0
    left, top, right, bottom = _crop_box((width, height), preprocess)
    for start, end, length, axis in ((left, right, width, 0), (top, bottom, height, 1)):
        places = np.flatnonzero(inside.any(axis=axis))
        assert places[0] == max(0, -start)
        assert 49 - places[-1] == max(0, end - length)


def test_frames_and_captions(image_paths):
    kinds = ["cat", "dog", "saw"]
    display = from_extractor(DNNFeatureExtractor("alexnet"), image_paths[:3], labels=kinds)
    assert titles(display) == [
        ("cat\nimg1.jpg\n56 x 40", "input\n224 x 224"),
        ("dog\nimg2.png\n44 x 62", "input\n224 x 224"),
        ("saw\nimg3.bmp\n70 x 48", "input\n224 x 224"),
    ]
    scale = 40 / 256  # of img1, whose shorter side becomes 256 pixels long
    wide = int(256 * 56 / 40)
    left = round((wide - 224) / 2) * 56 / wide
    expected = (left, 16 * scale, left + 224 * 56 / wide, 240 * scale)
    np.testing.assert_allclose(display.inputs[0].box, expected)
    frame = display.axes_[0][0].patches[-1]
    np.testing.assert_allclose(frame.get_bbox().extents, expected)
    assert display.axes_[0][1].get_xlabel().startswith("values -")
    assert display.figure_.get_suptitle() == "What torchvision/alexnet sees"


def test_no_frame_around_the_whole_image(image_paths):
    extractor = DNNFeatureExtractor("alexnet", preprocess={"resize": (60, 80), "crop": None})
    display = from_extractor(extractor, image_paths[:2], title="all of it")
    assert not any(ax.patches for ax, _ in display.axes_)
    assert display.inputs[0].picture.shape == (60, 80, 3)
    assert titles(display)[0][1] == "input\n80 x 60"
    assert display.figure_.get_suptitle() == "all of it"


def test_which_images(image_paths):
    extractor = DNNFeatureExtractor("alexnet")

    def names(**options):
        display = from_extractor(extractor, image_paths, labels=range(9), **options)
        return [int(shown.caption.split("\n")[0]) for shown in display.inputs]

    assert names() == [0, 1, 2, 3, 5, 6, 7, 8]
    assert names(n_images=3) == [0, 4, 8]
    assert names(n_images=9) == names(n_images=20) == list(range(9))
    drawn = names(n_images=4, random_state=1)
    assert drawn == sorted(set(drawn)) == names(n_images=4, random_state=1)
    assert any(names(n_images=4, random_state=seed) != drawn for seed in (2, 3))


def test_grid(image_paths):
    display = from_extractor(DNNFeatureExtractor("alexnet"), image_paths[:3], n_columns=2)
    assert len(display.figure_.axes) == 6
    rows = [pair[0].get_subplotspec().rowspan.start for pair in display.axes_]
    columns = [pair[0].get_subplotspec().colspan.start for pair in display.axes_]
    assert (rows, columns) == ([0, 0, 1], [0, 2, 0])
    for left, right in display.axes_:
        places = [ax.get_subplotspec().colspan.start for ax in (left, right)]
        assert places[1] == places[0] + 1


def test_images_in_memory_and_conditions(pictures, image_paths):
    extractor = DNNFeatureExtractor("alexnet")
    display = from_extractor(extractor, pictures[3:5])
    assert titles(display)[0][0] == "X[0]\n51 x 55"
    assert (display.inputs[0].picture == (3, 3, 3)).all()
    several = from_extractor(extractor, [image_paths[:3], image_paths[3:]], labels=["a", "b"])
    assert [shown.caption for shown in several.inputs] == ["a\nimg1.jpg", "b\nimg4.gif"]


def test_greyscale_is_seen_as_rgb(tmp_path):
    path = tmp_path / "grey.png"
    Image.new("L", (300, 300), 77).save(path)
    (shown,) = from_extractor(DNNFeatureExtractor("alexnet"), [path]).inputs
    assert (shown.picture == 77).all()
    assert shown.original.shape == (300, 300, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_ones_own_function_is_stretched_and_noted(image_paths, channels):
    def prepare(image):
        values = np.asarray(image.resize((30, 20)), dtype=np.float32) / 7 - 5
        return torch.as_tensor(np.moveaxis(values[..., :channels], -1, 0))

    extractor = DNNFeatureExtractor("alexnet", preprocess=prepare)
    display = from_extractor(extractor, image_paths[:2])
    for shown, path in zip(display.inputs, image_paths, strict=False):
        values = np.moveaxis(prepare(Image.open(path).convert("RGB")).numpy(), 0, -1)
        scaled = 255 * (values - values.min()) / np.ptp(values)
        np.testing.assert_allclose(shown.picture, np.broadcast_to(scaled, (20, 30, 3)), atol=0.51)
        assert shown.box is None
    assert titles(display)[0][1] == "input*\n30 x 20"
    assert "stretched" in display.axes_[0][1].get_xlabel()


def test_constant_input_of_ones_own_function(image_paths):
    extractor = DNNFeatureExtractor("alexnet", preprocess=lambda image: torch.ones(3, 8, 9))
    (shown,) = from_extractor(extractor, image_paths[:1]).inputs
    assert (shown.picture == 0).all()


@with_tensorflow
@pytest.mark.parametrize(
    ("model", "low", "high"),
    [
        ("keras/VGG16", -124, 152),  # "caffe": BGR less the mean
        ("keras/MobileNetV2", -1, 1),  # "tf"
        ("keras/DenseNet121", -2.2, 2.7),  # "torch"
        ("keras/EfficientNetB0", 0, 255),  # nothing
    ],
)
def test_keras(model, low, high, image_paths):
    extractor = DNNFeatureExtractor(model, weights=None)
    display = from_extractor(extractor, image_paths[:2])
    for shown, path in zip(display.inputs, image_paths, strict=False):
        pixels = np.asarray(Image.open(path).convert("RGB").resize((224, 224), Image.BILINEAR))
        np.testing.assert_array_equal(shown.picture, pixels)
        assert low <= shown.low < shown.high <= high
    assert not display.axes_[0][0].patches  # the whole image, out of proportion
    changed = extractor.set_params(preprocess={"resize": 64, "crop": 40, "mean": [0.1, 0.2, 0.3]})
    (shown,) = from_extractor(changed, image_paths[:1]).inputs
    assert shown.picture.shape == (40, 40, 3)
    assert shown.box == pytest.approx(_crop_box((56, 40), Preprocessing(64, 40)))


def test_pipelines_and_others(image_paths):
    pipe = make_pipeline(DNNFeatureExtractor("alexnet"), StandardScaler())
    assert len(from_extractor(pipe, image_paths[:2]).inputs) == 2
    with pytest.raises(TypeError, match="got StandardScaler"):
        from_extractor(StandardScaler(), image_paths)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ["a"]}, "labels has 1 entries for 3 images"),
        ({"n_images": 0}, "n_images must be at least 1"),
        ({"n_columns": 0}, "n_columns must be at least 1"),
    ],
)
def test_wrong_options(image_paths, options, message):
    with pytest.raises(ValueError, match=message):
        from_extractor(DNNFeatureExtractor("alexnet"), image_paths[:3], **options)


def test_what_cannot_be_drawn(image_paths):
    with pytest.raises(ValueError, match="inputs is empty"):
        InputsDisplay([])
    flat = DNNFeatureExtractor("alexnet", preprocess=lambda image: torch.zeros(7))
    with pytest.raises(ValueError, match=r"shape \(7,\) of .*img1\.jpg"):
        from_extractor(flat, image_paths[:1])
    with pytest.raises((ValueError, OSError), match="nowhere"):
        from_extractor(DNNFeatureExtractor("alexnet"), ["nowhere.png"])


def test_long_names_are_cut(tmp_path, image_paths):
    path = tmp_path / ("a" * 40 + "_the_end.png")
    Image.open(image_paths[1]).save(path)
    display = from_extractor(DNNFeatureExtractor("alexnet"), [path])
    first = titles(display)[0][0].split("\n")[0]
    assert len(first) == 32
    assert first.endswith("_the_end.png")
    assert first.startswith("aaa")


@pytest.mark.parametrize("n_columns", [1, 2, 3])
def test_nothing_that_is_written_collides(n_columns, tmp_path):
    """Titles, captions and values of all rows, with labels of two lines and one's own function."""
    images = np.random.default_rng(0).integers(0, 256, (7, 40, 60, 3), dtype=np.uint8)
    extractor = DNNFeatureExtractor(
        "alexnet", weights=None, preprocess=lambda image: np.ones((3, 20, 30))
    )
    display = from_extractor(
        extractor, images, labels=["a long label of it"] * 7, n_columns=n_columns
    )
    display.figure_.draw_without_rendering()
    texts = [text for pair in display.axes_ for ax in pair for text in (ax.title, ax.xaxis.label)]
    texts += [display.figure_._suptitle, display.figure_._supxlabel]
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    boxes += [ax.get_window_extent() for pair in display.axes_ for ax in pair]
    assert len(boxes) == 14 + 7 + 2 + 14
    for k, box in enumerate(boxes):
        assert not [other for other in boxes[k + 1 :] if box.overlaps(other)]
