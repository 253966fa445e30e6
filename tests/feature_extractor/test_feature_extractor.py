"""The extractor against hand-written hooks, and the contracts of its rows."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr
from torch import nn

from helpers.late import models
from skdnn import DNNFeatureExtractor, list_layers
from skdnn.models import Model
from skdnn.models._registry import resolve_model

SMALL = {"resize": (32, 40), "crop": None}


class ThreeLayers(nn.Module):
    """Convolution, in-place ReLU called twice, a tuple, a dict, and a linear layer."""

    class Both(nn.Module):
        def forward(self, x):
            return x * 2, x + 1

    class Named(nn.Module):
        def forward(self, x):
            return {"first": x - 3, "second": x / 7}

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, stride=2)
        self.norm = nn.BatchNorm2d(5)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(5, 7, 3, stride=2)
        self.both = self.Both()
        self.named = self.Named()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(7, 4)
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        x = self.relu(self.norm(self.conv(x)))
        x = self.relu(self.conv2(x))
        x, y = self.both(x)
        named = self.named(x + y)
        return self.fc(self.pool(named["first"] + named["second"]).flatten(1))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(3)
    net = ThreeLayers().eval()
    net.norm.running_mean += 0.1
    return net


@pytest.fixture
def extractor(network: nn.Module) -> DNNFeatureExtractor:
    return DNNFeatureExtractor(Model(network, SMALL), "fc")


def by_hand(net: nn.Module, names: list[str], batch: torch.Tensor) -> dict[str, np.ndarray]:
    """What a careful user would write: hooks that clone, the last call counting."""
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str):
        def hook(module, args, output):
            while isinstance(output, (tuple, list, dict)):
                values = output.values() if isinstance(output, dict) else output
                output = next(iter(values))
            seen[name] = output.clone()

        return hook

    modules = dict(net.named_modules())
    handles = [modules[name].register_forward_hook(keep(name)) for name in names]
    with torch.no_grad():
        net(batch)
    for handle in handles:
        handle.remove()
    return {name: tensor.numpy() for name, tensor in seen.items()}


def batch_of(paths: list[str], preset) -> torch.Tensor:
    return torch.stack([preset(Image.open(p).convert("RGB")) for p in paths])


@pytest.mark.parametrize(
    "name",
    ["alexnet", "resnet18", "googlenet", "densenet121", "mobilenet_v2", "vit_b_16", "swin_t"],
)
def test_every_module_equals_a_hook_with_a_clone(name, example_paths):
    paths = [str(p) for p in example_paths]
    extractor = DNNFeatureExtractor(name, weights=None, random_state=1, batch_size=len(paths))
    table = extractor.layer_table()
    layers = table.loc[(table.n_calls > 0) & (table.source == ""), "layer"].tolist()
    assert len(layers) > 20
    found = extractor.extract(paths, layers)
    net = resolve_model(name, weights=None, seed=1).load()
    batch = batch_of(paths, models.get_model_weights(name).DEFAULT.transforms())
    plain = by_hand(net, layers, batch)
    net = net.to(memory_format=torch.channels_last)
    same = by_hand(net, layers, batch.to(memory_format=torch.channels_last))
    assert set(found) == set(plain)
    for layer in layers:
        assert found[layer].shape == same[layer].shape
        scale = np.abs(same[layer]).max()
        assert_allclose(found[layer], same[layer], rtol=0, atol=1e-6 * scale, err_msg=layer)
        assert_allclose(found[layer], plain[layer], rtol=0, atol=1e-4 * scale, err_msg=layer)


def test_table_shapes_are_those_of_the_activations(network, image_paths):
    extractor = DNNFeatureExtractor(Model(network, SMALL))
    table = extractor.layer_table().set_index("layer")
    called = table.index[table.n_calls > 0].tolist()
    found = extractor.extract(image_paths, called)
    assert {k: v.shape[1:] for k, v in found.items()} == dict(table.output_shape[called])
    assert table.n_calls["relu"] == 2
    assert table.n_calls["unused"] == 0
    assert table.n_params["fc"] == 32


def test_calls_and_elements(network, image_paths):
    extractor = DNNFeatureExtractor(Model(network, SMALL))
    found = extractor.extract(
        image_paths,
        ["relu@0", "relu@1", "relu", "norm", "conv", "both[1]", "both", "named[second]", "named"],
    )
    assert_array_equal(found["relu@1"], found["relu"])
    assert_array_equal(found["relu@0"], np.maximum(found["norm"], 0))
    assert found["norm"].min() < 0  # not what the in-place ReLU made of it
    assert_array_equal(found["both"], found["relu"] * 2)
    assert_array_equal(found["both[1]"], found["relu"] + 1)
    assert_allclose(found["named"] + 3, found["named[second]"] * 7, rtol=1e-5)


def test_penultimate_and_output(network, image_paths):
    found = DNNFeatureExtractor(Model(network, SMALL)).extract(
        image_paths, ["penultimate", "output", "pool", "fc"]
    )
    assert_array_equal(found["penultimate"], found["pool"].reshape(len(image_paths), 7))
    assert_array_equal(found["output"], found["fc"])


@pytest.mark.parametrize("name", ["squeezenet1_0", "alexnet", "vit_b_16"])
def test_penultimate_of_published_architectures(name):
    shape = {"squeezenet1_0": (512, 13, 13), "alexnet": (4096,), "vit_b_16": (768,)}[name]
    image = np.zeros((1, 50, 50, 3), np.uint8)
    fitted = DNNFeatureExtractor(name, weights=None).fit(image)
    assert fitted.feature_shapes_ == {"penultimate": shape}


def test_forward_stops_after_the_deepest_wanted_layer():
    net = models.alexnet(weights=None).eval()
    ran: list[str] = []
    for name, module in net.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda m, a, o, name=name: ran.append(name))
    images = np.zeros((3, 60, 50, 3), np.uint8)
    DNNFeatureExtractor(Model(net), "features.3").fit_transform(images)
    assert ran == ["features.0", "features.1", "features.2", "features.3"]


@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_rows_match_images_whatever_the_batch(batch_size, network, image_paths):
    paths = list(image_paths)
    order = np.random.default_rng(0).permutation(len(paths))
    reference = DNNFeatureExtractor(Model(network, SMALL), ["conv", "fc"], batch_size=4)
    expected = reference.fit_transform(paths)
    extractor = clone(reference).set_params(batch_size=batch_size).fit(paths)
    assert_allclose(extractor.transform(paths), expected, rtol=1e-5, atol=1e-6)
    shuffled = [paths[i] for i in order]
    assert_allclose(extractor.transform(shuffled), expected[order], rtol=1e-5, atol=1e-6)
    twice = shuffled + paths + shuffled[:2]
    rows = np.r_[order, np.arange(len(paths)), order[:2]]
    assert_allclose(extractor.transform(twice), expected[rows], rtol=1e-5, atol=1e-6)


def test_last_batch_is_padded_to_the_same_bits(image_paths):
    extractor = DNNFeatureExtractor("alexnet", ["features.10", "classifier.6"], weights=None)
    extractor.set_params(batch_size=4)
    together = extractor.fit_transform(image_paths)
    for first in (0, 3, 8):
        part = image_paths[first : first + 1]
        assert_array_equal(extractor.transform(part), together[first : first + 1])


def test_each_distinct_image_is_forwarded_once(network, image_paths):
    images: list[int] = []
    network.conv.register_forward_hook(lambda m, args, o: images.append(len(args[0])))
    extractor = DNNFeatureExtractor(Model(network, SMALL), "conv", batch_size=3)
    extractor.fit(image_paths)
    assert images == []  # fit sends nothing through the network
    extractor.transform(list(image_paths) * 3)
    assert sum(images) == len(image_paths) == 9


@pytest.mark.slow
def test_n_jobs_gives_the_same_rows(image_paths):
    extractor = DNNFeatureExtractor("alexnet", "classifier.1", weights=None)
    expected = extractor.fit_transform(image_paths)
    found = clone(extractor).set_params(n_jobs=2).fit_transform(image_paths)
    assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_preprocessing_is_the_published_one_to_the_bit(image_paths):
    from skdnn._backends._torch_engine import make_batch
    from skdnn._extraction._chosen_network import prepare
    from skdnn._images import read_image

    for name in ("alexnet", "efficientnet_b1", "vit_h_14", "inception_v3", "swin_v2_t"):
        preprocess = resolve_model(name, weights=None).preprocess
        preset = models.get_model_weights(name).DEFAULT.transforms()
        image = read_image(str(image_paths[0]))
        ours = make_batch(
            [prepare(image, preprocess)], preprocess, torch.device("cpu"), torch.float32
        )
        assert torch.equal(ours[0], preset(image))


def test_network_is_left_as_found(network, image_paths):
    network.train()
    network.fc.eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    modes = [m.training for m in network.modules()]
    DNNFeatureExtractor(Model(network, SMALL), ["relu", "output"]).fit_transform(image_paths)
    assert [m.training for m in network.modules()] == modes
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in network.modules())
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_network_is_left_as_found_after_an_error(network, image_paths):
    class Breaks(nn.Module):
        def forward(self, x):
            if x.device.type != "meta" and x.abs().sum() != 0:
                raise RuntimeError("broken on purpose")
            return x

    net = nn.Sequential(network.conv, Breaks(), nn.Flatten()).train()
    with pytest.raises(RuntimeError, match="broken on purpose"):
        DNNFeatureExtractor(Model(net, SMALL), "output").fit_transform(image_paths)
    assert all(m.training and not m._forward_hooks for m in net.modules())


def test_network_that_shapes_alone_cannot_follow(image_paths):
    class ByValue(nn.Module):
        def forward(self, x):
            return x * 2 if float(x.sum()) > 1e9 else x.flatten(1)

    net = nn.Sequential(nn.Conv2d(3, 2, 5), ByValue())
    found = DNNFeatureExtractor(Model(net, SMALL), "output").fit_transform(image_paths)
    assert found.shape == (9, 2 * 28 * 36)


def test_vision_transformer_pooling():
    image = np.random.default_rng(0).integers(0, 255, (1, 60, 70, 3), dtype=np.uint8)
    layer = "encoder.layers.encoder_layer_0"
    base = DNNFeatureExtractor("vit_b_16", layer, weights=None)
    tokens = base.extract(image)[layer]
    assert tokens.shape == (1, 197, 768)
    expected = {
        "cls": tokens[:, 0],
        "mean": tokens[:, 1:].mean(1),
        "max": tokens[:, 1:].max(1),
        "cls+mean": np.hstack([tokens[:, 0], tokens[:, 1:].mean(1)]),
        "flatten": tokens.reshape(1, -1),
    }
    for pooling, features in expected.items():
        found = clone(base).set_params(pooling=pooling).fit_transform(image)
        assert_allclose(found, features, rtol=1e-5, atol=1e-6, err_msg=pooling)


def test_channels_last_networks_are_pooled_over_space():
    image = np.random.default_rng(0).integers(0, 255, (1, 60, 70, 3), dtype=np.uint8)
    layers = ["features.0.0", "features.1.0", "features.3", "permute"]
    for pooling, reduce in (("mean", np.mean), ("max", np.max)):
        extractor = DNNFeatureExtractor("swin_t", weights=None)
        whole = extractor.extract(image, layers)
        pooled = extractor.set_params(pooling=pooling).extract(image, layers)
        for layer in layers:
            space = (2, 3) if layer in ("features.0.0", "permute") else (1, 2)
            assert_allclose(pooled[layer], reduce(whole[layer], axis=space), atol=1e-6)


def test_class_token_where_there_is_none():
    with pytest.raises(ValueError, match="needs a class token"):
        DNNFeatureExtractor("alexnet", "features.3", weights=None, pooling="cls").fit(
            np.zeros((1, 9, 9, 3), np.uint8)
        )


def test_random_weights_follow_random_state(image_paths):
    def features(seed):
        return DNNFeatureExtractor(
            "resnet18", "layer1", weights=None, pooling="mean", random_state=seed
        ).fit_transform(image_paths)

    state = torch.random.get_rng_state()
    first = features(0)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert_array_equal(first, features(0))
    assert np.abs(first - features(1)).max() > 1e-3


def test_globs_and_lists_stand_side_by_side(network, image_paths):
    listed = DNNFeatureExtractor(Model(network, SMALL), ["conv", "conv2"]).fit(image_paths)
    globbed = DNNFeatureExtractor(Model(network, SMALL), "conv*").fit(image_paths)
    assert globbed.layers_ == ["conv", "conv2"]
    together = listed.transform(image_paths)
    assert_array_equal(globbed.transform(image_paths), together)
    parts = listed.extract(image_paths, flatten=True)
    assert_array_equal(np.hstack([parts["conv"], parts["conv2"]]), together)
    names = listed.get_feature_names_out()
    assert len(names) == together.shape[1]
    assert names[0] == "conv_0"
    assert names[-1] == f"conv2_{parts['conv2'].shape[1] - 1}"


def test_own_preprocessing_sees_an_upright_rgb_image(network, image_paths):
    seen = []

    def prepare(image):
        seen.append((image.mode, image.size))
        return torch.as_tensor(np.asarray(image.resize((24, 20)), np.float32)).permute(2, 0, 1)

    net = Model(network, prepare)
    found = DNNFeatureExtractor(net, "conv").fit_transform(image_paths)
    assert found.shape == (9, 5 * 9 * 11)
    assert {mode for mode, _ in seen} == {"RGB"}


def test_images_of_several_sizes_without_crop(network, image_paths):
    net = Model(network, {"resize": None, "crop": None})
    with pytest.raises(ValueError, match=r"one size.*crop"):
        DNNFeatureExtractor(net, "conv").fit_transform(image_paths)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_precision(precision, network, image_paths):
    full = DNNFeatureExtractor(Model(network, SMALL), "fc").fit_transform(image_paths)
    half = DNNFeatureExtractor(Model(network, SMALL), "fc", precision=precision)
    found = half.fit_transform(image_paths)
    assert found.dtype == np.float32
    assert 0 < np.abs(found - full).max() < 0.02
    assert network.fc.weight.dtype == torch.float32


def test_data_parallel_is_unwrapped(network, image_paths):
    wrapped = nn.DataParallel(network)
    expected = DNNFeatureExtractor(Model(network, SMALL), "fc").fit_transform(image_paths)
    found = DNNFeatureExtractor(Model(wrapped, SMALL), "fc").fit_transform(image_paths)
    assert_array_equal(found, expected)


# Errors, early


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"model": "alexnett"}, ValueError, r"unknown. Did you mean 'alexnet'"),
        ({"model": 3}, TypeError, "model must be a name"),
        ({"layer": "features.33"}, ValueError, r"Nearest names: 'features.3'"),
        ({"layer": "feat*x"}, ValueError, "matches no layer"),
        ({"layer": []}, ValueError, "layer is empty"),
        ({"layer": ["features.1", "features.1"]}, ValueError, "asked for twice"),
        ({"layer": "features.1[0]"}, ValueError, "no tuple or dict"),
        ({"layer": "features.1@1"}, ValueError, "called 1 time"),
        ({"layer": 5}, ValueError, "'layer' parameter"),
        ({"pooling": "sum"}, ValueError, "'pooling' parameter"),
        ({"batch_size": 0}, ValueError, "'batch_size' parameter"),
        ({"weights": "IMAGENET1K_V7"}, ValueError, "Published: 'IMAGENET1K_V1'"),
        ({"weights": "missing.pth"}, ValueError, "no such file"),
        ({"weights": 3}, TypeError, "weights must be"),
        ({"backend": "jax"}, ValueError, "'backend' parameter"),
        ({"device": "tpu9"}, ValueError, "device='tpu9' can't be used"),
        ({"preprocess": {"size": 3}}, ValueError, "unknown keys"),
        ({"preprocess": "none"}, ValueError, "preprocess must be"),
        ({"preprocess": {"std": [1, 2, 0]}}, ValueError, "above 0"),
        ({"cache": 3}, ValueError, "'cache' parameter"),
    ],
)
def test_wrong_parameters_are_named_before_any_work(params, error, message, image_paths):
    with pytest.raises(error, match=message):
        DNNFeatureExtractor(**({"weights": None} | params)).fit(image_paths)


def test_layer_that_is_never_called(network, image_paths):
    with pytest.raises(ValueError, match="never called"):
        DNNFeatureExtractor(Model(network, SMALL), "unused").fit(image_paths)


def test_windows_are_not_images(image_paths):
    class Windows(nn.Module):
        def forward(self, x):
            return x.reshape(-1, 2, 2)

    net = nn.Sequential(nn.Conv2d(3, 2, 3), Windows())
    with pytest.raises(ValueError, match="one row per image"):
        DNNFeatureExtractor(Model(net, SMALL), "1").fit(image_paths)


def test_unfitted(extractor, image_paths):
    with pytest.raises(NotFittedError):
        extractor.transform(image_paths)


def test_bad_files_are_all_named_before_the_first_pass(network, image_paths, tmp_path):
    passes = []
    network.conv.register_forward_hook(lambda m, a, o: passes.append(1))
    text = tmp_path / "text.png"
    text.write_text("no image at all")
    empty = tmp_path / "empty.jpg"
    empty.touch()
    cut = tmp_path / "cut.jpg"
    Image.effect_noise((200, 150), 90).convert("RGB").save(cut)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    missing = tmp_path / "missing.png"
    extractor = DNNFeatureExtractor(Model(network, SMALL), "fc").fit(image_paths)
    with pytest.raises(ValueError, match=r"text\.png") as caught:
        extractor.transform([*image_paths, text, empty, cut, missing])
    assert all(name in str(caught.value) for name in ("empty.jpg", "cut.jpg", "missing.png"))
    assert passes == []


def test_what_only_the_decoder_finds_is_named_after_the_rest(network, tmp_path):
    passes = []
    network.conv.register_forward_hook(lambda m, a, o: passes.append(len(a[0])))
    paths = []
    for i in range(6):
        path = tmp_path / f"{i}.png"
        Image.effect_noise((60, 50), 90).convert("RGB").save(path)
        paths.append(path)
    for bad in (paths[1], paths[4]):
        content = bytearray(bad.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
        bad.write_bytes(content)
    extractor = DNNFeatureExtractor(Model(network, SMALL), "fc", batch_size=1).fit(paths)
    with pytest.raises(ValueError, match=r"2 image\(s\) could not be decoded") as caught:
        extractor.transform(paths)
    assert "1.png" in str(caught.value)
    assert "4.png" in str(caught.value)
    assert sum(passes) == 4
    with parallel_config("threading"), pytest.raises(ValueError, match=r"2 image\(s\)") as caught:
        extractor.set_params(n_jobs=2).transform(paths)
    assert "1.png" in str(caught.value)
    assert "4.png" in str(caught.value)


def test_labels_that_do_not_match_are_refused(extractor, image_paths):
    stems = [Path(p).stem for p in image_paths]
    y = pd.DataFrame(np.eye(len(stems)), index=stems)
    extractor.fit(image_paths, y)
    extractor.fit(image_paths, y.set_axis([Path(p).name for p in image_paths]))
    extractor.fit(image_paths, y.reset_index(drop=True))
    with pytest.raises(ValueError, match="row 0: y says"):
        extractor.fit(image_paths, y.iloc[::-1])
    with pytest.raises(ValueError, match="8 labelled rows"):
        extractor.fit(image_paths, y.iloc[:-1])


def test_own_network_takes_no_other_weights(network, image_paths):
    with pytest.raises(ValueError, match="keeps the weights"):
        DNNFeatureExtractor(Model(network), weights=None).fit(image_paths)


# Weights from files


def test_weights_from_a_file(tmp_path, image_paths):
    torch.manual_seed(5)
    net = models.squeezenet1_1(weights=None)
    path = tmp_path / "own.pth"
    torch.save({"state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}}, path)
    extractor = DNNFeatureExtractor("squeezenet1_1", "features.3", weights=path)
    expected = DNNFeatureExtractor(Model(net), "features.3").fit_transform(image_paths)
    assert_allclose(extractor.fit_transform(image_paths), expected, rtol=1e-4, atol=1e-5)
    torch.manual_seed(6)
    torch.save(models.squeezenet1_1(weights=None).state_dict(), path)
    assert np.abs(extractor.fit_transform(image_paths) - expected).max() > 1e-2


class _Bomb:
    ran = False

    def __reduce__(self):
        return (setattr, (_Bomb, "ran", True))


def test_bad_weight_files_are_refused_with_the_reason(tmp_path, image_paths):
    path = tmp_path / "weights.pth"

    def refused(match: str) -> None:
        with pytest.raises(ValueError, match=match):
            DNNFeatureExtractor("squeezenet1_1", weights=path).fit(image_paths)

    torch.save(models.squeezenet1_0(weights=None).state_dict(), path)
    refused("does not fit squeezenet1_1.*another architecture")
    torch.save({"epoch": 3}, path)
    refused("holds no state dict")
    path.write_bytes(b"not a checkpoint")
    refused("can't be read")
    torch.save({"state_dict": _Bomb()}, path)
    refused("can't be read")
    assert not _Bomb.ran


def test_weights_without_a_network_connection(monkeypatch, tmp_path, image_paths):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def no_network(*args, **kwargs):
        from urllib.error import URLError

        raise URLError("no network")

    monkeypatch.setattr("torch.hub.urlopen", no_network)
    with pytest.raises(OSError, match=r"alexnet-owt-7be5be79\.pth.*weights=None"):
        DNNFeatureExtractor("alexnet").fit(image_paths)


# scikit-learn's ways


def test_clone_shares_a_wrapped_network(extractor):
    assert clone(extractor).model.network is extractor.model.network


def test_bare_module_works_and_is_copied_by_clone(network, image_paths):
    extractor = DNNFeatureExtractor(network, "conv", preprocess=SMALL)
    copied = clone(extractor)
    assert copied.model is not network
    assert_array_equal(copied.fit_transform(image_paths), extractor.fit_transform(image_paths))


def test_pickle_leaves_the_network_out(image_paths):
    extractor = DNNFeatureExtractor("alexnet", "features.3", weights=None).fit(image_paths)
    expected = extractor.transform(image_paths)
    content = pickle.dumps(extractor)
    assert len(content) < 20_000
    assert_array_equal(pickle.loads(content).transform(image_paths), expected)


def test_pickle_keeps_a_random_network_drawn_from_a_generator(image_paths):
    extractor = DNNFeatureExtractor(
        "squeezenet1_1", "features.3", weights=None, random_state=np.random.RandomState(4)
    ).fit(image_paths)
    expected = extractor.transform(image_paths)
    assert_array_equal(extractor.transform(image_paths), expected)
    assert_array_equal(pickle.loads(pickle.dumps(extractor)).transform(image_paths), expected)


def test_pandas_output_is_labelled_by_image(network, image_paths):
    extractor = DNNFeatureExtractor(Model(network, SMALL), "fc").set_output(transform="pandas")
    frame = extractor.fit_transform(image_paths)
    assert frame.index.tolist() == [str(p) for p in image_paths]
    assert frame.columns.tolist() == ["fc_0", "fc_1", "fc_2", "fc_3"]
    pca = make_pipeline(extractor, PCA(2)).set_output(transform="pandas")
    assert pca.fit_transform(image_paths).index.tolist() == frame.index.tolist()


def test_forms_of_X_agree(network, image_paths):
    extractor = DNNFeatureExtractor(Model(network, SMALL), "fc").fit(image_paths)
    expected = extractor.transform([str(p) for p in image_paths])
    strings = [str(p) for p in image_paths]
    forms = [
        image_paths,
        tuple(strings),
        np.array(strings),
        np.array(strings, dtype=object),
        pd.Series(strings, index=range(5, 14)),
        pd.Index(strings),
        pd.DataFrame({"path": strings}),
    ]
    for X in forms:
        assert_array_equal(extractor.transform(X), expected)


def test_html_representation_does_not_print_the_network(extractor):
    html = estimator_html_repr(extractor)
    assert "DNNFeatureExtractor" in html
    assert len(html) < 100_000


def test_fit_and_transform_change_no_parameter(extractor, image_paths):
    before = extractor.get_params()
    extractor.fit(image_paths)
    state = dict(vars(extractor))
    extractor.transform(image_paths)
    assert extractor.get_params() == before
    assert vars(extractor).keys() == state.keys()
    assert all(vars(extractor)[k] is v for k, v in state.items())


def test_list_layers_needs_no_weights(monkeypatch):
    monkeypatch.setattr("torch.hub.urlopen", None)
    table = list_layers("vit_b_16")
    assert table.columns.tolist() == [
        "layer", "type", "output_shape", "n_units", "n_params", "n_calls", "depth",
        "source",
    ]  # fmt: skip
    row = table.set_index("layer").loc["encoder.ln"]
    assert row.output_shape == (197, 768)
    assert row.n_units == 197 * 768


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_features_are_those_of_the_cpu(network, image_paths):
    extractor = DNNFeatureExtractor(Model(network, SMALL), ["conv", "fc"], device="cpu")
    expected = extractor.fit_transform(image_paths)
    found = clone(extractor).set_params(device="cuda").fit_transform(image_paths)
    assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert next(network.parameters()).device.type == "cpu"
