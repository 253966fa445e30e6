"""``skdnn encode``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skdnn._wording import listed
from skdnn.cli import _encode_betas as _betas
from skdnn.cli._arguments import Arguments, in_python, refuse, refuse_if
from skdnn.cli._betas_files import wrong_with_betas
from skdnn.cli._input_files import read_features, read_names, reading
from skdnn.cli._output_files import MAPS, REPORTS, TABLES, checked_outs, is_map, write_all
from skdnn.cli._report_files import of_encoding
from skdnn.cli._row_order import matched, read_responses
from skdnn.cli._terminal import as_text, note, records, show_facts, visible

if TYPE_CHECKING:
    from skdnn import LayerwiseEncoder
    from skdnn.io import OpenFeatures

_INNER = 5


def run(arguments: Arguments) -> None:
    """Predict voxels, report and write."""
    from skdnn.encoding import pool_folds

    _check_usage(arguments)
    kinds = (*TABLES, *REPORTS)
    outs = checked_outs(arguments, (*kinds, *MAPS) if arguments.betas else kinds)
    features = read_features(arguments.features, arguments.layer)
    targets = _targets(features, arguments)
    maps = _betas.checked_maps(outs, list(targets), arguments)
    tables_out = [out for out in outs if not is_map(out)]
    plans = {subject: _plan(target, arguments) for subject, target in targets.items()}
    if arguments.dry_run:
        _betas.show_plan(features, targets, [*tables_out, *maps], arguments)
        return
    tables, voxels = [], []
    for subject, target in targets.items():
        counts = f"{len(_images(target))} images, {_betas.n_voxels(target)} voxels"
        told = f"{counts}, {len(features.layers)} layer(s)"
        note(f"{subject}: {told}" if subject else told, arguments)
        tables.append(_encoded(target, subject, features, *plans[subject], arguments))
        voxels.append(pool_folds(tables[-1]))
        if arguments.betas:
            _betas.write_maps(target, voxels[-1], subject, list(features.layers), maps)
    voxels_table = pd.concat(voxels, ignore_index=True)
    folds = pd.concat(tables, ignore_index=True)
    write_all(tables_out, folds if arguments.per == "fold" else voxels_table)
    layers = list(features.layers)
    areas = _areas(voxels_table, layers, arguments)
    _report(areas, layers, arguments)
    *_, encoder = next(iter(plans.values()))
    of_encoding(arguments, folds, areas, encoder)


def _targets(features: OpenFeatures, arguments: Arguments) -> dict[str, Any]:
    """Responses of the only subject, or betas of each."""
    if arguments.betas:
        return _betas.read_targets(features, arguments)
    names = _names(features, arguments)
    assumed = {"assume_order": arguments.assume_order}
    return {"": read_responses(arguments.responses, names, "--responses", **assumed)}


def _plan(target: Any, arguments: Arguments) -> tuple[Any, np.ndarray | None, LayerwiseEncoder]:
    """Folds, groups, and the encoder with folds of its own inside the training images."""
    from skdnn import LayerwiseEncoder

    names = _images(target)
    groups = _groups(names, arguments) if arguments.groups else None
    inner = {"cv": _inner_folds(groups, arguments), "random_state": arguments.seed}
    return _folds(names, arguments), groups, LayerwiseEncoder(select=arguments.select, **inner)


def _images(target: Any) -> list[str]:
    return list(target.index) if isinstance(target, pd.DataFrame) else target.images


def _encoded(
    target: Any,
    subject: str,
    features: OpenFeatures,
    cv: Any,
    groups: np.ndarray | None,
    encoder: LayerwiseEncoder,
    arguments: Arguments,
) -> pd.DataFrame:
    """A row for each voxel and fold of one subject."""
    from skdnn.encoding import LayerFeatures, nested_encoding

    X = LayerFeatures(features.layers)
    options: dict[str, Any] = {"groups": groups, "model": Path(arguments.features).stem}
    options |= in_python(arguments, "permutations", "seed")
    if arguments.betas:
        return _betas.encoded(encoder, X, features, target, subject, cv, options, arguments)
    columns = target.columns
    options["voxels"] = columns.get_level_values(-1).to_numpy()
    options["roi"] = columns.get_level_values(0).to_numpy() if columns.nlevels > 1 else ""
    return nested_encoding(encoder, X, target.to_numpy(), cv, **options)


def _check_usage(arguments: Arguments) -> None:
    refuse_if({
        f"--fdr {arguments.fdr}: give a number between 0 and 1": not 0 < arguments.fdr < 1,
        "--groups parts folds, and --test-images is instead of folds":
            arguments.groups and arguments.test_images,
    })  # fmt: skip
    refuse(wrong_with_betas(arguments, "maps") or _betas.wrong_maps(arguments))


def _names(features: OpenFeatures, arguments: Arguments) -> list[str]:
    """Names of the features' rows: their own, or those of the responses in their order."""
    if features.names is not None:
        return features.names
    from skdnn.io import load_tables

    with reading(arguments.responses):
        held, _ = load_tables(arguments.responses)
    n_rows = features.n_rows
    if held is None and arguments.test_images:
        raise ValueError(
            f"--test-images: neither {features.path} nor {arguments.responses} has names of its "
            "rows."
        )
    names = held or [f"row {row + 1}" for row in range(n_rows)]
    vouched = {"assume_order": arguments.assume_order, "order": arguments.responses}
    matched(None, n_rows, names, features.path, **vouched)
    return names


