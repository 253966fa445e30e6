"""Similarity of models to each frame of movies, and ceilings, block by block of times.

Models are prepared once; a block of frames is ranked or centred in a buffer that stays in the
processor's cache, and one matrix product gives the scores of all models.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from skdnn.rsa._comparison._integer_ranks import rank_rows
from skdnn.rsa._comparison._noise_ceiling import ceiling
from skdnn.rsa._comparison._similarity_measures import (
    CENTRED,
    PairSpace,
    prepare,
    similarities,
)
from skdnn.rsa._inference._bootstrap_ceilings import gram_ceilings

Array = NDArray[np.float64]

# Comparisons without a form whose products are the similarity.
ONE_BY_ONE = ("kendall", "tau-a", "bures")
BY_RANKS = ("spearman", "rho-a")
# Values of frames that are worked on at a time.
_BLOCK = 2**18
_CONSTANT = 1e-12


class Scores(NamedTuple):
    """What frames by subject and time have."""

    scores: Array  # (n_subjects, n_outputs, n_times)
    ceilings: Array | None  # (n_times, 2), lower and upper


Combine = Callable[[Array], Array]  # products (n_frames, n_rows) to outputs (n_frames, n_outputs)


def score_frames(
    models: Array,
    movie: NDArray[Any],
    n_conditions: int,
    comparison: str,
    *,
    with_ceilings: bool = False,
    n_jobs: int | None = None,
) -> Scores:
    """Similarity of each model (n_models, n_pairs) to each frame, as `similarities` has it.

    Frames with NaN are compared one by one.
    """
    flat = flat_or_unknown(models, comparison)
    ready = np.zeros_like(models)
    if comparison not in ONE_BY_ONE and not flat.all():
        space = PairSpace(n_conditions)
        ready[~flat] = prepare(models[~flat], space, comparison)[0]

    def combine(products: Array) -> Array:
        if comparison != "cosine_cov":
            np.clip(products, -1, 1, out=products)
        products[:, flat] = np.nan
        return products

    def exactly(frames: Array) -> Array:
        return similarities(models, frames, n_conditions, comparison).T

    found = products_of_frames(
        ready, movie, n_conditions, comparison, combine, exactly, with_ceilings, n_jobs
    )
    unknown = np.isnan(models).any(axis=1)  # those have no products with whole frames
    if unknown.any() and comparison not in ONE_BY_ONE:
        for subject, frames in enumerate(movie):
            part = similarities(models[unknown], frames.astype(float), n_conditions, comparison)
            found.scores[subject, unknown] = part
    return found


def products_of_frames(
    rows: Array,
    movie: NDArray[Any],
    n_conditions: int,
    comparison: str,
    combine: Combine,
    exactly: Combine,
    with_ceilings: bool,
    n_jobs: int | None,
) -> Scores:
    """What `combine` makes of products of prepared `rows` with prepared frames.

    `exactly` makes the outputs of raw frames, where products will not do.
    """
    n_subjects, n_times, n_pairs = movie.shape
    step = max(1, _BLOCK // (n_subjects * n_pairs))
    starts = range(0, n_times, step)

    def block(start: int) -> tuple[Array, Array | None]:
        frames = np.array(movie[:, start : start + step], dtype=np.float64, order="C")
        return _score_block(
            rows, frames, n_conditions, comparison, combine, exactly, with_ceilings
        )

    parts = Parallel(n_jobs=n_jobs, prefer="threads")(delayed(block)(start) for start in starts)
    scores = np.concatenate([part[0] for part in parts], axis=1)
    ceilings = np.concatenate([part[1] for part in parts]) if with_ceilings else None
    return Scores(np.ascontiguousarray(scores.transpose(0, 2, 1)), ceilings)


def _score_block(
    rows: Array,
    frames: Array,
    n_conditions: int,
    comparison: str,
    combine: Combine,
    exactly: Combine,
    with_ceilings: bool,
) -> tuple[Array, Array | None]:
    """Outputs (n_subjects, n_times, n_outputs) and ceilings (n_times, 2) of some times."""
    n_subjects, n_times, n_pairs = frames.shape
    flat = frames.reshape(-1, n_pairs)
    odd = flat_or_unknown(flat, comparison)
    if comparison in ONE_BY_ONE:
        odd[:] = True
    raw = flat[odd].copy()
    flat[odd] = np.arange(n_pairs)  # any RDM without trouble
    products: Array = np.empty((0, 0))
    prepared, doubled = flat, flat
    if not odd.all():
        prepared, doubled = _prepared(flat, n_conditions, comparison)
        products = prepared @ rows.T
    found = combine(products) if products.size else None
    if len(raw):
        exact = exactly(raw)
        if found is None:
            found = np.empty((len(flat), exact.shape[1]))
        found[odd] = exact
    assert found is not None  # one of the two
    scores = found.reshape(n_subjects, n_times, -1)
    if not with_ceilings:
        return scores, None
    return scores, _ceilings(
        prepared.reshape(frames.shape), doubled, raw, odd.reshape(n_subjects, n_times),
        n_conditions, comparison,
    )  # fmt: skip


def _prepared(flat: Array, n_conditions: int, comparison: str) -> tuple[Array, Array]:
    """Frames in the form whose products with models are similarities; first form, for ceilings.

    For comparisons by ranks the latter are twice the centred ranks, which are whole numbers.
    """
    n_pairs = flat.shape[1]
    if comparison not in BY_RANKS:
        first, second = prepare(flat, PairSpace(n_conditions), comparison)
        return second, first
    rank_rows(flat, out=flat)
    flat -= (n_pairs + 1) / 2
    doubled = 2 * flat
    if comparison == "rho-a":
        flat *= np.sqrt(12 / (n_pairs**3 - n_pairs))
    else:
        flat /= np.sqrt(np.einsum("ij,ij->i", flat, flat))[:, None]
    return flat, doubled


def _ceilings(
    prepared: Array,
    doubled: Array,
    raw: Array,
    odd: NDArray[np.bool_],
    n_conditions: int,
    comparison: str,
) -> Array:
    """Lower and upper ceiling of each time."""
    n_subjects, n_times, _ = prepared.shape
    out = np.full((n_times, 2), np.nan)
    usual = np.flatnonzero(~odd.any(axis=0))
    if comparison in BY_RANKS and len(usual):
        whole = doubled.reshape(prepared.shape)
        for time in usual:
            out[time] = _rank_ceiling(prepared[:, time], whole[:, time], comparison)
    elif len(usual):
        other = doubled.reshape(prepared.shape)
        grams = np.einsum("itp,jtp->tij", prepared[:, usual], other[:, usual], optimize=True)
        out[usual] = gram_ceilings(grams, None)
    if len(usual) < n_times:
        frames = doubled.reshape(prepared.shape).copy()
        places = np.cumsum(odd.ravel()).reshape(odd.shape) - 1
        for time in np.flatnonzero(odd.any(axis=0)):
            # The others stand for themselves: what was done to them, the comparison does anyway.
            own = [raw[places[s, time]] if odd[s, time] else frames[s, time]
                   for s in range(n_subjects)]  # fmt: skip
            out[time] = ceiling(np.stack(own), n_conditions, comparison)
    return out


def _rank_ceiling(units: Array, doubled: Array, comparison: str) -> tuple[float, float]:
    """Ceilings of the frames of one time, whose ranks' sums are whole numbers that tie often."""
    whole = doubled.astype(np.int64)
    total = whole.sum(axis=0)
    n_pairs = len(total)
    top = counted_ranks(total)
    lower, upper = np.empty((2, len(units)))
    for subject, (unit, own) in enumerate(zip(units, whole, strict=True)):
        rest = counted_ranks(total - own)
        for pool, out in ((rest, lower), (top, upper)):
            if comparison == "rho-a":
                size = np.sqrt((n_pairs**3 - n_pairs) / 12)
            else:
                size = np.sqrt(pool @ pool)
            out[subject] = unit @ pool / size if size > 0 else np.nan
    return float(lower.mean()), float(upper.mean())


def counted_ranks(values: NDArray[np.int64]) -> Array:
    """Centred mid-ranks of whole numbers, counted where they are few."""
    values = values - values.min()
    n = len(values)
    if values.max() > 64 * n:
        return rank_rows(values.astype(np.float64)[None])[0] - (n + 1) / 2
    counts = np.bincount(values)
    middle = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(middle[values] - (n + 1) / 2)


def flat_or_unknown(pairs: Array, comparison: str) -> NDArray[np.bool_]:
    """Rows with NaN, or without a similarity to anything."""
    high, low = pairs.max(axis=1), pairs.min(axis=1)
    unknown = np.isnan(high)
    largest = np.maximum(np.abs(high), np.abs(low))
    if comparison in CENTRED or comparison in (*BY_RANKS, "kendall", "tau-a"):
        return unknown | (high - low <= _CONSTANT * largest)
    return unknown | (largest == 0)
