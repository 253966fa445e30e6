"""Which values a classifier would read: followed back from what a network returns.

Pure functions over the steps of one forward pass, which each framework notes in its own way.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

INPUT, OUTPUT_SIDE = "input", "output"

# What a step does to the values that it takes.
LINEAR = "linear"  # weights and sums them: what a classifier does
PASSES = "passes"  # a classifier's scores stay scores: reshaped, averaged, made probabilities
SAME = "same"  # the same values in the same order
ENDS = "ends"  # anything else, such as a ReLU: what comes out are features


@dataclass(frozen=True)
class Place:
    """Where values can be captured: what goes into a layer, or comes out of it, at some call."""

    layer: str
    side: str = INPUT
    call: int = 0


@dataclass(eq=False)
class Step:
    """Values in a forward pass, what made them, and of which others.

    Attributes
    ----------
    kind : str
        ``LINEAR``, ``PASSES``, ``SAME`` (which values of several origins are not) or ``ENDS``.
    parents : tuple of Step
        Values that it takes; constants and weights are none.
    reads : Place or None
        Of a linear step: where what it takes can be captured.
    head : str
        Of a linear step: the layer that it belongs to.
    made_by : Place or None
        The layer whose output these values are.
    """

    kind: str
    parents: tuple[Step, ...] = ()
    reads: Place | None = None
    head: str = ""
    made_by: Place | None = None

    def __post_init__(self) -> None:
        if self.kind == SAME and len(self.parents) > 1:
            self.kind = PASSES

    @property
    def taken_over(self) -> Step:
        """What these values were taken over from as they are, back to the output of a layer."""
        step = self
        while step.made_by is None and step.kind == SAME:
            step = step.parents[0]
        return step


@dataclass(frozen=True)
class Head:
    """A layer that reads features: by its name and the values that go into it."""

    layer: str
    place: Place | None
    step: Step | None = field(repr=False)


class UnclearError(Exception):
    """It cannot be told what a classifier would read; says why."""


def choose(
    outputs: Mapping[str, Step], named: Sequence[Head], *, several: bool = False
) -> Place | None:
    """What a classifier would read; None if that is what the network returns.

    Parameters
    ----------
    outputs : dict of str to Step
        Tensors that the network returns, by the names of layers that they can be had as.
    named : sequence of Head
        Layers that the network itself names as its classifiers.
    several : bool, default=False
        Whether the outputs stand side by side, so that the first is not the one that is meant.

    Raises
    ------
    UnclearError
        If there are several heads that read different values, or several outputs without a head.
    """
    if not named:
        return _followed(outputs, several)
    place = _one_of(named).place
    assert place is not None  # the input of a layer
    try:
        inner = _followed(outputs, several)
    except UnclearError:
        return place
    # A head of several layers, put in the place of the one that is named.
    is_inside = inner is not None and inner.layer.startswith(f"{place.layer}.")
    return inner if is_inside else place


def _followed(outputs: Mapping[str, Step], several: bool) -> Place | None:
    """The same by what the outputs are made of alone."""
    heads = [head for last in outputs.values() for head in _heads_of(last)]
    if heads:
        found = _one_of(heads)
        if found.place is None:
            raise UnclearError(
                f"it is read in {found.layer}, between layers. Name the layer that you mean"
                f"{_such_as(layer_before(found.step))}"
            )
        return found.place
    if several and len(outputs) > 1:
        raise UnclearError(
            f"the network returns {len(outputs)} tensors, and none of them is that of a "
            f"classifier. Name the one that you mean: {', '.join(map(repr, outputs))}"
        )
    return None


# Words in the names of heads that only help in training.
_AUXILIARY = re.compile(r"(^|[._])(aux\w*|auxiliary|dist|distill\w*)([._]|$)")


def _one_of(heads: Sequence[Head]) -> Head:
    """The head, where all that are not auxiliary read the same values."""
    heads = [head for head in heads if not _AUXILIARY.search(head.layer)] or heads
    read = {id(_source(head.step)): head for head in heads}
    if len(read) == 1:
        return heads[0]
    told = [repr(head.layer) for head in read.values()]
    before = [layer_before(head.step) for head in read.values()]
    raise UnclearError(
        f"the network has {len(told)} heads that read different values: {', '.join(told[:8])}. "
        f"Name the layer that you mean{_such_as(*before)}"
    )


def _such_as(*places: Place | None) -> str:
    """Layers that lead to a head, by names that a user can ask for."""
    known = list(dict.fromkeys(place for place in places if place is not None))
    calls = Counter(place.layer for place in known)
    names = [p.layer if calls[p.layer] == 1 else f"{p.layer}@{p.call}" for p in known[:8]]
    return f" ({', '.join(map(repr, names))}: from there it goes into a head)" if names else ""


def _source(step: Step | None) -> Step | None:
    """The values that a step takes over as they are."""
    while step is not None and step.kind == SAME and step.parents:
        step = step.parents[0]
    return step


def layer_before(step: Step | None) -> Place | None:
    """The nearest layer whose output leads to these values."""
    waiting = [step] if step is not None else []
    while waiting:
        step = waiting.pop(0)
        if step.made_by is not None:
            return step.made_by
        waiting += step.parents
    return None


def _heads_of(last: Step) -> Iterator[Head]:
    """The linear steps whose sums are returned; none where features are."""
    behind = _behind([last], through=(PASSES, SAME))
    ends = [step for step in behind if step.kind not in (PASSES, SAME) or not step.parents]
    if any(step.kind != LINEAR for step in ends):
        return
    for step in ends:  # of a residual network, whose sums take part in later ones
        before = {id(other) for other in _behind(step.parents)}
        if any(id(other) in before for other in ends):
            return
    for step in ends:
        yield Head(step.head, step.reads, step.parents[0])


def _behind(steps: Iterable[Step], through: Sequence[str] | None = None) -> Iterator[Step]:
    """These steps and all that lead to them; `through` stops at other kinds."""
    seen: set[int] = set()
    waiting = list(steps)
    while waiting:
        step = waiting.pop()
        if id(step) in seen:
            continue
        seen.add(id(step))
        yield step
        if through is None or step.kind in through:
            waiting += reversed(step.parents)
