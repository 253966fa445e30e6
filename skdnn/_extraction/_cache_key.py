"""What a cache key is made of: all that the stored values of a layer depend on.

An image is found among a layer's rows by its digest, so that the key says nothing of images but
how they are decoded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from skdnn._backends import Capture
from skdnn._extraction._random_networks import CHECK, is_repeatable
from skdnn._file_digests import DECODING, digest_of
from skdnn.models._model_spec import ModelSpec

#: To be raised whenever the same network, image and layer give other values than before.
_CAPTURE = 1
#: To be raised whenever Keras's networks are fed the same prepared images otherwise than before.
_FED = 2


def cache_keys(
    spec: ModelSpec,
    precision: str,
    identity: tuple[str, Any, list[Any]],
    captures: Iterable[Capture],
) -> dict[str, dict[str, Any]]:
    """The key of each layer, and beside it the same for people to read.

    `identity` is that of the network, its preprocessing and the settings that count.
    """
    network, preparation, settings = identity
    common = {
        "model": spec.name,
        "weights": spec.weights,
        "precision": precision,
        "preprocess": preparation if isinstance(preparation, dict) else "a callable",
        "network": network,
        "decoding": DECODING,
        **({"settings": settings} if settings else {}),
    }
    found = {}
    for capture in captures:
        layer, pooling, meaning = capture.canonical, capture.pooling, capture.info.meaning
        key = [network, preparation, precision, layer, pooling, DECODING, _CAPTURE]
        found[capture.name] = {
            "key": digest_of(key + settings + _meaning(spec, capture)),
            "layer": layer,
            "module": capture.info.source or capture.request.path,
            "pooling": pooling,
            **({"meaning": meaning} if meaning else {}),
            **common,
        }
    return found


def _meaning(spec: ModelSpec, capture: Capture) -> list[Any]:
    """What was found out about a layer when it was listed, as far as its values depend on it.

    Of the inner layers of torch's networks known by name, not pooled, nothing is.
    """
    info = capture.info
    found: dict[str, Any] = {}
    if info.source:
        found["from"] = [info.side, info.source, capture.wanted_call]
    if capture.pooling != "flatten":
        found["units"] = [info.layout, info.n_prefix_tokens, info.has_class_token]
    if not is_repeatable(spec):
        found["checked"] = CHECK
    if spec.backend == "tensorflow":
        found["fed"] = _FED
    return [found] if found else []
