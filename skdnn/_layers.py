"""Names of layers: match, suggest the nearest, ask for one call. Pooling over space or tokens.

Pure functions: nothing here knows a framework. A layer is asked for as

``"features.3"``
    the output of a module, by its path in the network;
``"features.*"``
    every module that matches the glob (``*`` crosses dots, and see `matches`);
``"penultimate"``, ``"output"``
    what a classifier reads (the input of the network's head, or, where it has none, what the
    network returns), and what the network returns;
``"V4.output@1"``
    the second call of a module that is called more than once (without ``@``: the last call);
``"encoder[1]"``, ``"backbone[out]"``
    an element of a module that returns a tuple or a dict (without brackets: its first tensor).
"""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from skdnn._wording import nearest

PENULTIMATE = "penultimate"
OUTPUT = "output"
NETWORK = "(network)"  # the whole, where the path of a module is told
POOLINGS = ("flatten", "mean", "max", "cls", "cls+mean")

# Where the unit axes of a layer's output lie, the batch axis not counted.
CHANNELS_FIRST = "channels_first"
CHANNELS_LAST = "channels_last"
TOKENS = "tokens"
VECTOR = "vector"
NOT_PER_IMAGE = "not_per_image"  # rows of the output are not images (windows, say)

_REQUEST = re.compile(r"^(?P<path>.*?)(?:\[(?P<key>[^\[\]]+)\])?(?:@(?P<call>\d+))?$")
ArrayT = TypeVar("ArrayT", bound=Any)


@dataclass(frozen=True)
class LayerInfo:
    """What one layer of a network returns.

    Attributes
    ----------
    name : str
        Path of the module, ``"penultimate"`` or ``"output"``.
    type : str
        Class of the module.
    output_shape : tuple of int
        Shape of its (last) output for one image, without the batch axis; empty if never called.
    n_params : int
        Parameters in the module, its children included.
    n_calls : int
        How often one forward pass calls it.
    layout : str
        ``"channels_first"``, ``"channels_last"``, ``"tokens"``, ``"vector"``, or
        ``"not_per_image"`` where the rows of the output are not images.
    n_prefix_tokens : int
        Class and register tokens in front of the image's own tokens.
    has_class_token : bool
        Whether the first of them is a class token.
    depth : int
        Place in the order in which modules finish, from 0; -1 if never called.
    batch_axis : int
        Axis of the output along which the images lie.
    variants : dict of (int, str or None) to LayerInfo
        What a certain call, or a certain element of the output, looks like, where that may
        differ: for modules called several times or returning a tuple or dict.
    source : str
        For ``"penultimate"`` and ``"output"``: path of the module that they are taken from;
        empty for a module of the network.
    side : {"output", "input"}
        Whether it is what comes out of that module, or what goes in.
    refusal : str
        Why it can't be captured; "" where it can.
    """

    name: str
    type: str
    output_shape: tuple[int, ...]
    n_params: int
    n_calls: int
    layout: str = VECTOR
    n_prefix_tokens: int = 0
    has_class_token: bool = False
    depth: int = -1
    batch_axis: int = 0
    source: str = ""
    side: str = "output"
    refusal: str = ""
    variants: dict[tuple[int, str | None], LayerInfo] = field(default_factory=dict, repr=False)

    def of(self, request: LayerRequest) -> LayerInfo:
        """What one call or element of this layer looks like.

        Raises
        ------
        ValueError
            If the layer has no such element.
        """
        if request.key is None and request.call is None:
            return self
        call = self.n_calls - 1 if request.call is None else request.call
        if (call, request.key) in self.variants:
            return self.variants[call, request.key]
        if request.key is None:
            return self
        keys = sorted(key for number, key in self.variants if number == call and key is not None)
        held = f"its elements are {_quoted(keys)}" if keys else "it is no tuple or dict"
        raise ValueError(
            f"layer {request.name!r}: the output of {self.name!r} has no element "
            f"{request.key!r}; {held}."
        )

    def of_network(self) -> LayerInfo:
        """The same as what the whole network returns, its elements included."""
        variants = {at: info.of_network() for at, info in self.variants.items()}
        return replace(self, source=NETWORK, variants=variants)

    @property
    def meaning(self) -> str:
        """What ``"penultimate"`` or ``"output"`` stands for; "" for a module of the network."""
        if self.refusal or not self.source:
            return self.refusal and "can't be captured"
        whole = self.source.replace(NETWORK, "the network")
        return f"{self.side} of {whole}" + (f"@{self.n_calls - 1}" if self.n_calls > 1 else "")

    @property
    def n_units(self) -> int:
        """Number of values per image."""
        return math.prod(self.output_shape) if self.n_calls else 0

    def as_plain(self) -> dict[str, Any]:
        """All of it as values that JSON can hold; `from_plain` reads them."""
        plain = {name: value for name, value in vars(self).items() if name != "variants"}
        variants = [[call, key, info.as_plain()] for (call, key), info in self.variants.items()]
        return {**plain, "variants": variants}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> LayerInfo:
        """What `as_plain` gave, also after a way through JSON."""
        variants = {(call, key): cls.from_plain(info) for call, key, info in plain["variants"]}
        shape = tuple(plain["output_shape"])
        return cls(**{**plain, "output_shape": shape, "variants": variants})


