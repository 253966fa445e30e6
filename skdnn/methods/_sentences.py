"""Sentences of a methods section from facts; each says itself what it cites."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from skdnn.methods._citations import label
from skdnn.methods._families import find_family, find_training, split_name

_TIMES = " \N{MULTIPLICATION SIGN} "
_LISTED = 12  # layers with their shapes in one sentence
_POOLED = {
    "mean": "averaged over space or tokens",
    "max": "reduced to their maximum over space or tokens",
    "cls": "reduced to the class token",
    "cls+mean": "reduced to the class token and the average of all other tokens",
}
_DIGITS = re.compile(r"\B(?=(?:\d{3})+$)")


class Writer:
    """Collects what is cited."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = facts
        self.keys: list[str] = []

    def write(self) -> str:
        """The whole paragraph."""
        parts = (
            self._network(),
            *self._weights(),
            *self._layers(),
            *self._images(),
            self._tools(),
        )
        return " ".join(part for part in (*parts, *self._missing()) if part)

    def _cite(self, *keys: str) -> str:
        self.keys += [key for key in keys if key not in self.keys]
        return "; ".join(map(label, keys))

    def _network(self) -> str:
        facts = self._facts
        name, own = facts["model"], origin(facts) == "own"
        family = None if own else find_family(name)
        if own:
            what = f"a custom network ({name})"
        elif family is None:
            what = f"the network {name}"
        else:
            what = f"the {family.name} network {name} ({self._cite(*family.keys)})"
        if split_name(name)[0] in ("clip", "open_clip") and not own:
            what += ", of which the image encoder was used"
        n_images = facts.get("n_images")
        whose = "images" if n_images is None else f"{count(n_images, 'image')}"
        return f"Features of {whose} were taken from {what}."

    def _weights(self) -> Iterator[str]:
        facts, kind = self._facts, origin(self._facts)
        weights = facts["weights"]
        if kind == "random":
            seed = facts.get("seed")
            with_seed = "no fixed seed" if seed is None else f"seed {seed}"
            how = f"its weights were those of the framework's random initialisation ({with_seed})"
            yield f"The network was not trained: {how}."
        elif kind == "own":
            yield "Its weights were supplied with the network."
            yield self._hash("all its parameters and buffers")
        elif kind in ("file", "address"):
            name = re.split(r"[/\\]", weights.partition("#")[0])[-1]
            yield f"Its weights were read from the file {name}."
            yield self._hash("this file")
        else:
            known = find_training(facts["model"], weights)
            how = f", {known[0]} ({self._cite(*known[1])})" if known else ""
            yield f"It had the published weights {weights}{how}."
            unknown = "The SHA-256 of the checkpoint is not known: it was not at hand."
            yield self._hash("the checkpoint") or unknown
        if facts.get("network"):
            yield f"The fingerprint of network and weights begins with {facts['network'][:16]}."

    def _hash(self, of_what: str) -> str:
        whole, begins = (self._facts.get(f"weights_sha256{end}") for end in ("", "_begins"))
        if whole:
            return f"The SHA-256 of {of_what} is {whole}."
        return f"The SHA-256 of {of_what} begins with {begins}, as published." if begins else ""

    def _layers(self) -> Iterator[str]:
        layers = self._facts["layers"]
        if len(layers) > _LISTED:
            told = ", ".join(layer["name"] for layer in layers)
            yield f"Activations of {len(layers)} layers were read out: {told}."
        else:
            noun = "layer" if len(layers) == 1 else "layers"
            told = listed(list(map(layer_in_words, layers)))
            yield f"Activations were read out at the {noun} {told}."
        for pooling in dict.fromkeys(layer.get("pooling", "flatten") for layer in layers):
            which = [layer["name"] for layer in layers if layer.get("pooling") == pooling]
            if pooling in _POOLED:
                whose = "They" if len(which) == len(layers) else f"Those of {listed(which)}"
                yield f"{whose} were {_POOLED[pooling]}."
        n_conditions = self._facts.get("n_conditions")
        if n_conditions not in (None, self._facts.get("n_images")):
            of_all = count(n_conditions, "condition")
            yield f"They were averaged over the images of each of {of_all}."

    def _images(self) -> Iterator[str]:
        steps = self._facts["preprocess"]
        if not isinstance(steps, Mapping):
            yield "Images were decoded as RGB and prepared by a custom function."
        else:
            yield f"Images were decoded as RGB, {listed(list(preparation(steps)))}."
        precision = self._facts.get("precision")
        if precision:
            yield f"The network computed in {precision} precision."
        digest = self._facts.get("images_digest")
        if digest:
            yield f"The digest of all images in order begins with {digest[:16]}."

    def _tools(self) -> str:
        versions = {name.lower(): version for name, version in self._facts["versions"].items()}
        references = {
            "scikit-learn": ("pedregosa2011sklearn",),
            "torch": ("paszke2019pytorch",),
            "torchvision": ("torchvision2016",),
            "tensorflow": ("abadi2016tensorflow",),
            "keras": ("chollet2015keras",),
            "timm": ("wightman2019timm",),
            "open_clip_torch": ("ilharco2021openclip", "cherti2023openclip"),
            "pillow": (),
            "numpy": ("harris2020numpy",),
        }
        names = {"torch": "PyTorch", "tensorflow": "TensorFlow", "keras": "Keras"}
        names |= {"pillow": "Pillow", "numpy": "NumPy", "open_clip_torch": "OpenCLIP"}
        tools = []
        for package, keys in references.items():
            if package in versions:
                cited = f" ({self._cite(*keys)})" if keys else ""
                tools.append(f"{names.get(package, package)} {versions[package]}{cited}")
        with_what = f" with {listed(tools)}" if tools else ""
        return f"Extraction used skdnn {versions.get('skdnn', '(version unknown)')}{with_what}."

    def _missing(self) -> Iterator[str]:
        facts, kind = self._facts, origin(self._facts)
        if kind == "own" or find_family(facts["model"]) is None:
            yield f"[A reference for the network {facts['model']} must be added here.]"
        if kind == "published" and find_training(facts["model"], facts["weights"]) is None:
            yield f"[A reference for the weights {facts['weights']} must be added here.]"


