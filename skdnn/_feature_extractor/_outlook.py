"""What can be told of an extraction without making it."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import pandas as pd

from skdnn._conditions import as_conditions
from skdnn._extraction import (
    ExtractionEstimate,
    Plan,
    Source,
    estimate_work,
    layer_frame,
    layers_for,
    make_plan,
)
from skdnn._feature_extractor._setting import Setting
from skdnn._identity._provenance import provenance_of_features
from skdnn._methods import MethodsText
from skdnn._store import ActivationStore
from skdnn.models import Preprocessing


class Outlook(Setting):
    """Methods of an extractor that send no images through the network for their features."""

    layer: Any
    aggregate: str | None
    _fitted_source: Source
    _plan: Plan

    def layer_table(self) -> pd.DataFrame:
        """List the layers of this extractor's network, as :func:`~skdnn.list_layers`.

        Returns
        -------
        layers : DataFrame
            Columns ``layer``, ``type``, ``output_shape``, ``n_units``, ``n_params``,
            ``n_calls``, ``depth``, ``source``.
        """
        self._validate_params()
        return layer_frame(layers_for(self._source(), store=self._store()))

    def describe(self, X: Any = None, layers: Any = None) -> MethodsText:
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
        if layers is None and hasattr(self, "_plan"):
            return MethodsText(provenance_of_features(self._fitted_source, self._plan, conditions))
        seeded = isinstance(self.random_state, Integral)
        source = self._source(None if seeded else 0)
        inputs = None if conditions is None else conditions.inputs
        known = layers_for(source, inputs, self._store_that_exists())
        wanted = self.layer if layers is None else layers
        plan = make_plan(wanted, known, self.pooling, source.spec)
        sized = inputs is not None or _has_fixed_size(source)
        return MethodsText(
            provenance_of_features(source, plan, conditions, sized=sized, seeded=seeded)
        )

    def estimate(self, X: Any, layers: Any = None, *, measure: bool = True) -> ExtractionEstimate:
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
        wanted = self.layer if layers is None else layers
        source = self._source()
        known = layers_for(source, conditions.inputs, self._store_that_exists())
        work = self._work(source, *self._plans(source, wanted, known))
        return estimate_work(work, conditions, known, measure=measure)

    def _store_that_exists(self) -> ActivationStore | None:
        """A look into the future makes no folder."""
        store = self._store()
        return store if store is not None and store.root.exists() else None


def _has_fixed_size(source: Source) -> bool:
    preprocess = source.spec.preprocess
    return isinstance(preprocess, Preprocessing) and preprocess.input_size is not None
