"""How images are prepared for Keras's networks: with Pillow, then by keras.applications."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skdnn.models._preprocessing import Preprocessing


@dataclass(frozen=True)
class KerasPreprocessing(Preprocessing):
    """Resize and crop with Pillow; then the ``preprocess_input`` of keras.applications.`module`.

    Without a module, `mean` and `std` are applied as torchvision does it.
    """

    module: str = ""

    def pixels(self, image: Any) -> np.ndarray:
        """Resize and crop a PIL image in RGB: uint8 array (height, width, 3)."""
        if self.resize is not None:
            from PIL import Image

            size = _resized(image.size, self.resize)
            image = image.resize(size, Image.Resampling[self.interpolation.upper()])
        if self.crop is not None:
            image = _centre(image, (self.crop,) * 2 if isinstance(self.crop, int) else self.crop)
        return np.asarray(image)

    def batch(self, pixels: np.ndarray) -> np.ndarray:
        """Float32 input of the network for uint8 pixels (n, height, width, 3)."""
        values = pixels.astype(np.float32)
        if self.module:
            module = importlib.import_module(f"keras.applications.{self.module}")
            return np.asarray(module.preprocess_input(values, data_format="channels_last"))
        values /= np.float32(255)
        values -= np.asarray(self.mean, np.float32)
        values /= np.asarray(self.std, np.float32)
        return values


def _resized(size: tuple[int, int], wanted: int | tuple[int, int]) -> tuple[int, int]:
    """Width and height after resizing; an int is the shorter side, as torchvision rounds it."""
    if not isinstance(wanted, int):
        return wanted[1], wanted[0]
    width, height = size
    if width <= height:
        return wanted, int(wanted * height / width)
    return int(wanted * width / height), wanted


def _centre(image: Any, size: tuple[int, ...]) -> Any:
    """Crop at the centre as torchvision does it: what reaches over the edge is black."""
    height, width = size
    left, top = max(width - image.width, 0), max(height - image.height, 0)
    if left or top:
        from PIL import ImageOps

        image = ImageOps.expand(image, (left // 2, top // 2, (left + 1) // 2, (top + 1) // 2))
    left = round((image.width - width) / 2)
    top = round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def as_keras_preprocessing(
    preprocess: Any, default: KerasPreprocessing
) -> KerasPreprocessing | Callable[[Any], Any]:
    """Read the ``preprocess`` parameter; what a dict leaves out stays the network's own.

    A mean or standard deviation takes the place of ``preprocess_input``. The length of the
    shorter side alone, without a crop, asks for a square of that size.
    """
    if isinstance(preprocess, str) and preprocess == "default":
        return default
    if isinstance(preprocess, KerasPreprocessing):
        return preprocess
    if isinstance(preprocess, Preprocessing):
        return KerasPreprocessing(**vars(preprocess))
    if isinstance(preprocess, dict):
        read = Preprocessing.from_dict(preprocess)
        changed = {key: getattr(read, key) for key in preprocess}
        if default.module and isinstance(changed.get("resize"), int):
            changed.setdefault("crop", changed["resize"])
        if "mean" in changed or "std" in changed:
            changed["module"] = ""
        return replace(default, **changed)
    if callable(preprocess):
        return preprocess
    raise ValueError(
        f"preprocess must be 'default', a dict or a callable on a PIL image, got {preprocess!r}."
    )
