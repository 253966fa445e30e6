"""Bootstrap and permutation of RDMs, and rsatoolbox's: CPU seconds, and how many times faster.

    python benchmarks/rsa_inference.py [--quick]

CPU seconds of all threads, in one run on one machine. What would take rsatoolbox minutes is run
with fewer samples there and scaled up, as the table says.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.spatial.distance import pdist

from skdnn.rsa import bootstrap_rsa, permutation_test
from skdnn.rsa._inference._bootstrap_samples import scores_in_samples

os.environ["TQDM_DISABLE"] = "1"


def rdms(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """A model RDM, and those of k subjects."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(n, 20))
    return pdist(signal), np.stack([pdist(signal + rng.normal(size=(n, 20))) for _ in range(k)])


def cpu(work: Callable[[], Any]) -> float:
    """CPU seconds of a call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def theirs(name: str, model: np.ndarray, data: np.ndarray, n_boot: int, **settings: Any) -> float:
    """CPU seconds of rsatoolbox."""
    import rsatoolbox as rsd

    models, stack = [rsd.model.ModelFixed("m", model)], rsd.rdm.RDMs(data)
    function = getattr(rsd.inference, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        function(models, stack, method="spearman", N=2, **settings)
        return cpu(lambda: function(models, stack, method="spearman", N=n_boot, **settings))


def their_conditions(model: np.ndarray, data: np.ndarray, n_boot: int, total: int) -> float:
    """Bootstrap over conditions without ceilings, scaled to all samples."""
    seconds = theirs("eval_bootstrap_pattern", model, data, n_boot, boot_noise_ceil=False)
    return seconds * total / n_boot


def row(label: str, ours: float, other: float | None, aim: str, note: str = "") -> None:
    """Print one line of the table."""
    ratio = f"{other / ours:.1f}" if other else ""
    shown = f"{other:.2f}" if other else ""
    print(f"| {label} | {ours:.3f} | {shown} | {ratio} | {aim} | {note} |", flush=True)


def small(n_boot: int) -> None:
    """92 conditions."""
    model, data = rdms(92, 4)
    one = data[:1]
    bootstrap_rsa(model, one, n_boot=5, random_state=0)
    other = their_conditions(model, one, n_boot // 5, n_boot)
    settings: dict[str, Any] = {"n_boot": n_boot, "random_state": 0, "resample": "conditions"}
    scaled = "rsatoolbox: a fifth of the samples, scaled"
    for label, extra in (
        ("exact, whole call without permutations", {"n_permutations": 0}),
        ("exact, whole call with 1000 permutations", {}),
        ("approximate, whole call without permutations",
         {"method": "approximate", "n_permutations": 0}),
    ):  # fmt: skip
        seconds = cpu(lambda extra=extra: bootstrap_rsa(model, one, **settings, **extra))
        row(f"n = 92, {label}", seconds, other, "10" if "exact" in label else "", scaled)
    settings |= {"n_permutations": 0}
    other = theirs("eval_bootstrap_pattern", model, data, n_boot // 10) * 10
    seconds = cpu(lambda: bootstrap_rsa(model, data, **settings))
    row("n = 92, 4 subjects, ceilings, conditions", seconds, other, "20", "a tenth, scaled")
    other = theirs("eval_dual_bootstrap", model, data, n_boot // 20) * 20
    settings["resample"] = "both"
    seconds = cpu(lambda: bootstrap_rsa(model, data, **settings))
    row("n = 92, 4 subjects, ceilings, both", seconds, other, "20", "a twentieth, scaled")
    settings["method"] = "approximate"
    seconds = cpu(lambda: bootstrap_rsa(model, data, **settings))
    row("the same, approximate", seconds, other, "", "a twentieth, scaled")


def large(n_boot: int, their_boot: int) -> None:
    """1854 conditions."""
    model, data = rdms(1854, 1)
    other = their_conditions(model, data, their_boot, n_boot)
    note = f"rsatoolbox: {their_boot} samples, scaled"
    settings: dict[str, Any] = {
        "n_boot": n_boot, "n_permutations": 0, "random_state": 0, "resample": "conditions",
    }  # fmt: skip
    for method, aim in (("approximate", "300"), ("exact", "4")):
        seconds = cpu(lambda method=method: bootstrap_rsa(model, data, method=method, **settings))
        row(f"n = 1854, {method}", seconds, other, aim, note)


def approximation() -> None:
    """Error of approximate ranks, which grows with the correlation."""
    rng = np.random.default_rng(0)
    for n in (92, 1854):
        model, data = rdms(n, 1)
        counts = rng.multinomial(n, np.full(n, 1 / n), size=50)
        for label, other in (("related", model), ("unrelated", pdist(rng.normal(size=(n, 20))))):
            near, exact = (
                scores_in_samples(
                    other[None], data, counts, None, "spearman", exact=exact, ceilings=False
                )
                for exact in (False, True)
            )
            error = np.abs(near.each - exact.each).max()
            print(
                f"\nApproximate ranks, n = {n}, {label} (score {exact.each.mean():.2f}, standard "
                f"deviation of samples {exact.each.std():.1e}): largest error {error:.1e}"
            )


def mantel() -> None:
    """Mantel's test."""
    model, data = rdms(92, 4)
    for label, subjects in (("1 subject", data[:1]), ("4 subjects", data)):
        start = time.perf_counter()
        seconds = cpu(lambda subjects=subjects: permutation_test(model, subjects, random_state=0))
        elapsed = time.perf_counter() - start
        note = f"{elapsed:.2f} s elapsed; rsatoolbox has none"
        row(f"n = 92, Mantel, 10,000 permutations, {label}", seconds, None, "< 2 s", note)


def agreement() -> None:
    """The same samples in both toolboxes."""
    import rsatoolbox as rsd

    model, data = rdms(92, 4)
    drawn = np.random.default_rng(0).integers(0, 92, size=(20, 92))
    counts = np.stack([np.bincount(row, minlength=92) for row in drawn])
    ours = scores_in_samples(model[None], data, counts, None, "spearman", ceilings=False).each
    a, b = rsd.rdm.RDMs(model[None]), rsd.rdm.RDMs(data)
    expected = [
        rsd.rdm.compare(
            a.subsample_pattern("index", row), b.subsample_pattern("index", row), "spearman"
        )
        for row in drawn
    ]
    print(f"\nSame samples, largest difference: {np.abs(ours - np.array(expected)).max():.1e}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer samples")
    quick = parser.parse_args().quick
    print("| 1000 samples, Spearman | ours, CPU s | rsatoolbox, CPU s | ratio | aim | note |")
    print("|---|---|---|---|---|---|")
    small(200 if quick else 1000)
    mantel()
    large(50 if quick else 1000, 2 if quick else 10)
    approximation()
    agreement()


if __name__ == "__main__":
    main()
