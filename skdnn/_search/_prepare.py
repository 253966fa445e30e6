"""What comes before a search: its folds, and what its candidates need of the networks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold, StratifiedKFold

from skdnn._conditions import as_conditions
from skdnn._feature_extractor import DNNFeatureExtractor, precompute_many
from skdnn._images import check_images
from skdnn._labels import check_labels, row_labels
from skdnn._search._find import find_extractors, make_candidates
from skdnn._search._lend import estimators_in
from skdnn._store import ActivationStore
from skdnn.rsa import RSAScorer
from skdnn.rsa._dissimilarity._component_signs import START, TellsSigns, maker_of, signs_before_rdm

_MIN_CONDITIONS = 3  # fewer cannot be compared by RSA


def shuffled(cv: KFold | StratifiedKFold, random_state: Any) -> KFold | StratifiedKFold:
    """The folds that scikit-learn makes of an integer, but shuffled."""
    return type(cv)(cv.n_splits, shuffle=True, random_state=random_state)


def folds_of(cv: Any, X: Any, y: Any, params: dict[str, Any]) -> list[tuple[Any, Any]]:
    """The folds, made once, so that what is checked is what is used."""
    folds = list(cv.split(X, y, **params))
    n_splits = cv.get_n_splits(X, y, **params)
    if len(folds) != n_splits:
        raise ValueError(
            "cv.split and cv.get_n_splits return inconsistent results. Expected "
            f"{n_splits} splits, got {len(folds)}"
        )
    if not folds:
        raise ValueError("No fits were performed. Was the CV iterator empty?")
    return folds


def check_folds(folds: list[tuple[Any, Any]], min_train: int, min_test: int) -> None:
    """Refuse folds that are too small, before anything else is done."""
    for number, (train, test) in enumerate(folds):
        for name, part, least in (("train", train, min_train), ("test", test, min_test)):
            size = len(row_numbers(part))
            if size < least:
                why = " that RSA needs" if least > 1 else ""
                raise ValueError(
                    f"cv gives {size} {name} conditions in split {number}, fewer than the "
                    f"{least}{why}: use fewer splits."
                )


def row_numbers(rows: Any) -> NDArray[Any]:
    """The rows that a part of a fold takes, given as numbers or as a mask."""
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows


def scorers_of(scoring: Any) -> list[Any]:
    """A search may have one scorer, or several."""
    if isinstance(scoring, Mapping):
        return list(scoring.values())
    return list(scoring) if isinstance(scoring, list | tuple | set) else [scoring]


def least_conditions(estimator: Any, scoring: Any) -> tuple[int, int]:
    """Conditions that training and test folds must have."""
    inside = [estimator, *estimator.get_params(deep=True).values()]
    if any(isinstance(value, RSAScorer) for value in inside):
        return _MIN_CONDITIONS, _MIN_CONDITIONS
    scored = any(isinstance(each, RSAScorer) for each in scorers_of(scoring))
    return 1, _MIN_CONDITIONS if scored else 1


def tell_signs(estimator: Any, param_grid: Any, scoring: Any) -> None:
    """Say once, for the whole search, where signs of components decide an RDM.

    Its folds say no more then: what ignores them is left by the ``catch_warnings`` around. Nor
    do clones of the search, in the folds around it.
    """
    scorers = scorers_of(scoring)
    metrics: list[str | None] = [s.metric for s in scorers if isinstance(s, RSAScorer)]
    if not metrics and not estimators_in([estimator, param_grid], TellsSigns):
        return  # nothing makes an RDM
    texts = {
        signs_before_rdm(candidate, metric)
        for _, candidate in make_candidates(estimator, param_grid)
        for metric in metrics or [None]
    } - {None}
    maker = maker_of(estimator)
    known = {} if maker is None else maker.__dict__
    told = known.setdefault("_told", set())  # of all clones
    for text in sorted(map(str, texts)):
        if text not in told or "_is_clone" not in known:
            warnings.warn(text, UserWarning, stacklevel=4)
        told.add(text)
    if texts:
        warnings.filterwarnings("ignore", message=START)


@dataclass
class Part:
    """X, or columns of it, and the different extractors that see it."""

    content: Any
    extractors: dict[Any, DNNFeatureExtractor] = field(default_factory=dict)


@dataclass
class Needs:
    """What the candidates of a search will ask of the networks.

    Attributes
    ----------
    parts : list of Part
        To be sent through the networks before the search.
    unknown : list of str
        Extractors whose input is made in the course of the search.
    borrow : bool
        Whether an extractor has no cache of its own.
    repeat : bool
        Whether several candidates have the same extractors.
    """

    parts: list[Part]
    unknown: list[str]
    borrow: bool
    repeat: bool

    def warn_of_unknown(self) -> None:
        """Say which extractors are filled later."""
        if self.unknown:
            warnings.warn(
                f"{', '.join(self.unknown)} will see something else than X or columns of it: its "
                "activations are stored when it is fitted, layer by layer, and not in one pass "
                "before the search.",
                UserWarning,
                stacklevel=2,
            )

    def fill(
        self,
        y: Any,
        store: ActivationStore | None,
        *,
        n_jobs: int | None = None,
        verbose: int = 0,
        tolerant: bool = False,
    ) -> None:
        """Send all images through the networks, after all has been checked.

        With `tolerant`, extractors that can't be fitted are left to the search, which scores
        them as failed.
        """
        for part in self.parts:
            conditions = as_conditions(
                part.content, next(iter(part.extractors.values())).aggregate
            )
            check_labels(row_labels(y), conditions.known_names)
            if len(self.parts) > 1:  # a single pass begins with that
                check_images(conditions.inputs)
        for part in self.parts:
            extractors = list(part.extractors.values())
            if tolerant:
                extractors = [each for each in extractors if _can_fit(each, part.content)]
            if extractors:
                precompute_many(
                    extractors, part.content, store, n_jobs=n_jobs, verbose=int(verbose > 0)
                )


def find_needs(estimator: Any, param_grid: Any, X: Any) -> Needs:
    """Look at all candidates, which checks the grid's names of parameters as well."""
    parts: dict[tuple[str, ...], Part] = {}
    unknown: set[str] = set()
    settings: set[Any] = set()
    n_candidates, borrow = 0, False
    for _, candidate in make_candidates(estimator, param_grid):
        n_candidates += 1
        found = find_extractors(candidate, X)
        settings.add(tuple((each.name, each.signature) for each in found))
        for each in found:
            borrow |= each.extractor.cache is None
            if each.data is None:
                unknown.add(each.name)
            else:
                part = parts.setdefault(each.data.key, Part(each.data.content))
                part.extractors.setdefault(each.signature, each.extractor)
    return Needs(list(parts.values()), sorted(unknown), borrow, n_candidates > len(settings))


def _can_fit(extractor: DNNFeatureExtractor, X: Any) -> bool:
    try:
        extractor.fit(X)
    except (TypeError, ValueError, OSError):
        return False  # and again in each of its folds, where scikit-learn reports it
    return True
