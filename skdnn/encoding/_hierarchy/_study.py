"""A brain hierarchy study in one call."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skdnn._array_blocks import Array
from skdnn._figures import without_text
from skdnn._sklearn import CardWhenFitted, Interval, StoredAttributesHTML, StrOptions, fit_context
from skdnn._wording import listed
from skdnn.encoding._decoding._select_k_best import SelectKBestRidge
from skdnn.encoding._hierarchy._both_directions import combine
from skdnn.encoding._hierarchy._jobs import JobMaker, draw_columns
from skdnn.encoding._hierarchy._p_values import UnitsThatCount, hierarchy_p_values
from skdnn.encoding._hierarchy._permutation import check_pairings
from skdnn.encoding._hierarchy._report import announce_work, draw_shares, study_card
from skdnn.encoding._hierarchy._shared_jobs import ResultFolder, run_jobs
from skdnn.encoding._hierarchy._study_data import (
    extract_layers,
    given_layers,
    names_of_images,
    read_study,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Accuracies = dict[tuple[str, str, str], Array]
_DIRECTIONS = ("decoding", "encoding")


class BrainHierarchyScore(CardWhenFitted, StoredAttributesHTML, BaseEstimator):
    r"""Is the order of a network's layers that of the brain's areas? From data to a score.

    The study of Nonaka et al. (2021). Decoding: each unit is predicted from the voxels of each
    brain area, and the area that does best is noted. Encoding: each voxel is predicted from the
    units of each layer, and the best layer is noted. The score is the rank correlation of both
    orders over all units, or voxels, of all subjects.

    Parameters
    ----------
    extractor : DNNFeatureExtractor, default=None
        Turns images into features; anything with ``extract(images, layers, flatten=True)``. With
        a cache, features stay on disk. None: features are given to `fit`.
    layers : list of str, default=None
        Layers in the order of their hierarchy. None takes all that `fit` is given, in its order;
        needed with an `extractor`.
    direction : {"both", "decoding", "encoding"}, default="both"
        What is predicted from what. The score of both is the mean of the two.
    decoder : regressor, default=None
        Predicts in both directions. None is ``SelectKBestRidge(alpha=100, k=500)``, as published.
    alpha : float, default=0.05
        A unit or voxel counts if the p-value of its best accuracy is smaller.
    test : {"published", "t"}, default="published"
        How p-values are computed: as published or by the standard test; see
        :func:`~skdnn.encoding.hierarchy_p_values`.
    adjust : {"sidak"} or None, default=None
        Adjust them for having chosen the best of several areas, or layers.
    n_units : int, default=1000
        Units of each layer that are decoded: of more, so many are drawn, the same for all
        subjects and areas. None decodes all. Encoding always uses all units.
    n_voxels : int, default=1000
        Voxels of each area of each subject that are encoded: of more, so many are drawn. None
        encodes all. Decoding always uses all voxels.
    n_layers : int, default=None
        For the decoding score, the mean over random selections of so many layers, to compare
        networks of different depth; the paper takes 5. None scores all layers.
    n_draws : int, default=100
        Number of these selections.
    n_boot : int, default=1000
        Bootstrap resamples of units and subjects behind ``interval_``; None does without.
    n_permutations : int, default=None
        Random pairings behind ``p_value_``; None does without.
    confidence : float, default=0.95
        How often the interval should hold the score of the population.
    random_state : int, RandomState instance or None, default=0
        Seeds the draws of units, voxels and layers, and the bootstrap. None draws anew each time,
        so that nothing in `folder` that depends on a draw is found again.
    n_jobs : int, default=None
        Workers of joblib that share the jobs, one for each direction, layer, subject and area.
    folder : str or path-like, default=None
        Where results of jobs are kept, and taken from. None keeps them in memory only.
    verbose : int, default=0
        1 prints an estimate of time and memory, measured on the first jobs, and shows progress.

    Attributes
    ----------
    score_ : float
        The score: that of the one direction, or the mean of both.
    decoding_score_, encoding_score_ : float
        Where the direction was asked for.
    interval_ : tuple of float
        Interval (low, high) of the score of all layers. Only with `n_boot`.
    p_value_, expected_score_ : float
        Of the score of all layers, against what their qualities and those of the areas give
        without a hierarchy; see :func:`~skdnn.encoding.hierarchy_permutation_test`. Only with
        `n_permutations`.
    decoding_accuracy_ : dict of (layer, subject, area) to ndarray of shape (n_units,)
        Pearson correlation of true and decoded units over test images; NaN where undefined.
    encoding_accuracy_ : dict of (layer, subject, area) to ndarray of shape (n_voxels,)
        The same of voxels.
    units_ : dict of str to ndarray of int
        Units of each layer, in C order of its dimensions, that were decoded.
    voxels_ : dict of (subject, area) to ndarray of int
        Columns of the responses that were encoded.
    layers_, subjects_, rois_ : list of str
        Names, in order.
    n_test_images_ : int
        Number of test images behind each accuracy.
    table_ : DataFrame
        A row for each direction, layer, subject, area and unit or voxel: columns ``direction``,
        ``layer``, ``subject``, ``roi``, ``target`` (number of the unit or voxel), ``r``, ``p``.
    top_table_ : DataFrame
        How many units of each layer (voxels of each area) have which area (layer) as the best:
        that of :func:`~skdnn.encoding.top_level_table` after a column ``direction``.

    See Also
    --------
    brain_hierarchy_score : The score of accuracies that are there already.
    SelectKBestRidge : The decoder.

    Notes
    -----
    *Decoding.* Voxels are z-scored over training trials, units over the training images that the
    subject saw (ddof=1), and repeated for each trial. Test trials are averaged by image, and
    z-scored with the statistics of training. *Encoding.* Roles are swapped: units z-scored over
    images, voxels over training trials; test voxels are averaged by image. In both, accuracy is
    Pearson's correlation over test images. A unit that is constant over training or test images
    has none, which counts as zero; in encoding it tells nothing.

    *In a folder*, each job's result is one file whose name is a digest of all that it depends
    on: the data, the drawn columns, the decoder and names. A study that was stopped, at any
    moment, goes on when it is started again; with other data or parameters nothing is mistaken.
    Several processes and machines may work in one folder at the same time: each takes jobs that
    nobody has begun, and at the end all have the whole result.

    *Interval.* As :func:`~skdnn.encoding.bootstrap_hierarchy_score`, by Student's distribution
    over subjects; of one subject, the percentiles of resampled units. Units are the same in all
    subjects and drawn for all together, voxels are not. No choice of test images is in it.

    References
    ----------
    Nonaka, S., Majima, K., Aoki, S. C., & Kamitani, Y. (2021). Brain hierarchy score: Which deep
    neural networks are hierarchically brain-like? iScience, 24(9), 103013.

    Examples
    --------
    Two layers, and two areas that respond to their units with some noise.

    >>> import numpy as np
    >>> from skdnn.encoding import BrainHierarchyScore
    >>> rng = np.random.default_rng(0)
    >>> X, X_test = ({layer: rng.normal(size=(n, 20)) for layer in ("low", "high")}
    ...              for n in (80, 30))
    >>> def respond(features, n_repeats):
    ...     return {area: np.repeat(features[layer], n_repeats, axis=0)
    ...             + rng.normal(size=(n_repeats * len(features[layer]), 20))
    ...             for area, layer in (("V1", "low"), ("HVC", "high"))}
    >>> study = BrainHierarchyScore(test="t").fit(
    ...     X, {"S1": respond(X, 2)}, stimuli=np.repeat(np.arange(80), 2),
    ...     X_test=X_test, y_test={"S1": respond(X_test, 4)},
    ...     test_stimuli=np.repeat(np.arange(30), 4))
    >>> round(study.score_, 2)
    1.0
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 (the name and form are sklearn's)
        "extractor": [None, object],
        "layers": [list, tuple, np.ndarray, str, None],
        "direction": [StrOptions({"both", *_DIRECTIONS})],
        "decoder": [None, object],
        "alpha": [Interval(Real, 0, 1, closed="right")],
        "test": [StrOptions({"published", "t"})],
        "adjust": [StrOptions({"sidak"}), None],
        "n_units": [Interval(Integral, 1, None, closed="left"), None],
        "n_voxels": [Interval(Integral, 1, None, closed="left"), None],
        "n_layers": [Interval(Integral, 2, None, closed="left"), None],
        "n_draws": [Interval(Integral, 1, None, closed="left")],
        "n_boot": [Interval(Integral, 1, None, closed="left"), None],
        "n_permutations": [Interval(Integral, 1, None, closed="left"), None],
        "confidence": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
        "folder": [str, os.PathLike, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        extractor: Any = None,
        layers: Any = None,
        *,
        direction: str = "both",
        decoder: Any = None,
        alpha: float = 0.05,
        test: str = "published",
        adjust: str | None = None,
        n_units: int | None = 1000,
        n_voxels: int | None = 1000,
        n_layers: int | None = None,
        n_draws: int = 100,
        n_boot: int | None = 1000,
        n_permutations: int | None = None,
        confidence: float = 0.95,
        random_state: Any = 0,
        n_jobs: int | None = None,
        folder: str | os.PathLike[str] | None = None,
        verbose: int = 0,
    ) -> None:
        self.extractor = extractor
        self.layers = layers
        self.direction = direction
        self.decoder = decoder
        self.alpha = alpha
        self.test = test
        self.adjust = adjust
        self.n_units = n_units
        self.n_voxels = n_voxels
        self.n_layers = n_layers
        self.n_draws = n_draws
        self.n_boot = n_boot
        self.n_permutations = n_permutations
        self.confidence = confidence
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.folder = folder
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=False)  # the decoder's parameters count too
    def fit(
        self,
        X: Any,
        y: Mapping[str, Mapping[str, Any]],
        *,
        X_test: Any,
        y_test: Mapping[str, Mapping[str, Any]],
        stimuli: Any = None,
        test_stimuli: Any = None,
        ids: Sequence[Any] | None = None,
        test_ids: Sequence[Any] | None = None,
    ) -> BrainHierarchyScore:
        """Train and test all decoders and encoders, and score what comes out.

        Parameters
        ----------
        X : dict of str to array-like or lazy array of shape (n_images, ...)
            Features of each layer, one row for each training image, layers in the order of their
            hierarchy. Arrays that stay on disk (stored features, datasets of h5py, of two
            dimensions) are read when they are needed. With an `extractor`: the images.
        y : dict of str to dict of str to array-like of shape (n_trials, n_voxels)
            Responses in training trials: by subject, then by brain area in the order of their
            hierarchy.
        X_test : as X
            Features of test images, or the images.
        y_test : as y
            Responses in test trials, to all test images in each subject.
        stimuli : sequence of length n_trials, or dict of str to sequence, default=None
            Which image each training trial showed: its row in X, counted from 0, or its name
            if images have names. A dict is by subject. None: each image once, in order.
        test_stimuli : sequence of length n_trials, or dict of str to sequence, default=None
            The same of test trials.
        ids : sequence of length n_images, default=None
            Names of the training images; `stimuli` may name a path by its end, file name or stem
            too, as for :func:`align_responses`. None: their paths where X is a list of paths,
            else they have none.
        test_ids : sequence of length n_images, default=None
            Names of the test images.

        Returns
        -------
        self : BrainHierarchyScore
            The fitted estimator.

        Raises
        ------
        TypeError
            If features or responses are not dicts of real numbers.
        ValueError
            If an image is in both sets, images are unknown, a subject lacks an area, numbers of
            trials, images or voxels differ, values are NaN, or a layer has fewer than 3 units:
            before the work begins.

        Warns
        -----
        UserWarning
            If voxels are constant, the score is NaN, or files in `folder` are corrupt.
        """
        n_images, load, names = self._sources((X, X_test), (ids, test_ids))
        decoder = SelectKBestRidge(100, 500) if self.decoder is None else self.decoder
        UnitsThatCount(**self._rule(n_images[1]))
        study = read_study(load, n_images, (y, y_test), (stimuli, test_stimuli), names)
        self.layers_, self.subjects_, self.rois_ = list(study.layers), study.subjects, study.rois
        self.n_test_images_ = study.n_test
        if self.n_layers is not None and self.n_layers > len(self.layers_):
            raise ValueError(f"n_layers={self.n_layers}, but there are {len(self.layers_)}.")
        if self.n_permutations is not None:
            check_pairings(len(self.layers_), len(self.rois_))

        draws = check_random_state(self.random_state).randint(2**31 - 1, size=3)
        seed, self._score_seed, self._boot_seed = (int(number) for number in draws)
        self.units_ = draw_columns(study.layers, self.n_units, seed, "units")
        self.voxels_ = draw_columns(study.responses, self.n_voxels, seed, "voxels")
        self._run(JobMaker(study, self.units_, self.voxels_, decoder))
        self._score()
        return self

    @property
    def table_(self) -> pd.DataFrame:
        """Every unit and voxel in a row."""
        check_is_fitted(self, "score_")
        parts = []
        for direction in self._directions():
            for (layer, subject, roi), r in self._accuracies(direction).items():
                drawn = (
                    self.units_[layer] if direction == "decoding" else self.voxels_[subject, roi]
                )
                names = {"direction": direction, "layer": layer, "subject": subject, "roi": roi}
                p = hierarchy_p_values(r, self.n_test_images_, test=self.test)
                parts.append(pd.DataFrame(names | {"target": drawn, "r": r, "p": p}))
        return pd.concat(parts, ignore_index=True)

    def plot(self, direction: str | None = None, *, ax: Axes | None = None) -> Axes:
        """Draw which brain areas are best for the units of each layer, as stacked shares.

        Parameters
        ----------
        direction : {"decoding", "encoding"}, default=None
            For encoding, which layers are best for the voxels of each area. None is decoding
            where it was computed.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        ax : matplotlib Axes
            Where it was drawn.
        """
        check_is_fitted(self, "score_")
        known = self._directions()
        direction = known[0] if direction is None else direction
        if direction not in known:
            raise ValueError(f"direction={direction!r} was not computed: {', '.join(known)} was.")
        table = self.top_table_[self.top_table_["direction"] == direction]
        what, best = ("units", "area") if direction == "decoding" else ("voxels", "layer")
        ax = draw_shares(table, *self._levels(direction), f"best {best}", ax)
        ax.set(ylabel=f"share of {what}", xlabel=f"(number of {what} that count)")
        ax.set_title(f"{direction.capitalize()}: score {getattr(self, f'{direction}_score_'):.2f}")
        return without_text(ax)

    _card = study_card

    def _directions(self) -> tuple[str, ...]:
        return _DIRECTIONS if self.direction == "both" else (self.direction,)

    def _sources(
        self, given: tuple[Any, Any], ids: tuple[Any, Any]
    ) -> tuple[tuple[int, int], Any, tuple[Any, Any]]:
        """Numbers of images, what gives their features, and their names."""
        if self.extractor is None:
            layers = given_layers(given, self.layers)
            n_images = tuple(len(next(iter(side.values()))) for side in layers)
            return n_images, lambda: layers, ids  # type: ignore[return-value]
        if self.layers is None:
            raise ValueError("layers=None: say which layers the extractor is to give.")
        names = tuple(
            names_of_images(side) if named is None else named
            for side, named in zip(given, ids, strict=True)
        )
        load = partial(extract_layers, self.extractor, self.layers, given)
        return (len(given[0]), len(given[1])), load, names  # type: ignore[return-value]

    def _run(self, maker: JobMaker) -> None:
        """All jobs, and the accuracies by direction."""
        jobs = maker.jobs(self._directions())
        folder = None if self.folder is None else ResultFolder(self.folder)
        announce = partial(announce_work, maker, len(jobs), folder, self.n_jobs)
        results = run_jobs(
            jobs,
            folder,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
            announce=announce if self.verbose else None,
        )
        found = {job.name: result for job, result in zip(jobs, results, strict=True)}
        places = list(product(self.layers_, self.subjects_, self.rois_))
        for direction in self._directions():
            accuracy = {place: found[direction, *place] for place in places}
            setattr(self, f"{direction}_accuracy_", accuracy)
        if folder is not None and folder.corrupt:
            names = [path.name for path in folder.corrupt]
            warnings.warn(
                f"{len(folder.corrupt)} results in {folder.root} were not as they had been "
                f"written and were computed anew: {listed(names, show=str)}.",
                UserWarning,
                stacklevel=4,
            )

    def _accuracies(self, direction: str) -> Accuracies:
        return getattr(self, f"{direction}_accuracy_")

    def _levels(self, direction: str) -> tuple[list[str], list[str]]:
        """Levels whose units are predicted, and levels that predict."""
        both = self.layers_, self.rois_
        return both if direction == "decoding" else both[::-1]

    def _by_subject(self, direction: str) -> list[list[Array]]:
        """For each subject and level, accuracies (levels of the other hierarchy, units)."""
        found = self._accuracies(direction)
        levels, others = self._levels(direction)
        swap = direction == "encoding"

        def rows(subject: str, level: str) -> Array:
            places = [(o, subject, level) if swap else (level, subject, o) for o in others]
            return np.stack([found[place] for place in places])

        return [[rows(subject, level) for level in levels] for subject in self.subjects_]

    def _score(self) -> None:
        directions = self._directions()
        found = combine(
            {direction: self._by_subject(direction) for direction in directions},
            {direction: self._levels(direction) for direction in directions},
            self._rule(self.n_test_images_),
            n_layers=self.n_layers,
            n_draws=self.n_draws,
            n_boot=self.n_boot,
            confidence=self.confidence,
            n_permutations=self.n_permutations,
            seeds={"score": self._score_seed, "boot": self._boot_seed},
        )
        for name, value in found.items():
            setattr(self, name, value)

    def _rule(self, n_samples: int) -> dict[str, Any]:
        rule = {"alpha": self.alpha, "test": self.test, "adjust": self.adjust}
        return {"n_samples": n_samples, **rule}
