"""Small matrices in one thread of BLAS, and in as many as there are cores.

    python benchmarks/threads.py [--sizes 100 200 500 1000 2000] [--seconds 2]

What a fold of a search does to n x n numbers (a product, eigenvalues and vectors), over and over
for some seconds each way, the ways taking turns: processor time and time on the clock for one
round, and the ratios of all threads to one. Below ``skdnn._threads.SMALL`` rows, folds run in
one thread. Run it beside other work, too: there, threads that wait for each other cost most.
"""

from __future__ import annotations

import argparse
import time
from contextlib import nullcontext

import numpy as np
from scipy.linalg import eigh

from skdnn._threads import SMALL, blas, blas_threads, cores


def fold(X: np.ndarray) -> None:
    """A product of the rows, and what a principal component analysis does to it."""
    eigh(X @ X.T, driver="evd", overwrite_a=True)


def rounds(X: np.ndarray, seconds: float, one: bool) -> tuple[float, float]:
    """Processor time and time on the clock of one round."""
    done, start, used = 0, time.perf_counter(), time.process_time()
    with blas().limit(limits=1, user_api="blas") if one else nullcontext():
        while time.perf_counter() - start < seconds:
            fold(X)
            done += 1
    return (time.process_time() - used) / done, (time.perf_counter() - start) / done


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 200, 500, 1000, 2000])
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    print(f"{cores()} cores, {blas_threads()} threads of BLAS; small is below {SMALL} rows")
    print(f"{'rows':>6} {'one: processor':>15} {'clock':>9} {'all: processor':>15} {'clock':>9}"
          "   ratios")  # fmt: skip
    for size in options.sizes:
        X = np.random.default_rng(0).normal(size=(size, size + 1))
        found = [rounds(X, options.seconds, one) for one in (True, False, True, False)]
        one, all_ = (np.mean(found[k::2], axis=0) for k in (0, 1))
        print(f"{size:6} {one[0]:15.4f} {one[1]:9.4f} {all_[0]:15.4f} {all_[1]:9.4f}   "
              f"{all_[0] / one[0]:.1f} {all_[1] / one[1]:.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
