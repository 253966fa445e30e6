"""Which network a name stands for, what it was trained on, and what to cite for both."""

from __future__ import annotations

import re
from dataclasses import dataclass

IMAGENET = ("deng2009imagenet", "russakovsky2015imagenet")


@dataclass(frozen=True)
class Family:
    """Networks with one set of references.

    Attributes
    ----------
    name : str
        For the running text.
    keys : tuple of str
        References.
    """

    name: str
    keys: tuple[str, ...]


_RESNET = Family("ResNet", ("he2016resnet",))
_VIT = Family("Vision Transformer", ("dosovitskiy2021vit",))
_CLIP = Family("CLIP", ("radford2021clip",))
_ALEXNET = Family("AlexNet", ("krizhevsky2012alexnet", "krizhevsky2014weird"))
_MOBILENET_V3 = Family("MobileNetV3", ("howard2019mobilenetv3",))
_VGG_BN = Family("VGG with batch normalisation", ("simonyan2015vgg", "ioffe2015batchnorm"))
_SIZE = r"(tiny|small|base|large|xlarge)"

# Of each source: pattern of the whole name, in lower case, and what it is. Names that match
# nothing get no reference.
_FAMILIES: dict[str, list[tuple[str, Family]]] = {
    "torchvision": [
        (r"alexnet", _ALEXNET),
        (r"vgg\d+", Family("VGG", ("simonyan2015vgg",))),
        (r"vgg\d+_bn", _VGG_BN),
        (r"resnet\d+", _RESNET),
        (r"resnext.+", Family("ResNeXt", ("xie2017resnext",))),
        (r"wide_resnet.+", Family("Wide ResNet", ("zagoruyko2016wide",))),
        (r"densenet\d+", Family("DenseNet", ("huang2017densenet",))),
        (r"googlenet", Family("GoogLeNet", ("szegedy2015googlenet",))),
        (r"inception_v3", Family("Inception v3", ("szegedy2016inception",))),
        (r"squeezenet.+", Family("SqueezeNet", ("iandola2016squeezenet",))),
        (r"mobilenet_v2", Family("MobileNetV2", ("sandler2018mobilenetv2",))),
        (r"mobilenet_v3_(small|large)", _MOBILENET_V3),
        (r"mnasnet.+", Family("MnasNet", ("tan2019mnasnet",))),
        (r"shufflenet_v2.+", Family("ShuffleNet V2", ("ma2018shufflenetv2",))),
        (r"efficientnet_b\d", Family("EfficientNet", ("tan2019efficientnet",))),
        (r"efficientnet_v2_[sml]", Family("EfficientNetV2", ("tan2021efficientnetv2",))),
        (r"regnet_[xy]_.+", Family("RegNet", ("radosavovic2020regnet",))),
        (rf"convnext_{_SIZE}", Family("ConvNeXt", ("liu2022convnext",))),
        (r"vit_[blh]_\d+", _VIT),
        (r"swin_[tsb]", Family("Swin Transformer", ("liu2021swin",))),
        (r"swin_v2_[tsb]", Family("Swin Transformer V2", ("liu2022swinv2",))),
        (r"maxvit_t", Family("MaxViT", ("tu2022maxvit",))),
        (r"fcn_resnet\d+", Family("FCN", ("long2015fcn", "he2016resnet"))),
        (r"deeplabv3_resnet\d+", Family("DeepLabv3", ("chen2017deeplabv3", "he2016resnet"))),
        (
            r"deeplabv3_mobilenet_v3_large",
            Family("DeepLabv3", ("chen2017deeplabv3", "howard2019mobilenetv3")),
        ),
        (r"lraspp_mobilenet_v3_large", Family("LR-ASPP", ("howard2019mobilenetv3",))),
    ],
    "keras": [
        (rf"convnext{_SIZE}", Family("ConvNeXt", ("liu2022convnext",))),
        (r"densenet\d+", Family("DenseNet", ("huang2017densenet",))),
        (r"efficientnetb\d", Family("EfficientNet", ("tan2019efficientnet",))),
        (r"efficientnetv2(b\d|[sml])", Family("EfficientNetV2", ("tan2021efficientnetv2",))),
        (r"inceptionresnetv2", Family("Inception-ResNet v2", ("szegedy2017inceptionresnet",))),
        (r"inceptionv3", Family("Inception v3", ("szegedy2016inception",))),
        (r"mobilenet", Family("MobileNet", ("howard2017mobilenets",))),
        (r"mobilenetv2", Family("MobileNetV2", ("sandler2018mobilenetv2",))),
        (r"mobilenetv3(small|large)", _MOBILENET_V3),
        (r"nasnet(mobile|large)", Family("NASNet", ("zoph2018nasnet",))),
        (r"resnet(50|101|152)", _RESNET),
        (r"resnet(50|101|152)v2", Family("ResNet v2", ("he2016identity",))),
        (r"vgg\d+", Family("VGG", ("simonyan2015vgg",))),
        (r"xception", Family("Xception", ("chollet2017xception",))),
    ],
    "cornet": [(r"cornet-.+", Family("CORnet", ("kubilius2018cornet", "kubilius2019brainlike")))],
    "clip": [(r"clip-(vit|rn)", _CLIP)],
    "open_clip": [
        (r"(rn\d+(x\d+)?|vit-([blhg]|bigg)-\d+)(-quickgelu|-\d+)*", _CLIP),
        (r"vit-.+-siglip(-\d+)?", Family("SigLIP", ("zhai2023siglip",))),
    ],
    "timm": [
        (r"vgg\d+", Family("VGG", ("simonyan2015vgg",))),
        (r"vgg\d+_bn", _VGG_BN),
        (r"resnet(18|34|50|101|152)", _RESNET),
        (r"densenet(121|161|169|201)", Family("DenseNet", ("huang2017densenet",))),
        (r"inception_v3", Family("Inception v3", ("szegedy2016inception",))),
        (r"xception", Family("Xception", ("chollet2017xception",))),
        (r"mobilenetv2_\d+", Family("MobileNetV2", ("sandler2018mobilenetv2",))),
        (r"mobilenetv3_(small|large)_\d+", _MOBILENET_V3),
        (r"(tf_)?efficientnet_b\d", Family("EfficientNet", ("tan2019efficientnet",))),
        (r"regnet[xy]_\d+", Family("RegNet", ("radosavovic2020regnet",))),
        (rf"convnext_{_SIZE}", Family("ConvNeXt", ("liu2022convnext",))),
        (r"vit_(tiny|small|base|large|huge)_patch\d+_\d+", _VIT),
        (r"deit_(tiny|small|base)_patch\d+_\d+", Family("DeiT", ("touvron2021deit",))),
        (r"swin_(tiny|small|base|large)_.+", Family("Swin Transformer", ("liu2021swin",))),
        (r"swinv2_(tiny|small|base|large)_.+", Family("Swin Transformer V2", ("liu2022swinv2",))),
    ],
    "published": [
        (r"alexnet-.+", _ALEXNET),
        (r"vgg16-ecoset", Family("VGG", ("simonyan2015vgg",))),
        (r"vgg16-bn-ecoset", _VGG_BN),
        (r"inception-v3-ecoset", Family("Inception v3", ("szegedy2016inception",))),
        (r"(.+-rn50|resnet50-ecoset)", _RESNET),
        (r"(dino|mae)-vit-.+", _VIT),
    ],
    "pretrained": [
        (r"efficientnet-lite\d", Family("EfficientNet-Lite", ("tan2019efficientnet",))),
    ],
}

