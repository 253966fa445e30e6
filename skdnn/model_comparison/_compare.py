"""Many networks compared with each other, and with brains and behaviour."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from skdnn._array_blocks import column_blocks
from skdnn._conditions import Conditions, as_conditions
from skdnn._feature_extractor import DNNFeatureExtractor, check_twin
from skdnn._images import check_images
from skdnn._labels import without_ending
from skdnn.model_comparison._networks import check_networks, extractors_of, with_layers, with_twins
from skdnn.model_comparison._references import read_references
from skdnn.model_comparison._result import CKA, LEVELS, ModelComparison
from skdnn.models._registry import fixed_seed
from skdnn.rsa import compare_rdms, compute_rdm

Array = NDArray[np.float64]


def compare_models(
    models: Any,
    layers: Any,
    X: Any,
    *,
    metric: str = "correlation",
    comparison: str = "pearson",
    references: Any = None,
    transformer: Any = None,
    twin: int = 0,
    backend: str = "auto",
    weights: Any = "default",
    device: str = "auto",
    batch_size: int = 32,
    cache: Any = None,
    n_jobs: int | None = None,
    random_state: Any = 0,
    verbose: int = 0,
) -> ModelComparison:
    """Compare the representations of networks with each other, and with brains or behaviour.

    Parameters
    ----------
    models : list or dict
        Names, networks (``torch.nn.Module``, ``keras.Model``, :class:`skdnn.models.Model`) or
        :class:`~skdnn.DNNFeatureExtractor`; in a dict, by names of one's own. An extractor keeps
        its own settings; `backend` to `random_state` are for the others (weights for those that
        are given by name), and `cache` for extractors that have none.
    layers : str, list, dict or None
        One layer name or glob for all models; a list with an entry for each model, or a dict by
        model, the entries being names, globs, or lists of them; None takes the parameter
        ``layer`` of each extractor (``"penultimate"`` unless it says otherwise).
    X : sequence of n_images
        As for :meth:`DNNFeatureExtractor.fit <skdnn.DNNFeatureExtractor.fit>`.
    metric : str, default="correlation"
        Dissimilarity, see :func:`skdnn.rsa.compute_rdm`.
    comparison : str, default="pearson"
        Similarity of RDMs, see :func:`skdnn.rsa.compare_rdms`; or ``"cka"``, the debiased linear
        :func:`skdnn.rsa.cka` of the features.
    references : dict of str to DataFrame or array-like, or a DataFrame, default=None
        RDMs to compare with. Labelled ones are matched with the images' paths (or the ends of
        them), file names or stems, and may hold more conditions; arrays are in the order of X.
        Several subjects: a DataFrame with MultiIndex columns (subject, condition) or an array
        (n_subjects, n_images, n_images). With ``"cka"``: patterns, (n_images, n_channels), or
        with columns (subject, channel).
    transformer : transformer, default=None
        Cloned and fitted to the features of each layer before the RDM, e.g.
        ``StandardScaler(with_std=False)`` or a ``PCA``.
    twin : int, default=0
        Untrained twins of each trained network that is given by name: the same architecture, fed
        the same images, with random weights of so many seeds, from `random_state` on. They stand
        behind it as
        ``"NAME (untrained)"``, or ``"NAME (untrained, seed 0)"``, ...;
        :meth:`~ModelComparison.against_twins` tests the difference.
    backend : {"auto", "torch", "tensorflow"}, default="auto"
        Where names are looked for.
    weights : "default", str, path or None, default="default"
        Of networks that are given by name; None is random ones.
    device : str, default="auto"
        Where networks run.
    batch_size : int, default=32
        Images that go through a network together.
    cache : str, path-like, ActivationStore or None, default=None
        A folder that keeps activations. With it, one layer at a time is in memory; without it,
        the layers of one network.
    n_jobs : int, default=None
        Processes that share the images, see :class:`~skdnn.DNNFeatureExtractor`.
    random_state : int, RandomState or None, default=0
        Seed of random weights.
    verbose : int, default=0
        1 shows a progress bar over networks, 2 also those of the networks.

    Returns
    -------
    result : ModelComparison
        With the RDMs, :meth:`~ModelComparison.to_frame`, :meth:`~ModelComparison.against`,
        ``reference_scores``, :meth:`~ModelComparison.plot` and
        :meth:`~ModelComparison.against_twins`.

    Raises
    ------
    TypeError
        If `models` or `layers` is of a wrong type.
    ValueError
        Before any image goes through a network: for unknown models and layers (all of them),
        metrics and comparisons, images that cannot be read, references that lack images, models
        of the same name, or there is nothing to make a twin of.
    OSError
        If published weights can't be downloaded.

    See Also
    --------
    LayerSearchCV : Which layer is most similar to the brain, in cross-validation.
    skdnn.rsa.bootstrap_rsa : Tests of differences between models.

    Notes
    -----
    Each network makes one pass for all its layers. Without a cache networks are built twice,
    once to find out whether they can be.

    Conditions are labelled by the images' stems (by file names or paths where stems repeat).

    References
    ----------
    Muttenthaler, L., & Hebart, M. N. (2021). THINGSvision: A Python toolbox for streamlining the
    extraction of activations from deep neural networks. Frontiers in Neuroinformatics, 15,
    679838.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.model_comparison import compare_models
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 40, 60, 3), dtype=np.uint8)
    >>> result = compare_models(
    ...     ["alexnet", "squeezenet1_1"], {"alexnet": ["features.3", "features.8"],
    ...     "squeezenet1_1": "features.3"}, images, weights=None)
    >>> result.to_frame().shape
    (3, 3)
    """
    from skdnn._progress import progress_bar

    _check_measures(metric, comparison)
    twin = check_twin(twin)
    conditions = as_conditions(X)
    labels = _labels(conditions)
    fewest = 4 if comparison == CKA else 3
    if len(labels) < fewest:
        raise ValueError(f"X has {len(labels)} conditions: at least {fewest} are needed.")
    check_images(conditions.inputs)
    known = read_references(references, labels, conditions.known_names, comparison == CKA)
    settings = {
        "backend": backend,
        "weights": weights,
        "device": device,
        "batch_size": batch_size,
        "n_jobs": n_jobs,
        "random_state": fixed_seed(random_state),
    }
    extractors = extractors_of(models, settings, cache, max(0, verbose - 1))
    extractors, twins = with_twins(with_layers(extractors, layers), twin)
    check_networks(extractors, X)
    rdms: dict[tuple[str, str], pd.DataFrame] = {}
    patterns: dict[tuple[str, str], Array] = {}
    bar = progress_bar(extractors, desc="comparing", unit="network", disable=not verbose)
    for name in bar:
        bar.set_postfix_str(name)
        for layer, features in _features(extractors[name], X):
            if transformer is not None:
                features = np.asarray(clone(transformer).fit_transform(features))
            rdms[name, layer] = compute_rdm(pd.DataFrame(features, index=labels), metric)
            if comparison == CKA:
                patterns[name, layer] = _reduced(features)
            del features  # before the next is made
    return ModelComparison(
        pd.concat(rdms, axis=1, names=[*LEVELS, "condition"]).rename_axis("condition"),
        comparison=comparison,
        metric=metric,
        patterns=patterns if comparison == CKA else None,
        names=conditions.known_names,
        references=known or None,
        twins=twins or None,
        networks={
            name: {**extractor.describe().facts, "n_images": len(conditions.inputs)}
            for name, extractor in extractors.items()
            if name not in set(chain.from_iterable(twins.values()))
        },
    )


def _check_measures(metric: str, comparison: str) -> None:
    """Refuse unknown names, by trying them."""
    tiny = np.random.default_rng(0).random((4, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compute_rdm(tiny, metric)
        if comparison != CKA:
            compare_rdms(tiny[0, :3], tiny[1, :3], comparison)


def _labels(conditions: Conditions) -> list[str]:
    """The shortest of stems, file names and full names that tell the images apart."""
    names = conditions.names
    for shorten in (without_ending, str):
        labels = [
            shorten(PurePath(name).name) if has_name else name
            for name, has_name in zip(names, conditions.has_name, strict=True)
        ]
        if len(set(labels)) == len(labels):
            return labels
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"X holds {twice!r} more than once: each condition must be another.")
    return names


def _features(extractor: DNNFeatureExtractor, X: Any) -> Iterator[tuple[str, Array]]:
    """Each layer's features, from one pass; with a cache, one layer at a time is in memory."""
    if extractor.cache is None:
        found = extractor.extract(X, extractor.layers_, flatten=True)
        while found:
            layer = next(iter(found))
            yield layer, found.pop(layer)
        return
    extractor.precompute(X, extractor.layers_, verbose=extractor.verbose)
    for layer in extractor.layers_:
        yield layer, extractor.extract(X, layer, flatten=True)[layer]


def _reduced(features: ArrayLike) -> Array:
    """Patterns of no more columns than rows, with the inner products of the centred features."""
    values = np.asarray(features)
    n, width = values.shape
    if width <= n:
        return values.astype(np.float64)
    gram = np.zeros((n, n))
    for _, block in column_blocks(values):
        centred = block - block.mean(axis=0)
        gram += centred @ centred.T
    variances, directions = np.linalg.eigh(gram)
    return directions * np.sqrt(np.clip(variances, 0, None))
