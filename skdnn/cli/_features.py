"""Files of features as a command is given them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from skdnn.cli._reading import reading

if TYPE_CHECKING:
    from skdnn.io import OpenFeatures


def features_of(path: str, layers: Sequence[str] | None = None) -> OpenFeatures:
    """Features of some layers of a file, or of all; errors name the file."""
    from skdnn.io import open_features

    with reading(path):
        return open_features(path, layers)
