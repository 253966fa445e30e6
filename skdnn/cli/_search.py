"""``skdnn search``."""

from __future__ import annotations

import argparse
import contextlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skdnn.cli._ask import choose_layers
from skdnn.cli._describe import check_methods, write_methods
from skdnn.cli._extractor import estimate_from, extractor_from
from skdnn.cli._frame import refuse
from skdnn.cli._images import image_paths
from skdnn.cli._networks import is_own
from skdnn.cli._output import note, show_facts, write_table
from skdnn.cli._places import PICTURES, TABLES, is_picture, places, save_picture
from skdnn.cli._targets import check_measures, read_rdm, read_responses
from skdnn.cli._unfinished import unfinished

_COMPONENTS = 50
_ALPHA = 0.05
# Modules that in evaluation give what they are given, perhaps with zeros around it or in another
# shape: a pattern does not mean them.
_PASSED_ON = re.compile(
    r"Identity|\w*Dropout(\d[dD])?|DropPath|StochasticDepth|DropBlock2d|\w*Pad(ding)?\d[dD]|"
    r"\w*Flatten\w*|Unflatten|Permute|Reshape|InputLayer"
)


def run(arguments: argparse.Namespace) -> None:
    """Search the layers, report and write."""
    from skdnn import rehearse_search

    _check_usage(arguments)
    outs = places(arguments, (*TABLES, *PICTURES))
    check_methods(arguments)
    check_measures(arguments, comparison=arguments.comparison)
    paths = image_paths(arguments.images)
    y = _target(arguments, paths)
    _check_folds(len(paths), arguments)
    extractor = extractor_from(arguments, cache=None)
    rehearse_search(
        search_over(extractor, [], y, arguments), y, max(64, arguments.components or 0) + 1
    )
    layers = _worth_scoring(arguments, extractor)
    if arguments.dry_run:
        _estimate(paths, layers, y, arguments)
        return
    with _activations(outs, arguments) as folder:
        extractor = extractor_from(arguments, cache=folder)
        extractor.precompute(paths, layers, verbose=extractor.verbose)
        extractor.set_params(verbose=0)
        found = search_over(extractor, layers, y, arguments).fit(paths, y)
        _check_scores(found, arguments)
        nested = _nested(extractor, layers, paths, y, arguments) if arguments.nested else None
        twin = _twin(found, paths, y, arguments) if arguments.twin else None
    _report(found, nested, twin, arguments)
    if arguments.methods:
        scores = None if nested is None else nested["scores"]
        write_methods(found.describe(paths, nested=scores), arguments.methods)
    profile = found.layer_profile_
    if twin is not None:
        profile = profile.join(twin[[name for name in twin if name not in profile]])
    for out in outs:
        if is_picture(out):
            save_picture(_drawn(found, twin, arguments), out)
        else:
            write_table(profile, out)


def _worth_scoring(arguments: argparse.Namespace, extractor: Any) -> list[str]:
    """The layers; of a pattern without those that would be scored as copies of another."""
    layers = list(choose_layers(arguments, extractor))
    named = set(arguments.layer or layers)
    kinds = {
        layer["name"]: str(layer.get("type", ""))
        for layer in extractor.describe(layers=layers).facts["layers"]
    }
    copies = [
        name for name in layers if name not in named and _PASSED_ON.fullmatch(kinds.get(name, ""))
    ]
    if copies and len(copies) < len(layers):
        types = ", ".join(sorted({kinds[name] for name in copies}))
        note(f"left out of the pattern: {len(copies)} layers that change nothing ({types}); "
             "give their names to have them", arguments)  # fmt: skip
        return [name for name in layers if name not in copies]
    return layers


def search_over(
    extractor: Any, layers: Sequence[str], y: Any, arguments: argparse.Namespace
) -> Any:
    """The search that the options describe, not fitted."""
    from skdnn import make_search

    n_images = arguments.n_images
    return make_search(
        extractor,
        layers,
        n_images - n_images // arguments.cv if arguments.nested else n_images,
        method=arguments.method,
        target="rdm" if arguments.rdm else "patterns",
        metric=arguments.metric,
        comparison=arguments.comparison,
        detail=isinstance(getattr(y, "columns", None), pd.MultiIndex),
        n_components=arguments.components,
        n_splits=arguments.cv,
        n_repeats=arguments.repeats,
        random_state=arguments.seed,
        n_jobs=arguments.jobs,
    )


