"""The list of oldest versions is that of the lower bounds in pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from skdnn._sklearn import require

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
OLDEST = (ROOT / "tests" / "oldest.txt").read_text(encoding="utf-8")
# Not installed with the oldest versions, by the extra that brings them.
LEFT_OUT = {
    "tensorflow": "a second framework, whose tests are slow",
    "hf": "transformers 5 asks for torch 2.6",
    "docs": "pages are built with today's tools",
    "all": "the sum of the others",
}
LINTERS = {"ruff", "mypy", "pandas-stubs", "types-tqdm"}  # the same code, whatever is installed
# Than the oldest torch, the oldest pandas, the oldest numpy.
NEWER = {"transformers", "nilearn", "mne"}
DRIVERS = {"playwright"}  # of the browser that a machine has


def versions(lines: list[str], sign: str) -> dict[str, str]:
    """Name, in small letters, with the extras asked for, to version."""
    found = {}
    for line in lines:
        match = re.fullmatch(rf"([\w.\[\]-]+){sign}([\d.]+)(,!=[\d.]+)?", line)
        assert match, f"{line!r} is not of the form name{sign}version"
        name = match[1].lower()
        assert found.setdefault(name, match[2]) == match[2], f"two versions of {name}"
    return found


def promised() -> dict[str, str]:
    """The lower bounds of what is required and of the extras."""
    kept = [packages for extra, packages in EXTRAS.items() if extra not in LEFT_OUT]
    lines = [line for packages in (PROJECT["dependencies"], *kept) for line in packages]
    others = [
        line
        for line in lines
        if re.split("[^a-z-]", line)[0] not in {"skdnn", *LINTERS, *NEWER, *DRIVERS}
    ]
    return versions(others, ">=")


def test_the_list_is_the_lower_bounds() -> None:
    listed = [line.partition("#")[0].strip() for line in OLDEST.splitlines()]
    assert versions([line for line in listed if line], "==") == promised()


def test_the_refusal_of_another_scikit_learn_names_the_bound() -> None:
    asked_for = f"scikit-learn>={promised()['scikit-learn']}"
    with pytest.raises(RuntimeError, match=re.escape(f'"{asked_for}"')):
        require(False, "it is not there")


def test_every_extra_is_tested_or_left_out_for_a_reason() -> None:
    assert LEFT_OUT.keys() <= EXTRAS.keys()
    assert {"clip", "timm", "nifti", "dask", "parquet"} <= EXTRAS.keys() - LEFT_OUT.keys()


@pytest.mark.parametrize("line", ["numpy", "numpy>=1.26,<3", "numpy>1.26", "numpy~=1.26"])
def test_a_requirement_without_a_plain_lower_bound_is_found(line: str) -> None:
    with pytest.raises(AssertionError, match="is not of the form"):
        versions([line], ">=")
