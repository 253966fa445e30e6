"""Results of all kinds as one JSON: what is taken from each, how it is written and read."""

from __future__ import annotations

import json
import os
import platform
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skdnn._files import write_whole
from skdnn._version import __version__
from skdnn.report._plain import back, plain, table_from, table_to

FORMAT, VERSION = "skdnn results", 1
_RESAMPLED = {
    "conditions": "other conditions of the same kind, for these subjects",
    "subjects": "other subjects, for these conditions",
    "both": "other subjects and other conditions",
}


@dataclass
class Results:
    """What is kept of a result: tables, facts, tests and warnings.

    Parameters
    ----------
    kind : str
        Name of the class that the result had.
    tables : dict of str to DataFrame
        Its numbers.
    facts : dict
        Single values and settings.
    tests : list of dict
        Each test's ``name`` and what it ``generalises_to``.
    warnings : list of str
        Warnings that were given while tables were made.
    about : dict
        What was asked, seed, command line: whatever was given to :func:`save_results`.
    provenance : dict
        Versions and date.

    See Also
    --------
    load_results : Reads them from a file.

    Examples
    --------
    >>> import pandas as pd
    >>> from skdnn.report import Results
    >>> Results("DataFrame", {"scores": pd.DataFrame({"r": [0.5]})}).tables["scores"].shape
    (1, 1)
    """

    kind: str
    tables: dict[str, pd.DataFrame]
    facts: dict[str, Any] = field(default_factory=dict)
    tests: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Give what the file holds.

        Returns
        -------
        content : dict
            Values that JSON can hold; see :func:`save_results`.
        """
        return {
            "format": FORMAT,
            "version": VERSION,
            "kind": self.kind,
            "about": plain(self.about),
            "facts": plain(self.facts),
            "tests": self.tests,
            "warnings": self.warnings,
            "provenance": self.provenance,
            "tables": {name: table_to(table) for name, table in self.tables.items()},
        }


def save_results(result: Any, path: str | os.PathLike[str], **about: Any) -> None:
    """Save a result as JSON, whole or not at all.

    Parameters
    ----------
    result : object
        A fitted :class:`~skdnn.LayerSearchCV` or :class:`~skdnn.BrainHierarchyScore`, a
        :class:`~skdnn.model_comparison.ModelComparison`, a :class:`~skdnn.rsa.BootstrapResult`
        or :class:`~skdnn.rsa.PermutationResult`, a DataFrame (as of
        :func:`~skdnn.encoding.nested_encoding`), or :class:`Results`.
    path : str or path-like
        Such as ``"study.skdnn.json"``.
    **about : dict
        What else should be known: ``asked="which layer?"``, ``seed=0``, ``command=sys.argv``.

    Raises
    ------
    TypeError
        If the result is of no such class.

    See Also
    --------
    load_results : Reads it.

    Notes
    -----
    Version 1 is an object with the keys ``format``, ``version``, ``kind``, ``about``, ``facts``,
    ``tests``, ``warnings``, ``provenance`` and ``tables``. A table has ``levels`` (names of the
    levels of its index), ``column_names`` and ``columns``, those of the index first, each with
    ``name``, ``dtype`` and ``values``. Floats are written so that they are read back to the bit;
    NaN and infinities as ``{"float": "nan"}``, ``"inf"`` and ``"-inf"``; None as null; tuples as
    ``{"tuple": [...]}``; what JSON has no word for, as its text.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from skdnn.report import load_results, save_results
    >>> path = Path(tempfile.mkdtemp()) / "study.skdnn.json"
    >>> save_results(pd.DataFrame({"r": [0.1, float("nan")]}), path, seed=0)
    >>> load_results(path).about
    {'seed': 0}
    """
    content = json.dumps(
        results_of(result, **about).to_dict(), indent=1, ensure_ascii=False, allow_nan=False
    )
    write_whole(Path(path), content.encode())


def load_results(path: str | os.PathLike[str]) -> Results:
    """Read what :func:`save_results` has written.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    results : Results
        Tables with their dtypes, to the bit.

    Raises
    ------
    ValueError
        If the file holds no results, or those of another version.

    See Also
    --------
    Report.add : Takes them in place of the result itself.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from skdnn.report import load_results, save_results
    >>> path = Path(tempfile.mkdtemp()) / "study.skdnn.json"
    >>> save_results(pd.DataFrame({"r": [0.25]}), path)
    >>> float(load_results(path).tables["table"]["r"].iloc[0])
    0.25
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)!r} is no file of results: {error}.") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"{os.fspath(path)!r} is no file of results of save_results.")
    if found.get("version") != VERSION:
        raise ValueError(
            f"{os.fspath(path)!r} holds results of version {found.get('version')!r}; this is "
            f"skdnn {__version__}, which reads version {VERSION}."
        )
    try:
        return Results(
            found["kind"],
            {name: table_from(table) for name, table in found["tables"].items()},
            facts=back(found["facts"]),
            tests=found["tests"],
            warnings=found["warnings"],
            about=back(found["about"]),
            provenance=found["provenance"],
        )
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{os.fspath(path)!r} is damaged: {error!r}.") from error


