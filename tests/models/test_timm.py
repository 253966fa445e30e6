"""Networks of timm against timm itself."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from helpers.late import needs, timm
from helpers.one_network import captured, spec_from
from helpers.web_server import serve
from skdnn._backends._torch_device_copies import make_batch
from skdnn._extraction._chosen_layers import choose_layers
from skdnn._extraction._chosen_network import layers_of, prepare
from skdnn._images import read_image
from skdnn.models import _timm
from skdnn.models._registry import resolve_model

pytestmark = needs("timm")
# One of each family of layouts and tokens, as small as there are; images of 224 or less.
QUICK = [
    "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "convnext_atto",
    "swin_tiny_patch4_window7_224",
    "mobilenetv3_small_050",
]
SLOW = [
    "resnet18",
    "efficientnet_b0",
    "eva02_tiny_patch14_224",
    "mixer_s32_224",
    "vit_small_patch16_dinov3",
    "cait_xxs24_224",
    "xcit_nano_12_p16_224",
    "regnetx_002",
    "levit_128s",
    "convit_tiny",
    "pit_ti_distilled_224",
    "volo_d1_224",
    "mvitv2_tiny",
]
spec_of = partial(spec_from, _timm)


def by_hand(
    network: Any, batch: torch.Tensor, names: list[str], inputs_of: str
) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """Clones of outputs (last calls), what went into one layer, and the output."""
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str, module: Any, args: Any, output: Any) -> None:
        seen[name] = (output[0] if isinstance(output, tuple) else output).clone()

    modules = dict(network.named_modules())
    handles = [modules[n].register_forward_hook(partial(keep, n)) for n in names]
    head: list[torch.Tensor] = []
    handles.append(
        modules[inputs_of].register_forward_pre_hook(lambda m, args: head.append(args[0].clone()))
    )
    with torch.no_grad():
        output = network(batch)
    for handle in handles:
        handle.remove()
    return seen, head[-1], output


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)]
)
def test_layers_are_listed_and_equal_hooks_with_clones(
    name: str, example_paths: list[str]
) -> None:
    spec = spec_of(name, seed=3)
    layers = layers_of(spec)
    usable = [
        layer.name
        for layer in layers
        if layer.n_calls and layer.layout != "not_per_image" and not layer.source
    ]
    assert len(usable) > 30
    wanted = [usable[i * (len(usable) - 1) // 4] for i in (1, 2, 3)]
    found = captured(spec, example_paths, [*wanted, "penultimate", "output"])

    torch.manual_seed(3)
    network = timm.create_model(name).eval().to(memory_format=torch.channels_last)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
    batch = torch.stack([transform(Image.open(p).convert("RGB")) for p in example_paths])
    batch = batch.to(memory_format=torch.channels_last)
    info = {layer.name: layer for layer in layers}
    seen, head, output = by_hand(network, batch, wanted, info["penultimate"].source)
    for layer, expected in {**seen, "penultimate": head, "output": output}.items():
        assert found[layer].shape[1:] == info[layer].output_shape
        axis = info[layer].batch_axis
        expected = expected.movedim(axis, 0).numpy()
        scale = np.abs(expected).max()
        assert_allclose(found[layer], expected, rtol=0, atol=2e-6 * scale, err_msg=layer)


@pytest.mark.parametrize(
    "name",
    [
        "vit_tiny_patch16_224",
        "deit_tiny_distilled_patch16_224",
        "resnet18",
        "resnet18.tv_in1k",
        "convnext_atto",
        "efficientnet_b0",
        "swin_tiny_patch4_window7_224",
        "vit_small_patch14_reg4_dinov2",
        "eva02_tiny_patch14_224",
        "coat_lite_medium_384",  # squash
        "deepseek_vit_412m",  # border
        "vit_5b_patch16_sapiens2",  # no square
    ],
)
def test_pixels_are_timms_to_the_bit(name: str, example_paths: list[str]) -> None:
    if name.partition(".")[0] not in timm.list_models():
        pytest.skip("this timm does not have it")
    spec = spec_of(name)
    card = timm.get_pretrained_cfg(name).to_dict()
    config = timm.data.resolve_data_config(pretrained_cfg=card)
    transform = timm.data.create_transform(**config, is_training=False)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (700, 531, 3), dtype=np.uint8)
    for image in [*map(read_image, example_paths), Image.fromarray(noise)]:
        prepared = [prepare(image, spec.preprocess)]
        batch = make_batch(prepared, spec.preprocess, torch.device("cpu"), torch.float32)
        assert_array_equal(batch[0].numpy(), transform(image).numpy())


def test_all_ways_to_resize_are_met() -> None:
    """None of timm's networks asks for a way that is not known here."""
    modes, n_other = set(), 0
    for name in timm.list_models():
        for card in timm.models.get_arch_pretrained_cfgs(name).values():
            modes.add(card.crop_mode)
            prepared = _timm._preprocessing(card)
            assert prepared.input_size == tuple(card.input_size[1:])
            n_other += isinstance(prepared, _timm.TimmPreprocessing)
    assert modes <= {"center", "squash", "border"}
    assert n_other < 50


