"""The paragraph of a methods section: sentences of ``facts.toml``, filled from facts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from skdnn.methods import _facts
from skdnn.methods._facts import find_family, find_training, references, table

_TIMES = " \N{MULTIPLICATION SIGN} "
_LISTED = 12  # layers with their shapes in one sentence


def write(facts: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The paragraph, and keys of what it cites in the order of the text."""
    known = {name: value for name, value in _known(facts).items() if value not in (None, False)}
    told = [
        sentence.format_map(known)
        for needs, sentence in table()["paragraph"]["sentences"]
        if all((need.lstrip("!") in known) != need.startswith("!") for need in needs.split())
    ]
    keys: list[str] = []

    def label(mark: re.Match[str]) -> str:
        if mark[1] not in references():  # what stands in the facts by chance
            return mark[0]
        keys.append(mark[1])
        return references()[mark[1]][0]

    return re.sub(r"\[@(\w+)\]", label, " ".join(told)), list(dict.fromkeys(keys))


def _cited(keys: Iterable[str]) -> str:
    """Marks of references, which become author and year."""
    return "; ".join(f"[@{key}]" for key in keys)


def _known(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the sentences can say; None and False where it is not known."""
    kind, model, weights = origin(facts), facts["model"], str(facts["weights"])
    family = None if kind == "own" else find_family(model)
    n_images, n_conditions = facts.get("n_images"), facts.get("n_conditions")
    apart, steps = n_conditions not in (None, n_images), facts["preprocess"]
    known = {
        kind: True,
        "model": model,
        "weights": weights,
        "whose": "images" if n_images is None else count(n_images, "image"),
        "family": family and family[0],
        "family_cited": family and _cited(family[1]),
        "clip": _facts.split_name(model)[0] in ("clip", "open_clip"),
        "file_name": kind in ("file", "address") and re.split(r"[/\\]", weights.split("#")[0])[-1],
        "hashed": table()["words"]["hashed"].get(kind),
        "sha256": facts.get("weights_sha256"),
        "begins": facts.get("weights_sha256_begins"),
        "fingerprint": (facts.get("network") or "")[:16] or None,
        "conditions": apart and count(n_conditions or 0, "condition"),
        "precision": facts.get("precision"),
        "seed": None if facts.get("seed") is None else str(facts["seed"]),
        "prepared": isinstance(steps, Mapping) and listed(preparation(steps)),
        "digest": (facts.get("images_digest") or "")[:16] or None,
    }
    training = find_training(model, weights) if kind == "published" else _facts.Training([], [])
    return {
        **known, **_of_training(training), **_of_layers(facts["layers"]),
        **_of_study(facts.get("study")), **_of_tools(facts["versions"]),
    }  # fmt: skip


def _of_training(training: _facts.Training) -> dict[str, Any]:
    told = [f"{words} ({_cited(keys)})" if keys else words for words, keys in training.steps]
    unknown = [f'"{part}"' for part in training.unknown]
    return {
        "trained": told[0] if told else None,
        "further": listed(told[1:]) if told[1:] else None,
        "unknown": listed(unknown) if unknown else None,
    }


def _of_layers(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    pooled = []
    for pooling, words in table()["words"]["pooling"].items():
        which = [layer["name"] for layer in layers if layer.get("pooling") == pooling]
        whose = "They" if len(which) == len(layers) else f"Those of {listed(which or [''])}"
        pooled += [f"{whose} were {words}."] if which else []
    noun = "layer" if len(layers) == 1 else "layers"
    told = {"layers": f"{noun} {listed(map(layer_in_words, layers))}"}
    if len(layers) > _LISTED:
        names = ", ".join(layer["name"] for layer in layers)
        told = {"many_layers": f"{len(layers)} layers were read out: {names}"}
    return {**told, "pooled": " ".join(pooled) or None}


def _of_study(study: Any) -> dict[str, Any]:
    """What was done with the features; short names of methods and data in words."""
    if not isinstance(study, Mapping):
        return {}
    words = {name: table()["words"].get(name, {}) for name in study}
    return {"study": True, **{name: words[name].get(str(v), v) for name, v in study.items()}}


def _of_tools(versions: Mapping[str, Any]) -> dict[str, Any]:
    found = {name.lower(): version for name, version in versions.items()}
    tools = [
        f"{name} {found[package]}" + (f" ({_cited(keys.split())})" if keys else "")
        for package, (name, keys) in table()["tools"].items()
        if package in found
    ]
    version = found.get("skdnn", "(version unknown)")
    return {"version": version, "tools": listed(tools) if tools else None}


def origin(facts: Mapping[str, Any]) -> str:
    """Where weights come from: published, random, file, address, or own."""
    weights, told = str(facts["weights"]), facts.get("weights_from")
    guesses = {r"random \(": "random", "as given": "own", "https?://": "address"}
    found = [kind for begins, kind in guesses.items() if re.match(begins, weights)]
    return str(told or (found[0] if found else "published"))


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


def listed(words: Iterable[str]) -> str:
    """Words with commas and "and"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def count(n: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number(n)} {noun}{'' if n == 1 else 's'}"


def number(n: int) -> str:
    """With commas at the thousands, from five digits on."""
    return f"{n:,}" if n >= 10_000 else str(n)
