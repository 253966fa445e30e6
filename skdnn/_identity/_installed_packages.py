"""Which modules are installed, in which version; the source of those that are one's own."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import importlib.util
import os
import platform
import site
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import xxhash

from skdnn._version import __version__

#: The script or notebook that runs: of it, only what a network's code uses counts.
MAIN = ("__main__", "__mp_main__")


def library(module: Any) -> str:
    """``"python 3.12.1"``, ``"torch 2.9.0"``, ...; "" for a module that is not installed."""
    top = module.partition(".")[0] if isinstance(module, str) else "builtins"
    top = "builtins" if top.startswith(("_cython_", "pybind11_", "nanobind")) else top  # no files
    if top in (*MAIN, "skdnn"):
        return f"skdnn {__version__}" if top == "skdnn" else ""
    files = (getattr(sys.modules.get(name), "__file__", None) for name in (module, top))
    file = next((file for file in files if file and os.path.isabs(file)), None)
    return _library(top, file, tuple(map(str, sys.path)))


@functools.lru_cache(maxsize=8192)
def _library(top: str, file: str | None, path: tuple[str, ...]) -> str:
    places = [Path(place).resolve() for place in ([file] if file else _places(top))]
    homes = [os.path.dirname(os.__file__), *map(sysconfig.get_path, ("stdlib", "platstdlib"))]
    if top in sys.stdlib_module_names and all(  # but a module of one's own may be called so
        any(place.is_relative_to(Path(home).resolve()) for home in homes)
        and not {"site-packages", "dist-packages"} & set(place.parts)
        for place in places
    ):
        return "python " + platform.python_version()
    for root, distribution in _distributions(path).get(top, []):
        if any(p.is_relative_to(root / top) or p.parent == root for p in places):
            return f"{top} {distribution.version}"
    return ""


def _places(top: str) -> list[str]:
    """Where a module is that is not loaded, or a folder without ``__init__.py``."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return []
    within = getattr(spec, "submodule_search_locations", None) or []
    return [str(spec.origin)] if spec and spec.has_location else list(within)


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


def sources(modules: Iterable[str], readable: bool = True) -> list[tuple[str, str]]:
    """Digests of the code in modules, and in all that they import, where not installed.

    OSError if the source of a module can't be read any more; without `readable` it is left out.
    """
    waiting, found = list(modules), dict.fromkeys((*MAIN, ""), "")
    while waiting:
        name = waiting.pop()
        module = sys.modules.get(name)
        if name in found or module is None or library(name):
            continue
        found[name], file = "", getattr(module, "__file__", None)
        if file:  # else a notebook's
            package = getattr(module, "__package__", None) or ""
            try:
                state = os.stat(file)
                known = _read(file, package, state.st_ino, state.st_size, state.st_mtime_ns)
            except OSError:
                if readable:
                    raise
                continue
            found[name], waiting = known[0], [*waiting, *known[1], name.rpartition(".")[0]]
    return sorted((name, digest) for name, digest in found.items() if digest)


@functools.lru_cache(maxsize=1024)
def _read(file: str, package: str, *_state: int) -> tuple[str, list[str]]:
    """Digest of a file, and what it imports when it is imported itself."""
    content = Path(file).read_bytes()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # compiled; or broken since it was read
        return xxhash.xxh3_128_hexdigest(content), []
    found = []
    for top in tree.body:  # what functions import, their code names
        for node in [] if isinstance(top, ast.FunctionDef | ast.ClassDef) else ast.walk(top):
            names = [alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")]
            if isinstance(node, ast.ImportFrom):
                relative = "." * node.level + (node.module or "")
                base = importlib.util.resolve_name(relative, package or "?")
                names = [base, *(f"{base}.{name}" for name in names)]
            found += names
    return xxhash.xxh3_128_hexdigest(ast.dump(tree).encode()), found
