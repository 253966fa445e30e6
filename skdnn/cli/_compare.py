"""``skdnn compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skdnn.cli._arguments import Arguments, in_python, refuse, refuse_if
from skdnn.cli._images import image_names, image_paths
from skdnn.cli._network_and_layers import extractor_from, is_own, name_and_weights, weights_from
from skdnn.cli._output_files import checked_outs, is_picture, write_all
from skdnn.cli._rdm_files import Order, check_measures, in_common_order, read_file, read_references
from skdnn.cli._report_files import of_comparison
from skdnn.cli._terminal import note, show_table
from skdnn.cli._unfinished_work import unfinished

_CKA = "cka"
# Of trained networks only.
_OF_TWINS = (
    *("untrained", "untrained_std", "difference", "difference_low", "difference_high"),
    *("p_twin", "p_twin_adjusted"),
)


def run(arguments: Arguments) -> None:
    """Compare, report and write."""
    from skdnn.cli._compare_times import compare_over_time, is_over_time
    from skdnn.model_comparison import score_rdms

    over_time = is_over_time(arguments)
    _check_usage(arguments, over_time)
    outs = checked_outs(arguments)
    known = None if arguments.comparison == _CKA else arguments.comparison
    check_measures(arguments, comparison=known)
    if over_time:
        compare_over_time(arguments, outs)
        return
    if arguments.model:
        models, references, result = _networks(arguments)
    else:
        found = [one for path in arguments.files for one in read_file(path, arguments.metric)]
        if len(found) < 2 and not arguments.reference:
            refuse("one RDM alone has nothing to be compared with: give another, or --reference")
        models, references = in_common_order(
            found, arguments.reference, arguments.metric, assume_order=arguments.assume_order
        )
        result = None
    results: dict[str, Any] = {}
    if references:
        note(f"comparing with {', '.join(references)}", arguments)
        options = in_python(arguments, "comparison", "bootstrap", "permutations", "seed")
        table, results = score_rdms(models, references, **options)
        if arguments.twin:
            table = table.merge(_against_twins(result, references, arguments), "left")
    else:
        alike = _similarities(models, result, arguments.comparison)
        first = next(name for name in ("rdm", "compared", "row") if name not in alike.columns)
        table = alike.rename_axis(first).reset_index()
    show_table(table if arguments.json else _rounded(table), as_json=arguments.json)
    write_all(
        outs,
        table,
        lambda: _bars(table, results, arguments) if references else _heatmap(alike, arguments),
    )
    networks = (arguments.model or []) if arguments.report is not None else []
    of_comparison(
        *(arguments, table, {**models, **references}, results, result),
        image_paths(arguments.images) if networks else None,
        {text: _extractor(text, arguments) for text in networks},
    )


def _check_usage(arguments: Arguments, over_time: bool) -> None:
    """What argparse can't know: which options go together."""
    files, models, references = arguments.files, arguments.model or [], arguments.reference
    twice = sorted({text for text in models if models.count(text) > 1})
    drawn = any(map(is_picture, map(Path, arguments.out or [])))
    refuse_if({
        "give files of RDMs or features, or networks with --model and --images":
            bool(files) == bool(models),
        "--model needs --images": models and not arguments.images,
        "--images goes with --model: files have their RDMs already": files and arguments.images,
        "--bootstrap and --permutations need --reference":
            (arguments.bootstrap or arguments.permutations) and not references,
        "--comparison cka compares features, so it goes with --model, not with RDMs":
            arguments.comparison == _CKA and (files or references),
        "--twin goes with --model": arguments.twin and not models,
        "a picture shows one --reference": len(references) > 1 and drawn and not over_time,
        f"--model {', '.join(twice)} is given twice: NAME@WEIGHTS tells weights apart": twice,
        f"--layer: one for all, or one for each of the {len(models)} networks":
            len(models) > 1 and len(arguments.layer) not in (1, len(models)),
    })  # fmt: skip


