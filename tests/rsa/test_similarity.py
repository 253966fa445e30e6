import tracemalloc
import warnings

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes, sqrtm
from scipy.spatial import procrustes
from scipy.spatial.distance import pdist, squareform
from scipy.stats import ortho_group
from sklearn.metrics.pairwise import linear_kernel, rbf_kernel
from sklearn.preprocessing import KernelCenterer

from skdnn.rsa import cka, compute_rdm, procrustes_distance

N, P, Q = 15, 33, 21
SHAPES = [(15, 33, 21), (60, 7, 11), (20, 3, 90), (30, 15, 15)]  # features many, few, mixed


def pair(n=N, p=P, q=Q, seed=0):
    """Two representations that share something."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, 3))
    return tuple(
        shared @ rng.normal(size=(3, width)) + rng.normal(size=(n, width)) for width in (p, q)
    )


def kernel_of(X, kernel, bandwidth=1.0):
    """By scikit-learn, with the median distance by scipy."""
    if kernel == "linear":
        return linear_kernel(X)
    return rbf_kernel(X, gamma=1 / (2 * (bandwidth * np.median(pdist(X))) ** 2))


def biased_by_hand(K, L):
    K, L = (KernelCenterer().fit_transform(kernel) for kernel in (K, L))
    return (K * L).sum() / np.sqrt((K * K).sum() * (L * L).sum())


def unbiased_hsic(K, L):
    """Song et al. (2012), equation 5, term by term."""
    n = len(K)
    K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
    ones = np.ones(n)
    middle = (ones @ K @ ones) * (ones @ L @ ones) / ((n - 1) * (n - 2))
    return (np.trace(K @ L) + middle - 2 / (n - 2) * (ones @ K @ L @ ones)) / (n * (n - 3))


def debiased_by_hand(K, L):
    return unbiased_hsic(K, L) / np.sqrt(unbiased_hsic(K, K) * unbiased_hsic(L, L))


class Lazy:
    """A file that gives slices, and counts how much is asked for at a time."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.most = values, values.shape, values.dtype, 0

    def __getitem__(self, key):
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        assert isinstance(rows, slice)
        assert isinstance(columns, slice)
        part = self.values[key]
        self.most = max(self.most, part.size)
        return part


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_cka_equals_the_formulas(shape, kernel):
    X, Y = pair(*shape)
    K, L = kernel_of(X, kernel), kernel_of(Y, kernel)
    assert cka(X, Y, kernel) == pytest.approx(biased_by_hand(K, L), abs=1e-12)
    debiased = cka(X, Y, kernel, debiased=True)
    assert debiased == pytest.approx(debiased_by_hand(K, L), abs=1e-12)
    assert isinstance(debiased, float)


def test_linear_cka_equals_the_products_of_features():
    X, Y = (values - values.mean(axis=0) for values in pair())
    expected = np.linalg.norm(X.T @ Y) ** 2 / np.linalg.norm(X.T @ X) / np.linalg.norm(Y.T @ Y)
    assert cka(X, Y) == pytest.approx(expected, abs=1e-13)