@dataclass(frozen=True)
class LayerRequest:
    """One layer as a user asked for it: a path, and perhaps an element and a call.

    Attributes
    ----------
    name : str
        As the user wrote it.
    path : str
        The module's path.
    key : str or None
        Element of a tuple (digits) or dict.
    call : int or None
        Which call, from 0; None is the last.
    """

    name: str
    path: str
    key: str | None = None
    call: int | None = None


def parse_request(name: str, known: Iterable[str]) -> LayerRequest:
    """Take a layer's name apart; a name that the network itself uses is never taken apart."""
    if name in set(known):
        return LayerRequest(name, name)
    match = _REQUEST.match(name)
    assert match is not None  # every part is optional
    call = match["call"]
    return LayerRequest(name, match["path"], match["key"], None if call is None else int(call))


def resolve_layers(
    wanted: str | Sequence[str], layers: Sequence[LayerInfo], model_name: str
) -> list[LayerRequest]:
    """Turn names and globs into requests for layers that exist and are called.

    Parameters
    ----------
    wanted : str or sequence of str
        What the user asked for.
    layers : sequence of LayerInfo
        All layers of the network.
    model_name : str
        For messages.

    Returns
    -------
    requests : list of LayerRequest
        In the order asked for; those of a glob in the order of the network.

    Raises
    ------
    TypeError
        If `wanted` holds something else than strings.
    ValueError
        For an unknown layer (with the nearest names), one that is never called, a call that
        does not happen, a glob without a match, or a layer asked for twice.
    """
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    if not names:
        raise ValueError("layer is empty: give at least one layer's name.")
    by_name = {info.name: info for info in layers}
    requests: list[LayerRequest] = []
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"layer must be a str or a list of str, got {name!r}.")
        if name not in by_name and any(sign in name for sign in "*?"):
            requests.extend(LayerRequest(n, n) for n in _match_glob(name, layers, model_name))
        else:
            requests.append(_check(parse_request(name, by_name), by_name, model_name))
    seen: set[str] = set()
    for request in requests:
        if request.name in seen:
            raise ValueError(
                f"layer {request.name!r} is asked for twice in {wanted!r}: name each layer once."
            )
        seen.add(request.name)
    return requests


def _match_glob(pattern: str, layers: Sequence[LayerInfo], model_name: str) -> list[str]:
    found = [
        info.name
        for info in layers
        if info.n_calls and info.name not in (PENULTIMATE, OUTPUT) and matches(info.name, pattern)
    ]
    if not found:
        raise ValueError(
            f"layer={pattern!r} matches no layer of {model_name}. "
            f"Its first layers are {_quoted(info.name for info in layers[:8])}."
        )
    return found


def matches(name: str, pattern: str) -> bool:
    """Whether a glob takes in this name.

    As `fnmatch`, but ``?`` alone between dots is one whole part of a name, whatever its length:
    ``"blocks.?"`` are the direct children of ``blocks``, also ``blocks.10``.
    """
    whole = "\ue000"  # no part of any name
    regex = fnmatch.translate(re.sub(r"(?<![^.])\?(?![^.])", whole, pattern))
    return re.match(regex.replace(whole, "[^.]+"), name) is not None


