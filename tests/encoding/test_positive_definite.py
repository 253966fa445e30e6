"""The positive definite solver: right, and no hindrance to other threads."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skdnn.encoding._decoding import _positive_definite


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_positive_definite_solver(
    native: bool, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not native:
        monkeypatch.setattr(_positive_definite, "_native", lambda _: None)
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(40, 9))
    matrix, right = Z.T @ Z, rng.normal(size=9)
    upper = (np.triu(matrix) + np.tril(np.full((9, 9), 99.0), -1)).astype(dtype)
    solved = _positive_definite.solve_positive(upper, right.astype(dtype))
    assert solved is not None
    assert solved.dtype == dtype
    tolerance = 1e-12 if dtype == np.float64 else 1e-4
    assert_allclose(solved, np.linalg.solve(matrix, right), rtol=tolerance, atol=tolerance)
    assert _positive_definite.solve_positive(-np.eye(3, dtype=dtype), np.ones(3, dtype)) is None


def test_other_integers_in_lapack_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    signature = b"void (char *, long *, long *, double *)"
    new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
        ("PyCapsule_New", ctypes.pythonapi)
    )
    capsule = new(1, signature, None)
    monkeypatch.setitem(_positive_definite.cython_lapack.__pyx_capi__, "dposv", capsule)
    with pytest.warns(UserWarning, match=r"dposv takes void \(char \*, long"):
        assert _positive_definite._native.__wrapped__("dposv") is None


def test_the_solver_lets_other_threads_run() -> None:
    """Its turns are counted by a thread that needs the interpreter for each."""
    if _positive_definite._native("dposv") is None:
        pytest.skip("SciPy's LAPACK has integers of another size here.")
    size = 1500
    matrix = np.eye(size) * size
    turns, done = 0, threading.Event()

    def work() -> None:
        for _ in range(3):
            _positive_definite.solve_positive(matrix.copy(), np.ones(size))
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not done.wait(0.0005):
        turns += 1
    thread.join()
    assert turns > 20
