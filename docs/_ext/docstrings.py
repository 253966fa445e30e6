"""What numpydoc leaves over: trailing underscores, and roles of scikit-learn's glossary."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

# ``n_features_in_`` in a shape is a fitted attribute; to docutils it is a link.
FITTED = re.compile(r"(?<![\w`.*])([A-Za-z]\w*)_(?=[,)\s]|$)")
MARKED = re.compile(r"(`+[^`]*`+)")
GLOSSARY = re.compile(r":term:`([^`<]+)`")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to sphinx, behind numpydoc, which has 500."""
    app.connect("autodoc-process-docstring", mend, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mend(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Change the lines in place."""
    for number, line in enumerate(lines):
        plain = GLOSSARY.sub(r"\1", line)
        if not plain.lstrip().startswith((">>>", "...")):
            parts = MARKED.split(plain)
            parts[::2] = [FITTED.sub(r"\1\\_", part) for part in parts[::2]]
            plain = "".join(parts)
        lines[number] = plain
