"""Ways to run a network on a CPU that might beat the extractor, each in a few lines.

    python benchmarks/engines.py [--only alexnet] [--ways "folded" "inductor, frozen"]
                                 [--images 48] [--repeats 3]

Random weights, JPEG files, one thread; the ways take turns, and seconds are those that the
processor computed (medians), reading of images included. The plain loop is the one a user writes:
Pillow, torchvision's preprocessing, a hook that clones. The other ways read images as the
extractor does and run the same network, cut at the layer. What compiles or converts is timed
apart, and a way whose package or compiler is missing says so.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from extraction import make_images

LAYERS = {  # network: layer, images, and at once through the network, as the extractor chooses
    "alexnet": ("classifier.6", 96, 32),
    "resnet50": ("avgpool", 48, 8),
    "vit_b_16": ("encoder.layers.encoder_layer_11", 24, 8),
}
Forward = Callable[[Any], Any]


def as_it_is(cut: Any, batch: Any) -> Forward:
    """torch without anything."""
    return cut


def channels_last(cut: Any, batch: Any) -> Forward:
    """The channels of a pixel side by side in memory."""
    import torch

    return cut.to(memory_format=torch.channels_last)


def inference_mode(cut: Any, batch: Any) -> Forward:
    """Channels last, under ``torch.inference_mode`` in place of ``torch.no_grad``."""
    import torch

    return torch.inference_mode()(channels_last(cut, batch))


def folded(cut: Any, batch: Any) -> Forward:
    """Channels last, each batch norm multiplied into the convolution before it."""
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    modules = dict(cut.named_modules())
    for node in cut.graph.nodes:
        before: Any = node.args[0] if node.op == "call_module" else None
        if isinstance(modules.get(node.target), torch.nn.BatchNorm2d) and len(before.users) == 1:
            conv = fuse_conv_bn_eval(modules[before.target], modules[node.target])
            cut.set_submodule(before.target, conv)
            node.replace_all_uses_with(before)
            cut.graph.erase_node(node)
    cut.recompile()
    return channels_last(cut, batch)


def blocked(cut: Any, batch: Any) -> Forward:
    """Folded; weights put in oneDNN's own order once (``torch.jit.optimize_for_inference``)."""
    import torch

    traced = torch.jit.trace(folded(cut, batch), batch)
    return torch.jit.optimize_for_inference(torch.jit.freeze(traced))


def inductor(cut: Any, batch: Any) -> Forward:
    """Channels last, compiled: what ``compile=True`` does."""
    import torch

    return torch.compile(channels_last(cut, batch), dynamic=False, fullgraph=True)


def frozen(cut: Any, batch: Any) -> Forward:
    """Compiled with the weights as constants: folded, and in oneDNN's own order."""
    import torch

    compiled = inductor(cut, batch)
    with torch._inductor.config.patch(freezing=True):
        compiled(batch)
    return compiled


def openvino(cut: Any, batch: Any) -> Forward:
    """Converted to OpenVINO."""
    import openvino
    import torch

    model = openvino.convert_model(cut, example_input=batch.contiguous(), input=list(batch.shape))
    options = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    run = openvino.compile_model(model, "CPU", options)
    return lambda batch: torch.from_numpy(run([batch.contiguous().numpy()])[0].copy())


def onnx_runtime(cut: Any, batch: Any) -> Forward:
    """Exported to ONNX, run by ONNX Runtime."""
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/network.onnx"
        torch.onnx.export(cut, (batch.contiguous(),), path, dynamo=True, verbose=False)
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda batch: torch.from_numpy(
        session.run(None, {given.name: batch.contiguous().numpy()})[0]
    )


# name: function, images at once (None: as the extractor chooses), whether freed memory is kept
WAYS: dict[str, tuple[Callable[[Any, Any], Forward], int | None, bool]] = {
    "as it is": (as_it_is, None, False),
    "channels last": (channels_last, None, False),
    "inference mode": (inference_mode, None, False),
    "batch norms folded": (folded, None, False),
    "folded, weights blocked": (blocked, None, False),
    "inductor": (inductor, None, False),
    "inductor, frozen": (frozen, None, False),
    "OpenVINO": (openvino, None, False),
    "ONNX Runtime": (onnx_runtime, None, False),
    "memory kept": (channels_last, None, True),
    "32 at once": (channels_last, 32, False),
    "64 at once": (channels_last, 64, False),
    "32 at once, memory kept": (channels_last, 32, True),
    "64 at once, memory kept": (channels_last, 64, True),
}


def keep_memory(kept: bool) -> None:
    """Let glibc reuse large blocks (``MALLOC_TRIM_THRESHOLD_``, ``_MMAP_THRESHOLD_``), or not."""
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(-3, 2**30 if kept else 32 * 2**20)  # where its own rule ends up
        library.mallopt(-1, 2**31 - 1 if kept else 64 * 2**20)
        library.malloc_trim(0)


def cut_at(network: Any, layer: str) -> Any:
    """A copy of a network that ends at a layer."""
    import torch
    from torchvision.models.feature_extraction import create_feature_extractor

    cut = create_feature_extractor(copy.deepcopy(network), {layer: "layer"}).eval()
    (output,) = (node for node in cut.graph.nodes if node.op == "output")
    output.args = (output.args[0]["layer"],)
    return torch.fx.GraphModule(cut, cut.graph).eval()