def test_width_of_the_gaussian():
    X, Y = pair()
    for bandwidth in (0.2, 0.8):
        kernels = [kernel_of(values, "rbf", bandwidth) for values in (X, Y)]
        expected = biased_by_hand(*kernels)
        assert cka(X, Y, "rbf", bandwidth=bandwidth) == pytest.approx(expected, abs=1e-12)
    expected = biased_by_hand(rbf_kernel(X, gamma=0.01), rbf_kernel(Y, gamma=0.01))
    assert cka(X, Y, "rbf", gamma=0.01) == pytest.approx(expected, abs=1e-12)
    wide = cka(X, Y, "rbf", gamma=1e-9)  # the kernel less 1 is nearly linear in the distances
    assert wide == pytest.approx(cka(X, Y), abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("debiased", [False, True])
def test_invariances(shape, kernel, debiased):
    X, Y = pair(*shape)
    options = {"kernel": kernel, "debiased": debiased}
    expected = cka(X, Y, **options)
    rotation = ortho_group.rvs(X.shape[1], random_state=0)
    changed = -3 * X @ rotation + np.arange(X.shape[1])
    assert cka(changed, Y, **options) == pytest.approx(expected, abs=1e-12)
    assert cka(Y, X, **options) == pytest.approx(expected, abs=1e-14)
    assert cka(X, changed, **options) == pytest.approx(1, abs=1e-12)
    stretched = X * np.linspace(0.2, 3, X.shape[1])
    assert abs(cka(stretched, Y, **options) - expected) > 1e-3
    order = np.random.default_rng(0).permutation(len(X))
    assert cka(X[order], Y[order], **options) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(4, 12),
    p=st.integers(1, 20),
    q=st.integers(1, 20),
    scale=st.floats(1e-3, 1e3),
    seed=st.integers(0, 1000),
)
def test_range_symmetry_and_scale(n, p, q, scale, seed):
    X, Y = pair(n, p, q, seed)
    value = cka(X, Y)
    assert 0 <= value <= 1
    assert value == pytest.approx(cka(scale * Y, X), abs=1e-10)
    assert -1 <= cka(X, Y, debiased=True) <= 1
    d = procrustes_distance(X, Y)
    assert 0 <= d <= np.sqrt(2)
    assert d == pytest.approx(procrustes_distance(Y, scale * X), abs=1e-6)


def double_centred(squared):
    H = np.eye(len(squared)) - 1 / len(squared)
    return -H @ squared @ H / 2


@pytest.mark.parametrize("shape", SHAPES)
def test_linear_cka_is_the_whitened_cosine_of_squared_rdms(shape):
    X, Y = pair(*shape)
    scipys = [squareform(pdist(values, "sqeuclidean")) for values in (X, Y)]
    ours = [compute_rdm(values, "sqeuclidean") for values in (X, Y)]
    for rdms in (scipys, ours):
        G, H = map(double_centred, rdms)
        expected = (G * H).sum() / np.linalg.norm(G) / np.linalg.norm(H)
        assert cka(X, Y) == pytest.approx(expected, abs=1e-12)


def test_monkey_and_human_it(kriegeskorte92):
    """Patterns whose squared distances are the published RDMs: the known cosine_cov of both."""
    patterns = []
    for rdm in (kriegeskorte92.monkey_it, kriegeskorte92.human_it):
        values, vectors = np.linalg.eigh(double_centred(rdm.to_numpy()))
        assert values[0] > -1e-3 * values[-1]
        patterns.append(vectors * np.sqrt(np.clip(values, 0, None)))
    assert cka(*patterns) == pytest.approx(0.7927979055, abs=1e-9)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_unrelated_features_score_zero_on_average(kernel):
    """500 draws; the biased estimate fails the same test."""

    def z_of(debiased):
        rng = np.random.default_rng(0)
        scores = [
            cka(rng.normal(size=(12, 200)), rng.normal(size=(12, 50)), kernel, debiased=debiased)
            for _ in range(500)
        ]
        return np.mean(scores) / (np.std(scores) / np.sqrt(len(scores)))

    assert abs(z_of(debiased=True)) < 3
    assert z_of(debiased=False) > 100


@pytest.mark.parametrize("shape", [(25, 300, 200), (90, 30, 40)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int32])
def test_offsets_cost_no_digits(shape, dtype):
    X, Y = pair(*shape)
    offset = 1e4 if dtype == np.float32 else 100
    X, Y = (10 * X + offset).astype(dtype), Y.astype(np.float32)
    exact = np.asarray(X, dtype=np.longdouble)
    exact = (exact - exact.mean(axis=0)).astype(float)
    for options in ({}, {"debiased": True}):
        assert cka(X, Y, **options) == pytest.approx(cka(exact, Y, **options), abs=1e-12)
    expected = biased_by_hand(exact @ exact.T, linear_kernel(Y.astype(float)))
    assert cka(X, Y) == pytest.approx(expected, abs=1e-12)
    assert procrustes_distance(X, Y) == pytest.approx(procrustes_distance(exact, Y), abs=1e-9)


