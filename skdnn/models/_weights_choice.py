"""Which weights a network gets: published, random, from a file or from an address."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from skdnn._file_digests import file_digest
from skdnn._identity._provenance import platform_identity
from skdnn._optional import import_optional
from skdnn._wording import listed
from skdnn.models._model_spec import Checkpoint, ModelSpec, build_skeleton
from skdnn.models._torch_weights import by_order, fitting, load_state_dict, strict_load, unwrapped
from skdnn.models._weights_file import WeightsFile, kind_of
from skdnn.models._weights_folder import HubFile, WebFile, as_hash, own_name

SUFFIXES = (".pth", ".pt", ".bin", ".safetensors", ".torch", ".ckpt", ".tar")


class File(Protocol):
    """Where a file of weights is, downloaded where need be, and what is known without that."""

    def path(self) -> Path: ...
    def checkpoint(self) -> Checkpoint: ...


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
    """Which weights a network gets; nothing is read or downloaded before it is asked for."""

    described: str  # for people
    key: tuple[Any, ...]  # tells them from others within a process
    identify: Callable[[], list[Any]]  # what stored activations are found by, as plain values
    file: File | None = None  # None of random ones
    origin: str = "published"  # or "random", "address" or "file"
    named: WeightsFile | None = None  # how names in the file are the network's, as a user says

    def spec(
        self,
        name: str,
        build: Callable[[], Any],
        seed: int,
        known_as: str = "",
        shown: str = "",
        unwrap: Callable[[Any], Any] = unwrapped,
        convert: Callable[[Any, dict[str, Any]], dict[str, Any]] | None = None,
        **more: Any,
    ) -> ModelSpec:
        """Spec of the network that `build` makes, stored as `known_as` if not as `name`.

        Messages call it as `shown`, or by its name without the prefix.
        """
        known_as, shown = known_as or name, shown or name.partition("/")[2]
        given: dict[str, Any] = {
            "key": (known_as, *self.key),
            "identify": lambda version: [known_as, *self.identify()],
            "load": lambda: self.network(build, shown, seed, unwrap, convert),
            "skeleton": lambda: build_skeleton(build),
            "checkpoint": self.file.checkpoint if self.file else Checkpoint,
        }
        return ModelSpec(name, "torch", self.described, origin=self.origin, **{**given, **more})

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
        torch = import_optional("torch", "to build networks")
        path = self.file.path() if self.file else None  # before anything big is built
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build().eval()
        if path is None:
            return network
        own, named = network.state_dict(), self.named or WeightsFile(path)
        state = load_state_dict(path, lambda content: unwrap(named._entry(content)))
        state = fitting(named._renamed(state), own, path)
        if convert is not None:
            state = convert(network, state)
        if named.by_order:
            state = by_order(state, own) or state
        strict_load(network, state, path, name)
        return network


# --- published -----------------------------------------------------------------------------------


def choose_weights(
    weights: Any, name: str, seed: int, package: str, tag: str, file: Any
) -> Weights:
    """Read the ``weights`` parameter of a network with one published `file`, called `tag`.

    Without a published hash only the file itself says what is in it: another one put in its place
    is another network.
    """
    if not isinstance(weights, str) or weights not in ("default", tag):
        return other_weights(weights, name, seed, package, [tag])
    if file.sha256 is not None:
        told = ["published", file.url, file.sha256]
        return Weights(tag, (tag, file.url), lambda: told, file)
    key = (tag, file.url, *(_state(file.target) if file.target.is_file() else ()))
    return Weights(tag, key, lambda: ["sha256", file_digest(file.path())], file)


def published_at(described: str, file: HubFile | WebFile, *tag: str) -> Weights:
    """One of several sets of published weights; a `tag` tells them apart, too."""
    where = (file.repo, file.names[0]) if isinstance(file, HubFile) else (file.url,)
    return Weights(described, (*tag, *where), lambda: ["published", *tag, *where], file)


# --- random, or a user's own ---------------------------------------------------------------------


def _name_here(url: str) -> str:
    return own_name(url, SUFFIXES, ".pth")


def other_weights(
    weights: Any,
    name: str,
    seed: int,
    package: str,
    published: Iterable[str],
    suffixes: tuple[str, ...] = SUFFIXES,
    name_here: Callable[[str], str] = _name_here,
) -> Weights:
    """Random weights, or a user's own; the error for any other word names those `published`.

    Random ones are the same on machines of one kind with the same torch and `package`.
    """
    if weights is None:
        return Weights(
            f"random (seed {seed})",
            (None, seed),
            lambda: ["random", seed, platform_identity("torch", package)],
            origin="random",
        )
    found = _own_weights(weights, suffixes, name_here)
    if found is None:
        raise ValueError(
            f"weights={weights!r} is neither published for {name!r} nor a file "
            f"({', '.join(suffixes)}). Published: {listed(published, 20) or 'none'}; None gives "
            "random weights."
        )
    return found


def _own_weights(
    weights: Any, suffixes: tuple[str, ...], name_here: Callable[[str], str]
) -> Weights | None:
    """A file or ``URL#sha256=...``; None for any other word."""
    if isinstance(weights, WeightsFile):
        return _with_names(weights, _own_weights(weights.path, suffixes, name_here))
    if not isinstance(weights, str | os.PathLike):
        hint = (
            " A state dict goes into a network of your own, skdnn.models.Model(network), or into "
            "a file: torch.save(state, 'weights.pth')."
        )
        raise TypeError(
            "weights must be 'default', the name of published weights, the path of a file, "
            f"'URL#sha256=HASH', or None for random ones; got {kind_of(weights)}."
            f"{hint if isinstance(weights, Mapping) else ''}"
        )
    text = os.fspath(weights)
    if re.match("https?://", text, re.IGNORECASE):
        return _at_address(text, name_here(text.partition("#sha256=")[0]))
    is_path = isinstance(weights, os.PathLike) or text.lower().endswith(suffixes)
    if not is_path and os.sep not in text and not Path(text).exists():
        return None
    return _in_file(Path(text).expanduser(), suffixes)


def _with_names(given: WeightsFile, found: Weights | None) -> Weights:
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


def _in_file(path: Path, suffixes: tuple[str, ...]) -> Weights:
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


def _at_address(address: str, name: str) -> Weights:
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
