"""Which modules are installed, in which version; the source of those that are one's own."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import os
import platform
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import xxhash

from skdnn._version import __version__

#: The script or notebook that runs: of it, only what a network's code uses counts.
MAIN = ("__main__", "__mp_main__")


def library(module: str) -> str:
    """``"python 3.12.1"``, ``"torch 2.9.0"``, ...; "" for a module that is not installed."""
    top = module.partition(".")[0]
    if top in MAIN:
        return ""
    if top == "skdnn":
        return f"skdnn {__version__}"
    files = (getattr(sys.modules.get(name), "__file__", None) for name in (module, top))
    file = next((file for file in files if file and os.path.isabs(file)), None)
    return _library(module, file, tuple(sys.path))


@functools.lru_cache(maxsize=8192)
def _library(module: str, file: str | None, path: tuple[str, ...]) -> str:
    top, spec = module.partition(".")[0], None if file else _find(module)
    found = [file] if file else [spec.origin] if spec and spec.has_location else []
    if spec and not found:  # a folder without __init__.py may lie in several places
        found = list(spec.submodule_search_locations or [])
    places = [Path(place).resolve() for place in found if place]
    if top in sys.stdlib_module_names and all(map(_in_standard_library, places)):
        return "python " + platform.python_version()
    for root, distribution in _distributions(path).get(top, []):
        if any(p.is_relative_to(root / top) or p.parent == root for p in places):
            return f"{top} {distribution.version}"
    return ""


def _in_standard_library(place: Path) -> bool:
    """A module of one's own may bear the name of one of Python's."""
    homes = [Path(os.__file__).parent, *map(sysconfig.get_path, ("stdlib", "platstdlib"))]
    inside = any(place.is_relative_to(Path(home).resolve()) for home in homes)
    return inside and not {"site-packages", "dist-packages"} & set(place.parts)


@functools.lru_cache(maxsize=8)
def _distributions(path: tuple[str, ...]) -> dict[str, list[tuple[Path, Any]]]:
    """Distributions, and the folders they lie in, by the names that they bring.

    What they have recorded counts, which in editable installs is not the code. Systems that keep
    no records are believed in site folders only: a project's own folder has the same lists.
    """
    sites = [*site.getsitepackages(), site.getusersitepackages(), sysconfig.get_path("purelib")]
    believed = {Path(folder).resolve() for folder in sites}
    found: dict[str, list[tuple[Path, Any]]] = {}
    for distribution in importlib.metadata.distributions(path=list(path)):
        root = Path(str(distribution.locate_file(""))).resolve()
        record = distribution.read_text("RECORD") or ""
        names = {line.partition(",")[0].partition("/")[0] for line in record.splitlines()}
        if not record and root in believed:
            listed = distribution.read_text("top_level.txt") or distribution.name or ""
            names = set(listed.replace("-", "_").split())
        for name in {name.partition(".")[0] for name in names}:
            found.setdefault(name, []).append((root, distribution))
    return found


def _find(module: str) -> ModuleSpec | None:
    """Find a module; nothing is imported for it, as `importlib.util.find_spec` imports parents."""
    if module in sys.modules:
        return getattr(sys.modules[module], "__spec__", None)
    path = None
    if parent := module.rpartition(".")[0]:
        above = _find(parent)
        path = above and above.submodule_search_locations
        if path is None:
            return None
    for finder in sys.meta_path:
        try:
            if (spec := finder.find_spec(module, path)) is not None:
                return spec
        except (AttributeError, ImportError, ValueError):
            continue
    return None


def sources(modules: Iterable[str]) -> list[tuple[str, str]]:
    """Digests of the source of modules, and of all that they import, where not installed.

    Comments and the layout of lines do not count.
    """
    waiting, found = list(modules), dict.fromkeys(MAIN, "")
    while waiting:
        name = waiting.pop()
        if name in found or library(name):
            continue
        spec, found[name] = _find(name), ""
        file = getattr(sys.modules.get(name), "__file__", None) or (spec and spec.origin)
        if file and os.path.isfile(file):  # else a notebook's, or an attribute of a module
            state = os.stat(file)
            is_package = bool(spec and spec.submodule_search_locations)
            package = name if is_package else name.rpartition(".")[0]
            known = _read(file, package, state.st_ino, state.st_size, state.st_mtime_ns)
            found[name], waiting = known[0], [*waiting, *known[1]]
    return sorted((name, digest) for name, digest in found.items() if digest)


@functools.lru_cache(maxsize=1024)
def _read(file: str, package: str, *_state: int) -> tuple[str, list[str]]:
    """Digest of a file, and what it may import."""
    content, imported = Path(file).read_bytes(), []
    if file.endswith(".py"):
        try:
            tree = ast.parse(content)
            content, imported = ast.dump(tree).encode(), list(_imports(tree, package))
        except (SyntaxError, ValueError):  # what runs was read before
            pass
    return xxhash.xxh3_128_hexdigest(content), imported


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        names = [
            alias.name for alias in getattr(node, "names", []) if isinstance(alias, ast.alias)
        ]
        if isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = [*(above if node.level else []), *filter(None, [node.module])]
            names = [".".join([*base, name]) for name in names]
        for parts in (name.split(".") for name in names):
            yield from (".".join(parts[:n]) for n in range(1, len(parts) + 1))
