"""Memory that does not grow with the number of images, and what a warm store costs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_network import LAYERS, UNITS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux' /proc"),
]

# What must be known of each image: path, digest, and in four layers where its row is, with the
# checksum. Its activations take 2,324 bytes: to keep them, or waiting tasks, would be seen.
KNOWN_BYTES = 1_300
SLACK = 4 * 2**20  # of the allocator, between runs

MAKE = """
from PIL import Image
from pathlib import Path
folder, n = Path(sys.argv[1]), int(sys.argv[2])
pixels = np.random.default_rng(0).integers(0, 256, (n, 12, 16, 3), dtype=np.uint8)
for i in range(n):
    Image.fromarray(pixels[i]).save(folder / f"{i:05d}.bmp")
"""

FILL = """
import json, threading, time
from pathlib import Path
folder, root, n = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def anonymous():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024

paths = [f"{folder}/{i:05d}.bmp" for i in range(n)]
LAYERS = ["conv", "relu@0", "conv2", "fc"]
extractor(root + "-warm").precompute(paths[:600], LAYERS, verbose=0)  # loads what is needed
peak, done, start = [0], threading.Event(), anonymous()

def watch():
    while not done.wait(0.005):
        peak[0] = max(peak[0], anonymous())

watcher = threading.Thread(target=watch)
watcher.start()
store = extractor(root).precompute(paths, LAYERS, verbose=0)
done.set()
watcher.join()
data = int(store.contents().bytes.sum())
print(json.dumps({"start": start, "peak": peak[0], "data": data, **store.stats}))
"""

GATHER = """
import json
from pathlib import Path
folder, root, n = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
opened = []
sys.addaudithook(lambda event, args: event == "open" and opened.append(str(args[0])))
paths = [f"{folder}/{i:05d}.bmp" for i in range(n)]
fold = np.sort(np.random.default_rng(1).permutation(n)[: n * 4 // 5])
store = ActivationStore(root, mode="r")
sums = {}
for layer in LAYERS:
    dnn = extractor(store, layer).fit(paths)
    features = dnn.transform([paths[i] for i in fold])
    some = np.random.default_rng(2).integers(0, len(fold), 40)
    fresh = extractor(None, layer).fit_transform([paths[i] for i in fold[some]])
    assert np.array_equal(features[some], fresh)
    assert len(np.unique(features[:, :3], axis=0)) > 0.99 * len(fold)
inside = [path for path in opened if path.startswith(root)]
images = [path for path in opened if path.startswith(str(folder))]
print(json.dumps({"inside": len(inside), "images": len(images), "fold": len(fold), **store.stats}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, run_script) -> Path:
    made = tmp_path_factory.mktemp("memory")
    (made / "images").mkdir()
    run_script(MAKE, made / "images", 20_000)
    return made


@pytest.fixture(scope="module")
def filled(folder, run_script) -> dict[int, dict[str, int]]:
    sizes = (5_000, 10_000, 20_000)
    return {
        n: json.loads(run_script(FILL, folder / "images", folder / f"store{n}", n)) for n in sizes
    }


def test_filling_takes_the_same_memory_for_any_number(filled):
    for n, told in filled.items():
        assert told["images_forwarded"] == n
        assert told["data"] == n * 4 * (2 * UNITS["conv"] + UNITS["conv2"] + UNITS["fc"])
    more = filled[20_000]["peak"] - filled[5_000]["peak"]
    print({n: round((told["peak"] - told["start"]) / 1e6, 1) for n, told in filled.items()})
    assert more < SLACK + 15_000 * KNOWN_BYTES


def test_a_warm_store_gives_a_fold_of_many(folder, filled, run_script):
    told = json.loads(run_script(GATHER, folder / "images", folder / "store20000", 20_000))
    assert (told["misses"], told["images_forwarded"]) == (0, 0)
    n_shards = -(-20_000 // 512)
    # In each layer each manifest and each data file once, and few others.
    assert told["inside"] <= len(LAYERS) * 2 * n_shards + 20
    assert told["images"] <= 20_000 + 3 * len(LAYERS) * 40  # each file is read once for all
    assert np.isclose(told["fold"], 16_000)
