"""The paragraph of a methods section: sentences of ``facts.toml``, filled from facts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from skdnn._methods import _facts
from skdnn._methods._facts import find_family, find_training, references, table
from skdnn._wording import counted

_TIMES = " \N{MULTIPLICATION SIGN} "
_LISTED = 12  # layers with their shapes in one sentence


def write(facts: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The paragraph, and keys of what it cites in the order of the text."""
    networks = [_of_network(network) for network in networks_in(facts)]
    study = {**_of_study(facts.get("study")), **_of_tools(networks_in(facts) or [facts])}
    told = [sentence for network in networks for sentence in _told("network", network)]
    told += _told("study", {**study, "networks": bool(networks)})
    told += [sentence for network in networks for sentence in _told("gaps", network)]
    keys: list[str] = []

    def label(mark: re.Match[str]) -> str:
        if mark[1] not in references():  # what stands in the facts by chance
            return mark[0]
        keys.append(mark[1])
        return references()[mark[1]][0]

    return re.sub(r"\[@(\w+)\]", label, " ".join(told)), list(dict.fromkeys(keys))


def networks_in(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Facts of each network: of several, of the one, or none of a study of other models."""
    alone = [] if facts.get("study") and "model" not in facts else [facts]
    return list(facts.get("networks") or alone)


def _told(about: str, known: Mapping[str, Any]) -> list[str]:
    """The sentences of a table whose facts are known: not None, False or empty."""
    return [
        sentence.format_map(known)
        for needs, sentence in table()["sentences"][about]
        if all(bool(known.get(need.lstrip("!"))) != (need[0] == "!") for need in needs.split())
    ]


def _cited(keys: Iterable[str]) -> str:
    """Marks of references, which become author and year."""
    return "; ".join(f"[@{key}]" for key in keys)


def _of_network(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the sentences can say of features."""
    kind, model, weights = origin(facts), facts["model"], str(facts["weights"])
    family = None if kind == "own" else find_family(model)
    n_images, n_conditions = facts.get("n_images"), facts.get("n_conditions")
    apart, steps = n_conditions not in (None, n_images), facts["preprocess"]
    known = {
        kind: True,
        "model": model,
        "weights": weights,
        "whose": "images" if n_images is None else counted(n_images, "image"),
        "family": family and family[0],
        "family_cited": family and _cited(family[1]),
        "clip": _facts.split_name(model)[0] in ("clip", "open_clip"),
        "file_name": kind in ("file", "address") and re.split(r"[/\\]", weights.split("#")[0])[-1],
        "hashed": table()["words"]["hashed"].get(kind),
        "sha256": facts.get("weights_sha256"),
        "begins": facts.get("weights_sha256_begins"),
        "fingerprint": (facts.get("network") or "")[:16],
        "conditions": apart and counted(n_conditions or 0, "condition"),
        "precision": facts.get("precision"),
        "seed": None if facts.get("seed") is None else str(facts["seed"]),
        "prepared": isinstance(steps, Mapping)
        and enumerated(_told("preparation", _prepared(steps))),
        "digest": (facts.get("images_digest") or "")[:16],
    }
    training = find_training(model, weights) if kind == "published" else _facts.Training([], [])
    return {**known, **_of_training(training), **_of_layers(facts["layers"])}


def _of_training(training: _facts.Training) -> dict[str, Any]:
    told = [f"{words} ({_cited(keys)})" if keys else words for words, keys in training.steps]
    unknown = [f'"{part}"' for part in training.unknown]
    return {
        "trained": "".join(told[:1]),
        "further": enumerated(told[1:]),
        "unknown": enumerated(unknown),
    }


def _of_layers(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    pooled = []
    for pooling, words in table()["words"]["pooling"].items():
        which = [layer["name"] for layer in layers if layer.get("pooling") == pooling]
        whose = "They" if len(which) == len(layers) else f"Those of {enumerated(which)}"
        pooled += [f"{whose} were {words}."] if which else []
    noun = "layer" if len(layers) == 1 else "layers"
    told = {"layers": f"{noun} {enumerated(map(layer_in_words, layers))}"}
    if len(layers) > _LISTED:
        names = ", ".join(layer["name"] for layer in layers)
        told = {"many_layers": f"{len(layers)} layers were read out: {names}"}
    return {**told, "pooled": " ".join(pooled)}


def _of_study(study: Any) -> dict[str, Any]:
    """What was done with the features; short names of methods and data in words."""
    if not isinstance(study, Mapping):
        return {}
    words = {name: table()["words"].get(name, {}) for name in study}
    told = {name: words[name].get(str(value), value) for name, value in study.items()}
    tests = [study["tests"]] if isinstance(study.get("tests"), str) else study.get("tests") or []
    parts = [
        [test] if isinstance(test, str) else _told("tests", _of_study(test)) for test in tests
    ]
    sentences = [sentence for part in parts for sentence in part]
    return {**told, "study": True, "tests": " ".join(sentences)}


def _of_tools(made: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found = {name.lower(): told for each in made for name, told in each["versions"].items()}
    tools = [
        f"{name} {found[package]}" + (f" ({_cited(keys.split())})" if keys else "")
        for package, (name, keys) in table()["tools"].items()
        if package in found
    ]
    return {"version": found.get("skdnn", "(version unknown)"), "tools": enumerated(tools)}


def origin(facts: Mapping[str, Any]) -> str:
    """Where weights come from: published, random, file, address, or own."""
    weights, told = str(facts["weights"]), facts.get("weights_from")
    guesses = {r"random \(": "random", "as given": "own", "https?://": "address"}
    found = [kind for begins, kind in guesses.items() if re.match(begins, weights)]
    return str(told or (found[0] if found else "published"))


def layer_in_words(layer: Mapping[str, Any]) -> str:
    """E.g. ``"features.10 (Conv2d; 256 × 13 × 13 = 43,264 units)"``."""
    name, module = layer["name"], layer.get("module")
    units, shape = layer.get("units"), layer.get("shape") or ()
    known = {
        "input": module and name == "penultimate",
        "output": name == "output",
        "inside": module and not name.startswith(module),
        "repeated": layer.get("n_calls", 1) > 1,
        "product": f"{_TIMES.join(map(number, shape))} = " if len(shape) > 1 else "",
        "size": units is not None and counted(units, "unit"),
    }
    about = "; ".join(_told("layer", {**layer, **known}))
    return f"{name} ({about})" if about else str(name)


def _prepared(steps: Mapping[str, Any]) -> dict[str, Any]:
    """What the steps of preprocessing say."""
    resize, crop, how = (steps.get(name) for name in ("resize", "crop", "interpolation"))
    kind = steps.get("mode") or ("exact" if isinstance(resize, Sequence) else "shorter")
    known = {kind: resize, "side": resize, "size": resize and size(resize)}
    known |= {"crop": crop and size(crop), "how": f" ({how} interpolation)" if how else ""}
    for name in ("mean", "std"):
        known[name] = ", ".join(f"{value:g}" for value in steps.get(name) or ())
    return {**steps, **known}


def size(value: Any) -> str:
    """Height and width."""
    height, width = (value, value) if isinstance(value, int) else value
    return f"{height}{_TIMES}{width}"


def enumerated(words: Iterable[str]) -> str:
    """Words with commas and "and"."""
    *first, last = [*words] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def number(n: int) -> str:
    """With commas at the thousands, from five digits on."""
    return f"{n:,}" if n >= 10_000 else str(n)
