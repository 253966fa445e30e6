"""Images on their way to the device, activations on their way back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from skdnn.models import Preprocessing

_STAGED_BYTES = 256 * 2**20  # page-locked memory that a forward pass on a GPU may fill


def landing_for(device: torch.device) -> Direct | Staged:
    """The way by which activations come from a device."""
    return Staged(device) if device.type == "cuda" else Direct()


class Direct:
    """Activations go straight into the caller's rows."""

    def put(self, values: torch.Tensor, target: torch.Tensor) -> None:
        target.copy_(values)

    def finish(self) -> None:
        pass

    def discard(self) -> None:
        pass


class Staged:
    """Activations leave a GPU on a stream of their own, while the forward pass goes on.

    They land in page-locked memory, which copies need to run beside the arithmetic, and go from
    there into the caller's rows when the pass is over or the staging memory is full. torch keeps
    page-locked blocks for reuse and gives none out again before its last copy is done.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._waiting: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._bytes = 0

    def put(self, values: torch.Tensor, target: torch.Tensor) -> None:
        # A copy in any case: a module behind may overwrite the tensor before it has left.
        own = torch.empty(values.shape, dtype=target.dtype, device=values.device).copy_(values)
        staged = torch.empty(own.shape, dtype=own.dtype, pin_memory=self._stream is not None)
        if self._stream is None:
            staged.copy_(own)
        else:
            self._stream.wait_stream(torch.cuda.current_stream(own.device))
            with torch.cuda.stream(self._stream):
                staged.copy_(own, non_blocking=True)
            own.record_stream(self._stream)  # its memory is not given out before the copy is done
        self._waiting.append((staged, target))
        self._bytes += staged.nbytes
        if self._bytes >= _STAGED_BYTES:
            self.finish()

    def finish(self) -> None:
        if self._stream is not None:
            self._stream.synchronize()
        for staged, target in self._waiting:
            target.copy_(staged)
        self.discard()

    def discard(self) -> None:
        self._waiting = []
        self._bytes = 0


def make_batch(
    prepared: Sequence[Any], preprocess: Any, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """Stack prepared images: uint8 pixels are scaled and normalised as torchvision does it.

    A GPU is sent page-locked memory, so that the copy need not be waited for.
    """
    on_gpu = device.type == "cuda"
    if isinstance(preprocess, Preprocessing):
        shape = (len(prepared), *np.shape(prepared[0]))
        pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=on_gpu)
        np.stack(prepared, out=pixels.numpy())
        pixels = pixels.to(device, non_blocking=on_gpu)
        batch = pixels.permute(0, 3, 1, 2).to(torch.float32)  # channels-last memory
        full, mean, std = _constants(tuple(preprocess.mean), tuple(preprocess.std), device)
        return batch.div_(full).sub_(mean).div_(std).to(dtype)
    batch = torch.stack([torch.as_tensor(image) for image in prepared])
    if on_gpu and batch.device.type == "cpu":
        batch = batch.pin_memory()
    memory_format = torch.channels_last if batch.ndim == 4 else torch.contiguous_format
    return batch.to(device=device, dtype=dtype, memory_format=memory_format, non_blocking=on_gpu)


@lru_cache(maxsize=8)
def _constants(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """255, mean and deviation of the channels, on the device: sending them makes a GPU wait."""
    return (
        torch.tensor(255.0, device=device),  # a GPU would multiply by the inverse of a number
        torch.tensor(mean, device=device).view(-1, 1, 1),
        torch.tensor(std, device=device).view(-1, 1, 1),
    )
