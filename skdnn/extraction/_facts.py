"""What can be said of an extraction in a methods section, as values that JSON holds."""

from __future__ import annotations

import hashlib
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from skdnn._version import __version__
from skdnn.backends import Capture
from skdnn.conditions import Conditions
from skdnn.digests import digest_images
from skdnn.extraction._plan import Plan, Source
from skdnn.extraction._stored import refuse_changed
from skdnn.models import (
    Preprocessing,
    find_checkpoint,
    needs_download,
    origin_of_weights,
    preprocess_identity,
)

_PACKAGES = ("numpy", "Pillow", "scikit-learn")
_TORCH = ("torch", "torchvision")
_TENSORFLOW = ("tensorflow", "keras")


def gather_facts(
    source: Source,
    plan: Plan,
    conditions: Conditions | None = None,
    *,
    sized: bool = True,
    seeded: bool = True,
) -> dict[str, Any]:
    """All that a methods section says of features; nothing is downloaded or built.

    Parameters
    ----------
    source : Source
    plan : Plan
    conditions : Conditions, default=None
        The images, where they are known.
    sized : bool, default=True
        Whether the size of the images that go through the network is known.
    seeded : bool, default=True
        Whether the seed of random weights is known.

    Returns
    -------
    facts : dict
        For `skdnn.methods.MethodsText`, and as provenance of saved features.
    """
    refuse_changed(source)
    spec = source.spec
    return {
        "model": spec.name,
        "backend": spec.backend,
        **_weights(source, seeded),
        "layers": [_layer(capture, plan, sized) for capture in plan.captures],
        "preprocess": _preprocess(spec.preprocess),
        "precision": source.precision,
        "compile": source.compile,
        **_images(conditions),
        "versions": _versions(source),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _weights(source: Source, seeded: bool) -> dict[str, Any]:
    """What the weights are, and the network's fingerprint where it can be told."""
    spec, origin = source.spec, origin_of_weights(source.spec, source.weights)
    is_random = origin == "random"
    checkpoint = find_checkpoint(source.spec, source.weights, source.version)
    return {
        "weights": "random (seed not fixed)" if is_random and not seeded else spec.weights,
        "weights_from": origin,
        "weights_address": checkpoint.address,
        "weights_sha256": checkpoint.sha256,
        "weights_sha256_begins": checkpoint.begins,
        "seed": source.seed if is_random and seeded else None,
        "network": None if is_random and not seeded else _fingerprint(source),
    }


def _fingerprint(source: Source) -> str | None:
    """None where it takes a file that is not here, or where code cannot be fingerprinted."""
    if needs_download(source.spec, source.weights):
        return None
    try:
        return source.spec.fingerprint(source.version)
    except ValueError:
        return None


def _layer(capture: Capture, plan: Plan, sized: bool) -> dict[str, Any]:
    info = capture.info
    shape = list(plan.shapes[capture.name]) if sized else None
    return {
        "name": capture.name,
        "module": info.source or capture.request.path,
        "type": info.type,
        "output_shape": list(info.output_shape) if sized else None,
        "shape": shape,
        "units": plan.n_units(capture.name) if sized else None,
        "pooling": capture.pooling,
        "call": capture.wanted_call + 1,
        "n_calls": info.n_calls,
    }


def _preprocess(preprocess: Any) -> dict[str, Any] | str:
    """Steps by name; mean and deviation only where they are what is applied."""
    if not isinstance(preprocess, Preprocessing):
        return "a callable"
    steps: dict[str, Any] = preprocess_identity(preprocess, None)
    if steps.get("module"):
        steps = {name: value for name, value in steps.items() if name not in ("mean", "std")}
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in steps.items()
    }


def _images(conditions: Conditions | None) -> dict[str, Any]:
    """How many, and one digest of the digests of all, in their order."""
    if conditions is None:
        return {"n_images": None, "n_conditions": None, "images_digest": None}
    digests = digest_images(conditions.inputs)
    return {
        "n_images": len(conditions.inputs),
        "n_conditions": None if conditions.ends is None else len(conditions),
        "images_digest": hashlib.sha256(b"".join(digests.tolist())).hexdigest(),
    }


def _versions(source: Source) -> dict[str, str]:
    """Of all packages that had a part in it."""
    name = source.spec.name
    packages = [*_PACKAGES, *(_TORCH if source.spec.backend == "torch" else _TENSORFLOW)]
    if name.startswith(("timm/", "published/dino-vit", "published/mae-vit")):
        packages.append("timm")
    if name.startswith(("open_clip/", "clip-")) and source.spec.owned:
        packages.append("open_clip_torch")
    found = {package: _version(package) for package in packages}
    return {
        "skdnn": __version__,
        "python": platform.python_version(),
        **{package.lower(): known for package, known in found.items() if known},
    }


def _version(package: str) -> str | None:
    """Tensorflow comes from several distributions: what is loaded knows its own version."""
    try:
        return version(package)
    except PackageNotFoundError:
        return getattr(sys.modules.get(package), "__version__", None)
