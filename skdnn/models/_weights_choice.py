"""Which weights a network gets: published, random, from a file or from an address."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from skdnn._digests import file_digest
from skdnn._identity._provenance import platform_identity
from skdnn._wording import listed
from skdnn.models._model_spec import Checkpoint, ModelSpec
from skdnn.models._torch_weights import by_order, fitting, load_state_dict, strict_load, unwrapped
from skdnn.models._weights_file import WeightsFile, kind_of
from skdnn.models._weights_folder import WebFile, as_hash, own_name

SUFFIXES = (".pth", ".pt", ".bin", ".safetensors", ".torch", ".ckpt", ".tar")
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)


class File(Protocol):
    """A file of weights, wherever it is."""

    def path(self) -> Path:
        """Where it is, downloaded where need be."""

    def checkpoint(self) -> Checkpoint:
        """What is known of it; nothing is downloaded."""


@dataclass(frozen=True)
class OwnFile:
    """A file of a user's, who knows where it is from."""

    place: Path

    def path(self) -> Path:
        return self.place

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(sha256=file_digest(self.place))


@dataclass(frozen=True)
class Weights:
    """Which weights a network gets; nothing is read or downloaded before it is asked for.

    Attributes
    ----------
    described : str
        For people.
    key : tuple
        What tells them from others within a process.
    identify : callable
        Gives what stored activations are found by, as plain values.
    file : File or None
        None for random weights.
    origin : {"random", "address", "file", "published"}
    named : WeightsFile or None
        How names in the file are the network's, where a user says so.
    """

    described: str
    key: tuple[Any, ...]
    identify: Callable[[], list[Any]]
    file: File | None = None
    origin: str = "published"
    named: WeightsFile | None = None

    def spec(self, name: str, known_as: str = "", **more: Any) -> ModelSpec:
        """Spec of a network that has these weights, stored as `known_as` if not as `name`."""
        known_as = known_as or name
        given: dict[str, Any] = {
            "backend": "torch",
            "weights": self.described,
            "key": (known_as, *self.key),
            "identify": lambda version: [known_as, *self.identify()],
            "origin": self.origin,
            "checkpoint": self.file.checkpoint if self.file else Checkpoint,
        }
        return ModelSpec(name=name, **{**given, **more})

    def network(
        self,
        build: Callable[[], Any],
        name: str,
        seed: int,
        unwrap: Callable[[Any], Any] = unwrapped,
        convert: Callable[[Any, dict[str, Any]], dict[str, Any]] | None = None,
    ) -> Any:
        """What `build` makes of random numbers from `seed`, and the file, if any, read into it.

        `name` is for messages. `unwrap` takes the state dict out of what the file holds,
        `convert` gives the network's own layout for ``(network, state)``.
        """
        import torch

        path = self.file.path() if self.file else None  # before anything big is built
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build()
        if path is None:
            return network.eval()
        own, named = network.state_dict(), self.named or WeightsFile(path)
        state = load_state_dict(path, lambda content: unwrap(named._entry(content)))
        state = fitting(named._renamed(state), own, path)
        if convert is not None:
            state = convert(network, state)
        if named.by_order:
            state = by_order(state, own) or state
        strict_load(network, state, path, name)
        return network.eval()


def published_as(tag: str, file: Any) -> Weights:
    """A network's one set of published weights, in a `WebFile` or what is like one.

    Without a published hash only the file itself says what is in it: another one put in its place
    is another network.
    """
    if file.sha256 is not None:
        told = ["published", file.url, file.sha256]
        return Weights(tag, (tag, file.url), lambda: told, file)
    state = _state(file.target) if file.target.is_file() else ()
    return Weights(
        tag, (tag, file.url, *state), lambda: ["sha256", file_digest(file.path())], file
    )


def choose_weights(
    weights: Any, name: str, *, seed: int, published: Weights, package: str
) -> Weights:
    """Read the ``weights`` parameter of a network that has one set of published weights.

    `package` is whose version random weights depend on, beside torch's.
    """
    if isinstance(weights, str) and weights in ("default", published.described):
        return published
    return other_weights(weights, name, seed, package, [published.described])


