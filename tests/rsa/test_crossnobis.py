"""Crossnobis distances against rsatoolbox, plain loops and what they are made for."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skdnn.rsa import compute_rdm, estimate_noise_precision

N, FEATURES, FOLDS = 5, 7, 4


def measurements(repeats=1, seed=0, offset=0.0):
    """Shuffled rows of N conditions in each of some folds; labels not in sorted order."""
    rng = np.random.default_rng(seed)
    conditions = np.tile(["zebra", "ant", "mole", "bee", "yak"], FOLDS * repeats)
    folds = np.repeat([f"run{f}" for f in (3, 1, 4, 2)], N * repeats)
    X = offset + rng.normal(size=(len(conditions), FEATURES))
    order = rng.permutation(len(conditions))
    return X[order], conditions[order], folds[order]


def full_precision(seed=1):
    residuals = np.random.default_rng(seed).normal(size=(50, FEATURES))
    return estimate_noise_precision(residuals @ np.triu(np.ones((FEATURES, FEATURES))), "full")


def toolbox(X, conditions, folds, noise=None, method="crossnobis"):
    rsd = pytest.importorskip("rsatoolbox")
    descriptors = {"condition": list(conditions), "fold": list(folds)}
    rdms = rsd.rdm.calc_rdm(
        rsd.data.Dataset(X, obs_descriptors=descriptors),
        method=method, descriptor="condition", noise=noise,
        **({"cv_descriptor": "fold"} if method == "crossnobis" else {}),
    )  # fmt: skip
    labels = list(rdms.pattern_descriptors["condition"])
    return pd.DataFrame(rdms.get_matrices()[0], index=labels, columns=labels)


def by_loops(X, conditions, folds, precision):
    """The definition, pair by pair, over any two folds that hold both."""
    labels = list(dict.fromkeys(conditions))
    rdm = pd.DataFrame(0.0, index=labels, columns=labels)
    for a, b in combinations(labels, 2):
        differences = []
        for fold in dict.fromkeys(folds):
            chosen = [(folds == fold) & (conditions == which) for which in (a, b)]
            if all(rows.any() for rows in chosen):
                one, other = (X[rows].mean(axis=0) for rows in chosen)
                differences.append(one - other)
        terms = [x @ precision @ y / X.shape[1] for x, y in combinations(differences, 2)]
        rdm.loc[a, b] = rdm.loc[b, a] = np.mean(terms) if terms else np.nan
    return rdm


def assert_same(ours, theirs, atol=1e-10):
    assert set(ours.index) == set(theirs.index)
    assert_allclose(ours, theirs.loc[ours.index, ours.columns], rtol=1e-10, atol=atol)


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("noise", ["none", "diagonal", "full"])
def test_agrees_with_rsatoolbox(repeats, noise):
    X, conditions, folds = measurements(repeats)
    precision = {
        "none": None,
        "diagonal": np.linspace(0.2, 3, FEATURES),
        "full": full_precision(),
    }[noise]
    ours = compute_rdm(
        X, "crossnobis", conditions=conditions, folds=folds, noise_precision=precision
    )
    matrix = np.diag(precision) if noise == "diagonal" else precision
    assert_same(ours, toolbox(X, conditions, folds, matrix))


def test_unequal_repeats_agree_with_rsatoolbox():
    X, conditions, folds = measurements(3)
    kept = np.random.default_rng(3).random(len(X)) < 0.8
    X, conditions, folds = X[kept], conditions[kept], folds[kept]
    assert len(set(zip(conditions, folds, strict=True))) == N * FOLDS
    ours = compute_rdm(X, "crossnobis", conditions=conditions, folds=folds)
    assert_same(ours, toolbox(X, conditions, folds))


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("as_dict", [False, True])
def test_a_precision_for_each_fold_agrees_with_rsatoolbox(diagonal, as_dict):
    X, conditions, folds = measurements(2)
    names = list(dict.fromkeys(folds))
    precisions = {name: full_precision(seed) for seed, name in enumerate(names)}
    if diagonal:
        precisions = {name: np.diag(precision) for name, precision in precisions.items()}
    ours = compute_rdm(
        X, "crossnobis", conditions=conditions, folds=folds,
        noise_precision=precisions if as_dict else list(precisions.values()),
    )  # fmt: skip
    matrices = [precisions[name] for name in sorted(names)]  # in their order of folds
    matrices = [np.diag(p) if p.ndim == 1 else p for p in matrices]
    assert_same(ours, toolbox(X, conditions, folds, matrices))


def test_diagonals_and_matrices_of_folds_can_be_mixed():
    X, conditions, folds = measurements()
    names = list(dict.fromkeys(folds))
    mixed = {name: np.linspace(1, 2, FEATURES) for name in names}
    mixed[names[1]] = np.diag(mixed[names[1]])
    kinds = [
        compute_rdm(X, "crossnobis", conditions=conditions, folds=folds, noise_precision=p)
        for p in (mixed, np.linspace(1, 2, FEATURES))
    ]
    assert_allclose(*kinds, atol=1e-12)  # and equal precisions are one for all


def test_conditions_that_are_missing_in_folds():
    X, conditions, folds = measurements(2)
    gone = ((conditions == "ant") & (folds == "run1")) | (
        (conditions == "bee") & (folds != "run2") & (folds != "run3")
    )
    X, conditions, folds = X[~gone], conditions[~gone], folds[~gone]
    precision = full_precision()
    ours = compute_rdm(
        X, "crossnobis", conditions=conditions, folds=folds, noise_precision=precision
    )
    assert_same(ours, by_loops(X, conditions, folds, precision))
    # What a run adds to all its patterns cancels, whichever conditions it lacks.
    drift = X + 5 * (folds == "run2")[:, None]
    again = compute_rdm(
        drift, "crossnobis", conditions=conditions, folds=folds, noise_precision=precision
    )
    assert_allclose(again, ours, atol=1e-10)


def test_a_pair_that_no_fold_measures_is_nan_and_named():
    X, conditions, folds = measurements()
    gone = (conditions == "mole") & (folds != "run4")
    with pytest.warns(RuntimeWarning, match="condition 'mole' are NaN: no two folds"):
        rdm = compute_rdm(X[~gone], "crossnobis", conditions=conditions[~gone], folds=folds[~gone])
    assert rdm["mole"].isna().sum() == N - 1
    assert rdm.drop("mole").drop(columns="mole").notna().all(axis=None)
    assert rdm.loc["mole", "mole"] == 0


def test_order_symmetry_and_diagonal():
    X, conditions, folds = measurements(2)
    rdm = compute_rdm(X, "crossnobis", conditions=conditions, folds=folds)
    assert list(rdm.index) == list(rdm.columns) == list(dict.fromkeys(conditions))
    assert_array_equal(rdm, rdm.T)
    assert_array_equal(np.diag(rdm), np.zeros(N))


def test_what_all_rows_share_changes_nothing():
    X, conditions, folds = measurements(2)
    kinds = [
        compute_rdm(
            X + offset, "crossnobis", conditions=conditions, folds=folds, noise_precision=precision
        )
        for offset in (0, 1e6)
        for precision in (None, full_precision())
    ]
    assert_allclose(kinds[2], kinds[0], atol=1e-8)
    assert_allclose(kinds[3], kinds[1], atol=1e-7)


def test_noise_alone_averages_to_zero_and_mahalanobis_does_not():
    """200 studies: the mean within 4 standard errors of zero, that of the other far off."""
    crossed, plain = [], []
    for seed in range(200):
        X, conditions, folds = measurements(seed=seed)
        rdm = compute_rdm(X, "crossnobis", conditions=conditions, folds=folds).to_numpy()
        crossed.append(rdm[np.triu_indices(N, 1)].mean())
        biased = compute_rdm(
            X, "mahalanobis", conditions=conditions, noise_precision=np.ones(FEATURES)
        ).to_numpy()
        plain.append(biased[np.triu_indices(N, 1)].mean())
    error = np.std(crossed, ddof=1) / np.sqrt(200)
    assert abs(np.mean(crossed)) < 4 * error
    assert np.mean(plain) == pytest.approx(2 / FOLDS, rel=0.1)
    assert np.min(crossed) < 0


@pytest.mark.parametrize("block_size", [1, 3, None])
@pytest.mark.parametrize("noise", [None, np.linspace(1, 2, FEATURES)])
def test_blocks_change_nothing(block_size, noise):
    X, conditions, folds = measurements(2)
    labels = {"conditions": conditions, "folds": folds, "noise_precision": noise}
    whole = compute_rdm(X, "crossnobis", **labels)
    assert_allclose(
        compute_rdm(X, "crossnobis", block_size=block_size, **labels), whole, atol=1e-13
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conditions": None}, "conditions is None"),
        ({"folds": None}, "folds is None"),
        ({"folds": np.zeros(20)}, "folds has one label, 0.0"),
        ({"folds": np.zeros(3)}, "folds has 3 labels for 20 rows"),
        ({"conditions": [None] + ["a", "b"] * 9 + ["a"]}, "conditions has no label for row 0"),
        ({"conditions": ["a"] * 20}, "X has 1 condition: an RDM needs two"),
        ({"noise_precision": np.ones(6)}, r"shape \(6,\): for 7 features"),
        ({"noise_precision": np.full((7, 7), np.nan)}, "NaN or infinity"),
        ({"noise_precision": np.triu(np.ones((7, 7)))}, "not symmetric"),
        ({"noise_precision": -np.eye(7)}, "negative eigenvalues"),
        ({"noise_precision": -np.ones(7)}, "negative entries"),
        ({"noise_precision": [np.ones(7)] * 3}, "3 entries for 4 folds"),
        ({"noise_precision": {"run1": np.ones(7)}}, "no entry for fold 'run"),
        ({"metric": "correlation"}, "folds are for metric='crossnobis'"),
        ({"metric": "correlation", "folds": None, "noise_precision": np.ones(7)}, "is for 'maha"),
    ],
)
def test_errors(change, message):
    X, conditions, folds = measurements()
    arguments = {"metric": "crossnobis", "conditions": conditions, "folds": folds} | change
    with pytest.raises(ValueError, match=message):
        compute_rdm(X, **arguments)


def test_missing_values_are_named():
    X, conditions, folds = measurements()
    X[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity in row 3"):
        compute_rdm(X, "crossnobis", conditions=conditions, folds=folds)


@pytest.mark.parametrize("metric", ["correlation", "euclidean", "mahalanobis"])
def test_conditions_are_averaged_as_in_rsatoolbox(metric):
    X, conditions, folds = measurements(2)
    noise = full_precision() if metric == "mahalanobis" else None
    ours = compute_rdm(
        X, {"euclidean": "sqeuclidean_per_feature"}.get(metric, metric),
        conditions=conditions, noise_precision=noise,
    )  # fmt: skip
    assert_same(ours, toolbox(X, conditions, folds, noise, metric))
    assert list(ours.index) == list(dict.fromkeys(conditions))


@pytest.mark.parametrize("metric", ["spearman", "cityblock", "cosine", "poisson"])
def test_averaging_is_that_of_the_rows(metric):
    X, conditions, _ = measurements(3)
    X = np.abs(X)
    means = pd.DataFrame(X).groupby(conditions, sort=False).mean()
    ours = compute_rdm(X, metric, conditions=conditions)
    assert_allclose(ours, compute_rdm(means, metric), atol=1e-12)
    assert list(ours.index) == list(means.index)


def test_labels_of_any_kind_give_the_same():
    X, conditions, folds = measurements(2)
    expected = compute_rdm(X, "crossnobis", conditions=conditions, folds=folds)
    index = [f"trial{i}" for i in range(len(X))]
    for kind in (
        list,
        pd.Index,
        pd.Series,
        pd.Categorical,
        lambda labels: pd.Series(labels, dtype="category"),
        lambda labels: pd.Series(labels, index=index),
    ):
        rdm = compute_rdm(
            pd.DataFrame(X, index=index), "crossnobis",
            conditions=kind(conditions), folds=kind(folds),
        )  # fmt: skip
        pd.testing.assert_frame_equal(rdm, expected)
    numbers = compute_rdm(X, conditions=np.arange(len(X)) // 2)
    assert list(numbers.index) == list(range(len(X) // 2))
    assert compute_rdm(X, conditions=[(c, 1) for c in conditions]).shape == (N, N)


@pytest.mark.parametrize("which", ["conditions", "folds"])
def test_labels_in_another_order_than_the_rows_are_an_error(which):
    X, conditions, folds = measurements()
    index = [f"trial{i}" for i in range(len(X))]
    labels = {"conditions": conditions, "folds": folds}
    labels[which] = pd.Series(labels[which], index=index[::-1])
    with pytest.raises(ValueError, match=f"index of {which} is not that of X: row 0 is 'trial19'"):
        compute_rdm(pd.DataFrame(X, index=index), "crossnobis", **labels)