@pytest.mark.parametrize("scale", [1e-60, 1e60])
def test_tiny_and_huge_values(scale):
    for shape in SHAPES:
        X, Y = pair(*shape)
        assert cka(scale * X, Y, debiased=True) == pytest.approx(cka(X, Y, debiased=True))
        assert procrustes_distance(scale * X, Y) == pytest.approx(procrustes_distance(X, Y))
        with pytest.raises(ValueError, match=r"squares of the values of X are too large"):
            cka(1e200 * X, Y)


# In blocks, from files


@pytest.mark.parametrize("shape", [(40, 900, 300), (300, 40, 30)])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_block_size_changes_nothing(shape, kernel):
    X, Y = pair(*shape)
    lazy = Lazy(X), Lazy(Y)
    for debiased in (False, True):
        expected = cka(X, Y, kernel, debiased=debiased)
        for size in (1, 7, 64, 5000):
            values = [
                cka(*data, kernel, debiased=debiased, block_size=size) for data in ((X, Y), lazy)
            ]
            np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)
    expected = procrustes_distance(X, Y)
    for size in (1, 7, 5000):
        values = [procrustes_distance(*data, block_size=size) for data in ((X, Y), lazy)]
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(40, 900, 300), (300, 40, 30)])
def test_files_equal_memory(tmp_path, shape):
    X, Y = (values.astype(np.float32) for values in pair(*shape))
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    with h5py.File(tmp_path / "y.h5", "w") as file:
        stored = file.create_dataset("y", data=Y, chunks=(8, 16))
        for options in ({}, {"debiased": True}, {"kernel": "rbf"}):
            expected = cka(X, Y, **options)
            assert cka(mapped, stored, **options) == pytest.approx(expected, abs=1e-12)
            frame = cka(pd.DataFrame(X), Lazy(Y), **options)
            assert frame == pytest.approx(expected, abs=1e-12)
        batched = {"debiased": True, "batch_size": 9, "random_state": 1}
        expected = cka(X, Y, **batched)
        assert cka(mapped, stored, **batched) == pytest.approx(expected, abs=1e-12)
        assert cka(Lazy(X), Lazy(Y), **batched) == pytest.approx(expected, abs=1e-12)
        expected = procrustes_distance(X, Y)
        assert procrustes_distance(mapped, stored) == pytest.approx(expected, abs=1e-12)


def test_blocks_are_no_larger_than_asked_for():
    X, Y = (Lazy(values) for values in pair(40, 900, 300))
    cka(X, Y, block_size=10)
    assert max(X.most, Y.most) == 400
    X, Y = (Lazy(values) for values in pair(500, 20, 30))
    cka(X, Y, block_size=10)
    assert (X.most, Y.most) == (200, 300)


@pytest.mark.parametrize("shape", [(50, 120_000), (60_000, 100)])
def test_memory_is_bounded(tmp_path, shape):
    """Neither 24 MB of float32, nor float64 of it, nor n x n where there are few features."""
    X = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, shape)
    rng = np.random.default_rng(0)
    for part in np.array_split(np.arange(shape[0]), 10):
        X[part] = rng.normal(size=(len(part), shape[1]))
    Y = rng.normal(size=(shape[0], 5))
    Y[:, 0] += X[:, 0]
    cka(X[:40], Y[:40])  # what is imported late
    tracemalloc.start()
    value = cka(X, Y, debiased=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert abs(value) < 1
    # Two threads' blocks of 4 MB or one of 8 MB, and a few numbers for each row.
    assert peak < 20e6 + 200 * shape[0]
    assert peak < X.size * 8


# Several at once


def test_many_equal_one_by_one():
    rng = np.random.default_rng(0)
    X = {f"layer{i}": rng.normal(size=(N, 4 + i)) for i in range(4)}
    Y = [rng.normal(size=(N, 3)), Lazy(rng.normal(size=(N, 30)))]
    for function, options in (
        (cka, {}),
        (cka, {"debiased": True, "kernel": "rbf"}),
        (procrustes_distance, {}),
    ):
        expected = [[function(x, y, **options) for y in Y] for x in X.values()]
        found = function(X, Y, **options)
        assert list(found.index) == list(X)
        assert list(found.columns) == [0, 1]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
        bare = function(list(X.values()), tuple(Y), **options)
        assert isinstance(bare, np.ndarray)
        np.testing.assert_allclose(bare, expected, rtol=0, atol=1e-12)
        swapped = function(Y, X, **options)
        np.testing.assert_allclose(swapped.to_numpy().T, expected, rtol=0, atol=1e-12)
        single = function(X["layer1"], {"a": Y[0]}, **options)
        assert single.loc["X", "a"] == pytest.approx(expected[1][0], abs=1e-12)
        assert function(X["layer1"], Y, **options).shape == (1, 2)


def test_each_representation_is_read_once():
    class Counted(Lazy):
        cells = 0

        def __getitem__(self, key):
            part = super().__getitem__(key)
            self.cells += part.size
            return part

    layers = {name: Counted(pair(seed=seed)[0]) for seed, name in enumerate("abc")}
    table = cka(layers, layers, debiased=True)
    np.testing.assert_allclose(np.diag(table), 1)
    np.testing.assert_allclose(table, table.T, rtol=0, atol=1e-14)
    others = {name: Counted(pair(seed=seed)[1]) for seed, name in enumerate("de")}
    cka(layers, others)
    assert [layer.cells for layer in layers.values()] == [2 * N * P] * 3
    assert [other.cells for other in others.values()] == [N * Q] * 2
    cka([layers["a"]] * 2, [layers["b"], layers["c"]])
    assert [layer.cells for layer in layers.values()] == [3 * N * P] * 3


def test_lists_of_rows_are_one_representation():
    X, Y = pair(6, 4, 3)
    assert cka(X.tolist(), Y.tolist()) == pytest.approx(cka(X, Y), abs=1e-12)


# Batches


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_batches_equal_the_average_of_hsic(kernel):
    X, Y = pair(50, 8, 6)
    gamma = 0.05 if kernel == "rbf" else None
    options = {"kernel": kernel, "gamma": gamma, "debiased": True, "batch_size": 12}
    order = np.random.RandomState(3).permutation(50)
    kernels = [rbf_kernel(v, gamma=gamma) if gamma else linear_kernel(v) for v in (X, Y)]
    sums = np.zeros(3)
    for rows in np.array_split(order, 4):
        K, L = (values[np.ix_(rows, rows)] for values in kernels)
        sums += unbiased_hsic(K, L), unbiased_hsic(K, K), unbiased_hsic(L, L)
    expected = sums[0] / np.sqrt(sums[1] * sums[2])
    assert cka(X, Y, **options, random_state=3) == pytest.approx(expected, abs=1e-12)
    table = cka([X, Y], [X, Y, X], **options, random_state=3)
    np.testing.assert_allclose(table, [[1, expected, 1], [expected, 1, expected]], atol=1e-12)
    whole = cka(X, Y, kernel, gamma=gamma, debiased=True)
    options["batch_size"] = 50
    assert cka(X, Y, **options) == pytest.approx(whole, abs=1e-12)


def test_batches_estimate_the_whole():
    X, Y = pair(2000, 30, 40)
    whole = cka(X, Y, debiased=True)
    for kernel in ("linear", "rbf"):
        whole = cka(X, Y, kernel, debiased=True)
        batched = cka(X, Y, kernel, debiased=True, batch_size=50, random_state=0)
        assert batched == pytest.approx(whole, abs=0.02)
    X[:, :] = np.repeat(X[:8], 250, axis=0)  # sorted by category: batches mix them
    batched = cka(X, X + 1, debiased=True, batch_size=50, random_state=0)
    assert batched == pytest.approx(1, abs=1e-12)


# What is undefined or wrong


@pytest.mark.parametrize("shape", [(15, 33, 4), (60, 7, 11)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_features_are_nan_with_one_warning(shape, dtype):
    X, Y = pair(*shape)
    flat = np.full_like(X, 0.1, dtype=dtype) * np.arange(1, X.shape[1] + 1, dtype=dtype)
    for options in ({}, {"debiased": True}, {"kernel": "rbf"}):
        with pytest.warns(RuntimeWarning, match=r"CKA is NaN: X does not vary") as caught:
            assert np.isnan(cka(flat, Y, **options))
        assert len(caught) == 1
        assert caught[0].filename == __file__
    with pytest.warns(RuntimeWarning, match=r"X\['b'\] does not.*; Y\[1\] does not") as caught:
        table = cka({"a": X, "b": flat, "c": 2 * X}, [Y, flat + 1])
    assert len(caught) == 1
    np.testing.assert_array_equal(np.isnan(table), [[False, True], [True, True], [False, True]])
    with pytest.warns(RuntimeWarning, match="Procrustes distance is NaN: Y does not vary"):
        assert np.isnan(procrustes_distance(X, flat))
    with pytest.warns(RuntimeWarning, match="CKA is NaN: X has"):
        assert np.isnan(cka(flat, Y, debiased=True, batch_size=5, random_state=0))
    one = flat.copy()
    one[3, 2] *= 1.5
    assert np.isfinite(cka(one, Y))


@pytest.mark.parametrize("shape", [(1500, 1600), (100_001, 3)])
def test_constant_features_of_many_conditions(shape):
    """The mean of so many equal numbers is not that number."""
    Y = np.random.default_rng(0).normal(size=(shape[0], 1))
    with pytest.warns(RuntimeWarning, match="CKA is NaN: X does not vary"):
        assert np.isnan(cka(np.full(shape, 0.1), Y))


def test_equidistant_conditions_have_no_debiased_cka():
    _, Y = pair()
    assert 0 < cka(np.eye(N), Y) < 1
    with pytest.warns(RuntimeWarning, match="equally far apart"):
        assert np.isnan(cka(np.eye(N), Y, debiased=True))


@pytest.mark.parametrize("shape", [(15, 33, 4), (60, 7, 11)])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_name_the_row(shape, wrong):
    X, Y = pair(*shape)
    names = [f"im{i}" for i in range(len(X))]
    Y[[3, 9], 2] = wrong
    for function in (cka, procrustes_distance):
        with pytest.raises(ValueError, match="Y contains NaN or infinity in rows 3, 9"):
            function(X, Y)
        with pytest.raises(ValueError, match=r"X\['v1'\] contains .* rows 'im3', 'im9'"):
            function({"v1": pd.DataFrame(Y, index=names)}, X)
    Y[3, 3] = -wrong
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="rows 3, 9"):
            cka(X, Lazy(Y), block_size=100)


def test_row_labels_must_agree():
    X, Y = (pd.DataFrame(v, index=[f"im{i}" for i in range(N)]) for v in pair())
    moved = Y.iloc[[1, 0, *range(2, N)]]
    with pytest.raises(ValueError, match=r"Row 0 is 'im0' in X but 'im1' in Y: .*Y.loc\[X.index"):
        cka(X, moved)
    with pytest.raises(ValueError, match=r"Row 0 is 'im0' in X\[0\] but 'im1' in X\[1\]"):
        procrustes_distance([X, moved], Y)
    assert cka(X, moved.loc[X.index]) == cka(X, Y)
    assert np.isfinite(cka(X.to_numpy(), moved))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": "gauss"}, "kernel='gauss' is not known. Choose one of linear, rbf"),
        ({"gamma": 0}, "gamma must be a positive number or None, got 0"),
        ({"gamma": np.nan}, "gamma must be"),
        ({"bandwidth": None}, "bandwidth must be a positive number, got None"),
        ({"bandwidth": "wide"}, "bandwidth must be"),
        ({"block_size": 0}, "block_size must be an integer of at least 1 or None, got 0"),
        ({"batch_size": 3, "debiased": True}, "batch_size must be an integer of at least 4"),
        ({"batch_size": 5}, "batch_size=5 needs debiased=True"),
    ],
)
def test_wrong_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        cka(*pair(), **options)


