"""Extraction: images per second and peak memory, against what a user would do otherwise.

    python benchmarks/extraction.py [--parts plain precision compile layers]
                                    [--images 256] [--repeats 3] [--only resnet50]

plain      against a hook loop over a DataLoader, as a careful user writes it: torchvision's
           preprocessing, batches of 32 (both without and with two workers; the faster one
           counts), a hook that clones, ``torch.no_grad()``
precision  bfloat16 against float32: the ratio, and how well the RDMs of both agree
compile    compiled against not; the seconds of compiling are given apart
layers     eight layers in one pass against a pass for each

Each measurement runs in a process of its own; the sides take turns, and the ratio is that of
their medians. Building the network is not counted on any side.
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
from functools import partial
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
# A vision transformer's random head gives zeros, of which no RDM can be made: the layer before it.
NETWORKS = [("alexnet", "classifier.6"), ("resnet50", "fc"), ("vit_b_16", "encoder")]
EIGHT_LAYERS = [f"features.{i}" for i in (0, 3, 6, 8, 10)] + [f"classifier.{i}" for i in (1, 4, 6)]
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


def clock() -> np.ndarray:
    """Seconds that have gone by, and seconds that this process has computed."""
    return np.array([time.perf_counter(), time.process_time()])


def plain(model: str, layer: str, paths: list[str], workers: int) -> tuple[np.ndarray, np.ndarray]:
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
    start = clock()
    loader = torch.utils.data.DataLoader(Images(), batch_size=32, num_workers=workers)
    features = []
    with torch.no_grad():
        for batch in loader:
            network(batch)
            features.append(seen.pop().flatten(1).numpy())
    return np.concatenate(features), clock() - start


def ours(
    model: str, layer: str | list[str], paths: list[str], **options: object
) -> tuple[np.ndarray, np.ndarray]:
    """The extractor, fitted beforehand: fitting builds the network."""
    from skdnn import DNNFeatureExtractor

    extractor = DNNFeatureExtractor(model, layer, weights=None, device="cpu", **options).fit(paths)
    start = clock()
    features = extractor.transform(paths)
    return features, clock() - start


def compiled(model: str, layer: str, paths: list[str]) -> tuple[np.ndarray, np.ndarray, float]:
    """The same with a compiled network: the first run compiles, the second is measured."""
    from skdnn import DNNFeatureExtractor

    extractor = DNNFeatureExtractor(model, layer, weights=None, device="cpu", compile=True)
    start = clock()
    extractor.fit(paths).transform(paths[:1])
    first = (clock() - start)[0]
    start = clock()
    features = extractor.transform(paths)
    return features, clock() - start, first


def pass_for_each(model: str, paths: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Eight layers, one after the other."""
    parts = [ours(model, layer, paths) for layer in EIGHT_LAYERS]
    return np.hstack([features for features, _ in parts]), sum(seconds for _, seconds in parts)


def run_side(side: str, model: str, layer: str, folder: str) -> None:
    """Run one side in this process, and print what it took."""
    import torch
    from torchvision import models

    imports = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    paths = sorted(map(str, Path(folder).glob("*.jpg")))
    first = 0.0
    match side.split(", "):
        case ["plain", workers]:
            features, seconds = plain(model, layer, paths, workers=int(workers.split()[0]))
        case ["skdnn", "compiled"]:
            features, seconds, first = compiled(model, layer, paths)
        case ["skdnn", "one pass"]:
            features, seconds = ours(model, EIGHT_LAYERS, paths)
        case ["skdnn", "a pass for each"]:
            features, seconds = pass_for_each(model, paths)
        case ["skdnn", precision]:
            features, seconds = ours(model, layer, paths, precision=precision)
        case _:
            features, seconds = ours(model, layer, paths)
    with torch.device("meta"):
        empty = models.get_model(model, weights=None)
    network = sum(p.numel() for p in empty.parameters()) * 4
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    np.save(Path(folder) / f"{side}.npy", rdm(features))
    print(
        json.dumps(
            {
                "rate": len(paths) / seconds[0],
                "rate_of_cpu": len(paths) / seconds[1],
                "peak_mb": peak / 1e6,
                "needed_mb": (features.nbytes + network + imports) / 1e6,
                "first_seconds": first,
                "checksum": float(np.abs(features).mean()),
                "threads": torch.get_num_threads(),
            }
        )
    )


