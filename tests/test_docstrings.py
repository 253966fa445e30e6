"""Public docstrings, checked by numpydoc; their examples run as doctests."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from numpydoc.docscrape import get_doc_object
from numpydoc.validate import ERROR_MSGS, validate

import skdnn

# Codes that are not held against us, each with its reason; all others are errors.
PASSED_OVER = {
    "ES01": "a summary may say it all",
    "EX01": "asked below, of functions and classes",
    "GL01": "the summary stands behind the quotes, as in scikit-learn",
    "RT02": "results have names, as in scikit-learn: 'rdm : ndarray', not 'ndarray'",
    "SA01": "asked below, of functions and classes",
    "YD01": "nothing public yields",
}
PUBLIC = ("skdnn", *(f"skdnn.{room}" for room in skdnn._ROOMS))
# Made by functions, not by users: what they hold is documented, not how they are made.
RESULTS = {
    *("skdnn.rsa.BootstrapResult", "skdnn.rsa.PermutationResult", "skdnn.fmri.Betas"),
    *("skdnn.fmri.SearchlightResult", "skdnn.fmri.SearchlightTest"),
    *("skdnn.rsa.TemporalGeneralization", "skdnn.rsa.TimeCourseTest", "skdnn.rsa.TimeResolvedRSA"),
    *(
        f"skdnn.encoding.{name}"
        for name in ("AveragedRepeats", "HierarchyBootstrap", "HierarchyDetails")
    ),
    *("skdnn.encoding.NormalizedScores", "skdnn.encoding.ScoreInterval"),
}
# Sections in their order.
SECTIONS = [
    "Parameters", "Attributes", "Returns", "Raises", "Warns", "See Also", "Notes", "References",
    "Examples",
]  # fmt: skip


def public_objects() -> Iterator[str]:
    """Import paths of public functions and classes, each object once."""
    seen: set[int] = set()
    for module in PUBLIC:
        found = importlib.import_module(module)
        for name in found.__all__:
            thing = getattr(found, name)
            if not isinstance(thing, str) and id(thing) not in seen:
                seen.add(id(thing))
                yield f"{module}.{name}"


def public_methods(path: str) -> Iterator[str]:
    """Methods and properties that a class of ours writes itself; calling one counts."""
    kind = resolve(path)
    if not inspect.isclass(kind):
        return
    for base in kind.__mro__:
        if base.__module__.startswith("skdnn"):
            for name, value in vars(base).items():
                is_code = callable(value) or isinstance(value, classmethod | property)
                if is_code and (name == "__call__" or not name.startswith("_")):
                    yield f"{path}.{name}"


def resolve(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


OBJECTS = list(public_objects())
METHODS = sorted({method for path in OBJECTS for method in public_methods(path)})


@pytest.mark.parametrize("path", OBJECTS + METHODS)
def test_numpydoc_finds_no_fault(path: str) -> None:
    errors = validate(path)["errors"]
    if path in RESULTS:
        assert get_doc_object(resolve(path))["Attributes"]
        errors = [(code, text) for code, text in errors if code != "PR01"]
    assert [(code, text) for code, text in errors if code not in PASSED_OVER] == []


@pytest.mark.parametrize("path", OBJECTS)
def test_functions_and_classes_have_examples_and_relatives(path: str) -> None:
    doc = get_doc_object(resolve(path))
    assert any(">>>" in line for line in doc["Examples"])
    assert doc["See Also"]


@pytest.mark.parametrize("path", OBJECTS + METHODS)
def test_examples_use_public_names(path: str) -> None:
    head, _, rest = path.rpartition(".")
    thing = getattr(resolve(head), rest) if path in METHODS else resolve(path)
    examples = re.findall(r">>> (?:from|import) (skdnn[\w.]*)", inspect.getdoc(thing) or "")
    assert not [module for module in examples if "._" in module]


@pytest.mark.parametrize("path", OBJECTS)
def test_relatives_exist(path: str) -> None:
    """What See Also names can be found, in the package or beside the object."""
    thing = resolve(path)
    places = [importlib.import_module(name) for name in (*PUBLIC, thing.__module__)]
    for relatives, _ in get_doc_object(thing)["See Also"]:
        for name, _ in relatives:
            ours = any(_reached(place, name.removeprefix("skdnn.")) for place in places)
            assert ours or _importable(name), name


def _importable(path: str) -> bool:
    """What lies in another package."""
    module, _, name = path.rpartition(".")
    return bool(module) and hasattr(importlib.import_module(module), name)


def _reached(start: Any, dotted: str) -> bool:
    for part in dotted.split("."):
        start = getattr(start, part, None)
    return start is not None


@pytest.mark.parametrize("path", OBJECTS + METHODS)
def test_sections_stand_in_order(path: str) -> None:
    head, _, rest = path.removeprefix("skdnn.").rpartition(".")
    thing = getattr(resolve(f"skdnn.{head}"), rest) if path in METHODS else resolve(path)
    lines = inspect.cleandoc(thing.__doc__).splitlines()
    titles = [a for a, b in pairwise(lines) if b and set(b) == {"-"}]
    assert set(titles) <= set(SECTIONS)
    assert titles == sorted(titles, key=SECTIONS.index)


def test_the_list_is_whole_and_the_check_bites() -> None:
    assert {"skdnn.DNNFeatureExtractor", "skdnn.rsa.compare_rdms"} <= set(OBJECTS)
    assert {"skdnn.DNNFeatureExtractor.extract", "skdnn.RSAScorer.__call__"} <= set(METHODS)
    assert PASSED_OVER.keys() <= ERROR_MSGS.keys()

    def undocumented(x):
        """Does things

        Parameters
        ----------
        y : int
        """

    undocumented.__module__ = __name__
    found = {code for code, _ in validate(get_doc_object(undocumented))["errors"]}
    assert {"SS03", "SS05", "PR01", "PR02", "PR07"} <= found
