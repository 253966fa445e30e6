"""The tensorflow engine: what is captured, graphs that are traced once, networks left alone."""

from __future__ import annotations

import gc
import os
import sys
import threading
import types
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from helpers.late import keras, late_keras, needs
from helpers.late import tensorflow as tf
from skdnn import _backends
from skdnn._backends import Capture, describe_layers, open_engine
from skdnn._layers import LayerInfo, pool, pooled_shape, resolve_layers
from skdnn.models import _keras as source
from skdnn.models._model_spec import ModelSpec

pytestmark = needs("tensorflow")
_tensorflow = late_keras("skdnn._backends._tensorflow_engine")
_tensorflow_layers = late_keras("skdnn._backends._tensorflow_layers")
networks = late_keras("helpers.keras_networks")

SHAPE = (20, 26, 3)
LIMIT = {"rtol": 1e-5, "atol": 1e-6}


def as_given(image: Any) -> Any:
    """A preprocessing that gives what it is given."""
    return image


def spec_of(network: Any, preprocess: Any = as_given) -> ModelSpec:
    wrapped = types.SimpleNamespace(network=network, preprocess=preprocess, name="own")
    return source.keras_custom_spec(wrapped, "default")


def randomise(network: Any, seed: int = 0) -> Any:
    """Weights, statistics too, so large that no activation is next to nothing."""
    rng = np.random.default_rng(seed)
    network.set_weights(
        [
            rng.uniform(0.5, 1.5, w.shape) if w.ndim == 1 else rng.normal(0, 0.3, w.shape)
            for w in network.get_weights()
        ]
    )
    return network


def functional() -> Any:
    """A shared layer, a branch, a nested Functional with a nested Sequential in it."""
    L = keras.layers
    inner_input = keras.Input((9, 12, 4), name="inner_input")
    y = L.Conv2D(5, 3, name="conv")(inner_input)
    y = keras.Sequential([L.BatchNormalization(name="norm"), L.ReLU(name="relu")], name="deep")(y)
    inner = keras.Model(inner_input, y, name="inner")
    x = keras.Input(SHAPE, name="image")
    shared = L.Activation("tanh", name="shared")
    h = shared(L.Conv2D(4, 3, strides=2, name="first")(x))
    left, right = inner(h), L.Conv2D(5, 3, name="right")(h)
    h = shared(L.Add(name="sum")([left, right]))
    h = L.GlobalAveragePooling2D(name="mean")(h)
    h = L.Dropout(0.5, name="drop")(h)
    out = L.Dense(6, name="head")(h)
    return randomise(keras.Model(x, L.Softmax(name="probabilities")(out), name="outer"))


def sequential() -> Any:
    L = keras.layers
    layers = [
        keras.Input(SHAPE),
        L.Conv2D(4, 5, strides=3, activation="relu", name="conv"),
        L.BatchNormalization(name="norm"),
        L.Flatten(name="flat"),
        L.Dense(7, name="dense"),
    ]
    return randomise(keras.Sequential(layers, name="chain"))


def own(name: str = "Own") -> Any:
    network = getattr(networks, name)(name="subclassed")
    network(np.zeros((1, *SHAPE), np.float32))
    return randomise(network)


def captures_of(spec: ModelSpec, names: Sequence[str], pooling: str = "flatten") -> list[Capture]:
    layers = describe_layers(spec, SHAPE)
    known = {info.name: info for info in layers}
    requests = resolve_layers(names, layers, "network")
    return [Capture(r, known[r.path].of(r), pooling) for r in requests]


def table(network: Any, shape: tuple[int, ...] = SHAPE) -> dict[str, LayerInfo]:
    return {info.name: info for info in describe_layers(spec_of(network), shape)}


def images(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, *SHAPE)).astype(np.float32)


def run(
    spec: ModelSpec, names: Sequence[str], batch: np.ndarray, n: int | None = None, **options: Any
) -> dict[str, np.ndarray]:
    """Features of the first n images of a batch."""
    pooling = options.pop("pooling", "flatten")
    captures = captures_of(spec, names, pooling)
    n = len(batch) if n is None else n
    shapes = {c.name: shape_of(c) for c in captures}
    rows = {name: np.full((n, *shape), np.nan, np.float32) for name, shape in shapes.items()}
    engine = open_engine(spec, "cpu", **options)
    with engine.session(captures, spec.preprocess) as forward:
        forward(list(batch), rows)
    return rows


def shape_of(capture: Capture) -> tuple[int, ...]:
    return pooled_shape(capture.info.output_shape, capture.pooling, capture.info)


