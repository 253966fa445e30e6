"""``skdnn search``."""

from __future__ import annotations

import argparse
import contextlib
import re
import tempfile
import warnings
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
_PARAM = "dnn__layer"


def run(arguments: argparse.Namespace) -> None:
    _check_usage(arguments)
    outs = places(arguments, (*TABLES, *PICTURES))
    check_methods(arguments)
    check_measures(arguments, comparison=arguments.comparison)
    paths = image_paths(arguments.images)
    y = _target(arguments, paths)
    _check_folds(len(paths), arguments)
    _rehearse(y, arguments)
    layers = _worth_scoring(arguments, extractor_from(arguments, cache=None))
    if arguments.dry_run:
        _estimate(paths, layers, arguments)
        return
    with _activations(outs, arguments) as folder:
        extractor = extractor_from(arguments, cache=folder)
        extractor.precompute(paths, layers, verbose=extractor.verbose)
        extractor.set_params(verbose=0)
        found = search_over(extractor, layers, arguments).fit(paths, y)
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


def search_over(extractor: Any, layers: Sequence[str], arguments: argparse.Namespace) -> Any:
    """The search that the options describe, not fitted."""
    from sklearn.model_selection import RepeatedKFold
    from sklearn.pipeline import Pipeline

    from skdnn import LayerSearchCV

    n_images = arguments.n_images
    inner = n_images - n_images // arguments.cv if arguments.nested else n_images
    return LayerSearchCV(
        Pipeline([("dnn", extractor), *_steps(arguments, inner)]),
        {_PARAM: list(layers)},
        cv=RepeatedKFold(
            n_splits=arguments.cv, n_repeats=arguments.repeats, random_state=arguments.seed
        ),
        n_jobs=arguments.jobs,
    )


def _steps(arguments: argparse.Namespace, n_images: int) -> list[tuple[str, Any]]:
    """What follows the network."""
    from sklearn.preprocessing import StandardScaler

    from skdnn import RDM, GramPCA, RSAScorer, VoxelwiseRidgeCV

    steps: list[tuple[str, Any]] = [("center", StandardScaler(with_std=False))]
    n_components = arguments.components
    if n_components is None:
        n_components = min(_COMPONENTS, n_images - -(-n_images // arguments.cv) - 1)
    if n_components:
        exact = arguments.method == "rsa" and arguments.metric == "correlation"
        steps.append(("pca", GramPCA(n_components, keep_correlation=exact)))
    if arguments.method == "encoding":
        return [*steps, ("ridge", VoxelwiseRidgeCV(cv=None))]
    target = "rdm" if arguments.rdm else "patterns"
    scorer = RSAScorer(arguments.comparison, target=target, metric=arguments.metric)
    return [*steps, ("rdm", RDM(arguments.metric)), ("rsa", scorer)]


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


def _rehearse(y: Any, arguments: argparse.Namespace) -> None:
    """One fold with made-up features: what can't be scored is found before the long work."""
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.pipeline import Pipeline

    n = arguments.n_images
    random = np.random.default_rng(0).normal(size=(n, max(64, (arguments.components or 0) + 1)))
    names = y.index if isinstance(y, pd.DataFrame) else None
    splits = list(KFold(arguments.cv, shuffle=True, random_state=arguments.seed).split(random))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the search itself will say so
        cross_val_score(
            Pipeline(_steps(arguments, n)),
            pd.DataFrame(random, index=names),
            y,
            cv=splits[:1],
            error_score="raise",
        )


def _estimate(paths: list[str], layers: list[str], arguments: argparse.Namespace) -> None:
    out = arguments.out[0] if arguments.out else None
    estimate = estimate_from(arguments, paths, layers, out)
    n_fits = len(layers) * arguments.cv * arguments.repeats
    facts = {**estimate.to_dict(), "n_layers": len(layers), "n_fits": n_fits}
    text = f"{estimate}\n{len(layers)} layer(s), {n_fits} fits in the search"
    show_facts(facts, text, as_json=arguments.json)


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
    from sklearn.model_selection import KFold, cross_validate

    note(f"nested: {arguments.cv} searches", arguments)
    outer = KFold(arguments.cv, shuffle=True, random_state=arguments.seed)
    found = cross_validate(
        search_over(extractor, layers, arguments),
        paths,
        y,
        cv=outer,
        return_estimator=True,
        error_score="raise",
    )
    scores = np.asarray(found["test_score"], dtype=np.float64)
    return {
        "mean": float(scores.mean()),
        "std": float(scores.std()),
        "scores": scores.tolist(),
        "layers": [each.best_params_[_PARAM] for each in found["estimator"]],
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
    number = int(np.nanargmax(found.layer_profile_["mean"]))
    best, score = str(profile["layer"][number]), float(profile["mean"][number])
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
