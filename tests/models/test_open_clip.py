"""The image side of CLIP networks against open_clip itself."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from helpers.late import needs, open_clip
from helpers.one_network import captured, spec_from
from skdnn._backends._torch_device_copies import make_batch
from skdnn._backends._torch_layers import trace_layers
from skdnn._extraction._chosen_layers import choose_layers
from skdnn._extraction._chosen_network import layers_of, prepare
from skdnn._images import read_image
from skdnn.models import _open_clip

pytestmark = needs("open_clip")
SMALL = "ViT-S-32-alt"
spec_of = partial(spec_from, _open_clip)


def reference(architecture: str, seed: int = 0) -> Any:
    """open_clip's own network with random weights."""
    torch.manual_seed(seed)
    return open_clip.create_model(architecture).eval()


def transform_of(architecture: str) -> Any:
    """open_clip's own transform for the default weights."""
    cards = _open_clip._tags(architecture)
    card = cards.get(_open_clip._default_tag(architecture) or "", {})
    config = open_clip.transform.merge_preprocess_dict(open_clip.transform.PreprocessCfg(), card)
    config["size"] = open_clip.get_model_config(architecture)["vision_cfg"]["image_size"]
    return open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(**config), is_train=False
    )


def by_hand(network: Any, batch: torch.Tensor, names: list[str]) -> dict[str, torch.Tensor]:
    """Clones of what layers return in a pass of the whole network's image side."""
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str, module: Any, args: Any, output: Any) -> None:
        seen[name] = (output[0] if isinstance(output, tuple) else output).clone()

    modules = dict(network.named_modules())
    handles = [modules[n].register_forward_hook(partial(keep, n)) for n in names]
    with torch.no_grad():
        seen["output"] = network.encode_image(batch)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("open_clip/ViT-S-32-alt", "ViT-S-32-alt"),
        pytest.param("clip-ViT", "ViT-B-32-quickgelu", marks=pytest.mark.slow),
        pytest.param("clip-RN", "RN50-quickgelu", marks=pytest.mark.slow),
        pytest.param("open_clip/convnext_tiny", "convnext_tiny", marks=pytest.mark.slow),
        pytest.param("open_clip/ViT-B-16-SigLIP", "ViT-B-16-SigLIP", marks=pytest.mark.slow),
    ],
)
def test_layers_equal_hooks_with_clones(
    name: str, architecture: str, example_paths: list[str]
) -> None:
    spec = spec_of(name, seed=2)
    layers = layers_of(spec)
    usable = [
        layer.name
        for layer in layers
        if layer.n_calls and layer.layout != "not_per_image" and layer.name.count(".") > 1
    ]
    usable = [layer for layer in usable if layer != "visual.proj"]  # a matrix in open_clip
    wanted = [usable[i * (len(usable) - 1) // 4] for i in (1, 2, 3)]
    found = captured(spec, example_paths, [*wanted, "visual", "output", "penultimate"])

    network, transform = reference(architecture, 2), transform_of(architecture)
    network.visual.to(memory_format=torch.channels_last)
    batch = torch.stack([transform(Image.open(p).convert("RGB")) for p in example_paths])
    batch = batch.to(memory_format=torch.channels_last)
    expected = by_hand(network, batch, [*wanted, "visual"])
    info = {layer.name: layer for layer in layers}
    for layer, tensor in expected.items():
        array = tensor.movedim(info[layer].batch_axis, 0).numpy()
        scale = np.abs(array).max()
        assert_allclose(found[layer], array, rtol=0, atol=2e-6 * scale, err_msg=layer)
    assert_array_equal(found["visual"], found["output"])
    assert found["penultimate"].shape[1:] == info["penultimate"].output_shape


def test_penultimate_is_what_the_projection_gets(example_paths: list[str]) -> None:
    spec = spec_of(SMALL)
    found = captured(spec, example_paths, ["penultimate", "visual.proj", "visual"])
    tokens = captured(spec, example_paths, ["visual.ln_post"], "cls")["visual.ln_post"]
    assert_array_equal(found["penultimate"], tokens)
    network = reference(SMALL)
    projected = found["penultimate"] @ network.visual.proj.detach().numpy()
    assert_allclose(found["visual"], projected, rtol=0, atol=1e-5)
    assert_array_equal(found["visual.proj"], found["visual"])


def test_penultimate_of_a_resnet_goes_into_the_attention_pool() -> None:
    info = {layer.name: layer for layer in layers_of(spec_of("clip-RN"))}
    assert info["penultimate"].source == "visual.attnpool"
    assert info["penultimate"].output_shape == info["visual.layer4"].output_shape
    assert info["visual"].output_shape == info["output"].output_shape == (1024,)


@pytest.mark.parametrize("pooling", ["cls", "mean", "cls+mean"])
def test_pooling_of_tokens(pooling: str, example_paths: list[str]) -> None:
    layer = "visual.transformer.resblocks.5"
    spec = spec_of(SMALL)
    tokens = captured(spec, example_paths, [layer])[layer]
    assert tokens.shape == (3, 50, 384)
    parts = {"cls": tokens[:, 0], "mean": tokens[:, 1:].mean(1)}
    expected = np.hstack([parts[part] for part in pooling.split("+")])
    found = captured(spec, example_paths, [layer], pooling)[layer]
    assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(tokens).max())


def test_tokens_may_come_before_images() -> None:
    """As in older releases of open_clip: (n_tokens, n_images, n_units) inside the transformer."""

    class TokensFirst(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = torch.nn.Conv2d(3, 12, 8, stride=8)
            self.class_embedding = torch.nn.Parameter(torch.randn(12))
            self.block = torch.nn.Linear(12, 12)
            self.proj = torch.nn.Linear(12, 5)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            x = self.conv1(image).flatten(2).permute(0, 2, 1)
            own = self.class_embedding.expand(len(x), 1, -1)
            x = self.block(torch.cat([own, x], 1).permute(1, 0, 2)).permute(1, 0, 2)
            return self.proj(x[:, 0])

    info = {layer.name: layer for layer in trace_layers(TokensFirst(), (3, 40, 24))}
    block = info["block"]
    assert (block.output_shape, block.batch_axis, block.layout) == ((16, 12), 1, "tokens")
    assert (block.n_prefix_tokens, block.has_class_token) == (1, True)


def test_no_class_token_is_an_error() -> None:
    for name, layer in [("clip-RN", "visual.layer4"), ("ViT-B-16-SigLIP", "visual.trunk.norm")]:
        spec = spec_of(name)
        with pytest.raises(ValueError, match="needs a class token"):
            choose_layers([layer], layers_of(spec), "cls", spec)


@pytest.mark.parametrize("name", [SMALL, "ViT-B-16-SigLIP", "ViT-L-14-CLIPA", "MobileCLIP-S1"])
def test_pixels_are_open_clips_to_the_bit(name: str, example_paths: list[str]) -> None:
    spec = spec_of(name)
    transform = transform_of(name)
    noise = np.random.default_rng(0).integers(0, 256, (700, 531, 3), dtype=np.uint8)
    for image in [*map(read_image, example_paths), Image.fromarray(noise)]:
        prepared = [prepare(image, spec.preprocess)]
        batch = make_batch(prepared, spec.preprocess, torch.device("cpu"), torch.float32)
        assert_array_equal(batch[0].numpy(), transform(image).numpy())


def test_every_published_preprocessing_is_known() -> None:
    for name, tag in open_clip.list_pretrained():
        if name in open_clip.list_models() and _open_clip._fits(
            name, tag, _open_clip._tags(name)[tag]
        ):
            assert spec_of(name, weights=tag).preprocess.input_size is not None


# Names and weights


def test_names() -> None:
    assert _open_clip.names() == open_clip.list_models()


def test_default_weights() -> None:
    assert spec_of("clip-ViT", "default").weights == "openai"
    assert spec_of("clip-RN", "default").weights == "openai"
    assert spec_of("ViT-L-14", "default").weights == "datacomp_xl_s13b_b90k"
    assert spec_of("ViT-B-16-SigLIP", "default").weights == "webli"
    assert spec_of("ViT-B-32", "laion2b_s34b_b79k").weights == "laion2b_s34b_b79k"


def test_openais_weights_need_their_own_gelu() -> None:
    with pytest.raises(ValueError, match="use model='open_clip/ViT-B-32-quickgelu'"):
        spec_of("ViT-B-32", "openai")
    modules = {type(m).__name__ for m in spec_of("clip-ViT").skeleton().modules()}
    assert "QuickGELU" in modules
    assert "GELU" not in modules


def test_unknown_names_and_weights() -> None:
    with pytest.raises(ValueError, match=r"no CLIP network of open_clip.*ViT-B-32"):
        spec_of("open_clip/ViT-B-33")
    with pytest.raises(ValueError, match=r"weights='nope'.*Published: 'openai'"):
        spec_of("clip-ViT", "nope")
    with pytest.raises(ValueError, match=r"weights='default'.*Published: none"):
        spec_of(SMALL, "default")
    with pytest.raises(ValueError, match="there is no such file"):
        spec_of(SMALL, "folder/none.pth")
    with pytest.raises(TypeError, match="weights must be"):
        spec_of(SMALL, 3)


def test_random_weights_follow_the_seed() -> None:
    before = torch.get_rng_state()
    first, again, other = (spec_of(SMALL, seed=s).load().state_dict() for s in (1, 1, 2))
    assert_array_equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["visual.proj.weight"], other["visual.proj.weight"])
    assert spec_of(SMALL, seed=1).fingerprint() != spec_of(SMALL, seed=2).fingerprint()
    assert not any("text" in key or "token_embedding" in key for key in first)


def test_weights_from_a_file(tmp_path: Path) -> None:
    network = reference(SMALL, 9)
    state = network.state_dict()
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "a.pt")
    spec = spec_of(SMALL, tmp_path / "a.pt")
    tower = spec.load()
    batch = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        assert_array_equal(tower(batch), network.encode_image(batch))
    with pytest.raises(ValueError, match="does not fit clip-ViT"):
        spec_of("clip-ViT", tmp_path / "a.pt").load()
    del state["ln_final.weight"]
    torch.save(state, tmp_path / "b.pt")
    with pytest.raises(ValueError, match=r"1 missing \(ln_final.weight\)"):
        spec_of(SMALL, tmp_path / "b.pt").load()


