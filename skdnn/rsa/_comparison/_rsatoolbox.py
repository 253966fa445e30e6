"""To and from the RDMs of rsatoolbox."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.spatial.distance import squareform

from skdnn._optional import import_optional
from skdnn.rsa._comparison._rdm_stack import check_unique, rdm_name, read_rdms

_DEFAULT_LEVEL = "rdm"


def to_rsatoolbox(rdms: ArrayLike | pd.DataFrame | Any, *, measure: str | None = None) -> Any:
    """Give RDMs to rsatoolbox.

    Parameters
    ----------
    rdms : array-like, DataFrame, dict or list
        One RDM or several, in any form that :func:`skdnn.rsa.compare_rdms` takes.
    measure : str, default=None
        Name of the dissimilarity, kept in the result.

    Returns
    -------
    rdms : rsatoolbox.rdm.RDMs
        Labels of conditions are its pattern descriptor ``"condition"``; names of RDMs its RDM
        descriptors, one for each level (``"rdm"`` where a level has no name).

    Raises
    ------
    ImportError
        If rsatoolbox is not installed.
    ValueError
        If the RDMs are refused, see :func:`skdnn.rsa.compare_rdms`.

    See Also
    --------
    from_rsatoolbox : The way back.

    Examples
    --------
    >>> from skdnn.rsa import category_rdm, to_rsatoolbox
    >>> rdms = to_rsatoolbox(category_rdm(["a", "a", "b"], names=["cat", "dog", "saw"]))
    >>> rdms.n_cond, list(rdms.pattern_descriptors["condition"])
    (3, ['cat', 'dog', 'saw'])
    """
    theirs = import_optional("rsatoolbox.rdm", "to give RDMs to it")
    stack = read_rdms(rdms, "rdms")
    described: dict[str, Any] = {}
    if stack.names is not None:
        for level, name in enumerate(_level_names(stack.names)):
            described[name] = list(stack.names.get_level_values(level))
    patterns: dict[str, Any] = {}
    if stack.conditions is not None:
        patterns["condition"] = list(stack.conditions)
    return theirs.RDMs(
        stack.pairs.copy(),
        dissimilarity_measure=measure,
        rdm_descriptors=described,
        pattern_descriptors=patterns,
    )


def from_rsatoolbox(
    rdms: Any, *, condition: str | None = None, names: str | list[str] | None = None
) -> pd.DataFrame:
    """Take RDMs from rsatoolbox.

    Parameters
    ----------
    rdms : rsatoolbox.rdm.RDMs
        One RDM or several.
    condition : str, default=None
        Pattern descriptor that labels conditions. None takes ``"condition"``, else the only one
        beside ``"index"``, else ``"index"``.
    names : str or list of str, default=None
        RDM descriptors that name the RDMs, a column level each. None takes all beside
        ``"index"`` if they tell the RDMs apart, else ``"index"``.

    Returns
    -------
    rdms : DataFrame
        A labelled square RDM if there is one RDM and `names` is None and it has no descriptors of
        its own; else labelled RDMs side by side, their columns a MultiIndex of the names and the
        condition.

    Raises
    ------
    ValueError
        If a descriptor does not exist, or does not tell conditions or RDMs apart.

    See Also
    --------
    to_rsatoolbox : The way there.

    Examples
    --------
    >>> from skdnn.rsa import category_rdm, from_rsatoolbox, to_rsatoolbox
    >>> model = category_rdm(["a", "a", "b"], names=["cat", "dog", "saw"])
    >>> from_rsatoolbox(to_rsatoolbox(model)).equals(model)
    True
    """
    patterns, described = rdms.pattern_descriptors, rdms.rdm_descriptors
    own = [name for name in patterns if name != "index"]
    if condition is None:
        condition = "condition" if "condition" in own else own[0] if len(own) == 1 else "index"
    labels = pd.Index(_descriptor(patterns, condition, "condition"))
    check_unique(labels, f"values of the pattern descriptor {condition!r}")
    squares = np.stack([squareform(pairs, checks=False) for pairs in rdms.get_vectors()])
    chosen = [names] if isinstance(names, str) else names
    if chosen is None:
        chosen = [name for name in described if name != "index"]
        if len(squares) == 1 and not chosen:
            return pd.DataFrame(squares[0], index=labels, columns=labels)
        keys = pd.MultiIndex.from_arrays([list(described[name]) for name in chosen or ["index"]])
        if not keys.is_unique:
            chosen = ["index"]
        chosen = chosen or ["index"]
    values = [list(_descriptor(described, name, "names")) for name in chosen]
    keys = pd.MultiIndex.from_arrays(values, names=chosen)
    if not keys.is_unique:
        twice = keys[keys.duplicated()][0]
        raise ValueError(
            f"names={names!r} does not tell the RDMs apart: {rdm_name(twice)!r} repeats. Add "
            f"another descriptor; there are {', '.join(map(repr, described))}."
        )
    columns = pd.MultiIndex.from_tuples(
        [(*key, label) for key in keys for label in labels], names=[*chosen, "condition"]
    )
    return pd.DataFrame(np.concatenate(list(squares), axis=1), index=labels, columns=columns)


def _descriptor(descriptors: Any, name: str, parameter: str) -> Any:
    if name not in descriptors:
        known = ", ".join(map(repr, descriptors))
        raise ValueError(f"{parameter}={name!r} is no descriptor of the RDMs: they have {known}.")
    return descriptors[name]


def _level_names(names: pd.Index) -> list[str]:
    """A name for each level, none twice."""
    found: list[str] = []
    for level, name in enumerate(names.names):
        text = str(name) if name is not None else _DEFAULT_LEVEL
        found.append(text if text not in (*found, "index") else f"{text}_{level}")
    return found
