"""What is known of networks and weights: ``facts.toml`` and ``references.bib``."""

from __future__ import annotations

import functools
import re
import tomllib
from importlib import resources
from typing import Any, NamedTuple

_FILES = resources.files("skdnn._methods")


class Training(NamedTuple):
    """How weights were made: steps with their references, and parts of the tag not known here."""

    steps: list[tuple[str, list[str]]]
    unknown: list[str]


@functools.cache
def table() -> dict[str, Any]:
    """The facts."""
    return tomllib.loads(_FILES.joinpath("facts.toml").read_text(encoding="utf-8"))


@functools.cache
def references() -> dict[str, tuple[str, str]]:
    """Of each key, author and year as they stand in a text, and the BibTeX entry."""
    paragraphs = _FILES.joinpath("references.bib").read_text(encoding="utf-8").split("\n\n")
    pairs = [paragraph.strip().partition("\n")[::2] for paragraph in paragraphs]
    return {re.split("[{,]", entry)[1]: (label, entry) for label, entry in pairs if entry}


def split_name(model: str) -> tuple[str, str]:
    """Source and name of a network; the short names of CLIP stand alone."""
    source, slash, name = model.partition("/")
    if slash:
        return source, name
    return ("clip" if model.startswith("clip-") else ""), model


def find_family(model: str) -> tuple[str, list[str]] | None:
    """Name and references of what a network's name stands for; None where it is not known."""
    source, name = split_name(model)
    if source == "timm":
        name = name.partition(".")[0]  # without the tag of its weights
    for pattern, family, keys in table()["family"].get(source, ()):
        if re.fullmatch(pattern, name.lower()):
            return family, keys.split()
    return None


def find_training(model: str, weights: str) -> Training:
    """What the name of published weights says, word by word; no step where nothing is known."""
    source, name = split_name(model)
    known = table()["weights"]
    if source in known["tagged"]:
        return _read_tag(weights)
    for names, pattern, tag in known.get(source, ()):
        if re.fullmatch(names, name.lower()) and re.fullmatch(pattern, weights):
            return _read_tag(tag)
    return Training([], [])


def _read_tag(tag: str) -> Training:
    """Steps of training from a tag: data and methods are matched whole, never by a part."""
    steps, unknown = [], []
    stages = re.split(r"(?:^|_)ft_", tag)  # trained further
    for stage in stages:
        found, strange = _read_stage(stage.split("_"))
        if not found and stage is not stages[-1]:
            found, strange = [("on data that its name does not tell", [])], [stage or "ft"]
        steps += found
        unknown += strange
    return Training(steps, unknown) if any(keys for _, keys in steps) else Training([], [])


def _read_stage(parts: list[str]) -> tuple[list[tuple[str, list[str]]], list[str]]:
    """Steps of one stage, each ending with its data, and what is not known."""
    data, steps, unknown = table()["data"], [], []
    methods: list[Any] = []
    while parts:
        begins = {"_".join(parts[:size]): size for size in (1, 2, 3, 4)}
        known = [name for name in begins if name in data or name in table()["method"]]
        name = known[-1] if known else parts[0]  # the longest
        parts = parts[begins[name] :]
        if name in data:
            steps.append(_step(methods, *data[name]))
            methods = []
        elif known:
            methods.append(table()["method"][name])
        elif not any(re.fullmatch(silent, name) for silent in table()["silent"]["parts"]):
            unknown.append(name)
    if methods and steps:  # behind the data
        words, keys = steps.pop()
        steps.append(_step(methods, words, " ".join(keys)))
    elif methods and len(methods[-1]) > 2:  # without data, which the method implies
        steps.append(_step(methods, *data[methods[-1][2]]))
    return steps, unknown


def _step(methods: list[Any], words: str, keys: str) -> tuple[str, list[str]]:
    """Methods and data as one step: words and references."""
    told = " ".join([*(method[0] for method in methods), words])
    return told, list(dict.fromkeys(" ".join([*(m[1] for m in methods), keys]).split()))
