"""Plain values that stand for code and for what it holds: equal only where both are the same."""

from __future__ import annotations

import builtins
import copyreg
import dis
import functools
import importlib
import json
import os
import pickle
import re
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import xxhash

from skdnn._file_digests import bytes_of, digest_weights
from skdnn._identity._installed_packages import MAIN, library, sources

_SCALARS = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))
# What Python and torch write into a class for themselves.
# torch.compile replaces the first two in all networks, and transformers adds the last; a network
# that is there has been built.
_OF_BUILDING = {"__init__", "__setstate__", "smart_apply"}
# Of classes: names of Python's own, and where this process put a class of Keras.
_NUMBERED = re.compile("__|_api_export")
_UNSAID = re.compile(
    "_abc_impl|_backward_cls|_autograd_function_id|__(dict|weakref|doc|module|"
    "slotnames|orig_bases|abstractmethods|parameters|annotations|annotate_func|annotations_cache|firstlineno|"
    "static_attributes|dataclass_fields|dataclass_params)__"
)
# State of a torch module that says nothing of what it computes.
_BOOKKEEPING = ("_parameters", "_buffers", "_modules", "training", "_is_full_backward_hook")
# The same of a network of transformers: where its weights were read, and how.
_OF_TRANSFORMERS = (
    "_weight_conversions",
    "_is_hf_initialized",
    "_output_capturing_hooks_installed",
)
# Hooks that only look: ours, and those with which transformers collects hidden states.
_LOOKING = ("skdnn.", "transformers.utils.")
# By identity, whatever code calls them: what they give cannot be followed.
_OUT_OF_SIGHT = {
    **{id(os.environ): "os.environ", id(os.getenv): "os.getenv()", id(sys.modules): "sys.modules"},
    **{id(each): f"{each.__name__}()" for each in (eval, exec, globals, __import__)},
    **{id(each): f"{each.__name__}()" for each in (importlib.import_module, sys._getframe)},
}


class Unseen(Exception):
    """Something whose behaviour cannot be told from the outside; says where it was found."""

    def __init__(self, reason: str, *path: Any) -> None:
        super().__init__(f"{'.'.join(map(str, path))}: {reason}" if path else reason)
        self.reason, self.path = reason, path


def code_identity(value: Any, version: str | None, what: str) -> Any:
    """What a function or object computes; ValueError if it can't be told without a `version`."""
    describe = Description(version)
    return describe.whole(lambda: describe.of(value), what, value)


def network_identity(network: Any, forward: Any, version: str | None, weights: str | None) -> Any:
    """The same of one's own torch network, called by `forward`; `weights` where it is known."""
    describe, functional = Description(version), sys.modules["torch.nn.functional"]
    return describe.model(
        lambda: [describe.network(network), describe.of([forward]), describe.members(functional)],
        network,
        weights,
    )


def qualified(obj: Any) -> str:
    named = obj if hasattr(obj, "__qualname__") else type(obj)
    module = getattr(named, "__module__", "?")
    return f"{MAIN[0] if module in MAIN else module}.{named.__qualname__}"


