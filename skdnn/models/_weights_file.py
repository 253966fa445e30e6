"""Weights from a file of one's own, under other names than the network's."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from skdnn._wording import listed, nearest
from skdnn.models._torch_weights import load_state_dict, unwrapped


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
            raise TypeError(f"path must be the path of a file, got {kind_of(path)}.")
        if not (keys is None or isinstance(keys, Mapping) or callable(keys)):
            raise TypeError(f"keys must be a dict or a function, got {kind_of(keys)}.")
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
            near = listed(nearest(self.entry, map(str, held)) or map(str, held))
            raise ValueError(f"{self!r}: there is no such entry in the file. There are: {near}.")
        return held[self.entry]

    def _new_name(self, name: str) -> str | None:
        if not isinstance(self.keys, Mapping):
            return self.keys(name) if self.keys else name
        start = max((key for key in self.keys if _begins(name, key)), key=len, default=None)
        new = name if start is None else self.keys[start]
        return new if new is None or start in (None, name) else new + name.removeprefix(start)

    def _renamed(self, state: dict[str, Any]) -> dict[str, Any]:
        if isinstance(self.keys, Mapping):
            unused = [k for k in self.keys if not any(_begins(name, k) for name in state)]
            if unused:
                near = listed(nearest(unused[0], state) or state, 3)
                raise ValueError(f"{self!r}: the file has no {unused[0]!r}. Nearest: {near}.")
        new = {name: self._new_name(name) for name in state}
        kept = [name for name in new.values() if name is not None]
        wrong = [name for name in kept if not isinstance(name, str) or kept.count(name) > 1]
        if wrong:
            given = listed((name for name, found in new.items() if found == wrong[0]), 3)
            raise ValueError(
                f"{self!r}: keys must give each tensor a name of its own; got {wrong[0]!r} for "
                f"{given}."
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


def kind_of(value: Any) -> str:
    """A value in a message: a state dict would fill the screen."""
    shown = repr(value) if isinstance(value, int | float | str | bytes | tuple) else ""
    return f"{type(value).__name__}: {shown}" if 0 < len(shown) < 200 else type(value).__name__
