"""Extraction against a plain hook loop over a DataLoader: images per second and peak memory.

    python benchmarks/extraction.py [--images 256] [--repeats 3] [--only resnet50]

Each measurement runs in a process of its own; the sides take turns, and the ratio is that of
their medians. The plain loop is what a careful user writes: torchvision's preprocessing, a
DataLoader with batches of 32 (both without and with two workers; the faster one counts), a hook
that clones, ``torch.no_grad()``. Building the network is not counted on either side.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CASES = [  # network, layer, least ratio aimed at
    ("alexnet", "features.0", None),
    ("alexnet", "classifier.6", 1.2),
    ("resnet50", "layer1", 2.5),
    ("resnet50", "fc", 1.2),
    ("vit_b_16", "encoder.layers.encoder_layer_2", 2.5),
    ("vit_b_16", "heads.head", 1.1),
]
SIDES = ["plain, 0 workers", "plain, 2 workers", "skdnn"]
EXTRA_MEMORY_MB = 500


def make_images(folder: Path, n: int) -> list[str]:
    """Cut n JPEG files of about 500 x 375 pixels from scikit-learn's two photographs."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images().images
    rng = np.random.default_rng(0)
    paths = []
    for i in range(n):
        photograph = photographs[i % 2]
        top, left = rng.integers(0, photograph.shape[0] - 375), rng.integers(0, 140)
        path = folder / f"{i:04d}.jpg"
        Image.fromarray(photograph[top : top + 375, left : left + 500]).save(path, quality=90)
        paths.append(str(path))
    return paths


def plain(model: str, layer: str, paths: list[str], workers: int) -> tuple[np.ndarray, float]:
    """The loop that a user would write."""
    import torch
    from PIL import Image
    from torchvision import models

    class Images(torch.utils.data.Dataset):
        transform = models.get_model_weights(model).DEFAULT.transforms()

        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, i: int) -> torch.Tensor:
            return self.transform(Image.open(paths[i]).convert("RGB"))

    torch.manual_seed(0)
    network = models.get_model(model, weights=None).eval()
    seen: list[torch.Tensor] = []
    network.get_submodule(layer).register_forward_hook(lambda m, a, out: seen.append(out.clone()))
    start = time.perf_counter()
    loader = torch.utils.data.DataLoader(Images(), batch_size=32, num_workers=workers)
    features = []
    with torch.no_grad():
        for batch in loader:
            network(batch)
            features.append(seen.pop().flatten(1).numpy())
    return np.concatenate(features), time.perf_counter() - start


def ours(model: str, layer: str, paths: list[str]) -> tuple[np.ndarray, float]:
    """The extractor, fitted beforehand: fitting builds the network."""
    from skdnn import DNNFeatureExtractor

    extractor = DNNFeatureExtractor(model, layer, weights=None, device="cpu").fit(paths)
    start = time.perf_counter()
    features = extractor.transform(paths)
    return features, time.perf_counter() - start


def run_side(side: str, model: str, layer: str, folder: str) -> None:
    """Run one side in this process, and print what it took."""
    import torch
    from torchvision import models

    imports = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    paths = sorted(map(str, Path(folder).glob("*.jpg")))
    if side == "skdnn":
        features, seconds = ours(model, layer, paths)
    else:
        features, seconds = plain(model, layer, paths, workers=int(side.split()[1]))
    with torch.device("meta"):
        empty = models.get_model(model, weights=None)
    network = sum(p.numel() for p in empty.parameters()) * 4
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        json.dumps(
            {
                "rate": len(paths) / seconds,
                "peak_mb": peak / 1e6,
                "needed_mb": (features.nbytes + network + imports) / 1e6,
                "checksum": float(np.abs(features).mean()),
                "threads": torch.get_num_threads(),
            }
        )
    )


def measure(side: str, model: str, layer: str, folder: str) -> dict[str, float]:
    """Run one side in a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--case", model, layer, folder]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Run all cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--case", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_side(options.side, *options.case)
        return
    print(
        f"{'network':10} {'layer':32} {'plain 0':>8} {'plain 2':>8} {'skdnn':>8} "
        f"{'ratio':>6} {'aim':>5} {'peak MB':>8} {'+needed':>8}"
    )
    with tempfile.TemporaryDirectory() as folder:
        make_images(Path(folder), options.images)
        for model, layer, aim in CASES:
            if options.only not in model:
                continue
            runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
            for _ in range(options.repeats):
                for side in SIDES:
                    runs[side].append(measure(side, model, layer, folder))
            rates = {s: statistics.median(r["rate"] for r in runs[s]) for s in SIDES}
            ratio = rates["skdnn"] / max(rates[s] for s in SIDES[:2])
            peak = statistics.median(r["peak_mb"] for r in runs["skdnn"])
            extra = peak - runs["skdnn"][0]["needed_mb"]
            print(
                f"{model:10} {layer:32} {rates[SIDES[0]]:8.1f} {rates[SIDES[1]]:8.1f} "
                f"{rates['skdnn']:8.1f} {ratio:6.2f} {aim or '':>5} {peak:8.0f} {extra:+8.0f}",
                flush=True,
            )
    print(
        "images per second; +needed is the peak above features, network and imported libraries "
        f"(aim: below +{EXTRA_MEMORY_MB} MB)"
    )


if __name__ == "__main__":
    main()