def origin(facts: Mapping[str, Any]) -> str:
    """Where weights come from: published, random, file, address, or own."""
    weights = str(facts["weights"])
    if "weights_from" in facts:
        return str(facts["weights_from"])
    if weights.startswith("random ("):
        return "random"
    if weights == "as given":
        return "own"
    return "address" if re.match(r"https?://", weights) else "published"


def layer_in_words(layer: Mapping[str, Any]) -> str:
    """E.g. ``"features.10 (Conv2d; 256 × 13 × 13 = 43,264 units)"``."""
    about = [str(layer["type"])] if layer.get("type") else []
    name, module = layer["name"], layer.get("module")
    if name == "penultimate" and module:
        about = [f"the input of {module}"]
    elif name == "output":
        about = ["the network's output"]
    elif module and module != name and not name.startswith(module):
        about.append(f"module {module}")
    if layer.get("n_calls", 1) > 1:
        about.append(f"call {layer['call']} of {layer['n_calls']}")
    units, shape = layer.get("units"), layer.get("shape") or []
    if units is not None:
        product = f"{_TIMES.join(map(number, shape))} = " if len(shape) > 1 else ""
        about.append(f"{product}{count(units, 'unit')}")
    return f"{name} ({'; '.join(about)})" if about else str(name)


def preparation(steps: Mapping[str, Any]) -> Iterator[str]:
    """The steps of preprocessing, one after the other."""
    resize, crop = steps.get("resize"), steps.get("crop")
    how = f" ({steps['interpolation']} interpolation)" if steps.get("interpolation") else ""
    mode = steps.get("mode")
    if mode == "border":
        yield f"resized to fit into {size(resize)} pixels{how} and padded with the mean colour"
    elif mode == "cover":
        yield f"resized to cover {size(resize)} pixels{how}"
    elif isinstance(resize, Sequence):
        yield f"resized to {size(resize)} pixels{how}"
    elif resize is not None:
        yield f"resized to {resize} pixels along the shorter side{how}"
    if crop is not None:
        yield f"cropped at the centre to {size(crop)} pixels"
    if steps.get("module"):
        yield f"prepared by preprocess_input of keras.applications.{steps['module']}"
    elif steps.get("mean") is not None:
        mean, std = (", ".join(f"{value:g}" for value in steps[name]) for name in ("mean", "std"))
        yield "scaled to values from 0 to 1"
        yield f"normalised per colour channel (means {mean}; standard deviations {std})"


def size(value: Any) -> str:
    """Height and width."""
    height, width = (value, value) if isinstance(value, int) else value
    return f"{height}{_TIMES}{width}"


def listed(words: Sequence[str]) -> str:
    """Words with commas and "and"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def count(n: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number(n)} {noun}{'' if n == 1 else 's'}"


def number(n: int) -> str:
    """With commas at the thousands, from five digits on."""
    return _DIGITS.sub(",", str(n)) if n >= 10_000 else str(n)