def rdm(features: np.ndarray) -> np.ndarray:
    """Correlation distances between all pairs of images."""
    return 1 - np.corrcoef(features.astype(np.float64))[np.triu_indices(len(features), 1)]


def measure(side: str, model: str, layer: str, folder: str) -> dict[str, float]:
    """Run one side in a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--case", model, layer, folder]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def take_turns(
    sides: list[str], model: str, layer: str, folder: str, repeats: int
) -> dict[str, dict[str, float]]:
    """Each side's medians."""
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(repeats):
        for side in sides:
            runs[side].append(measure(side, model, layer, folder))
    return {
        side: {key: statistics.median(run[key] for run in own) for key in own[0]}
        for side, own in runs.items()
    }


def compare_plain(options: argparse.Namespace, folder: str) -> None:
    """Against the loop that a user would write."""
    print(
        f"{'network':10} {'layer':32} {'plain 0':>8} {'plain 2':>8} {'skdnn':>8} "
        f"{'ratio':>6} {'aim':>5} {'peak MB':>8} {'+needed':>8}"
    )
    for model, layer, aim in CASES:
        if options.only not in model:
            continue
        found = take_turns(SIDES, model, layer, folder, options.repeats)
        rates = {side: found[side]["rate"] for side in SIDES}
        ratio = rates["skdnn"] / max(rates[side] for side in SIDES[:2])
        peak = found["skdnn"]["peak_mb"]
        print(
            f"{model:10} {layer:32} {rates[SIDES[0]]:8.1f} {rates[SIDES[1]]:8.1f} "
            f"{rates['skdnn']:8.1f} {ratio:6.2f} {aim or '':>5} {peak:8.0f} "
            f"{peak - found['skdnn']['needed_mb']:+8.0f}",
            flush=True,
        )
    print(
        "images per second; +needed is the peak above features, network and imported libraries "
        f"(aim: below +{EXTRA_MEMORY_MB} MB)\n"
    )


def compare_two(options: argparse.Namespace, folder: str, before: str, after: str) -> None:
    """One way of extracting against another, and how well their RDMs agree."""
    print(
        f"{'network':10} {before:>22} {after:>22} {'ratio':>6} {'of CPU':>6} "
        f"{'1 - r of RDMs':>14} first run"
    )
    networks = NETWORKS if after != "skdnn, one pass" else [("alexnet", "classifier.6")]
    for model, layer in networks:
        if options.only not in model:
            continue
        found = take_turns([before, after], model, layer, folder, options.repeats)
        rates = [found[side]["rate"] for side in (before, after)]
        of_cpu = found[after]["rate_of_cpu"] / found[before]["rate_of_cpu"]
        rdms = [np.load(Path(folder) / f"{side}.npy") for side in (before, after)]
        print(
            f"{model:10} {rates[0]:22.1f} {rates[1]:22.1f} {rates[1] / rates[0]:6.2f} "
            f"{of_cpu:6.2f} {1 - np.corrcoef(rdms)[0, 1]:14.1e} "
            f"{found[after]['first_seconds']:7.1f} s",
            flush=True,
        )
    print(
        "images per second, and their ratio; of CPU: the ratio of images per CPU-second, for a "
        "machine that others use too; the first run (compiling) is counted in neither\n"
    )


PARTS = {
    "plain": compare_plain,
    "precision": partial(compare_two, before="skdnn, float32", after="skdnn, bfloat16"),
    "compile": partial(compare_two, before="skdnn, float32", after="skdnn, compiled"),
    "layers": partial(compare_two, before="skdnn, a pass for each", after="skdnn, one pass"),
}


def main() -> None:
    """Run the parts asked for and print a table of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--case", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_side(options.side, *options.case)
        return
    with tempfile.TemporaryDirectory() as folder:
        make_images(Path(folder), options.images)
        for part in options.parts:
            PARTS[part](options, folder)


if __name__ == "__main__":
    main()
