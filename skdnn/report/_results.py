"""The results of a study in one JSON file, from which a report can be made at any time."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from skdnn._file_digests import file_digest
from skdnn._files import write_whole
from skdnn._identity._provenance import complete, platform_identity
from skdnn._version import __version__
from skdnn._wording import listed
from skdnn.report._json_tables import from_json, to_json
from skdnn.report._pictures import pairs, small
from skdnn.report._result import Result, result_from_json, result_to_json
from skdnn.report._result_kinds import result_of
from skdnn.rsa._comparison._rdm_stack import check_unique, is_unlabelled, read_rdms

FORMAT, VERSION = "skdnn results", 1
_PLAIN = ("title", "question", "command", "seed", "images", "warnings", "provenance")
_MOST = 400  # conditions of an RDM


class Results(Mapping[str, Result]):
    """The results of a study by name, with what was asked and what they were made by.

    Parameters
    ----------
    title : str, default="Results"
        Title of the study.
    question : str, default=""
        What was asked, in a sentence or more.
    command : str, default=""
        The command line or script.
    seed : int or None, default=None
        What decided everything random.

    Attributes
    ----------
    title, question, command, seed
        As given.
    images : dict of str to str
        By condition, a thumbnail as ``data:`` address.
    warnings : list of str
        Those given while :meth:`record_warnings` was on.
    provenance : dict
        Date, versions of packages, platform, and ``files`` with their SHA-256.

    See Also
    --------
    load_results : Reads the file that :meth:`save` has written.
    Report : Makes a page of them.

    Notes
    -----
    The file is an object with ``format`` (``"skdnn results"``), ``version`` (1), the attributes
    above, and ``results``, a list of pairs of a name and a result: ``kind``, ``facts``, ``tests``
    (``name``, ``generalises_to``), ``texts``, ``pictures``, ``warnings``, and ``tables``, pairs of
    a name and a table. A table has ``index`` and ``columns``, with ``names`` and either ``range``
    or ``levels``, and ``values``, a column each. A column or level has its ``dtype`` (of numpy;
    or ``str``, ``object``, ``category``) and ``values``.

    Numbers are read back to the bit. In columns of floats, NaN and infinities are ``"nan"``,
    ``"inf"`` and ``"-inf"``, elsewhere ``{"$float": "nan"}``; a tuple is ``{"$tuple": [...]}``, a
    mapping whose keys are no names ``{"$dict": [[key, value], ...]}``, and of an object that JSON
    has no word for, such as an estimator, the text is kept: ``{"$text": "PCA()"}``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from skdnn.report import Results, load_results
    >>> results = Results("Layers", question="Which layer is like IT?", seed=0)
    >>> results = results.add(pd.DataFrame({"layer": ["fc6"], "mean": [0.1]}), name="search")
    >>> path = Path(tempfile.mkdtemp()) / "study.skdnn.json"
    >>> results.save(path)
    >>> load_results(path)["search"].tables["layer profile"]
      layer  mean
    0   fc6   0.1
    """

    def __init__(
        self,
        title: str = "Results",
        *,
        question: str = "",
        command: str = "",
        seed: int | None = None,
    ) -> None:
        self.title = title
        self.question = question
        self.command = command
        self.seed = seed
        self.images: dict[str, str] = {}
        self.warnings: list[str] = []
        self.provenance: dict[str, Any] = complete({})
        machine = platform_identity("scikit-learn", "scipy", "pandas")
        self.provenance["platform"] = machine.pop("platform")
        self.provenance["versions"] |= machine
        self._results: dict[str, Result] = {}

    def __getitem__(self, name: str) -> Result:
        return self._results[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def __repr__(self) -> str:
        held = ", ".join(f"{name} ({result.kind})" for name, result in self.items())
        return f"<Results {self.title!r}: {held or 'none yet'}>"

    def add(self, thing: Any, *, name: str | None = None) -> Results:
        """Add a result.

        Parameters
        ----------
        thing : object
            A fitted :class:`~skdnn.LayerSearchCV` or :class:`~skdnn.BrainHierarchyScore`; what
            :func:`~skdnn.compare_models`, :func:`~skdnn.rsa.bootstrap_rsa`,
            :func:`~skdnn.rsa.permutation_test` or
            :func:`~skdnn.encoding.bootstrap_hierarchy_score` gave; what
            :func:`~skdnn.fmri.searchlight_rsa` found, or its test, whose maps are drawn by
            nilearn; a table, of which those of
            :func:`~skdnn.encoding.nested_encoding`, :func:`~skdnn.encoding.pool_folds`,
            :func:`~skdnn.fmri.search_regions`, :func:`~skdnn.compare_with_twin` and
            :func:`~skdnn.model_comparison.score_rdms` are recognised; a
            :class:`~skdnn.MethodsText`; or a :class:`Result`.
        name : str, default=None
            What it is called; None takes the name of its class. A name that is taken gets a
            number.

        Returns
        -------
        self : Results
            The results themselves.

        Raises
        ------
        TypeError
            If it is none of these.
        ImportError
            For a searchlight, if nilearn is not installed.
        """
        found = result_of(thing)
        wanted = name or found.kind
        names = (wanted, *(f"{wanted} ({k})" for k in range(2, len(self) + 3)))
        self._results[next(each for each in names if each not in self)] = found
        return self

    def add_images(self, images: Any, names: Sequence[Any]) -> Results:
        """Add thumbnails of conditions, for RDMs and tables that name them.

        Parameters
        ----------
        images : sequence of n_conditions
            Paths, PIL images or uint8 arrays; of several images of a condition the first is taken.
        names : sequence of n_conditions
            The labels of RDMs, or names in tables.

        Returns
        -------
        self : Results
            The results themselves.

        Raises
        ------
        ValueError
            If a name is given twice, or has another picture already.
        """
        labels = list(map(str, names))
        check_unique(pd.Index(labels), "names of pictures")
        found = dict(zip(labels, small(images, len(labels)), strict=True))
        others = [name for name in found if self.images.get(name, found[name]) != found[name]]
        if others:
            raise ValueError(
                f"There is another picture already of {listed(others)}: give conditions names "
                "that are their own in the whole study, as labels of RDMs."
            )
        self.images |= found
        return self

    def add_rdm(self, rdm: Any, *, images: Any = None, name: str = "RDM") -> Results:
        """Add an RDM, and its conditions in a plane by multidimensional scaling.

        Parameters
        ----------
        rdm : array-like or DataFrame of shape (n_conditions, n_conditions)
            Dissimilarities; the index of a DataFrame names the conditions. Of several, such as
            a stack, a dict, or side by side under a MultiIndex of columns, the mean.
        images : sequence of n_conditions, default=None
            As for :meth:`add_images`. Of an RDM without labels they are shown with it alone; those
            of labels wherever these are named.
        name : str, default="RDM"
            What it is called.

        Returns
        -------
        self : Results
            The results themselves.

        Raises
        ------
        ValueError
            If it is no RDM, images are not as many, a label has another picture already, or there
            are more than 400 conditions: pages of more are too large.
        """
        stack = read_rdms(rdm, name)
        if stack.n_conditions > _MOST:
            raise ValueError(
                f"{name}: an RDM of {stack.n_conditions} conditions cannot be shown: average "
                f"by category, or choose {_MOST} conditions or fewer."
            )
        frame = pd.DataFrame(stack.square().mean(axis=0), stack.conditions, stack.conditions)
        found = _placed(frame)
        if images is not None and is_unlabelled(stack.conditions):
            found.pictures["conditions"] = small(images, len(frame))
        elif images is not None:
            self.add_images(images, list(frame.index))
        if len(stack) > 1:
            found.facts["mean of RDMs"] = len(stack)
        return self.add(found, name=name)

    def add_inputs(
        self,
        extractor: Any,
        images: Any,
        *,
        n_images: int = 8,
        name: str = "What the network saw",
    ) -> Results:
        """Add some images beside what the network is fed.

        Parameters
        ----------
        extractor : DNNFeatureExtractor, Pipeline or fitted search
            As for :meth:`skdnn.InputsDisplay.from_extractor`.
        images : sequence of images
            As for the extractor; they are taken at equal distances from first to last.
        n_images : int, default=8
            How many.
        name : str, default="What the network saw"
            What it is called.

        Returns
        -------
        self : Results
            The results themselves.
        """
        from skdnn.plotting._inputs import network_inputs

        inputs, model = network_inputs(extractor, images, n_images)
        rows = [
            {"image": each.caption, "width": each.size[0], "height": each.size[1],
             "input width": each.picture.shape[1], "input height": each.picture.shape[0],
             "lowest value": each.low, "highest value": each.high, "true colours": each.exact}
            for each in inputs
        ]  # fmt: skip
        found = Result("inputs", {"inputs": pd.DataFrame(rows)}, {"model": model})
        found.pictures = pairs(inputs)
        return self.add(found, name=name)

    def add_files(self, paths: Iterable[str | os.PathLike[str]]) -> Results:
        """Add the SHA-256 of files that were read to the provenance.

        Parameters
        ----------
        paths : iterable of str or path-like
            Their names.

        Returns
        -------
        self : Results
            The results themselves.
        """
        files = self.provenance.setdefault("files", {})
        files |= {os.fspath(path): file_digest(Path(path)) for path in paths}
        return self

    @contextmanager
    def record_warnings(self) -> Iterator[None]:
        """Keep the warnings that are given inside a ``with`` block; they are shown as well.

        Those of deprecation, which are for programmers, are not kept.
        """
        with warnings.catch_warnings():
            show = warnings.showwarning

            def keep(message: Warning | str, category: type[Warning], *rest: Any) -> None:
                if not issubclass(category, DeprecationWarning | PendingDeprecationWarning):
                    self.warnings.append(f"{category.__name__}: {message}")
                show(message, category, *rest)

            warnings.showwarning = keep  # type: ignore[assignment]
            yield

    def to_dict(self) -> dict[str, Any]:
        """Give what the file holds.

        Returns
        -------
        content : dict
            Values that JSON can hold.
        """
        return {
            "format": FORMAT,
            "version": VERSION,
            **{name: to_json(getattr(self, name)) for name in _PLAIN},
            "results": [[name, result_to_json(result)] for name, result in self.items()],
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all of it as JSON, whole or not at all.

        Parameters
        ----------
        path : str or path-like
            Such as ``"study.skdnn.json"``.

        Raises
        ------
        ValueError
            If it ends in .html, as a page does: ``Report(results).save`` writes it.
        """
        if Path(path).suffix.lower() in (".html", ".htm"):
            raise ValueError(
                f"path={os.fspath(path)!r} is called like a page: Report(results).save writes it. "
                "Results are JSON, such as 'study.skdnn.json'."
            )
        # In ASCII: names of files may be no text.
        content = json.dumps(self.to_dict(), indent=1, allow_nan=False)
        write_whole(Path(path), content.encode("ascii"))


