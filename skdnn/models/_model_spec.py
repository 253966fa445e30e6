"""What a network is before it is built, and how an image is prepared for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from skdnn._digests import digest_of
from skdnn._identity._fingerprint import code_identity
from skdnn._optional import import_optional

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")


@dataclass(frozen=True)
class Preprocessing:
    """Resize, crop at the centre, scale to [0, 1], subtract a mean, divide by a deviation.

    The steps and their order are torchvision's, so that published preprocessing is met to the
    bit.

    Attributes
    ----------
    resize : int, tuple of int (height, width) or None
        An int is the length of the shorter side.
    crop : int, tuple of int (height, width) or None
        An int is the side of a square.
    interpolation : str
        How Pillow resizes.
    mean, std : tuple of float
        One value per channel, for values in [0, 1].
    """

    resize: int | tuple[int, int] | None = 256
    crop: int | tuple[int, int] | None = 224
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    @classmethod
    def from_dict(cls, options: dict[str, Any]) -> Preprocessing:
        """Read a user's dict; keys that are left out keep ImageNet's values."""
        known = ("resize", "crop", "interpolation", "mean", "std")
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ValueError(f"preprocess has unknown keys {unknown}: the keys are {known}.")
        given = dict(options)
        for key in ("resize", "crop"):
            if key in given:
                given[key] = _as_size(key, given[key])
        for key in ("mean", "std"):
            if key in given:
                values = tuple(float(v) for v in np.ravel(given[key]))
                if len(values) != 3 or (key == "std" and min(values) <= 0):
                    raise ValueError(
                        f"preprocess[{key!r}] must be three numbers, one per channel"
                        f"{', above 0' if key == 'std' else ''}; got {options[key]!r}."
                    )
                given[key] = values
        if given.get("interpolation", "bilinear") not in _INTERPOLATIONS:
            raise ValueError(
                f"preprocess['interpolation'] must be one of {_INTERPOLATIONS}, "
                f"got {given['interpolation']!r}."
            )
        return cls(**given)

    @property
    def input_size(self) -> tuple[int, int] | None:
        """Height and width of every prepared image, or None where they follow the image."""
        size = self.crop if self.crop is not None else self.resize
        if size is None or (self.crop is None and isinstance(size, int)):
            return None
        return (size, size) if isinstance(size, int) else size

    def pixels(self, image: Any) -> np.ndarray:
        """Resize and crop a PIL image in RGB: uint8 array (height, width, 3)."""
        transforms = import_optional("torchvision.transforms", "to prepare images")
        functional = transforms.functional
        if self.resize is not None:
            size = [self.resize] if isinstance(self.resize, int) else list(self.resize)
            image = functional.resize(
                image, size, transforms.InterpolationMode(self.interpolation)
            )
        if self.crop is not None:
            size = [self.crop] * 2 if isinstance(self.crop, int) else list(self.crop)
            image = functional.center_crop(image, size)
        return np.asarray(image)


class KnownCallable:
    """A preparation by another package's code, which tells what it does.

    It takes a PIL image in RGB and returns a float tensor (3, height, width).
    """

    def __call__(self, image: Any) -> Any:
        raise NotImplementedError

    def identity(self) -> Any:
        """What its values depend on, as plain values."""
        raise NotImplementedError


class AsItIs(KnownCallable):
    """Floats (3, height, width) that a network takes as they are: ``preprocess=None``."""

    def __call__(self, image: Any) -> Any:
        return np.ascontiguousarray(image, dtype=np.float32)

    def __repr__(self) -> str:
        return "as it is"

    def identity(self) -> Any:
        return ["as it is"]


def _as_size(key: str, value: Any) -> int | tuple[int, int] | None:
    if value is None:
        return None
    sizes = (value,) if isinstance(value, (int, np.integer)) else tuple(value)
    if len(sizes) not in (1, 2) or any(int(s) != s or s < 1 for s in sizes):
        raise ValueError(
            f"preprocess[{key!r}] must be None, a number of pixels, or (height, width); "
            f"got {value!r}."
        )
    return int(sizes[0]) if len(sizes) == 1 else (int(sizes[0]), int(sizes[1]))


def preprocess_identity(preprocess: Any, version: str | None) -> Any:
    """What an image's preparation depends on, as plain values; `version` stands for code."""
    if isinstance(preprocess, KnownCallable):
        return preprocess.identity()
    if not isinstance(preprocess, Preprocessing):
        return code_identity(preprocess, version, f"preprocess={preprocess!r}")
    kind, values = type(preprocess).__name__, asdict(preprocess)
    return values if kind == "Preprocessing" else {"kind": kind, **values}


