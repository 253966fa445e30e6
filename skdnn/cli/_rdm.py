"""``skdnn rdm``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skdnn._wording import listed
from skdnn.cli._arguments import Arguments
from skdnn.cli._images import image_paths
from skdnn.cli._input_files import read_features, reading
from skdnn.cli._output_files import (
    PICTURES,
    RDM_FILES,
    check_free,
    checked_outs,
    is_picture,
    save_picture,
)
from skdnn.cli._rdm_files import check_measures
from skdnn.cli._row_order import matched
from skdnn.cli._terminal import note, show_facts, visible

if TYPE_CHECKING:
    from skdnn.io import OpenFeatures

# Formats that hold one RDM and no name of its layer.
_SINGLE = (".csv", ".tsv", ".npy")


def run(arguments: Arguments) -> None:
    """Make RDMs and write them."""
    outs = checked_outs(arguments, (*PICTURES, *RDM_FILES))
    check_measures(arguments)
    features = read_features(arguments.features, arguments.layer)
    _refuse_rdms(features)
    files = {out: _files(out, list(features.layers)) for out in outs}
    check_free([path for made in files.values() for path in made.values()], arguments)
    options = _picture_options(features, arguments) if any(map(is_picture, outs)) else {}
    rdms = {}
    for name, array in features.layers.items():
        note(f"{name}: {array.shape[0]} images, {array.shape[1]} units", arguments)
        rdms[name] = _rdm(array, features, arguments)
    for out in outs:
        _write(rdms, out, files[out], options, arguments)
    paths = [str(path) for out in outs for path in dict.fromkeys(files[out].values())]
    facts = {
        "files": paths,
        "layers": list(rdms),
        "n_conditions": features.n_rows,
        "metric": arguments.metric,
    }
    text = (
        f"{features.n_rows} x {features.n_rows} dissimilarities ({arguments.metric}) of "
        f"{len(rdms)} layer(s): {', '.join(paths)}"
    )
    show_facts(facts, text, as_json=arguments.json)


def _refuse_rdms(features: OpenFeatures) -> None:
    """Rows of an RDM are no features: what looks like one is not made an RDM of again."""
    for name, array in features.layers.items():
        if array.shape[0] != array.shape[1]:
            continue
        values = np.asarray(array, dtype=np.float64)
        if not np.diag(values).any() and values.any() and np.array_equal(values, values.T):
            of = f", {name}," if len(features.layers) > 1 else ""
            raise ValueError(
                f"{features.path}{of} holds an RDM already (symmetric, with zeros on the "
                "diagonal): skdnn compare and skdnn search --rdm take it as it is."
            )


def _files(out: Path, layers: list[str]) -> dict[str, Path]:
    """The file of each layer."""
    if len(layers) == 1 or out.suffix.lower() not in _SINGLE:
        return dict.fromkeys(layers, out)
    safe = [re.sub(r"[^\w.@-]", "_", name) for name in layers]
    files = [out.with_name(f"{out.stem}.{name}{out.suffix}") for name in safe]
    if len(set(files)) < len(files):
        raise ValueError(
            f"--out {out}: layers would share a file: {listed(layers, 10, visible)}. Use .h5."
        )
    return dict(zip(layers, files, strict=True))


def _rdm(array: Any, features: OpenFeatures, arguments: Arguments) -> pd.DataFrame:
    from sklearn.preprocessing import Normalizer, StandardScaler

    from skdnn.rsa import compute_rdm

    with reading(features.path):
        if arguments.center:
            array = StandardScaler(with_std=False).fit_transform(np.asarray(array))
        if arguments.normalize:
            array = Normalizer().fit_transform(np.asarray(array))
        values = compute_rdm(array, arguments.metric)
    return pd.DataFrame(values, index=features.names, columns=features.names)


def _picture_options(features: OpenFeatures, arguments: Arguments) -> dict[str, Any]:
    """How to draw, checked before the work."""
    order = None if arguments.order == "given" else arguments.order
    options: dict[str, Any] = {"rank_transform": arguments.rank, "order": order}
    if arguments.groups:
        classes = features.targets
        if classes is None or np.ndim(classes) != 1:
            raise ValueError(f"--groups: {features.path} was saved without classes of images.")
        options["groups"] = [str(name) for name in classes]
    if arguments.images:
        options["images"] = _images(features, arguments)
    return options


def _images(features: OpenFeatures, arguments: Arguments) -> list[str]:
    """An image for each row, by name."""
    paths = image_paths(arguments.images)
    if features.names is None:
        matched(None, features.n_rows, paths, features.path, assume_order=arguments.assume_order)
        return paths
    order = matched(paths, len(paths), features.names, f"--images {' '.join(arguments.images)}")
    return [paths[row] for row in order]


def _write(
    rdms: dict[str, pd.DataFrame],
    out: Path,
    files: dict[str, Path],
    options: dict[str, Any],
    arguments: Arguments,
) -> None:
    from skdnn.io import save_rdm

    if is_picture(out):
        save_picture(_drawn(rdms, options, arguments), out)
    elif len(set(files.values())) < len(rdms):
        save_rdm(rdms, out, overwrite=arguments.overwrite)
    else:
        for name, rdm in rdms.items():
            save_rdm(rdm, files[name], overwrite=arguments.overwrite)


def _drawn(rdms: dict[str, pd.DataFrame], options: dict[str, Any], arguments: Arguments) -> Any:
    from skdnn import RDMDisplay

    if len(rdms) > 1:
        return RDMDisplay.from_rdms(rdms, metric=arguments.metric, **options)
    ((name, rdm),) = rdms.items()
    return RDMDisplay.from_rdm(rdm, title=name, metric=arguments.metric, **options)