class Description:
    """Describes objects by their class, their code and what they hold.

    Of installed packages the version counts; of one's own code every function that can be
    reached, and the source of its module. Where that cannot be told, a `version` stands for it.
    """

    def __init__(self, version: str | None, modules: set[str] | None = None) -> None:
        self._version = version
        self._modules: set[str] = set() if modules is None else modules
        self._seen: dict[int, tuple[int, Any]] = {}  # with the object, so that ids stay valid

    def whole(self, parts: Callable[[], Any], what: str, value: Any) -> list[Any]:
        """What `parts` gives, with the source of all modules met on the way."""
        try:
            found = parts()
            code = sources(self._modules)
        except (Unseen, RecursionError, OSError) as error:
            if self._version is None:
                raise ValueError(
                    f"cache: {what} is code that can't be fingerprinted ({error}), so that "
                    "activations stored now could outlive a change of it unnoticed. Give the "
                    "extractor version='1' (any name; another one whenever that code changes), "
                    "or use cache=None."
                ) from None
            found = qualified(value)
            code = sources(self._modules, readable=False)
        return [found, code, self._version]

    def model(self, parts: Callable[[], Any], network: Any, weights: str | None) -> list[Any]:
        told = self.whole(parts, f"model of class {type(network).__name__}", network)
        return [*told, weights or digest_weights(network)]

    def named(self, parts: Iterable[tuple[Any, Any]]) -> list[Any]:
        """Parts under their names, which errors tell."""
        found = []
        for name, part in parts:
            try:
                found.append([str(name), self.of(part)])
            except Unseen as error:
                raise Unseen(error.reason, name, *error.path) from None
        return found

    def of(self, value: Any) -> Any:
        if type(value) in _SCALARS:
            return [type(value).__name__, repr(value)]
        if type(value) is tuple:  # whether equal ones are one and the same is chance
            return ["tuple", [self.of(part) for part in value]]
        if id(value) in self._seen:
            return ["seen", self._seen[id(value)][0]]
        self._seen[id(value)] = (len(self._seen), value)
        try:
            if id(value) in _OUT_OF_SIGHT:
                raise Unseen(f"it uses {_OUT_OF_SIGHT[id(value)]}")
            return self._of(value)
        except Unseen:
            if self._version is None:
                raise
            return ["version", self._version, qualified(value)]

    def _of(self, value: Any) -> Any:
        kind = type(value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.ModuleType):
            return self._module(value)
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.MethodType):
            return ["method", self.of(value.__func__), self.of(value.__self__)]
        if isinstance(value, staticmethod | classmethod | property | functools._lru_cache_wrapper):
            inner = ("__wrapped__", "fget", "fset", "fdel")
            return [kind.__name__, self.of([getattr(value, name, None) for name in inner])]
        if kind is weakref.ref:
            return ["weak", self.of(value())]
        if kind is list:
            return ["list", [self.of(part) for part in value]]
        if kind in (set, frozenset):  # in no order: each part for itself
            parts = [Description(self._version, self._modules).of(part) for part in value]
            return ["set", sorted(map(json.dumps, parts))]
        if kind in (dict, types.MappingProxyType):
            parts = [part for _, part in self.named(value.items())]
            return ["dict", [self.of(key) for key in value], parts]
        if kind is np.ndarray or isinstance(value, np.generic):
            array = np.asarray(value)
            digest = xxhash.xxh3_128_hexdigest(bytes_of(array))
            held = self.of(array.ravel().tolist()) if array.dtype.hasobject else digest
            return ["array", str(array.dtype.descr), list(array.shape), held]
        if is_torch(value, "Tensor"):
            return ["tensor", *self._tensor(value), xxhash.xxh3_128_hexdigest(bytes_of(value))]
        if is_torch(value, "nn.Module"):  # one that torch does not know as a part of the whole
            modes = [module.training for module in value.modules()]
            return ["network", self.network(value), digest_weights(value), modes]
        if kind.__module__ == "torch" or qualified(kind) in ("_thread.lock", "_thread.RLock"):
            return ["torch", "" if "_thread" in kind.__module__ else str(value)]  # dtypes, devices
        own = not library(kind.__module__)
        says = (getattr(kind, f"__{name}__") for name in ("reduce", "reduce_ex", "getstate"))
        if own and not all(library(getattr(how, "__module__", None) or "sys") for how in says):
            raise Unseen(f"a {qualified(kind)} says itself what is pickled of it")
        held = self.named(state_of(value)) if own else None
        return ["object", self.of(kind), self._reduced(value), held]

    def _reduced(self, value: Any) -> Any:
        """What an object would be pickled as: what it holds by being a list, float, ... too."""
        reduce = copyreg.dispatch_table.get(type(value))
        try:
            parts = reduce(value) if reduce is not None else value.__reduce_ex__(4)
            if not isinstance(parts, str):
                return [self.of(list(p) if isinstance(p, Iterator) else p) for p in parts]
            home = pickle.whichmodule(value, parts)  # type: ignore[attr-defined]
            if _at(sys.modules[home], parts) is value:
                return parts
        except (TypeError, AttributeError, NotImplementedError, pickle.PicklingError):
            pass
        raise Unseen(f"it is a {qualified(type(value))}, whose state can't be seen")

    def network(self, network: Any) -> Any:
        """All modules of a torch network: class, attributes, hooks; not the weights."""
        modules = list(network.named_modules(remove_duplicate=False))
        for _, module in modules:
            self._seen.setdefault(id(module), (len(self._seen), module))
        return [
            [path, self.of(type(module)), self.named(self._attributes(module))]
            for path, module in modules
        ]

    def _attributes(self, module: Any) -> Iterator[tuple[str, Any]]:
        homes = {base.__module__.partition(".")[0] for base in type(module).__mro__}
        unsaid = (*_BOOKKEEPING, *(_OF_TRANSFORMERS if "transformers" in homes else ()))
        for name, part in state_of(module):
            if name.endswith(("_hooks", "_hooks_with_kwargs")) and isinstance(part, Mapping):
                hooks = (hook for hook in part.values() if not isinstance(hook, bool))
                part = [hook for hook in hooks if not f"{hook.__module__}.".startswith(_LOOKING)]
            empty = part is None or (isinstance(part, Mapping | list | tuple | set) and not part)
            if name not in unsaid and not (name.startswith("_") and empty):
                yield name, part
        for name, tensor in {**module._parameters, **module._buffers}.items():
            if tensor is not None and (more := self._tensor(tensor)[2:]):
                yield name, more

    def _tensor(self, tensor: Any) -> list[Any]:
        """Type and shape; class and attributes where they are more than torch's."""
        told, kind, held = [str(tensor.dtype), list(tensor.shape)], type(tensor), state_of(tensor)
        own = held or not library(kind.__module__)
        return [*told, self.of(kind), self.named(held)] if own else told

    def _class(self, cls: type) -> Any:
        installed = library(cls.__module__)
        if installed:
            homes = [(base, library(base.__module__)) for base in cls.__mro__]
            held = [self.members(base) if home else self.of(base) for base, home in homes]
            return ["class", qualified(cls), installed, held]
        self._modules.add(cls.__module__)
        kind, bases = self.of(type(cls)), [self.of(base) for base in cls.__bases__]
        members = [(n, m) for n, m in sorted(vars(cls).items()) if not _UNSAID.fullmatch(n)]
        return ["class", qualified(cls), kind, bases, self.named(members)]

    def members(self, owner: Any) -> list[Any]:
        """Functions of an installed class or module: by name, or one's own put in their place."""
        found: list[Any] = []
        for name, member in sorted(vars(owner).items()):
            inner = getattr(member, "__func__", getattr(member, "fget", member))
            if name in _OF_BUILDING:
                continue
            if isinstance(inner, types.FunctionType):
                found.append([name, qualified(inner) if _home(inner)[1] else self.of(inner)])
            elif _NUMBERED.match(name) or not isinstance(owner, type):
                continue
            elif type(member) in _SCALARS:
                found.append([name, repr(member)])
        return found

    def _module(self, module: types.ModuleType) -> Any:
        """A module of one's own with all that it holds: nobody knows what of it is used."""
        name, installed = module.__name__, library(module.__name__)
        if installed:
            return ["module", name, installed]
        self._modules.add(name)
        parts = [
            (key, part)
            for key, part in sorted(vars(module).items())
            if not key.startswith("__") and sys.modules.get(f"{name}.{key}") is not part
        ]
        return ["module", name, self.named(parts)]

    def _function(self, function: types.FunctionType) -> Any:
        name, (home, code) = function.__qualname__, _home(function)
        if code and _at(sys.modules.get(home), name) is function:
            return ["function", qualified(function), code]
        used: list[Any] = []
        if not code:  # else of a decorator, say: what it was given is in its variables
            if "<lambda>" in name:
                raise Unseen("it is a lambda" if name == "<lambda>" else f"{name} is a lambda")
            self._modules.add(home)
            code, used = _code(function.__code__), self.named(_used(function))
        try:
            cells = [cell.cell_contents for cell in function.__closure__ or ()]
        except ValueError:  # a variable that is not set yet
            raise Unseen(f"{name} uses a variable that has no value yet") from None
        closed = self.named(zip(function.__code__.co_freevars, cells, strict=True))
        more = self.of([function.__defaults__, function.__kwdefaults__, vars(function)])
        return ["function", name, code, more, closed, used]


