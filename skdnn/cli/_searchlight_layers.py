"""RDMs of the layers that ``skdnn searchlight`` looks for: of files, or of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from skdnn._wording import listed
from skdnn.cli._arguments import Arguments
from skdnn.cli._rdm_files import in_common_order, read_file


def rdms_of_files(arguments: Arguments) -> dict[str, pd.DataFrame]:
    """An RDM for each layer, with the names of images."""
    found = [one for path in arguments.files for one in read_file(path, arguments.metric)]
    if arguments.layer:
        known = [one.name for one in found]
        missing = [name for name in arguments.layer if name not in known]
        if missing:
            raise ValueError(f"--layer {missing[0]}: the files have {listed(known, 10)}.")
        found = [one for name in arguments.layer for one in found if one.name == name]
    if all(one.labels is None for one in found):
        raise ValueError(
            f"{found[0].path} has no names of images, so nothing says which row is which image: "
            "save it with labels."
        )
    models, _ = in_common_order(found, [], arguments.metric, assume_order=arguments.assume_order)
    if len(arguments.files) > 1:
        return models
    return {one.name or name: rdm for one, (name, rdm) in zip(found, models.items(), strict=True)}


def rdms_of_network(
    extractor: Any, layers: Sequence[str], paths: Sequence[str], metric: str
) -> dict[str, pd.DataFrame]:
    """The same of a network whose activations are stored; one layer at a time is read."""
    from skdnn.rsa import compute_rdm

    found = {}
    for name in layers:
        features = extractor.set_params(layer=name).fit(paths).stored(paths)
        found[name] = pd.DataFrame(compute_rdm(features, metric), list(paths), list(paths))
    return found


def made_up_rdms(layers: Sequence[str], paths: Sequence[str]) -> dict[str, pd.DataFrame]:
    """RDMs of as many layers and images, by which all else can be checked."""
    import numpy as np

    from skdnn.rsa import compute_rdm

    draw = np.random.default_rng(0)
    return {
        name: compute_rdm(pd.DataFrame(draw.normal(size=(len(paths), 8)), index=list(paths)))
        for name in layers
    }