# How the networks of the source "published" were trained: all without labels, on ImageNet.
_METHODS = {
    "simclr": ("SimCLR", ("chen2020simclr", "goyal2021vissl")),
    "mocov2": ("MoCo v2", ("chen2020mocov2", "goyal2021vissl")),
    "jigsaw": ("jigsaw puzzles", ("noroozi2016jigsaw", "goyal2021vissl")),
    "rotnet": ("RotNet", ("gidaris2018rotnet", "goyal2021vissl")),
    "swav": ("SwAV", ("caron2020swav", "goyal2021vissl")),
    "pirl": ("PIRL", ("misra2020pirl", "goyal2021vissl")),
    "barlowtwins": ("Barlow Twins", ("zbontar2021barlow",)),
    "vicreg": ("VICReg", ("bardes2022vicreg",)),
    "dino": ("DINO", ("caron2021dino",)),
    "mae": ("masked autoencoding", ("he2022mae",)),
}


def split_name(model: str) -> tuple[str, str]:
    """Source and name of a network; the short names of CLIP stand alone."""
    source, slash, name = model.partition("/")
    if slash:
        return source, name
    return ("clip" if model.startswith("clip-") else ""), model


def find_family(model: str) -> Family | None:
    """What a network's name stands for, or None where no reference is known."""
    source, name = split_name(model)
    if source == "timm":
        name = name.partition(".")[0]  # without the tag of its weights
    for pattern, family in _FAMILIES.get(source, []):
        if re.fullmatch(pattern, name.lower()):
            return family
    return None


def find_training(model: str, weights: str) -> tuple[str, tuple[str, ...]] | None:
    """How published weights were made: in words, and what to cite; None where it is unknown."""
    source, name = split_name(model)
    if source == "published":
        return _published(name)
    if source in ("clip", "open_clip"):
        return _of_clip(weights)
    if "SWAG" in weights:
        words = "pre-trained with weak supervision (SWAG) and then trained on ImageNet"
        return words, ("singh2022swag", *IMAGENET)
    if weights.startswith("COCO"):
        words = "trained on images of COCO with the categories of Pascal VOC"
        return words, ("lin2014coco", "everingham2010voc")
    on_imagenet = {
        "torchvision": weights.startswith("IMAGENET1K"),
        "keras": weights == "imagenet",
        "cornet": True,
        "pretrained": True,
        "timm": re.search(r"(^|_)in1k($|_)", weights) is not None,
    }
    return ("trained on ImageNet", IMAGENET) if on_imagenet.get(source, False) else None


def _published(name: str) -> tuple[str, tuple[str, ...]] | None:
    if name.endswith("-ecoset"):
        return "trained on ecoset", ("mehrer2021ecoset",)
    method = _METHODS.get(name.partition("-")[0])
    if method is None:
        return None
    words, keys = method
    return f"trained without labels by {words} on ImageNet", (*keys, *IMAGENET)


def _of_clip(weights: str) -> tuple[str, tuple[str, ...]] | None:
    if weights == "openai":
        return "trained by OpenAI on images and their captions", ("radford2021clip",)
    if weights.startswith("laion2b"):
        return "trained on pairs of images and texts from LAION", ("schuhmann2022laion5b",)
    return None
