"""Weights from files and addresses: read without running code, loaded strictly."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skdnn._config import weights_home
from skdnn._optional import import_optional
from skdnn.digests import file_digest
from skdnn.identity._record import platform_identity
from skdnn.models._download import as_hash, fetch, known_of, own_name
from skdnn.models._spec import Checkpoint

SUFFIXES = (".pth", ".pt", ".bin", ".safetensors", ".torch", ".ckpt", ".tar")
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and torch.compile
_PACKED = 10  # times the size of a file: no weights are packed better
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)


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
    """

    described: str
    key: tuple[Any, ...]
    identify: Callable[[], list[Any]]
    path: Callable[[], Path] | None = None
    checkpoint: Callable[[], Checkpoint] = Checkpoint
    origin: str = "published"


@dataclass(frozen=True)
class Published:
    """Weights that somebody has published.

    Attributes
    ----------
    tag : str
        The name of these weights.
    url : str
    file : str
        What the file is called here.
    sha256 : str or None
        Its SHA-256 or first digits, where published.
    """

    tag: str
    url: str
    file: str
    sha256: str | None = None

    def path(self) -> Path:
        """The file, downloaded where need be.

        Raises
        ------
        OSError
            If it can't be had.
        """
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

    Parameters
    ----------
    weights : "default", str, path-like or None
    name : str
        Of the network, for messages.
    seed : int
        For random weights.
    published : Published
    package : str
        Whose version random weights depend on, beside torch's.

    Raises
    ------
    TypeError, ValueError
        If `weights` is nothing of the kind.
    """
    if weights is None:
        return random_weights(seed, package)
    own = own_weights(weights)
    if own is not None:
        return own
    if weights in ("default", published.tag):
        return Weights(
            published.tag, published.key, published.identify, published.path, published.checkpoint
        )
    raise ValueError(
        f"weights={weights!r} is neither published for {name!r} nor a file "
        f"({', '.join(SUFFIXES)}). Published: {published.tag!r}; None gives random weights."
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
    """A user's own weights, a file or ``URL#sha256=...``; None for any other word.

    Raises
    ------
    TypeError
        If `weights` is no text and no path.
    ValueError
        If the file does not exist or is of no known kind, or an address comes without a hash.
    """
    if not isinstance(weights, str | os.PathLike):
        raise TypeError(
            "weights must be 'default', the name of published weights, the path of a file, "
            f"'URL#sha256=HASH', or None for random ones; got {weights!r}."
        )
    text = os.fspath(weights)
    if _ADDRESS.match(text):
        url = text.partition("#sha256=")[0]
        return at_address(text, own_name(url, SUFFIXES, ".pth"))
    is_path = isinstance(weights, os.PathLike) or text.lower().endswith(SUFFIXES)
    if not is_path and os.sep not in text and not Path(text).exists():
        return None
    return in_file(Path(text).expanduser())


def in_file(path: Path, suffixes: tuple[str, ...] = SUFFIXES) -> Weights:
    """Weights in a file of one's own.

    Raises
    ------
    ValueError
        If it does not exist, is no regular file (a pipe or device could be read without end), or
        is of no known kind.
    """
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
    """Weights at ``URL#sha256=HASH``; `name` is what the file is called here.

    Raises
    ------
    ValueError
        If there is no hash.
    """
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


def load_state_dict(path: Path, unwrap: Callable[[Any], Any] | None = None) -> dict[str, Any]:
    """Read a state dict; nothing that a pickle could run is run.

    Parameters
    ----------
    path : pathlib.Path
    unwrap : callable, default=None
        Takes the state dict out of what the file holds; None looks into the usual wrappers.

    Raises
    ------
    ValueError
        If the file is no checkpoint, is cut short, or holds anything but tensors under names.
    """
    content = read_checkpoint(path)
    try:
        why = _no_state_dict(state := (unwrap or unwrapped)(content))
    except RecursionError:
        why = "holds itself"
    if why:
        raise ValueError(
            f"weights={str(path)!r} {why}. Save it with torch.save(network.state_dict(), path)."
        )
    return without_prefixes(state)


def _no_state_dict(state: Any) -> str:
    """Why this is no dict of tensors under names; "" if it is one."""
    import torch

    none = "holds no state dict (a dict of tensors)"
    if not isinstance(state, dict):
        return f"{none}: it is a {type(state).__name__}"
    if not state:
        return f"{none}: it is empty"
    strange = [key for key in state if not isinstance(key, str)]
    if strange:
        called = f"{', '.join(map(repr, strange[:3]))}{', ...' if len(strange) > 3 else ''}"
        return f"calls its tensors {called}: these are no names of a network's weights"
    others = {key: type(v).__name__ for key, v in state.items() if not torch.is_tensor(v)}
    return "".join(f"{none}: its entry {key!r} is a {others[key]}" for key in list(others)[:1])


def read_checkpoint(path: Path) -> Any:
    """What a file of weights holds; nothing that a pickle could run is run.

    Raises
    ------
    ValueError
        If the file is no checkpoint, is cut short, or holds anything but tensors and numbers.
    """
    import torch

    try:
        _refuse_bomb(path)
        if path.suffix.lower() == ".safetensors":
            purpose = f"to read {path}"
            return import_optional("safetensors.torch", purpose).load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except ImportError:
        raise
    except Exception as error:  # each format has errors of its own
        first = str(error).strip().partition("\n")[0]
        empty = "it is empty" if path.is_file() and not path.stat().st_size else ""
        raise ValueError(
            f"weights={str(path)!r} can't be read as a checkpoint of tensors "
            f"({empty or f'{type(error).__name__}: {first}'}). "
            "Save it with torch.save(network.state_dict(), path)."
        ) from error


def _refuse_bomb(path: Path) -> None:
    """Of a zip archive, as torch writes it: numbers that are not there would fill the memory."""
    if not path.is_file():
        raise ValueError("it is no regular file")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            declared = sum(entry.file_size for entry in archive.infolist())
        if declared > _PACKED * path.stat().st_size + 2**20:
            raise ValueError(f"it declares {declared} bytes and has {path.stat().st_size}")


def unwrapped(content: Any) -> Any:
    """The state dict inside a training script's dict, however deep.

    Raises
    ------
    RecursionError
        If a dict holds itself.
    """
    met: set[int] = set()
    while isinstance(content, dict):
        if id(content) in met:
            raise RecursionError
        met.add(id(content))
        inner = next((k for k in _WRAPPERS if isinstance(content.get(k), dict)), None)
        if inner is None:
            break
        content = content[inner]
    return content


def without_prefixes(state: dict[str, Any]) -> dict[str, Any]:
    """Keys as the network itself calls them, where all stand behind a wrapper's name."""
    for prefix in _PREFIXES * 2:
        if state and all(str(key).startswith(prefix) for key in state):
            state = {str(key).removeprefix(prefix): value for key, value in state.items()}
    return state


