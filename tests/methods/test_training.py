"""What weights were trained on, as their names say: sentences for every source of networks.

Nothing is built: names and tags are those that the packages list themselves.
"""

from __future__ import annotations

import re

import pytest

from skdnn import MethodsText

ONLY_1K = "trained on ImageNet-1k (Deng et al., 2009; Russakovsky et al., 2015)"


def weights_told(model: str, weights: str) -> str:
    """What the text says of the weights, and what must be added about them."""
    facts = {"model": model, "weights": weights, "weights_from": "published", "versions": {}}
    text = MethodsText({**facts, "layers": [{"name": "a"}], "preprocess": "a callable"}).text
    told = re.search(rf"the published weights {re.escape(weights)}(?:, (.*?))?\. The SHA", text)
    added = [
        bracket for bracket in re.findall(r"\[.*?\]", text) if "for the network" not in bracket
    ]
    return " ".join(filter(None, [told[1], *added]))


@pytest.mark.parametrize(
    ("model", "weights", "told"),
    [
        ("torchvision/resnet50", "IMAGENET1K_V2", "trained on ImageNet-1k"),
        ("torchvision/vgg16", "IMAGENET1K_FEATURES", "trained on ImageNet-1k"),
        ("torchvision/vit_b_16", "IMAGENET1K_SWAG_E2E_V1",
         "pre-trained on hashtags of 3.6 billion images of Instagram (SWAG) (Singh et al., 2022), "
         "then trained further on ImageNet-1k"),
        ("torchvision/vit_b_16", "IMAGENET1K_SWAG_LINEAR_V1",
         "(Singh et al., 2022), then trained further with a linear classifier on ImageNet-1k"),
        ("torchvision/fcn_resnet50", "COCO_WITH_VOC_LABELS_V1",
         "trained on images of COCO with the categories of Pascal VOC"),
        ("keras/VGG16", "imagenet", "trained on ImageNet-1k"),
        ("keras/ConvNeXtTiny", "imagenet", "trained on ImageNet-1k"),
        ("keras/ConvNeXtXLarge", "imagenet",
         "pre-trained on ImageNet-21k (Deng et al., 2009), then trained further on ImageNet-1k"),
        ("cornet/cornet-s", "cornet_s-1d3f7974", "trained on ImageNet-1k"),
        ("pretrained/efficientnet-lite0", "efficientnet-lite0-12345678",
         "trained on ImageNet-1k"),
        ("published/alexnet-ecoset", "alexnet-ecoset", "trained on ecoset (Mehrer et al., 2021"),
        ("published/simclr-rn50", "simclr-rn50",
         "trained with VISSL without labels by SimCLR on ImageNet-1k (Goyal et al., 2021; "
         "Chen et al., 2020; Deng et al., 2009"),
        ("published/mae-vit-base-p16", "x", "trained without labels by masked autoencoding on "
         "ImageNet-1k (He et al., 2022; Deng"),
        ("clip-RN", "openai", "trained by OpenAI on images and their captions (Radford et al."),
        ("open_clip/ViT-B-32", "laion2b_s34b_b79k",
         "trained on pairs of images and texts from LAION-2B (Schuhmann et al., 2022"),
        ("open_clip/ViT-B-32", "laion400m_e32", "from LAION-400M (Schuhmann et al., 2021"),
        ("open_clip/ViT-B-16-SigLIP", "webli", "texts from WebLI (Chen et al., 2023"),
        ("open_clip/RN50", "yfcc15m", "texts from YFCC100M (Thomee et al., 2016"),
        ("timm/resnet50.a1_in1k", "a1_in1k", "trained on ImageNet-1k"),
        ("timm/vit_base_patch16_224.augreg_in21k_ft_in1k", "augreg_in21k_ft_in1k",
         "pre-trained on ImageNet-21k (Deng et al., 2009), then trained further on ImageNet-1k"),
        ("timm/x.laion2b_ft_in12k_in1k", "laion2b_ft_in12k_in1k",
         "pre-trained on pairs of images and texts from LAION-2B (Schuhmann et al., 2022), then "
         "trained further on 12 thousand categories of ImageNet (Deng et al., 2009) and on "
         "ImageNet-1k"),
        ("timm/x.fcmae_ft_in22k_in1k", "fcmae_ft_in22k_in1k",
         "pre-trained without labels by masked autoencoding on ImageNet-1k (Woo et al., 2023; "
         "Deng et al., 2009; Russakovsky et al., 2015), then trained further on ImageNet-22k "),
        ("timm/x.ns_jft_in1k", "ns_jft_in1k", "noisy student training on ImageNet-1k and "),
        ("timm/x.openai", "openai", "trained by OpenAI on images and their captions"),
        ("timm/x.clip_ft_in1k", "clip_ft_in1k", "pre-trained on data that its name does not "
         "tell, then trained further on ImageNet-1k"),
        ("hf/facebook/dinov2-base", "main", "trained without labels by DINOv2 on the images of "
         "LVD-142M (Oquab et al., 2024"),
        ("hf/google/vit-base-patch16-224-in21k", "main", "trained on ImageNet-21k"),
    ],
)  # fmt: skip
def test_what_the_weights_were_trained_on(model, weights, told):
    assert told in weights_told(model, weights)
    if "further" not in told:
        assert "pre-trained" not in weights_told(model, weights)


