"""From the folds of a search to a comparison of its layers that generalises."""

from __future__ import annotations

from typing import Any

from sklearn.utils.validation import check_is_fitted

from skdnn._search._layer_rdms import brain_of, layer_rdms, scorer_of
from skdnn._search._layer_search import LayerSearchCV
from skdnn.rsa import bootstrap_rsa
from skdnn.rsa._inference._bootstrap_result import BootstrapResult


def bootstrap_search(
    search: LayerSearchCV,
    X: Any,
    y: Any,
    *,
    n_boot: int = 1000,
    resample: str | None = None,
    n_permutations: int = 1000,
    random_state: Any = 0,
    n_jobs: int | None = None,
) -> BootstrapResult:
    """Compare the layers of a search by resampling images and subjects, not folds.

    Folds come from the same images, and a test over them finds differences between layers that
    are equal. This makes the RDM of each layer from all images, and bootstraps.

    Parameters
    ----------
    search : LayerSearchCV
        Fitted on `X` and `y`; its pipeline ends in :class:`~skdnn.RDM`, and
        :class:`~skdnn.RSAScorer` compares.
    X, y : array-like
        What it was fitted on.
    n_boot : int, default=1000
        Number of bootstrap samples.
    resample : {"conditions", "subjects", "both"} or None, default=None
        As in :func:`skdnn.rsa.bootstrap_rsa`.
    n_permutations : int, default=1000
        Of the test against zero.
    random_state : int, RandomState or None, default=0
        Where samples come from.
    n_jobs : int or None, default=None
        Number of threads.

    Returns
    -------
    result : BootstrapResult
        With ``to_frame()``, ``pairwise(pairs=[...])`` and ``intervals()``; models are called as
        the layers are.

    Raises
    ------
    ValueError
        If the search compares no RDMs, or `y` is of several areas.

    See Also
    --------
    compare_with_twin : Each layer against the untrained network.
    skdnn.rsa.bootstrap_rsa : How it is done, and what it assumes.

    Notes
    -----
    Activations that the search has kept are read again. Other steps of the pipeline, such as a
    PCA, are fitted to all images. The best layer of many
    scores too high here as anywhere: compare layers that were chosen beforehand, or on other data.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import Pipeline
    >>> from skdnn import RDM, DNNFeatureExtractor, LayerSearchCV, RSAScorer, bootstrap_search
    >>> rng = np.random.default_rng(0)
    >>> images = rng.integers(0, 256, (20, 40, 40, 3), dtype=np.uint8)
    >>> pipeline = Pipeline(
    ...     [("dnn", DNNFeatureExtractor("squeezenet1_1", weights=None, random_state=0)),
    ...      ("rdm", RDM()), ("rsa", RSAScorer())])
    >>> grid = {"dnn__layer": ["features.3", "features.5"]}
    >>> voxels = rng.normal(size=(20, 10))
    >>> search = LayerSearchCV(pipeline, grid, cv=2).fit(images, voxels)
    >>> result = bootstrap_search(search, images, voxels, n_boot=50)
    >>> result.pairwise()[["model_a", "model_b"]].values.tolist()
    [['features.3', 'features.5']]
    """
    check_is_fitted(search)
    scorer = scorer_of(search)
    if scorer is None:
        raise ValueError(
            "The search compares no RDMs: its pipeline must end in RDM, with RSAScorer behind it "
            "or as scoring."
        )
    brain = brain_of(scorer, y)
    if brain is None:
        raise ValueError("y is of several areas: fit and compare one at a time.")
    return bootstrap_rsa(
        layer_rdms(search, X, y),
        brain,
        scorer.comparison,
        n_boot=n_boot,
        resample=resample,
        n_permutations=n_permutations,
        random_state=random_state,
        n_jobs=n_jobs,
    )
