"""Which weights a network gets: published, random, from a file or from an address."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from skdnn._config import weights_home
from skdnn._digests import file_digest
from skdnn._identity._provenance import platform_identity
from skdnn._layers import nearest
from skdnn.models._model_spec import Checkpoint, ModelSpec
from skdnn.models._torch_weights import by_order, fitting, load_state_dict, strict_load, unwrapped
from skdnn.models._weights_folder import as_hash, fetch, known_of, own_name

SUFFIXES = (".pth", ".pt", ".bin", ".safetensors", ".torch", ".ckpt", ".tar")
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)


class WeightsFile:
    """A file of weights under other names than the network's own.

    Where the names fit, the path alone does: ``weights="file.pth"``. Names that all stand behind
    one prefix (Lightning's ``"model."``, ``"module."``) and the usual entries of training
    scripts (``"state_dict"``, ``"model"``, ``"ema"``, ...) are found without help.

    Parameters
    ----------
    path : str or path-like
        The file, or ``"URL#sha256=HASH"``.
    keys : dict or callable, default=None
        From a name in the file to the network's. In a dict, a name that ends in a dot stands for
        all that begin with it; names that are not in it stay as they are. A callable is given
        each name. None in place of a name leaves a tensor aside.
    by_order : bool, default=False
        Take the tensors by their places, whatever they are called. Their number and the shape
        of each must be the network's. That two architectures are the same is yours to know:
        layers of one shape that were swapped are not found.
    entry : str, default=None
        Which entry of the file holds the weights, where there are several, e.g. ``"model_ema"``.

    Raises
    ------
    TypeError
        If `path` is no path, or `keys` neither a dict nor a function.

    See Also
    --------
    skdnn.DNNFeatureExtractor : Takes it as ``weights``, for torch networks known by name.

    Examples
    --------
    >>> from skdnn.models import WeightsFile
    >>> WeightsFile("run3.ckpt", keys={"student.": "", "teacher.": None})
    WeightsFile('run3.ckpt', keys={'student.': '', 'teacher.': None})
    >>> WeightsFile("converted.pth", by_order=True)
    WeightsFile('converted.pth', by_order=True)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        keys: Mapping[str, str | None] | Callable[[str], str | None] | None = None,
        by_order: bool = False,
        entry: str | None = None,
    ) -> None:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"path must be the path of a file, got {_kind(path)}.")
        if not (keys is None or isinstance(keys, Mapping) or callable(keys)):
            raise TypeError(f"keys must be a dict or a function, got {_kind(keys)}.")
        self.path = path
        self.keys = keys
        self.by_order = by_order
        self.entry = entry

    def __repr__(self) -> str:
        defaults = {"keys": None, "by_order": False, "entry": None}
        given = (f", {k}={vars(self)[k]!r}" for k, d in defaults.items() if vars(self)[k] != d)
        return f"{type(self).__name__}({os.fspath(self.path)!r}{''.join(given)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WeightsFile) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __sklearn_clone__(self) -> WeightsFile:
        return self

    def _entry(self, content: Any) -> Any:
        """The entry that was asked for, of what a file holds."""
        if self.entry is None:
            return content
        held = content if isinstance(content, dict) else {}
        if self.entry not in held:
            near = nearest(self.entry, map(str, held)) or list(map(str, held))[:5]
            raise ValueError(f"{self!r}: there is no such entry in the file. There are: {near}.")
        return held[self.entry]

    def _new_name(self, name: str) -> str | None:
        if self.keys is None:
            return name
        if callable(self.keys):
            return self.keys(name)
        if name in self.keys:
            return self.keys[name]
        starts = [start for start in self.keys if start.endswith(".") and name.startswith(start)]
        if not starts:
            return name
        start = max(starts, key=len)
        new = self.keys[start]
        return None if new is None else new + name.removeprefix(start)

    def _renamed(self, state: dict[str, Any]) -> dict[str, Any]:
        if isinstance(self.keys, Mapping):
            unused = [k for k in self.keys if not any(_begins(name, k) for name in state)]
            if unused:
                near = nearest(unused[0], state) or list(state)[:3]
                raise ValueError(f"{self!r}: the file has no {unused[0]!r}. Nearest: {near}.")
        new = {name: self._new_name(name) for name in state}
        kept = [name for name in new.values() if name is not None]
        wrong = [name for name in kept if not isinstance(name, str) or kept.count(name) > 1]
        if wrong:
            raise ValueError(
                f"{self!r}: keys must give each tensor a name of its own; got {wrong[0]!r} for "
                f"{[name for name, found in new.items() if found == wrong[0]][:3]}."
            )
        return {to: state[name] for name, to in new.items() if to is not None}

    def _identify(self, path: Callable[[], Path]) -> list[Any]:
        """What of this decides which weights the network gets, as plain values."""
        keys: Any = self.keys
        if callable(keys):  # what it gives counts, not how
            names = load_state_dict(path(), lambda content: unwrapped(self._entry(content)))
            keys = {name: keys(name) for name in names}
        told = sorted(keys.items()) if keys else []
        return [told, self.by_order, self.entry] if told or self.by_order or self.entry else []


