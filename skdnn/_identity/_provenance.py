"""What is told of a computation, in saved files and in methods sections, as JSON."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import numpy as np

from skdnn._file_digests import digest_images
from skdnn._version import __version__

if TYPE_CHECKING:
    from skdnn._extraction import ChosenLayers, ChosenNetwork

_SAVED = ("numpy", "torch", "torchvision", "tensorflow", "Pillow")
_EXTRACTED = ("numpy", "Pillow", "scikit-learn")
_BACKENDS = {"torch": ("torch", "torchvision"), "tensorflow": ("tensorflow", "keras")}


def platform_identity(*packages: str) -> dict[str, str]:
    """What random weights depend on beside the seed: machine and versions of packages."""
    versions = {package: str(_version(package)) for package in packages}
    return {"platform": f"{platform.system()}-{platform.machine()}", **versions}


def _version(package: str) -> str | None:
    """Tensorflow comes from several distributions: what is loaded knows its own version."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return getattr(sys.modules.get(package), "__version__", None)


def _versions(*packages: str) -> dict[str, str]:
    found = {package.lower(): known for package in packages if (known := _version(package))}
    return {"skdnn": __version__, "python": platform.python_version(), **found}


def complete(provenance: Mapping[str, Any] | None) -> dict[str, Any]:
    """What was given, with date and versions of libraries where it does not name them.

    Raises TypeError if something in it cannot be written as JSON.
    """
    if provenance is not None and not isinstance(provenance, Mapping):
        raise TypeError(
            f"provenance must be a dict, got {type(provenance).__name__}: e.g. "
            'provenance={"model": "alexnet", "layer": "features.10"}.'
        )
    made = _as_json(provenance or {}, "provenance")
    made.setdefault("date", datetime.now(UTC).isoformat(timespec="seconds"))
    return {**made, "versions": made.get("versions", _versions(*_SAVED))}


def _as_json(value: Any, what: str) -> Any:
    """Plain lists, dicts, numbers and text; TypeError names what is none of these."""
    if isinstance(value, Mapping):
        return {str(key): _as_json(item, f"{what}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return [_as_json(item, f"{what}[{n}]") for n, item in enumerate(items)]
    if isinstance(value, np.ndarray | np.generic):
        return _as_json(value.tolist(), what)
    value = fspath(value) if isinstance(value, PathLike) else value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if value is None or isinstance(value, str | bool | int | float | date):
        return value.isoformat() if isinstance(value, date) else value
    kind = type(value).__name__
    raise TypeError(f"{what} is a {kind}, which JSON cannot hold: give text or numbers.")


def provenance_of_features(
    network: ChosenNetwork,
    layers: ChosenLayers,
    conditions: Any = None,
    *,
    sized: bool = True,
    seeded: bool = True,
) -> dict[str, Any]:
    """All that a methods section says of features; nothing is downloaded or built.

    `conditions` are the images, where known; `sized` and `seeded` say whether their size and the
    seed of random weights are. For `skdnn._methods.MethodsText`, and as provenance of files.
    """
    network.refuse_changed()
    spec, checkpoint = network.spec, network.spec.checkpoint()
    seed = network.seed if spec.origin == "random" else None
    loose = seed is not None and not seeded
    digests = [] if conditions is None else digest_images(conditions.inputs).tolist()
    return {
        "model": spec.name,
        "backend": spec.backend,
        "weights": "random (seed not fixed)" if loose else spec.weights,
        "weights_from": spec.origin,
        "weights_address": checkpoint.address,
        "weights_sha256": checkpoint.sha256,
        "weights_sha256_begins": checkpoint.begins,
        "seed": None if loose else seed,
        "network": None if loose else network.known_fingerprint(),
        "layers": [layers.described(capture, sized) for capture in layers.captures],
        "preprocess": spec.steps(),
        "precision": network.precision,
        "compile": network.compile,
        "n_images": len(conditions.inputs) if conditions else None,
        "n_conditions": len(conditions) if conditions and conditions.ends is not None else None,
        "images_digest": hashlib.sha256(b"".join(digests)).hexdigest() if conditions else None,
        "versions": _versions(*_EXTRACTED, *_BACKENDS[spec.backend], *spec.packages),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
