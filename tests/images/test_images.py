"""Listing, checking and reading images."""

from __future__ import annotations

import io
import os
import pickle
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image, ImageFile, ImageOps

from skdnn._images import (
    BACKGROUND,
    EXTENSIONS,
    ImageReadError,
    _check_files,
    _decode_with_pillow,
    as_image_inputs,
    check_images,
    list_images,
    natural_key,
    read_image,
)


def picture(width: int = 56, height: int = 40, seed: int = 0) -> np.ndarray:
    """Smooth colours with some noise, so that files are not tiny."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    waves = np.stack([np.sin(3 * x + 2 * y), np.cos(4 * y - x), np.sin(5 * x * y)], axis=2)
    return np.clip(127 + 90 * waves + rng.normal(0, 8, waves.shape), 0, 255).astype(np.uint8)


RGB = Image.fromarray(picture())


def encoded(image: Image.Image = RGB, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def with_thumbnail() -> bytes:
    """A JPEG whose EXIF segment holds a whole JPEG with an end marker of its own."""
    thumbnail = encoded(RGB.resize((28, 20)), format="JPEG")
    segment = b"Exif\0\0" + thumbnail
    data = encoded(format="JPEG", quality=95)
    return data[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:]


def frames() -> list[Image.Image]:
    return [Image.fromarray(picture(seed=i)) for i in range(3)]


FILES = {
    "baseline.jpg": lambda: encoded(format="JPEG", quality=90),
    "progressive.jpg": lambda: encoded(format="JPEG", progressive=True),
    "restarts.jpg": lambda: encoded(format="JPEG", restart_marker_blocks=2),
    "grey.jpg": lambda: encoded(RGB.convert("L"), format="JPEG"),
    "cmyk.jpg": lambda: encoded(RGB.convert("CMYK"), format="JPEG"),
    "thumbnail.jpg": with_thumbnail,
    "two.jpg": lambda: encoded(
        frames()[0], format="MPO", save_all=True, append_images=frames()[1:2]
    ),
    "plain.png": lambda: encoded(format="PNG"),
    "palette.png": lambda: encoded(RGB.quantize(16), format="PNG"),
    "animated.png": lambda: encoded(
        frames()[0], format="PNG", save_all=True, append_images=frames()[1:]
    ),
    "plain.gif": lambda: encoded(format="GIF"),
    "interlaced.gif": lambda: encoded(format="GIF", interlace=1),
    "animated.gif": lambda: encoded(
        frames()[0], format="GIF", save_all=True, append_images=frames()[1:], comment=b"x" * 300
    ),
    "lossy.webp": lambda: encoded(format="WEBP"),
    "lossless.webp": lambda: encoded(format="WEBP", lossless=True),
    "animated.webp": lambda: encoded(
        frames()[0], format="WEBP", save_all=True, append_images=frames()[1:]
    ),
    "plain.bmp": lambda: encoded(format="BMP"),
    "grey.bmp": lambda: encoded(RGB.convert("L"), format="BMP"),
    "raw.tif": lambda: encoded(format="TIFF"),
    "lzw.tif": lambda: encoded(format="TIFF", compression="tiff_lzw"),
    "deflate.tif": lambda: encoded(format="TIFF", compression="tiff_adobe_deflate"),
    "jpeg.tif": lambda: encoded(format="TIFF", compression="jpeg"),
    "big.tif": lambda: encoded(format="TIFF", big_tiff=True),
    "pages.tiff": lambda: encoded(
        frames()[0], format="TIFF", save_all=True, append_images=frames()[1:]
    ),
}


def write(folder: Path, name: str, data: bytes) -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


def fault_of(path: str) -> str | None:
    try:
        check_images(as_image_inputs([path]))
    except ValueError as error:
        return str(error).partition("\n")[2]
    return None


def pillow_pixels(path: str) -> np.ndarray | None:
    """What Pillow itself makes of a file, None if it cannot."""
    try:
        with Image.open(path) as image:
            image.load()
            return np.asarray(image.convert("RGBA"))
    except Exception:
        return None


# --- as_image_inputs -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        list,
        tuple,
        lambda p: [Path(x) for x in p],
        np.array,
        lambda p: np.array(p)[:, None],
        lambda p: np.array([Path(x) for x in p], dtype=object),
        pd.Series,
        lambda p: pd.Series([Path(x) for x in p], index=[7, 3, 5]),
        pd.Index,
        lambda p: pd.DataFrame({"stimulus": p}),
        lambda p: pd.Series(p, dtype="category"),
    ],
)
def test_every_container_of_paths(make):
    paths = ["b/2.png", "a/1.png", "b/2.png"]
    inputs = as_image_inputs(make(paths))
    assert inputs.items == inputs.names == paths
    assert all(type(item) is str for item in inputs.items)
    assert len(inputs) == 3
    assert all(inputs.has_name)


def test_images_in_memory():
    arrays = [picture(5, 4), picture(6, 7)[:, :, 0], np.dstack([picture(3, 8), picture(3, 8)])]
    X = [arrays[0], RGB, arrays[1], arrays[2][:, :, :4], "a.png"]
    inputs = as_image_inputs(X)
    assert all(a is b for a, b in zip(inputs.items, X, strict=True))
    assert inputs.names == ["X[0]", "X[1]", "X[2]", "X[3]", "a.png"]
    assert not all(inputs.has_name)


def test_stack_of_images():
    stack = np.stack([picture(5, 4, seed) for seed in range(3)])
    inputs = as_image_inputs(stack)
    assert inputs.names == ["X[0]", "X[1]", "X[2]"]
    for item, expected in zip(inputs.items, stack, strict=True):
        np.testing.assert_array_equal(item, expected)


def test_inputs_are_frozen():
    inputs = as_image_inputs(["a.png"])
    with pytest.raises(AttributeError):
        inputs.names = []


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ("a.png", TypeError, "give a list of paths"),
        (Path("a.png"), TypeError, "give a list of paths"),
        (np.array("a.png"), TypeError, "give a list of paths"),
        (RGB, TypeError, "give a list of images"),
        ({"a.png"}, TypeError, "list, tuple, numpy array.* got set"),
        ({"a": "a.png"}, TypeError, "got dict"),
        ((x for x in ["a.png"]), TypeError, "got generator"),
        (None, TypeError, "got NoneType"),
        ([], ValueError, "X is empty"),
        (np.array([], dtype=str), ValueError, "X is empty"),
        (pd.DataFrame({"a": ["1"], "b": ["2"]}), ValueError, "DataFrame of 2 columns"),
        (["a.png", None], TypeError, r"X\[1\] is None"),
        (pd.Series(["a.png", np.nan], dtype=object), TypeError, r"X\[1\] is nan"),
        (["a.png", ""], ValueError, r"X\[1\] is ''"),
        ([["a.png"]], TypeError, r"X\[0\] is \['a.png'\] of type list"),
        ([b"a.png"], TypeError, r"X\[0\] .* bytes"),
        ([np.zeros((4, 5, 3))], ValueError, r"X\[0\] .*float64: uint8 with values 0-255"),
        ([np.zeros((4, 5, 2), np.uint8)], ValueError, r"X\[0\] .*shape \(4, 5, 2\)"),
        ([np.zeros((0, 5, 3), np.uint8)], ValueError, r"X\[0\] .*shape \(0, 5, 3\)"),
        ([picture(), np.zeros(5, np.uint8)], ValueError, r"X\[1\] .*shape \(5,\)"),
        (np.zeros((2, 4, 5, 3), np.float32), ValueError, "X is an array of dtype float32: uint8"),
        (np.zeros((4, 5, 3), np.uint8), ValueError, r"numeric array of shape \(4, 5, 3\)"),
        (np.zeros((2, 3, 4, 5), np.uint8), ValueError, r"shape \(2, 3, 4, 5\).*\(n, H, W, 3\)"),
    ],
)
def test_wrong_inputs(X, error, message):
    with pytest.raises(error, match=message):
        as_image_inputs(X)


def test_paths_need_no_pil():
    code = (
        "import sys, skdnn._images as i; i.as_image_inputs(['a.png']); "
        "print(sorted({'PIL', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


# --- check_images ----------------------------------------------------------------------------


def test_good_files_pass(image_paths):
    check_images(as_image_inputs(image_paths))
    check_images(as_image_inputs([RGB, picture()]))


@pytest.mark.parametrize("name", FILES)
def test_whole_files_pass_without_decoding(name, tmp_path, monkeypatch):
    def refuse(*args: object) -> None:
        raise AssertionError("check_images decoded a good file")

    monkeypatch.setattr(_check_files, "load", refuse)
    assert fault_of(write(tmp_path, name, FILES[name]())) is None


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "tail", [b"\0" * 5000, b"ftypmp42" + bytes(range(256)) * 40], ids=["zeros", "MP4"]
)
def test_bytes_behind_the_end_are_allowed(name, tail, tmp_path):
    path = write(tmp_path, name, FILES[name]() + tail)
    assert pillow_pixels(path) is not None
    assert fault_of(path) is None


@pytest.mark.parametrize("name", FILES)
def test_cut_files_are_found_and_no_others(name, tmp_path):
    data = FILES[name]()
    whole = pillow_pixels(write(tmp_path, name, data))
    ends = {*np.linspace(1, len(data) - 1, 40).astype(int), *range(len(data) - 30, len(data))}
    found = 0
    for end in ends:
        path = write(tmp_path, name, data[:end])
        decoded = pillow_pixels(path)
        if fault_of(path) is None:
            assert decoded is not None, f"cut at {end} of {len(data)} was not found"
            np.testing.assert_array_equal(decoded, whole)
        else:
            assert decoded is None, f"cut at {end} of {len(data)} can be read"
            found += 1
            with pytest.raises(ImageReadError, match=name):
                read_image(path)
    assert found > 10


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.sampled_from(sorted(FILES)), data=st.data())
def test_no_readable_file_is_refused(name, data, tmp_path):
    content = bytearray(FILES[name]())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(1, len(content)))]
    path = write(tmp_path, name, bytes(content) + data.draw(st.binary(max_size=20)))
    with Image.open(path) if pillow_pixels(path) is not None else io.BytesIO() as image:
        readable = getattr(image, "format", None) in {*_decode_with_pillow._FORMATS, "MPO"} - {
            "EPS"
        }
    if readable:
        assert fault_of(path) is None
        assert read_image(path).mode == "RGB"


def test_half_a_photograph_with_a_thumbnail_is_found(tmp_path):
    data = with_thumbnail()
    end = data.index(b"\xff\xd9") + 2  # right behind the thumbnail's own end marker
    path = write(tmp_path, "half.jpg", data[: (end + len(data)) // 2])
    assert "cut off" in str(fault_of(path))


def test_all_faults_in_one_error(tmp_path, image_paths):
    jpeg = FILES["baseline.jpg"]()
    bad = {
        write(tmp_path, "empty.png", b""): "empty (0 bytes)",
        write(tmp_path, "text.png", b"no image at all"): "not an image of a known format",
        write(tmp_path, "half.jpg", jpeg[: len(jpeg) // 2]): "cut off",
        write(tmp_path, "head.jpg", jpeg[:10]): "starts like JPEG, but its header is cut off",
        write(tmp_path, "other.png", b"P6 2 2 255 " + bytes(12)): "not an image of a known format",
        str(tmp_path / "gone.png"): "missing",
        str(tmp_path): "folder",
        "'null\\x00.png'": "missing",
    }
    given = [path if "null" not in path else "null\0.png" for path in bad]
    X = [*image_paths, *given, *given]
    with pytest.raises(ValueError, match="8 of 17 image files cannot be used") as caught:
        check_images(as_image_inputs(X))
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 8
    for line, (path, reason) in zip(lines, bad.items(), strict=True):
        assert line.startswith(f"  {path}: ")
        assert reason in line


def test_first_twenty_and_a_count():
    X = [f"missing{i}.png" for i in range(25)]
    with pytest.raises(ValueError, match=r"25 of 25.*") as caught:
        check_images(as_image_inputs(X), n_threads=2)
    lines = str(caught.value).splitlines()
    assert len(lines) == 22
    assert lines[-1] == "  ... and 5 more"


def test_each_file_is_looked_at_once(monkeypatch, image_paths):
    seen: list[str] = []
    monkeypatch.setattr(_check_files, "_fault", seen.append)
    check_images(as_image_inputs(image_paths * 3))
    assert sorted(seen) == sorted(image_paths)


def test_content_decides_not_the_extension(tmp_path):
    path = write(tmp_path, "really_a_jpeg.png", FILES["baseline.jpg"]())
    assert fault_of(path) is None
    assert read_image(path).size == (56, 40)


def test_pipe_is_refused_without_waiting(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a regular file" in str(fault_of(str(tmp_path / "pipe.png")))


# --- read_image: one test for each way of storing a picture ----------------------------------


def as_array(image: Image.Image) -> np.ndarray:
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize("name", FILES)
def test_formats(name, tmp_path):
    path = write(tmp_path, name, FILES[name]())
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(as_array(read_image(path)), expected)
    grey_or_few = name.startswith(("grey", "palette")) or name.endswith("gif")
    assert np.abs(expected.astype(float) - picture()).mean() < (60 if grey_or_few else 14)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "raw.tif", "lzw.tif"])
def test_orientation(name, orientation, tmp_path):
    exif = Image.Exif()
    exif[274] = orientation
    options = {"lossless": True} if name != "lzw.tif" else {"compression": "tiff_lzw"}
    RGB.save(tmp_path / name, exif=exif, **options)
    result = read_image(str(tmp_path / name))
    assert result.size == ((56, 40) if orientation < 5 else (40, 56))
    with Image.open(tmp_path / name) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(as_array(result), expected)
    again = ImageOps.exif_transpose(result)
    np.testing.assert_array_equal(np.asarray(again), expected)  # not turned twice


def test_a_pillow_that_reads_no_exif_is_an_error(monkeypatch):
    """Else pictures would lie on their side, and nobody would know."""
    monkeypatch.delattr(Image.Image, "getexif")
    with pytest.raises(AttributeError, match="getexif"):
        read_image(RGB)


def test_broken_exif_does_not_hide_a_picture(tmp_path):
    data = encoded(format="JPEG")
    segment = b"Exif\0\0" + b"II*\0\xff\xff\xff\x7f"
    broken = data[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:]
    path = write(tmp_path, "a.jpg", broken)
    np.testing.assert_array_equal(as_array(read_image(path)), np.asarray(Image.open(path)))


def over_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None].astype(float) / 255
    return colour * share + np.array(BACKGROUND) * (1 - share)


@pytest.mark.parametrize("extension", ["png", "webp", "tif"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_over_white(mode, extension, tmp_path):
    alpha = np.linspace(0, 255, 56 * 40).astype(np.uint8).reshape(40, 56)
    image = RGB.convert("L" if mode == "LA" else "RGB")
    colour = np.asarray(image.convert("RGB"))
    image = image.copy()
    image.putalpha(Image.fromarray(alpha))
    assert image.mode == mode
    path = str(tmp_path / f"a.{extension}")
    image.save(path, lossless=True, exact=True)
    np.testing.assert_allclose(as_array(read_image(path)), over_white(colour, alpha), atol=1)
    np.testing.assert_allclose(as_array(read_image(image)), over_white(colour, alpha), atol=1)


@pytest.mark.parametrize("mode", ["PA", "La", "RGBa"])
def test_rare_alpha_modes_in_memory(mode):
    rgba = Image.fromarray(np.dstack([picture(), np.full((40, 56), 128, np.uint8)]))
    image = {
        "PA": lambda: rgba.convert("L").convert("PA"),
        "La": lambda: rgba.convert("LA").convert("La"),
        "RGBa": lambda: rgba.convert("RGBa"),
    }[mode]()
    assert image.mode == mode
    back = image.convert("LA" if mode == "La" else "RGBA").convert("RGBA")
    expected = over_white(np.asarray(back)[..., :3], np.asarray(back)[..., 3])
    np.testing.assert_allclose(as_array(read_image(image)), expected, atol=1)


@pytest.mark.parametrize("extension", ["png", "gif"])
def test_palette_with_one_transparent_entry(extension, tmp_path):
    indices = np.arange(35, dtype=np.uint8).reshape(5, 7) % 3
    image = Image.fromarray(indices).convert("P")
    image.putdata(indices.ravel().tolist())
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    path = str(tmp_path / f"a.{extension}")
    image.save(path, transparency=1)
    expected = np.array([[10, 20, 30], BACKGROUND, [70, 80, 90]])[indices]
    np.testing.assert_array_equal(as_array(read_image(path)), expected)


def test_palette_with_graded_transparency(tmp_path):
    indices = np.arange(35, dtype=np.uint8).reshape(5, 7) % 3
    image = Image.new("P", (7, 5))
    image.putdata(indices.ravel().tolist())
    palette = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]])
    image.putpalette(palette.ravel().tolist())
    path = str(tmp_path / "a.png")
    image.save(path, transparency=bytes([255, 0, 100]))
    alpha = np.array([255, 0, 100])[indices]
    np.testing.assert_allclose(
        as_array(read_image(path)), over_white(palette[indices], alpha), atol=1
    )


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_transparent_colour(mode, tmp_path):
    values = np.zeros((5, 7, 3) if mode == "RGB" else (5, 7), np.uint8)
    values[2, 3] = values[4, 0] = 77
    path = str(tmp_path / "a.png")
    Image.fromarray(values).save(path, transparency=(77,) * 3 if mode == "RGB" else 77)
    result = as_array(read_image(path))
    expected = np.zeros((5, 7, 3))
    expected[2, 3] = expected[4, 0] = BACKGROUND
    np.testing.assert_array_equal(result, expected)


def test_greyscale_and_one_bit(tmp_path):
    grey = picture()[:, :, 0]
    Image.fromarray(grey).save(tmp_path / "l.png")
    expected = np.repeat(grey[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(as_array(read_image(tmp_path / "l.png")), expected)
    np.testing.assert_array_equal(as_array(read_image(grey)), expected)
    for name in ("1.png", "1.tif", "1.bmp", "1.gif"):
        Image.fromarray(grey > 127).save(tmp_path / name)
        np.testing.assert_array_equal(
            as_array(read_image(tmp_path / name)), np.where(expected > 127, 255, 0)
        )


@pytest.mark.parametrize("name", ["a.png", "little.tif", "big.tif"])
def test_16_bits_are_scaled_not_clipped(name, tmp_path):
    values = np.linspace(0, 65535, 35).astype(np.uint16).reshape(5, 7)
    image = Image.fromarray(values)
    if name == "big.tif":
        image = Image.frombytes("I;16B", (7, 5), values.astype(">u2").tobytes())
    image.save(tmp_path / name)
    expected = np.repeat(np.rint(values / 65535 * 255)[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(as_array(read_image(tmp_path / name)), expected)
    np.testing.assert_array_equal(as_array(read_image(image)), expected)


def test_16_bit_grey_with_transparent_value(tmp_path):
    values = np.full((5, 7), 1000, np.uint16)
    values[1, 2] = 40000
    image = Image.fromarray(values)
    image.info["transparency"] = 40000
    result = as_array(read_image(image))
    assert result[1, 2].tolist() == list(BACKGROUND)
    assert np.unique(np.delete(result[:, :, 0].ravel(), 9)).tolist() == [round(1000 / 257)]


def png_16_bit_colour(values: np.ndarray, transparent: tuple[int, int, int] | None) -> bytes:
    """A PNG of 16-bit RGB, which Pillow reads but does not write."""
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + checksum

    height, width = values.shape[:2]
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    key = chunk(b"tRNS", np.array(transparent, dtype=">u2").tobytes()) if transparent else b""
    body = chunk(b"IHDR", head) + key + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_16_bit_colour(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    values[3, 4] = (65535, 65535, 0)
    path = write(tmp_path, "a.png", png_16_bit_colour(values, None))
    assert fault_of(path) is None
    np.testing.assert_array_equal(as_array(read_image(path)), values >> 8)
    path = write(tmp_path, "b.png", png_16_bit_colour(values, (65535, 65535, 0)))
    expected = values >> 8
    expected[3, 4] = BACKGROUND
    np.testing.assert_array_equal(as_array(read_image(path)), expected)


@pytest.mark.parametrize(
    ("low", "high", "zero", "full"),
    [(0, 65535, 0, 65535), (0, 300, 0, 65535), (0, 2**30, 0, 2**30), (-50, 200, -50, 200)],
)
def test_32_bit_integers(low, high, zero, full, tmp_path):
    values = np.linspace(low, high, 35).astype(np.int32).reshape(5, 7)
    Image.fromarray(values).save(tmp_path / "a.tif")
    expected = np.rint((values - float(zero)) / (full - zero) * 255)
    result = as_array(read_image(tmp_path / "a.tif"))
    np.testing.assert_allclose(result[:, :, 1], expected, atol=0)


@pytest.mark.parametrize(
    ("low", "high", "zero", "full"),
    [(0, 1, 0, 1), (0.2, 0.5, 0, 1), (0, 255, 0, 255), (3, 200, 0, 255), (-2, 7, -2, 7)],
)
def test_floats(low, high, zero, full, tmp_path):
    values = np.linspace(low, high, 35, dtype=np.float32).reshape(5, 7)
    Image.fromarray(values).save(tmp_path / "a.tif")
    expected = (values.astype(float) - zero) / (full - zero) * 255
    result = as_array(read_image(tmp_path / "a.tif"))
    np.testing.assert_allclose(result[:, :, 2], expected, atol=0.51)


def test_constant_and_not_finite_floats(tmp_path):
    assert not as_array(read_image(Image.fromarray(np.full((5, 7), -3, np.float32)))).any()
    values = np.zeros((5, 7), np.float32)
    values[1, 1] = np.nan
    Image.fromarray(values).save(tmp_path / "nan.tif")
    with pytest.raises(ImageReadError, match=r"nan.tif: .*NaN"):
        read_image(tmp_path / "nan.tif")


@pytest.mark.parametrize("extension", ["jpg", "tif"])
def test_cmyk_has_its_colours(extension, tmp_path):
    flat = Image.new("RGB", (16, 8), (200, 30, 90))
    flat.convert("CMYK").save(tmp_path / f"a.{extension}")
    result = as_array(read_image(tmp_path / f"a.{extension}"))
    np.testing.assert_allclose(result, np.broadcast_to([200, 30, 90], result.shape), atol=6)


def test_first_frame(tmp_path):
    first, *others = [Image.new("RGB", (9, 5), c) for c in ("red", "lime", "blue")]
    for name in ("a.gif", "a.webp", "a.tif", "a.png"):
        first.save(tmp_path / name, save_all=True, append_images=others)
        result = as_array(read_image(tmp_path / name))
        np.testing.assert_allclose(result, np.broadcast_to([255, 0, 0], (5, 9, 3)), atol=3)


@pytest.mark.parametrize("mode", ["HSV", "YCbCr"])
def test_other_colour_spaces(mode):
    np.testing.assert_allclose(as_array(read_image(RGB.convert(mode))), picture(), atol=12)


def test_arrays(tmp_path):
    rgb = picture(7, 5)
    rgba = np.dstack([rgb, np.arange(35, dtype=np.uint8).reshape(5, 7) * 7])
    np.testing.assert_array_equal(as_array(read_image(rgb)), rgb)
    np.testing.assert_array_equal(as_array(read_image(rgb[:, ::-1])), rgb[:, ::-1])
    np.testing.assert_allclose(as_array(read_image(rgba)), over_white(rgb, rgba[..., 3]), atol=1)
    with pytest.raises(ValueError, match="float64"):
        read_image(rgb / 255)


def test_own_image_is_left_as_it_was(tmp_path):
    path = write(tmp_path, "a.png", encoded(format="PNG"))
    image = Image.open(path)
    image.info["transparency"] = (1, 2, 3)
    result = read_image(image)
    assert image.info["transparency"] == (1, 2, 3)
    result.putpixel((0, 0), (1, 2, 3))
    assert image.getpixel((0, 0)) != (1, 2, 3)


# --- read_image: what cannot be read ---------------------------------------------------------


def test_first_page_whole_later_page_cut(tmp_path):
    for name in ("animated.gif", "animated.png"):  # the picture that is used is all there
        data = FILES[name]()
        path = write(tmp_path, name, data[:-40])
        assert fault_of(path) is None
        whole = read_image(write(tmp_path, "whole" + name, data))
        np.testing.assert_array_equal(as_array(read_image(path)), as_array(whole))


def test_damage_inside_is_found_by_the_decoder(tmp_path):
    data = bytearray(FILES["plain.png"]())
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(40)
    path = write(tmp_path, "damaged.png", bytes(data))
    assert fault_of(path) is None  # header and end are fine
    with pytest.raises(ImageReadError, match=r"damaged.png: .+") as caught:
        read_image(path)
    assert caught.value.name == path


def test_truncated_files_fail_whatever_pillow_was_told(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = FILES["baseline.jpg"]()
    path = write(tmp_path, "half.jpg", data[: len(data) // 2])
    assert pillow_pixels(path) is not None  # the trap: Pillow now reads it, half grey
    with pytest.raises(ImageReadError, match=r"half\.jpg"):
        read_image(path)
    assert "cut off" in str(fault_of(path))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_while_another_thread_decodes(image_paths, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with _decode_with_pillow._no_truncated_images(), _decode_with_pillow._truncated_lock:
        child = os.fork()
        if child == 0:  # the lock that the parent holds must not stop the child
            signal.alarm(20)
            fine = ImageFile.LOAD_TRUNCATED_IMAGES and read_image(image_paths[0])
            os._exit(0 if fine else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_error_survives_pickling():
    error = pickle.loads(pickle.dumps(ImageReadError("a.jpg", "it is cut off")))
    assert (error.name, error.reason) == ("a.jpg", "it is cut off")
    assert str(error) == "a.jpg: it is cut off"
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("name", "shown"), [("gone.png", "gone.png"), ("null\0.png", r"null\\x00.png'")]
)
def test_unopenable_file(name, shown, tmp_path):
    with pytest.raises(ImageReadError, match=f"{shown}: it cannot be opened"):
        read_image(str(tmp_path / name))


def test_decompression_bombs(tmp_path, monkeypatch):
    path = write(tmp_path, "big.png", encoded(format="PNG"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 56 * 40 - 1)
    with pytest.warns(Image.DecompressionBombWarning):
        read_image(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 56 * 40 // 3)
    with pytest.raises(ImageReadError, match=r"big.png: .*decompression bomb"):
        read_image(path)
    assert "decompression bomb" in str(fault_of(path))


def test_eps_without_ghostscript(tmp_path, monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", False)
    path = write(tmp_path, "a.eps", encoded(format="EPS"))
    with pytest.raises(ImageReadError, match=r"a.eps: EPS files need Ghostscript"):
        read_image(path)
    assert "EPS files need Ghostscript" in str(fault_of(path))


def test_eps_through_ghostscript(tmp_path, monkeypatch):
    """A stand-in for Ghostscript: it writes a picture where Pillow expects it."""
    ppm = tmp_path / "answer.ppm"
    RGB.save(ppm)
    tool = tmp_path / "gs"
    tool.write_text(
        f"#!{sys.executable}\nimport shutil, sys\n"
        "out = [a[13:] for a in sys.argv if a.startswith('-sOutputFile=')][0]\n"
        f"shutil.copy({str(ppm)!r}, out)\n"
    )
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", str(tool))
    path = write(tmp_path, "a.eps", encoded(format="EPS"))
    assert fault_of(path) is None
    np.testing.assert_array_equal(as_array(read_image(path)), picture())


@pytest.mark.parametrize("box", [b"", b"%%BoundingBox: 0 0 0 0\n"])
def test_eps_without_a_size(box, tmp_path, monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", "gs")
    data = b"%!PS-Adobe-3.0 EPSF-3.0\n" + box + b"%%EndComments\nshowpage\n"
    path = write(tmp_path, "a.eps", data)
    assert "starts like EPS, but its header is cut off or damaged" in str(fault_of(path))


# --- listing ---------------------------------------------------------------------------------


def test_natural_order():
    ordered = ["1.png", "02.png", "2.png", "10.png", "a/2.png", "a/10.png", "a b/1.png", "B.png"]
    shuffled = np.random.default_rng(0).permutation(ordered).tolist()
    assert sorted(shuffled, key=natural_key) == ordered


names = st.text(st.sampled_from("aAbBß0129 ._-/é"), min_size=1, max_size=12)


@given(st.lists(names, min_size=2, max_size=6, unique=True), st.randoms())
def test_natural_order_is_total(values, random):
    expected = sorted(values, key=natural_key)
    random.shuffle(values)
    assert sorted(values, key=natural_key) == expected


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(["img", "Img", "s1/x"]))
def test_numbers_compare_as_numbers(a, b, prefix):
    first, second = (natural_key(f"{prefix}{number}.png") for number in (a, b))
    assert (first < second) == (a < b)


def test_list_images(tmp_path):
    for name in ["b/2.PNG", "b/10.png", "A.Jpg", ".DS_Store", "._x.jpg", ".git/y.png"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in ["Thumbs.db", "notes.txt", "png", "b/x.png.txt"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "linked").symlink_to(tmp_path / "b", target_is_directory=True)
    expected = ["A.Jpg", "b/2.PNG", "b/10.png", "linked/2.PNG", "linked/10.png"]
    assert list_images(str(tmp_path)) == [tmp_path / name for name in expected]


def test_extensions_are_lower_case_suffixes():
    assert set(EXTENSIONS) == {
        *(".eps", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif")
    }