def results_of(result: Any, **about: Any) -> Results:
    """Tables and facts of any result."""
    if isinstance(result, Results):
        result.about |= about
        return result
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        found = _taken(result)
    found.warnings = [f"{w.category.__name__}: {w.message}" for w in given]
    found.about = dict(about)
    found.provenance = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "skdnn": __version__,
        "numpy": np.__version__,
        "pandas": pd.__version__,
    }
    return found


def _taken(result: Any) -> Results:
    from skdnn._search import LayerSearchCV
    from skdnn.encoding import BrainHierarchyScore
    from skdnn.model_comparison import ModelComparison
    from skdnn.rsa import BootstrapResult, PermutationResult

    takers: tuple[tuple[type, Callable[[Any], Results]], ...] = (
        (LayerSearchCV, _of_search),
        (BrainHierarchyScore, _of_hierarchy),
        (ModelComparison, _of_comparison),
        (BootstrapResult, _of_bootstrap),
        (PermutationResult, _of_permutation),
        (pd.DataFrame, lambda frame: Results("DataFrame", {"table": frame})),
    )
    for kind, take in takers:
        if isinstance(result, kind):
            return take(result)
    known = ", ".join(kind.__name__ for kind, _ in takers)
    raise TypeError(f"A {type(result).__name__} is no result that is known: {known}.")


def _of_search(search: Any) -> Results:
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(search, "cv_results_")
    tables = {"candidates": pd.DataFrame(search.cv_results_)}
    if hasattr(search, "layer_profile_"):
        tables = {"layer profile": search.layer_profile_, **tables}
    return Results("LayerSearchCV", tables, _facts(search, "best_score_", "best_params_",
        "n_splits_", "reduction_"))  # fmt: skip


def _of_hierarchy(study: Any) -> Results:
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(study, "score_")
    names = ("score_", "decoding_score_", "encoding_score_", "interval_", "p_value_",
        "expected_score_", "n_test_images_", "random_state")  # fmt: skip
    tests = []
    if hasattr(study, "p_value_"):
        tests = [_test("Permutation test of the hierarchy", "no other subjects than these")]
    tables = {"best levels": study.top_table_, "accuracies": study.table_}
    return Results("BrainHierarchyScore", tables, _facts(study, *names), tests)


def _of_comparison(result: Any) -> Results:
    tables = {"similarities": result.to_frame()}
    if result.reference_scores is not None:
        tables = {"scores against references": result.reference_scores, **tables}
    return Results(
        "ModelComparison", tables, _facts(result, "comparison", "metric", "n_subjects", "networks")
    )


def _of_bootstrap(result: Any) -> Results:
    name = f"Bootstrap over {'conditions and subjects' if result.resample == 'both' else result.resample}"  # noqa: E501
    facts = _facts(result, "comparison", "n_boot", "resample")
    if result.ceiling is not None:
        facts["noise_ceiling"] = tuple(map(float, result.ceiling))
    samples = pd.DataFrame(result.samples, columns=[str(name) for name in result.names])
    tables = {"scores": result.to_frame(), "pairs": result.pairwise(), "samples": samples}
    return Results("BootstrapResult", tables, facts, [_test(name, _RESAMPLED[result.resample])])


def _of_permutation(result: Any) -> Results:
    facts = _facts(result, "comparison", "n_permutations", "exact", "alternative")
    null = pd.DataFrame(result.null)
    tests = [
        _test(
            "Permutation test of conditions (Mantel)",
            "nothing beyond these subjects: it asks whether the model is related to the data",
        )
    ]
    return Results("PermutationResult", {"scores": result.to_frame(), "null": null}, facts, tests)


def _facts(thing: Any, *names: str) -> dict[str, Any]:
    found = {name.rstrip("_"): getattr(thing, name) for name in names if hasattr(thing, name)}
    return {n: dict(v) if isinstance(v, Mapping) else v for n, v in found.items()}


def _test(name: str, to: str) -> dict[str, str]:
    return {"name": name, "generalises_to": to}