# Tokens


@pytest.mark.parametrize(
    ("name", "layer", "n_prefix"),
    [
        ("vit_tiny_patch16_224", "blocks.3", 1),
        ("deit_tiny_distilled_patch16_224", "norm", 2),
        pytest.param("eva02_tiny_patch14_224", "blocks.2.attn", 1, marks=pytest.mark.slow),
        pytest.param("vit_small_patch16_dinov3", "blocks.1", 5, marks=pytest.mark.slow),
        pytest.param("cait_xxs24_224", "norm", 1, marks=pytest.mark.slow),
        pytest.param("pit_ti_distilled_224", "transformers.0.norm", 2, marks=pytest.mark.slow),
    ],
)
def test_pooling_with_a_class_token(
    name: str, layer: str, n_prefix: int, example_paths: list[str]
) -> None:
    spec = spec_of(name)
    tokens = captured(spec, example_paths, [layer])[layer]
    pooled = {p: captured(spec, example_paths, [layer], p)[layer] for p in ("cls", "mean", "max")}
    both = captured(spec, example_paths, [layer], "cls+mean")[layer]
    assert_array_equal(pooled["cls"], tokens[:, 0])
    mean = tokens[:, n_prefix:].mean(1, dtype=np.float64)
    assert_allclose(pooled["mean"], mean, rtol=0, atol=1e-5 * np.abs(tokens).max())
    assert_array_equal(pooled["max"], tokens[:, n_prefix:].max(1))
    assert_array_equal(both, np.hstack([pooled["cls"], pooled["mean"]]))


def test_tokens_of_other_kinds() -> None:
    expected = {
        "vit_small_patch14_reg4_dinov2": ("blocks.0", 5, True),
        "vit_medium_patch16_reg4_gap_256": ("blocks.0", 4, False),
        "vit_base_patch16_rpn_224": ("blocks.0", 0, False),
        "beit_base_patch16_224": ("blocks.0", 1, True),
        "vit_base_patch16_siglip_224": ("blocks.0", 0, False),
    }
    for name, (layer, n_prefix, has_class) in expected.items():
        info = {found.name: found for found in layers_of(spec_of(name))}
        assert (info[layer].n_prefix_tokens, info[layer].has_class_token) == (n_prefix, has_class)
        assert (info["patch_embed"].n_prefix_tokens, info["patch_embed"].has_class_token) == (
            0,
            False,
        )


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("vit_tiny_patch16_224", "patch_embed"),  # the class token joins behind it
        ("vit_medium_patch16_reg4_gap_256", "blocks.0"),
        ("swin_tiny_patch4_window7_224", "layers.0"),
        ("mixer_s32_224", "blocks.0"),
        ("cait_xxs24_224", "blocks.0"),  # only the last two blocks see it
        ("convnext_atto", "stages.0"),
        ("vit_tiny_patch16_224", "penultimate"),
    ],
)
def test_no_class_token_is_an_error(name: str, layer: str) -> None:
    spec = spec_of(name)
    layers = layers_of(spec)
    for pooling in ("cls", "cls+mean"):
        with pytest.raises(ValueError, match="needs a class token"):
            choose_layers([layer], layers, pooling, spec)


@pytest.mark.parametrize(
    ("name", "layer", "axes"),
    [
        ("convnext_atto", "stages.1.blocks.0", (2, 3)),
        ("convnext_tiny", "stages.0.blocks.0.mlp", (1, 2)),
        ("convnext_tiny", "stages.0.blocks.0.drop_path", (2, 3)),
        ("convnext_tiny", "stages.0", (2, 3)),
        ("swin_tiny_patch4_window7_224", "layers.1", (1, 2)),
        ("mobilenetv3_small_050", "blocks.2", (2, 3)),
    ],
)
def test_means_over_space(
    name: str, layer: str, axes: tuple[int, int], example_paths: list[str]
) -> None:
    """ConvNeXt's blocks work on channels-last arrays, and return channels-first ones."""
    spec = spec_of(name)
    maps = captured(spec, example_paths, [layer])[layer]
    pooled = captured(spec, example_paths, [layer], "mean")[layer]
    expected = maps.mean(axes, dtype=np.float64)
    assert_allclose(pooled, expected, rtol=0, atol=1e-5 * np.abs(maps).max())