def test_wrong_inputs():
    X, Y = pair()
    with pytest.raises(ValueError, match="X has 15 rows and Y has 14"):
        cka(X, Y[:-1])
    with pytest.raises(ValueError, match="at least 4 conditions"):
        cka(X[:3], Y[:3], debiased=True)
    with pytest.raises(ValueError, match="at least 3 conditions"):
        procrustes_distance(X[:2], Y[:2])
    with pytest.raises(ValueError, match=r"X must be 2-D.*\(15,\)"):
        cka(X[:, 0], Y)
    with pytest.raises(ValueError, match="X is empty"):
        cka({}, Y)
    with pytest.raises(ValueError, match="Y has 0 feature"):
        cka(X, Y[:, :0])
    with pytest.raises(TypeError, match="real numbers"):
        cka(X, Y + 1j)
    with pytest.raises(ValueError, match="Y is not numeric"):
        cka(X, np.full((N, 2), "a"))
    from scipy.sparse import csr_array

    with pytest.raises(TypeError, match=r"X is sparse: pass X.toarray\(\)"):
        cka(csr_array(X), Y)
    X[:12] = 0
    with pytest.raises(ValueError, match=r"half of the pairs of conditions in X .* pass gamma"):
        cka(X, Y, "rbf")


# Procrustes


