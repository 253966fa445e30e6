"""Networks of a comparison together with their untrained twins."""

from __future__ import annotations

from collections.abc import Mapping

from skdnn._feature_extractor import DNNFeatureExtractor, twins_of


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
