"""A study as one file of HTML, which opens anywhere and asks nobody for anything."""

from __future__ import annotations

import html
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from skdnn._files import write_whole
from skdnn._wording import counted
from skdnn.report._charts import charts_of
from skdnn.report._result import Result
from skdnn.report._results import Results
from skdnn.report._tables import cell, tables_of
from skdnn.rsa._comparison._rdm_stack import is_unlabelled

_HERE = Path(__file__).parent
_READABLE = 25  # rows and columns of a matrix whose numbers are written in its cells
# Colours of matrices from low to high: viridis, whose steps look alike also to the colour-blind.
_SCALE = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))


class Report:
    """A page for those who read or review a study: one HTML file without a server.

    Parameters
    ----------
    results : Results, or object that :meth:`Results.add` takes
        What it tells.
    title : str, default=None
        Of the page; None takes that of the results.

    Attributes
    ----------
    results : Results
        What it tells.
    title : str
        As given, or that of the results.

    See Also
    --------
    Results : Collects what it tells, and saves it as JSON.

    Notes
    -----
    The page loads nothing: pictures, style and script are in it, and its security policy forbids
    requests. The results are in it as JSON, in the element ``results``, as :meth:`Results.save`
    writes them; a button saves them as a file. Names in it are text, whatever they hold.

    Examples
    --------
    >>> import pandas as pd
    >>> from skdnn.report import Report
    >>> page = Report(pd.DataFrame({"layer": ["fc6"], "mean": [0.3]}), title="Layers").to_html()
    >>> "fc6" in page
    True
    """

    def __init__(self, results: Any, *, title: str | None = None) -> None:
        self.results = results if isinstance(results, Results) else Results().add(results)
        self.title = self.results.title if title is None else title

    def to_html(self) -> str:
        """Give the page as text.

        Returns
        -------
        page : str
            Of HTML.
        """
        import jinja2
        from markupsafe import Markup

        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=lambda value: value if isinstance(value, Markup) else _printable(value),
        )
        environment.filters |= {"cell": cell, "colour": _colour, "counted": counted}
        content = self.results.to_dict()
        inside = json.dumps(content, allow_nan=False, separators=(",", ":"))
        for sign in "<>&":
            inside = inside.replace(sign, f"\\u{ord(sign):04x}")
        own = {end: Markup((_HERE / f"page.{end}").read_text("utf-8")) for end in ("css", "js")}
        return environment.get_template("page.html.jinja").render(
            title=self.title,
            results=self.results,
            sections=self._sections(),
            inside=Markup(inside),
            scale=_SCALE,
            **own,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page, whole or not at all.

        Parameters
        ----------
        path : str or path-like
            Such as ``"report.html"``.

        Raises
        ------
        ValueError
            If it ends in .json, as results do: ``Results.save`` writes them.
        """
        if Path(path).suffix.lower() == ".json":
            raise ValueError(
                f"path={os.fspath(path)!r} is called like a file of results: Results.save writes "
                "it. A page is HTML, such as 'report.html'."
            )
        write_whole(Path(path), self.to_html().encode("utf-8"))

    def _repr_html_(self) -> str:
        """The page in a frame of a notebook."""
        page = html.escape(self.to_html())
        return f'<iframe title="report" style="width:100%;height:40em" srcdoc="{page}"></iframe>'

    def _sections(self) -> list[dict[str, Any]]:
        sections = []
        for name, result in self.results.items():
            charts = charts_of(name, result)
            for chart in charts:
                if chart["draw"] == "matrix":
                    _fill(chart, result.tables.get(chart.get("table", "")))
                elif chart["draw"] == "map":
                    chart["images"] = self._pictures(result, chart["labels"])
            tables = tables_of(result)
            facts = {} if result.kind == "MethodsText" else result.facts
            sections.append(
                {
                    "name": name,
                    "result": result,
                    "charts": charts,
                    "tables": tables,
                    "facts": facts,
                }
            )
        return sections

    def _pictures(self, result: Result, labels: list[str]) -> list[str | None]:
        """Of conditions: those of the result itself, or of names; a number of rows is no name."""
        own = result.pictures.get("conditions")
        if own is None and not is_unlabelled(result.tables["RDM"].index):
            return [self.results.images.get(label) for label in labels]
        return [None] * len(labels) if own is None else [*own]


def _fill(chart: dict[str, Any], table: Any) -> None:
    """Numbers into the cells of a matrix that can be read; others are painted from their table.

    Values that stand in no table of this shape cannot be painted.
    """
    values = chart.get("values")
    if values is None:
        values = table.to_numpy(dtype=float)
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    chart |= {"low": low, "high": high}
    readable = chart["what"] != "dissimilarity" and max(values.shape) <= _READABLE
    if readable or "values" in chart:
        chart["cells"] = [[(v, (v - low) / ((high - low) or 1.0)) for v in row] for row in values]


def _colour(share: float) -> str:
    """Background from low (0) to high (1), and letters that can be read on it."""
    if not np.isfinite(share):
        return "background: #767676; color: #fff"
    place = share * (len(_SCALE) - 1)
    k = min(int(place), len(_SCALE) - 2)
    rgb = [round(a + (place - k) * (b - a)) for a, b in zip(_SCALE[k], _SCALE[k + 1], strict=True)]
    linear = [(c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    letters = "#000" if (light + 0.05) / 0.05 > 1.05 / (light + 0.05) else "#fff"
    return f"background: rgb({rgb[0]} {rgb[1]} {rgb[2]}); color: {letters}"


def _printable(value: Any) -> Any:
    """Text without control characters, halves of surrogates and changes of direction."""
    if not isinstance(value, str):
        return value
    return "".join(
        sign
        if sign.isprintable() or sign in "\n\t" or (sign.isspace() and ord(sign) >= 0xA0)
        else sign.encode("unicode_escape").decode("ascii")
        for sign in value
    )
