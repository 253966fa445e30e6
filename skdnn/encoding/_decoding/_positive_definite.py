"""LAPACK's solver for positive definite matrices, callable from several threads at once."""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable
from functools import cache

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.linalg import cython_lapack, lapack

Floats = NDArray[np.floating]


def solve_positive(matrix: Floats, right: Floats) -> Floats | None:
    """Solve ``matrix @ x = right`` in place; None if the matrix is not positive definite.

    Parameters
    ----------
    matrix : ndarray of shape (k, k), float32 or float64, C-contiguous
        Only its upper triangle is read; it is overwritten.
    right : ndarray of shape (k,), of the same dtype
        Overwritten by the solution.

    Returns
    -------
    x : ndarray of shape (k,), or None
    """
    name = "sposv" if matrix.dtype == np.float32 else "dposv"
    function = _native(name)
    if function is None:
        # The upper triangle in rows is the lower one in columns, which is how LAPACK reads.
        _, solved, status = getattr(lapack, name)(matrix.T, right, lower=1, overwrite_a=1)
        return None if status else solved
    size, one, info = ctypes.c_int(len(right)), ctypes.c_int(1), ctypes.c_int(0)
    ref = ctypes.byref
    function(
        ref(ctypes.c_char(b"L")),
        ref(size),
        ref(one),
        matrix.ctypes.data,
        ref(size),
        right.ctypes.data,
        ref(size),
        ref(info),
    )
    return None if info.value else right


@cache
def _native(name: str) -> Callable[..., None] | None:
    """LAPACK's own function, which SciPy offers to compiled code.

    SciPy's Python wrappers of it hold the interpreter's lock while they compute, so that threads
    would wait for each other; a call through ctypes does not. None, and a warning, where its
    integers are of another size than C's int.
    """
    capsule = cython_lapack.__pyx_capi__[name]
    # Prototypes of our own: those that hang on ctypes.pythonapi are shared with other packages.
    get_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(
        ("PyCapsule_GetName", ctypes.pythonapi)
    )
    get_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    signature = get_name(capsule)
    if not signature.startswith(b"void (char *, int *, int *, "):
        warnings.warn(
            f"SciPy {scipy.__version__} has a LAPACK whose {name} takes {signature.decode()}: the "
            "threads of SelectKBestRidge wait for each other. The results are the same.",
            UserWarning,
            stacklevel=2,
        )
        return None
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 8)(get_pointer(capsule, signature))