def unit(X):
    X = X - X.mean(axis=0)
    return X / np.linalg.norm(X)


@pytest.mark.parametrize("shape", SHAPES)
def test_procrustes_equals_scipy(shape):
    X, Y = pair(*shape)
    width = max(X.shape[1], Y.shape[1])
    A, B = (np.pad(unit(v), ((0, 0), (0, width - v.shape[1]))) for v in (X, Y))
    rotation, _ = orthogonal_procrustes(B, A)
    d = procrustes_distance(X, Y)
    assert d == pytest.approx(np.linalg.norm(A - B @ rotation), abs=1e-10)
    disparity = procrustes(A, B)[2]
    assert 1 - (1 - d**2 / 2) ** 2 == pytest.approx(disparity, abs=1e-10)
    angle = procrustes_distance(X, Y, angular=True)
    assert angle == pytest.approx(np.arccos(1 - d**2 / 2), abs=1e-12)


def test_procrustes_from_inner_products_of_rows():
    X, Y = map(unit, pair())
    root = sqrtm(X @ X.T)
    expected = np.trace(sqrtm(root @ Y @ Y.T @ root)).real
    assert 1 - procrustes_distance(X, Y) ** 2 / 2 == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_procrustes_is_a_metric(shape):
    X, Y = pair(*shape)
    Z = pair(*shape, seed=1)[0]
    rotation = ortho_group.rvs(X.shape[1], random_state=0)
    assert procrustes_distance(X, 5 * X @ rotation - 2) < 1e-7
    assert procrustes_distance(X, np.pad(X, ((0, 0), (2, 9)))) < 1e-7
    stretched = X * np.linspace(0.2, 3, X.shape[1])
    assert procrustes_distance(X, stretched) > 0.01
    for angular in (False, True):
        d = procrustes_distance([X, Y, Z], [X, Y, Z], angular=angular)
        np.testing.assert_allclose(d, d.T, rtol=0, atol=1e-12)
        for i, j, k in np.ndindex(3, 3, 3):
            assert d[i, j] <= d[i, k] + d[k, j] + 1e-12


def test_procrustes_with_a_weak_spectrum():
    """Singular values over five decades, and directions without any."""
    rng = np.random.default_rng(0)
    X, Y = (
        np.linalg.qr(rng.normal(size=(30, 12)))[0]
        * np.logspace(0, -5, 12)
        @ np.linalg.qr(rng.normal(size=(80, 12)))[0].T
        for _ in range(2)
    )
    full = rng.normal(size=(30, 80))
    for A, B in ((X, Y), (X, full), (full, Y), (X, X + 1e-3 * Y)):
        expected = np.linalg.svd(unit(A).T @ unit(B), compute_uv=False).sum()
        found = 1 - procrustes_distance(A, B) ** 2 / 2
        assert found == pytest.approx(expected, abs=1e-8)