def _check(request: LayerRequest, by_name: dict[str, LayerInfo], model_name: str) -> LayerRequest:
    info = by_name.get(request.path)
    if info is None:
        raise ValueError(unknown_layer_message(request.path, list(by_name), model_name))
    if info.refusal:
        raise ValueError(f"layer {request.name!r} of {model_name}: {info.refusal}.")
    if info.n_calls == 0:
        raise ValueError(
            f"layer {request.name!r} of {model_name} is never called in a forward pass, "
            "so it has no activations. list_layers(model) shows n_calls of each layer."
        )
    if request.call is not None and request.call >= info.n_calls:
        raise ValueError(
            f"layer {request.name!r}: {request.path!r} is called {info.n_calls} time(s) per "
            f"forward pass; calls are counted from 0, so the last is @{info.n_calls - 1}."
        )
    if info.of(request).layout == NOT_PER_IMAGE:
        raise ValueError(
            f"layer {request.name!r} of {model_name} does not return one row per image "
            "(it works on windows or other parts of images): take the layer around it."
        )
    return request


def unknown_layer_message(name: str, known: Sequence[str], model_name: str) -> str:
    """Sentence that names the nearest layers to one that does not exist."""
    near = nearest(name, known)
    hint = f"Nearest names: {_quoted(near)}." if near else f"It has {_quoted(known[:8])} ..."
    return f"{model_name} has no layer {name!r}. {hint} list_layers(model) shows all of them."


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def pooled_shape(shape: tuple[int, ...], pooling: str, info: LayerInfo) -> tuple[int, ...]:
    """Shape of one image's features after pooling, and the place where wrong pooling is refused.

    Parameters
    ----------
    shape : tuple of int
        Of the layer's output, without the batch axis.
    pooling : str
        One of ``POOLINGS``; ``"flatten"`` leaves the shape as it is.
    info : LayerInfo
        The layer's layout and tokens.

    Returns
    -------
    shape : tuple of int

    Raises
    ------
    ValueError
        If the pooling makes no sense for this layer.
    """
    if pooling == "flatten":
        return shape
    if pooling.startswith("cls"):
        if info.layout != TOKENS or not info.has_class_token:
            raise ValueError(
                f"pooling={pooling!r} needs a class token, and layer {info.name!r} "
                f"(output {shape}, {info.layout.replace('_', ' ')}) has none: "
                "use 'mean', 'max' or 'flatten'."
            )
        return (shape[-1] * (2 if pooling == "cls+mean" else 1),)
    if len(shape) <= 1:
        return shape  # one value per unit: nothing to pool over
    return (shape[0],) if info.layout == CHANNELS_FIRST else (shape[-1],)


def pool(batch: ArrayT, pooling: str, info: LayerInfo) -> ArrayT:
    """Pool a batch of activations, a numpy array or a torch tensor, images along the first axis.

    ``"mean"`` and ``"max"`` go over space, or over the image's own tokens (class and register
    tokens are left out); ``"cls"`` takes the class token; ``"cls+mean"`` puts both side by side.
    A layer that returns a vector has nothing to pool over and stays as it is.
    """
    if pooling == "flatten" or (batch.ndim <= 2 and not pooling.startswith("cls")):
        return batch
    if pooling == "cls":
        return batch[:, 0]
    if pooling == "cls+mean":
        both = [batch[:, 0], batch[:, info.n_prefix_tokens :].mean(1)]
        return _concatenate(both)
    if info.layout == CHANNELS_FIRST:
        axes = tuple(range(2, batch.ndim))
    else:
        axes = tuple(range(1, batch.ndim - 1))
        if info.layout == TOKENS:
            batch = batch[:, info.n_prefix_tokens :]
    if pooling == "mean":
        return batch.mean(axes)
    return batch.amax(axes) if hasattr(batch, "amax") else batch.max(axis=axes)


def _concatenate(parts: list[ArrayT]) -> ArrayT:
    """Side by side, whatever the framework: the second is written behind the first."""
    width = sum(part.shape[1] for part in parts)
    shape = (parts[0].shape[0], width)
    new = getattr(parts[0], "new_empty", None)
    out: Any = new(shape) if new is not None else np.empty(shape, parts[0].dtype)
    start = 0
    for part in parts:
        out[:, start : start + part.shape[1]] = part
        start += part.shape[1]
    return out
