"""``skdnn search``."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skdnn._files import write_whole
from skdnn.cli import _search_regions as _regions
from skdnn.cli._arguments import Arguments, in_python, refuse, refuse_if
from skdnn.cli._betas_files import wrong_with_betas
from skdnn.cli._images import image_paths
from skdnn.cli._network_and_layers import (
    estimate_from,
    extractor_from,
    is_own,
    layers_worth_scoring,
    precomputed,
)
from skdnn.cli._output_files import check_free, checked_outs, write_all
from skdnn.cli._rdm_files import check_measures, read_rdm
from skdnn.cli._report_files import of_search
from skdnn.cli._row_order import read_responses
from skdnn.cli._terminal import as_text, note, records, show_facts
from skdnn.cli._unfinished_work import unfinished


def run(arguments: Arguments) -> None:
    """Search the layers, report and write."""
    from skdnn import estimate_search, rehearse_search

    _check_usage(arguments)
    outs = checked_outs(arguments)
    _check_methods_file(arguments)
    check_measures(arguments, comparison=arguments.comparison)
    paths = image_paths(arguments.images)
    targets = _targets(arguments, paths)
    y = next(iter(targets.values()))
    n_train = _n_training_images(len(paths), arguments)
    extractor = extractor_from(arguments, cache=None)
    search = _search_over(extractor, y, arguments)
    if arguments.components is None and search.estimator["pca"].n_components >= n_train - 1:
        note(f"components: {n_train - 1}, since a fold has {n_train} training images", arguments)
    for name, each in targets.items():
        with _regions.named(name):
            rehearse_search(search, each, max(64, arguments.components or 0) + 1)
    layers = layers_worth_scoring(arguments, extractor)
    search.set_params(param_grid={"dnn__layer": layers})
    if arguments.dry_run:
        extraction = estimate_from(arguments, paths, layers, outs[0] if outs else None)
        extra = {"n_nested": arguments.cv * arguments.nested, "n_twins": arguments.twin}
        estimate = estimate_search(search, y, extraction, **extra)
        if arguments.betas:
            _regions.show_plan(estimate, targets, outs, arguments)
        else:
            show_facts(estimate.to_dict(), str(estimate), as_json=arguments.json)
        return
    with _activations(outs, arguments) as folder:
        search.set_params(estimator__dnn=precomputed(folder, paths, layers, arguments))
        if arguments.betas:
            _regions.run(search, paths, targets, outs, _score_name(arguments), arguments)
        else:
            _run(search, paths, y, outs, arguments)


def _run(
    search: Any, paths: Sequence[str], y: Any, outs: Sequence[Path], arguments: Arguments
) -> None:
    """One search, and what was asked for beside it."""
    from skdnn import compare_with_twin

    search.fit(paths, y)
    _check_scores(search, arguments)
    nested = _nested(search, paths, y, arguments) if arguments.nested else None
    twin, profile = None, search.layer_profile_
    if arguments.twin:
        note(f"the untrained twin: {arguments.twin} seed(s)", arguments)
        twin = compare_with_twin(search, paths, y, **in_python(arguments, "twin", "seed"))
        profile = profile.join(twin[[name for name in twin if name not in profile]])
    write_all(outs, profile, lambda: _drawn(search, twin, arguments))
    of_search(arguments, search, paths, y, nested, twin)
    if arguments.methods:
        _write_methods(search.describe(paths, nested=nested and nested["scores"]), arguments)
    _report(search, len(paths), nested, twin, arguments)


# --- before the work -----------------------------------------------------------------------------


def _check_usage(arguments: Arguments) -> None:
    untrained = is_own(arguments.model) or arguments.weights.lower() == "none"
    refuse_if({
        "--method encoding predicts --responses; an RDM can't be predicted":
            arguments.method == "encoding" and arguments.rdm,
        "--twin is for a trained network that is given by its name": arguments.twin and untrained,
        "--nested, --twin and --methods go with --rdm or --responses, not with --betas":
            arguments.betas and (arguments.nested or arguments.twin or arguments.methods),
    })  # fmt: skip
    refuse(wrong_with_betas(arguments, "bootstrap", "permutations"))


def _check_methods_file(arguments: Arguments) -> None:
    """Refuse a --methods that cannot be written."""
    if arguments.methods is not None:
        file = Path(arguments.methods)
        if file.suffix.lower() not in (".txt", ".json"):
            raise ValueError(f"--methods {file}: the name must end in .txt or .json.")
        check_free([file], arguments)


def _targets(arguments: Arguments, paths: Sequence[str]) -> _regions.Targets:
    """By subject and region rows in the order of the images; without --betas there is one."""
    if arguments.betas:
        return _regions.read(arguments, paths)
    assumed = {"assume_order": arguments.assume_order}
    if arguments.rdm:
        rdm = read_rdm(arguments.rdm, paths, "--rdm", **assumed)
        across = rdm.to_numpy()[~np.tile(np.eye(len(rdm), dtype=bool), rdm.shape[1] // len(rdm))]
        if len(np.unique(across[~np.isnan(across)])) < 2:
            raise ValueError(f"--rdm {arguments.rdm}: all its dissimilarities are the same.")
        return {("", ""): rdm}
    responses = read_responses(arguments.responses, paths, "--responses", **assumed)
    return {("", ""): responses.to_numpy() if arguments.method == "encoding" else responses}


def _n_training_images(n_images: int, arguments: Arguments) -> int:
    """Of the smallest fold, if it has enough images, and as many as --components."""
    n = n_images
    if arguments.nested:
        n -= -(-n // arguments.cv)
    fewest = 3 if arguments.method == "rsa" else 2
    if n // arguments.cv < fewest:
        raise ValueError(
            f"--cv {arguments.cv} leaves {n // arguments.cv} of {n} images in a fold, but "
            f"{fewest} or more are needed: use fewer folds."
        )
    n_train: int = n - -(-n // arguments.cv)
    if (arguments.components or 0) > n_train:
        raise ValueError(
            f"--components {arguments.components}: the training images of a fold are {n_train}."
        )
    return n_train


def _search_over(extractor: Any, y: Any, arguments: Arguments) -> Any:
    """The search that the options describe, of no layers yet."""
    from skdnn import make_search

    return make_search(
        extractor,
        [],
        len(y) - len(y) // arguments.cv if arguments.nested else len(y),
        target="rdm" if arguments.rdm else "patterns",
        detail=isinstance(getattr(y, "columns", None), pd.MultiIndex),
        **in_python(arguments, "method", "metric", "comparison", "components"),
        **in_python(arguments, "cv", "repeats", "seed", "jobs"),
    )


# --- the work ------------------------------------------------------------------------------------


@contextlib.contextmanager
def _activations(outs: Sequence[Path], arguments: Arguments) -> Iterator[str]:
    """The folder of activations, kept until the work is done."""
    with unfinished(outs[0] if outs else None, arguments.cache) as folder:
        if folder is not None:
            yield folder
            return
        note("without --out or --cache, activations are not kept: an interrupted search begins "
             "anew", arguments)  # fmt: skip
        with tempfile.TemporaryDirectory() as temporary:
            yield temporary


def _check_scores(found: Any, arguments: Arguments) -> None:
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


def _nested(search: Any, paths: Sequence[str], y: Any, arguments: Arguments) -> dict[str, Any]:
    """Scores of the whole search on images that it did not see."""
    from skdnn import nested_search

    note(f"nested: {arguments.cv} searches", arguments)
    found = nested_search(search, paths, y, **in_python(arguments, "cv", "seed"))
    return {
        "mean": float(found["score"].mean()),
        "std": float(found["score"].std(ddof=0)),
        "scores": found["score"].tolist(),
        "layers": found["dnn__layer"].tolist(),
    }


# --- what was found ------------------------------------------------------------------------------


def _report(
    found: Any,
    n_images: int,
    nested: dict[str, Any] | None,
    twin: pd.DataFrame | None,
    arguments: Arguments,
) -> None:
    profile = found.layer_profile_
    row = profile[profile["rank"] == 1].iloc[0]
    best, score = str(row["layer"]), float(row["mean"])
    splits, measure = arguments.cv * arguments.repeats, _score_name(arguments)
    facts: dict[str, Any] = {
        "best_layer": best,
        "score": score,
        "measure": measure,
        "n_images": n_images,
        "n_folds": splits,
        "profile": records(profile),
    }
    text = as_text(profile[[name for name in profile if not str(name).startswith("split")]])
    text += (
        f"\nbest layer: {best} ({measure} {score:.3f}, mean of {splits} folds)\n"
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
        facts["twin"] = records(twin)
        shown = twin.drop(columns=["depth", "std"]).dropna(axis=1, how="all")
        text += f"\n\nthe untrained twin ({arguments.twin} seed(s)) on the same folds:\n"
        text += as_text(shown)
        if "p" in twin:
            text += (
                "\ndifference, low, high (95%): trained minus untrained, RDMs of all images; p by "
                "a bootstrap of images, and of subjects where there are several; p_adjusted for "
                "the number of layers (Holm)"
            )
    show_facts(facts, text, as_json=arguments.json)


def _score_name(arguments: Arguments) -> str:
    return "R2" if arguments.method == "encoding" else f"{arguments.comparison} of RDMs"


def _write_methods(text: Any, arguments: Arguments) -> None:
    """The paragraph and its references, or all facts as JSON."""
    file = Path(arguments.methods)
    content = text.to_json() if file.suffix.lower() == ".json" else str(text)
    write_whole(file, f"{content}\n".encode())


def _drawn(found: Any, twin: pd.DataFrame | None, arguments: Arguments) -> Any:
    from skdnn import LayerScoresDisplay
    from skdnn.plotting import draw_with_twin

    ylabel = f"score ({_score_name(arguments)})"
    if twin is None:
        return LayerScoresDisplay.from_search(found, ylabel=ylabel)
    return draw_with_twin(found, twin, n_seeds=arguments.twin, ylabel=ylabel)
