"""No network, and no weights."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder of weights, no cache of the hub, and the hub at a closed door."""
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("SKDNN_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda repo, name: None)
    monkeypatch.setattr(hub, "hf_hub_url", lambda repo, name: f"http://127.0.0.1:9/{repo}/{name}")
    monkeypatch.setattr("skdnn.models._weights_folder._PAUSES", (0.0,))
    return tmp_path / "weights"
