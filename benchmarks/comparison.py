"""What comparing RDMs costs, as ratios against rsatoolbox in the same run.

    python benchmarks/comparison.py [--conditions 1854] [--targets 200] [--repeats 3]

Both get condensed RDMs in memory and take turns; the least time of each counts. Needs
rsatoolbox: ``pip install rsatoolbox``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import rsatoolbox.rdm as theirs

from skdnn.rsa import compare_rdms

METHODS = {"pearson": "corr", "spearman": "spearman", "cosine": "cosine", "corr_cov": "corr_cov"}


def seconds(work: Callable[[], object]) -> float:
    """Time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def race(
    a: np.ndarray, b: np.ndarray, comparison: str, repeats: int
) -> tuple[float, float, float]:
    """Seconds of ours and of theirs, and by how much the results differ."""
    rdms_a, rdms_b = theirs.RDMs(a), theirs.RDMs(b)
    ours, others = [], []
    for _ in range(repeats):
        ours.append(seconds(lambda: compare_rdms(a, b, comparison)))
        others.append(seconds(lambda: theirs.compare(rdms_a, rdms_b, METHODS[comparison])))
    found = np.atleast_2d(compare_rdms(a, b, comparison))
    expected = theirs.compare(rdms_a, rdms_b, METHODS[comparison])
    return min(ours), min(others), float(np.abs(found - expected).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--conditions", type=int, default=1854, help="of the large RDMs")
    parser.add_argument("--targets", type=int, default=200, help="RDMs of 92 conditions")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    n_pairs = args.conditions * (args.conditions - 1) // 2
    jobs = {
        f"two RDMs of {args.conditions} conditions": rng.random((2, 1, n_pairs)),
        f"8 against {args.targets} RDMs of 92 conditions": [
            rng.random((8, 4186)),
            rng.random((args.targets, 4186)),
        ],
    }
    print("| what | comparison | skdnn, s | rsatoolbox, s | ratio | largest difference |")
    print("|---|---|---|---|---|---|")
    for name, (a, b) in jobs.items():
        for comparison in METHODS:
            own, other, error = race(a, b, comparison, args.repeats)
            print(
                f"| {name} | {comparison} | {own:.3f} | {other:.3f} | {other / own:.1f} "
                f"| {error:.0e} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
