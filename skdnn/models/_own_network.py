"""One's own network, as a user gives it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from typing import Any

from skdnn._file_digests import digest_weights
from skdnn._identity._fingerprint import is_torch, network_identity
from skdnn.models._hugging_face_processors import own_processor
from skdnn.models._model_spec import Checkpoint, ModelSpec
from skdnn.models._preprocessing import Preprocessing, as_preprocessing, is_default


class Model:
    """One's own network, with its preprocessing and a name.

    Wrapping a network spares the copies that scikit-learn makes of every parameter: the clones
    of a cross-validation share the one network.

    Parameters
    ----------
    network : torch.nn.Module or keras.Model
        Called with a float batch, (n, 3, height, width) in torch, (n, height, width, 3) in Keras.
        It is left as it was found.
    preprocess : "default", dict or callable, default="default"
        ``"default"`` is ImageNet's: resize 256, centre crop 224, mean and standard deviation.
        A dict changes some of ``resize``, ``crop``, ``interpolation``, ``mean``, ``std``.
        A callable takes a PIL image in RGB and returns a float tensor of one image; a processor
        of Hugging Face is one. ``"default"`` of a network of Hugging Face is the processor that
        lies beside its weights, where there is one on this machine.
    name : str, default=None
        For tables and messages; None is the name of the network's class.
    forward : callable, default=None
        For a torch network that is not called with a batch of images alone:
        ``forward(network, batch)`` calls it. None is ``network(batch)``.

    See Also
    --------
    skdnn.DNNFeatureExtractor : Takes a `Model` as its ``model``.

    Examples
    --------
    >>> from torch import nn
    >>> from skdnn.models import Model
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    >>> Model(net, preprocess={"resize": 32, "crop": 32}, name="tiny")
    Model(name='tiny', network=Sequential)
    """

    _weights: str | None = None  # their digest, where a search has taken it

    def __init__(
        self,
        network: Any,
        preprocess: str | dict[str, Any] | Callable[[Any], Any] = "default",
        name: str | None = None,
        forward: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        if not is_network(network):
            raise TypeError(
                "network must be a torch.nn.Module or a keras.Model, got "
                f"{type(network).__name__}: {network!r}."
            )
        if forward is not None and not (callable(forward) and is_torch(network, "nn.Module")):
            raise TypeError(f"forward must be a function for a torch network, got {forward!r}.")
        self.network = network
        self.preprocess = preprocess
        self.name = name if name is not None else type(network).__name__
        self.forward = forward

    def __sklearn_clone__(self) -> Model:
        return self

    def __repr__(self) -> str:
        return f"Model(name={self.name!r}, network={type(self.network).__name__})"


class _KnownModel(Model):
    """A model in a search, whose weights are hashed once."""

    given: Any

    def __init__(self, given: Any) -> None:
        model = given if isinstance(given, Model) else Model(given)
        vars(self).update(vars(model), given=given, _weights=digest_weights(model.network))


def with_known_weights(model: Any) -> Any:
    """One's own network with its weights hashed now and not again; a name stays a name."""
    own = isinstance(model, Model) or is_network(model)
    return _KnownModel(model) if own and not isinstance(model, _KnownModel) else model


def without_known_weights(model: Any) -> Any:
    """What was given to `with_known_weights`."""
    return model.given if isinstance(model, _KnownModel) else model


def is_network(candidate: Any) -> bool:
    """Whether `candidate` is a network of either framework, without importing them for it."""
    return is_torch(candidate, "nn.Module") or is_keras_model(candidate)


def is_keras_model(candidate: Any) -> bool:
    """Whether `candidate` is a keras.Model, without importing keras for it."""
    model = getattr(sys.modules.get("keras"), "Model", None)
    return model is not None and isinstance(candidate, model)


def custom_spec(model: Model, preprocess: Any) -> ModelSpec:
    """Spec of a user's torch network."""
    chosen = model.preprocess if is_default(preprocess) else preprocess
    if is_default(chosen):
        chosen = own_processor(model.network) or "default"
    return own_spec(
        model,
        "torch",
        as_preprocessing(chosen, Preprocessing()),
        lambda version: network_identity(model.network, model.forward, version, model._weights),
        forward=model.forward,
    )


def own_spec(
    model: Model,
    backend: str,
    preprocess: Any,
    identify: Callable[[str | None], Any],
    **more: Any,
) -> ModelSpec:
    """Spec of a user's network: never copied, never converted, never shared by name."""
    return ModelSpec(
        name=model.name,
        backend=backend,
        weights="as given",
        preprocess=preprocess,
        load=lambda: model.network,
        owned=False,
        identify=identify,
        origin="own",
        checkpoint=lambda: Checkpoint(sha256=digest_weights(model.network, hashlib.sha256)),
        **more,
    )