def test_layout_does_not_follow_from_the_shape() -> None:
    """At 384 pixels the first stage of ConvNeXt-Tiny has 96 channels and 96 by 96 places."""
    layers = layers_of(spec_of("convnext_tiny.fb_in22k_ft_in1k_384"))
    info = {layer.name: layer for layer in layers}
    assert info["stages.0"].output_shape == (96, 96, 96)
    assert info["stages.0"].layout == "channels_first"
    assert info["stages.0.blocks.1.norm"].layout == "channels_last"


def test_without_a_classifier_features_are_penultimate() -> None:
    info = {layer.name: layer for layer in layers_of(spec_of("vit_small_patch14_dinov2"))}
    assert info["penultimate"].output_shape == info["output"].output_shape == (384,)
    assert info["penultimate"].source == "head"


# Names and weights


def test_names() -> None:
    assert _timm.names() == timm.list_models()


def test_unknown_names_and_tags() -> None:
    with pytest.raises(
        ValueError, match=r"vit_tiny_patch16_225' is unknown.*vit_tiny_patch16_224"
    ):
        spec_of("vit_tiny_patch16_225")
    with pytest.raises(ValueError, match=r"tagged 'nope'.*'a1_in1k'"):
        spec_of("resnet18.nope")
    with pytest.raises(ValueError, match=r"weights='nope'.*nor a file.*'a1_in1k'"):
        spec_of("resnet18", weights="nope")
    with pytest.raises(ValueError, match="contradicts the tag"):
        spec_of("resnet18.a1_in1k", weights="a2_in1k")
    with pytest.raises(ValueError, match="no published weights"):
        spec_of("mixer_s32_224", weights="default")
    with pytest.raises(ValueError, match="there is no such file"):
        spec_of("resnet18", weights="folder/none.pth")
    with pytest.raises(TypeError, match="weights must be"):
        spec_of("resnet18", weights=3)


def test_a_tag_stands_in_the_name_or_in_weights() -> None:
    by_name = spec_of("vit_base_patch16_224.augreg_in21k", weights="default")
    by_weights = spec_of("vit_base_patch16_224", weights="augreg_in21k")
    assert by_name.name == by_weights.name == "timm/vit_base_patch16_224.augreg_in21k"
    assert by_name.weights == by_weights.weights == "augreg_in21k"
    assert by_name.key == by_weights.key
    assert by_name.fingerprint() == by_weights.fingerprint()
    assert by_name.fingerprint() != spec_of("vit_base_patch16_224", "default").fingerprint()
    twin = {layer.name: layer for layer in layers_of(spec_of("vit_base_patch16_224.augreg_in21k"))}
    assert twin["output"].output_shape == (21843,)


def test_random_weights_follow_the_seed() -> None:
    name = "mobilenetv3_small_050"
    before = torch.get_rng_state()
    first, again, other = (spec_of(name, seed=s).load().state_dict() for s in (1, 1, 2))
    assert_array_equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["conv_stem.weight"], other["conv_stem.weight"])
    assert spec_of(name, seed=1).fingerprint() != spec_of(name, seed=2).fingerprint()
    assert spec_of(name, seed=1).weights == "random (seed 1)"


NAME = "mobilenetv3_small_050"


def repo() -> str:
    """Where timm finds its weights."""
    return timm.get_pretrained_cfg(NAME).hf_hub_id


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    return timm.create_model(NAME).state_dict()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "served"
    folder.mkdir()

    with serve(folder) as web:
        yield web.url, folder


@pytest.mark.parametrize("wrapped", [False, True])
def test_weights_from_a_file(
    wrapped: bool, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "own.pth"
    held = {f"module.{key}": value for key, value in state.items()}
    torch.save({"state_dict": held} if wrapped else state, path)
    spec = spec_of(NAME, weights=path)
    loaded = spec.load().state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    assert spec.weights == str(path)


def test_a_checkpoint_that_timm_translates(tmp_path: Path) -> None:
    """DeiT's own files hold the state under "model", and MAE's know another pooling."""
    network = timm.create_model("convnext_atto")
    theirs = {
        key.replace("stem.0", "downsample_layers.0.0")
        .replace("stem.1", "downsample_layers.0.1")
        .replace("conv_dw", "dwconv")
        .replace("mlp.fc1", "pwconv1")
        .replace("mlp.fc2", "pwconv2")
        .replace("head.fc", "head")
        .replace("head.norm", "norm"): value
        for key, value in network.state_dict().items()
    }
    theirs = {
        re.sub(r"stages\.(\d)\.downsample\.(\d)", r"downsample_layers.\1.\2", key): value
        for key, value in theirs.items()
    }
    theirs = {
        re.sub(r"stages\.(\d)\.blocks\.(\d+)", r"stages.\1.\2", key): value
        for key, value in theirs.items()
    }
    torch.save({"model": theirs}, tmp_path / "theirs.pth")
    loaded = spec_of("convnext_atto", weights=tmp_path / "theirs.pth").load().state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in network.state_dict().items())


