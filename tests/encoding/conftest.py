"""Fixtures of the tests of encoding, and their shared data."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for ridge_study and layer_study
