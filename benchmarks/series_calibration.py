"""False positives of permutation tests of encoding models on autocorrelated rows, by simulation.

    python benchmarks/series_calibration.py [--series 2000]

Measured and predicted series are unrelated, 240 rows each, autoregressive of first order.
Rejection rates at alpha .05 have a standard error of .005 with 2,000 series. "effect" are
predictions that correlate with the measured series by .25.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from scipy.signal import lfilter

from skdnn.encoding import score_p_values

ALPHA, N_ROWS, WARM_UP = 0.05, 240, 100
RUNS = np.repeat(np.arange(10), [20, 28, 24, 30, 18, 26, 22, 24, 20, 28])
BLOCKS: dict[str, Any] = {"rows": None, "10 rows": 10, "20 rows": 20, "40 rows": 40, "runs": RUNS}


def rate(measured: np.ndarray, predicted: np.ndarray, blocks: Any) -> float:
    """Share of series that are found to be predicted."""
    p = score_p_values(
        measured, predicted, n_permutations=199, adjust=None, random_state=1, blocks=blocks
    )
    return float(np.mean(p <= ALPHA))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=2000)
    options = parser.parse_args()
    print(f"| series | {' | '.join(BLOCKS)} |")
    print("|---" * (len(BLOCKS) + 1) + "|")
    for memory in (0.8, 0.5, 0.0):
        noise = np.random.default_rng(0).normal(size=(2, N_ROWS + WARM_UP, options.series))
        measured, other = lfilter([1], [1, -memory], noise, axis=1)[:, WARM_UP:]
        for effect in (0.0, 0.25):
            predicted = effect * measured + np.sqrt(1 - effect**2) * other
            found = [rate(measured, predicted, blocks) for blocks in BLOCKS.values()]
            label = f"memory {memory}{', effect' if effect else ''}"
            print(f"| {label} | {' | '.join(f'{share:.3f}' for share in found)} |", flush=True)


if __name__ == "__main__":
    main()
