"""Splits of trials that keep an image, and a run, on one side."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import GroupKFold

from skdnn._labels import ImageNames, row_labels
from skdnn._wording import listed
from skdnn.encoding._repeats._averages import id_list, stimulus_codes


def stimulus_groups(
    stimulus_ids: Iterable[Hashable], runs: Iterable[Hashable] | None = None
) -> NDArray[np.intp]:
    """Number the groups of trials that must stay together, for scikit-learn's group splitters.

    Parameters
    ----------
    stimulus_ids : sequence of length n_trials
        What was shown.
    runs : sequence of length n_trials, default=None
        In which run (or session); unique over subjects and sessions. If given, trials of one run
        stay together too.

    Returns
    -------
    groups : ndarray of shape (n_trials,)
        Numbers of groups, by first appearance. With `runs`, they are the connected components of
        the graph whose edges are trials, between images and runs.

    Raises
    ------
    ValueError
        If the lengths differ, or everything hangs together through images that several runs
        share.

    See Also
    --------
    StimulusKFold : Splits by these groups.

    Examples
    --------
    >>> from skdnn.encoding import stimulus_groups
    >>> stimulus_groups(["cat", "dog", "cat", "owl"])
    array([0, 1, 0, 2])
    >>> stimulus_groups(["cat", "dog", "cat", "owl"], runs=[1, 1, 2, 3])
    array([0, 0, 0, 1])
    """
    stimuli = stimulus_codes(stimulus_ids, "stimulus_ids")
    if runs is None:
        return stimuli
    run_codes = stimulus_codes(runs, "runs")
    if len(run_codes) != len(stimuli):
        raise ValueError(
            f"stimulus_ids has {len(stimuli)} entries and runs {len(run_codes)}: one of both for "
            "each trial is needed."
        )
    n_stimuli, n_runs = stimuli.max() + 1, run_codes.max() + 1
    edges = coo_array(
        (np.ones(len(stimuli)), (stimuli, n_stimuli + run_codes)), shape=(n_stimuli + n_runs,) * 2
    )
    count, component = connected_components(edges, directed=False)
    if count == 1:
        raise ValueError(
            f"All {n_runs} runs and {n_stimuli} images hang together, because runs share images "
            "(directly or through other runs): no split keeps both an image and a run on one "
            "side. Leave runs out (average the repeats of an image over runs), or leave out the "
            "trials of images that link the runs."
        )
    return stimulus_codes(component[stimuli], "runs")


class StimulusKFold(GroupKFold):
    """K-fold cross-validation over images: all trials of an image are on one side.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds.
    shuffle : bool, default=True
        Share images out at random; False by first appearance and size, as
        :class:`~sklearn.model_selection.GroupKFold` does. Images come sorted by category so often
        that, unlike scikit-learn's, this one shuffles.
    random_state : int, RandomState instance or None, default=None
        Seed of the order. With None each call of `split` gives another one.

    See Also
    --------
    stimulus_groups : What stays together.
    check_disjoint : For splits that were made elsewhere.

    Notes
    -----
    ``split(X, y, groups)`` takes the stimulus of each row as `groups`, or a DataFrame or array
    of two columns, stimulus and run, which keeps runs on one side too. Without groups, stimuli
    are the image paths in X or, if X is something else, the strings in its index or that of y;
    where there are none that is an error.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import StimulusKFold
    >>> shown = np.array(["cat", "dog", "owl", "cat", "dog", "owl"])
    >>> for train, test in StimulusKFold(3, random_state=0).split(shown):
    ...     print(shown[train], shown[test])
    ['cat' 'dog' 'cat' 'dog'] ['owl' 'owl']
    ['cat' 'owl' 'cat' 'owl'] ['dog' 'dog']
    ['dog' 'owl' 'dog' 'owl'] ['cat' 'cat']
    """

    def __init__(
        self, n_splits: int = 5, *, shuffle: bool = True, random_state: Any = None
    ) -> None:
        super().__init__(n_splits, shuffle=shuffle, random_state=random_state)

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Share the rows out to folds.

        Parameters
        ----------
        X : array-like of length n_trials
            Image paths, or anything with one row for each trial.
        y : array-like of length n_trials, default=None
            Responses; looked at only for an index of image names.
        groups : array-like of shape (n_trials,) or (n_trials, 2), default=None
            Stimulus, or stimulus and run, of each trial.

        Returns
        -------
        splits : iterator of (ndarray, ndarray)
            Positions of training and test rows.

        Raises
        ------
        ValueError
            If stimuli are not known, or there are fewer groups of them than folds.
        """
        stimuli, runs = _stimuli_and_runs(X, y, groups)
        together = stimulus_groups(stimuli, runs)
        n_groups = len(np.unique(together))
        if n_groups < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} is more than the {n_groups} groups of images "
                f"{'and runs ' if runs is not None else ''}that can be split."
            )
        return super().split(np.zeros((len(together), 1)), None, together)


