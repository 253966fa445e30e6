"""Texts of parameters that many public functions have, written once.

In the source a docstring has the parameter's first sentence, for whoever reads it in an editor,
and behind it the name of a text, ``%(device)s``; :func:`filled` puts the text there when the
module is imported, so that ``help()`` and the site show it whole.
"""

from __future__ import annotations

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
    "batch_size": """
        On a CPU they are fewer where the network's activations are large. It does not change the
        result.""",
    "conditions": """
        They are then matched with the labels of the others, and nothing is taken to be in the
        same order.""",
    "device": """
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...; ``"auto"`` takes the GPU where there is one.""",
    "model": """
        Names of torchvision (``"resnet50"``), Keras (``"ResNet50"``), CORnet (``"cornet-s"``),
        CLIP (``"clip-ViT"``) and published checkpoints (``"simclr-rn50"``) stand alone;
        ``"timm/NAME"`` and ``"open_clip/NAME"`` have a prefix, and ``"keras/NAME"`` or
        ``"torchvision/NAME"`` may have one. A bare network is copied whenever scikit-learn clones
        the estimator; wrapped in :class:`skdnn.models.Model` it is not.""",
    "n_jobs": """
        On a single machine the network uses all cores as it is, so that more processes rarely
        help; under ``joblib.parallel_config("dask")`` they are those of a cluster, which need a
        `cache` on a file system that all of them see.""",
    "preprocess": """
        ``"default"`` is the preprocessing of the network's published weights, also when the
        weights are random; for one's own network ImageNet's (resize 256, centre crop 224, mean
        and standard deviation). A dict changes ``resize``, ``crop``, ``interpolation``, ``mean``
        or ``std`` from ImageNet's; a callable takes a PIL image in RGB and returns a float
        tensor (3, height, width).""",
    "version": """
        That is e.g. a lambda as `preprocess`: choose any name, and another one whenever that
        code changes.""",
    "weights": """
        ``"default"`` is the best published ones; others are given by name. A file is a state dict,
        safetensors, or in one of Keras's formats (`skdnn.models.WeightsFile` for one whose names
        are not the network's); an address is ``"URL#sha256=HASH"``. Random ones are the
        framework's own initialisation under `random_state`. Published weights are downloaded
        once, into the folder of the environment variable ``SKDNN_WEIGHTS`` or
        ``~/.cache/skdnn/weights``; without a network, put the file there that the error names.
        One's own network keeps its weights.""",
}


def filled(thing: Documented) -> Documented:
    """Put the shared texts into the docstring of a class or function.

    Raises
    ------
    KeyError
        Of a name that has no text.
    """
    if thing.__doc__:  # python -OO keeps none
        thing.__doc__ = _MARK.sub(_with_text, thing.__doc__)
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