def test_without_network_the_error_says_what_to_put_where(no_hub: Path) -> None:
    with pytest.raises(OSError, match="could not be downloaded") as caught:
        spec_of("clip-ViT", "default").load()
    message = str(caught.value)
    assert "timm/vit_base_patch32_clip_224.openai/open_clip_model.safetensors" in message
    assert str(no_hub) in message
    assert "weights=None" in message


@pytest.mark.slow
def test_published_weights_put_there_by_hand(no_hub: Path) -> None:
    from safetensors.torch import save_file

    network = reference("RN50-quickgelu", 5)
    no_hub.mkdir()
    name = "timm--resnet50_clip.openai--open_clip_model.safetensors"
    save_file(network.state_dict(), no_hub / name)
    tower = spec_of("clip-RN", "default").load()
    batch = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        assert_array_equal(tower(batch), network.encode_image(batch))


def test_an_open_clip_that_would_download_a_tower_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(open_clip, "create_model", lambda model_name, device: None)
    with pytest.raises(
        RuntimeError, match=rf"open_clip {version('open_clip_torch')} takes none of"
    ):
        spec_of(SMALL, None).load()


@pytest.mark.slow
def test_without_open_clip_the_error_says_what_to_install() -> None:
    code = """
import sys
sys.modules["open_clip"] = None
from skdnn.models import _open_clip
from skdnn import CLIPTextEncoder
assert _open_clip.names() == []
def spec():
    _open_clip.spec("clip-ViT", weights=None, seed=0, preprocess="default")
for call in (spec, lambda: CLIPTextEncoder().fit(["a dog"])):
    try:
        call()
    except ImportError as error:
        assert 'pip install "skdnn[clip]"' in str(error), error
    else:
        raise AssertionError("no error")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