def _stimuli_and_runs(X: Any, y: Any, groups: Any) -> tuple[Any, Any]:
    """What was shown in each row, and in which run if that is known."""
    if groups is None:
        return _names_of(X, y), None
    columns = getattr(groups, "shape", np.shape(groups))
    if len(columns) == 1:
        return groups, None
    if len(columns) != 2 or columns[1] not in (1, 2):
        raise ValueError(
            f"groups has shape {columns}: give the stimulus of each row, or two columns, stimulus "
            "and run."
        )
    if isinstance(groups, pd.DataFrame):
        parts = [groups.iloc[:, k].to_numpy() for k in range(columns[1])]
    else:
        parts = list(np.asarray(groups).T)
    return parts[0], parts[1] if len(parts) == 2 else None


def _names_of(X: Any, y: Any) -> list[Any]:
    if isinstance(X, pd.DataFrame) and X.shape[1] == 1:
        X = X.iloc[:, 0] if X.iloc[:, 0].map(is_name).all() else X
    if isinstance(X, (list, tuple, pd.Series, pd.Index)) or getattr(X, "ndim", 0) == 1:
        items = list(X)
        if items and all(map(is_name, items)):
            return [str(PurePath(item)) for item in items]
    labels = row_labels(X) or row_labels(y)
    if labels is None:
        raise ValueError(
            "groups must say which stimulus each row is: X holds no image paths, and neither X "
            "nor y has an index of names."
        )
    return list(labels)


def is_name(item: Any) -> bool:
    """Whether this may name an image."""
    return isinstance(item, (str, PurePath))


def check_disjoint(
    train_ids: Iterable[Hashable],
    test_ids: Iterable[Hashable],
    *,
    names: tuple[str, str] = ("training", "test"),
) -> None:
    """Raise if an image is on both sides of a split.

    Parameters
    ----------
    train_ids, test_ids : sequence
        Stimuli of both sides: names, paths or numbers.
    names : tuple of two str, default=("training", "test")
        What the sides are called in the error.

    Raises
    ------
    ValueError
        Naming the images on both sides.

    See Also
    --------
    StimulusKFold : Splits in which there is none.

    Notes
    -----
    ``train/1.jpg`` and ``test/1.jpg`` are two images. An id that is the end of a path stands for
    every path that ends so, with or without its extension; see :func:`align_responses`.

    Examples
    --------
    >>> from skdnn.encoding import check_disjoint
    >>> check_disjoint(["img/cat.jpg", "img/dog.jpg"], ["cat", "owl"])
    Traceback (most recent call last):
    ...
    ValueError: 1 image is in both the training and the test set: 'cat'. ...
    """
    train, test = (
        [str(PurePath(str(i))) if is_name(i) else i for i in id_list(ids, f"{name} ids")]
        for ids, name in zip((train_ids, test_ids), names, strict=True)
    )
    known, called = set(train), ImageNames(item for item in train if isinstance(item, str))
    both = [
        item
        for item in dict.fromkeys(test)
        if item in known or (isinstance(item, str) and called.fitting(item))
    ]
    if both:
        one = len(both) == 1
        raise ValueError(
            f"{len(both)} {'image is' if one else 'images are'} in both the {names[0]} and the "
            f"{names[1]} set: {listed(both)}. Split by image, e.g. with StimulusKFold."
        )
