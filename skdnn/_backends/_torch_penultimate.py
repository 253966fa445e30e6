"""How the values of one torch forward pass come about, function by function."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from skdnn._backends._penultimate import ENDS, LINEAR, OUTPUT_SIDE, PASSES, SAME, Place, Step
from skdnn._layers import NETWORK

_SAME = """
    view reshape flatten unflatten squeeze unsqueeze contiguous to type float half double bfloat16
    detach clone type_as view_as reshape_as dropout alpha_dropout feature_dropout dropout1d
    dropout2d dropout3d feature_alpha_dropout rename as_subclass
"""
_PASSES = """
    permute transpose swapaxes swapdims movedim moveaxis t T mT expand expand_as repeat tile cat
    concat concatenate stack hstack vstack split chunk unbind tensor_split getitem select narrow
    index_select gather take roll flip pad setitem copy masked_fill where get
    mean sum nanmean max amax min amin logsumexp add radd iadd sub rsub isub mul rmul imul div
    truediv rtruediv itruediv true_divide neg lerp addcmul norm linalg_norm linalg_vector_norm
    clamp clamp_min sqrt rsqrt pow rpow square reciprocal normalize interpolate upsample
    avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
    softmax log_softmax softmin sigmoid logsigmoid argmax topk
"""
_KINDS = {**dict.fromkeys(_PASSES.split(), PASSES), **dict.fromkeys(_SAME.split(), SAME)}
_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
_PRODUCTS = ("linear", "matmul", "rmatmul", "mm", "addmm", "einsum", "tensordot", "inner")


@dataclass(eq=False)
class Frame:
    """A module that is running: which call of it, and what went in."""

    module: nn.Module
    call: int
    path: str
    given: torch.Tensor | None
    step: Step | None


class FlowWatch(TorchFunctionMode):
    """Notes for each tensor what made it, and of which others."""

    def __init__(self, paths: dict[nn.Module, str]) -> None:
        super().__init__()
        self._paths = paths
        self._running: list[Frame] = []
        # Weak: a pass with real arithmetic gives memory back as it goes. Keys are identities.
        self._steps: dict[int, tuple[weakref.ref[torch.Tensor], Step]] = {}

    def start(self, tensor: torch.Tensor) -> None:
        """What is fed in."""
        self._put(tensor, Step(ENDS))

    def step_of(self, tensor: torch.Tensor | None) -> Step | None:
        """What made a tensor; None for weights and constants."""
        known = self._steps.get(id(tensor))
        return known[1] if known is not None and known[0]() is tensor else None

    def _put(self, tensor: torch.Tensor, step: Step) -> None:
        self._steps[id(tensor)] = (weakref.ref(tensor), step)

    def enter(self, module: nn.Module, call: int, given: torch.Tensor | None) -> Step | None:
        """A module starts; gives what made its input."""
        step = self.step_of(given)
        self._running.append(Frame(module, call, self._paths[module], given, step))
        return step

    def leave(self, module: nn.Module, output: torch.Tensor | None) -> None:
        """A module is done; what it computed out of torch's sight counts as features."""
        frame = None
        while self._running and (frame is None or frame.module is not module):
            frame = self._running.pop()
        if frame is None or output is None:
            return
        step = self.step_of(output)
        if step is None:
            if frame.step is None:
                return
            step = Step(ENDS, (frame.step,))
            if isinstance(module, nn.Linear):
                step = Step(LINEAR, step.parents, Place(frame.path, call=frame.call), frame.path)
            self._put(output, step)
        if step.made_by is None and step is not frame.step:
            step.made_by = Place(frame.path, OUTPUT_SIDE, frame.call)

    @property
    def running(self) -> tuple[str, nn.Module] | None:
        """The innermost module that has started and not ended."""
        return (self._running[-1].path, self._running[-1].module) if self._running else None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "").strip("_")
        made = list(_tensors(args[0] if name == "setitem" else result))
        if made:
            taken = [*_tensors(args), *_tensors(kwargs)]
            known = {id(step): step for t in taken if (step := self.step_of(t)) is not None}
            if known:
                self._note(name, args, taken, tuple(known.values()), made)
        return result

    def _note(
        self,
        name: str,
        args: tuple[Any, ...],
        taken: list[torch.Tensor],
        parents: tuple[Step, ...],
        made: list[torch.Tensor],
    ) -> None:
        kind = _KINDS.get(name, ENDS)
        if kind == SAME and made[0] is taken[0]:
            return
        # Products of two values gate one by the other, as in x * sigmoid(x).
        if name in ("mul", "rmul", "imul") and (len(parents) > 1 or self._doubles(taken)):
            kind = ENDS
        step = Step(kind, parents)
        if len(parents) == 1 and (name in _PRODUCTS or _is_pointwise(name, args, made)):
            operand = next(t for t in taken if self.step_of(t) is not None)
            if not self._doubles(taken):
                step = Step(LINEAR, parents, *self._reader(operand, parents[0]))
        for tensor in made:
            self._put(tensor, step if len(made) == 1 else Step(kind, parents))

    def _doubles(self, taken: list[torch.Tensor]) -> bool:
        """Whether both factors are values of the pass."""
        return sum(self.step_of(tensor) is not None for tensor in taken) > 1

    def _reader(self, operand: torch.Tensor, step: Step) -> tuple[Place | None, str]:
        """Where what a linear step reads can be captured, and the layer that it belongs to."""
        if self._running:
            frame = self._running[-1]
            is_leaf = next(frame.module.children(), None) is None
            if is_leaf or frame.given is operand:
                return Place(frame.path, call=frame.call), frame.path
        head = self._running[-1].path if self._running else NETWORK
        return step.taken_over.made_by, head


def _is_pointwise(name: str, args: tuple[Any, ...], made: list[torch.Tensor]) -> bool:
    """Whether a convolution is a linear layer at each place, or over the whole map."""
    if name not in _CONVOLUTIONS or len(args) < 2 or not torch.is_tensor(args[1]):
        return False
    return set(args[1].shape[2:]) == {1} or set(made[0].shape[2:]) == {1}


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if torch.is_tensor(value):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
