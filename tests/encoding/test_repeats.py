"""Averages, weights and alignment of repeats; splits that keep an image and a run on one side."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score

from skdnn.encoding import (
    StimulusKFold,
    align_responses,
    average_repeats,
    check_disjoint,
    repeat_weights,
    stimulus_groups,
    trial_weights,
)
from skdnn.encoding._repeats import _averages as _repeats

PATHS = ["img/cat.jpg", "img/dog.png", "other/owl.jpg"]


def trials(n: int = 31, t: int = 7, n_stimuli: int = 9, seed: int = 0) -> tuple[Any, list[str]]:
    rng = np.random.default_rng(seed)
    codes = np.concatenate([np.arange(n_stimuli), rng.integers(0, n_stimuli, n - n_stimuli)])
    ids = [f"s{code}" for code in rng.permutation(codes)]
    return rng.normal(size=(n, t)), ids


@pytest.mark.parametrize("order", [None, "first", "list"])
def test_averages_equal_those_of_pandas(order: Any) -> None:
    values, ids = trials()
    frame = pd.DataFrame(values).groupby(np.array(ids), sort=order is None).mean()
    if order == "list":
        order = list(frame.index[::-1])
        frame = frame.loc[order]
    found = average_repeats(values, ids, order=order)
    assert found.ids.tolist() == list(frame.index)
    assert_allclose(found.responses, frame.to_numpy(), rtol=1e-13, atol=1e-15)
    assert_array_equal(found.counts, [ids.count(name) for name in frame.index])


def test_ids_and_responses_of_all_kinds() -> None:
    values, ids = trials(t=6)
    found = average_repeats(values, ids)
    deep = average_repeats(values.reshape(-1, 2, 3), pd.Series(ids))
    assert_array_equal(deep.responses, found.responses.reshape(-1, 2, 3))
    numbers = average_repeats(values, np.array([int(name[1:]) for name in ids]))
    assert_array_equal(numbers.responses, found.responses)
    assert numbers.ids.dtype == np.int64
    paths = average_repeats(pd.DataFrame(values), [Path(name) for name in ids])
    assert_array_equal(paths.responses, found.responses)
    assert paths.ids[0] == Path("s0")
    assert average_repeats(values[:, 0], ids).responses.shape == (9,)
    assert average_repeats(values.astype(np.float32), ids).responses.dtype == np.float32
    assert average_repeats(values.astype(np.int16), ids).responses.dtype == np.float64
    pairs = average_repeats(values, [(name, 1) for name in ids])
    assert pairs.ids[0] == ("s0", 1)


def test_files_are_averaged_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values, ids = trials(n=2500, t=40, n_stimuli=30)
    whole = average_repeats(values, ids)
    monkeypatch.setattr(_repeats, "_SUM_BYTES", 8 * 30 * 12)  # four passes of twelve columns
    assert_array_equal(average_repeats(values, ids).responses, whole.responses)
    with h5py.File(tmp_path / "trials.h5", "w") as file:
        stored = file.create_dataset("trials", data=values, chunks=(7, 40))
        assert_array_equal(average_repeats(stored, ids).responses, whole.responses)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999))
def test_order_of_trials_does_not_matter(seed: int) -> None:
    values, ids = trials(seed=seed)
    order = np.random.default_rng(seed).permutation(len(ids))
    found = average_repeats(values, ids)
    moved = average_repeats(values[order], np.array(ids)[order])
    assert_allclose(moved.responses, found.responses, rtol=1e-10, atol=1e-13)
    assert_array_equal(moved.counts, found.counts)
    weighted = found.counts @ found.responses / len(ids)
    assert_allclose(weighted, values.mean(axis=0), rtol=1e-10, atol=1e-13)


def test_bad_averages_are_refused() -> None:
    values, ids = trials()
    with pytest.raises(ValueError, match="31 rows and stimulus_ids 30 entries"):
        average_repeats(values, ids[1:])
    with pytest.raises(ValueError, match=r"missing \(None or NaN\) in rows 0"):
        average_repeats(values, [None, *ids[1:]])
    with pytest.raises(ValueError, match=r"missing .* in rows 1"):
        average_repeats(values[:2], np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match=r"order lacks 's.', .* and 3 more"):
        average_repeats(values, ids, order=["s0"])
    every = sorted(set(ids))
    with pytest.raises(ValueError, match="order holds more than once 's2'"):
        average_repeats(values, ids, order=[*every, "s2"])
    with pytest.raises(ValueError, match="no trial, 'x'"):
        average_repeats(values, ids, order=[*every, "x"])
    with pytest.raises(ValueError, match="order must be None, 'first' or a list"):
        average_repeats(values, ids, order="last")
    with pytest.raises(ValueError, match="cannot be sorted"):
        average_repeats(values[:2], ["a", 1])
    assert average_repeats(values[:2], ["a", 1], order="first").ids.tolist() == ["a", 1]
    with pytest.raises(TypeError, match="got the string"):
        average_repeats(values, "abc")
    with pytest.raises(TypeError, match="real numbers"):
        average_repeats(np.full((2, 2), "a"), ["a", "b"])


@pytest.mark.parametrize("model", [LinearRegression(), Ridge(alpha=3.0)])
def test_weighted_averages_are_worth_all_trials(model: Any) -> None:
    responses, ids = trials(n=60, n_stimuli=20)
    features = {name: np.random.default_rng(int(name[1:])).normal(size=5) for name in set(ids)}
    every = clone(model).fit(np.stack([features[name] for name in ids]), responses)
    averaged = average_repeats(responses, ids)
    X = np.stack([features[name] for name in averaged.ids])
    few = clone(model).fit(X, averaged.responses, sample_weight=repeat_weights(averaged.counts))
    assert_allclose(few.coef_, every.coef_, rtol=1e-9, atol=1e-12)
    # and the reverse: single trials in which each image counts the same
    plain = LinearRegression().fit(X, averaged.responses)
    rows = np.stack([features[name] for name in ids])
    even = LinearRegression().fit(rows, responses, sample_weight=trial_weights(ids))
    assert_allclose(even.coef_, plain.coef_, rtol=1e-8, atol=1e-12)


def test_weights() -> None:
    assert_array_equal(repeat_weights([1, 2, 3]), [1.0, 2.0, 3.0])
    assert repeat_weights([1, 2, 6], normalize=True).mean() == 1
    assert_allclose(trial_weights(["a", "b", "a", "a"]), [1 / 3, 1, 1 / 3, 1 / 3])
    for bad in ([0, 1], [[1, 2]], [np.nan]):
        with pytest.raises(ValueError, match="positive numbers"):
            repeat_weights(bad)


@pytest.mark.parametrize(
    "ids",
    [
        ["owl", "cat", "dog"],
        ["owl.jpg", "cat.jpg", "dog.png"],
        ["other/owl.jpg", "img/cat.jpg", "./img/dog.png"],
        [Path("other/owl.jpg"), "cat", "dog.png"],
    ],
)
@pytest.mark.parametrize("kind", ["array", "frame", "file", "deep", "list"])
def test_responses_follow_images(ids: list[Any], kind: str, tmp_path: Path) -> None:
    values = np.arange(12.0).reshape(3, 4)
    expected = values[[1, 2, 0]]
    if kind == "frame":
        found = align_responses(PATHS, pd.DataFrame(values, index=ids))
        assert found.index.tolist() == [ids[1], ids[2], ids[0]]
        assert_array_equal(found.to_numpy(), expected)
    elif kind == "file":
        with h5py.File(tmp_path / "y.h5", "w") as file:
            stored = file.create_dataset("y", data=values)
            assert_array_equal(align_responses(PATHS, stored, ids), expected)
    elif kind == "deep":
        deep = align_responses([Path(name) for name in PATHS], values.reshape(3, 2, 2), ids)
        assert_array_equal(deep, expected.reshape(3, 2, 2))
    else:
        given = values.tolist() if kind == "list" else values
        assert_array_equal(align_responses(PATHS, given, np.array(ids, dtype=object)), expected)


def test_surplus_rows() -> None:
    values, ids = np.arange(4.0), ["owl", "emu", "dog", "cat"]
    with pytest.raises(ValueError, match="ids holds 'emu', the name of no image"):
        align_responses(PATHS, values, ids)
    assert_array_equal(align_responses(PATHS, values, ids, surplus="drop"), [3.0, 2.0, 0.0])
    with pytest.raises(ValueError, match="surplus must be"):
        align_responses(PATHS, values, ids, surplus="ignore")


def test_alignments_that_do_not_fit_are_refused() -> None:
    values = np.arange(3.0)
    with pytest.raises(ValueError, match=r"no row for 1 of 3 images: 'other/owl.jpg'"):
        align_responses(PATHS, values[:2], ["cat", "dog"])
    with pytest.raises(ValueError, match=r"2 rows fit 'img/cat.jpg', named 'cat', 'cat.jpg'"):
        align_responses(PATHS[:2], values, ["cat", "dog", "cat.jpg"])
    with pytest.raises(ValueError, match=r"'cat' fits several images, 'a/cat.jpg', 'b/cat.jpg'"):
        align_responses(["a/cat.jpg", "b/cat.jpg"], values[:2], ["cat", "b/cat.jpg"])
    with pytest.raises(ValueError, match=r"images holds more than once 'img/cat.jpg'"):
        align_responses([*PATHS, "img/cat.jpg"], values, ["cat", "dog", "owl"])
    with pytest.raises(ValueError, match="3 rows and ids 2"):
        align_responses(PATHS, values, ["cat", "dog"])
    with pytest.raises(ValueError, match="ids must be given"):
        align_responses(PATHS, values)
    with pytest.raises(TypeError, match="ids must be names or paths of images, got int 0"):
        align_responses(PATHS, pd.Series(values))
    with pytest.raises(TypeError, match="images must be names"):
        align_responses([1, 2, 3], values, ["cat", "dog", "owl"])


def test_the_more_exact_name_comes_first() -> None:
    images = ["cat", "a/cat", "a/cat.jpg"]
    found = align_responses(images, np.arange(3), ["a/cat.jpg", "cat", "a/cat"])
    assert_array_equal(found, [1, 2, 0])


def test_groups_of_images_and_runs() -> None:
    assert_array_equal(stimulus_groups(["a", "b", "a"]), [0, 1, 0])
    ids, runs = ["a", "b", "c", "a", "d", "e"], [1, 1, 2, 3, 4, 2]
    # run 1 holds a and b, run 3 holds a: one group; run 2 c and e; run 4 d
    assert_array_equal(stimulus_groups(ids, runs), [0, 0, 1, 0, 2, 1])
    with pytest.raises(ValueError, match=r"All 2 runs and 3 images hang together"):
        stimulus_groups(["a", "b", "b", "c"], [1, 1, 2, 2])
    with pytest.raises(ValueError, match="3 entries and runs 2"):
        stimulus_groups(["a", "b", "b"], [1, 1])
    with pytest.raises(ValueError, match=r"runs is missing"):
        stimulus_groups(["a", "b"], [1, None])


@settings(max_examples=40, deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), min_size=2, max_size=25))
def test_groups_are_the_finest_that_keep_both_together(pairs: list[tuple[int, int]]) -> None:
    ids, runs = zip(*pairs, strict=True)
    expected = list(range(len(pairs)))
    for _ in pairs:  # merge trials that share an image or a run until nothing changes
        for i, (a, r) in enumerate(pairs):
            expected[i] = min(expected[j] for j, (b, s) in enumerate(pairs) if a == b or r == s)
    if len(set(expected)) == 1:
        with pytest.raises(ValueError, match="hang together"):
            stimulus_groups(ids, runs)
    else:
        found = stimulus_groups(ids, runs)
        same = found[:, None] == found
        assert_array_equal(same, np.equal.outer(expected, expected))


@pytest.mark.parametrize("shuffle", [True, False])
def test_folds_keep_images_and_runs_together(shuffle: bool) -> None:
    rng = np.random.default_rng(0)
    runs = np.repeat(np.arange(12), 10)
    ids = np.array([f"s{run // 2}-{rng.integers(6)}" for run in runs])
    cv = StimulusKFold(3, shuffle=shuffle, random_state=0 if shuffle else None)
    X = np.zeros((120, 2))
    forms = [np.column_stack([ids, runs]), pd.DataFrame({"stimulus": ids, "run": runs})]
    for groups in forms:
        seen = []
        for train, test in cv.split(X, groups=groups):
            check_disjoint(ids[train], ids[test])
            check_disjoint(runs[train], runs[test], names=("one", "other"))
            assert len(train) + len(test) == 120
            seen.extend(test)
        assert sorted(seen) == list(range(120))
    for train, test in cv.split(X, groups=ids):
        check_disjoint(ids[train], ids[test])
    assert cv.get_n_splits(X, groups=ids) == 3


def test_without_shuffling_it_is_scikit_learns_group_kfold() -> None:
    _, ids = trials()
    X = np.zeros((31, 1))
    ours = StimulusKFold(4, shuffle=False).split(X, groups=ids)
    codes = stimulus_groups(ids)
    theirs = GroupKFold(4).split(X, groups=codes)
    for (a, b), (c, d) in zip(ours, theirs, strict=True):
        assert_array_equal(a, c)
        assert_array_equal(b, d)


def test_stimuli_are_taken_from_paths_or_an_index() -> None:
    paths = [PATHS[k % 3] for k in range(9)]
    y = np.arange(9.0)
    expected = [test for _, test in StimulusKFold(3, random_state=0).split(y, groups=paths)]
    forms: list[tuple[Any, Any]] = [
        (paths, y),
        (np.array(paths), y),
        (pd.Series(paths), y),
        (pd.DataFrame({"image": paths}), y),
        ([Path(name) for name in paths], None),
        (np.zeros((9, 2)), pd.DataFrame(y, index=paths)),
        (pd.DataFrame(np.zeros((9, 2)), index=paths), y),
    ]
    for X, target in forms:
        found = [test for _, test in StimulusKFold(3, random_state=0).split(X, target)]
        for a, b in zip(found, expected, strict=True):
            assert_array_equal(a, b)
    with pytest.raises(ValueError, match="groups must say which stimulus"):
        next(StimulusKFold(3).split(np.zeros((9, 2)), y))
    with pytest.raises(ValueError, match="n_splits=4 is more than the 3 groups of images"):
        next(StimulusKFold(4).split(paths))
    with pytest.raises(ValueError, match=r"groups has shape \(9, 3\)"):
        next(StimulusKFold(3).split(paths, groups=np.zeros((9, 3))))


def test_folds_in_scikit_learns_cross_validation_and_search() -> None:
    """Trials of an image share its noise here: what is on both sides would be found again."""
    rng = np.random.default_rng(0)
    ids = np.repeat([f"s{k}" for k in range(40)], 3)
    X = np.repeat(rng.normal(size=(40, 60)), 3, axis=0)
    y = np.repeat(rng.normal(size=(40, 5)), 3, axis=0) + 0.1 * rng.normal(size=(120, 5))
    cv = StimulusKFold(4, random_state=0)
    honest = cross_val_score(Ridge(), X, y, groups=ids, cv=cv)
    assert honest.max() < 0
    shuffled = np.random.default_rng(0).permutation(120)
    leaking = cross_val_score(Ridge(), X[shuffled], y[shuffled], cv=4)
    assert leaking.min() > 0.2
    labelled = cross_val_score(Ridge(), X, pd.DataFrame(y, index=ids), cv=cv)
    assert_allclose(labelled, honest, rtol=1e-10)
    search = GridSearchCV(Ridge(), {"alpha": [1.0, 1e4]}, cv=cv).fit(X, y, groups=ids)
    assert search.best_params_ == {"alpha": 1e4}
    again = pickle.loads(pickle.dumps(cv))
    assert repr(again) == "StimulusKFold(n_splits=4, random_state=0, shuffle=True)"


def test_an_image_on_both_sides_is_an_error() -> None:
    check_disjoint(PATHS, ["img/owl.jpg", "emu"])
    check_disjoint(["train/1.jpg"], ["test/1.jpg"])
    check_disjoint([1, 2], [3])
    check_disjoint(["a.jpg"], ["a.png"])
    for train, test, name in (
        (PATHS, ["emu", "img/dog.png"], "'img/dog.png'"),
        (PATHS, ["dog"], "'dog'"),
        (PATHS, ["dog.png"], "'dog.png'"),
        (["dog"], PATHS, "'img/dog.png'"),
        (["dog.png"], [Path("img/dog.png")], "'img/dog.png'"),
        ([1, 2], np.array([2, 3]), "2"),
    ):
        with pytest.raises(ValueError, match="1 image is in both the training and the test") as e:
            check_disjoint(train, test)
        assert name in str(e.value)
    with pytest.raises(
        ValueError, match=r"7 images are in both the inner and the outer .* 2 more"
    ):
        check_disjoint(range(7), range(7), names=("inner", "outer"))
    with pytest.raises(ValueError, match="test ids is empty"):
        check_disjoint([1], [])
