"""Progress of long work: bars of tqdm, which in a notebook end as a line that stays in it.

tqdm's own bar for notebooks needs ipywidgets, and is missing from a notebook that is exported or
opened elsewhere; the one for shells becomes a line for each of its steps there.
"""

from __future__ import annotations

import html
import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from skdnn._wording import counted, in_bytes, in_time


def progress_bar(iterable: Iterable[Any] | None = None, **options: Any) -> tqdm[Any]:
    """A bar that suits the place where the code runs, with the arguments of tqdm."""
    return (NotebookBar if is_notebook() else tqdm)(iterable, **options)


def tell(message: str) -> None:
    """Say something beside the bars: not as a result, but in a notebook not as an error either."""
    if is_notebook():
        print(message, flush=True)
    else:
        tqdm.write(message, file=sys.stderr)


def is_notebook() -> bool:
    """Whether what is displayed can be replaced later; in Spyder's console it cannot."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None and "spyder_kernels" not in sys.modules


class NotebookBar(tqdm):
    """A bar of plain HTML that each step replaces, and a line of text once it is closed."""

    monitor_interval = 0  # no thread: what it displayed would belong to no cell

    def __init__(self, iterable: Iterable[Any] | None = None, **options: Any) -> None:
        from IPython.display import display

        # `gui` is tqdm's word for bars that do without lines of text.
        own = {"gui": True, "disable": bool(options.get("disable")), "mininterval": 0.25}
        super().__init__(iterable, **options | own)
        self._seconds: float | None = None  # that it took, once it is closed
        if not self.disable:
            self._shown = display(self, display_id=True)

    def display(self, *_: Any, **__: Any) -> None:
        self._shown.update(self)

    def clear(self, *_: Any, **__: Any) -> None:
        """Nothing: lines of text do not get in its way."""

    def close(self) -> None:
        if not self.disable:
            super().close()
            self._seconds = self.format_dict["elapsed"]
            self.display()

    def __repr__(self) -> str:
        doing = f"{self.desc.removesuffix(': ')}: " if self.desc else ""
        if self._seconds is None:
            left = self._seconds_left()
            more = "" if left is None else f", about {in_time(left)} left"
            now = f" ({self.postfix})" if self.postfix else ""
            return f"{doing}{self._count()}{more}{now}"
        took = "under 1 s" if self._seconds < 1 else in_time(self._seconds)
        complete = self.total is None or self.n >= self.total
        return f"{doing}{'' if complete else 'stopped after '}{self._count()} in {took}"

    def _repr_html_(self) -> str:
        line = html.escape(repr(self))
        if self._seconds is not None:
            return f"<div>{line}</div>"
        place = "" if self.total is None else f' value="{self.n}" max="{self.total}"'
        style = "width:12em;vertical-align:middle;margin-right:.6em"
        return f'<div><progress{place} style="{style}"></progress>{line}</div>'

    def _count(self) -> str:
        """How many, of how many."""
        of = "" if self.total is None else "of "
        if self.unit == "B":
            total = "" if self.total is None else in_bytes(self.total)
            return f"{in_bytes(self.n)} {of}{total}".rstrip()
        if self.total is None:
            return counted(int(self.n), self.unit)
        return f"{int(self.n):,} of {counted(int(self.total), self.unit)}"

    def _seconds_left(self) -> float | None:
        told = self.format_dict
        if not self.total or self.n <= self.initial:
            return None
        rate: float = told["rate"] or (self.n - self.initial) / max(told["elapsed"], 1e-9)
        return (self.total - self.n) / rate
