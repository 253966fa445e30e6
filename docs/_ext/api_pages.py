"""A page for every public name: the lists are the modules' ``__all__``, so none can be forgotten.

A name that stands in ``skdnn`` and in one of its rooms has one page, under ``skdnn``; the room's
table leads there.
"""

from __future__ import annotations

import importlib
import inspect
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment

import skdnn

MODULES = ("skdnn", *(f"skdnn.{room}" for room in skdnn._ROOMS))
INTRODUCTION = """\
API reference
=============

Every public name. The names of the first page are imported from ``skdnn``, the others from their
own module. Estimators also have the methods that scikit-learn gives to all of them:
``get_params``, ``set_params``, ``set_output`` and ``fit_transform`` of transformers, ``score`` of
predictors.

"""


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to sphinx."""
    app.connect("config-inited", write_pages)
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("missing-reference", resolve_second_home)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def public_names(module: ModuleType) -> list[str]:
    """What the module offers, without its version."""
    return [name for name in module.__all__ if not name.startswith("__")]


def home(module: ModuleType, name: str) -> str:
    """The module under which a name has its page."""
    top = importlib.import_module("skdnn")
    shared = name in top.__all__ and getattr(top, name) is getattr(module, name)
    return "skdnn" if shared else module.__name__


def write_pages(app: Sphinx, config: Config) -> None:
    """Write ``api/``: a list of modules, a table per module, a page per name."""
    folder = Path(app.srcdir) / "api"
    pages = {"index": index_page()}
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        pages[module_name] = module_page(module)
        for name in public_names(module):
            if home(module, name) == module_name:
                pages[f"{module_name}.{name}"] = name_page(module, name)
    if folder.exists():
        for stale in set(folder.glob("*.rst")) - {folder / f"{page}.rst" for page in pages}:
            stale.unlink()
    folder.mkdir(exist_ok=True)
    for page, text in pages.items():
        write_if_changed(folder / f"{page}.rst", text)


def write_if_changed(path: Path, text: str) -> None:
    """Sphinx reads again whatever is newer than its last build."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def index_page() -> str:
    """The list of modules."""
    entries = "".join(f"   {module}\n" for module in MODULES)
    return f"{INTRODUCTION}.. toctree::\n   :maxdepth: 1\n\n{entries}"


def module_page(module: ModuleType) -> str:
    """The module's docstring, and a table of its names."""
    title = module.__name__
    names = public_names(module)
    rows = "".join(f"   ~{home(module, name)}.{name}\n" for name in names)
    own = "".join(f"   {title}.{name}\n" for name in names if home(module, name) == title)
    return (
        f"{title}\n{'=' * len(title)}\n\n"
        f".. module:: {title}\n\n.. currentmodule:: None\n\n{inspect.getdoc(module)}\n\n"
        f".. autosummary::\n   :nosignatures:\n\n{rows}\n"
        f".. toctree::\n   :hidden:\n\n{own}"
    )


def name_page(module: ModuleType, name: str) -> str:
    """One class or function, and the examples that use it."""
    what = getattr(module, name)
    full = f"{module.__name__}.{name}"
    if inspect.isclass(what):
        body = f".. autoclass:: {name}\n   :members:\n   :inherited-members:\n"
    else:
        body = f".. autofunction:: {name}\n"
    return (
        f"{name}\n{'=' * len(name)}\n\n.. currentmodule:: {module.__name__}\n\n{body}\n"
        f".. minigallery:: {full}\n   :add-heading: Studies that use it\n"
    )


def skip_foreign(
    app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out what scikit-learn and dict give every estimator and result."""
    plain = member.fget if isinstance(member, property) else inspect.unwrap(member)
    plain = getattr(plain, "__func__", plain)
    module = getattr(plain, "__module__", None) or ""
    return None if module.partition(".")[0] == "skdnn" else True


def resolve_second_home(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.Element
) -> nodes.Element | None:
    """Docstrings name things without a module, or by one that is not that of their page."""
    target = node.get("reftarget", "")
    found = page_of(target) if node.get("refdomain") == "py" else None
    if found is None or found == target:
        return None
    domain = env.get_domain("py")
    return domain.resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], found, node, contnode
    )


def page_of(target: str) -> str | None:
    """``skdnn.rsa.RDM.fit`` and ``RDM.fit`` are found as ``skdnn.RDM.fit``."""
    parts = target.split(".")
    if parts[0] != "skdnn" and parts[0] not in homes():
        return None
    for number, part in enumerate(parts):
        if part in homes():
            return ".".join([homes()[part], *parts[number:]])
    return None


@cache
def homes() -> dict[str, str]:
    """Each public name with the module of its page."""
    modules = [importlib.import_module(name) for name in MODULES]
    return {name: home(module, name) for module in modules for name in public_names(module)}
