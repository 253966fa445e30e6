"""From files of a study to maps and tables by the commands of the guide, word for word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import skdnn
from skdnn.datasets import make_study

nibabel = pytest.importorskip("nibabel")

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "fmri.md"
SKDNN = f'set -euo pipefail\nskdnn() {{ "{sys.executable}" -m skdnn "$@"; }}\n'


def typed(folder: Path) -> str:
    """What the commands of the guide print, typed one after the other."""
    blocks = re.findall(r"^```bash\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.S | re.M)
    assert len(blocks) == 3
    path = os.pathsep.join(
        [str(Path(skdnn.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    )
    done = subprocess.run(
        ["bash", "-c", SKDNN + "\n".join(blocks)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the commands are for bash")
def test_from_files_to_maps(tmp_path: Path) -> None:
    study: Any = make_study(tmp_path / "study", n_subjects=2)
    out = typed(tmp_path)
    layers, subjects = list(study.planted.values()), [one.name for one in study.subjects]

    regions = pd.read_csv(tmp_path / "regions.csv")
    chosen = regions[regions["chosen"]].set_index(["subject", "roi"])["layer"]
    expected = {(s, roi): layer for s in subjects for roi, layer in study.planted.items()}
    assert chosen.to_dict() == expected
    assert "best layer of each region, mean of 2 subjects" in out

    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(name in page for name in [*subjects, *study.planted, *layers])
    assert "sub-01" in page
    assert "Holm" in page

    voxels = pd.read_csv(tmp_path / "voxels.csv")
    for one in study.subjects:
        own = voxels[voxels["subject"] == one.name]
        assert (own["p_fdr"] < 0.05).mean() > 0.9
        atlas = nibabel.load(one.atlas)
        labels = atlas.get_fdata()
        found = {
            quantity: nibabel.load(tmp_path / f"maps/study_{one.name}_{quantity}.nii.gz")
            for quantity in ("r", "normalised", "layer")
        }
        for image in found.values():
            np.testing.assert_allclose(image.affine, atlas.affine)
            assert np.isnan(image.get_fdata()[labels == 0]).all()
        np.testing.assert_allclose(
            found["r"].get_fdata()[labels > 0], own["r"].to_numpy(), rtol=1e-6
        )
        codes = found["layer"].get_fdata()
        for number, layer in enumerate(study.planted.values(), 1):
            counts = np.bincount(codes[labels == number].astype(int), minlength=4)[1:]
            assert layers[int(counts.argmax())] == layer  # of the most voxels of the region

    assert "brain hierarchy score" in out
    score = float(re.search(r"brain hierarchy score (-?[\d.]+)", out).group(1))  # type: ignore[union-attr]
    assert score > 0.3  # planted; without a hierarchy it is 0 on average
    assert set(pd.read_csv(tmp_path / "hierarchy.csv")["subject"]) == set(subjects)
    assert sorted(path.suffix for path in tmp_path.glob("*.png")) == [".png"] * 2
