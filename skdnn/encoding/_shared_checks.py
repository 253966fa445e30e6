"""What several parts of the room check: labels and weights of rows, columns at fault."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdnn._array_blocks import Array
from skdnn._labels import check_labels, row_labels
from skdnn._wording import listed

Flags = NDArray[np.bool_]


def check_rows(X: Any, y: Any) -> None:
    """Raise if rows of features and of responses are both labelled, and not alike."""
    names = X.row_names if hasattr(X, "row_names") else row_labels(X)
    if names is not None:
        check_labels(row_labels(y), names)


def check_weights(sample_weight: Any, n_rows: int) -> Array | None:
    """Weights of rows, None where all are equal."""
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape not in ((), (n_rows,)):
        raise ValueError(
            f"sample_weight has shape {weights.shape}: give one weight for each of the "
            f"{n_rows} rows."
        )
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise ValueError(
            "sample_weight must be finite, not negative, and not all zero; it reaches from "
            f"{weights.min()} to {weights.max()}."
        )
    return np.array(np.broadcast_to(weights, n_rows))


def some_columns(flags: Flags) -> str:
    """The first columns that are flagged."""
    return f"columns {listed(np.flatnonzero(flags).tolist())}"
