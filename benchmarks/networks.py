"""Write the table of all networks: layers, units, parameters, time per image.

    python benchmarks/networks.py [--sources torchvision keras ...] [--out docs/guide/networks.md]

Every network is built with random weights, its layers are listed, and one image at its own input
size goes through it for ``"penultimate"`` and ``"output"``, once to warm up and once for the
clock: seconds of one core's time, which other programs do not disturb much. Each network has a
process of its own; what is in the file already is not measured again, so that the script can be
stopped and started.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

HEAD = """# Networks

Written by `python benchmarks/networks.py`: what `list_models()` gives, with random weights at each
network's own input size. *Layers* are the modules in `list_layers`; *units* are those of
`"penultimate"`, what a classifier reads; seconds are one core's time for one image.

| network | source | input | layers | parameters | units | seconds per image |
|---|---|---|---|---|---|---|
"""


def measure(source: str, name: str) -> dict[str, object]:
    """Build one network and send one image through it."""
    import torch

    torch.set_num_threads(1)
    from skdnn import DNNFeatureExtractor
    from skdnn._extraction import network_of

    image = np.random.default_rng(0).integers(0, 256, (1, 300, 280, 3), dtype=np.uint8)
    extractor = DNNFeatureExtractor(f"{source}/{name}", weights=None, device="cpu", batch_size=1)
    table = extractor.layer_table()
    is_told = bool(table.set_index("layer").loc["penultimate", "n_calls"])
    table = table[table["source"] == ""]
    layers = ["penultimate", "output"] if is_told else ["output"]
    extractor.extract(image, layers)
    start = time.process_time()
    found = extractor.extract(image, layers)
    seconds = time.process_time() - start
    size = network_of(extractor).spec.preprocess.input_size
    return {
        "name": name,
        "source": source,
        "input": f"{size[0]} x {size[1]}" if size is not None else "any",
        "layers": len(table),
        "parameters": int(table.loc[~table["layer"].str.contains(r"[./]"), "n_params"].sum()),
        "units": int(found["penultimate"].size) if is_told else "not clear",
        "seconds": round(seconds, 3),
    }


def _number(units: object) -> str:
    return f"{units:,}" if isinstance(units, int) else str(units)


def row(found: dict[str, object]) -> str:
    """A line of the table."""
    return (
        f"| `{found['name']}` | {found['source']} | {found['input']} | {found['layers']} | "
        f"{found['parameters']:,} | {_number(found['units'])} | {found['seconds']} |\n"
    )


def main() -> None:
    """Measure what the file lacks, and write it line by line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sources", nargs="+", default=["torchvision", "cornet", "clip", "keras"])
    parser.add_argument("--out", type=Path, default=Path("docs/guide/networks.md"))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one)))
        return
    from skdnn import list_models

    if not options.out.exists():
        options.out.write_text(HEAD, encoding="utf-8")
    for source in options.sources:
        for name in list_models(source):
            if f"| `{name}` | {source} |" in options.out.read_text(encoding="utf-8"):
                continue
            command = [sys.executable, __file__, "--one", source, name]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                print(f"{source}/{name}: {done.stderr.strip().splitlines()[-1]}", flush=True)
                continue
            with options.out.open("a", encoding="utf-8") as file:
                file.write(row(json.loads(done.stdout.splitlines()[-1])))
            print(f"{source}/{name}", flush=True)


if __name__ == "__main__":
    main()