def _networks(
    arguments: Arguments,
) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame], Any]:
    """RDMs of networks and of references, and the whole comparison."""
    from skdnn import compare_models

    paths = image_paths(arguments.images)
    labels = image_names(paths)
    order = Order(paths, "the images", arguments.assume_order, labels)
    references = read_references(arguments.reference, order, arguments.metric)
    if len(arguments.model) == 1:
        layers: Any = {arguments.model[0]: arguments.layer}
    elif len(arguments.layer) == 1:
        layers = arguments.layer[0]
    else:
        layers = dict(zip(arguments.model, arguments.layer, strict=True))
    with unfinished(arguments.out and arguments.out[0], arguments.cache) as folder:
        result = compare_models(
            {text: _extractor(text, arguments) for text in arguments.model},
            layers,
            paths,
            cache=folder,
            verbose=int(not arguments.quiet),
            **in_python(arguments, "metric", "comparison", "twin"),
        )
    models = {
        "/".join(map(str, key)): pd.DataFrame(result.rdms[key].to_numpy(), labels, labels)
        for key in result.index
    }
    return models, references, result


def _against_twins(
    result: Any, references: dict[str, pd.DataFrame], arguments: Arguments
) -> pd.DataFrame:
    """By reference and trained network, the planned comparison with its untrained twin."""
    n_boot = {"n_boot": arguments.bootstrap} if arguments.bootstrap else {}
    tested = result.against_twins(references, random_state=arguments.seed, **n_boot)
    named = {"low": "difference_low", "high": "difference_high"}
    named |= {"p": "p_twin", "p_adjusted": "p_twin_adjusted"}
    parts = []
    for name in references:
        part = tested[name].drop(columns="trained").rename(columns=named)
        part.insert(0, "model", ["/".join(map(str, key)) for key in part.index])
        part.insert(0, "reference", name)
        parts.append(part.dropna(axis=1, how="all"))
    return pd.concat(parts, ignore_index=True)


def _extractor(text: str, arguments: Arguments) -> Any:
    """The extractor of one --model: its own weights, or those of --weights."""
    name, weights = name_and_weights(text)
    chosen = "default" if is_own(text) else weights_from(arguments, weights)
    return extractor_from(arguments, model=name, weights=chosen, cache=None, verbose=0)


def _similarities(models: dict[str, pd.DataFrame], result: Any, comparison: str) -> pd.DataFrame:
    """Of networks as their comparison tells it, else of all RDMs."""
    from skdnn.rsa import compare_rdms

    known = compare_rdms(models, models, comparison) if result is None else result.to_frame()
    return pd.DataFrame(np.asarray(known), list(models), list(models))


def _bars(table: pd.DataFrame, results: dict[str, Any], arguments: Arguments) -> Any:
    from skdnn import ModelComparisonDisplay

    (name,) = table["reference"].unique()
    options: dict[str, Any] = {
        "title": name,
        "ylabel": f"similarity of RDMs ({arguments.comparison})",
    }
    if name in results:
        return ModelComparisonDisplay.from_result(results[name], **options)
    ceiling = None
    if "ceiling_lower" in table:
        ceiling = (table["ceiling_lower"][0], table["ceiling_upper"][0])
    frame = table[["model", "score"]]
    if "p_mantel" in table:
        frame = frame.assign(p=table["p_mantel"], p_adjusted=table["p_mantel_adjusted"])
    return ModelComparisonDisplay.from_frame(frame, ceiling=ceiling, **options)


def _heatmap(alike: pd.DataFrame, arguments: Arguments) -> Any:
    from skdnn import SimilarityDisplay

    what = "CKA" if arguments.comparison == _CKA else f"similarity ({arguments.comparison})"
    return SimilarityDisplay.from_frame(alike, label=what)


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Four digits are enough for eyes; files and JSON have all of them."""
    shown = table.map(lambda value: f"{value:.4g}" if isinstance(value, float) else value)
    return shown.mask(table.isna() & table.columns.isin(_OF_TWINS), "")
