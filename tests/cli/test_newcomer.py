"""A newcomer's path in shell commands only: install, layers, extract, rdm, search."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist, squareform

ROOT = Path(__file__).parents[2]
# What a package is built from.
SOURCES = ("skdnn", "pyproject.toml", "setup.cfg", "README.md", "LICENSE")

PATH = """\
set -euo pipefail
python -m pip install --quiet --no-index --no-deps --no-build-isolation --target site ./source
export PYTHONPATH="$PWD/site" PATH="$PWD/site/bin:$PATH"
cd study
skdnn version
skdnn layers alexnet > layers.txt
grep -q 'features.10 ' layers.txt
skdnn extract --model alexnet --weights none --layer features.5 --images images \
    --out features.h5 --dry-run
skdnn extract --model alexnet --weights none --layer features.5 --images images --out features.h5
skdnn rdm features.h5 --out rdm.png rdm.csv
skdnn search --model alexnet --weights none --layer features.2 features.5 --images images \
    --rdm judgements.csv --cv 3 --repeats 2 --components 5 --out profile.csv profile.png
skdnn describe features.h5 > methods.txt
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the commands are for bash")
def test_from_installation_to_a_layer(pictures: Path, tmp_path: Path) -> None:
    source, study = tmp_path / "source", tmp_path / "study"
    source.mkdir()
    study.mkdir()
    for name in SOURCES:
        there = ROOT / name
        ignored = shutil.ignore_patterns("__pycache__")
        if there.is_dir():
            shutil.copytree(there, source / name, ignore=ignored)
        else:
            shutil.copy(there, source / name)
    shutil.copytree(pictures, study / "images")
    names = [f"img{number}" for number in (7, 3, 12, 1, 2, 4, 5, 6, 8, 9, 10, 11)]  # no order
    judgements = squareform(pdist(np.random.default_rng(0).normal(size=(12, 4))))
    pd.DataFrame(judgements, index=names, columns=names).to_csv(study / "judgements.csv")

    python = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": os.pathsep.join([python, os.environ["PATH"]])}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        ["bash", "-c", PATH],
        cwd=tmp_path,
        env={**environment, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    made = {path.name for path in study.iterdir()}
    assert made == {
        *("images", "judgements.csv", "layers.txt", "features.h5", "rdm.png", "rdm.csv"),
        *("profile.csv", "profile.png", "methods.txt"),
    }
    assert all(
        (study / name).read_bytes().startswith(b"\x89PNG") for name in made if ".png" in name
    )
    rdm = pd.read_csv(study / "rdm.csv", index_col=0)
    assert [Path(name).stem for name in rdm.index] == [f"img{n}" for n in range(1, 13)]
    profile = pd.read_csv(study / "profile.csv")
    assert profile["layer"].tolist() == ["features.2", "features.5"]
    best = profile["layer"][profile["mean"].idxmax()]
    assert best in done.stdout
    assert "AlexNet" in (study / "methods.txt").read_text(encoding="utf-8")
