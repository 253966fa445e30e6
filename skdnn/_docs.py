"""Texts of parameters that many public functions have, written once.

In the source a docstring has the parameter's first sentence, for whoever reads it in an editor,
and behind it the name of a text, ``%(device)s``; :func:`filled` puts the text there when the
module is imported, so that ``help()`` and the site show it whole.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import TypeVar

Documented = TypeVar("Documented")

_WIDTH = 99
_MARK = re.compile(r"^(?P<indent> *)(?P<first>.*?)(?P<mark>%\((?P<name>\w+)\)s)$", re.MULTILINE)

TEXTS = {
    "backend": """
        ``"auto"`` takes an exact name, torch's first; a given backend takes the name in whatever
        case. ``"pt"`` and ``"tf"`` are short for them.""",
    "conditions": """
        They are then matched with the labels of the others, and nothing is taken to be in the
        same order.""",
    "device": """
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...; ``"auto"`` takes the GPU where there is one.""",
    "fold_of_conditions": """
        Its folds are folds of *conditions*, and only pairs within the held-out conditions are
        predicted. An int is a shuffled :class:`~sklearn.model_selection.KFold`; None is five
        folds, or fewer where a fold would have less than four conditions. A splitter must need
        no y.""",
    "linear_algebra_device": """
        ``"cpu"`` computes with numpy; any other is a device of torch, such as ``"cuda"``.""",
    "preprocess": """
        ``"default"`` is the preprocessing of the network's published weights, also when the
        weights are random; for one's own network ImageNet's (resize 256, centre crop 224, mean
        and standard deviation). A dict changes ``resize``, ``crop``, ``interpolation``, ``mean``
        or ``std`` from ImageNet's; a callable takes a PIL image in RGB and returns a float tensor
        (3, height, width). None takes X as it is: floats (n, 3, height, width).""",
    "sidak": """
        Adjust the p-value for having chosen the best of several levels, after Šidák. None tests
        the best as if it were the only one, as the paper does: of five brain areas that predict
        nothing, the best is then significant for 12% of units at the level .05.""",
    "weights": """
        ``"default"`` is the best published weights; else a published version by its name, a local
        file (state dict, safetensors, or Keras's formats; `skdnn.models.WeightsFile` for one whose
        names are not the network's), ``"URL#sha256=HASH"``, or None for random ones (the
        framework's own initialisation under `random_state`). Published weights are downloaded
        once, into the folder of the environment variable ``SKDNN_WEIGHTS`` or
        ``~/.cache/skdnn/weights``; without a network, put the file there that the error names.""",
}


def filled(thing: Documented) -> Documented:
    """Put the shared texts into the docstring of a class or function.

    Raises
    ------
    KeyError
        Of a name that has no text.
    """
    if thing.__doc__:  # python -OO keeps none
        thing.__doc__ = _MARK.sub(_with_text, inspect.cleandoc(thing.__doc__))
    return thing


def _with_text(found: re.Match[str]) -> str:
    """The line with its text, in lines of the usual width."""
    whole = f"{found['first']}{' '.join(TEXTS[found['name']].split())}"
    indent = found["indent"]
    lines = textwrap.wrap(
        whole, _WIDTH - 8, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False,
        break_long_words=False,
    )  # fmt: skip
    return "\n".join(lines)
