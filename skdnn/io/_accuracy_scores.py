"""Brain hierarchy scores of accuracies that are there already, of many networks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from skdnn.encoding import (
    bootstrap_hierarchy_score,
    brain_hierarchy_score,
    hierarchy_permutation_test,
)
from skdnn.io._accuracies import as_hierarchy, read_accuracies, read_settings

Kind = Literal["decoding", "encoding"]
_KINDS: tuple[Kind, ...] = ("decoding", "encoding")


def score_accuracies(
    root: str | os.PathLike[str],
    settings: Mapping[str, Any] | str | os.PathLike[str],
    *,
    networks: Sequence[str] | None = None,
    direction: str = "both",
    n_samples: int = 50,
    alpha: float = 0.05,
    test: str = "published",
    adjust: str | None = None,
    n_layers: int | None = None,
    n_boot: int = 1000,
    n_permutations: int = 0,
    random_state: int = 0,
) -> pd.DataFrame:
    """Rank networks by the brain hierarchy score of published accuracies.

    Parameters
    ----------
    root : str or path-like
        A folder with ``decoding`` and ``encoding``, or one of them, each as
        :func:`read_accuracies` takes it.
    settings : mapping, or str or path-like
        Subjects, ROIs and networks with their layers, or the JSON file that lists them.
    networks : sequence of str or None, default=None
        Which of them; None takes all.
    direction : {"both", "decoding", "encoding"}, default="both"
        Units decoded from voxels, voxels encoded from units, or both.
    n_samples : int, default=50
        Test images behind each accuracy.
    alpha : float, default=0.05
        Level of the test of each accuracy.
    test : {"published", "t"}, default="published"
        As of :func:`skdnn.encoding.brain_hierarchy_score`.
    adjust : {"sidak"} or None, default=None
        As of :func:`skdnn.encoding.brain_hierarchy_score`.
    n_layers : int or None, default=None
        Decoding: the mean over random selections of so many layers; such a score has no interval.
    n_boot : int, default=1000
        Resamples behind the interval; 0 for none.
    n_permutations : int, default=0
        Pairings behind a p-value; 0 for none.
    random_state : int, default=0
        Of everything random.

    Returns
    -------
    ranking : DataFrame
        A row for each network, the best first: ``rank``, ``network``, ``score`` (the mean over
        directions, in the last column), and for each direction the score under its name and, with
        its name in front, ``_low``, ``_high``, ``_p`` and ``_expected``.

    Raises
    ------
    FileNotFoundError
        If `root` holds no such folder, or accuracies are missing.
    ValueError
        If accuracies do not fit the settings.

    See Also
    --------
    read_accuracies : Reads them.
    skdnn.encoding.brain_hierarchy_score : The score.

    Examples
    --------
    >>> from skdnn.formats import score_accuracies
    >>> table = score_accuracies("published/", "published/settings.json")  # doctest: +SKIP
    >>> table[["rank", "network", "score"]]  # doctest: +SKIP
    """
    given = dict(settings) if isinstance(settings, Mapping) else read_settings(settings)
    folders = _folders(Path(root), direction)
    rule: dict[str, Any] = {"n_samples": n_samples, "alpha": alpha, "test": test, "adjust": adjust}
    drawn: dict[str, Any] = {"random_state": random_state}
    rows = []
    for network in networks if networks is not None else list(given["dnns"]):
        row: dict[str, Any] = {"network": network}
        for kind, folder in folders.items():
            accuracies = read_accuracies(folder, given, networks=[network])[network]
            levels = as_hierarchy(accuracies, kind, **drawn)
            few = n_layers if kind == "decoding" and n_layers and n_layers < len(levels) else None
            score: Any = brain_hierarchy_score(levels, n_layers=few, **rule, **drawn)
            row[kind] = float(score)
            if n_permutations:
                tested = hierarchy_permutation_test(
                    levels, n_permutations=n_permutations, **rule, **drawn
                )
                row |= {f"{kind}_p": tested.p_value, f"{kind}_expected": tested.expected}
            if n_boot and not few:
                alone = [
                    {layer: {subject: each[subject]} for layer, each in accuracies.items()}
                    for subject in given["subjects"]
                ]
                by_subject = [as_hierarchy(one, kind, **drawn) for one in alone]
                boot = bootstrap_hierarchy_score(
                    by_subject, n_boot=n_boot, shared_units=kind == "decoding", **rule, **drawn
                )
                row |= {f"{kind}_low": boot.low, f"{kind}_high": boot.high}
        rows.append(row)
    table = pd.DataFrame(rows)
    table["score"] = table[list(folders)].mean(axis=1, skipna=False)
    table = table.sort_values("score", ascending=False, ignore_index=True)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    return table


def _folders(root: Path, direction: str) -> dict[Kind, Path]:
    """The folder of each kind of accuracies."""
    kinds = [kind for kind in _KINDS if direction in ("both", kind)]
    if not kinds:
        raise ValueError(f"direction={direction!r}: use 'both', 'decoding' or 'encoding'.")
    found = {kind: root / kind for kind in kinds if (root / kind).is_dir()}
    if not found:
        raise FileNotFoundError(f"{root} holds no folder {' or '.join(kinds)}.")
    return found
