"""CORnet-Z, -RT, -R and -S: networks built after the areas of the ventral stream."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any

from skdnn._optional import import_optional
from skdnn._wording import listed
from skdnn.models._model_spec import ModelSpec
from skdnn.models._own_network import Model
from skdnn.models._preprocessing import Preprocessing, as_preprocessing
from skdnn.models._weights_choice import Weights, choose_weights
from skdnn.models._weights_folder import WebFile

PREFIX = "cornet/"
_HASHES = {"z": "5c427c9c", "rt": "933c001c", "r": "5930a990", "s": "1d3f7974"}
_ADDRESS = "https://s3.amazonaws.com/cornet-models/"
_TIMES = 5  # of R and RT, as they were trained
_STEPS_TO_IT = 4  # with fewer the image does not reach IT in RT


def names() -> list[str]:
    """Names of all CORnet networks."""
    return [f"cornet-{letter}" for letter in _HASHES]


def spec(name: str, *, weights: Any, seed: int, preprocess: Any) -> ModelSpec:
    """Spec of a CORnet; the weights are checked for being nameable, nothing is loaded."""
    letter = name.removeprefix("cornet-")
    return _choose(letter, weights, seed).spec(
        PREFIX + name,
        lambda: _build(letter, _TIMES),
        seed,
        preprocess=as_preprocessing(preprocess, Preprocessing()),
    )


def is_here(name: str) -> bool:
    """Whether the published weights of a network are on this machine."""
    return _published(name.removeprefix("cornet-")).is_here()


def cornet(
    letter: str, times: int | None = None, *, weights: Any = "default", random_state: int = 0
) -> Model:
    """Build a CORnet with another number of time steps than it was trained with.

    With the usual number its name does: ``DNNFeatureExtractor("cornet-rt")``.

    Parameters
    ----------
    letter : {"z", "rt", "r", "s"}
        CORnet-Z is feed-forward. CORnet-RT is recurrent in biological time: an image takes one
        step from each area to the next. In CORnet-R (kept as legacy) it passes all areas in one
        step. CORnet-S has recurrent bottlenecks.
    times : int, default=None
        Time steps of ``"rt"`` and ``"r"``; None is 5. With fewer than 4 the image does not reach
        IT in RT. ``"z"`` has no time, and the published weights of ``"s"`` fix its steps.
    weights : "default", str, path-like or None, default="default"
        As for `DNNFeatureExtractor`: published ones, a file, an address with a hash, or None for
        random ones.
    random_state : int, default=0
        Seed of random weights.

    Returns
    -------
    model : Model
        For ``DNNFeatureExtractor(model=...)``.

    Raises
    ------
    ValueError
        If `letter` is unknown, `times` is below 1 or does not go with it, or the weights don't
        fit.
    OSError
        If published weights can't be downloaded.

    See Also
    --------
    skdnn.DNNFeatureExtractor : Takes the model, and layers such as ``"V4.output@1"``.

    Notes
    -----
    A module that runs at each time step gives its last call as a layer, and ``@`` asks for one:
    ``"IT.output@3"`` is the first step at which IT of CORnet-RT depends on the image.

    References
    ----------
    .. [1] Kubilius et al. (2018). CORnet: Modeling the neural mechanisms of core object
       recognition. bioRxiv 408385.
    .. [2] Kubilius, Schrimpf et al. (2019). Brain-like object recognition with high-performing
       shallow recurrent ANNs. NeurIPS 32, arXiv:1909.06161.

    Examples
    --------
    >>> from skdnn.models import cornet
    >>> cornet("rt", times=7, weights=None)
    Model(name='cornet-rt (times=7)', network=CORnetR)
    """
    if letter not in _HASHES:
        raise ValueError(f"letter={letter!r} is unknown: use one of {listed(_HASHES)}.")
    name = f"cornet-{letter}"
    chosen, steps = _choose(letter, weights, random_state), _checked_times(letter, times)
    network = chosen.network(lambda: _build(letter, steps), name, random_state)
    return Model(network, name=name if times is None else f"{name} (times={times})")


def _checked_times(letter: str, times: Any) -> int:
    if times is None:
        return _TIMES
    if letter not in ("r", "rt"):
        raise ValueError(f"times={times!r} goes with 'rt' and 'r'; {letter!r} has fixed steps.")
    if not isinstance(times, Integral) or isinstance(times, bool) or times < 1:
        raise ValueError(f"times must be a whole number of steps, 1 at least; got {times!r}.")
    if letter == "rt" and times < _STEPS_TO_IT:
        warnings.warn(
            f"times={times}: in CORnet-RT the image reaches IT at step {_STEPS_TO_IT}; with "
            "fewer, IT and the decoder give the same for every image.",
            UserWarning,
            stacklevel=3,
        )
    return int(times)


def _published(letter: str) -> WebFile:
    file = f"cornet_{letter}-{_HASHES[letter]}.pth"
    return WebFile(_ADDRESS + file, file, _HASHES[letter])


def _choose(letter: str, weights: Any, seed: int) -> Weights:
    name, tag = f"cornet-{letter}", f"cornet_{letter}-{_HASHES[letter]}"
    return choose_weights(weights, name, seed, "torchvision", tag, _published(letter))


def _build(letter: str, times: int) -> Any:
    import_optional("torchvision", "to build CORnet")  # torch's parts before any tensorflow
    from skdnn.models import _cornet_networks as networks

    if letter == "z":
        return networks.cornet_z()
    if letter == "s":
        return networks.cornet_s()
    return networks.CORnetR(times, delayed=letter == "rt")
