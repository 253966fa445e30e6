"""MethodsText: how features were made, fit for the methods section of an article."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Any

from skdnn.methods._citations import bibtex
from skdnn.methods._sentences import Writer

_NEEDED = ("model", "weights", "layers", "preprocess", "versions")


class MethodsText:
    """A paragraph for a methods section, with its references.

    Made by :meth:`skdnn.DNNFeatureExtractor.describe`, or anew from the provenance that was saved
    with features. It cannot be changed.

    Parameters
    ----------
    facts : mapping
        Values that JSON can hold. Needed are ``model``, ``weights``, ``layers`` (a list of dicts
        with ``name``, and ``type``, ``shape``, ``units`` and ``pooling`` as far as known),
        ``preprocess`` (a dict or text) and ``versions`` (of packages). Known are further
        ``weights_from`` (``"published"``, ``"random"``, ``"file"``, ``"address"`` or ``"own"``),
        ``weights_sha256`` or its first digits ``weights_sha256_begins``, ``seed``, ``precision``,
        ``network`` (fingerprint), ``n_images``, ``n_conditions`` and ``images_digest``. Others are
        kept.

    Attributes
    ----------
    facts : dict
        As given, as JSON reads them back; a new copy each time.
    text : str
        The paragraph, with authors and years in brackets.
    bibtex : str
        The BibTeX entries of all that the text cites, each once, in the order of the text.
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
    skdnn.io.save_features : Takes the facts as provenance.

    Notes
    -----
    References are known for the networks of torchvision, Keras and CORnet, for CLIP, for published
    checkpoints, and for a part of timm's and open_clip's networks. Where none is known, the text
    says in square brackets what must be added; nothing is made up.

    The same facts give the same text.

    Examples
    --------
    >>> from skdnn.methods import MethodsText
    >>> text = MethodsText({
    ...     "model": "torchvision/resnet50", "weights": "random (seed 0)", "seed": 0,
    ...     "layers": [{"name": "layer4", "type": "Sequential", "units": 100352,
    ...                 "shape": [2048, 7, 7], "pooling": "flatten"}],
    ...     "preprocess": "a callable", "versions": {"skdnn": "0.1.0"}, "n_images": 92})
    >>> text.citations
    ['he2016resnet']
    >>> text.text[:91]
    'Features of 92 images were taken from the ResNet network torchvision/resnet50 (He et al., 2'
    """

    __slots__ = ("_citations", "_json", "_text")

    _citations: tuple[str, ...]
    _json: str
    _text: str

    def __init__(self, facts: Mapping[str, Any]) -> None:
        plain = _as_plain(facts)
        missing = [key for key in _NEEDED if key not in plain]
        if missing:
            raise ValueError(
                f"facts lack {missing}: a methods text needs {', '.join(_NEEDED)}. "
                "DNNFeatureExtractor.describe() gathers them."
            )
        if not plain["layers"]:
            raise ValueError("facts['layers'] is empty: name one layer at least.")
        writer = Writer(plain)
        text = writer.write()
        for name, value in {
            "_json": json.dumps(plain),
            "_text": text,
            "_citations": tuple(writer.keys),
        }.items():
            object.__setattr__(self, name, value)

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
            The same text as `describe` gave.

        Raises
        ------
        ValueError
            If it tells too little; what is missing is named.

        Examples
        --------
        >>> from skdnn.methods import MethodsText
        >>> MethodsText.from_provenance({"model": "alexnet", "date": "2025-01-01"})
        Traceback (most recent call last):
            ...
        ValueError: The provenance lacks ['weights', 'layers', 'preprocess', 'versions'] ...
        """
        if provenance is not None and not isinstance(provenance, Mapping):
            raise TypeError(
                "provenance must be the dict that load_features(path).provenance gives, got "
                f"{type(provenance).__name__}."
            )
        missing = [key for key in _NEEDED if key not in (provenance or {})]
        if provenance is None or missing:
            raise ValueError(
                f"The provenance lacks {missing} that a methods text needs: save features with "
                "save_features(..., provenance=extractor.describe(X).facts)."
            )
        return cls(provenance)

    @property
    def facts(self) -> dict[str, Any]:
        """What the text says, as values that JSON holds.

        Returns
        -------
        facts : dict
            A copy.
        """
        facts: dict[str, Any] = json.loads(self._json)
        return facts

    @property
    def text(self) -> str:
        """The paragraph.

        Returns
        -------
        text : str
        """
        return self._text

    @property
    def citations(self) -> list[str]:
        """Keys of the references, in the order of the text.

        Returns
        -------
        citations : list of str
        """
        return list(self._citations)

    @property
    def bibtex(self) -> str:
        """The references, ready for a .bib file.

        Returns
        -------
        bibtex : str
        """
        return bibtex(self._citations)

    def to_json(self) -> str:
        """Give facts, text and references as one JSON object.

        Returns
        -------
        json : str
            With keys ``text``, ``citations``, ``bibtex`` and ``facts``.

        Examples
        --------
        >>> import json
        >>> from skdnn.methods import MethodsText
        >>> text = MethodsText({"model": "keras/VGG16", "weights": "imagenet",
        ...                     "layers": [{"name": "fc2"}], "preprocess": "a callable",
        ...                     "versions": {}})
        >>> json.loads(text.to_json())["citations"]
        ['simonyan2015vgg', 'deng2009imagenet', 'russakovsky2015imagenet']
        """
        held = {
            "text": self.text,
            "citations": self.citations,
            "bibtex": self.bibtex,
            "facts": self.facts,
        }
        return json.dumps(held, indent=2, ensure_ascii=False)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"MethodsText cannot be changed: make a new one for another {name}.")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("MethodsText cannot be changed.")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.facts,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MethodsText) and self.facts == other.facts

    def __hash__(self) -> int:
        return hash(self._text)

    def __str__(self) -> str:
        return f"{self.text}\n\n{self.bibtex}" if self._citations else self.text

    def __repr__(self) -> str:
        facts = self.facts
        layers = ", ".join(str(layer["name"]) for layer in facts["layers"])
        return (
            f"MethodsText({facts['model']}, {facts['weights']}, layers: {layers}; "
            f"{len(self._citations)} references)"
        )

    def _repr_html_(self) -> str:
        references = html.escape(self.bibtex)
        return (
            f'<div class="skdnn-methods"><p>{html.escape(self.text)}</p>'
            f"<details><summary>BibTeX</summary><pre>{references}</pre></details></div>"
        )


def _as_plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON reads back."""
    if not isinstance(facts, Mapping):
        raise TypeError(f"facts must be a mapping, got {type(facts).__name__}: {facts!r}.")
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(facts)))
    except (TypeError, ValueError) as error:
        raise TypeError(f"facts must be values that JSON can hold ({error}).") from error
    return plain
