"""Betas of one subject or of several, and whether they are responses to the same images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from skdnn._labels import row_labels
from skdnn.fmri._betas import Betas


def by_subject(responses: Any) -> Mapping[str, Any]:
    """Each subject's Betas or regions; those of one subject are under an empty name."""
    if not isinstance(responses, Betas | Mapping):
        raise TypeError(
            f"responses must be Betas, or a mapping by subject, got {type(responses).__name__}."
        )
    if isinstance(responses, Mapping) and not responses:
        raise ValueError("responses is empty: give at least one subject.")
    if isinstance(responses, Betas) or not any(
        isinstance(one, Betas | Mapping) for one in responses.values()
    ):
        return {"": responses}
    return dict(responses)


def betas_by_subject(responses: Any, others: str) -> Mapping[str, Betas]:
    """Each subject's Betas; `others` says who takes what is none."""
    subjects = by_subject(responses)
    for subject, betas in subjects.items():
        if not isinstance(betas, Betas):
            raise TypeError(
                f"responses of {subject or 'the subject'} must be Betas, got "
                f"{type(betas).__name__}: {others}."
            )
    return subjects


def same_images(betas: Betas, X: Any, subject: str) -> None:
    """Raise if the rows of X, where they have names, are not the images of the betas."""
    names = getattr(X, "paths", X) if hasattr(X, "paths") or _are_names(X) else row_labels(X)
    whose = subject or "the subject"
    if names is not None and [str(one) for one in names] != betas.images:
        raise ValueError(
            f"responses of {whose} are to {len(betas.images)} images, which are not those of X, "
            "or in another order: load_betas(images=X)."
        )
    if len(X) != len(betas.images):
        raise ValueError(
            f"responses of {whose} have {len(betas.images)} images, X has {len(X)} rows."
        )


def _are_names(X: Any) -> bool:
    """Whether rows are paths of images, not features or arrays."""
    return isinstance(X, list | tuple) and all(isinstance(one, str | os.PathLike) for one in X)
