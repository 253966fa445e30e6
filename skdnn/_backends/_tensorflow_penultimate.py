"""How the values of one pass through a Keras network come about, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from skdnn._backends._penultimate import ENDS, LINEAR, OUTPUT_SIDE, PASSES, SAME, Place, Step
from skdnn._layers import NETWORK

_SCORES = ("linear", "softmax", "sigmoid", "log_softmax")  # activations that a classifier may have
_HEADS = ("Dense", "EinsumDense")
_SAME_LAYERS = """
    Flatten Reshape Dropout SpatialDropout1D SpatialDropout2D GaussianDropout GaussianNoise
    AlphaDropout ActivityRegularization Identity Masking
"""
_PASSING_LAYERS = """
    Permute RepeatVector Cropping1D Cropping2D ZeroPadding1D ZeroPadding2D UpSampling1D
    UpSampling2D Resizing Rescaling Softmax Add Subtract Average Maximum Minimum Concatenate
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalMaxPooling1D GlobalMaxPooling2D
    AveragePooling1D AveragePooling2D
"""
_SAME_OPS = "Reshape Squeeze ExpandDims Identity StopGradient Cast Snapshot"
_PASSING_OPS = """
    Transpose StridedSlice Slice GatherV2 GatherNd Split SplitV Pack Unpack ConcatV2 Tile Pad PadV2
    MirrorPad ReverseV2 Mean Sum Max Min Add AddV2 AddN Sub Neg RealDiv BiasAdd Rsqrt Sqrt Square
    Maximum Pow L2Loss Softmax LogSoftmax Sigmoid ResizeBilinear ResizeNearestNeighbor AvgPool
    BroadcastTo Select SelectV2
"""
_LAYER_KINDS = {
    **dict.fromkeys(_PASSING_LAYERS.split(), PASSES),
    **dict.fromkeys(_SAME_LAYERS.split(), SAME),
}
_OP_KINDS = {
    **dict.fromkeys(_PASSING_OPS.split(), PASSES),
    **dict.fromkeys(_SAME_OPS.split(), SAME),
}


class Flow:
    """The steps of a traced pass; of one that could not be traced, only its layers are known."""

    def __init__(self) -> None:
        # By output: the innermost layer that gave it, its place, and what went in.
        self._made: dict[Any, tuple[keras.Layer, Place, list[tf.Tensor]]] = {}

    def note(
        self, layer: keras.Layer, path: str, call: int, inputs: Any, output: tf.Tensor
    ) -> None:
        """A layer is done."""
        known = [t for t in tf.nest.flatten(inputs) if tf.is_tensor(t)]
        if not any(output is given for given in known):
            place = Place(path, OUTPUT_SIDE, call)
            self._made.setdefault(output.ref(), (layer, place, known))

    def steps(self, blank: tf.Tensor) -> dict[Any, Step]:
        """What made each tensor of a graph, beginning with the images; not of constants."""
        found: dict[Any, Step] = {blank.ref(): Step(ENDS)}
        for op in blank.graph.get_operations():
            made = [out for out in op.outputs if out.ref() not in found]
            parents = _known(op.inputs, found)
            if not parents:
                continue
            for output in made:
                found[output.ref()] = self._step(op, output, parents, found)
        return found

    def _step(
        self, op: Any, output: tf.Tensor, parents: tuple[Step, ...], found: dict[Any, Step]
    ) -> Step:
        if output.ref() in self._made:
            layer, place, inputs = self._made[output.ref()]
            kind = kind_of(layer)
            if kind is not None:
                taken = _known(inputs, found) or parents
                reads = Place(place.layer, call=place.call) if kind == LINEAR else None
                return Step(kind, taken, reads, place.layer, place)
        else:
            place = None
        kind = _OP_KINDS.get(op.type, ENDS)
        if op.type == "Mul" and len(op.inputs) == 2 and len(_all(op.inputs, found)) == 1:
            kind = PASSES
        if op.type in ("MatMul", "BatchMatMulV2", "Einsum") and len(_all(op.inputs, found)) == 1:
            (read,) = parents
            return Step(LINEAR, parents, read.taken_over.made_by, NETWORK, place)
        return Step(kind, parents, made_by=place)


def _all(tensors: Iterable[tf.Tensor], found: dict[Any, Step]) -> list[Step]:
    return [found[tensor.ref()] for tensor in tensors if tensor.ref() in found]


def _known(tensors: Iterable[tf.Tensor], found: dict[Any, Step]) -> tuple[Step, ...]:
    return tuple({id(step): step for step in _all(tensors, found)}.values())


def kind_of(layer: keras.Layer) -> str | None:
    """What a layer does to what it takes; None where its operations tell it."""
    kind = type(layer).__name__
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if kind in _HEADS or isinstance(layer, keras.layers.Dense):
        return LINEAR if activation in _SCORES else ENDS
    if kind == "Activation":
        return PASSES if activation in _SCORES else ENDS
    if isinstance(layer, keras.layers.Conv2D | keras.layers.Conv1D):
        pointwise = set(layer.kernel_size) == {1}
        return LINEAR if pointwise and activation in _SCORES else ENDS
    if kind in _LAYER_KINDS:
        return _LAYER_KINDS[kind]
    own = not type(layer).__module__.startswith("keras.")
    is_nest = bool(list(layer._flatten_layers(include_self=False, recursive=False)))
    return None if own or is_nest else ENDS


def last_with_weights(called: Iterable[tuple[str, keras.Layer, int]]) -> Place | None:
    """Without a graph: the input of the last layer that has weights, if it may be a head.

    `called` are paths, layers and numbers of calls, in the order in which the layers ended.
    """
    leaves = [
        (path, layer, n_calls)
        for path, layer, n_calls in called
        if layer.variables and not list(layer._flatten_layers(include_self=False))
    ]
    if not leaves or kind_of(leaves[-1][1]) != LINEAR:
        return None
    path, _, n_calls = leaves[-1]
    return Place(path, call=n_calls - 1)