def load_results(path: str | os.PathLike[str]) -> Results:
    """Read what :meth:`Results.save` has written.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    results : Results
        Tables with their names and dtypes, numbers to the bit.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file holds no results, those of a newer skdnn, or was edited so that it cannot be
        read.

    See Also
    --------
    Report : Makes a page of them.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skdnn.report import Results, load_results
    >>> path = Path(tempfile.mkdtemp()) / "study.skdnn.json"
    >>> Results("Layers", seed=3).save(path)
    >>> load_results(path).seed
    3
    """
    name = os.fspath(path)
    if not Path(path).is_file():
        kind = "is a folder" if Path(path).is_dir() else "is not there"
        raise FileNotFoundError(
            f"{name} {kind}: give a file that Results.save has written, or a command that was "
            "given --out NAME.skdnn.json."
        )
    try:
        held = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{name} is no file of results: it is no JSON ({error}).") from error
    if not isinstance(held, dict) or held.get("format") != FORMAT:
        raise ValueError(f"{name} is no file of results: no Results.save has written it.")
    version = held.get("version")
    if version != VERSION:
        newer = isinstance(version, int) and version > VERSION
        way = "install a newer skdnn to read it" if newer else "it was edited"
        raise ValueError(
            f"{name} holds results of version {version!r}, and skdnn {__version__} reads version "
            f"{VERSION}: {way}."
        )
    results, part = Results(), ""
    try:
        for attribute in _PLAIN:
            part = attribute
            setattr(results, attribute, from_json(held[attribute]))
        part = "results"
        for part, result in held["results"]:
            results._results[part] = result_from_json(result)
    except Exception as error:  # whatever an edited file leads to
        told = f"{part!r}: {type(error).__name__}: {error}"
        raise ValueError(f"{name} was edited so that it cannot be read: {told}.") from error
    return results


def _placed(rdm: pd.DataFrame) -> Result:
    """An RDM with the places of its conditions, where they have any."""
    from skdnn.plotting._mds import scaled_places

    found = Result("RDM", {"RDM": rdm})
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        try:
            coordinates, stress = scaled_places(rdm.to_numpy())
        except ValueError as error:
            found.warnings.append(f"no picture of the conditions in a plane: {error}")
            return found
    found.warnings += [str(each.message) for each in given]
    places = pd.DataFrame(coordinates, index=rdm.index, columns=["x", "y"])
    found.tables["places"], found.facts["stress"] = places, stress
    return found
