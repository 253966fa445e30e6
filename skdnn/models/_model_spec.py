"""What a network is before it is built."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from skdnn._file_digests import digest_of
from skdnn._optional import import_optional
from skdnn._wording import listed, nearest
from skdnn.models._preprocessing import KnownCallable, Preprocessing, preprocess_identity


@dataclass(frozen=True)
class Checkpoint:
    """What is known of a file of weights: where it was published, its SHA-256 or how it begins."""

    address: str | None = None
    sha256: str | None = None
    begins: str | None = None


@dataclass(frozen=True)
class ModelSpec:
    """A network before it is built."""

    name: str  # "torchvision/alexnet", or the class of one's own network
    backend: str  # "torch" or "tensorflow"
    weights: str  # a published version, a file, "random (seed 0)" or "as given"
    # A callable takes a PIL image in RGB and returns a float tensor or array (3, H, W).
    preprocess: Preprocessing | Callable[[Any], Any]
    load: Callable[[], Any] = field(repr=False)  # the network with its weights, for one engine
    # Without weights, to list its layers; None where `load` costs nothing.
    skeleton: Callable[[], Any] | None = field(default=None, repr=False)
    owned: bool = True  # ours to move and convert; a user's own is left as it was found
    # ``forward(network, batch)``, of a network that is not called with a batch alone.
    forward: Callable[[Any, Any], Any] | None = field(default=None, repr=False)
    key: tuple[Any, ...] | None = None  # tells networks of a process apart; None is never shared
    # What is computed, as plain values; a `version` stands for code that can't be fingerprinted.
    identify: Callable[[str | None], Any] | None = field(default=None, repr=False)
    origin: str = "published"  # of the weights; or "own", "random", "address" or "file"
    # What is known of their file, which is not downloaded; of one's own network, their digest.
    checkpoint: Callable[[], Checkpoint] = field(default=Checkpoint, repr=False)
    packages: tuple[str, ...] = ()  # what the architecture is from, beside its framework

    def steps(self) -> dict[str, Any] | str:
        """The preparation of images, for people: mean and deviation only where applied."""
        if isinstance(self.preprocess, KnownCallable):
            return str(self.preprocess)
        if not isinstance(self.preprocess, Preprocessing):
            return "a callable"
        steps = preprocess_identity(self.preprocess, None)
        unused = ("mean", "std") if steps.get("module") else ()
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in steps.items()
            if name not in unused
        }

    def fingerprint(self, version: str | None = None) -> str:
        """SHA-256 of what the network computes: weights, architecture, code or its `version`."""
        assert self.identify is not None  # every way to a spec gives one
        return digest_of([self.backend, self.identify(version)])


def build_skeleton(build: Callable[[], Any]) -> Any:
    """An architecture without memory for its weights, where it can be built so.

    Builders that compute with tensors cannot: timm's vision transformers before 1.0.21, and
    torchvision's RegNets. Their skeletons are whole networks: the same layers, at more cost.
    """
    torch = import_optional("torch", "to build networks")
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return build().eval()
        except RuntimeError:  # NotImplementedError is one
            return build().eval()


def unknown_model(
    model: str, name: str, known: Iterable[str], source: str = "", what: str = "unknown"
) -> str:
    """Why a network can't be had; `name` is without the prefix that `model` may have."""
    near = listed(nearest(name, known))
    hint = f"Did you mean {near}? " if near else ""
    all_names = f"list_models({source and repr(source)}) gives all names."
    return f"model={model!r} is {what}. {hint}{all_names}"


def needs_download(spec: ModelSpec) -> bool:
    """Whether the fingerprint can't be told without the file, and the file is not here."""
    is_hashed = spec.name.startswith(("published/", "hf/")) and spec.origin == "published"
    return is_hashed and spec.checkpoint().sha256 is None
