"""Arrays on disk are indexed as numpy indexes the same array in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils import _safe_indexing

from skdnn._array_blocks import is_lazy
from skdnn.io._lazy_array import LazyArray

VALUES = np.arange(35, dtype=np.float32).reshape(5, 7)


class Noted(LazyArray):
    """An array in memory that notes what is read of it."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.read: list[list[int]] = []

    def _fill(self, out: np.ndarray, rows: Any, columns: Any) -> None:
        assert rows.ndim == 1
        assert rows.dtype == np.intp
        assert out.size
        self.read.append(rows.tolist())
        out[:] = self.values[rows][:, columns]


@pytest.mark.parametrize(
    "key",
    [
        3,
        -1,
        np.int8(2),
        np.array(4),
        slice(None),
        slice(4, 0, -2),
        slice(3, 1),
        slice(-2, 99),
        [],
        [4, 0, 0],
        [-1, 1],
        np.array([[0, 1], [2, 3]]),
        np.array([True, False, False, True, True]),
        [True, False, False, True, False],
        pd.Series([2, 1]),
        pd.Index([3]),
        ...,
        (...,),
        (),
        (2, 3),
        (2, -7),
        (..., 2),
        (2, ...),
        (2, ..., 3),
        ([0, 3], ...),
        (slice(None), [6, 0]),
        (slice(1, 3), slice(5, 1, -1)),
        (slice(None), slice(2, 2)),
        (1, [3, 3, 2]),
        ([1, 2], 3),
        ([1, 2], slice(2, 5)),
        (slice(None), np.array([[0, 1, 2]])),
        (slice(None), np.arange(7) % 2 == 0),
        ([0, 4, 2], [1, 1, 6]),  # pairs, as in numpy
        ([[0], [4]], [1, 1, 6]),
        np.ix_([3, 1], [0, 5, 5]),
        ([], []),
        (np.arange(5) > 2, [4, 2]),
        VALUES % 4 == 1,
    ],
    ids=str,
)
def test_indices_mean_what_they_mean_in_numpy(key):
    expected = VALUES[key]
    found = Noted(VALUES)[key]
    np.testing.assert_array_equal(found, expected)
    assert np.shape(found) == np.shape(expected)
    assert found.dtype == expected.dtype


INDEX = st.one_of(
    st.integers(-5, 4),
    st.slices(5),
    st.lists(st.integers(-5, 4)),
    st.just([True, False] * 2 + [True]),
)


@settings(max_examples=200, deadline=None)
@given(INDEX, INDEX)
def test_any_two_indices(rows, columns):
    square = VALUES[:, :5]
    try:
        expected = square[rows, columns]
    except IndexError:
        with pytest.raises(IndexError):
            Noted(square)[rows, columns]
        return
    np.testing.assert_array_equal(Noted(square)[rows, columns], expected)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (5, "rows: index 5 is out of bounds"),
        ((0, [7]), "columns: index 7 is out of bounds"),
        ([True, False], "rows: boolean index did not match"),
        ((0, 1, 2), "takes two indices, not 3"),
        ((..., ...), "takes two indices"),
        (None, "rows: None is no index"),
        (True, "rows: True is no index"),
        (1.5, "rows: only integers"),
        ("a", "rows: only integers"),
        (([0, 1], [0, 1, 2]), "do not go together"),
    ],
    ids=str,
)
def test_what_is_no_index(key, message):
    with pytest.raises(IndexError, match=message):
        Noted(VALUES)[key]


def test_only_what_is_asked_for_is_read():
    array = Noted(VALUES)
    array[[4, 0]]
    array[2, 3]
    array[[0, 3, 0], [1, 2, 3]]
    array[[], :]
    array[:, 2:2]
    assert array.read == [[4, 0], [2], [0, 3]]


def test_rows_one_by_one_are_read_in_blocks(monkeypatch):
    array = Noted(VALUES)
    np.testing.assert_array_equal(list(array), VALUES)
    assert len(array.read) == 1
    monkeypatch.setattr("skdnn.io._lazy_array._BLOCK_BYTES", 2 * 7 * 4)
    blocks = list(array.iter_blocks())
    assert [rows for rows, _ in blocks] == [slice(0, 2), slice(2, 4), slice(4, 5)]
    np.testing.assert_array_equal(np.vstack([block for _, block in blocks]), VALUES)
    assert [len(block) for _, block in array.iter_blocks(4)] == [4, 1]


def test_it_stands_where_arrays_stand():
    array = Noted(VALUES)
    assert is_lazy(array)
    assert (len(array), array.ndim, array.nbytes) == (5, 2, 140)
    np.testing.assert_array_equal(np.asarray(array), VALUES)
    assert np.asarray(array, dtype=np.float64).dtype == np.float64
    assert np.array(array, copy=True).shape == (5, 7)
    with pytest.raises(ValueError, match="Noted lies on disk: an array of it is a copy"):
        array.__array__(copy=False)  # as numpy 2 asks for it
    np.testing.assert_array_equal(_safe_indexing(array, [3, 0]), VALUES[[3, 0]])
    assert repr(array) == "Noted(shape=(5, 7), dtype=float32)"
    card = array._repr_html_()
    assert "columns" in card
    assert "140 bytes" in card
