"""Layers that give what they are given: in a search each would be a copy of another."""

from __future__ import annotations

import re
from collections.abc import Sequence

from skdnn._feature_extractor import DNNFeatureExtractor

# Modules that in evaluation give what they are given, perhaps with zeros around it or in another
# shape.
_PASSED_ON = re.compile(
    r"Identity|\w*Dropout(\d[dD])?|DropPath|StochasticDepth|DropBlock2d|\w*Pad(ding)?\d[dD]|"
    r"\w*Flatten\w*|Unflatten|Permute|Reshape|InputLayer"
)


def passed_on_layers(extractor: DNNFeatureExtractor, layers: Sequence[str]) -> dict[str, str]:
    """Tell which layers change nothing of what they are given, but its shape.

    In a search each would be scored as a copy of the layer before it.

    Parameters
    ----------
    extractor : DNNFeatureExtractor
        The network.
    layers : sequence of str
        Names of layers.

    Returns
    -------
    types : dict of str to str
        By the name of such a layer its type, in the order of `layers`.

    Raises
    ------
    ValueError
        For an unknown layer.

    See Also
    --------
    list_layers : All layers of a network.
    make_search : A search over layers.

    Examples
    --------
    >>> from skdnn import DNNFeatureExtractor, passed_on_layers
    >>> extractor = DNNFeatureExtractor("alexnet", weights=None)
    >>> passed_on_layers(extractor, ["classifier.0", "classifier.1"])
    {'classifier.0': 'Dropout'}
    """
    facts = extractor.describe(layers=list(layers)).facts["layers"]
    types = {layer["name"]: str(layer.get("type", "")) for layer in facts}
    return {name: types[name] for name in layers if _PASSED_ON.fullmatch(types.get(name, ""))}
