"""Examples for the gallery, copied so that nothing is left among the sources, and plain scripts.

``plot_*.py`` are run by sphinx-gallery, unless they need the 92 images and these cannot be had;
every page says how its results came about. Other scripts are shown as they are.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

from skdnn import fetch_kriegeskorte92

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTHING = "(?!)"  # a pattern that no text matches
LANGUAGES = {".py": "python", ".m": "matlab"}
HEADER = """\
Gallery
=======

Worked studies, from image files to a picture. Each page is a script that can be downloaded and
run. :doc:`/generated/scripts` has some that are shown without results.
"""
NOTES = {
    "off": "This documentation was built without running the examples: results and pictures are "
    "missing. ``python {name}.py`` makes them.",
    "data": "This study needs the 92 images of Kriegeskorte et al. (2008), which could not be had "
    "when this page was built: results and pictures are missing. ``python {name}.py`` makes them.",
    "quick": "Results and pictures are those of a short run (``SKDNN_EXAMPLE_QUICK=1``): smaller, "
    "and without weights that would be downloaded.",
    "full": "",
}
SCRIPTS = """\
Longer scripts
==============

"""


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to sphinx; before sphinx-gallery, which has 10, looks at its own settings."""
    app.add_config_value("example_states", {}, "env", dict)
    app.connect("config-inited", prepare, priority=5)
    app.connect("source-read", lead_to_pages)
    app.connect("source-read", say_how)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def prepare(app: Sphinx, config: Config) -> None:
    """Copy the examples, decide which of them run, and write the page of scripts."""
    generated, gallery = Path(app.srcdir) / "generated", Path(app.srcdir) / "gallery"
    examples = sorted(EXAMPLES.glob("plot_*.py"))
    scripts = [path for path in sorted(EXAMPLES.iterdir()) if is_script(path)]
    states = {path.stem: state(path, config) for path in examples}
    fill(generated / "examples", examples)
    (generated / "examples" / "GALLERY_HEADER.rst").write_text(HEADER, encoding="utf-8")
    fill(generated / "scripts", scripts)
    (generated / "scripts.rst").write_text(script_page(scripts), encoding="utf-8")
    forget_other_runs(generated / "example_states.json", gallery, states)
    running = "|".join(name for name, how in states.items() if how in ("quick", "full"))
    config.sphinx_gallery_conf["filename_pattern"] = rf"/(?:{running or NOTHING})\.py$"
    config.example_states = states
    if quick():
        os.environ["SKDNN_EXAMPLE_QUICK"] = "1"


def is_script(path: Path) -> bool:
    """Whether a file is a script that is only shown."""
    return path.suffix in LANGUAGES and not path.name.startswith("plot_")


def quick() -> bool:
    """Whether examples are to run small."""
    return os.environ.get("SKDNN_DOCS_QUICK") == "1"


def state(path: Path, config: Config) -> str:
    """Which of NOTES holds for an example."""
    if str(config.plot_gallery) in ("0", "False"):
        return "off"
    if "fetch_kriegeskorte92" in path.read_text(encoding="utf-8") and not have_images():
        return "data"
    return "quick" if quick() else "full"


@cache
def have_images() -> bool:
    """Whether the 92 images are at hand, or can be downloaded."""
    try:
        fetch_kriegeskorte92()
    except OSError:
        return False
    return True


def fill(folder: Path, files: list[Path]) -> None:
    """Make a folder hold these files and no others."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in files:
        shutil.copy2(path, folder)


def forget_other_runs(record: Path, gallery: Path, states: dict[str, str]) -> None:
    """Sphinx-gallery keeps the results of unchanged files, also those of a shorter run."""
    before = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    for name in states:
        if before.get(name) != states[name]:
            (gallery / f"{name}.py.md5").unlink(missing_ok=True)
    record.write_text(json.dumps(states), encoding="utf-8")


def script_page(scripts: list[Path]) -> str:
    """Every script with the first line of its documentation."""
    sections = [
        f"{path.name}\n{'-' * len(path.name)}\n\n{summary(path)}\n\n"
        f":download:`{path.name} <scripts/{path.name}>`\n\n"
        f".. literalinclude:: scripts/{path.name}\n   :language: {LANGUAGES[path.suffix]}\n"
        for path in scripts
    ]
    return SCRIPTS + "\n".join(sections)


def summary(path: Path) -> str:
    """The first line of a docstring, or of a MATLAB file's comment."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return text.partition("\n")[0].lstrip("%# ")


def lead_to_pages(app: Sphinx, docname: str, source: list[str]) -> None:
    """Links to example files, right on a code host, become links to their pages."""
    source[0] = re.sub(
        r"\]\((?:\.\./)+examples/(plot_\w+)\.py\)", r"](/gallery/\1.rst)", source[0]
    )
    source[0] = re.sub(
        r"\]\((?:\.\./)+examples/\w+\.(?:py|m)\)", "](/generated/scripts.rst)", source[0]
    )


def say_how(app: Sphinx, docname: str, source: list[str]) -> None:
    """Say on an example's page how its results came about, below the introduction."""
    name = docname.removeprefix("gallery/")
    note = NOTES.get(app.config.example_states.get(name, ""), "").format(name=name)
    if note:
        head, mark, tail = source[0].partition(".. GENERATED FROM PYTHON SOURCE LINES")
        source[0] = f"{head}.. note::\n\n   {note}\n\n{mark}{tail}"
