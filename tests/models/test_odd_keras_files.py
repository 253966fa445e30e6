"""Keras's files of weights that hold no weights, or those of other files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from helpers.late import keras, late_keras, needs

pytestmark = needs("tensorflow")
source = late_keras("skdnn.models._keras")
NAME = "chain"


def network(seed: int = 0) -> Any:
    layers = keras.layers
    built = keras.Sequential(
        [keras.Input((8, 9, 3)), layers.Normalization(name="n"), layers.Conv2D(2, 3, name="c")],
        name=NAME,
    )
    rng = np.random.default_rng(seed)
    built.set_weights([rng.uniform(1, 2, w.shape).astype(w.dtype) for w in built.get_weights()])
    return built


@pytest.fixture(params=["a.weights.h5", "whole.keras", "legacy.h5"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    built = network(seed=1)
    built.save_weights(path) if ".weights." in path.name else built.save(path)
    return path


def rewrite(path: Path, change: Callable[[h5py.File, str], None]) -> None:
    """Change the weights in a file; `change` is told where the convolution's kernel lies."""
    content: Any = path
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            held = {name: archive.read(name) for name in archive.namelist()}
        content = io.BytesIO(held["model.weights.h5"])
    with h5py.File(content, "r+") as file:
        places: list[str] = []
        file.visititems(
            lambda where, found: (
                places.append(where)
                if isinstance(found, h5py.Dataset) and found.shape == (3, 3, 3, 2)
                else None
            )
        )
        (place,) = (where for where in places if "optimizer" not in where)
        change(file, place)
    if path.suffix == ".keras":
        with zipfile.ZipFile(path, "w") as archive:
            for name, each in held.items():
                whole = content.getvalue() if name == "model.weights.h5" else each
                archive.writestr(name, whole)


def put(make: Callable[[np.ndarray], Any]) -> Callable[[h5py.File, str], None]:
    """Another array in its place."""

    def change(file: h5py.File, place: str) -> None:
        values = make(file[place][()])
        del file[place]
        file[place] = values

    return change


def with_one(value: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda kernel: np.where(
        np.arange(kernel.size).reshape(kernel.shape) == 7, value, kernel
    )


def huge(file: h5py.File, place: str) -> None:
    del file[place]
    file.create_dataset(place, shape=(10**6, 10**6, 10**3), dtype="f4", chunks=(1, 1, 10))


REASONS = {
    "integers": (put(lambda kernel: kernel.astype(np.int8)), "holds int8 numbers"),
    "truth": (put(lambda kernel: kernel > 1.5), "holds bool numbers"),
    "complex numbers": (put(lambda kernel: kernel + 1j), "holds complex64 numbers"),
    "text": (put(lambda kernel: [b"a", b"b"]), "holds object numbers"),
    "NaN": (put(with_one(np.nan)), "holds NaN or infinity"),
    "infinite": (put(with_one(np.inf)), "holds NaN or infinity"),
    "larger than the file": (huge, "too large"),
}


def test_as_it_was_saved(saved):
    built = network()
    source.load_file(built, saved, NAME)
    assert np.array_equal(built.get_weights()[-2], network(seed=1).get_weights()[-2])


@pytest.mark.parametrize("what", REASONS)
def test_numbers_that_are_no_weights(what, saved):
    change, reason = REASONS[what]
    rewrite(saved, change)
    with pytest.raises(ValueError, match=rf"{saved.name}' can't be loaded into .*{reason}"):
        source.load_file(network(), saved, NAME)


@pytest.mark.parametrize("how", ["link", "storage", "virtual"])
def test_numbers_of_other_files(how, saved, tmp_path):
    kernel = np.full((3, 3, 3, 2), 7, np.float32)
    other, raw = tmp_path / "other.h5", tmp_path / "raw.bin"
    raw.write_bytes(kernel.tobytes())
    with h5py.File(other, "w") as file:
        file["k"] = kernel

    def change(file: h5py.File, place: str) -> None:
        del file[place]
        if how == "link":
            file[place] = h5py.ExternalLink(str(other), "/k")
        elif how == "storage":
            external = [(str(raw), 0, kernel.nbytes)]
            file.create_dataset(place, kernel.shape, kernel.dtype, external=external)
        else:
            layout = h5py.VirtualLayout(kernel.shape, kernel.dtype)
            layout[:] = h5py.VirtualSource(str(other), "k", kernel.shape)
            file.create_virtual_dataset(place, layout)

    rewrite(saved, change)
    with pytest.raises(ValueError, match=rf"{saved.name}' can't be loaded .*another file"):
        source.load_file(network(), saved, NAME)


@pytest.mark.parametrize("kind", ["encrypted", "unknown method", "packed", "without weights"])
def test_odd_archives(kind, tmp_path):
    path = tmp_path / "whole.keras"
    network(seed=1).save(path)
    content = bytearray(path.read_bytes())
    if kind in ("encrypted", "unknown method"):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            local = archive.getinfo("model.weights.h5").header_offset
        central = content.rindex(b"PK\x01\x02")
        assert names[-1] == "model.weights.h5"
        for place in (
            (local + 6, central + 8) if kind == "encrypted" else (local + 8, central + 10)
        ):
            content[place] = 1 if kind == "encrypted" else 99
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("config.json", b"{}")
            if kind == "packed":
                archive.writestr("model.weights.h5", bytes(2**27))
    reason = {"packed": "134217728 bytes", "encrypted": "encrypted"}.get(kind, "")
    with pytest.raises(ValueError, match=rf"whole\.keras' can't be loaded into .*{reason}"):
        source.load_file(network(), path, NAME)
