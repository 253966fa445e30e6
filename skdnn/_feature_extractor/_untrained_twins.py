"""Untrained twins of an extractor: random weights, fed the same images."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from skdnn._feature_extractor._extractor import DNNFeatureExtractor
from skdnn.models import Preprocessing
from skdnn.models._registry import fixed_seed, resolve_model


def check_twin(twin: Any) -> int:
    """How many twins; True is one."""
    if not isinstance(twin, Integral | np.bool_) or int(twin) < 0:
        raise ValueError(f"twin={twin!r} must be a number of random seeds, 0 or more.")
    return int(twin)


def twins_of(extractor: DNNFeatureExtractor, twin: int) -> dict[int, dict[str, Any]]:
    """By seed, the parameters that make an extractor that of an untrained twin.

    Raises
    ------
    ValueError
        If the network is one's own, which cannot be built anew, or the images that its weights
        ask for cannot be prepared for the twin.
    """
    if not isinstance(extractor.model, str):
        raise ValueError(
            f"twin={twin}: {extractor.model!r} is a network of one's own, and only those "
            "given by name can be built anew. Give a network with random weights as a model of "
            "its own."
        )
    options = {"backend": extractor.backend, "preprocess": extractor.preprocess}
    trained, random = (
        resolve_model(extractor.model, weights=weights, **options).preprocess
        for weights in (extractor.weights, None)
    )
    changes: dict[str, Any] = {"weights": None}
    if trained != random:  # other weights than the default ones: the twin is fed as they are
        if type(trained) is not Preprocessing:
            raise ValueError(
                f"twin={twin}: the weights {extractor.weights!r} of {extractor.model!r} ask for "
                "images that its twin would not get: give preprocess=."
            )
        changes["preprocess"] = vars(trained)
    first = fixed_seed(extractor.random_state)
    return {first + k: {**changes, "random_state": first + k} for k in range(twin)}
