"""The networks of a comparison: an extractor for each, its layers, its untrained twins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skdnn._feature_extractor import DNNFeatureExtractor, twins_of
from skdnn._wording import listed
from skdnn.models import Model
from skdnn.models._registry import fixed_seed


def extractors_of(
    models: Any, settings: Mapping[str, Any], cache: Any, verbose: int
) -> dict[str, DNNFeatureExtractor]:
    """An extractor for each model, by name; networks are not copied."""
    if isinstance(models, Mapping):
        named = [(str(name), model) for name, model in models.items()]
    elif isinstance(models, list | tuple):
        named = [(_name(model), model) for model in models]
    else:
        raise TypeError(f"models must be a list or a dict, got {type(models).__name__}.")
    if not named:
        raise ValueError("models is empty: there is no network to compare.")
    names = [name for name, _ in named]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"models holds {listed(twice)} more than once: name them in a dict, "
            "e.g. {'trained': ..., 'random': ...}."
        )
    return {name: _extractor(model, settings, cache, verbose) for name, model in named}


def _name(model: Any) -> str:
    if isinstance(model, DNNFeatureExtractor):
        return _name(model.model)
    if isinstance(model, str):
        return model
    return model.name if isinstance(model, Model) else type(model).__name__


def _extractor(
    model: Any, settings: Mapping[str, Any], cache: Any, verbose: int
) -> DNNFeatureExtractor:
    if not isinstance(model, DNNFeatureExtractor):
        own = {} if isinstance(model, str) else {"weights": "default"}
        return DNNFeatureExtractor(
            model, **{**settings, **own, "cache": cache, "verbose": verbose}
        )
    given = model.get_params(deep=False)
    given["random_state"] = fixed_seed(given["random_state"])  # the same at every call
    given["cache"] = cache if given["cache"] is None else given["cache"]
    given["verbose"] = max(given["verbose"], verbose)
    return type(model)(**given)


def with_layers(
    extractors: Mapping[str, DNNFeatureExtractor], layers: Any
) -> dict[str, DNNFeatureExtractor]:
    """The extractors, each with the layers that are wanted of it."""
    if layers is None:
        wanted = {name: extractor.layer for name, extractor in extractors.items()}
    elif isinstance(layers, str):
        wanted = dict.fromkeys(extractors, layers)
    elif isinstance(layers, Mapping):
        wanted = {str(name): entry for name, entry in layers.items()}
        if set(wanted) != set(extractors):
            raise ValueError(
                f"layers names the models {sorted(wanted)}, but models are {sorted(extractors)}."
            )
    elif isinstance(layers, list | tuple):
        if len(layers) != len(extractors):
            raise ValueError(
                f"layers has {len(layers)} entries for {len(extractors)} models: give one entry "
                "(a name or a list of names) for each model, or a dict."
            )
        wanted = dict(zip(extractors, layers, strict=True))
    else:
        raise TypeError(
            f"layers must be a name, a list, a dict or None, got {type(layers).__name__}."
        )
    return {
        name: extractor.set_params(layer=wanted[name]) for name, extractor in extractors.items()
    }


def with_twins(
    extractors: Mapping[str, DNNFeatureExtractor], twin: int
) -> tuple[dict[str, DNNFeatureExtractor], dict[str, list[str]]]:
    """All extractors, each trained one followed by its twins, and the names of these by its own.

    Raises
    ------
    ValueError
        If no network is trained and given by its name, or a name is taken.
    """
    together: dict[str, DNNFeatureExtractor] = {}
    twins: dict[str, list[str]] = {}
    for name, extractor in extractors.items():
        together[name] = extractor
        if not twin or extractor.weights is None or not isinstance(extractor.model, str):
            continue
        for seed, changes in twins_of(extractor, twin).items():
            own = f"{name} (untrained{f', seed {seed}' if twin > 1 else ''})"
            if own in extractors:
                raise ValueError(f"models: the name {own!r} is that of a twin: choose another.")
            given = {**extractor.get_params(deep=False), **changes}
            together[own] = type(extractor)(**given)
            twins.setdefault(name, []).append(own)
    if twin and not twins:
        raise ValueError(
            f"twin={twin}: no network here is trained and given by its name, and others cannot be "
            "built anew. Give a network with random weights as a model of its own."
        )
    return together, twins


def check_networks(extractors: Mapping[str, DNNFeatureExtractor], X: Any) -> None:
    """Find all networks and layers, or say which cannot be found."""
    errors: dict[str, Exception] = {}
    for name, extractor in extractors.items():
        try:
            extractor.fit(X)
        except (ValueError, TypeError, OSError) as error:
            errors[name] = error
    if len(errors) == 1:
        raise next(iter(errors.values()))
    if errors:
        lines = [f"\n- {name}: {error}" for name, error in errors.items()]
        kind = OSError if all(isinstance(e, OSError) for e in errors.values()) else ValueError
        raise kind(f"{len(errors)} models cannot be used:" + "".join(lines))
