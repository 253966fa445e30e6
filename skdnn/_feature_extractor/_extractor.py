"""DNNFeatureExtractor: activations of a deep network as features of images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skdnn._conditions import as_conditions
from skdnn._docs import filled
from skdnn._extraction import (
    TASK_PARAMETERS,
    ExtractionTask,
    choose_layers,
    extract,
    fill_store,
    network_of,
    store_of,
    task_of,
)
from skdnn._feature_extractor._describe_and_estimate import describe, estimate, layer_table
from skdnn._images import ImageInputs, batches_of
from skdnn._labels import check_labels, row_labels
from skdnn._layers import POOLINGS
from skdnn._sklearn import StrOptions, fit_context, wants_dataframe
from skdnn._store import ActivationStore, StoredFeatures


@filled
class DNNFeatureExtractor(TransformerMixin, BaseEstimator):
    """Turn images into the activations of one layer of a deep network, or of several.

    Parameters
    ----------
    model : str, torch.nn.Module, keras.Model or skdnn.models.Model, default="alexnet"
        A name (see :func:`~skdnn.list_models`) or one's own network. %(model)s
    layer : str or list of str, default="penultimate"
        A module's path as :func:`~skdnn.list_layers` gives it; ``"penultimate"`` (what a
        classifier reads: the input of the head, or what a network without one returns) or
        ``"output"``; a glob such as ``"features.*"``; or a list, whose features stand side by
        side. Of a module that is called several times the last call counts, and ``"name@1"``
        asks for the second; of a tuple or dict the first tensor counts, and ``"name[1]"`` or
        ``"name[key]"`` asks for another.
    backend : {"auto", "torch", "tensorflow"}, default="auto"
        Where a name is looked for. %(backend)s
    device : str, default="auto"
        Where the network runs. %(device)s
    weights : "default", str, path, WeightsFile or None, default="default"
        Published weights, a file, an address, or None for random ones. %(weights)s
    preprocess : "default", dict, callable or None, default="default"
        How images are prepared; None takes X as it is, floats (n, 3, height, width).
        %(preprocess)s
    pooling : {"flatten", "mean", "max", "cls", "cls+mean"}, default="flatten"
        What becomes of space or tokens. ``"flatten"`` keeps every unit, in the order in which
        the network lays them out; ``"mean"`` and ``"max"`` leave one value per channel (class
        tokens are left out); ``"cls"`` takes the class token of a vision transformer.
    batch_size : int, default=32
        Images that go through the network together, at most. %(batch_size)s
    precision : {"float32", "bfloat16", "float16"}, default="float32"
        Arithmetic of the network. Features are float32 in any case.
    cache : str, path-like, ActivationStore or None, default=None
        A folder that keeps activations, so that no image goes through the network twice; see
        :class:`~skdnn.ActivationStore`. None keeps nothing between calls.
    prefetch : str, list of str or None, default=None
        Layers to keep as well whenever images go through the network, e.g. those of a search to
        come. Needs `cache`.
    n_jobs : int, default=None
        Processes that share the images; None is this process. %(n_jobs)s
    random_state : int, RandomState or None, default=0
        Seed of random weights. With an int they are the same at every fit.
    verbose : int, default=0
        1 shows a progress bar.
    aggregate : {"mean"} or None, default="mean"
        What an element of X that is a list of images, or a folder of images, becomes: one row,
        the mean of its images' features. With None such elements are an error.
    compile : bool, default=False
        Whether ``torch.compile`` translates the network first. That takes from ten seconds to
        minutes, needs a C++ compiler, and pays for many images only. Values differ from the
        uncompiled ones by rounding.
    version : str, default=None
        With a `cache`, stands for code that cannot be fingerprinted. %(version)s

    Attributes
    ----------
    layers_ : list of str
        The layers, globs resolved.
    feature_shapes_ : dict of str to tuple of int
        Shape of one image's features in each layer, after pooling.
    model_name_ : str
        The network.
    weights_ : str
        Its weights.

    See Also
    --------
    list_models : Names of networks.
    list_layers : Layers of a network.
    RDM : Turn features into a representational dissimilarity matrix.

    Notes
    -----
    Row i of the result belongs to image i, whatever the batch size, number of jobs, order or
    repeats; the last short batch is filled up, so that an image's features do not depend on its
    companions. The forward pass stops after the deepest layer asked for. The network is in eval
    mode without gradients, and a user's own is left as it was found.

    Where `y` has an index of strings, `fit` refuses labels that do not name the images: by their
    paths or the ends of them, file names or stems.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn import DNNFeatureExtractor
    >>> images = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3), dtype=np.uint8)
    >>> extractor = DNNFeatureExtractor("alexnet", layer="features.3", weights=None)
    >>> extractor.fit_transform(images).shape
    (2, 139968)
    >>> extractor.set_params(pooling="mean").fit_transform(images).shape
    (2, 192)
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 (scikit-learn's convention)
        **TASK_PARAMETERS,
        "layer": [str, list, tuple, np.ndarray],
        "pooling": [StrOptions(set(POOLINGS))],
        "prefetch": [str, list, tuple, np.ndarray, None],
        "aggregate": [StrOptions({"mean"}), None],
        "compile": ["boolean"],
    }

    def __init__(
        self,
        model: Any = "alexnet",
        layer: Any = "penultimate",
        backend: str = "auto",
        device: str = "auto",
        *,
        weights: Any = "default",
        preprocess: Any = "default",
        pooling: str = "flatten",
        batch_size: int = 32,
        precision: str = "float32",
        cache: Any = None,
        prefetch: Any = None,
        n_jobs: int | None = None,
        random_state: Any = 0,
        verbose: int = 0,
        aggregate: str | None = "mean",
        compile: bool = False,
        version: str | None = None,
    ) -> None:
        self.model = model
        self.layer = layer
        self.backend = backend
        self.device = device
        self.weights = weights
        self.preprocess = preprocess
        self.pooling = pooling
        self.batch_size = batch_size
        self.precision = precision
        self.cache = cache
        self.prefetch = prefetch
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self.aggregate = aggregate
        self.compile = compile
        self.version = version

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> DNNFeatureExtractor:
        """Find the network and its layers, and check all that can be checked beforehand.

        No image goes through the network; it is not even built where the cache holds all that
        `transform` will need of these images.

        Parameters
        ----------
        X : sequence of n_images
            Paths (``str`` or ``Path``), PIL images, or uint8 arrays (height, width, 3); folders
            or lists of images where several make up one row; a dataset of h5py of type uint8 and
            shape (n_images, height, width, 3), or what
            :func:`~skdnn.datasets.load_hdf5_images` gives, which are read image by image.
        y : array-like of n_images rows, default=None
            Only its row labels are looked at: where they are strings, they must name the images.

        Returns
        -------
        self : DNNFeatureExtractor
            The estimator itself.

        Raises
        ------
        TypeError
            If `model`, `layer` or `X` is of a wrong type.
        ValueError
            For an unknown model, layer (with the nearest names), weights or device, a pooling
            that makes no sense for the layer, weights that do not fit, or labels of `y` that
            don't match the images.
        OSError
            If published weights can't be downloaded.
        """
        conditions = as_conditions(X, self.aggregate)
        check_labels(row_labels(y), conditions.known_names)
        task = self._new_task(conditions.inputs)
        if not task.is_stored(conditions.inputs):
            if task.store is not None:
                task.store.depot.prepare_writing()
            task.network.open()  # errors of weights and device, now
        self._network, self._layers, self._all_layers = task.network, task.layers, task.all_layers
        self.layers_ = list(task.layers.shapes)
        self.feature_shapes_ = task.layers.shapes
        self.model_name_ = task.network.spec.name
        self.weights_ = task.network.spec.weights
        return self

    def transform(self, X: Any) -> np.ndarray | pd.DataFrame:
        """Extract the features of images.

        Parameters
        ----------
        X : sequence of n_images
            As for `fit`.

        Returns
        -------
        features : ndarray of float32, shape (n_images, n_features)
            Rows in the order of `X`; layers side by side in the order of ``layers_``. With
            ``set_output(transform="pandas")`` a DataFrame whose index names the images.

        Raises
        ------
        ValueError
            If files are missing, empty, cut off or no images: all of them are named before the
            first forward pass. Those that only decoding finds are named together at the end.
        """
        check_is_fitted(self)
        conditions = as_conditions(X, self.aggregate)
        features = np.empty((len(conditions), self._layers.total_units), dtype=np.float32)
        extract(self._fitted_task(), conditions, self._layers.columns(features))
        if wants_dataframe(self):
            return pd.DataFrame(
                features, index=pd.Index(conditions.names), columns=self.get_feature_names_out()
            )
        return features

    def extract(
        self, X: Any, layers: Any = None, *, flatten: bool = False
    ) -> dict[str, np.ndarray]:
        """Extract several layers in one pass, each in its own shape.

        Can be called without `fit`.

        Parameters
        ----------
        X : sequence of n_images, or iterable of such
            As for `fit`; or what gives batches of images one after the other, such as a loader
            of torch, of whose pairs the first part is taken.
        layers : str or list of str, default=None
            As the parameter ``layer``; None is that parameter.
        flatten : bool, default=False
            Whether to give every layer as (n_images, n_features).

        Returns
        -------
        activations : dict of str to ndarray of float32, shape (n_images, ...)
            In the network's own shape with ``pooling="flatten"``, else pooled. A vision
            transformer's tokens, for instance, are (n_images, n_tokens, n_units).

        Raises
        ------
        ValueError
            As `fit` and `transform`.

        Examples
        --------
        >>> import numpy as np
        >>> from skdnn import DNNFeatureExtractor
        >>> images = np.zeros((2, 50, 50, 3), dtype=np.uint8)
        >>> found = DNNFeatureExtractor("alexnet", weights=None).extract(
        ...     images, ["features.0", "classifier.6"])
        >>> {layer: array.shape for layer, array in found.items()}
        {'features.0': (2, 64, 55, 55), 'classifier.6': (2, 1000)}
        """
        self._validate_params()
        batches = batches_of(X)
        if batches is not None:
            parts = [self.extract(batch, layers, flatten=flatten) for batch in batches]
            if not parts:
                raise ValueError("X is empty: it gave no batch.")
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        conditions = as_conditions(X, self.aggregate)
        task = self._new_task(conditions.inputs, layers)
        found = task.layers.empty(len(conditions))
        extract(task, conditions, found)
        if flatten:
            return {name: array.reshape(len(array), -1) for name, array in found.items()}
        return found

    def precompute(
        self, X: Any, layers: Any = None, *, verbose: int | None = None
    ) -> ActivationStore:
        """Fill the cache: one pass for all layers, nothing big returned.

        Can be called without `fit`, stopped at any time (also with Ctrl-C) and called again: it
        goes on where it stopped.

        Parameters
        ----------
        X : sequence of n_images
            As for `fit`.
        layers : str or list of str, default=None
            As the parameter ``layer``; None is that parameter, and ``prefetch``.
        verbose : int, default=None
            1 says beforehand what it will take in time and space and shows a progress bar, 0 is
            silent; None is 1.

        Returns
        -------
        store : ActivationStore
            The cache.

        Raises
        ------
        ValueError
            If there is no cache, and as `fit` and `transform`.
        OSError
            If the disk cannot hold it.

        Examples
        --------
        >>> import numpy as np, tempfile
        >>> from skdnn import DNNFeatureExtractor
        >>> images = np.random.default_rng(0).integers(0, 256, (3, 50, 50, 3), dtype=np.uint8)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     extractor = DNNFeatureExtractor("alexnet", weights=None, cache=folder)
        ...     store = extractor.precompute(images, ["features.3", "features.6"], verbose=0)
        ...     store.stats["images_forwarded"], list(store.contents()["layer"])
        (3, ['features.3', 'features.6'])
        """
        self._validate_params()
        inputs = as_conditions(X, self.aggregate).inputs
        task = self._new_task(inputs, layers)
        store = task.store
        if store is None:
            raise ValueError(
                "cache=None: precompute() needs a folder to fill. Give the extractor "
                "cache='a/folder'."
            )
        shown = 1 if verbose is None else verbose
        task = replace(task, layers=task.all_layers, verbose=shown)
        fill_store(task, inputs, tell=bool(shown))
        return store

    def stored(self, X: Any) -> StoredFeatures:
        """Give the features of images as an array that stays on disk.

        For data larger than memory: rows, blocks of rows or columns of what `transform` would
        give are read when they are asked for.

        Parameters
        ----------
        X : sequence of n_images
            As for `fit`, one image per row.

        Returns
        -------
        features : StoredFeatures of shape (n_images, n_features)
            Has ``shape``, ``dtype``, slices of rows and of columns, and ``iter_blocks``.

        Raises
        ------
        ValueError
            If there is no cache, or an element of X stands for several images.
        """
        check_is_fitted(self)
        conditions = as_conditions(X, self.aggregate)
        task = self._fitted_task()
        if task.store is None:
            raise ValueError("cache=None: stored() needs the features on disk; give a folder.")
        if conditions.ends is not None:
            raise ValueError("X has elements that stand for several images: stored() needs one.")
        digests, layers = fill_store(task, conditions.inputs), task.layers
        n_units = [layers.n_units(name) for name in layers.shapes]
        return StoredFeatures([task.rows(name) for name in layers.shapes], n_units, digests)

    # Plain functions of an extractor, which send no image through the network for its features.
    layer_table = layer_table
    describe = describe
    estimate = estimate

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the features: by the layer and the unit's place in it.

        Parameters
        ----------
        input_features : None
            Ignored: images have no features yet.

        Returns
        -------
        names : ndarray of object, shape (n_features,)
            E.g. ``"features.3_0"``.
        """
        check_is_fitted(self)
        n_units = self._layers.n_units
        names = [f"{name}_{unit}" for name in self.layers_ for unit in range(n_units(name))]
        return np.asarray(names, dtype=object)

    def _new_task(
        self, inputs: ImageInputs, layers: Any = None, *, only_look: bool = False
    ) -> ExtractionTask:
        """What the parameters stand for: network, store and layers; a look makes no store."""
        network, store = network_of(self), store_of(self)
        there = store is not None and store.root.exists()
        known = network.all_layers(inputs, store if there or not only_look else None)
        wanted = self.layer if layers is None else layers
        chosen = choose_layers(wanted, known, self.pooling, network.spec)
        if self.prefetch is None:
            return task_of(self, network, store, chosen)
        if store is None:
            raise ValueError(
                f"prefetch={self.prefetch!r} needs a cache to keep these layers in: give "
                "cache='a/folder', or prefetch=None."
            )
        more = choose_layers(self.prefetch, known, self.pooling, network.spec)
        return task_of(self, network, store, chosen, chosen.joined(more))

    def _fitted_task(self) -> ExtractionTask:
        network, store = self._network.again(), store_of(self)
        return task_of(self, network, store, self._layers, self._all_layers)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags
