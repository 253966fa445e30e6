"""CLIPTextEncoder: words and sentences in the space that they share with images."""

from __future__ import annotations

from collections import OrderedDict
from numbers import Integral
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skdnn._backends import kept
from skdnn._docs import filled
from skdnn._optional import import_optional
from skdnn._sklearn import Interval, fit_context, wants_dataframe
from skdnn.models._open_clip import Clip, find_clip, open_tokenizer
from skdnn.models._registry import fixed_seed

_KEEP = 2  # a trained network and its untrained twin
_towers: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
_lock = Lock()


@filled
class CLIPTextEncoder(TransformerMixin, BaseEstimator):
    """Turn texts into the features that a CLIP network gives them.

    They lie in one space with the image features of the same network, which
    ``DNNFeatureExtractor(model, layer="visual")`` gives: a picture and its caption point in
    like directions.

    Parameters
    ----------
    model : str, default="clip-ViT"
        ``"clip-ViT"`` (ViT-B/32), ``"clip-RN"`` (ResNet-50) or ``"open_clip/NAME"``.
    weights : "default", str, path or None, default="default"
        Published weights by their tag (see ``open_clip.list_pretrained()``), a file, or None
        for random ones. ``"default"`` is OpenAI's where they exist, as for both short names.
    batch_size : int, default=64
        Texts that go through the network together.
    device : str, default="auto"
        Where the network runs. %(device)s
    normalize : bool, default=False
        Whether features are divided by their length, so that products of them are cosines.
        Image features come as the network gives them, too.
    truncate : bool, default=False
        Whether texts longer than the network's window (77 tokens, of which two are its own, for
        most networks) are cut. By default they are an error.
    random_state : int, RandomState or None, default=0
        Seed of random weights; give the extractor of images the same.

    Attributes
    ----------
    model_name_ : str
        The network.
    weights_ : str
        Its weights.
    context_length_ : int
        The network's window in tokens.

    See Also
    --------
    DNNFeatureExtractor : Features of images.
    RDM : Turn features into a representational dissimilarity matrix.

    Notes
    -----
    Row i of the result belongs to text i. Equal texts go through the network once. The network
    is left out of pickles and loaded anew.

    Examples
    --------
    >>> from skdnn import CLIPTextEncoder
    >>> encoder = CLIPTextEncoder("open_clip/ViT-S-32-alt", weights=None)
    >>> encoder.fit_transform(["a photo of a dog", "a dog", "a house"]).shape
    (3, 256)
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 (scikit-learn's convention)
        "model": [str],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "normalize": ["boolean"],
        "truncate": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        model: str = "clip-ViT",
        weights: Any = "default",
        *,
        batch_size: int = 64,
        device: str = "auto",
        normalize: bool = False,
        truncate: bool = False,
        random_state: Any = 0,
    ) -> None:
        self.model = model
        self.weights = weights
        self.batch_size = batch_size
        self.device = device
        self.normalize = normalize
        self.truncate = truncate
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> CLIPTextEncoder:
        """Load the network and check the texts.

        Parameters
        ----------
        X : sequence of n_texts str
            A list, array, Series or DataFrame of one column.
        y : None
            Ignored.

        Returns
        -------
        self : CLIPTextEncoder
            The estimator itself.

        Raises
        ------
        ImportError
            If open_clip is not installed.
        TypeError
            If `X` holds anything but text.
        ValueError
            For an unknown model, weights or device, or a text that is too long.
        OSError
            If published weights can't be downloaded.
        """
        texts = _as_texts(X)
        seed = fixed_seed(self.random_state)
        clip = find_clip(self.model, self.weights, seed)
        tokenizer = open_tokenizer(clip.architecture)
        _tokens(tokenizer, texts, self.truncate)
        _text_tower(clip, self.device)  # errors of weights and device, now
        self._seed = seed
        self._n_features_out = clip.n_features
        self.model_name_ = clip.name
        self.weights_ = clip.weights.described
        self.context_length_ = int(tokenizer.context_length)
        return self

    def transform(self, X: Any) -> np.ndarray | pd.DataFrame:
        """Give the features of texts.

        Parameters
        ----------
        X : sequence of n_texts str
            As for `fit`.

        Returns
        -------
        features : ndarray of float32, shape (n_texts, n_features)
            With ``set_output(transform="pandas")`` a DataFrame whose index holds the texts, or
            is that of `X` where it has one.

        Raises
        ------
        TypeError
            If `X` holds anything but text.
        ValueError
            If a text is too long.
        """
        check_is_fitted(self)
        texts = _as_texts(X)
        clip = find_clip(self.model, self.weights, self._seed)
        different = list(dict.fromkeys(texts))
        place = {text: row for row, text in enumerate(different)}
        tokens = _tokens(open_tokenizer(clip.architecture), different, self.truncate)
        tower, device = _text_tower(clip, self.device)
        found = _encode(tower, device, tokens, self.batch_size, self._n_features_out)
        if self.normalize:
            found /= np.linalg.norm(found, axis=1, keepdims=True)
        features = found[[place[text] for text in texts]]
        if wants_dataframe(self):
            index = X.index if isinstance(X, pd.Series | pd.DataFrame) else pd.Index(texts)
            return pd.DataFrame(features, index=index, columns=self.get_feature_names_out())
        return features

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the features: by the network and the unit's place.

        Parameters
        ----------
        input_features : None
            Ignored: texts have no features yet.

        Returns
        -------
        names : ndarray of object, shape (n_features,)
            E.g. ``"text_0"``.
        """
        check_is_fitted(self)
        names = [f"text_{unit}" for unit in range(self._n_features_out)]
        return np.asarray(names, dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _as_texts(X: Any) -> list[str]:
    if isinstance(X, str | bytes):
        raise TypeError(f"X must be a list of texts, got a single one: {X!r}. Use [{X!r}].")
    if isinstance(X, pd.DataFrame):
        if X.shape[1] != 1:
            raise ValueError(f"X must have one column of texts, got {X.shape[1]}.")
        X = X.iloc[:, 0]
    elif isinstance(X, np.ndarray) and X.ndim != 1:
        if X.ndim != 2 or X.shape[1] != 1:
            raise ValueError(f"X must have one text per row, got an array of shape {X.shape}.")
        X = X[:, 0]
    texts = list(X)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"X must hold texts (str), got {type(text).__name__} in row {row}.")
    return [str(text) for text in texts]  # numpy's own strings too


def _tokens(tokenizer: Any, texts: list[str], truncate: bool) -> Any:
    """Rows of token numbers, all of the network's length.

    One token more than the network takes shows which texts are too long: only these fill it.
    """
    import torch

    limit = int(tokenizer.context_length)
    if not texts:
        return torch.empty((0, limit), dtype=torch.long)
    if not truncate:
        padding = tokenizer([""], context_length=limit + 1)[0, -1]
        longer = tokenizer(texts, context_length=limit + 1)[:, -1] != padding
        if bool(longer.any()):
            row = int(longer.nonzero()[0, 0])
            raise ValueError(
                f"{int(longer.sum())} of {len(texts)} texts in X are longer than the network's "
                f"{limit} tokens, among them {texts[row]!r}. Shorten them, or use truncate=True "
                "to have them cut."
            )
    return tokenizer(texts, context_length=limit)


def _encode(tower: Any, device: Any, tokens: Any, batch_size: int, n_features: int) -> np.ndarray:
    import torch

    features = np.empty((len(tokens), n_features), dtype=np.float32)
    for start in range(0, len(tokens), batch_size):
        batch = tokens[start : start + batch_size].to(device)
        with torch.no_grad():
            encoded = tower.encode_text(batch, normalize=False)
        features[start : start + batch_size] = encoded.float().cpu().numpy()
    return features


def _text_tower(clip: Clip, device: str) -> tuple[Any, Any]:
    """The network on its device; loaded once per process."""
    import_optional("torch", "to run networks")
    from skdnn._backends._torch_engine import choose_device

    where = choose_device(device)
    key = (*clip.key, str(where))
    with _lock:
        return kept(_towers, key, lambda: clip.take("texts").to(where).eval(), _KEEP), where