@pytest.mark.parametrize(
    ("weights", "parts"),
    [
        ("ap_in1k", '"ap"'),
        ("mim_in22k_ft_in1k", '"mim"'),
        ("bd_ssld_6m_in1k", '"ssld" and "6m"'),
        ("clip_ft_in1k", '"clip"'),
        ("mscoco_finetuned_laion2b_s13b_b90k", '"mscoco" and "finetuned"'),
    ],
)
def test_parts_that_are_not_known_stand_in_brackets(weights, parts):
    told = weights_told("timm/resnet50", weights)
    assert f"[What {parts} in the name {weights} stands for must be added here.]" in told
    assert told.startswith(("trained", "pre-trained"))


# What must never be said of a tag that has other data, or none of ImageNet.
OTHERS = re.compile(
    r"in1[12]k|in2[12]k|inw21k|laion|openai|yfcc|ig1b|jft|webli|datacomp|metaclip|dfn|lvd|swag|"
    r"seer|m38m|m30m|merged2b|clip|cc12m|sa1b|coco"
)


def test_tags_of_timm_that_name_other_data_say_so():
    """Of every tag that timm lists, also those that no network of ours has been tried with."""
    pytest.importorskip("torchvision")
    timm = pytest.importorskip("timm")
    tags = {name.partition(".")[2] for name in timm.list_pretrained()}
    both = {tag for tag in tags if "in1k" in tag.split("_") and OTHERS.search(tag)}
    only = {tag for tag in tags if "in1k" in tag.split("_") and not OTHERS.search(tag)}
    without = {tag for tag in tags if "in1k" not in tag.split("_")}
    assert min(len(both), len(only), len(without)) > 40
    for tag in both:
        told = weights_told("timm/x", tag)
        assert "ImageNet-1k" in told, tag
        assert told != ONLY_1K, tag
        assert "then trained further" in told or "noisy student" in told or "[What" in told, tag
    for tag in only:
        told = weights_told("timm/x", tag)
        assert "ImageNet-1k (" in told, tag
        assert not OTHERS.search(told.partition("[")[0].lower()), tag
    for tag in without:
        told = weights_told("timm/x", tag)
        implied = set(tag.split("_")) & {"mae", "fcmae", "dino"}  # trained on it, say the papers
        assert ("ImageNet-1k" in told) == bool(implied), tag
        assert told, tag  # what it was trained on, or that this must be added


def test_default_weights_of_timm():
    """What the first weights of each architecture say: none of them claims too little."""
    pytest.importorskip("torchvision")
    timm = pytest.importorskip("timm")
    n_both = n_without = 0
    for name in timm.list_models():
        card = timm.get_pretrained_cfg(name)
        tag = getattr(card, "tag", "") or ""
        if not tag:
            continue
        told = weights_told(f"timm/{name}.{tag}", tag)
        parts = tag.split("_")
        n_both += "in1k" in parts and OTHERS.search(tag) is not None
        n_without += "in1k" not in parts
        if "in1k" not in parts and not set(parts) & {"mae", "fcmae", "dino"}:
            assert "ImageNet-1k" not in told, name
    assert n_both > 60
    assert n_without > 150


def test_tags_of_open_clip():
    pytest.importorskip("torchvision")
    open_clip = pytest.importorskip("open_clip")
    seen = set()
    for name, tag in open_clip.list_pretrained():
        told = weights_told(f"open_clip/{name}", tag)
        seen.add(tag)
        assert told
        assert "ImageNet" not in told, tag
        for part in ("laion2b", "laion400m", "yfcc15m", "webli", "openai", "cc12m"):
            assert (part in tag.split("_")) <= ("trained" in told), tag
    assert len(seen) > 40


def test_weights_of_torchvision():
    import torchvision

    for name in torchvision.models.list_models():
        for weights in torchvision.models.get_model_weights(name):
            told = weights_told(f"torchvision/{name}", weights.name)
            if "SWAG" in weights.name or "COCO" in weights.name or "KINETICS" in weights.name:
                assert "trained on ImageNet-1k" not in told, weights
            elif weights.name.startswith("IMAGENET1K_V"):
                assert told.startswith(("trained on ImageNet-1k", "[A reference")), weights


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("pretrained/efficientnet-lite0", "EfficientNet-Lite network"),
        ("pretrained/efficientnet-lite2", "(Tan and Le, 2019; Liu, 2020)"),
        ("timm/tf_efficientnet_lite0.in1k", "EfficientNet-Lite network"),
        ("hf/facebook/dinov2-base", "Vision Transformer network"),
        ("timm/vit_base_patch16_clip_224.openai", "CLIP network"),
    ],
)
def test_networks_of_other_sources(model, family):
    facts = {"model": model, "weights": "x", "layers": [{"name": "a"}], "versions": {}}
    assert family in MethodsText({**facts, "preprocess": "a callable"}).text
