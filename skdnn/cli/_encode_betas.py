"""``skdnn encode --betas``: voxels of several subjects, and maps of their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skdnn._files import sidecar
from skdnn.cli._arguments import Arguments
from skdnn.cli._betas_files import facts_of, lines_of, read_subjects
from skdnn.cli._output_files import check_free, is_map, map_files
from skdnn.cli._terminal import note, show_facts

if TYPE_CHECKING:
    from skdnn.fmri import Betas
    from skdnn.io import OpenFeatures

_QUANTITIES = ("r", "r2", "normalised", "p", "p_fdr", "layer", "layer_share")
Maps = dict[Path, tuple[str, str]]  # what subject and quantity a file shows


def read_targets(features: OpenFeatures, arguments: Arguments) -> dict[str, Betas]:
    """Each subject's betas, with their images in the order of the features."""
    if features.names is None:
        raise ValueError(f"{features.path} has no names of images: save it with labels.")
    unseen = "drop" if arguments.surplus == "drop" else "error"
    subjects = read_subjects(arguments, features.names, features.path, unseen=unseen)
    if "normalised" in _quantities(arguments) and any(map(is_map, map(Path, arguments.out or ()))):
        for name, betas in subjects.items():
            if not betas.trials["image"].duplicated().any():
                whose = name or "the subject"
                raise ValueError(f"--maps normalised: no image was shown twice to {whose}.")
    maps = [path for path in map(Path, arguments.out or ()) if is_map(path)]
    if maps and any(betas.affine is None for betas in subjects.values()):
        raise ValueError(f"--out {maps[0]}: betas of surfaces make no volume.")
    return subjects


def wrong_maps(arguments: Arguments) -> str | None:
    """A quantity that there is not."""
    unknown = [name for name in _quantities(arguments) if name not in _QUANTITIES]
    return f"--maps {unknown[0]}: choose from {', '.join(_QUANTITIES)}" if unknown else None


def _quantities(arguments: Arguments) -> list[str]:
    return list(dict.fromkeys(arguments.maps or ["r"]))


def checked_maps(outs: Sequence[Path], subjects: Sequence[str], arguments: Arguments) -> Maps:
    """The maps that will be written, if their files are free, and those of layers' names too."""
    maps = {
        file: key
        for out in filter(is_map, outs)
        for key, file in map_files(out, subjects, _quantities(arguments)).items()
    }
    names = [sidecar(file) for file, (_, quantity) in maps.items() if quantity == "layer"]
    for file in [*maps, *names]:
        if file in outs and not is_map(file):
            raise ValueError(f"--out {file}: the names of layers of a map would be written there.")
    check_free([*maps, *names], arguments)
    return maps


def encoded(
    encoder: Any,
    X: Any,
    features: OpenFeatures,
    betas: Betas,
    subject: str,
    cv: Any,
    options: Mapping[str, Any],
    arguments: Arguments,
) -> pd.DataFrame:
    """A row for each voxel and fold."""
    from skdnn.fmri import encode_regions

    row_of = {name: row for row, name in enumerate(features.names or ())}
    rows = np.array([row_of[image] for image in betas.images])
    if len(rows) < len(X):
        X = X[rows]
    table = encode_regions(encoder, X, {subject: betas}, cv, **options)
    above = int((table["normalised"] > 1).sum())
    if above:
        note(f"r exceeds its noise ceiling in {above} of {len(table)} folds of voxels", arguments)
    return table


def write_maps(
    betas: Betas, voxels: pd.DataFrame, subject: str, layers: Sequence[str], maps: Maps
) -> None:
    """The maps of one subject, as soon as there are its scores."""
    table = voxels.assign(layer=pd.Categorical(voxels["layer"], pd.Index(layers)))
    for file, (whose, quantity) in maps.items():
        if whose == subject:
            file.parent.mkdir(parents=True, exist_ok=True)
            betas.save_map(table, file, columns=quantity)


def n_voxels(target: Any) -> int:
    """Of betas, or of a table of responses."""
    return int(target.shape[1] if isinstance(target, pd.DataFrame) else target.n_voxels)


def show_plan(
    features: OpenFeatures, targets: Mapping[str, Any], files: Sequence[Path], arguments: Arguments
) -> None:
    """What would be done, and which files would be written."""
    layers = list(features.layers)
    folds = 1 if arguments.test_images else arguments.cv
    names = sorted(map(str, files))
    facts: dict[str, Any] = {"layers": layers, "folds": folds, "files": names}
    if arguments.betas:
        facts["subjects"] = facts_of(targets)
        lines = lines_of(facts["subjects"])
    else:
        ((_, target),) = targets.items()
        facts |= {"images": len(target), "voxels": n_voxels(target)}
        lines = [f"{len(target)} images, {n_voxels(target)} voxels"]
    lines.append(f"{len(layers)} layer(s): {', '.join(layers)}; {folds} fold(s)")
    lines.append(f"would write {', '.join(names)}" if names else "would write no file")
    show_facts(facts, "\n".join(lines), as_json=arguments.json)
