"""What can be told of an extraction without making it: methods of DNNFeatureExtractor.

`self` is the extractor.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import pandas as pd

from skdnn._conditions import as_conditions
from skdnn._extraction import (
    ExtractionEstimate,
    choose_layers,
    estimate_task,
    input_size,
    layer_frame,
    network_of,
    store_of,
)
from skdnn._identity._provenance import provenance_of_features
from skdnn._methods import MethodsText


def layer_table(self: Any) -> pd.DataFrame:
    """List the layers of this extractor's network, as :func:`~skdnn.list_layers`.

    Returns
    -------
    layers : DataFrame
        Columns ``layer``, ``type``, ``output_shape``, ``n_units``, ``n_params``,
        ``n_calls``, ``depth``, ``source``.
    """
    self._validate_params()
    return layer_frame(network_of(self).all_layers(store=store_of(self)))


def describe(self: Any, X: Any = None, layers: Any = None) -> MethodsText:
    """Describe how the features are made, for a methods section.

    Can be called without `fit`. Nothing is downloaded, and no weights are loaded.

    Parameters
    ----------
    X : sequence of n_images, default=None
        The images, as for `fit`: their number and digest are told, too.
    layers : str or list of str, default=None
        As the parameter ``layer``, as for `extract`; None is the layers of the fitted
        extractor, or that parameter.

    Returns
    -------
    text : MethodsText
        ``str(text)`` is a paragraph and its references as BibTeX; ``text.facts`` are the facts
        behind it, to be saved with the features as their provenance.

    Raises
    ------
    ValueError
        For an unknown model, layer or weights, or images that cannot be read.

    Notes
    -----
    Of published weights the SHA-256 is told where the file is at hand, else the first digits
    where they are published. Of one's own network it is the SHA-256 of all parameters and
    buffers.

    The digest of the images is the SHA-256 of their SHA-256 digests (64 hexadecimal digits
    each), one behind the other in the order of `X`.

    Examples
    --------
    >>> from skdnn import DNNFeatureExtractor
    >>> text = DNNFeatureExtractor("alexnet", "features.10", weights=None).describe()
    >>> text.facts["layers"][0]["shape"], text.facts["seed"]
    ([256, 13, 13], 0)
    >>> text.citations[:2]
    ['krizhevsky2012alexnet', 'krizhevsky2014weird']
    """
    self._validate_params()
    conditions = None if X is None else as_conditions(X, self.aggregate)
    if layers is None and hasattr(self, "_layers"):
        return MethodsText(provenance_of_features(self._network, self._layers, conditions))
    seeded = isinstance(self.random_state, Integral)
    network, store = network_of(self, None if seeded else 0), store_of(self)
    there = store is not None and store.root.exists()
    inputs = None if conditions is None else conditions.inputs
    known = network.all_layers(inputs, store if there else None)
    wanted = self.layer if layers is None else layers
    chosen = choose_layers(wanted, known, self.pooling, network.spec)
    sized = inputs is not None or input_size(network.spec) is not None
    return MethodsText(
        provenance_of_features(network, chosen, conditions, sized=sized, seeded=seeded)
    )


def estimate(self: Any, X: Any, layers: Any = None, *, measure: bool = True) -> ExtractionEstimate:
    """Estimate what an extraction will take in time, memory and space on disk.

    Can be called without `fit`. No activation is written to the cache.

    Parameters
    ----------
    X : sequence of n_images
        As for `fit`.
    layers : str or list of str, default=None
        As the parameter ``layer``; None is that parameter.
    measure : bool, default=True
        Whether to send a batch through the network, for the time; its weights are downloaded
        where need be. Where all is stored there is nothing to measure, and no network is
        built.

    Returns
    -------
    estimate : ExtractionEstimate
        ``print(estimate)`` tells it in a few lines.

    Raises
    ------
    ValueError
        As `fit`; if files are missing, empty or no images.

    See Also
    --------
    precompute : Fills the cache, and says the same beforehand.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn import DNNFeatureExtractor
    >>> images = np.zeros((2, 50, 50, 3), dtype=np.uint8)
    >>> extractor = DNNFeatureExtractor("alexnet", weights=None)
    >>> extractor.estimate(images, measure=False).result_bytes
    32768
    """
    self._validate_params()
    conditions = as_conditions(X, self.aggregate)
    task = self._new_task(conditions.inputs, layers, only_look=True)
    return estimate_task(task, conditions, measure=measure)