def _strange_numbers(tensor: Any, own: Any) -> str:
    """What keeps numbers of a file from standing for a network's own; "" if nothing does."""
    import torch

    kind = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_meta:
        return "no values"
    if tensor.layout is not torch.strided:
        return "sparse"
    if kind.startswith(("q", "float8", "float4")):
        return f"{kind}, without the scale that belongs to it"
    if not (own.is_floating_point() or own.is_complex()):  # counts and places are whole
        same = not tensor.is_complex() and tensor.to(own.dtype).to(tensor.dtype) == tensor
        return "" if torch.is_tensor(same) and bool(same.all()) else kind
    if not (tensor.is_floating_point() or own.is_complex()):
        return kind
    if (torch.isnan(tensor) & ~torch.isnan(own)).any():
        return "NaN among them"
    lost = torch.isfinite(own) & ~torch.isfinite(tensor.to(own.dtype))  # masks hold infinities
    if (lost & torch.isinf(tensor)).any():
        return "infinity among them"
    return f"{kind}, too large for {own.dtype}" if lost.any() else ""


def _check_numbers(network: Any, state: dict[str, Any], path: Path) -> None:
    """Refuse numbers that would be converted in silence, or make every feature NaN."""
    found = {
        key: strange
        for key, own in network.state_dict().items()
        if key in state and (strange := _strange_numbers(state[key], own))
    }
    if found:
        shown = ", ".join(f"{key} ({strange})" for key, strange in list(found.items())[:3])
        raise ValueError(
            f"weights={str(path)!r} holds numbers that are no weights of this network: {shown}"
            f"{f' and {len(found) - 3} more' if len(found) > 3 else ''}."
        )


def strict_load(network: Any, state: dict[str, Any], path: Path, name: str) -> None:
    """Load a state dict that must fit exactly; modules may still translate names of old.

    Raises
    ------
    ValueError
        Naming what is missing, surplus, of another shape, or no number that a weight can be.
    """
    own = network.state_dict()
    shapes = [
        f"{key}: file {tuple(state[key].shape)}, network {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    missing = [key for key in own if key not in state]
    surplus = [key for key in state if key not in own]
    if not shapes:
        _check_numbers(network, state, path)
        try:
            missing, surplus = network.load_state_dict(state, strict=False)
        except (RuntimeError, KeyError) as error:  # what a translation runs into
            shapes = [str(error).splitlines()[-1].strip()]
    if missing or surplus or shapes:
        found = [
            f"{len(items)} {what} ({', '.join(items[:3])}{', ...' if len(items) > 3 else ''})"
            for what, items in (("missing", missing), ("surplus", surplus), ("misshapen", shapes))
            if items
        ]
        raise ValueError(
            f"weights={str(path)!r} does not fit {name}: {'; '.join(found)}. "
            "It was saved from another architecture."
        )
