"""The table of a network's layers, from what one forward pass shows of each of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from skdnn._backends._engine import elements, first_part, without_tensor
from skdnn._backends._penultimate import INPUT, Place, UnclearError
from skdnn._layers import NOT_PER_IMAGE, OUTPUT, PENULTIMATE, TOKENS, VECTOR, LayerInfo

Look = tuple[tuple[int, ...], str]  # shape, with the batch axis, and layout


@dataclass
class Passes:
    """What the calls of one layer have shown."""

    n_calls: int = 0
    finished: int = -1  # when the last one ended, counted over all layers
    given: list[Look] = field(default_factory=list)
    seen: dict[tuple[int, str | None], Look] = field(default_factory=dict)
    without_tensor: str = ""


class LayerTable:
    """Notes what goes into each layer and comes out; `layers` makes the table of it.

    Parameters
    ----------
    network : object
        The whole, whose call is noted as that of a layer.
    named : dict of str to object
        All layers by their paths; a layer may have several.
    is_tensor : callable
        Whether something is one of the framework's tensors.
    n_images : int
        Images in the batch: a size that no axis of a network is likely to have by chance.
    batch_axes : int
        Among how many axes, from the first, that of the images is looked for.
    """

    def __init__(
        self,
        network: Any,
        named: dict[str, Any],
        is_tensor: Callable[[Any], bool],
        n_images: int,
        batch_axes: int,
    ) -> None:
        self.network = network
        self.is_tensor = is_tensor
        self.named = named
        self.penultimate: Place | None = None
        self.unclear = ""
        self.last: tuple[str, tuple[int, ...]] = (VECTOR, ())  # layout and shape computed last
        self._n_images = n_images
        self._batch_axes = batch_axes
        self.n_finished = 0
        self._passes = {id(layer): Passes() for layer in (network, *named.values())}

    # What a framework knows.

    @abstractmethod
    def layout_of(self, layer: Any, shape: tuple[int, ...]) -> str:
        """Where the unit axis of a layer's output lies."""

    @abstractmethod
    def layout_of_input(self, shape: tuple[int, ...]) -> str:
        """The same of what goes into a layer."""

    @abstractmethod
    def n_params(self, layer: Any) -> int:
        """Parameters of a layer, its children's included."""

    @abstractmethod
    def prefix_tokens(self, shape: tuple[int, ...]) -> tuple[int, bool]:
        """Tokens before the image's own, and whether the first is a class token."""

    def shape_of(self, tensor: Any) -> tuple[int, ...]:
        return tuple(tensor.shape)

    # While the pass runs.

    def passes(self, layer: Any) -> Passes:
        return self._passes[id(layer)]

    def first_tensor(self, value: Any) -> Any:
        """The first tensor in a tensor, tuple, list or dict, however deep; None without any."""
        return first_part(value, self.is_tensor)

    def note_input(self, layer: Any, tensor: Any) -> None:
        """A call of a layer begins."""
        shape = () if tensor is None else self.shape_of(tensor)
        self.passes(layer).given.append((shape, self.layout_of_input(shape)))

    def note_output(self, layer: Any, output: Any) -> None:
        """A call of a layer has ended."""
        passes = self.passes(layer)
        call, passes.n_calls = passes.n_calls, passes.n_calls + 1
        passes.finished, self.n_finished = self.n_finished, self.n_finished + 1
        for key, part in elements(output).items():
            tensor = self.first_tensor(part)
            if tensor is not None:
                shape = self.shape_of(tensor)
                passes.seen[call, key] = (shape, self.layout_of(layer, shape))
        if (call, None) in passes.seen:
            shape, layout = passes.seen[call, None]
            self.last = (layout, shape)
        else:
            passes.without_tensor = without_tensor(output)

    def decide(self, choose: Callable[[], Place | None]) -> None:
        """Once the pass is over: which values a classifier reads, or why that is not clear."""
        try:
            self.penultimate = choose()
        except UnclearError as error:
            self.unclear = f"it is not clear: {error}"

    # Afterwards.

    def per_image(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """A shape without the axis of the images; None where there is none."""
        axis = self._batch_axis(shape)
        return None if axis is None else shape[:axis] + shape[axis + 1 :]

    def _batch_axis(self, shape: tuple[int, ...]) -> int | None:
        sizes = enumerate(shape[: self._batch_axes])
        return next((axis for axis, size in sizes if size == self._n_images), None)

    def layers(self) -> list[LayerInfo]:
        """All layers in the network's order, then ``"penultimate"`` and ``"output"``."""
        called = [key for key, passes in self._passes.items() if passes.n_calls]
        called.sort(key=lambda key: self._passes[key].finished)
        self._depths = {key: depth for depth, key in enumerate(called)}
        found = [self._with_variants(path, layer) for path, layer in self.named.items()]
        output = self._with_variants(OUTPUT, self.network).of_network()
        if PENULTIMATE not in self.named:
            found.append(self._penultimate(output))
        if OUTPUT not in self.named:
            found.append(output)
        return found

    def _penultimate(self, output: LayerInfo) -> LayerInfo:
        place = self.penultimate
        if self.unclear:
            return LayerInfo(PENULTIMATE, "", (), 0, 0, refusal=self.unclear)
        if place is None:
            return replace(output, name=PENULTIMATE)
        layer = self.named[place.layer]
        passes, call = self.passes(layer), place.call
        look = passes.given[call] if place.side == INPUT else passes.seen[call, None]
        info = self._info(PENULTIMATE, layer, *look)
        return replace(info, source=place.layer, side=place.side, n_calls=call + 1)

    def _with_variants(self, name: str, layer: Any) -> LayerInfo:
        passes = self.passes(layer)
        last = passes.n_calls - 1
        unseen = ((), NOT_PER_IMAGE if passes.n_calls else VECTOR)
        info = self._info(name, layer, *passes.seen.get((last, None), unseen))
        if passes.n_calls and (last, None) not in passes.seen:
            info = replace(info, refusal=passes.without_tensor)
        if len(passes.seen) > 1:
            info.variants.update(
                {at: self._info(name, layer, *look) for at, look in passes.seen.items()}
            )
        return info

    def _info(self, name: str, layer: Any, shape: tuple[int, ...], layout: str) -> LayerInfo:
        own = self.per_image(shape)
        n_calls = self.passes(layer).n_calls
        if own is None and n_calls:
            layout = NOT_PER_IMAGE
        own = shape if own is None else own
        n_prefix, has_class = self.prefix_tokens(own) if layout == TOKENS else (0, False)
        return LayerInfo(
            name=name,
            type=type(layer).__name__,
            output_shape=own,
            n_params=self.n_params(layer),
            n_calls=n_calls,
            layout=layout,
            n_prefix_tokens=n_prefix,
            has_class_token=has_class,
            depth=self._depths.get(id(layer), -1),
            batch_axis=self._batch_axis(shape) or 0,
        )
