"""How an image is prepared for a network: what a user may give, and what values depend on."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from skdnn._identity._fingerprint import code_identity
from skdnn._optional import import_optional

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
_PROCESSORS = ("BaseImageProcessor", "ImageProcessingMixin", "ProcessorMixin")
# What says nothing of the pixels.
_NO_SETTINGS = ("_processor_class", "processor_class", "_name_or_path", "device", "return_tensors")


@dataclass(frozen=True)
class Preprocessing:
    """Resize, crop at the centre, scale to [0, 1], subtract a mean, divide by a deviation.

    The steps and their order are torchvision's, so that published preprocessing is met to the
    bit. The defaults are those of most networks of ImageNet.

    Parameters
    ----------
    resize : int, tuple of int (height, width) or None, default=256
        An int is the length of the shorter side.
    crop : int, tuple of int (height, width) or None, default=224
        An int is the side of a square.
    interpolation : str, default="bilinear"
        How Pillow resizes.
    mean, std : tuple of float, default=ImageNet's
        One value per channel, for values in [0, 1].

    See Also
    --------
    skdnn.models.Model : Takes a dict of the same names.

    Examples
    --------
    >>> from skdnn.models import Preprocessing
    >>> Preprocessing.from_dict({"resize": 64, "crop": None}).input_size is None
    True
    """

    resize: int | tuple[int, int] | None = 256
    crop: int | tuple[int, int] | None = 224
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    @classmethod
    def from_dict(cls, options: dict[str, Any]) -> Preprocessing:
        """Read a user's dict; keys that are left out keep ImageNet's values.

        Parameters
        ----------
        options : dict
            Of the parameters' names.

        Returns
        -------
        preprocessing : Preprocessing
            The same, checked.
        """
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
        """Resize and crop an image.

        Parameters
        ----------
        image : PIL image
            In RGB.

        Returns
        -------
        pixels : ndarray of shape (height, width, 3), uint8
            Before values are scaled.
        """
        transforms = import_optional("torchvision.transforms", "to prepare images")
        functional = transforms.functional
        if self.resize is not None:
            mode = transforms.InterpolationMode(self.interpolation)
            image = functional.resize(image, self.resize, mode)
        if self.crop is not None:
            image = functional.center_crop(image, self.crop)
        return np.asarray(image)


class KnownCallable:
    """A preparation by another package's code, which tells what it does."""

    def __call__(self, image: Any) -> Any:
        """Float tensor (3, height, width) of a PIL image in RGB."""
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


class Processor(KnownCallable):
    """Prepares one image as a processor of Hugging Face does, or its part for images."""

    def __init__(self, processor: Any) -> None:
        self.processor = getattr(processor, "image_processor", processor)

    def __call__(self, image: Any) -> Any:
        return self.processor(images=image, return_tensors="pt")["pixel_values"][0]

    def __repr__(self) -> str:
        return f"{type(self.processor).__name__} of transformers"

    def identity(self) -> Any:
        version = importlib.metadata.version("transformers")
        settings = {k: v for k, v in self.processor.to_dict().items() if k not in _NO_SETTINGS}
        return ["transformers", version, type(self.processor).__name__, settings]


def is_of_transformers(candidate: Any, *names: str) -> bool:
    """Whether this is of a class of Hugging Face's, without importing transformers for it."""
    return any(
        base.__name__ in names and base.__module__.startswith("transformers.")
        for base in type(candidate).__mro__
    )


def as_preprocessing(
    preprocess: Any, default: Preprocessing
) -> Preprocessing | Callable[[Any], Any]:
    """Read the ``preprocess`` parameter."""
    if is_default(preprocess):
        return default
    if isinstance(preprocess, (dict, Preprocessing)):
        as_dict = vars(preprocess) if isinstance(preprocess, Preprocessing) else preprocess
        return Preprocessing.from_dict(dict(as_dict))
    if preprocess is None:
        return AsItIs()
    if is_of_transformers(preprocess, *_PROCESSORS):
        return Processor(preprocess)
    if callable(preprocess):
        return preprocess
    raise ValueError(
        f"preprocess must be 'default', a dict or a callable on a PIL image, got {preprocess!r}."
    )


def is_default(preprocess: Any) -> bool:
    """Whether the network's own preparation is asked for."""
    return isinstance(preprocess, str) and preprocess == "default"


def preprocess_identity(preprocess: Any, version: str | None) -> Any:
    """What an image's preparation depends on, as plain values; `version` stands for code."""
    if isinstance(preprocess, KnownCallable):
        return preprocess.identity()
    if not isinstance(preprocess, Preprocessing):
        return code_identity(preprocess, version, f"preprocess={preprocess!r}")
    kind, values = type(preprocess).__name__, asdict(preprocess)
    return values if kind == "Preprocessing" else {"kind": kind, **values}
