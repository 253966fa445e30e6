"""Fingerprints of networks and preprocessing: what a stored activation depends on."""

from __future__ import annotations

import dis
import enum
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import platform
import sys
import sysconfig
import types
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from skdnn.models._spec import Preprocessing, digest_of

# State of a module that says nothing of what it computes.
_BOOKKEEPING = ("_parameters", "_buffers", "_modules", "training", "_is_full_backward_hook")
_SCALARS = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))


class _Unknown(Exception):
    """Something whose behaviour cannot be told from the outside."""


def platform_identity(*packages: str) -> dict[str, str]:
    """What random weights depend on beside the seed: machine and versions of packages."""
    versions = {package: _version(package) for package in packages}
    return {"platform": f"{platform.system()}-{platform.machine()}", **versions}


@functools.cache
def _version(package: str) -> str:
    return importlib.metadata.version(package)


@functools.lru_cache(maxsize=64)
def _file_digest(path: str, *_state: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read once as long as it does not change."""
    stat = path.stat()
    state = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return _file_digest(str(path.resolve()), *state)


def preprocess_identity(preprocess: Any, version: str | None) -> Any:
    """What an image's preparation depends on, as plain values.

    Raises
    ------
    ValueError
        If `preprocess` is code that cannot be fingerprinted and there is no `version`.
    """
    if isinstance(preprocess, Preprocessing):
        kind = type(preprocess).__name__
        values = asdict(preprocess)
        return values if kind == "Preprocessing" else {"kind": kind, **values}
    try:
        described = _Description(version).of(preprocess)
    except (_Unknown, RecursionError) as error:
        if version is None:
            raise _needs_version(f"preprocess={preprocess!r}", str(error)) from None
        described = _qualified(preprocess)
    return described if version is None else {"callable": described, "version": version}


def network_identity(network: Any, version: str | None) -> Any:
    """What one's own torch network computes: its weights, classes, attributes and their code.

    Raises
    ------
    ValueError
        If some of it is code that cannot be fingerprinted and there is no `version`.
    """
    weights = _weights_digest(network)
    describe = _Description(version)
    try:
        modules = [
            [path, describe.of(type(module)), describe.attributes(module)]
            for path, module in network.named_modules(remove_duplicate=False)
        ]
    except (_Unknown, RecursionError) as error:
        if version is None:
            raise _needs_version(f"model of class {type(network).__name__}", str(error)) from None
        modules = [[_qualified(type(network))]]
    known = {"modules": digest_of(modules), "weights": weights}
    return known if version is None else {**known, "version": version}


def custom_identity(network: Any, forward: Any, version: str | None) -> Any:
    """The same of a network and the function that calls it."""
    identity = network_identity(network, version)
    if forward is None:
        return identity
    try:
        called: Any = _Description(version).of(forward)
    except (_Unknown, RecursionError) as error:
        if version is None:
            raise _needs_version(f"forward={forward!r}", str(error)) from None
        called = _qualified(forward)
    return {**identity, "forward": digest_of(called)}


def _needs_version(what: str, why: str) -> ValueError:
    return ValueError(
        f"cache: {what} is code that can't be fingerprinted ({why}), so that activations stored "
        "now could outlive a change of it unnoticed. Give the extractor version='1' (any name; "
        "another one whenever that code changes), or use cache=None."
    )


def _qualified(obj: Any) -> str:
    named = obj if hasattr(obj, "__qualname__") else type(obj)
    return f"{getattr(named, '__module__', '?')}.{named.__qualname__}"


# --- weights -------------------------------------------------------------------------------

# Odd, so that no bit of a word is lost.
_PLACES = np.random.default_rng(0).integers(2**64, size=2**13, dtype=np.uint64) | np.uint64(1)
_NEXT = int(_PLACES[-1])
_weights: weakref.WeakKeyDictionary[Any, tuple[Any, str]] = weakref.WeakKeyDictionary()


def _weights_digest(network: Any) -> str:
    """SHA-256 of all parameters and buffers; computed anew only where quick sums have changed."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    arrays = [(name, _bytes_of(tensor)) for name, tensor in tensors]
    quick: list[tuple[Any, ...]] = [
        (name, str(t.dtype), tuple(t.shape), t._version) for name, t in tensors
    ]
    quick_sum: Any = (quick, [_quick_sums(array) for _, array in arrays])
    known = _weights.get(network)
    if known is not None and known[0] == quick_sum:
        return known[1]
    whole = hashlib.sha256(json.dumps([list(q[:3]) for q in quick]).encode())
    for _, array in arrays:
        whole.update(array.data)
    _weights[network] = (quick_sum, whole.hexdigest())
    return whole.hexdigest()


def _bytes_of(tensor: Any) -> np.ndarray:
    import torch

    flat = tensor.detach().to("cpu").contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy() if flat.numel() else np.empty(0, np.uint8)


def _quick_sums(content: np.ndarray) -> tuple[int, int]:
    """Of all words, and weighted by their place: filters that are shuffled are others."""
    words = _words(content)
    total = weighted = 0
    for start in range(0, len(words), len(_PLACES)):
        part = words[start : start + len(_PLACES)]
        total += int(np.add.reduce(part))
        weighted = weighted * _NEXT + int(np.add.reduce(part * _PLACES[: len(part)]))
        weighted %= 2**64
    return total, weighted


def _words(content: np.ndarray) -> np.ndarray:
    whole = len(content) // 8 * 8
    tail = np.zeros(8, np.uint8)
    tail[: len(content) - whole] = content[whole:]
    words = content[:whole].view(np.uint64) if whole else np.empty(0, np.uint64)
    return words if whole == len(content) else np.append(words, tail.view(np.uint64))


# --- code and plain values -----------------------------------------------------------------


class _Description:
    """Plain values that stand for an object: its class, its code, what it holds.

    Where that cannot be told, a `version` stands for it.
    """

    def __init__(self, version: str | None) -> None:
        self._version = version
        self._seen: dict[int, int] = {}
        self._alive: list[Any] = []  # ids stay valid as long as their objects live

    def of(self, value: Any) -> Any:
        if isinstance(value, _SCALARS) and type(value) in _SCALARS:
            return [type(value).__name__, repr(value)]
        if isinstance(value, enum.Enum):
            return ["enum", _qualified(type(value)), value.name]
        if isinstance(value, tuple):  # whether equal ones are one and the same is chance
            return [type(value).__name__, [self.of(part) for part in value]]
        if id(value) in self._seen:
            return ["seen", self._seen[id(value)]]
        self._seen[id(value)] = len(self._seen)
        self._alive.append(value)
        try:
            return self._of(value)
        except _Unknown:
            if self._version is None:
                raise
            return ["version", self._version, _qualified(value)]

    def _of(self, value: Any) -> Any:
        if isinstance(value, list):
            return [type(value).__name__, [self.of(part) for part in value]]
        if isinstance(value, set | frozenset):
            return ["set", sorted(json.dumps(self.of(part)) for part in value)]
        if isinstance(value, Mapping):
            pairs = [[json.dumps(self.of(key)), self.of(part)] for key, part in value.items()]
            return [_qualified(type(value)), pairs]
        if isinstance(value, np.ndarray | np.generic):
            array = np.ascontiguousarray(value)
            digest = hashlib.sha256(array.tobytes()).hexdigest()
            return ["array", str(array.dtype), list(array.shape), digest]
        if _is_tensor(value):
            return ["tensor", str(value.dtype), list(value.shape), _sha(_bytes_of(value))]
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.ModuleType):
            return self._module(value)
        if isinstance(value, functools.partial):
            return ["partial", self.of(value.func), self.of(value.args), self.of(value.keywords)]
        if isinstance(value, property):
            return ["property", self.of([value.fget, value.fset, value.fdel])]
        if isinstance(value, staticmethod | classmethod):
            return [type(value).__name__, self.of(value.__func__)]
        if isinstance(value, slice | range):
            return ["range", repr(value)]
        if isinstance(value, types.MethodType):
            return ["method", self.of(value.__func__), self.of(value.__self__)]
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.BuiltinFunctionType) or type(value).__module__ == "builtins":
            return self._builtin(value)
        if type(value).__module__ == "torch":  # dtypes, devices, memory formats
            return ["torch", str(value)]
        if _is_network(value):  # one that torch does not know as a part of the whole
            return [
                "network",
                [
                    [path, self.of(type(m)), self.attributes(m)]
                    for path, m in value.named_modules()
                ],
                _weights_digest(value),
            ]
        return ["object", self.of(type(value)), self.attributes(value)]

    def attributes(self, obj: Any) -> Any:
        """What an object holds, leaving out what belongs to torch's bookkeeping."""
        held = getattr(obj, "__dict__", None)
        if held is None:
            raise _Unknown(f"{type(obj).__name__} has no attributes to look at")
        own = {
            name: part
            for name, part in ((name, _hooks(name, part)) for name, part in held.items())
            if name not in _BOOKKEEPING and not (name.startswith("_") and _is_empty(part))
        }
        return [[name, self.of(own[name])] for name in sorted(own)]

    def _class(self, cls: type) -> Any:
        library = _library(cls.__module__)
        if library:
            return ["class", _qualified(cls), library]
        members = [
            [name, self.of(part)]
            for name, part in sorted(vars(cls).items())
            if name != "_abc_impl" and not (name.startswith("__") and not callable(part))
        ]
        return ["class", _qualified(cls), [self.of(base) for base in cls.__bases__], members]

    def _module(self, module: types.ModuleType) -> Any:
        library = _library(module.__name__)
        if library:
            return ["module", module.__name__, library]
        source = getattr(module, "__file__", None)
        if source is None or not Path(source).is_file():
            raise _Unknown(f"module {module.__name__} has no file")
        return ["module", module.__name__, _sha(Path(source).read_bytes())]

    def _function(self, function: types.FunctionType) -> Any:
        library = _library(function.__module__)
        if library:
            return ["function", _qualified(function), library]
        name = function.__qualname__
        if "<lambda>" in name:
            raise _Unknown("it is a lambda" if name == "<lambda>" else f"{name} is a lambda")
        try:
            cells = [self.of(cell.cell_contents) for cell in function.__closure__ or ()]
        except ValueError:  # a variable that is not set yet
            raise _Unknown(f"{name} uses a variable that has no value yet") from None
        used = {
            global_name: self.of(function.__globals__[global_name])
            for global_name in sorted(_globals_of(function.__code__))
            if global_name in function.__globals__
        }
        code = _code(function.__code__)
        defaults = self.of([function.__defaults__, function.__kwdefaults__])
        return ["function", name, code, defaults, cells, used]

    def _builtin(self, value: Any) -> Any:
        owner = getattr(value, "__self__", None)
        if owner is not None and not isinstance(owner, types.ModuleType | type):
            raise _Unknown(f"{value!r} is bound to an object")
        if not hasattr(value, "__qualname__"):
            raise _Unknown(f"{value!r} is of type {type(value).__name__}")
        return ["builtin", _qualified(value)]