def test_files_that_do_not_fit(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "own.pth"
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"does not fit timm/resnet18.*missing"):
        spec_of("resnet18", weights=path).load()
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match="can't be read"):
        spec_of(NAME, weights=path).load()


def test_published_weights_put_there_by_hand(state: dict[str, torch.Tensor], no_hub: Path) -> None:
    from safetensors.torch import save_file

    no_hub.mkdir()
    save_file(state, no_hub / f"{repo().replace('/', '--')}--model.safetensors")
    network = spec_of(NAME, weights="default").load()
    assert all(torch.equal(network.state_dict()[key], state[key]) for key in state)
    assert "state_dict" not in network.pretrained_cfg


def test_published_weights_in_the_hubs_own_cache(
    state: dict[str, torch.Tensor],
    no_hub: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    torch.save(state, tmp_path / "pytorch_model.bin")
    cached = {(repo(), "pytorch_model.bin"): str(tmp_path / "pytorch_model.bin")}
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache", lambda repo, name: cached.get((repo, name))
    )
    loaded = spec_of(NAME, weights="default").load().state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_published_weights_are_downloaded(
    state: dict[str, torch.Tensor],
    no_hub: Path,
    server: tuple[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Older repositories have no safetensors; then comes the next name."""
    address, folder = server
    torch.save(state, folder / "pytorch_model.bin")
    monkeypatch.setattr("huggingface_hub.hf_hub_url", lambda repo, name: f"{address}/{name}")
    loaded = spec_of(NAME, weights="default").load().state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    assert [path.name for path in no_hub.iterdir()] == [
        f"{repo().replace('/', '--')}--pytorch_model.bin"
    ]


def test_wrong_content_under_a_published_name(no_hub: Path) -> None:
    no_hub.mkdir()
    other = timm.create_model("resnet18").state_dict()
    torch.save(other, no_hub / f"{repo().replace('/', '--')}--pytorch_model.bin")
    with pytest.raises(ValueError, match="does not fit timm/mobilenetv3_small_050"):
        spec_of(NAME, weights="default").load()


def test_without_network_the_error_says_what_to_put_where(no_hub: Path) -> None:
    with pytest.raises(OSError, match="could not be downloaded") as caught:
        spec_of(NAME, weights="default").load()
    message = str(caught.value)
    assert f"{repo()}/model.safetensors" in message
    assert str(no_hub) in message
    assert "weights=None" in message


@pytest.mark.slow
def test_without_timm_the_error_says_what_to_install() -> None:
    code = """
import sys
sys.modules["timm"] = None
from skdnn.models._registry import resolve_model
from skdnn.models import _timm
assert _timm.names() == []
for weights in ("default", None):
    try:
        _timm.spec("resnet18", weights=weights, seed=0, preprocess="default")
    except ImportError as error:
        assert 'pip install "skdnn[timm]"' in str(error), error
    else:
        raise AssertionError("no error")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_dinov2_as_it_was_published(tmp_path):
    """Meta's file has a token for training, and the two halves of a gate in one (giant)."""
    network = timm.create_model("vit_small_patch14_dinov2")
    state = {**network.state_dict(), "mask_token": torch.zeros(1, 384)}
    torch.save(state, tmp_path / "dinov2.pth")
    loaded = resolve_model("dinov2-vit-small-p14", weights=tmp_path / "dinov2.pth").load()
    assert all(map(torch.equal, loaded.state_dict().values(), network.state_dict().values()))


@pytest.mark.slow
def test_segment_anything_as_it_was_published(tmp_path):
    """Only the encoder of images counts."""
    network = timm.create_model("samvit_base_patch16", num_classes=0)
    state = {
        f"image_encoder.{key.replace('mlp.fc', 'mlp.lin')}": value
        for key, value in network.state_dict().items()
    }
    torch.save({**state, "mask_decoder.w": torch.ones(2)}, tmp_path / "sam.pth")
    spec = resolve_model("timm/samvit_base_patch16.sa1b", weights=tmp_path / "sam.pth")
    loaded = spec.load().state_dict()
    assert all(map(torch.equal, loaded.values(), network.state_dict().values()))