def by_hand(network: Any, batch: np.ndarray) -> dict[str, np.ndarray]:
    """The functional network above, layer by layer."""

    def layer(model: Any, name: str, x: Any) -> Any:
        return model.get_layer(name)(x, training=False)

    inner = network.get_layer("inner")
    deep = inner.get_layer("deep")
    found = {"first": layer(network, "first", batch)}
    found["shared@0"] = layer(network, "shared", found["first"])
    found["inner/conv"] = layer(inner, "conv", found["shared@0"])
    found["inner/deep/norm"] = layer(deep, "norm", found["inner/conv"])
    found["inner/deep/relu"] = layer(deep, "relu", found["inner/deep/norm"])
    found["inner/deep"] = found["inner"] = found["inner/deep/relu"]
    found["right"] = layer(network, "right", found["shared@0"])
    found["sum"] = found["inner"] + found["right"]
    found["shared"] = found["shared@1"] = layer(network, "shared", found["sum"])
    found["penultimate"] = found["drop"] = layer(network, "mean", found["shared"])
    found["head"] = layer(network, "head", found["drop"])
    found["output"] = layer(network, "probabilities", found["head"])
    return {name: np.asarray(values) for name, values in found.items()}


def test_every_layer_equals_a_pass_by_hand() -> None:
    network, batch = functional(), images(3)
    expected = by_hand(network, batch)
    found = run(spec_of(network), list(expected), batch)
    for name, values in expected.items():
        assert values.std() > 1e-3  # nothing is equal because it is nothing
        assert_allclose(found[name], values, err_msg=name, **LIMIT)


def test_sequential_equals_sub_models() -> None:
    network, batch = sequential(), images(2)
    found = run(spec_of(network), ["conv", "norm", "flat", "penultimate", "output"], batch)
    for name in ("conv", "norm", "flat"):
        sub = keras.Model(network.inputs[0], network.get_layer(name).output)
        assert_allclose(found[name], sub(batch, training=False).numpy(), **LIMIT)
    assert_array_equal(found["penultimate"], found["flat"])
    assert_allclose(found["output"], network(batch, training=False).numpy(), **LIMIT)


@pytest.mark.parametrize("cls", ["Own", "Stubborn"])
def test_subclassed(cls: str) -> None:
    network, batch = own(cls), images(2)
    x = network.stem(batch)
    first = network.block.conv(x * 3 if cls == "Stubborn" else x)
    second = network.block.conv(first if cls == "Stubborn" else 2 * first)
    names = ["stem", "block[plain]@0", "block[double]", "block/conv@0", "block/conv", "output"]
    found = run(spec_of(network), names, batch)
    expected = [x, first, 2 * second, first, second, network(batch, training=False)]
    for name, values in zip(names, expected, strict=True):
        assert_allclose(found[name], values.numpy(), err_msg=name, **LIMIT)


def test_elements_of_tuples() -> None:
    network, batch = own(), images(2)
    found = run(spec_of(network), ["pair", "pair[0]", "pair[1]"], batch)
    assert_array_equal(found["pair"], found["pair[0]"])
    assert_allclose(found["pair[0]"], found["pair[1]"] + 3, **LIMIT)
    with pytest.raises(ValueError, match="no element '5'; its elements are '0', '1'"):
        captures_of(spec_of(network), ["pair[5]"])


def test_table_of_layers() -> None:
    known = table(functional())
    assert list(known) == [
        "first", "shared", "inner", "inner/conv", "inner/deep", "inner/deep/norm",
        "inner/deep/relu", "right", "sum", "mean", "drop", "head", "probabilities",
        "penultimate", "output",
    ]  # fmt: skip
    conv = known["inner/conv"]
    assert (conv.type, conv.output_shape, conv.n_calls) == ("Conv2D", (7, 10, 5), 1)
    assert (conv.n_params, conv.layout) == (3 * 3 * 4 * 5 + 5, "channels_last")
    assert known["shared"].n_calls == 2
    assert known["shared"].variants[0, None].output_shape == (9, 12, 4)
    assert known["shared"].output_shape == (7, 10, 5)
    assert known["inner"].n_params == conv.n_params + 4 * 5
    assert known["penultimate"].source == "head"
    assert known["penultimate"].output_shape == (5,)
    depths = [known[name].depth for name in ("first", "inner/conv", "inner", "sum", "head")]
    assert depths == sorted(depths)
    assert known["output"].depth == max(info.depth for info in known.values())