def other_weights(
    weights: Any, name: str, seed: int, package: str, published: Iterable[str]
) -> Weights:
    """Random weights, or a user's own; the error for any other word names those `published`."""
    found = random_weights(seed, package) if weights is None else own_weights(weights)
    if found is None:
        raise ValueError(not_published(weights, name, SUFFIXES, published))
    return found


def not_published(
    weights: Any, name: str, suffixes: Iterable[str], published: Iterable[str]
) -> str:
    """What to give instead of weights that there are none of."""
    return (
        f"weights={weights!r} is neither published for {name!r} nor a file "
        f"({', '.join(suffixes)}). Published: {listed(published, 20) or 'none'}; None gives "
        "random weights."
    )


def random_weights(seed: int, *packages: str) -> Weights:
    """Random weights: the same on machines of one kind with the same versions."""
    return Weights(
        f"random (seed {seed})",
        (None, seed),
        lambda: ["random", seed, platform_identity("torch", *packages)],
        origin="random",
    )


def own_weights(weights: Any) -> Weights | None:
    """A user's own weights, a file or ``URL#sha256=...``; None for any other word."""
    if isinstance(weights, WeightsFile):
        return _with_names(weights)
    text = weights_text(weights)
    if _ADDRESS.match(text):
        url = text.partition("#sha256=")[0]
        return at_address(text, own_name(url, SUFFIXES, ".pth"))
    is_path = isinstance(weights, os.PathLike) or text.lower().endswith(SUFFIXES)
    if not is_path and os.sep not in text and not Path(text).exists():
        return None
    return in_file(Path(text).expanduser())


def weights_text(weights: Any) -> str:
    """A ``weights`` parameter that is a name, a path or an address; else a TypeError."""
    if isinstance(weights, str | os.PathLike):
        return os.fspath(weights)
    hint = ""
    if isinstance(weights, Mapping):
        hint = (
            " A state dict goes into a network of your own, skdnn.models.Model(network), or into "
            "a file: torch.save(state, 'weights.pth')."
        )
    raise TypeError(
        "weights must be 'default', the name of published weights, the path of a file, "
        f"'URL#sha256=HASH', or None for random ones; got {kind_of(weights)}.{hint}"
    )


def _with_names(given: WeightsFile) -> Weights:
    found = own_weights(given.path)
    if found is None:
        raise ValueError(f"{given!r}: there is no such file.")
    file = found.file
    assert file is not None  # of files and addresses
    return replace(
        found,
        key=(*found.key, repr(given), given.keys if callable(given.keys) else None),
        identify=lambda: [*found.identify(), *given._identify(file.path)],
        named=given,
    )


def in_file(path: Path, suffixes: tuple[str, ...] = SUFFIXES) -> Weights:
    """Weights in a file of one's own; a pipe or device could be read without end."""
    if not path.is_file():
        what = "it is no regular file" if path.exists() else "there is no such file"
        raise ValueError(f"weights={str(path)!r}: {what}.")
    if not path.name.lower().endswith(suffixes):
        raise ValueError(
            f"weights={str(path)!r}: the name must end in one of {', '.join(suffixes)}."
        )
    key = (str(path.resolve()), *_state(path))
    return Weights(str(path), key, lambda: ["sha256", file_digest(path)], OwnFile(path), "file")


def _state(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def at_address(address: str, name: str) -> Weights:
    """Weights at ``URL#sha256=HASH``; `name` is what the file is called here."""
    url, _, sha256 = address.partition("#sha256=")
    try:
        expected = as_hash(sha256)
    except ValueError:
        raise ValueError(
            f"weights={address!r}: an address needs the file's SHA-256 (64 hexadecimal digits, or "
            "the first 8 or more), as 'URL#sha256=HASH'."
        ) from None
    told = ["sha256", expected] if len(expected) == 64 else ["published", url, expected]
    return Weights(address, (url, expected), lambda: told, WebFile(url, name, expected), "address")