def _folds(names: Sequence[str], arguments: Arguments) -> Any:
    """A number of folds, or the one split that was asked for."""
    if not arguments.test_images:
        if arguments.cv > len(names):
            raise ValueError(
                f"--cv {arguments.cv}: there are {len(names)} images, so fewer folds."
            )
        return arguments.cv
    test = matched(names, len(names), read_names(arguments.test_images), arguments.features)
    train = np.setdiff1d(np.arange(len(names)), test)
    if len(test) < 3 or len(train) < 10:
        raise ValueError(
            f"--test-images {arguments.test_images}: {len(test)} test and {len(train)} training "
            "images are too few (3 and 10 at least)."
        )
    return [(train, np.sort(test))]


def _groups(names: Sequence[str], arguments: Arguments) -> np.ndarray:
    path, column = arguments.groups
    with reading(path):
        table = pd.read_csv(path, sep=None, engine="python", dtype=str, encoding="utf-8-sig")
    if column not in table.columns[1:]:
        raise ValueError(
            f"--groups: {path} has no column {column!r} behind the names, but "
            f"{listed(table.columns[1:], 10, visible)}."
        )
    order = matched(table.iloc[:, 0].astype(str).tolist(), len(table), names, f"--groups {path}")
    groups = table[column].iloc[order]
    if groups.isna().any():
        raise ValueError(f"--groups: {path} has no {column} for some images.")
    return groups.to_numpy(dtype=str)


def _inner_folds(groups: np.ndarray | None, arguments: Arguments) -> int:
    """Folds that choose layers and penalties: five, or as many as the training groups allow."""
    if groups is None:
        return _INNER
    n_groups = len(np.unique(groups))
    n_train = n_groups - -(-n_groups // arguments.cv)
    if n_groups < arguments.cv or n_train < 2:
        raise ValueError(
            f"--groups: {n_groups} groups are too few for --cv {arguments.cv}: each fold needs a "
            "group, and two or more must be left to train on."
        )
    return min(_INNER, n_train)


def _areas(voxels: pd.DataFrame, layers: Sequence[str], arguments: Arguments) -> pd.DataFrame:
    """A row for each subject and area."""
    from skdnn.encoding import summarize_voxels

    areas = {
        subject: summarize_voxels(part, layers=layers, alpha=arguments.fdr)
        for subject, part in voxels.groupby("subject", sort=False)
    }
    if list(areas) == [""]:
        return areas[""]
    return pd.concat(areas, names=["subject"]).reset_index(level=0).reset_index(drop=True)


def _report(areas: pd.DataFrame, layers: Sequence[str], arguments: Arguments) -> None:
    """How many voxels, how well, how many surely, and which layers."""
    which = f"significant voxels (FDR {arguments.fdr:g})"
    text = as_text(areas, 3)
    text += f"\nlayers: numbers of {which} that are predicted best from each"
    facts = {"areas": records(areas), "layers": list(layers), "fdr": arguments.fdr}
    show_facts(facts, text, as_json=arguments.json)
