"""Patterns of images across targets: which targets count, and how alike patterns are."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

from skdnn._array_blocks import Array
from skdnn.encoding._scores._measured_and_predicted import MeasuredAndPredicted, Spread, spread
from skdnn.encoding._shared_checks import Flags, some_columns

# Similarities that differ by no more than this, relative to their scale, are a tie.
_TIE = 1e-12
# Numbers in the block of similarities that is held at a time.
_SIMILARITIES = 2**25


def finite_targets(pair: MeasuredAndPredicted, stacklevel: int) -> Flags:
    """Which targets are numbers throughout; a warning counts the others."""
    kept = np.empty(pair.shape[1], dtype=bool)
    for columns, true, pred in pair.blocks():
        kept[columns] = np.isfinite(true).all(axis=0) & np.isfinite(pred).all(axis=0)
    if not kept.all():
        warnings.warn(
            f"{(~kept).sum()} of {len(kept)} targets have NaN or infinity and are left out "
            f"({some_columns(~kept)}).",
            RuntimeWarning,
            stacklevel=stacklevel + 1,
        )
    return kept


class Patterns:
    """Means and lengths of measured and predicted patterns, and how alike these are."""

    def __init__(self, pair: MeasuredAndPredicted, kept: Flags, metric: str) -> None:
        self.pair, self.kept, self.metric = pair, kept, metric
        self.n_kept = int(kept.sum())
        n_rows = pair.shape[0]
        sums, self.squares = np.zeros((2, 2, n_rows))
        self.own = np.zeros(n_rows)  # inner products of each image's two patterns
        self.means = np.zeros((2, n_rows))
        if metric == "correlation":
            for columns, *both in pair.blocks():
                sums += [block[:, kept[columns]].sum(axis=1) for block in both]
            self.means = sums / self.n_kept
        for true, pred in self._blocks():
            self.squares += [np.einsum("ij,ij->i", block, block) for block in (true, pred)]
            self.own += np.einsum("ij,ij->i", true, pred)
        self.constant = np.stack([constant for *_, constant in self.spreads()])
        self.tie = _TIE * (self.squares.max() if metric == "euclidean" else 1.0)

    def spreads(self) -> list[Spread]:
        """Of the measured patterns, and of the predicted ones."""
        both = zip(self.means, self.squares / self.n_kept, strict=True)
        return [spread(mean, square, self.pair.tolerance) for mean, square in both]

    def _blocks(self) -> Iterator[tuple[Array, Array]]:
        """Kept columns of both; without what the metric does not look at."""
        for columns, true, pred in self.pair.blocks():
            use = self.kept[columns]
            true, pred = true[:, use], pred[:, use]
            if self.metric == "euclidean":  # nearer to 0, squares lose less; distances stay
                shift = true.mean(axis=0)
                true, pred = true - shift, pred - shift
            yield true - self.means[0][:, None], pred - self.means[1][:, None]

    def similarities(self) -> Iterator[tuple[slice, Array]]:
        """Rows of predictions, and their similarity to every measured pattern."""
        n_rows = self.pair.shape[0]
        step = max(1, _SIMILARITIES // n_rows)
        for start in range(0, n_rows, step):
            rows = slice(start, min(start + step, n_rows))
            product = np.zeros((rows.stop - start, n_rows))
            for true, pred in self._blocks():
                product += pred[rows] @ true.T
            yield rows, self._scaled(product, rows)

    def _scaled(self, product: Array, rows: slice) -> Array:
        if self.metric == "euclidean":
            return 2 * product - self.squares[0] - self.squares[1][rows, None]
        length = np.sqrt(self.squares[1][rows, None] * self.squares[0])
        flat = self.constant[1][rows, None] | self.constant[0]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(flat, 0.0, product / length)
