"""RSA over time, and searchlights (`space.py`), beside other toolboxes, on one thread.

    python benchmarks/time_space.py time [--only NAME ...]
    python benchmarks/time_space.py space [--only NAME ...]

Seconds are CPU seconds of this process (``time.process_time``), the better of two runs, both
sides one after the other in the same process: trust the ratio. Where the other side would take
minutes it does a named part of the work, and is scaled linearly. Data are random; what is
computed is compared first, so that a row is of the same numbers.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import space
from threadpoolctl import threadpool_limits

Work = Callable[[], Any]


class Row(NamedTuple):
    """One line of the table."""

    work: str
    peer: str
    theirs: Work
    ours: Work
    share: float = 1.0  # of the work that the peer did


def seconds(work: Work, runs: int = 2) -> float:
    """CPU seconds of the better of several runs."""
    best = np.inf
    for _ in range(runs):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def show(rows: Iterator[Row], only: list[str]) -> None:
    """Measure and print."""
    print("| work | beside | its CPU-s | skdnn CPU-s | ratio |\n|---|---|---|---|---|")
    for row in rows:
        if only and not any(word in f"{row.work} {row.peer}" for word in only):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours = seconds(row.ours)
            theirs = seconds(row.theirs, 1 if row.share < 1 else 2) / row.share
        print(f"| {row.work} | {row.peer} | {theirs:.3g} | {ours:.3g} | {theirs / ours:.3g} |",
              flush=True)  # fmt: skip


def time_rows() -> Iterator[Row]:
    """Time courses: RDMs to scores, tests, movies."""
    yield from _rows_of_scores()
    yield from _rows_of_tests()
    yield from _rows_of_movies()


def _rows_of_scores() -> Iterator[Row]:
    import mne_rsa
    import rsatoolbox

    from skdnn.rsa import compute_rdm_movie, time_resolved_rsa

    n_subjects, n_times, n = 8, 101, 92
    rng = np.random.default_rng(0)
    epochs = rng.normal(size=(n_subjects, n, 306, n_times))
    n_pairs = n * (n - 1) // 2
    movie = rng.random((n_subjects, n_times, n_pairs))
    what = f"{n_subjects * n_times} RDMs of {n} conditions"
    for n_layers in (3, 20, 100):
        layers = rng.random((n_layers, n_pairs))
        each = list(layers)
        name = f"{what}, {n_layers} layers"
        part = movie[0, :20]
        share = 20 / (n_subjects * n_times)
        assert np.allclose(
            mne_rsa.rsa(list(part), each, metric="spearman"),
            time_resolved_rsa(layers, part).scores[0].T,
        )
        yield Row(
            name,
            "mne_rsa.rsa",
            lambda p=part, e=each: mne_rsa.rsa(list(p), e),
            lambda m=layers: time_resolved_rsa(m, movie, ceiling=False),
            share,
        )
        models = [rsatoolbox.model.ModelFixed(str(k), layer) for k, layer in enumerate(layers)]

        def fixed(models=models):
            for t in range(10):
                data = rsatoolbox.rdm.RDMs(movie[:, t])
                rsatoolbox.inference.eval_fixed(models, data, method="spearman")

        yield Row(
            f"{name}, with ceilings",
            "rsatoolbox eval_fixed",
            fixed,
            lambda m=layers: time_resolved_rsa(m, movie),
            10 / n_times,
        )
        if n_layers == 20:
            yield Row(
                f"{name}, partial",
                "mne_rsa.rsa",
                lambda p=part, e=each: mne_rsa.rsa(list(p), e, metric="partial-spearman"),
                lambda m=layers: time_resolved_rsa(m, movie, partial=True, ceiling=False),
                share,
            )

        def both(m=layers):
            subjects = {k: compute_rdm_movie(one) for k, one in enumerate(epochs)}
            return time_resolved_rsa(m, subjects)

        few = epochs[0, :, :, :20]

        def their_both(few=few, each=each):
            patches = mne_rsa.searchlight(few.shape, temporal_radius=0)
            return mne_rsa.rsa_array(few, each, patches)

        yield Row(
            f"epochs of 306 channels to scores with ceilings, {n_layers} layers",
            "mne_rsa.rsa_array",
            their_both,
            both,
            share,
        )


def _rows_of_tests() -> Iterator[Row]:
    import mne
    from scipy import sparse, stats

    from skdnn.rsa import time_course_test

    mne.set_log_level("ERROR")
    rng = np.random.default_rng(0)
    n_layers, n_times = 20, 101
    for n_subjects in (8, 20):
        scores = rng.normal(size=(n_subjects, n_layers, n_times))
        flat = scores.reshape(n_subjects, -1)
        yield Row(
            f"5,000 signs, largest of {n_times} x {n_layers}, {n_subjects} subjects",
            "mne permutation_t_test",
            lambda f=flat: mne.stats.permutation_t_test(f, n_permutations=5000),
            lambda s=scores: time_course_test(s, n_permutations=5000, alternative="two-sided"),
        )
    turned = np.ascontiguousarray(scores.transpose(0, 2, 1))
    adjacency = mne.stats.combine_adjacency(n_times, sparse.coo_matrix((n_layers, n_layers)))
    threshold: Any = stats.t.isf(0.05, 19)
    for kind, given in (("cluster", threshold), ("tfce", {"start": 0, "step": 0.2})):
        yield Row(
            f"{kind}, 5,000 signs, {n_times} x {n_layers}, 20 subjects",
            "mne permutation_cluster_1samp_test",
            lambda g=given: mne.stats.permutation_cluster_1samp_test(
                turned,
                threshold=g,
                n_permutations=200,
                tail=1,
                adjacency=adjacency,
                buffer_size=None,
            ),
            lambda k=kind: time_course_test(scores, kind=k, n_permutations=5000),
            200 / 5000,
        )


def _rows_of_movies() -> Iterator[Row]:
    import mne_rsa
    import rsatoolbox

    from skdnn.rsa import compute_rdm_movie

    rng = np.random.default_rng(0)
    epochs = rng.normal(size=(500, 306, 300))
    part = np.ascontiguousarray(epochs[:, :, :20])
    share = 20 / 300
    runs = np.repeat(np.arange(5), 100)
    images = np.tile(np.arange(100), 5)
    precision = np.linalg.inv(np.cov(rng.normal(size=(306, 2000))))

    def array(labels: Any) -> list:
        patches = mne_rsa.searchlight(part.shape, temporal_radius=0)
        return list(mne_rsa.rdm_array(part, patches, labels=labels))

    def toolbox(method: str, **options: Any) -> Any:
        data = rsatoolbox.data.TemporalDataset(
            part,
            obs_descriptors={"image": images, "run": runs, "trial": np.arange(500)},
            time_descriptors={"time": np.arange(20)},
        )
        return rsatoolbox.rdm.calc_rdm_movie(data, method, **options)

    assert np.allclose(array(None), compute_rdm_movie(part).pairs[0])
    name = "movie, 500 trials x 306 x 300, correlation"
    yield Row(
        name, "mne_rsa.rdm_array", lambda: array(None), lambda: compute_rdm_movie(epochs), share
    )
    yield Row(
        name,
        "rsatoolbox calc_rdm_movie",
        lambda: toolbox("correlation", descriptor="trial"),
        lambda: compute_rdm_movie(epochs),
        share,
    )
    name = "the same as 100 conditions x 5"
    yield Row(
        name,
        "mne_rsa.rdm_array",
        lambda: array(list(images)),
        lambda: compute_rdm_movie(epochs, conditions=images),
        share,
    )
    yield Row(
        name,
        "rsatoolbox calc_rdm_movie",
        lambda: toolbox("correlation", descriptor="image"),
        lambda: compute_rdm_movie(epochs, conditions=images),
        share,
    )
    yield Row(
        "movie, crossnobis, 100 conditions, 5 folds, one precision",
        "rsatoolbox calc_rdm_movie",
        lambda: toolbox("crossnobis", descriptor="image", cv_descriptor="run", noise=precision),
        lambda: compute_rdm_movie(
            epochs, "crossnobis", conditions=images, folds=runs, noise_precision=precision
        ),
        share,
    )


PARTS: dict[str, Callable[[], Iterator[Row]]] = {"time": time_rows}


def main() -> None:
    """Print the table of one part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["space", *PARTS])
    parser.add_argument("--only", nargs="*", default=[], help="rows that hold one of these words")
    arguments = parser.parse_args()
    if arguments.part == "space":
        space.show(arguments.only)
        return
    with threadpool_limits(1):
        show(PARTS[arguments.part](), arguments.only)


if __name__ == "__main__":
    main()