def _begins(name: str, key: str) -> bool:
    return name == key or (key.endswith(".") and name.startswith(key))


def _kind(value: Any) -> str:
    """A value in a message: a state dict would fill the screen."""
    shown = repr(value) if isinstance(value, int | float | str | bytes | tuple) else ""
    return f"{type(value).__name__}: {shown}" if 0 < len(shown) < 200 else type(value).__name__


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
    path : callable or None
        Gives the file, downloaded where need be; None for random weights.
    checkpoint : callable
        Gives what is known of the file; nothing is downloaded.
    origin : {"random", "address", "file", "published"}
    named : WeightsFile or None
        How names in the file are the network's, where a user says so.
    """

    described: str
    key: tuple[Any, ...]
    identify: Callable[[], list[Any]]
    path: Callable[[], Path] | None = None
    checkpoint: Callable[[], Checkpoint] = Checkpoint
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
            "checkpoint": self.checkpoint,
        }
        return ModelSpec(name=name, **{**given, **more})

    def network(self, build: Callable[[], Any], name: str, seed: int, **layout: Any) -> Any:
        """What `build` makes of random numbers from `seed`, and the file, if any, read into it."""
        import torch

        if self.path is not None:
            self.path()  # downloaded before anything big is built
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build()
        if self.path is not None:
            self.load_into(network, name, **layout)
        return network.eval()

    def load_into(
        self,
        network: Any,
        name: str,
        unwrap: Callable[[Any], Any] | None = None,
        convert: Callable[[Any, dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        """Load the file into a network that it must fit; `name` is for messages.

        `unwrap` takes the state dict out of what the file holds (None: out of the usual
        wrappers), `convert` gives the network's own layout for ``(network, state)``.
        """
        assert self.path is not None
        path, own = self.path(), network.state_dict()
        named = self.named or WeightsFile(path)
        state = load_state_dict(path, lambda content: (unwrap or unwrapped)(named._entry(content)))
        state = fitting(named._renamed(state), own, path)
        if convert is not None:
            state = convert(network, state)
        if named.by_order:
            state = by_order(state, own) or state
        strict_load(network, state, path, name)


@dataclass(frozen=True)
class Published:
    """Weights that somebody has published, with their file's name here, and SHA-256 if known."""

    tag: str
    url: str
    file: str
    sha256: str | None = None

    def path(self) -> Path:
        """The file, downloaded where need be."""
        return fetch(self.url, name=self.file, sha256=self.sha256)

    @property
    def key(self) -> tuple[Any, ...]:
        """Without a published hash, another file put in its place is another network."""
        file = weights_home() / self.file
        if self.sha256 is not None or not file.is_file():
            return (self.tag, self.url)
        return (self.tag, self.url, *_state(file))

    def identify(self) -> list[Any]:
        """Without a published hash only the file itself says what is in it."""
        if self.sha256 is None:
            return ["sha256", file_digest(self.path())]
        return ["published", self.url, self.sha256]

    def checkpoint(self) -> Checkpoint:
        """What is known of the file."""
        known = known_of(self.url, name=self.file, sha256=self.sha256)
        return known if self.sha256 is not None else Checkpoint(sha256=known.sha256)


def choose_weights(
    weights: Any, name: str, *, seed: int, published: Published, package: str
) -> Weights:
    """Read the ``weights`` parameter of a network that has one set of published weights.

    `package` is whose version random weights depend on, beside torch's.
    """
    if isinstance(weights, str) and weights in ("default", published.tag):
        return Weights(
            published.tag, published.key, published.identify, published.path, published.checkpoint
        )
    return other_weights(weights, name, seed, package, [published.tag])


def other_weights(
    weights: Any, name: str, seed: int, package: str, published: Iterable[str]
) -> Weights:
    """Random weights, or a user's own; the error for any other word names those `published`."""
    found = random_weights(seed, package) if weights is None else own_weights(weights)
    if found is None:
        raise ValueError(
            f"weights={weights!r} is neither published for {name!r} nor a file "
            f"({', '.join(SUFFIXES)}). Published: {', '.join(map(repr, published)) or 'none'}; "
            "None gives random weights."
        )
    return found


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
        f"'URL#sha256=HASH', or None for random ones; got {_kind(weights)}.{hint}"
    )


def _with_names(given: WeightsFile) -> Weights:
    found = own_weights(given.path)
    if found is None:
        raise ValueError(f"{given!r}: there is no such file.")
    path = found.path
    assert path is not None  # of files and addresses
    return replace(
        found,
        key=(*found.key, repr(given), given.keys if callable(given.keys) else None),
        identify=lambda: [*found.identify(), *given._identify(path)],
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
    return Weights(
        str(path),
        (str(path.resolve()), *_state(path)),
        lambda: ["sha256", file_digest(path)],
        lambda: path,
        lambda: Checkpoint(sha256=file_digest(path)),
        "file",
    )


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
    whole = len(expected) == 64
    return Weights(
        address,
        (url, expected),
        lambda: ["sha256", expected] if whole else ["published", url, expected],
        lambda: fetch(url, name=name, sha256=expected),
        lambda: Checkpoint(url, expected) if whole else known_of(url, name=name, sha256=expected),
        "address",
    )