def _is_empty(part: Any) -> bool:
    return part is None or (isinstance(part, Mapping | list | tuple | set) and not part)


def _hooks(name: str, part: Any) -> Any:
    """Hooks on a network without their numbers, which are those of this process, and ours."""
    if not (name.endswith(("_hooks", "_hooks_with_kwargs")) and isinstance(part, Mapping)):
        return part
    return [
        hook
        for hook in part.values()
        if not isinstance(hook, bool) and not getattr(hook, "__module__", "").startswith("skdnn.")
    ]


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and torch.is_tensor(value)


def _is_network(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def _sha(content: Any) -> str:
    return hashlib.sha256(content).hexdigest()


def _code(code: types.CodeType) -> Any:
    """Instructions and constants; names of files and numbers of lines do not count."""
    constants = [
        _code(part)
        if isinstance(part, types.CodeType)
        else sorted(map(repr, part))
        if isinstance(part, frozenset)
        else repr(part)
        for part in code.co_consts
    ]
    names = [*code.co_names, *code.co_varnames, *code.co_freevars]
    return [_sha(code.co_code), constants, names]


def _globals_of(code: types.CodeType) -> Iterator[str]:
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield step.argval
        elif step.opname == "IMPORT_NAME" and not _library(step.argval):
            raise _Unknown(f"it imports {step.argval!r} inside {code.co_name}()")
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from _globals_of(part)


@functools.lru_cache(maxsize=256)
def _library(module: str) -> str:
    """Version of the installed package (or Python) that a module belongs to; "" for one's own."""
    top = module.partition(".")[0]
    if (top in sys.stdlib_module_names and top != "__main__") or top == "builtins":
        return "python " + platform.python_version()
    found = sys.modules.get(top)
    source = getattr(found, "__file__", None) or _source_of(top)
    if not _is_installed(source):
        return ""
    version = getattr(found, "__version__", None)
    if version is None:
        names = importlib.metadata.packages_distributions().get(top, [])
        version = importlib.metadata.version(names[0]) if names else "?"
    return f"{top} {version}"


def _source_of(top: str) -> str:
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return ""
    return (found.origin if found is not None else None) or ""


def _is_installed(source: str) -> bool:
    if not source:
        return False
    path = Path(source).resolve()
    homes = {sysconfig.get_paths()[name] for name in ("purelib", "platlib")}
    own = Path(__file__).resolve().parents[1]
    return path.is_relative_to(own) or any(path.is_relative_to(Path(h).resolve()) for h in homes)
