"""Networks that a function in a file of one's own returns."""

from __future__ import annotations

import contextlib
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

from skdnn._wording import listed, nearest
from skdnn.models._own_network import Model

#: ``FILE.py:FUNCTION``; without a function, one is asked for.
_IN_FILE = re.compile(r"(?P<file>.+\.py)(:(?P<function>\w*))?", re.DOTALL)


def load_own_network(text: str, *, seed: int = 0) -> Model:
    """Make the network that a function in a file returns, as ``--model FILE.py:FUNCTION`` does.

    The file is imported under its own name, its folder first on the path. The function is called
    without arguments, with the generators of Python, NumPy and torch at `seed`; they are put back
    behind it. The same file, function and seed give the same network for as long as the file
    does not change.

    Parameters
    ----------
    text : str
        ``"FILE.py:FUNCTION"``.
    seed : int, default=0
        Of random weights.

    Returns
    -------
    model : Model
        What :class:`~skdnn.DNNFeatureExtractor` takes.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If there is no such function (with the nearest ones), or the file or function fails or
        returns no network.

    See Also
    --------
    Model : A network of one's own, in Python.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skdnn.models import load_own_network
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "small_network.py"
    ...     _ = file.write_text(
    ...         "from torch import nn\\ndef make():\\n    return nn.Conv2d(3, 4, 3)\\n")
    ...     load_own_network(f"{file}:make").name
    'small_network.py:make'
    """
    found = _IN_FILE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not of the form FILE.py:FUNCTION.")
    path = Path(found["file"]).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{text}: there is no file {path}.")
    state = path.stat()
    version = (state.st_mtime_ns, state.st_size)
    return _made(text, path.resolve(), found["function"] or "", seed, version)


@lru_cache(maxsize=8)  # a command asks several times, and random weights must be the same ones
def _made(text: str, path: Path, name: str, seed: int, state: tuple[int, int]) -> Model:
    """What the function returns, called without arguments and with all generators at `seed`."""
    with _seeded(seed):
        try:
            module = _imported(path)
        except (Exception, SystemExit) as error:
            raise ValueError(f"{text}: {path.name} can't be run: {_told(error)}") from error
        function = _function(text, module, name)
        try:
            made = function()
        except (Exception, SystemExit) as error:
            raise ValueError(f"{text}: {name}() raised {_told(error)}") from error
    if isinstance(made, Model):
        return made
    try:
        return Model(made, name=f"{path.name}:{name}")
    except TypeError:
        raise ValueError(
            f"{text}: {name}() returned a {type(made).__name__}, and a torch.nn.Module, a "
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
    near = nearest(name, own) if name else []
    hint = f"it has {listed(own, show=str)}" if own else "it defines none"
    hint = f"nearest: {listed(near)}" if near else hint
    if not name:
        raise ValueError(f"{text}: name a function of it, as FILE.py:FUNCTION ({hint}).")
    raise ValueError(f"{text}: there is no function {name!r} ({hint}).")


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
