"""No windows, and no figure left open."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from skdnn.rsa import compute_rdm

mpl.use("agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture
def rdm():
    X = np.random.default_rng(0).normal(size=(9, 5))
    return compute_rdm(pd.DataFrame(X, index=list("abcdefghi")))


@pytest.fixture
def pictures():
    """Nine pictures of one colour each, none of them square; k is their red."""
    sizes = [(40 + 5 * k, 60 - 3 * k) for k in range(9)]
    return [np.full((h, w, 3), k, dtype=np.uint8) for k, (h, w) in enumerate(sizes)]
