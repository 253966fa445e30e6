"""Ranks by sorting integers, against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from skdnn.rsa._comparison import _integer_ranks
from skdnn.rsa._comparison._integer_ranks import rank_rows

_STEP = 2.0**-52


def _normal(rng, shape):
    return rng.normal(size=shape)


def _tied(rng, shape):
    return rng.integers(-9, 9, shape).astype(float)


def _mostly_untied(rng, shape):
    values = rng.normal(size=shape)
    values[:, -1] = values[:, 0]
    return values


def _zeros_of_both_signs(rng, shape):
    return rng.choice([-0.0, 0.0, 1.0, -1.0], shape)


def _last_bits(rng, shape):
    return rng.choice([-1, 1], shape) * (1 + rng.integers(0, 2**20, shape) * _STEP)


def _few_last_bits(rng, shape):
    values = rng.normal(size=shape)
    n = min(shape[1], 2 + shape[1] // 8)
    values[:, -n:] = 1 + np.arange(n)[::-1] * _STEP
    return values


def _subnormal(rng, shape):
    return rng.normal(size=shape) * 1e-310


def _every_exponent(rng, shape):
    return np.ldexp(rng.normal(size=shape), rng.integers(-1070, 1000, shape))


def _infinite(rng, shape):
    return rng.choice([-np.inf, np.inf, 0.5, -2.0, 1e308], shape)


@pytest.mark.parametrize(
    "make",
    [
        *(_normal, _tied, _mostly_untied, _zeros_of_both_signs, _last_bits, _few_last_bits),
        *(_subnormal, _every_exponent, _infinite),
    ],
)
@pytest.mark.parametrize("n_pairs", [1, 2, 3, 10, 255, 256, 257, 4186])
@pytest.mark.parametrize("seed", range(3))
def test_ranks_are_those_of_scipy(make, n_pairs, seed):
    values = make(np.random.default_rng(seed), (5, n_pairs))
    given = values.copy()
    expected = rankdata(values, axis=1)
    np.testing.assert_array_equal(rank_rows(values), expected)
    np.testing.assert_array_equal(values, given)
    np.testing.assert_array_equal(rank_rows(np.asfortranarray(values)), expected)
    np.testing.assert_array_equal(rank_rows(-values), rankdata(-values, axis=1))


def test_rows_with_and_without_ties_in_several_blocks(monkeypatch):
    monkeypatch.setattr(_integer_ranks, "_BLOCK", 3 * 50)
    rng = np.random.default_rng(0)
    values = np.concatenate([make(rng, (4, 50)) for make in (_normal, _tied, _last_bits)])
    rng.shuffle(values)
    np.testing.assert_array_equal(rank_rows(values[:11]), rankdata(values[:11], axis=1))


def test_ranks_are_written_where_they_are_wanted():
    rng = np.random.default_rng(1)
    values = np.concatenate([_normal(rng, (9, 6000)), _tied(rng, (3, 6000))])
    expected = rankdata(values, axis=1)
    out = np.full_like(values, np.nan)
    assert rank_rows(values, out=out) is out
    np.testing.assert_array_equal(out, expected)
    assert rank_rows(values, out=values) is values
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("nan", [np.nan, -np.nan, np.uint64(0x7FF0000000000001).view(np.float64)])
@pytest.mark.parametrize("n_pairs", [1, 2, 3, 4186])
def test_nan_is_refused(nan, n_pairs):
    values = np.random.default_rng(0).normal(size=(4, n_pairs))
    values[2, n_pairs // 2] = nan
    with pytest.raises(ValueError, match="NaN has no rank"):
        rank_rows(values)


def test_no_rows_and_no_pairs():
    assert rank_rows(np.empty((0, 4))).shape == (0, 4)
    assert rank_rows(np.empty((3, 0))).shape == (3, 0)