def _check_usage(arguments: argparse.Namespace) -> None:
    wrong = None
    if arguments.method == "encoding" and arguments.rdm:
        wrong = "--method encoding predicts --responses; an RDM can't be predicted"
    elif arguments.cv < 2 or arguments.repeats < 1:
        wrong = "--cv needs two folds or more, and --repeats one or more"
    elif arguments.twin < 0:
        wrong = f"--twin {arguments.twin}: give 1 or more"
    elif arguments.twin and (is_own(arguments.model) or arguments.weights.lower() == "none"):
        wrong = "--twin is for a trained network that is given by its name"
    elif arguments.components is not None and arguments.components < 0:
        wrong = f"--components {arguments.components}: give 0 or more"
    refuse(wrong)


def _target(arguments: argparse.Namespace, paths: Sequence[str]) -> Any:
    """Rows in the order of the images, labelled by their paths."""
    if arguments.rdm:
        return read_rdm(arguments.rdm, paths, "--rdm", assume_order=arguments.assume_order)
    responses = read_responses(
        arguments.responses, paths, "--responses", assume_order=arguments.assume_order
    )
    return responses.to_numpy() if arguments.method == "encoding" else responses


def _check_folds(n_images: int, arguments: argparse.Namespace) -> None:
    """Enough images for each fold, and components for the smallest training set."""
    arguments.n_images = n_images
    smallest = n_images
    if arguments.nested:
        smallest -= -(-n_images // arguments.cv)
    fewest = 3 if arguments.method == "rsa" else 2
    if smallest // arguments.cv < fewest:
        raise ValueError(
            f"--cv {arguments.cv} leaves {smallest // arguments.cv} of {smallest} images in a "
            f"fold, but {fewest} or more are needed: use fewer folds."
        )
    n_train = smallest - -(-smallest // arguments.cv)
    if arguments.components is not None and arguments.components > n_train:
        raise ValueError(
            f"--components {arguments.components}: the training images of a fold are {n_train}."
        )
    if arguments.components is None and n_train - 1 < _COMPONENTS:
        note(f"components: {n_train - 1}, since a fold has {n_train} training images", arguments)


def _estimate(paths: list[str], layers: list[str], y: Any, arguments: argparse.Namespace) -> None:
    """What the pass through the network takes, and the folds behind it."""
    from skdnn import estimate_search

    out = arguments.out[0] if arguments.out else None
    estimate = estimate_from(arguments, paths, layers, out)
    search = search_over(extractor_from(arguments, cache=None), layers, y, arguments)
    n_nested = arguments.cv if arguments.nested else 0
    n_networks = 1 + arguments.twin
    n_fits = len(layers) * arguments.cv * arguments.repeats * (1 + n_nested + arguments.twin)
    units = list(estimate.n_units.values())
    once = estimate_search(search, y, units)
    folds = once * arguments.twin + estimate_search(search, y, units, n_nested=n_nested)
    whole = folds + (estimate.seconds or 0.0) * n_networks
    facts = {
        **estimate.to_dict(),
        "n_layers": len(layers),
        "n_fits": n_fits,
        "search_seconds": folds,
        "total_seconds": whole,
    }
    text = (
        f"{estimate}\n{len(layers)} layer(s), {n_fits} fits in the search, about "
        f"{_in_time(folds)}\nall together about {_in_time(whole)}"
    )
    show_facts(facts, text, as_json=arguments.json)


def _in_time(seconds: float) -> str:
    """As people say it."""
    minutes, hours = seconds / 60, seconds / 3600
    if seconds < 120:
        return f"{max(1.0, seconds):.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{hours:.1f} h"


@contextlib.contextmanager
def _activations(outs: Sequence[Path], arguments: argparse.Namespace) -> Iterator[str]:
    """The folder of activations, kept until the work is done."""
    out = outs[0] if outs else None
    with unfinished(out, arguments.cache) as folder:
        if folder is not None:
            yield folder
            return
        note("without --out or --cache, activations are not kept: an interrupted search begins "
             "anew", arguments)  # fmt: skip
        with tempfile.TemporaryDirectory() as temporary:
            yield temporary


def _nested(
    extractor: Any, layers: Sequence[str], paths: list[str], y: Any, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Scores of the whole search on images that it did not see."""
    from skdnn import nested_search

    note(f"nested: {arguments.cv} searches", arguments)
    search = search_over(extractor, layers, y, arguments)
    found = nested_search(search, paths, y, n_splits=arguments.cv, random_state=arguments.seed)
    return {
        "mean": float(found["score"].mean()),
        "std": float(found["score"].std(ddof=0)),
        "scores": found["score"].tolist(),
        "layers": found["dnn__layer"].tolist(),
    }


def _twin(found: Any, paths: list[str], y: Any, arguments: argparse.Namespace) -> pd.DataFrame:
    """The untrained twin beside, and the planned comparison."""
    from skdnn import compare_with_twin

    note(f"the untrained twin: {arguments.twin} seed(s)", arguments)
    return compare_with_twin(found, paths, y, twin=arguments.twin, random_state=arguments.seed)


def _check_scores(found: Any, arguments: argparse.Namespace) -> None:
    """A search without scores has no best layer."""
    unknown = found.layer_profile_["mean"].isna()
    if unknown.all():
        raise ValueError(
            "no layer has a score in all folds: RDMs or responses are constant in some. Use fewer "
            "folds (--cv), or more --components."
        )
    if unknown.any():
        layers = ", ".join(map(str, found.layer_profile_["layer"][unknown]))
        note(f"no score in some folds, so left out of the choice: {layers}", arguments)


def _score_name(arguments: argparse.Namespace) -> str:
    return "R2" if arguments.method == "encoding" else f"{arguments.comparison} of RDMs"


def _report(
    found: Any,
    nested: dict[str, Any] | None,
    twin: pd.DataFrame | None,
    arguments: argparse.Namespace,
) -> None:
    profile = found.layer_profile_
    profile = profile.astype(object).where(profile.notna(), None)
    row = profile[profile["rank"] == 1].iloc[0]
    best, score = str(row["layer"]), float(row["mean"])
    splits = arguments.cv * arguments.repeats
    facts: dict[str, Any] = {
        "best_layer": best,
        "score": score,
        "measure": _score_name(arguments),
        "n_images": arguments.n_images,
        "n_folds": splits,
        "profile": profile.to_dict(orient="records"),
    }
    shown = found.layer_profile_
    table = shown[[name for name in shown if not str(name).startswith("split")]]
    text = table.to_string(index=False, float_format="{:.4f}".format)
    text += (
        f"\nbest layer: {best} ({_score_name(arguments)} {score:.3f}, mean of {splits} folds)\n"
        f"It is the best of {len(profile)}, chosen on the folds that it is scored on, so its "
        "score is somewhat too high."
    )
    if nested is None:
        text += " --nested gives one that is not."
    else:
        facts["nested"] = nested
        text += (
            f"\nnested: {nested['mean']:.3f} ± {nested['std']:.3f} on images that had no part in "
            f"the choice (layers chosen: {', '.join(map(str, nested['layers']))})"
        )
    if twin is not None:
        facts["twin"] = twin.astype(object).where(twin.notna(), None).to_dict(orient="records")
        text += _of_twin(twin, arguments)
    show_facts(facts, text, as_json=arguments.json)


def _of_twin(twin: pd.DataFrame, arguments: argparse.Namespace) -> str:
    """The table for people, and what its columns are."""
    shown = twin.drop(columns=["depth", "std"]).dropna(axis=1, how="all")
    text = f"\n\nthe untrained twin ({arguments.twin} seed(s)) on the same folds:\n"
    text += shown.to_string(index=False, float_format="{:.4f}".format)
    if "p" in twin:
        text += (
            "\ndifference, low, high (95%): trained minus untrained, RDMs of all images; p by a "
            "bootstrap of images, and of subjects where there are several; p_adjusted for the "
            "number of layers (Holm)"
        )
    return text


def _drawn(found: Any, twin: pd.DataFrame | None, arguments: argparse.Namespace) -> Any:
    from skdnn import LayerScoresDisplay

    ylabel = f"score ({_score_name(arguments)})"
    if twin is None:
        return LayerScoresDisplay.from_search(found, ylabel=ylabel)
    tested: Any = twin["p_adjusted"].to_numpy() if "p_adjusted" in twin else np.ones(len(twin))
    if not (tested < _ALPHA).any():
        tested = None  # no dots, so no legend for them
    title = "dots: trained differs from untrained (Holm)" if tested is not None else None
    display = LayerScoresDisplay.from_search(
        found,
        each=False,  # of several ROIs too, their mean beside the twin's
        label="trained (± SD over folds)",
        ylabel=ylabel,
        title=title,
        p_values=tested,
        alpha=_ALPHA,
        whiskers="",  # the labels say it
    )
    twins = twin[["layer"]].assign(mean=twin["twin"], std=twin["twin_std"].fillna(0))
    spread = f" (± SD over {arguments.twin} seeds)" if arguments.twin > 1 else ""
    LayerScoresDisplay.from_scores(
        twins, ax=display.ax_, label=f"untrained{spread}", ylabel=ylabel, whiskers=""
    )
    return display
