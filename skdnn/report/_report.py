"""A study as one file of HTML, which opens anywhere and asks nobody for anything."""

from __future__ import annotations

import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skdnn._files import write_whole
from skdnn._methods import MethodsText
from skdnn.report._results_file import results_of

_ROWS = 300  # of a table that are shown; all are in the JSON
_HERE = Path(__file__).parent


class Report:
    """A report for supervisors and reviewers: one HTML file without a server.

    Parameters
    ----------
    title : str
        Title of the page.

    See Also
    --------
    save_results : Keeps results from which a report can be made later.

    Notes
    -----
    The page loads nothing: pictures, style and script are in it, and its security policy forbids
    requests. Results are in it as JSON, in the element with the id ``results``.

    Examples
    --------
    >>> import pandas as pd
    >>> from skdnn.report import Report
    >>> page = Report("Layers").add(pd.DataFrame({"layer": ["fc6"], "mean": [0.3]})).to_html()
    >>> "fc6" in page
    True
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._sections: list[dict[str, Any]] = []
        self._results: dict[str, dict[str, Any]] = {}

    def add(self, thing: Any, name: str | None = None, **about: Any) -> Report:
        """Add a result, or a methods text.

        Parameters
        ----------
        thing : object
            What :func:`save_results` takes, what :func:`load_results` gives, or a
            :class:`~skdnn.MethodsText`.
        name : str, default=None
            Heading; None takes the name of the class.
        **about : dict
            As for :func:`save_results`.

        Returns
        -------
        self : Report
            The report itself.
        """
        if isinstance(thing, MethodsText):
            return self._put(name or "Methods", text=thing.text, bibtex=thing.bibtex)
        found = results_of(thing, **about)
        heading = self._free(name or found.kind)
        self._results[heading] = found.to_dict()
        return self._put(
            heading,
            results=found,
            tables=[_shown(key, table) for key, table in found.tables.items()],
            profile=next(filter(None, map(_profile, found.tables.values())), None),
        )

    def add_text(self, text: str, name: str = "Question") -> Report:
        """Add a paragraph, such as what was asked.

        Parameters
        ----------
        text : str
            Plain text.
        name : str, default="Question"
            Heading.

        Returns
        -------
        self : Report
            The report itself.
        """
        return self._put(name, text=text)

    def add_rdm(self, rdm: Any, images: Any = None, name: str = "RDM") -> Report:
        """Add an RDM whose cells tell their pair, and its conditions in a plane.

        Parameters
        ----------
        rdm : array-like or DataFrame of shape (n_conditions, n_conditions)
            Dissimilarities; the index of a DataFrame names the conditions.
        images : list of length n_conditions, default=None
            Paths, PIL images or uint8 arrays, shown small.
        name : str, default="RDM"
            Heading.

        Returns
        -------
        self : Report
            The report itself.
        """
        import matplotlib.pyplot as plt

        from skdnn.plotting import MDSDisplay

        frame = rdm if isinstance(rdm, pd.DataFrame) else pd.DataFrame(np.asarray(rdm))
        display = MDSDisplay.from_rdm(frame, images=images)
        plt.close(display.figure_)
        thumbs = [_picture(array, 64) for array in display.images or []]
        places = display.coordinates_ - display.coordinates_.min(axis=0)
        places = 30 + places * 580 / max(places.max(), np.finfo(float).tiny)
        labels = [str(label) for label in frame.index]
        heading = self._free(name)
        self._results[heading] = results_of(frame).to_dict()
        held = {"labels": labels, "values": frame.to_numpy(dtype=float).tolist(), "thumbs": thumbs}
        return self._put(
            heading,
            rdm=held,
            mds=list(zip(places.tolist(), labels, thumbs or [""] * len(labels), strict=True)),
            height=float(places[:, 1].max() + 30),
            stress=display.stress_,
        )

    def add_inputs(
        self, extractor: Any, images: Any, name: str = "What the network saw", n_images: int = 8
    ) -> Report:
        """Add images beside what the network is fed.

        Parameters
        ----------
        extractor : DNNFeatureExtractor, Pipeline or fitted search
            As for :class:`~skdnn.InputsDisplay`.
        images : sequence of images
            As for the extractor.
        name : str, default="What the network saw"
            Heading.
        n_images : int, default=8
            How many are shown.

        Returns
        -------
        self : Report
            The report itself.
        """
        import matplotlib.pyplot as plt

        from skdnn.plotting import InputsDisplay

        display = InputsDisplay.from_extractor(extractor, images, n_images=n_images)
        plt.close(display.figure_)
        pairs = [
            (_picture(each.original, 160), _picture(each.picture, 160), each)
            for each in display.inputs
        ]
        return self._put(name, inputs=pairs)

    def to_html(self) -> str:
        """Give the page as text.

        Returns
        -------
        page : str
            Of HTML.
        """
        import jinja2
        from markupsafe import Markup

        loader = jinja2.FileSystemLoader(_HERE)
        environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True)
        environment.filters["json"] = lambda value: Markup(_json(value))
        own = {end: Markup((_HERE / f"report.{end}").read_text("utf-8")) for end in ("css", "js")}
        return environment.get_template("template.html.jinja").render(
            title=self.title, sections=self._sections, results=self._results, **own
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page, whole or not at all.

        Parameters
        ----------
        path : str or path-like
            Such as ``"report.html"``.
        """
        write_whole(Path(path), self.to_html().encode("utf-8", "replace"))

    def _free(self, name: str) -> str:
        """A heading that no other result has."""
        names = (name, *(f"{name} ({k})" for k in range(2, len(self._results) + 3)))
        return next(each for each in names if each not in self._results)

    def _put(self, name: str, **parts: Any) -> Report:
        self._sections.append({"name": name, **parts})
        return self


