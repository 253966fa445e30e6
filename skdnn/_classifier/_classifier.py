"""DNNClassifier: what a network says an image shows, by name."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from skdnn._classifier._classes_and_outputs import (
    LOGITS,
    PROBABILITIES,
    KnownClasses,
    check_finite,
    check_k,
    check_kind,
    check_rows,
    count_outputs,
    kind_of,
    means,
)
from skdnn._conditions import Conditions, as_conditions
from skdnn._docs import filled
from skdnn._extraction import (
    TASK_PARAMETERS,
    choose_layers,
    extract,
    network_of,
    store_of,
    task_of,
)
from skdnn._layers import OUTPUT
from skdnn._sklearn import StrOptions, fit_context
from skdnn.models._class_names import final_activation, find_classes, own_classes


@filled
class DNNClassifier(ClassifierMixin, BaseEstimator):
    r"""Name what images show: the classes that a network was trained to tell apart.

    Nothing is learnt: `fit` finds the network and the names of its classes. The probabilities
    of an image are

    .. math:: p_i = \exp(z_i) / \sum_j \exp(z_j)

    of the values :math:`z` that the network ends in, or these values themselves where it ends
    in a softmax already, as Keras's do.

    Parameters
    ----------
    model : str, torch.nn.Module, keras.Model or skdnn.models.Model, default="alexnet"
        A name (see :func:`~skdnn.list_models`) or one's own network. %(model)s
    backend : {"auto", "torch", "tensorflow"}, default="auto"
        Where a name is looked for. %(backend)s
    device : str, default="auto"
        Where the network runs. %(device)s
    weights : "default", str, path or None, default="default"
        Published weights, a file, an address, or None for random ones. %(weights)s
    preprocess : "default", dict or callable, default="default"
        How images are prepared. %(preprocess)s
    classes : list of str, "imagenet" or None, default=None
        Names of the network's outputs, in its order. None takes those of the weights' metadata,
        and ``"class 0"``, ``"class 1"``, ... where there are none; ``"imagenet"`` is for one's
        own networks that were trained on ImageNet's 1,000 classes.
    output : {"auto", "logits", "probabilities"}, default="auto"
        What the network ends in. ``"auto"`` finds out whether its last layer is a softmax.
    batch_size : int, default=32
        Images that go through the network together, at most. %(batch_size)s
    precision : {"float32", "bfloat16", "float16"}, default="float32"
        Arithmetic of the network.
    cache : str, path-like, ActivationStore or None, default=None
        A folder that keeps the network's outputs. They are those of the extractor's layer
        ``"output"``: what one has stored the other need not compute.
    n_jobs : int, default=None
        Processes that share the images; None is this process. %(n_jobs)s
    random_state : int, RandomState or None, default=0
        Seed of random weights.
    verbose : int, default=0
        1 shows a progress bar.
    version : str, default=None
        With a `cache`, stands for code that cannot be fingerprinted. %(version)s

    Attributes
    ----------
    classes_ : ndarray of str, shape (n_classes,)
        Names in the order of the network's outputs, not of the alphabet. Names may repeat: for
        timm and Keras both the bird 134 and the machine 517 are a ``"crane"``. Index and synset
        tell them apart.
    synsets_ : ndarray of str, shape (n_classes,), or None
        WordNet identifiers such as ``"n01440764"``, where they are known.
    classes_note_ : str
        Where the names come from, and what is to be known of them, e.g. that weights are random.
    output_ : str
        ``"logits"`` or ``"probabilities"``: what the network ends in.
    model_name_ : str
        The network.
    weights_ : str
        Its weights.

    See Also
    --------
    DNNFeatureExtractor : Activations of any layer.

    Notes
    -----
    Names of torchvision's networks are the categories of the weights' metadata; of Keras's,
    those of ``decode_predictions`` where its file ``imagenet_class_index.json`` lies in the
    folder of weights or in Keras's own, else torchvision's; of timm's, those of timm's
    ``ImageNetInfo``. All share one order of ImageNet's classes. Their synsets are timm's or
    of Keras's file; without both they are unknown.

    An element of X that is a list of images, or a folder, is one row: the mean of its images'
    probabilities.

    scikit-learn's stratified folds need several images of each class; with fewer, give
    ``cross_val_score`` a ``KFold``. As nothing is learnt, all folds together say no more than
    `score`.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn import DNNClassifier
    >>> images = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3), dtype=np.uint8)
    >>> classifier = DNNClassifier("squeezenet1_1", weights=None).fit()
    >>> classifier.predict_proba(images).shape
    (2, 1000)
    >>> [str(name) for name in classifier.classes_[[0, 1, 999]]]
    ['tench', 'goldfish', 'toilet tissue']
    >>> classifier.classes_note_
    "Random weights: the names are those of torchvision's IMAGENET1K_V1."
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 (scikit-learn's convention)
        **TASK_PARAMETERS,
        "classes": ["array-like", str, None],
        "output": [StrOptions({"auto", LOGITS, PROBABILITIES})],
    }

    def __init__(
        self,
        model: Any = "alexnet",
        *,
        backend: str = "auto",
        device: str = "auto",
        weights: Any = "default",
        preprocess: Any = "default",
        classes: Any = None,
        output: str = "auto",
        batch_size: int = 32,
        precision: str = "float32",
        cache: Any = None,
        n_jobs: int | None = None,
        random_state: Any = 0,
        verbose: int = 0,
        version: str | None = None,
    ) -> None:
        self.model = model
        self.backend = backend
        self.device = device
        self.weights = weights
        self.preprocess = preprocess
        self.classes = classes
        self.output = output
        self.batch_size = batch_size
        self.precision = precision
        self.cache = cache
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self.version = version

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any = None, y: Any = None) -> DNNClassifier:
        """Find the network and the names of its classes; nothing is learnt.

        Parameters
        ----------
        X : sequence of n_images, default=None
            As for :meth:`DNNFeatureExtractor.fit <skdnn.DNNFeatureExtractor.fit>`; only checked.
        y : array-like of n_images, default=None
            As for `score`; only checked.

        Returns
        -------
        self : DNNClassifier
            The estimator itself.

        Raises
        ------
        TypeError
            If `model`, `classes`, `X` or `y` is of a wrong type.
        ValueError
            For an unknown model, weights or device; a network with several outputs or without
            classes; more or fewer names than outputs; classes in `y` that the network has not,
            or labels of its rows that don't match the images.
        OSError
            If published weights can't be downloaded.
        """
        conditions = None if X is None else as_conditions(X)
        inputs = None if conditions is None else conditions.inputs
        network, store = network_of(self), store_of(self)
        spec, layers = network.spec, network.all_layers(inputs, store)
        chosen = choose_layers(OUTPUT, layers, "flatten", spec)
        n_outputs = count_outputs(chosen, spec.name)
        ends_in = self.output
        if ends_in == "auto":
            ends_in = kind_of(final_activation(spec, layers), spec.name)
        if self.classes is None:
            found = find_classes(spec, n_outputs)
        else:
            found = own_classes(self.classes, n_outputs, spec.name)
        names, synsets = np.asarray(found.names), found.synsets
        known = KnownClasses(names, None if synsets is None else np.asarray(synsets))
        if y is not None:
            check_rows(y, conditions)
            known.check(y)
        if inputs is not None and not task_of(self, network, store, chosen).is_stored(inputs):
            network.open()  # errors of weights and device, now
        self._network, self._layers = network, chosen
        self.classes_, self.synsets_ = known.names, known.synsets
        self.classes_note_ = found.note
        self.output_ = ends_in
        self.model_name_ = spec.name
        self.weights_ = spec.weights
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Give the probability of each class.

        Parameters
        ----------
        X : sequence of n_images
            Paths, PIL images or uint8 arrays, as for :class:`~skdnn.DNNFeatureExtractor`.

        Returns
        -------
        probabilities : ndarray of float64, shape (n_images, n_classes)
            Rows in the order of `X`, columns in that of ``classes_``. Rows sum to 1.

        Raises
        ------
        ValueError
            If images can't be read; if the network's values are not finite, or not what
            ``output`` says they are.
        """
        conditions = self._conditions(X)
        values = self._outputs(conditions)
        if self.output_ == LOGITS:
            return means(softmax(values, axis=1), conditions)
        return means(values / values.sum(axis=1, keepdims=True), conditions)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Give the logarithm of the probability of each class.

        Parameters
        ----------
        X : sequence of n_images
            As for `predict_proba`.

        Returns
        -------
        log_probabilities : ndarray of float64, shape (n_images, n_classes)
            From logits without a detour over probabilities, so that small ones are exact too.
        """
        conditions = self._conditions(X)
        if self.output_ == LOGITS and conditions.ends is None:
            return np.asarray(log_softmax(self._outputs(conditions), axis=1))
        with np.errstate(divide="ignore"):  # what the network calls impossible is -inf
            return np.log(self.predict_proba(X))

    def decision_function(self, X: Any) -> np.ndarray:
        """Give the logits: the network's values before the softmax.

        Parameters
        ----------
        X : sequence of n_images
            As for `predict_proba`.

        Returns
        -------
        logits : ndarray of float64, shape (n_images, n_classes)
            Of a network that ends in a softmax, and of rows that stand for several images, the
            logarithms of the probabilities: logits up to a constant for each row.
        """
        conditions = self._conditions(X)
        if self.output_ == LOGITS and conditions.ends is None:
            return self._outputs(conditions)
        return self.predict_log_proba(X)

    def predict(self, X: Any) -> np.ndarray:
        """Give the name of the most probable class.

        Parameters
        ----------
        X : sequence of n_images
            As for `predict_proba`.

        Returns
        -------
        names : ndarray of str, shape (n_images,)
            Of equally probable classes the first.
        """
        check_is_fitted(self)
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def top_k(self, X: Any, k: int = 5, *, as_json: bool = False) -> pd.DataFrame | str:
        """List the most probable classes of each image.

        Parameters
        ----------
        X : sequence of n_images
            As for `predict_proba`.
        k : int, default=5
            How many.
        as_json : bool, default=False
            Whether to give the rows of the table as a JSON text.

        Returns
        -------
        table : DataFrame of n_images * k rows, or str
            Columns ``image``, ``rank`` (from 1), ``class``, ``index`` (of the network's output),
            ``synset`` (missing where unknown) and ``probability``. Of equally probable classes
            the one with the smaller index comes first.

        Raises
        ------
        ValueError
            If there are fewer than `k` classes, and as `predict_proba`.

        Examples
        --------
        >>> import numpy as np
        >>> from skdnn import DNNClassifier
        >>> from skdnn.models import Model
        >>> from torch import nn
        >>> net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> shades = DNNClassifier(Model(net, {"mean": [0, 0, 0], "std": [1, 1, 1]}),
        ...                        classes=["red", "green", "blue"]).fit()
        >>> image = np.full((1, 300, 300, 3), (255, 0, 102), dtype=np.uint8)
        >>> shades.top_k(image, k=2).drop(columns="synset").round(3)
          image  rank class  index  probability
        0  X[0]     1   red      0        0.522
        1  X[0]     2  blue      2        0.286
        """
        check_is_fitted(self)
        check_k(k, len(self.classes_))
        names = self._conditions(X).names
        probabilities = self.predict_proba(X)
        first = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
        index, synsets = first.ravel(), self.synsets_
        table: dict[str, list[Any]] = {
            "image": [name for name in names for _ in range(k)],
            "rank": list(range(1, k + 1)) * len(names),
            "class": self.classes_[index].tolist(),
            "index": index.tolist(),
            "synset": [None] * index.size if synsets is None else synsets[index].tolist(),
            "probability": np.take_along_axis(probabilities, first, axis=1).ravel().tolist(),
        }
        if not as_json:
            return pd.DataFrame(table)
        rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
        return json.dumps(rows, ensure_ascii=False)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Give the share of images whose most probable class is the right one.

        Parameters
        ----------
        X : sequence of n_images
            As for `predict_proba`.
        y : array-like of n_images
            The right classes: names, synsets, or whole numbers, which are indices of outputs.
            By a name that several classes share any of them is right.
        sample_weight : array-like of n_images, default=None
            How much each image counts.

        Returns
        -------
        accuracy : float
            Between 0 and 1.

        Raises
        ------
        TypeError, ValueError
            If `y` is nothing of the kind, or labels of its rows don't match the images.
        """
        conditions = self._conditions(X)
        check_rows(y, conditions)
        known = KnownClasses(self.classes_, self.synsets_)
        known.check(y)
        right = known.is_right(y, self.predict_proba(X).argmax(axis=1))
        return float(np.average(right, weights=sample_weight))

    def _conditions(self, X: Any) -> Conditions:
        check_is_fitted(self)
        return as_conditions(X)

    def _outputs(self, conditions: Conditions) -> np.ndarray:
        """The network's values for each image, several of which may make up a row."""
        inputs, store = conditions.inputs, store_of(self)
        found = self._layers.empty(len(inputs))
        each = Conditions(inputs, inputs.names, inputs.has_name)
        extract(task_of(self, self._network.again(), store, self._layers), each, found)
        values = np.asarray(found[OUTPUT], dtype=np.float64)
        check_finite(values, inputs, self.model_name_)
        is_rough = self.precision != "float32" or (store is not None and store.dtype != "float32")
        check_kind(values, self.output_, self.output, is_rough, self.model_name_)
        return values

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.target_tags.required = False
        return tags
