"""Who may import whom: floors, arrows, and what must not be imported at all.

Imports are read from the source, those inside functions too; of a package whose public names are
loaded late, from the stub that lists them. What stands under ``if TYPE_CHECKING:`` is never
executed and does not count.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import skdnn
from helpers.private_names import PRIVATE_MODULES

ROOT = Path(skdnn.__file__).parent

# From the ground up. A room is a file or a folder of the package, and imports from lower floors.
FLOORS: tuple[frozenset[str], ...] = tuple(
    map(
        frozenset,
        (
            {
                "_wording",
                "_array_blocks",
                "_docs",
                "_figures",
                "_files",
                "_html",
                "_multiple_tests",
                "_optional",
                "_progress",
                "_commonality",
                "_config",
                "_sklearn",
                "_labels",
                "_threads",
                "_version",
            },
            {"_images", "_file_digests", "_conditions", "_layers", "_methods"},
            {"_identity"},
            {"models"},
            {"_backends"},
            {"_store"},
            {"_extraction", "_feature_extractor", "_classifier", "_text_encoder"},
            {"rsa", "encoding", "decomposition"},
            {"datasets", "formats", "io", "model_comparison", "plotting", "_search"},
            {"fmri", "report"},
            {"__init__"},  # the package's public names
            {"demo", "cli", "__main__"},
        ),
    )
)
GROUND, TOP = FLOORS[0], FLOORS[-1]
# The only imports between rooms of one floor.
ARROWS = {
    ("_array_blocks", "_threads"),
    ("_labels", "_wording"),
    ("_progress", "_wording"),
    ("_file_digests", "_images"),
    ("_conditions", "_images"),
    ("_feature_extractor", "_extraction"),
    ("_classifier", "_extraction"),
    ("formats", "io"),
    ("model_comparison", "plotting"),
    ("report", "fmri"),
    ("cli", "demo"),
    ("__main__", "cli"),
}
# Rooms that stand on less than all floors below them: they work on any arrays.
STANDS_ON = dict.fromkeys(("rsa", "encoding", "decomposition", "_methods"), GROUND)
# Where the top floor may take names from, besides the ground.
PUBLIC = {
    "skdnn": set(skdnn.__all__),
    **{f"skdnn.{room}": set(getattr(skdnn, room).__all__) for room in skdnn._ROOMS},
}
# Loaded when first used; the torch engine is itself imported inside a function.
LATE = {
    *("torch", "torchvision", "timm", "open_clip", "tensorflow", "keras"),
    *(
        "matplotlib",
        "h5py",
        "PIL",
        "pooch",
        "nibabel",
        "nilearn",
        "mne",
        "rsatoolbox",
        "himalaya",
        "jinja2",
    ),
}
ENGINES = {
    **{
        f"skdnn._backends._torch_{part}": {"torch", "torchvision"}
        for part in (
            *("engine", "capture", "compile", "penultimate", "layers", "axes"),
            *("global_settings", "device_copies"),
        )
    },
    **{
        f"skdnn._backends._tensorflow_{part}": {"tensorflow", "keras"}
        for part in ("engine", "capture", "penultimate", "layers")
    },
    "skdnn.models._cornet_networks": {"torch"},
}


TESTS = Path(__file__).parent


def module_name(path: Path) -> str:
    parts = ["skdnn", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {
    module_name(path): path.read_text(encoding="utf-8")
    for path in [*sorted(ROOT.rglob("*.py")), *sorted(ROOT.rglob("*.pyi"))]
}


@dataclass(frozen=True)
class Import:
    """One imported module or name."""

    module: str
    name: str  # "" for a plain ``import module``
    line: int
    late: bool  # inside a function


def imports(source: str, importer: str) -> Iterator[Import]:
    """All imports that can run."""
    package = importer if _is_package(importer) else importer.rpartition(".")[0]

    def visit(node: ast.AST, late: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, "", node.lineno, late)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join(parents) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            for alias in node.names:
                yield Import(module, alias.name, node.lineno, late)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                yield from visit(child, late)
        else:
            inside = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from visit(child, inside)

    return visit(ast.parse(source), False)


def _is_package(module: str) -> bool:
    return (ROOT.parent / module.replace(".", "/") / "__init__.py").exists()


def target(found: Import) -> str:
    """The module of ours that is imported, '' if it is none of ours."""
    if found.module.partition(".")[0] != "skdnn":
        return ""
    inner = f"{found.module}.{found.name}"
    return inner if inner in SOURCES else found.module


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def floor(module: str) -> int | None:
    return next((n for n, rooms in enumerate(FLOORS) if room(module) in rooms), None)


def check(importer: str, source: str) -> list[str]:
    """What is wrong with the imports of one file."""
    if floor(importer) is None:
        return [f"{importer} is on no floor"]
    wrong = []
    for found in imports(source, importer):
        rules = (_floors, _public, _private_sklearn, _not_yet)
        reasons = [rule(importer, found) for rule in rules]
        what = f"{found.module} {found.name}".strip()
        wrong += [f"{importer}:{found.line} {what}: {reason}" for reason in reasons if reason]
    return wrong


def _floors(importer: str, found: Import) -> str:
    """Only down, or along an arrow."""
    ours = target(found)
    here, there = room(importer), room(ours)
    if not ours or here == there:
        return ""
    below = floor(ours)
    own = floor(importer)
    assert own is not None
    if below is None:
        return "on no floor"
    if here in STANDS_ON and there not in STANDS_ON[here]:
        return f"{here} must do without"
    if below < own or (below == own and (here, there) in ARROWS):
        return ""
    return "upstairs" if below > own else "a sibling without an arrow"


def _public(importer: str, found: Import) -> str:
    """The top floor uses what a user can use, and the ground: words, files and folders.

    A message or a file of a command is made as all of them are; a copy would come to differ.
    """
    ours = target(found)
    if room(importer) not in TOP or not ours or room(ours) in TOP | GROUND:
        return ""
    is_public = found.name in PUBLIC.get(found.module, ())
    is_module = ours in PUBLIC and (not found.name or ours != found.module)
    return "" if is_public or is_module else "not public"


def _private_sklearn(importer: str, found: Import) -> str:
    """Only one file may know what scikit-learn keeps to itself."""
    parts = [*found.module.split("."), *([found.name] if found.name else [])]
    if parts[0] != "sklearn" or importer == "skdnn._sklearn":
        return ""
    private = [p for p in parts if p.startswith("_") and not p.endswith("__")]
    return "private to scikit-learn" if private else ""


def _not_yet(importer: str, found: Import) -> str:
    """Heavy packages load when first used."""
    root = found.module.partition(".")[0]
    engine = target(found) in ENGINES and importer not in ENGINES  # its files know each other
    heavy = engine or root in LATE - ENGINES.get(importer, set())
    return "" if found.late or not heavy else "imported before it is used"


def cycle(sources: Mapping[str, str]) -> list[str]:
    """Modules of ours that import each other in a ring; empty if none do."""
    graph = {
        module: {target(found) for found in imports(source, module)} & SOURCES.keys()
        for module, source in sources.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("module", SOURCES)
def test_imports_of_every_file(module: str) -> None:
    assert check(module, SOURCES[module]) == []


def test_nothing_imports_in_a_ring() -> None:
    assert cycle(SOURCES) == []


def test_every_room_and_arrow_is_in_use() -> None:
    """A name in the tables above that no file has any more would hide a mistake."""
    assert {room(module) for module in SOURCES} == frozenset().union(*FLOORS)
    used = {
        (room(module), room(target(found)))
        for module, source in SOURCES.items()
        for found in imports(source, module)
        if target(found)
    }
    assert used >= ARROWS
    assert ENGINES.keys() <= SOURCES.keys()


@pytest.mark.parametrize(
    ("importer", "source", "reason"),
    [
        ("skdnn.new_room", "import os", "is on no floor"),
        ("skdnn._layers", "from skdnn.gone import x", "on no floor"),
        ("skdnn._layers", "from skdnn.models import Model", "upstairs"),
        ("skdnn._layers", "from .models import Model", "upstairs"),
        ("skdnn._layers", "def f():\n    import skdnn.models._model_spec", "upstairs"),
        ("skdnn.models._model_spec", "from .._backends import Capture", "upstairs"),
        ("skdnn.rsa", "from .._extraction import ChosenLayers", "must do without"),
        ("skdnn._extraction", "from skdnn import RDM", "upstairs"),
        ("skdnn._layers", "from skdnn._images import read_image", "a sibling without an arrow"),
        ("skdnn._extraction", "import skdnn._feature_extractor", "a sibling without an arrow"),
        ("skdnn.demo", "from skdnn import cli", "a sibling without an arrow"),
        (
            "skdnn.rsa._dissimilarity._rdm_transformer",
            "from skdnn._layers import pool",
            "must do without",
        ),
        ("skdnn.demo", "from skdnn._extraction import ChosenLayers", "not public"),
        ("skdnn.demo", "from skdnn import _layers", "not public"),
        ("skdnn.demo", "from skdnn.rsa._scoring._rsa_scorer import RSAScorer", "not public"),
        ("skdnn.demo", "from skdnn.rsa import check_square", "not public"),
        ("skdnn.demo", "import skdnn._images", "not public"),
        ("skdnn._layers", "from sklearn.utils import _param_validation", "private"),
        ("skdnn._layers", "from sklearn.utils._set_output import x", "private"),
        ("skdnn._layers", "def f():\n    import sklearn.utils._tags", "private"),
        ("skdnn._layers", "import torch.nn as nn", "before it is used"),
        ("skdnn._layers", "try:\n    from PIL import Image\nexcept ImportError: ...", "before it"),
        ("skdnn._layers", "class A:\n    import pooch", "before it is used"),
        ("skdnn._backends._torch_engine", "import matplotlib", "before it is used"),
        ("skdnn._backends", "from skdnn._backends import _torch_engine", "before it is used"),
    ],
)
def test_the_check_finds(importer: str, source: str, reason: str) -> None:
    found = check(importer, source)
    assert len(found) == 1
    assert reason in found[0]


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        (
            "skdnn._layers",
            "if TYPE_CHECKING:\n    import torch\n    from skdnn.models import Model",
        ),
        ("skdnn._layers", "async def f():\n    import torch"),
        ("skdnn._layers", "from sklearn import __version__"),
        ("skdnn._backends._torch_engine", "import torch"),
        ("skdnn._backends", "def f():\n    from . import _torch_engine"),
        ("skdnn.cli", "from skdnn import demo, rsa, RDM\nfrom skdnn.rsa import RDM"),
        ("skdnn.cli", "from skdnn._files import write_whole\nfrom skdnn._version import x"),
        ("skdnn._sklearn", "from sklearn.base import _fit_context"),
    ],
)
def test_the_check_lets_pass(importer: str, source: str) -> None:
    assert check(importer, source) == []


def test_the_check_finds_rings() -> None:
    changed = SOURCES | {
        "skdnn._layers": "def f():\n    from skdnn.models._model_spec import ModelSpec"
    }
    changed["skdnn.models._model_spec"] = "from .._layers import nearest"
    assert {"skdnn._layers", "skdnn.models._model_spec"} <= set(cycle(changed))


# --- what tests know of the inside --------------------------------------------------------------


def private_modules(source: str) -> set[str]:
    """Private modules that a test imports, or names in a text: code of a process, a patch."""
    tree = ast.parse(source)
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names |= set(re.findall(r"skdnn(?:\.\w+)+", node.value))
            code = re.findall(r"from (skdnn[.\w]*) import ([\w, ]+)", node.value)
            names |= {
                f"{module}.{name.strip()}" for module, many in code for name in many.split(",")
            }
    return {module for name in names if (module := _module_of(name)) and _is_private(module)}


def _module_of(name: str) -> str:
    """The longest beginning of a dotted name that is a module of ours; '' if none is."""
    while name and name not in SOURCES:
        name = name.rpartition(".")[0]
    return name


def _is_private(module: str) -> bool:
    return any(part.startswith("_") and not part.endswith("__") for part in module.split("."))


def test_private_modules_that_tests_know_are_listed_with_a_reason() -> None:
    here = {Path(__file__), TESTS / "helpers" / "private_names.py"}
    known = {
        module
        for path in TESTS.rglob("*.py")
        if path not in here
        for module in private_modules(path.read_text(encoding="utf-8"))
    }
    assert known == PRIVATE_MODULES.keys()


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from skdnn._array_blocks import is_lazy", "skdnn._array_blocks"),
        ("from skdnn.io import _saved_header as c", "skdnn.io._saved_header"),
        ("import skdnn.models._timm", "skdnn.models._timm"),
        ("def f(m): m.setattr('skdnn.io._saved_header.VERSION', 2)", "skdnn.io._saved_header"),
        ("code = 'from skdnn.models import Model, _timm'", "skdnn.models._timm"),
    ],
)
def test_the_check_finds_private_modules(source: str, module: str) -> None:
    assert private_modules(source) == {module}
    assert private_modules("from skdnn.io import load_features; skdnn.__version__") == set()