class Plain:
    """The loop that a user would write."""

    def __init__(self, model: str, layer: str, network: Any) -> None:
        from torchvision import models

        self.transform = models.get_model_weights(model).IMAGENET1K_V1.transforms()
        self.network = copy.deepcopy(network)
        self.seen: list[Any] = []
        self.network.get_submodule(layer).register_forward_hook(
            lambda module, args, out: self.seen.append(out.clone())
        )

    def __call__(self, paths: list[str]) -> tuple[np.ndarray, float, float]:
        """Features, and seconds for reading and for the network."""
        import torch
        from PIL import Image

        features, reading, start = [], 0.0, time.process_time()
        for i in range(0, len(paths), 32):
            begun = time.process_time()
            batch = torch.stack(
                [self.transform(Image.open(path).convert("RGB")) for path in paths[i : i + 32]]
            )
            reading += time.process_time() - begun
            with torch.no_grad():
                self.network(batch)
            features.append(self.seen.pop().flatten(1).numpy())
        return np.concatenate(features), reading, time.process_time() - start - reading


class Extractor:
    """skdnn as it is; how it reads is not told apart."""

    def __init__(self, layer: str, network: Any, paths: list[str]) -> None:
        from skdnn import DNNFeatureExtractor
        from skdnn.models import Model

        model = Model(copy.deepcopy(network), name="measured")
        self.extractor = DNNFeatureExtractor(model, layer, device="cpu", cache=None).fit(paths)

    def __call__(self, paths: list[str]) -> tuple[np.ndarray, float, float]:
        """Features, nan, and seconds for all."""
        start = time.process_time()
        features = self.extractor.transform(paths)
        return features, np.nan, time.process_time() - start


class Way:
    """Images read as the extractor does, and a forward pass of another kind."""

    def __init__(self, way: str, cut: Any, size: int, paths: list[str]) -> None:
        import torch

        make, at_once, self.kept = WAYS[way]
        self.size = min(at_once or size, len(paths))
        batch = self.read(paths[: self.size])
        start = time.perf_counter()
        with torch.no_grad():
            self.forward = make(copy.deepcopy(cut), batch)
            for _ in range(2):
                self.forward(batch)
        self.making = time.perf_counter() - start

    def read(self, paths: list[str]) -> Any:
        """A batch."""
        import torch

        from skdnn._backends._torch_device_copies import make_batch
        from skdnn._images import read_image
        from skdnn.models import Preprocessing

        prepare = Preprocessing()
        pixels = [prepare.pixels(read_image(path)) for path in paths]
        return make_batch(pixels, prepare, torch.device("cpu"), torch.float32)

    def __call__(self, paths: list[str]) -> tuple[np.ndarray, float, float]:
        """Features, and seconds for reading and for the network."""
        import torch

        keep_memory(self.kept)
        features, reading, start = [], 0.0, time.process_time()
        for i in range(0, len(paths), self.size):
            begun = time.process_time()
            batch = self.read(paths[i : i + self.size])
            reading += time.process_time() - begun
            with torch.no_grad():
                features.append(self.forward(batch).flatten(1).numpy())
        used = time.process_time() - start - reading
        keep_memory(False)
        return np.concatenate(features), reading, used


def compare(model: str, options: argparse.Namespace) -> None:
    """A table for one network."""
    import torch
    from torchvision import models

    layer, n_images, size = LAYERS[model]
    torch.manual_seed(0)
    network = models.get_model(model, weights=None).eval()
    cut = cut_at(network, layer)
    with tempfile.TemporaryDirectory() as folder:
        paths = make_images(Path(folder), options.images or n_images)
        sides: dict[str, Any] = {
            "plain loop": Plain(model, layer, network),
            "skdnn": Extractor(layer, network, paths),
        }
        for way in options.ways:
            try:
                sides[way] = Way(way, cut, size, paths)
            except Exception as error:  # a package or a compiler that is not there
                print(f"{model}, {way}: left out ({type(error).__name__}: {error})"[:200])
        runs: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
        features = {}
        for _ in range(options.repeats):
            for side, run in sides.items():
                features[side], *seconds = run(paths)
                runs[side].append((1000 * np.array(seconds) / len(paths)).tolist())
    whole = {side: statistics.median(np.nansum(run) for run in own) for side, own in runs.items()}
    expected = features["plain loop"]
    for side, own in runs.items():
        reading, used = (statistics.median(run[k] for run in own) for k in (0, 1))
        apart = np.abs(features[side] - expected).max() / np.abs(expected).max()
        print(
            f"{model:9} {side:24} {reading:8.1f} {used:8.1f} {whole[side]:8.1f} "
            f"{whole['plain loop'] / whole[side]:6.2f} {whole['skdnn'] / whole[side]:6.2f} "
            f"{apart:8.0e} {getattr(sides[side], 'making', 0):7.1f} "
            f"{'same bits' if np.array_equal(features[side], features['skdnn']) else ''}",
            flush=True,
        )


def main() -> None:
    """A table for each network."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--images", type=int, help="default: 96, 48, 24")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "milliseconds of the processor for an image: reading, network, both; ratios of both to "
        "the plain loop and skdnn; largest difference from the plain loop, over the largest "
        "feature; seconds on the clock to compile or convert\n"
        f"{'network':9} {'way':24} {'reading':>8} {'network':>8} {'both':>8} {'/plain':>6} "
        f"{'/skdnn':>6} {'error':>8} {'making':>7}   load {os.getloadavg()[0]:.1f}"
    )
    for model in LAYERS:
        if options.only in model:
            compare(model, options)
    print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
