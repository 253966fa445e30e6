"""Weights of Keras's networks: published ones fetched, files loaded strictly and without code."""

from __future__ import annotations

import hashlib
import importlib
import io
import math
import os
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from skdnn._config import weights_home
from skdnn._optional import import_optional
from skdnn.models._torch_weights import reason, refuse_other_content

PUBLISHED = "imagenet"
SUFFIXES = (".weights.h5", ".keras", ".h5", ".hdf5")
_NOT_WEIGHTS = ("optimizer", "optimizer_weights")
_IN_ARCHIVE = "model.weights.h5"


def folders() -> tuple[Path, Path]:
    """Where Keras's files may lie: in the folder of weights, or where Keras keeps them."""
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    return weights_home(), home / "models"


def get_file_for(name: str) -> Callable[..., str]:
    """What takes the place of Keras's ``get_file``: it looks into our folder of weights first."""

    def get_file(fname: str, origin: str, **options: Any) -> str:
        path = weights_home() / fname
        expected = options.get("file_hash")
        if path.is_file():
            _check_hash(path, expected)
            return str(path)
        keras = importlib.import_module("keras")
        try:
            return str(keras.utils.get_file(fname, origin, **options))
        except Exception as error:  # Keras raises bare exceptions for what urllib says
            hashed = f" (hash {expected})" if expected else ""
            raise OSError(
                f"The published weights of {name} could not be downloaded ({error}). Download "
                f"{origin}{hashed} on a machine with a network and put it at {path} (the "
                "environment variable SKDNN_WEIGHTS moves that folder), or use weights=None for "
                "random weights or weights='path/of/a/file'."
            ) from error

    return get_file


def _check_hash(path: Path, expected: str | None) -> None:
    """Keras publishes MD5 or SHA-256 sums; the length tells which."""
    if not expected:
        return
    kind = "sha256" if len(expected) == 64 else "md5"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, kind).hexdigest()
    if found != expected:
        raise ValueError(
            f"{path} is not the published file: its {kind} is {found}, and {expected} was "
            "expected. Download it again."
        )


def load_file(network: Any, path: Path, name: str) -> None:
    """Load a file's weights into a network that they must fit exactly.

    Of a ``.keras`` file only the weights are read: no class or function that it names is built.
    """
    try:
        refuse_other_content(path)
        held = _contents(path, network)
        with warnings.catch_warnings():  # what Keras would leave out is looked for below
            warnings.simplefilter("ignore")
            network.load_weights(str(path))
    except ImportError:
        raise
    except Exception as error:  # h5py, zipfile and Keras have errors of their own
        raise ValueError(
            f"weights={str(path)!r} can't be loaded into {name} ({reason(error)}). It must hold "
            "the weights of this very network, as network.save_weights(path) or "
            "network.save(path) write them."
        ) from error
    own = sorted(_content(weight.numpy()) for weight in network.weights)
    if held != own:
        n_common = (Counter(held) & Counter(own)).total()
        raise ValueError(
            f"weights={str(path)!r} does not fit {name}: it holds {len(held)} arrays, and the "
            f"network has {len(own)}, of which {n_common} are the same after loading. "
            "It was saved from another architecture."
        )


def n_layers(path: Path, kind: str) -> int:
    """How many layers of a kind are named in a file that has been read; 0 where none is."""
    with _opened(path) as file:
        held = file.get("model_weights", file)
        names = held.attrs.get("layer_names", held.get("layers", ()))
        texts = (name.decode() if isinstance(name, bytes) else str(name) for name in names)
        return sum(text.startswith(kind) for text in texts)


@contextmanager
def _opened(path: Path, room: float = math.inf) -> Iterator[Any]:
    """A file of weights; of a ``.keras`` one, what is in it for that, if not more than `room`."""
    h5py = import_optional("h5py", f"to read {path}")
    source: Any = path
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            size = archive.getinfo(_IN_ARCHIVE).file_size
            if size > room:
                raise ValueError(f"it declares {size} bytes of weights, where {room} are plenty")
            source = io.BytesIO(archive.read(_IN_ARCHIVE))
    with h5py.File(source, "r") as file:
        yield file


def _content(values: Any) -> tuple[tuple[int, ...], str]:
    """Shape and digest of an array, whatever its precision in the file."""
    exact = np.ascontiguousarray(values, dtype=np.float32)
    return exact.shape, hashlib.sha256(exact.data).hexdigest()


def _contents(path: Path, network: Any) -> list[tuple[tuple[int, ...], str]]:
    """All arrays of weights in a file, those of an optimizer not counted.

    Refused where they lie in another file, or are not numbers that the network can have.
    """
    h5py = import_optional("h5py", f"to read {path}")
    largest = max(int(np.prod(weight.shape)) for weight in network.weights)
    others = {(np.dtype(weight.dtype).kind, tuple(weight.shape)) for weight in network.weights}
    n_values = sum(int(np.prod(weight.shape)) for weight in network.weights)
    with _opened(path, room=16 * 8 * n_values + 2**26) as file:  # an optimizer's included
        found: list[tuple[tuple[int, ...], str]] = []

        def look(where: str, held: Any) -> None:
            if isinstance(held, h5py.Dataset) and where.split("/")[0] not in _NOT_WEIGHTS:
                if held.is_virtual or held.external:
                    raise ValueError(f"the numbers of {where!r} lie in another file")
                if held.size > largest:
                    raise ValueError(f"{where!r} is of shape {held.shape}: too large")
                if held.dtype.kind != "f" and (held.dtype.kind, held.shape) not in others:
                    raise ValueError(f"{where!r} holds {held.dtype} numbers")
                if held.dtype.kind == "f" and not np.isfinite(held[()]).all():
                    raise ValueError(f"{where!r} holds NaN or infinity")
                found.append(_content(held[()]))

        elsewhere = file.visititems_links(  # which swallows what is raised inside
            lambda where, link: where if isinstance(link, h5py.ExternalLink) else None
        )
        if elsewhere is not None:
            raise ValueError(f"{elsewhere!r} is a link to another file")
        file.get("model_weights", file).visititems(look)
        return sorted(found)