def test_layers_that_keras_cannot_tell_apart_get_numbers() -> None:
    class Twins(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.one = keras.layers.Conv2D(2, 3, name="same")
            self.two = keras.layers.Conv2D(3, 3, name="same")

        def call(self, x):
            return self.two(self.one(x))

    network, batch = Twins(), images(2)
    network(batch)
    known = table(network)
    assert list(known) == ["same", "same#1", "penultimate", "output"]
    found = run(spec_of(network), ["same", "same#1"], batch)
    assert_allclose(found["same#1"], network(batch).numpy(), **LIMIT)
    assert found["same"].shape == (2, 18, 24, 2)


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_pooling_equals_that_of_arrays(pooling: str) -> None:
    spec, batch = spec_of(functional()), images(3)
    names = ["first", "inner/conv", "head"]
    whole, found = run(spec, names, batch), run(spec, names, batch, pooling=pooling)
    for capture in captures_of(spec, names, pooling):
        expected = pool(whole[capture.name], pooling, capture.info)
        assert_allclose(found[capture.name], expected, **LIMIT)


def test_tokens() -> None:
    class Tokens(keras.layers.Layer):
        def build(self, shape):
            self.cls_token = self.add_weight(shape=(1, 1, shape[-1]), name="cls_token")

        def call(self, x):
            token = keras.ops.repeat(self.cls_token, keras.ops.shape(x)[0], axis=0)
            return keras.ops.concatenate([token, x], axis=1)

    L = keras.layers
    x = keras.Input(SHAPE)
    y = L.Reshape((-1, 8), name="tokens")(L.Conv2D(8, 5, strides=5, name="patches")(x))
    y = Tokens(name="with_class")(y)
    y = L.LayerNormalization(name="norm")(y)
    y = L.MultiHeadAttention(2, 4, name="attention")(y, y)
    network = randomise(keras.Model(x, y))
    spec, batch = spec_of(network), images(2)
    info = table(network)["norm"]
    assert (info.layout, info.has_class_token, info.n_prefix_tokens) == ("tokens", True, 1)
    whole = run(spec, ["norm"], batch)["norm"]
    assert_array_equal(run(spec, ["norm"], batch, pooling="cls")["norm"], whole[:, 0])
    both = run(spec, ["norm"], batch, pooling="cls+mean")["norm"]
    assert_allclose(both, np.hstack([whole[:, 0], whole[:, 1:].mean(1)]), **LIMIT)
    inside = run(spec, ["attention/query", "attention"], batch)
    assert inside["attention/query"].shape == (2, *table(network)["attention/query"].output_shape)


def test_rows_that_are_no_images_are_refused() -> None:
    class Windows(keras.layers.Layer):
        def call(self, x):
            return keras.ops.reshape(x, (-1, 10, 26, 3))

    x = keras.Input(SHAPE)
    network = keras.Model(x, keras.layers.Flatten()(Windows(name="windows")(x)))
    assert table(network)["windows"].layout == "not_per_image"
    with pytest.raises(ValueError, match="does not return one row per image"):
        captures_of(spec_of(network), ["windows"])


def test_padding_and_columns() -> None:
    spec, batch = spec_of(functional()), images(4)
    full = run(spec, ["inner/conv", "head"], batch)
    part = run(spec, ["inner/conv", "head"], np.concatenate([batch[:3], batch[:1]]), 3)
    for name, values in part.items():
        assert_array_equal(values, full[name][:3])
    captures = captures_of(spec, ["inner/conv", "head"])
    wide = np.full((4, 7 * 10 * 5 + 6), np.nan, np.float32)
    rows = {"inner/conv": wide[:, :-6], "head": wide[:, -6:]}
    with open_engine(spec, "cpu").session(captures, spec.preprocess) as forward:
        forward(list(batch), rows)
    assert_array_equal(wide[:, :-6], full["inner/conv"].reshape(4, -1))
    assert_array_equal(wide[:, -6:], full["head"])


# --- graphs --------------------------------------------------------------------------------


def test_one_trace_for_all_batches_and_four_graphs_kept() -> None:
    spec = spec_of(functional())
    engine = open_engine(spec, "cpu")
    sets = [["first"], ["head"], ["inner/conv", "output"], ["sum"], ["mean"], ["right"]]
    for names in sets:
        captures = captures_of(spec, names)
        with engine.session(captures, as_given) as forward:
            for seed in range(5):
                rows = {c.name: np.empty((3, *c.info.output_shape), np.float32) for c in captures}
                forward(list(images(3, seed)), rows)
        graph = engine.graph(captures, (3, *SHAPE))
        assert graph.is_traced
        assert graph.n_traces == 1
    assert len(engine._graphs) == 4
    again = open_engine(spec, "cpu")  # a user's network, opened anew for each call
    assert again is not engine
    assert again.graph(captures, (3, *SHAPE)) is graph


def test_a_graph_ends_at_the_deepest_layer() -> None:
    spec = spec_of(functional())
    engine = open_engine(spec, "cpu")

    def operations(names: list[str]) -> set[str]:
        graph = engine.graph(captures_of(spec, names), (2, *SHAPE))
        return {op.name for op in graph._run.graph.get_operations()}

    assert not any("right" in name or "head" in name for name in operations(["inner/conv"]))
    assert any("head" in name for name in operations(["output"]))


def test_a_pass_without_a_graph_stops_too() -> None:
    network = own("Stubborn")
    called: list[str] = []
    head = network.head.call
    vars(network.head)["call"] = lambda x, **kw: called.append("head") or head(x)
    spec = spec_of(network)
    captures = captures_of(spec, ["stem", "block@0"])
    called.clear()
    rows = {c.name: np.empty((2, *c.info.output_shape), np.float32) for c in captures}
    with open_engine(spec, "cpu").session(captures, as_given) as forward:
        forward(list(images(2)), rows)
    assert called == []
    assert vars(network.head)["call"](np.zeros((1, 5), np.float32)).shape == (1, 4)


def test_changes_of_a_users_network_are_seen() -> None:
    network, batch = functional(), images(2)
    spec = spec_of(network)
    run(spec, ["output"], batch)
    randomise(network, seed=1)
    assert_allclose(run(spec, ["output"], batch)["output"], network(batch).numpy(), **LIMIT)
    network.get_layer("shared").activation = keras.activations.sigmoid
    assert_allclose(run(spec, ["output"], batch)["output"], network(batch).numpy(), **LIMIT)
    chain = sequential()
    run(spec_of(chain), ["output"], batch)
    chain.pop()
    chain.add(keras.layers.Dense(7, name="dense"))
    found = run(spec_of(chain), ["output"], batch)["output"]
    assert_allclose(found, chain(batch).numpy(), **LIMIT)


def test_graphs_do_not_keep_a_network_alive() -> None:
    network = functional()
    spec = spec_of(network)
    run(spec, ["output"], images(2))
    gone = weakref.ref(network)
    del network, spec
    keras.utils.clear_session()
    gc.collect()
    assert gone() is None


# --- left as found -------------------------------------------------------------------------


def _look(network: Any) -> Any:
    layers = network._flatten_layers()
    nodes = [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in layers]
    own_call = ["call" in vars(layer) for layer in layers]
    return nodes, own_call, [layer.trainable for layer in layers], network.get_weights()


@pytest.mark.parametrize("build", [functional, sequential, own, lambda: own("Stubborn")])
def test_networks_are_left_as_they_were(build: Any) -> None:
    network = build()
    before = _look(network)
    settings = (keras.config.dtype_policy().name, keras.config.floatx())
    run(spec_of(network), ["penultimate", "output"], images(2))
    after = _look(network)
    assert before[:3] == after[:3]
    for one, other in zip(before[3], after[3], strict=True):
        assert_array_equal(one, other)
    assert (keras.config.dtype_policy().name, keras.config.floatx()) == settings


def test_left_as_found_after_an_error() -> None:
    network = functional()
    before = _look(network)

    def fail(*args: Any) -> None:
        raise RuntimeError("in the midst")

    layers = _tensorflow_layers.named_layers(network)
    with pytest.raises(RuntimeError, match="midst"):  # noqa: SIM117
        with _tensorflow_layers.watching(list(layers.values()), fail):
            network(images(1), training=False)
    assert _look(network)[:2] == before[:2]


def test_training_is_off() -> None:
    network, batch = functional(), images(2)
    found = run(spec_of(network), ["drop", "mean"], batch)
    assert_array_equal(found["drop"], found["mean"])
    statistics = network.get_layer("inner").get_layer("deep").get_layer("norm").moving_mean
    before = statistics.numpy().copy()
    run(spec_of(network), ["output"], 100 * batch)
    assert_array_equal(statistics.numpy(), before)


def test_two_threads() -> None:
    network = functional()
    spec = spec_of(network)
    expected = [run(spec, ["inner/conv", "output"], images(2, seed)) for seed in range(4)]
    found: list[Any] = [None] * 4

    def work(seed: int) -> None:
        found[seed] = run(spec, ["inner/conv", "output"], images(2, seed))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(expected, found, strict=True):
        assert_array_equal(one["output"], other["output"])


# --- precision, device, memory -------------------------------------------------------------


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("build", [functional, sequential])
def test_precision(precision: str, build: Any) -> None:
    network, batch = build(), images(2)
    spec = spec_of(network)
    exact, found = (run(spec, ["output"], batch, precision=p)["output"] for p in
                    ("float32", precision))  # fmt: skip
    digits = 2**-8 if precision == "bfloat16" else 2**-11
    assert 0 < np.abs(found - exact).max() < 30 * digits * np.abs(exact).max()
    assert {w.dtype for w in network.weights} == {"float32"}


def test_precision_of_subclassed_networks() -> None:
    with pytest.raises(ValueError, match="precision='float16': 'subclassed' can't be rebuilt"):
        run(spec_of(own()), ["output"], images(2), precision="float16")


def test_precision_that_cannot_hold_the_weights() -> None:
    network = sequential()
    network.set_weights([1e6 * w for w in network.get_weights()])
    with pytest.raises(ValueError, match=r"can't hold the values of .*conv"):
        run(spec_of(network), ["output"], images(2), precision="float16")


def test_compiled_by_xla() -> None:
    spec, batch = spec_of(functional()), images(2)
    plain = run(spec, ["inner/conv", "output"], batch)
    compiled = run(spec, ["inner/conv", "output"], batch, compile=True)
    for name, values in plain.items():
        assert_allclose(compiled[name], values, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="compile=True: 'subclassed' can't be traced"):
        run(spec_of(own("Stubborn")), ["output"], batch, compile=True)


def test_devices() -> None:
    assert _tensorflow.choose_device("cpu") == "cpu"
    n_gpus = len(tf.config.list_logical_devices("GPU"))
    assert _tensorflow.choose_device("auto") == ("cuda:0" if n_gpus else "cpu")
    for device in (f"cuda:{n_gpus}", "tpu", "cpu:1", "cuda:x"):
        with pytest.raises(ValueError, match=f"device='{device}' can't be used here"):
            _tensorflow.choose_device(device)


def test_batches_that_memory_does_not_hold_are_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    class Greedy(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.limited = networks.Limited(name="limited")

        def call(self, x):
            keras.ops.convert_to_numpy(x)  # no graph: the error comes with the values
            return self.limited(x)

    network = Greedy()
    network(images(1))
    spec, batch = spec_of(network), images(8)
    with pytest.warns(UserWarning, match="does not hold 8 images at once; 2 fit"):
        found = run(spec, ["limited"], batch, 7)
    assert_array_equal(found["limited"], batch[:7] + 1)
    monkeypatch.setattr(networks.Limited, "limit", 0)
    with pytest.raises(MemoryError, match="of a single image"):
        run(spec, ["limited"], images(2))


# --- what is refused -----------------------------------------------------------------------


def test_unbuilt_network() -> None:
    with pytest.raises(ValueError, match="Own has no weights yet: call it once"):
        table(networks.Own())


def test_wrong_size() -> None:
    with pytest.raises(ValueError, match=r"takes images of shape \(20, 26, 3\).*\(26, 20, 3\)"):
        describe_layers(spec_of(functional()), (26, 20, 3))


def test_two_inputs() -> None:
    a, b = keras.Input(SHAPE), keras.Input(SHAPE)
    with pytest.raises(ValueError, match="takes 2 inputs"):
        table(keras.Model([a, b], keras.layers.Add()([a, b])))


def test_sizes_that_differ_from_image_to_image() -> None:
    network = keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.Conv2D(2, 3, name="conv")]
    )
    spec = spec_of(network)
    captures = captures_of(spec, ["conv"])
    rows = {"conv": np.empty((1, *captures[0].info.output_shape), np.float32)}
    with (
        open_engine(spec, "cpu").session(captures, as_given) as forward,
        pytest.raises(ValueError, match="all images must have one size"),
    ):
        forward([np.zeros((30, 30, 3), np.float32)], rows)


def test_threads_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    with _backends.limit_threads(2):
        assert "TF_NUM_INTRAOP_THREADS" not in os.environ  # it runs already
    monkeypatch.delitem(sys.modules, "tensorflow")
    with _backends.limit_threads(2):
        assert os.environ["TF_NUM_INTRAOP_THREADS"] == "2"
    assert "TF_NUM_INTRAOP_THREADS" not in os.environ