def _used(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Globals that a function reads; of modules, the attributes that it reads of them."""
    for path, *more in sorted(set(_reads(function.__code__))):
        value = function.__globals__.get(path, getattr(builtins, path, None))
        if path not in function.__globals__ and id(value) not in _OUT_OF_SIGHT:
            continue
        installed = library(value.__name__) if isinstance(value, types.ModuleType) else ""
        while more and isinstance(value, types.ModuleType) and hasattr(value, more[0]):
            path, value = f"{path}.{more[0]}", getattr(value, more.pop(0))
        plain = (types.FunctionType, types.ModuleType, type, tuple, *_SCALARS)
        told = isinstance(value, plain) or not library(type(value).__module__)
        if installed and not told and id(value) not in _OUT_OF_SIGHT:
            value = f"{qualified(value)} {installed}"
        yield path, value


def _reads(code: types.CodeType) -> Iterator[tuple[str, ...]]:
    """Global names that code reads, with the attributes that it reads of them at once."""
    chain: tuple[str, ...] = ()
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_ATTR", "LOAD_METHOD") and chain:
            chain = (*chain, step.argval)
        elif step.opname != "EXTENDED_ARG":
            if chain:
                yield chain
            chain = (step.argval,) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME") else ()
        if step.opname == "IMPORT_NAME" and not library(step.argval):
            what = repr(step.argval) if step.argval else "a part of its own package"
            raise Unseen(f"it imports {what} inside {code.co_name}()")
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from _reads(part)


def _code(code: Any) -> Any:
    """Instructions and constants; names of files and numbers of lines do not count."""
    if isinstance(code, frozenset | tuple):
        parts = [json.dumps(_code(part)) for part in code]
        return [type(code).__name__, sorted(parts) if isinstance(code, frozenset) else parts]
    if not isinstance(code, types.CodeType):
        return repr(code)
    names = [*code.co_names, *code.co_varnames, *code.co_freevars, *code.co_cellvars]
    counts = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags]
    steps = xxhash.xxh3_128_hexdigest(code.co_code + b"\0" + code.co_exceptiontable)
    return [steps, _code(code.co_consts), names, counts]


def _at(home: Any, path: str) -> Any:
    return functools.reduce(lambda found, name: getattr(found, name, None), path.split("."), home)


def _home(function: types.FunctionType) -> tuple[str, str]:
    """Module that a function was written in, whatever a decorator says; version, if installed."""
    home = str(function.__globals__.get("__name__", "?"))
    return home, library(home)


def state_of(value: Any) -> list[tuple[str, Any]]:
    """Attributes of an object, those in slots too, whatever it says when it is pickled."""
    state = object.__getstate__(value)
    parts = state if isinstance(state, tuple) else (state,)
    return sorted((str(name), held) for part in parts if part for name, held in part.items())


def is_torch(value: Any, kind: str) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, _at(torch, kind))
