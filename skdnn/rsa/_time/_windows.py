"""Windows that slide over samples: what of them makes one pattern."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

POOLS = ("mean", "gaussian", "concatenate")
# Standard deviations of a Gaussian that its window holds to each side.
_REACH = 2.0


@dataclass(frozen=True)
class Windows:
    """Where windows begin, how long they are, and what becomes of their samples."""

    starts: NDArray[np.intp]
    length: int
    times: Array  # of their middles, in seconds
    pool: str

    def n_features(self, n_channels: int) -> int:
        """Length of a pattern."""
        return n_channels * (self.length if self.pool == "concatenate" else 1)

    def patterns(self, values: NDArray, part: slice) -> Array:
        """Patterns (n_windows, n_trials, n_features) of some windows, in a new array.

        Samples are neighbours in memory, and patterns are to be: rows are turned in tiles.
        """
        starts = self.starts[part]
        n_trials, n_channels, _ = values.shape
        out = np.empty((len(starts), n_trials, self.n_features(n_channels)))
        first, last = starts[0], starts[-1] + self.length
        weights = self._weights(starts - first, last - first)
        for row in range(0, n_trials, 256):
            rows = slice(row, row + 256)
            samples = values[rows, :, first:last]
            if self.length == 1:
                out[:, rows] = samples[:, :, starts - first].transpose(2, 0, 1)
            elif self.pool == "concatenate":
                windows = np.lib.stride_tricks.sliding_window_view(samples, self.length, axis=2)
                chosen = windows[:, :, starts - first]
                out[:, rows] = chosen.transpose(2, 0, 1, 3).reshape(len(starts), len(samples), -1)
            else:
                out[:, rows] = (samples @ weights).transpose(2, 0, 1)
        return out

    def _weights(self, starts: NDArray[np.intp], n_samples: int) -> Array:
        """Matrix (n_samples, n_windows) whose columns average a window."""
        offsets = np.arange(self.length) - (self.length - 1) / 2
        kernel = np.ones(self.length)
        if self.pool == "gaussian":
            kernel = np.exp(-0.5 * (offsets * 2 * _REACH / self.length) ** 2)
        out = np.zeros((n_samples, len(starts)))
        for column, start in enumerate(starts):
            out[start : start + self.length, column] = kernel / kernel.sum()
        return out


def sliding(
    times: Array,
    window: float | None,
    step: float | None,
    start: float | None,
    stop: float | None,
    pool: str,
) -> Windows:
    """Whole windows of `window` seconds, every `step` seconds, with middles in start to stop."""
    if pool not in POOLS:
        raise ValueError(f"pool={pool!r} is not known: choose one of {', '.join(POOLS)}.")
    period = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    length, stride = 1, 1
    for name, value in (("window", window), ("step", step)):
        if value is None:
            continue
        if not value > 0:
            raise ValueError(f"{name} must be a positive number of seconds, got {value!r}.")
        if value < period / 2:
            raise ValueError(
                f"{name}={value!r} s is less than half of the {period:g} s between two samples. "
                "Times are seconds: divide milliseconds by 1000."
            )
        samples = max(1, round(value / period))
        if name == "window":
            length = samples
        else:
            stride = samples
    uneven = np.abs(np.diff(times) - period).max(initial=0.0) > 1e-3 * period
    if uneven and (length > 1 or stride > 1):
        raise ValueError("window= and step= need times that are evenly spaced.")
    if length > len(times):
        raise ValueError(
            f"window={window!r} s is longer than the epochs, {len(times) * period:g} s."
        )
    starts = np.arange(0, len(times) - length + 1, stride)
    middles = (times[starts] + times[starts + length - 1]) / 2
    reach = 1e-6 * period
    low = -np.inf if start is None else start - reach
    high = np.inf if stop is None else stop + reach
    chosen = (middles >= low) & (middles <= high)
    if not chosen.any():
        raise ValueError(
            f"No window has its middle from {start} to {stop} s: epochs go from {times[0]:g} to "
            f"{times[-1]:g} s."
        )
    return Windows(starts[chosen], length, middles[chosen], pool)