def _json(value: Any) -> str:
    """JSON that ends no script element; what is not finite is null."""
    if isinstance(value, dict) and "values" in value:
        rows = [[v if np.isfinite(v) else None for v in row] for row in value["values"]]
        value = {**value, "values": rows}
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def _picture(pixels: Any, side: int) -> str:
    """A small JPEG as an address that holds it."""
    from PIL import Image

    image = Image.fromarray(np.asarray(pixels)).convert("RGB")
    image.thumbnail((side, side))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=75)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _shown(name: str, table: pd.DataFrame) -> dict[str, Any]:
    """The beginning of a table as texts, with the whole number beside those cut short."""
    part = table.iloc[:_ROWS]
    if table.index.nlevels > 1 or not isinstance(table.index, pd.RangeIndex):
        named = [str(n or f"row {k}") for k, n in enumerate(table.index.names)]
        index = part.index.to_frame(index=False).set_axis(named, axis=1)
        heads = named + [_head(column) for column in table.columns]
        columns = part.reset_index(drop=True).set_axis(heads[len(named) :], axis=1)
        part = pd.concat([index, columns], axis=1)
    rows = [[_cell(value) for value in row] for row in part.itertuples(index=False, name=None)]
    heads = [_head(column) for column in part.columns]
    return {"name": name, "heads": heads, "rows": rows, "more": len(table) - len(rows)}


def _head(column: Any) -> str:
    return " / ".join(map(str, column)) if isinstance(column, tuple) else str(column)


def _cell(value: Any) -> tuple[str, str]:
    """What is read, and what is sorted by and exported."""
    if isinstance(value, float | np.floating):
        return f"{value:.4g}", repr(float(value))
    return str(value), str(value)


def _profile(table: pd.DataFrame) -> dict[str, Any] | None:
    """Bars of a layer profile in a picture of 640 by 300, scores from the ground up."""
    if not {"layer", "mean"} <= set(table.columns) or table.empty:
        return None
    mean = table["mean"].to_numpy(dtype=float)
    deviation = table["std"].to_numpy(dtype=float) if "std" in table else np.zeros(len(mean))
    ends = [table[f"ceiling_{end}"].mean() for end in ("lower", "upper")
            if f"ceiling_{end}" in table]  # fmt: skip
    known = np.array([0.0, *(mean - deviation), *(mean + deviation), *ends])
    low, high = np.nanmin(known), np.nanmax(known)
    scale = 220 / max(high - low, 1e-12)

    def y(value: Any) -> float:
        return round(float(20 + (high - value) * scale), 2)

    step = 560 / len(mean)
    bars = [
        {"x": 60 + k * step, "width": 0.7 * step, "top": min(y(m), y(0)),
         "height": abs(y(m) - y(0)),
         "low": y(m - d), "high": y(m + d), "label": str(layer), "mean": f"{m:.3f}"}
        for k, (layer, m, d) in enumerate(zip(table["layer"], mean, deviation, strict=True))
        if np.isfinite(m) and np.isfinite(d)
    ]  # fmt: skip
    band = [y(end) for end in ends] if len(ends) == 2 and np.isfinite(ends).all() else None
    return {"bars": bars, "zero": y(0), "band": band, "ticks": [(y(low), f"{low:.2f}"),
            (y(high), f"{high:.2f}")]}  # fmt: skip
