"""One bit flips anywhere in a store: right values, or a refusal that names the file."""

from __future__ import annotations

import random
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from tiny_network import LAYERS, extractor

from skdnn import ActivationStore


@pytest.mark.parametrize(
    ("seed", "n_flips"), [(0, 23), pytest.param(1, 1000, marks=pytest.mark.slow)]
)
def test_single_flipped_bits(filled_once, paths, expected, tmp_path, seed, n_flips):
    rng = random.Random(seed)
    names = sorted(str(p.relative_to(filled_once)) for p in filled_once.rglob("*") if p.is_file())
    seen = set()
    for number in range(n_flips):
        root = Path(shutil.copytree(filled_once, tmp_path / str(number)))
        name = names[number % len(names)]
        content = bytearray((root / name).read_bytes())
        bit = rng.randrange(8 * len(content))
        content[bit // 8] ^= 1 << bit % 8
        (root / name).write_bytes(content)
        faults = ActivationStore(root, mode="r").verify()
        assert faults.file.to_list() == [name], bit
        seen.add(_use(root, Path(name), paths, expected))
        assert ActivationStore(root).verify(repair=True).file.to_list() in ([], [name]), bit
        _use_as_whole(root, paths, expected)
        shutil.rmtree(root)
    assert seen == {"refused", "told", "right"}


def _use(root: Path, name: Path, paths: list[str], expected: dict[str, np.ndarray]) -> str:
    """What those who don't verify get."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            found = extractor(ActivationStore(root), LAYERS).extract(paths, flatten=True)
        except ValueError as error:
            return "refused" if name.name in str(error) else f"refused, not named: {error}"
    for layer in LAYERS:
        assert_array_equal(found[layer], expected[layer])
    assert all(name.stem in str(warning.message) for warning in told)
    return "told" if told else "right"


def _use_as_whole(root: Path, paths: list[str], expected: dict[str, np.ndarray]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = extractor(ActivationStore(root), LAYERS).extract(paths, flatten=True)
    for layer in LAYERS:
        assert_array_equal(found[layer], expected[layer])
    assert ActivationStore(root).verify().empty
