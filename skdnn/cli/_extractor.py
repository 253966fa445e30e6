"""The extractor that a command's options describe, and what its work will take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from skdnn.cli._frame import Arguments
from skdnn.cli._networks import is_own, network
from skdnn.cli._reading import check_regular
from skdnn.cli._unfinished import unfinished_folder


def extractor_from(arguments: Arguments, **changes: Any) -> Any:
    """The extractor that the options of network and extraction describe."""
    from skdnn import DNNFeatureExtractor

    options = {
        name: getattr(arguments, name)
        for name in ("model", "backend", "device", "pooling", "batch_size", "precision", "cache")
        if hasattr(arguments, name)
    }
    given = {
        **options,
        "weights": weights_from(arguments),
        "random_state": arguments.seed,
        "verbose": int(not getattr(arguments, "quiet", False)),
        **changes,
    }
    given["model"] = network(given["model"], given["weights"], arguments.seed)
    return DNNFeatureExtractor(**given)


def precomputed(folder: str | None, rows: Any, layers: Sequence[str], arguments: Arguments) -> Any:
    """The same, after each image has gone through the network."""
    extractor = extractor_from(arguments, cache=folder)
    extractor.precompute(rows, layers, verbose=extractor.verbose)
    return extractor.set_params(verbose=0)


def estimate_from(arguments: Arguments, rows: Any, layers: Any, out: Any = None) -> Any:
    """What an extraction will take. Nothing is downloaded: random weights are as fast."""
    cache = arguments.cache
    if cache is None and out is not None:
        cache = unfinished_folder(out)
    found = extractor_from(arguments, cache=cache).estimate(rows, layers, measure=False)
    if not found.n_to_forward:
        return found
    own = {} if is_own(arguments.model) else {"weights": None}
    twin = extractor_from(arguments, **own, cache=None).estimate(rows, layers)
    share = found.n_to_forward / twin.n_to_forward
    return replace(found, seconds=None if twin.seconds is None else twin.seconds * share)


def weights_from(arguments: Arguments, given: str | None = None) -> str | None:
    """Random weights are None in Python, and 'none' in a shell."""
    weights: str = arguments.weights if given is None else given
    check_regular(weights)
    return None if weights.lower() == "none" else weights
