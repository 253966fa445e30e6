"""Sign-flips over subjects, against mne and plain loops."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from skdnn.rsa._inference import _sign_flips
from skdnn.rsa._inference._sign_flips import sign_flip_test


@pytest.fixture
def values() -> np.ndarray:
    means = np.array([0.0, 0.5, -1.0])
    return means + np.random.default_rng(0).normal(size=(7, 5, 3))


def all_t(values: np.ndarray) -> np.ndarray:
    """t of each column under each of all sets of signs."""
    columns = values.reshape(len(values), -1)
    signs = np.array(list(product([1, -1], repeat=len(values))))
    return np.stack([stats.ttest_1samp(columns * s[:, None], 0).statistic for s in signs])


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
def test_all_signs_against_a_plain_loop(values: np.ndarray, alternative: str) -> None:
    found = sign_flip_test(values, alternative=alternative)
    every = all_t(values)
    t = stats.ttest_1samp(values, 0).statistic
    assert found.exact
    assert_allclose(found.t, t, rtol=1e-10)
    turned = {"greater": every, "less": -every, "two-sided": np.abs(every)}[alternative]
    own = {"greater": t, "less": -t, "two-sided": np.abs(t)}[alternative]
    largest = turned.max(axis=1)
    assert_allclose(found.p, (largest[:, None, None] >= own - 1e-9).mean(axis=0), atol=1e-12)
    null = np.sort(-largest if alternative == "less" else largest)
    null = null[::2] if alternative == "two-sided" else null
    assert_allclose(found.null, null, rtol=1e-8)


def test_two_sided_is_that_of_mne(values: np.ndarray) -> None:
    mne = pytest.importorskip("mne", reason="the reference for sign-flips")
    t, p, null = mne.stats.permutation_t_test(
        values.reshape(7, -1), n_permutations=1000, tail=0, verbose="error"
    )
    found = sign_flip_test(values, n_flips=1000, alternative="two-sided")
    assert_allclose(found.t.ravel(), t, rtol=1e-10)
    assert_array_equal(found.p.ravel(), p)
    assert_allclose(found.null, null, rtol=1e-9)


def test_random_signs_count_the_observed_one(values: np.ndarray) -> None:
    strong = np.concatenate([values, values, values + 0.01]) + 5
    found = sign_flip_test(strong, n_flips=99, random_state=0)
    assert not found.exact
    assert len(found.null) == 99
    assert_array_equal(found.p, np.full((5, 3), 0.01))
    again = sign_flip_test(strong, n_flips=99, random_state=0)
    assert_array_equal(found.null, again.null)


def test_blocks_change_nothing(values: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sign_flip_test(values)
    monkeypatch.setattr(_sign_flips.flipped_sums, "__defaults__", (31,))
    assert_allclose(sign_flip_test(values).null, whole.null, rtol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_undefined_columns_are_named(values: np.ndarray, bad: float) -> None:
    values[2, 4, 1] = bad
    with pytest.raises(ValueError, match=r"\(4, 1\) are NaN or infinite"):
        sign_flip_test(values)
    for constant in (0.1, 0.0, -3e300):
        values[:, 4, 1] = constant
        with pytest.raises(ValueError, match=r"\(4, 1\) are the same in all subjects"):
            sign_flip_test(values)


def test_undefined_columns_left_out(values: np.ndarray) -> None:
    values[2, 4, 1] = np.nan
    values[:, 0, 0] = 0.1
    found = sign_flip_test(values, undefined="omit")
    assert np.isnan(found.t[[4, 0], [1, 0]]).all()
    rest = values.reshape(7, -1)[:, [k for k in range(15) if k not in (0, 13)]]
    assert_array_equal(found.null, sign_flip_test(rest).null)
    assert np.isnan(found.p).sum() == 2
    with pytest.raises(ValueError, match="No column"):
        sign_flip_test(np.ones((4, 2)), undefined="omit")


def test_a_subject_without_a_value_leaves_the_others(values: np.ndarray) -> None:
    values[2, 4, 1] = np.nan
    found = sign_flip_test(values, undefined="omit", min_subjects=5)
    t = stats.ttest_1samp(values, 0, nan_policy="omit").statistic
    assert_allclose(found.t, t, rtol=1e-10)
    largest = np.concatenate(
        [
            [np.nanmax(stats.ttest_1samp(values * s[:, None, None], 0, nan_policy="omit")[0])]
            for s in np.array(list(product([1, -1], repeat=7)))
        ]
    )
    assert_allclose(found.null, np.sort(largest), rtol=1e-9)


def test_what_is_refused(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match="two or more subjects"):
        sign_flip_test(values[:1])
    with pytest.raises(ValueError, match="alternative='more'"):
        sign_flip_test(values, alternative="more")
    with pytest.raises(ValueError, match="n_flips must be"):
        sign_flip_test(values, n_flips=0)
    with pytest.raises(ValueError, match="undefined='drop'"):
        sign_flip_test(values, undefined="drop")
