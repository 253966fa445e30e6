"""Networks as a command is given them: by name, or by a function in a file of one's own."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib.util
import inspect
import random
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from skdnn.cli._reading import check_regular

#: ``FILE.py:FUNCTION``; without a function, one is asked for.
_IN_FILE = re.compile(r"(?P<file>.+\.py)(:(?P<function>\w*))?", re.DOTALL)


def network(text: str, weights: str | None = "default", seed: int = 0) -> Any:
    """The name that is given as --model, or the network that a file's function returns.

    Raises
    ------
    argparse.ArgumentError
        If weights are given for a network of one's own.
    FileNotFoundError, ValueError
        If there is no such file or function, or the function fails or returns something else.
    """
    found = _IN_FILE.fullmatch(text)
    if found is None:
        return text
    if weights != "default":
        raise argparse.ArgumentError(
            None, f"--weights goes with networks named by their name; {text} brings its own"
        )
    path = Path(found["file"]).expanduser()
    check_regular(path)
    if not path.is_file():
        raise FileNotFoundError(f"--model {text}: there is no file {path}.")
    state = path.stat()
    function = found["function"] or ""
    return _made(text, path.resolve(), function, seed, (state.st_mtime_ns, state.st_size))


def is_own(text: str) -> bool:
    """Whether this means a function in a file."""
    return _IN_FILE.fullmatch(text) is not None


def name_and_weights(text: str) -> tuple[str, str | None]:
    """``NAME@WEIGHTS`` apart; None where no weights are given."""
    name, sign, weights = text.partition("@")
    if is_own(text) or not sign:
        return text, None
    if not name or not weights:
        raise argparse.ArgumentError(
            None, f"--model {text}: before @ stands a network's name, and behind it its weights"
        )
    return name, weights


@lru_cache(maxsize=8)  # a command asks several times, and random weights must be the same ones
def _made(text: str, path: Path, name: str, seed: int, state: tuple[int, int]) -> Any:
    """What the function returns, called without arguments and with all generators at `seed`."""
    from skdnn.models import Model

    with _seeded(seed):
        try:
            module = _imported(path)
        except (Exception, SystemExit) as error:
            raise ValueError(
                f"--model {text}: {path.name} can't be run: {_told(error)}"
            ) from error
        function = _function(text, module, name)
        try:
            made = function()
        except (Exception, SystemExit) as error:
            raise ValueError(f"--model {text}: {name}() raised {_told(error)}") from error
    if isinstance(made, Model):
        return made
    try:
        return Model(made, name=f"{path.name}:{name}")
    except TypeError:
        raise ValueError(
            f"--model {text}: {name}() returned a {type(made).__name__}, and a torch.nn.Module, a "
            "keras.Model or a skdnn.models.Model is needed."
        ) from None


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _imported(path: Path) -> ModuleType:
    """The file as a module under its own name, as where it is run, its folder first on the path.

    A name that another module has already would be that module: then the file gets one of its own.
    """
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    held = sys.modules.get(path.stem)
    is_free = held is None or getattr(held, "__file__", None) == str(path)
    name = path.stem if is_free and path.stem.isidentifier() else f"skdnn_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # its name ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where pickles and fingerprints look for it
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _function(text: str, module: ModuleType, name: str) -> Any:
    found = getattr(module, name, None) if name else None
    if callable(found):
        return found
    own = [
        key
        for key, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    ]
    near = difflib.get_close_matches(name, own) or own
    hint = f"nearest: {', '.join(near[:5])}" if name else f"it has {', '.join(near[:5])}"
    hint = hint if near else "it defines none"
    if not name:
        raise ValueError(f"--model {text}: name a function of it, as FILE.py:FUNCTION ({hint}).")
    raise ValueError(f"--model {text}: there is no function {name!r} ({hint}).")


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The generators from which torch, Keras and numpy draw random weights; put back behind it."""
    import numpy as np
    import torch

    before = random.getstate(), np.random.get_state()  # noqa: NPY002 (what a file may draw from)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002
