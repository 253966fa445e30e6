"""What mne-rsa 1.0 gives: from the package where it is installed, else as it was kept.

The package brings 1.2 GB of others (Qt, VTK), so that no test needs it. What it gave is kept in
``mne_rsa_1.0.npz``, written anew by tests with ``SKDNN_TEST_WRITE=1`` where it is installed; the
random numbers that it was made of are those of numpy's `default_rng`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.testing import assert_allclose

_KEPT = Path(__file__).with_name("mne_rsa_1.0.npz")


def by_mne_rsa(key: str, compute: Callable[[Any], Any]) -> np.ndarray:
    """``compute(mne_rsa)``, which equals what was kept under `key`; or that alone."""
    with np.load(_KEPT) as file:
        kept = dict(file)
    if importlib.util.find_spec("mne_rsa") is None:
        return kept[key]
    found = np.asarray(compute(importlib.import_module("mne_rsa")))
    if os.environ.get("SKDNN_TEST_WRITE"):
        np.savez_compressed(_KEPT, **kept | {key: found})
    else:
        assert_allclose(found, kept[key], rtol=0, atol=1e-12)
    return found
