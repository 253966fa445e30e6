"""MethodsText: how features were made, fit for the methods section of an article."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skdnn._methods._facts import references
from skdnn._methods._sentences import networks_in, write

_NEEDED = ("model", "weights", "layers", "preprocess", "versions")


@dataclass(frozen=True, init=False, repr=False)
class MethodsText:
    """A paragraph for a methods section, with its references; it cannot be changed.

    Made by :func:`skdnn.describe_study` and the method ``describe`` of extractors and searches,
    or anew from what was saved.

    Parameters
    ----------
    facts : mapping
        Values that JSON can hold. Needed are ``model``, ``weights``, ``layers`` (dicts with
        ``name``, and ``type``, ``shape``, ``units`` and ``pooling`` as far as known),
        ``preprocess`` (a dict or text) and ``versions`` (of packages). Known are further
        ``weights_from`` (``"published"``, ``"random"``, ``"file"``, ``"address"`` or ``"own"``),
        ``weights_sha256`` or its first digits ``weights_sha256_begins``, ``seed``, ``precision``,
        ``network`` (fingerprint), ``n_images``, ``n_conditions``, ``images_digest`` and ``study``.
        Of several networks: ``networks``, a list of these. Of none: ``study`` and ``versions``.

    Attributes
    ----------
    facts : dict
        As given, as JSON reads them back; a new copy each time.
    text : str
        The paragraph, with authors and years in brackets.
    bibtex : str
        The BibTeX entries of all that the text cites, in its order.
    citations : list of str
        Their keys.

    Raises
    ------
    TypeError
        If `facts` is no mapping, or holds something that JSON cannot.
    ValueError
        If needed facts are missing; all are named.

    See Also
    --------
    skdnn.DNNFeatureExtractor.describe : Gathers the facts.
    skdnn.describe_study : Those of a whole study.

    Notes
    -----
    What weights were trained on is read from their whole name, e.g. each part of timm's tag. What
    is not known is named in square brackets. The same facts give the same text.

    Examples
    --------
    >>> from skdnn import MethodsText
    >>> text = MethodsText({
    ...     "model": "torchvision/resnet50", "weights": "random (seed 0)", "seed": 0,
    ...     "layers": [{"name": "layer4", "units": 100352, "pooling": "flatten"}],
    ...     "preprocess": "a callable", "versions": {"skdnn": "0.1.0"}, "n_images": 92})
    >>> text.text[:54], text.citations
    ('Features of 92 images were taken from the ResNet netwo', ['he2016resnet'])
    """

    text: str
    bibtex: str
    _json: str

    def __init__(self, facts: Mapping[str, Any]) -> None:
        if not isinstance(facts, Mapping):
            raise TypeError(f"facts must be a mapping, got {type(facts).__name__}: {facts!r}.")
        missing = _missing(facts)
        if missing or not all(network["layers"] for network in networks_in(facts)):
            raise ValueError(
                f"facts lack {missing or 'any layer: layers is empty'}: a methods text needs "
                f"{', '.join(_NEEDED)}. DNNFeatureExtractor.describe() gathers them."
            )
        try:
            plain = json.loads(json.dumps(dict(facts)))
        except (TypeError, ValueError) as error:
            raise TypeError(f"facts must be values that JSON can hold ({error}).") from error
        text, keys = write(plain)
        bibtex = "\n\n".join(references()[key][1] for key in keys)
        held = json.dumps({"facts": plain, "citations": keys}, sort_keys=True)
        self.__dict__.update(text=text, bibtex=bibtex, _json=held)  # frozen: not by name

    @classmethod
    def from_provenance(cls, provenance: Mapping[str, Any] | None) -> MethodsText:
        """Write the text from the provenance of saved features.

        Parameters
        ----------
        provenance : mapping or None
            What ``load_features(path).provenance`` gives, where
            ``save_features(..., provenance=extractor.describe(X).facts)`` has written it.

        Returns
        -------
        text : MethodsText
            The same as `describe` gave; a ValueError names what the provenance lacks.
        """
        given = {} if provenance is None else provenance
        if not isinstance(given, Mapping):
            raise TypeError(f"provenance must be the dict of load_features, got {given!r}.")
        if missing := _missing(given):
            raise ValueError(
                f"The provenance lacks {missing} that a methods text needs: save features with "
                "save_features(..., provenance=extractor.describe(X).facts)."
            )
        return cls(given)

    def to_json(self) -> str:
        """Give facts, text and references as one JSON object.

        Returns
        -------
        json : str
            With the attributes as keys.
        """
        held = {n: getattr(self, n) for n in ("text", "citations", "bibtex", "facts")}
        return json.dumps(held, indent=2, ensure_ascii=False)

    def __getattr__(self, name: str) -> Any:
        if name in ("facts", "citations"):  # copies: these could be changed
            return json.loads(self._json)[name]
        raise AttributeError(f"MethodsText has no attribute {name!r}.")

    def __str__(self) -> str:
        return f"{self.text}\n\n{self.bibtex}" if self.bibtex else self.text

    def __repr__(self) -> str:
        parts = []
        for network in networks_in(self.facts):
            layers = ", ".join(str(layer["name"]) for layer in network["layers"])
            parts.append(f"{network['model']}, {network['weights']}, layers: {layers}")
        return f"MethodsText({'; '.join([*parts, f'{len(self.citations)} references'])})"

    def _repr_html_(self) -> str:
        return (
            f'<div style="overflow-wrap:anywhere"><p>{html.escape(self.text)}</p>'
            f"<details><summary>BibTeX</summary><pre>{html.escape(self.bibtex)}</pre></details></div>"
        )


def _missing(facts: Mapping[str, Any]) -> list[str]:
    """What a text cannot do without."""
    networks = networks_in(facts)
    needed = _NEEDED if networks else ("versions",)
    return [key for key in needed if any(key not in each for each in networks or [facts])]