@dataclass(frozen=True)
class Checkpoint:
    """What is known of a file of weights: where it was published, its SHA-256 or how it begins."""

    address: str | None = None
    sha256: str | None = None
    begins: str | None = None


@dataclass(frozen=True)
class ModelSpec:
    """A network before it is built.

    Attributes
    ----------
    name : str
        E.g. ``"torchvision/alexnet"``, or the class of one's own network.
    backend : str
        ``"torch"``.
    weights : str
        What the weights are: a published version, a file, ``"random (seed 0)"`` or ``"as given"``.
    preprocess : Preprocessing or callable
        A callable takes a PIL image in RGB and returns a float tensor or array (3, H, W).
    load : callable
        Gives the network with its weights, ready for one engine.
    skeleton : callable or None
        Gives the network without weights, to list its layers; None where `load` costs nothing.
    owned : bool
        Whether the network is ours to move and convert; a user's own is left as it was found.
    forward : callable or None
        ``forward(network, batch)`` for a network that is not called with a batch alone.
    key : tuple or None
        What tells this network from others within a process; None is never shared.
    identify : callable or None
        ``identify(version)`` gives what the network computes as plain values, which is what
        stored activations are found by; `version` stands for code that cannot be fingerprinted.
    origin : {"own", "random", "address", "file", "published"}
        Where the weights are from; ``"own"`` came with the network.
    checkpoint : callable
        Gives what is known of their file, without downloading it; of one's own network, the
        SHA-256 of all its parameters and buffers.
    packages : tuple of str
        What the architecture is from, beside its framework.
    """

    name: str
    backend: str
    weights: str
    preprocess: Preprocessing | Callable[[Any], Any]
    load: Callable[[], Any] = field(repr=False)
    skeleton: Callable[[], Any] | None = field(default=None, repr=False)
    owned: bool = True
    forward: Callable[[Any, Any], Any] | None = field(default=None, repr=False)
    key: tuple[Any, ...] | None = None
    identify: Callable[[str | None], Any] | None = field(default=None, repr=False)
    origin: str = "published"
    checkpoint: Callable[[], Checkpoint] = field(default=Checkpoint, repr=False)
    packages: tuple[str, ...] = ()

    def steps(self) -> dict[str, Any] | str:
        """The preparation of images, for people: mean and deviation only where applied."""
        if isinstance(self.preprocess, KnownCallable):
            return str(self.preprocess)
        if not isinstance(self.preprocess, Preprocessing):
            return "a callable"
        steps = preprocess_identity(self.preprocess, None)
        unused = ("mean", "std") if steps.get("module") else ()
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in steps.items()
            if name not in unused
        }

    def fingerprint(self, version: str | None = None) -> str:
        """SHA-256 of what the network computes: weights, architecture, code or its `version`."""
        assert self.identify is not None  # every way to a spec gives one
        return digest_of([self.backend, self.identify(version)])


def build_skeleton(build: Callable[[], Any]) -> Any:
    """An architecture without memory for its weights, where it can be built so.

    Builders that compute with tensors cannot: timm's vision transformers before 1.0.21, and
    torchvision's RegNets. Their skeletons are whole networks: the same layers, at more cost.
    """
    torch = import_optional("torch", "to build networks")
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return build()
        except RuntimeError:  # NotImplementedError is one
            return build()


def needs_download(spec: ModelSpec) -> bool:
    """Whether the fingerprint can't be told without the file, and the file is not here."""
    is_hashed = spec.name.startswith(("published/", "hf/")) and spec.origin == "published"
    return is_hashed and spec.checkpoint().sha256 is None
