"""Whatever a command is given: done, or one line that says why not. No traceback, no hanging."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import savemat

from skdnn import save_features
from skdnn.cli import main
from skdnn.io import save_rdm
from skdnn.rsa import compute_rdm

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="FIFOs, devices and alarms of POSIX"),
    pytest.mark.filterwarnings("ignore"),
]

N = 24
NAMES = [f"img{n}.png" for n in range(1, N + 1)]
chance = np.random.default_rng(0)
FEATURES = chance.normal(size=(N, 6)).astype(np.float32)
SECONDS = 30
ODD_NAMES = (
    *("a\nb", "\x1b[31mred\x1b[0m", "tab\there", "bell\a", "\u202eevil", "line\u2028end", "a b"),
    *("\udcff\udcfe", "käse", "img[1]*?", "😀", "--out", "-", "x" * 300, "\x9b31m", "{}%s\\n"),
)
ENDINGS = (".csv", ".tsv", ".npy", ".npz", ".h5", ".hdf5", ".mat", ".txt", ".parquet", ".json")
NUMBERS = (
    *("0", "-1", "3", "99999999999999999999", "1e3", "nan", "", "٣", "0x10", "3.5"),
    *("9" * 5000, "-99999999999999999999", "\x1b[31m"),
)


# --- a zoo of files ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good files, and everything else that may lie where one is expected."""
    root = tmp_path_factory.mktemp("zoo")
    for make in (_good, _damaged, _of_others, _declared, _special):
        make(root)
    return root


def _good(root: Path) -> None:
    images = root / "images"
    images.mkdir()
    for name in NAMES:
        pixels = chance.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / name)
    save_features({"a": FEATURES, "b": FEATURES[:, :3]}, root / "f.h5", labels=NAMES)
    for kind in (".npy", ".mat", ".csv", ".npz", ".parquet", ".txt"):
        save_features(FEATURES, root / f"f{kind}", labels=NAMES)
    rdm = compute_rdm(pd.DataFrame(FEATURES, index=NAMES))
    for kind in (".csv", ".npy", ".mat", ".h5"):
        save_rdm(rdm, root / f"rdm{kind}")
    pd.DataFrame(FEATURES, index=NAMES).to_csv(root / "voxels.csv")
    np.save(root / "bare.npy", FEATURES)
    (root / "test.txt").write_text("\n".join(NAMES[:6]))
    pd.DataFrame({"name": NAMES, "kind": list("abcdef") * 4}).to_csv(
        root / "kinds.csv", index=False
    )


def _damaged(root: Path) -> None:
    for path in [path for path in root.iterdir() if path.is_file()]:
        content = path.read_bytes()
        (root / f"cut_{path.name}").write_bytes(content[: len(content) // 2])
        flipped = bytearray(content)
        for place in chance.integers(0, len(content), 20):
            flipped[place] ^= 1 << int(chance.integers(8))
        (root / f"flipped_{path.name}").write_bytes(flipped)
    for ending in (*ENDINGS, ".png", ".pth", ""):
        (root / f"empty{ending}").write_bytes(b"")
        (root / f"noise{ending}").write_bytes(chance.bytes(300))
        (root / f"text{ending}").write_text("a,b\n1,x\n\n\t;;\n", encoding="utf-8")
        (root / f"latin{ending}").write_bytes("näme;ö\n1;2\n".encode("latin-1"))
        (root / f"folder{ending}").mkdir()
    broken = root / "broken"
    broken.mkdir()
    content = (root / "images" / NAMES[0]).read_bytes()
    (broken / "cut\n\x1b[31m.png").write_bytes(content[:100])
    (broken / "no.png").write_bytes(b"no image")


def _of_others(root: Path) -> None:
    for name, array in {
        "words": np.array(["a", "b"]),
        "objects": np.array([{"a": 1}, None], dtype=object),
        "point": np.array(3.0),
        "none": np.zeros((0, 4)),
        "deep": np.zeros((3, 1, 2, 1, 2)),
        "complex": np.ones((4, 4)) * 1j,
        "dates": np.array(["2020-01-01"] * 4, "M8[D]"),
        "nan": np.full((N, 3), np.nan),
        "inf": np.full((N, N), np.inf),
        "fields": np.zeros(4, [("a", "f4"), ("b", "S3")]),
    }.items():
        np.save(root / f"{name}.npy", array)
        np.savez(root / f"{name}.npz", array=array)
        if array.dtype.kind in "fcUV" and array.dtype.kind != "V":
            savemat(root / f"{name}.mat", {"x": array})
    with h5py.File(root / "words.h5", "w") as file:
        file["x"] = np.array([b"a", b"b"])
    with h5py.File(root / "groups.h5", "w") as file:
        file.create_group("a/b/c")
        file["loop"] = h5py.SoftLink("/loop")
        file["gone"] = h5py.SoftLink("/nowhere")
        file["out"] = h5py.ExternalLink("elsewhere.h5", "/x")
    with h5py.File(root / "strange.h5", "w") as file:
        file["empty"] = h5py.Empty("f4")
        file["fields"] = np.zeros(4, [("a", "f4"), ("b", "S3")])
        file["scalar"] = 3.0
        file["flags"] = np.array([True, False])
    tables = {
        "header": "a,b,c\n",
        "ragged": "a,b\n1,2,3\n4\n",
        "quotes": '"a,1\n"b,2\n',
        "names": "image,0,1\n\x1b[31mx,1,2\n\udcff,3,4\n",
        "twice": "n,0,1\na,1,2\na,3,4\n",
        "huge": "n,0\na,1e999\nb,-1e999\n",
        "nul": "a\0,1\nb,2\n",
        "wide": ",".join(["1"] * 3000) + "\n",
        "blank": "\n\n \n",
        "square": "x,a,b,c\na,0,1,2\nb,1,0,3\nc,2,3,0\n",
    }
    for name, text in tables.items():
        for ending in (".csv", ".tsv", ".txt", ".json"):
            (root / f"{name}{ending}").write_bytes(text.encode("utf-8", "surrogateescape"))
    for name, text in {
        "list": "[]",
        "deep": "[" * 5000,
        "number": "NaN",
        "settings": '{"subjects": 3, "rois": [], "dnns": {"a": null}}',
    }.items():
        (root / f"{name}.json").write_text(text)
    accuracies = root / "accuracies"
    (accuracies / "decoding" / "a" / "b").mkdir(parents=True)
    (accuracies / "settings.json").write_text('{"subjects": ["S"], "rois": ["V1"], "dnns": []}')
    (root / "cache").mkdir()
    (root / "cache" / "mine.txt").write_text("mine")
    (root / "store" / "layers" / "x").mkdir(parents=True)
    (root / "store" / "skdnn-store.json").write_text('{"format": 1}')
    (root / "store" / "layers" / "x" / "y.json").write_text("[]")


def _declared(root: Path) -> None:
    """Headers that promise more than there is."""
    for shape in ((10**12, 1000), (10**6, 10**6), (-1, 3), (2**62, 2**62)):
        head = str({"descr": "<f4", "fortran_order": False, "shape": shape}).encode().ljust(117)
        body = b"\x93NUMPY\x01\x00\x76\x00" + head + b"\n" + b"\0" * 48
        (root / f"promise{len(str(shape))}.npy").write_bytes(body)
    with h5py.File(root / "promise.h5", "w") as file:
        file.create_dataset("x", shape=(10**9, 10**6), dtype="f4", chunks=(1, 1000))
    with h5py.File(root / "promise2.h5", "w") as file:
        file.create_dataset("x", shape=(10**13, 3), dtype="f4", chunks=(1000, 3))


def _special(root: Path) -> None:
    os.mkfifo(root / "fifo.h5")
    for name in ("fifo.csv", "fifo.npy", "fifo.png", "fifo", "x.npy.json", "images2.json"):
        os.mkfifo(root / name)
    np.save(root / "x.npy", FEATURES)
    (root / "loop.csv").symlink_to(root / "loop.csv")
    (root / "gone.npy").symlink_to(root / "nowhere")
    (root / "null.csv").symlink_to("/dev/null")
    (root / "zero.npy").symlink_to("/dev/zero")
    (root / "pipes").mkdir()
    os.mkfifo(root / "pipes" / "a.png")
    for name in ODD_NAMES:
        if len(os.fsencode(name)) < 200:
            (root / f"{name}.csv").write_text("x,a,b,c\na,0,1,2\nb,1,0,3\nc,2,3,0\n")


# --- what is typed -------------------------------------------------------------------------------


class Typist:
    """Words for commands, drawn by chance, more often wrong than right."""

    def __init__(self, seed: int, zoo: Path, out: Path) -> None:
        self.draw = random.Random(seed)
        self.out = out
        self.files = sorted(str(path) for path in zoo.iterdir())
        self.good = str(zoo)

    def file(self, good: str) -> str:
        """The right file, one from the zoo, or a name of nothing."""
        kind = self.draw.random()
        if kind < 0.6:
            return f"{self.good}/{good}"
        if kind < 0.95:
            return self.draw.choice(self.files)
        odd = self.draw.choice(ODD_NAMES)
        return self.draw.choice(
            [odd, f"{self.out}/{odd}.h5", "/dev/zero", "/dev/null", "", ".", f"{self.good}/no"]
        )

    def place(self, *endings: str) -> str:
        """Where to write."""
        name = self.draw.choice(["r", "käse", *ODD_NAMES])
        ending = self.draw.choice([*endings] * 9 + [*ENDINGS, ""])
        folder = self.draw.choice([""] * 12 + ["/new/deep", "/file", "/fifo.csv"])
        place = f"{self.out}{folder}/{name}{ending}"
        return self.draw.choice([place] * 20 + [f"{self.out}/fifo.csv", *self.files[:2], "/"])

    def number(self, good: str) -> str:
        return self.draw.choice([good] * 30 + [*NUMBERS])

    def some(self, *options: Callable[[], list[str]]) -> list[str]:
        """Some of these options."""
        return [word for option in options if self.draw.random() < 0.25 for word in option()]

    def words(self) -> list[str]:
        command = self.draw.choice(
            ["rdm"] * 4 + ["compare"] * 4 + ["encode"] * 3 + ["search"] * 2 + ["hierarchy"] * 2
            + ["describe", "cache", "extract", "classify", "models", "layers"]
        )  # fmt: skip
        return [command, *getattr(self, command)()]

    def rdm(self) -> list[str]:
        return [
            self.file("f.h5"), "--out", self.place(".csv", ".h5", ".npy", ".svg"),
            *self.some(
                lambda: ["--layer", self.draw.choice(["a", "b"] * 10 + [*ODD_NAMES])],
                lambda: ["--metric", self.draw.choice(["cosine", "mahalanobis", "", "\x1b[0m"])],
                lambda: ["--images", self.file("images")],
                lambda: ["--center"], lambda: ["--normalize"], lambda: ["--groups"],
                lambda: ["--assume-order"], lambda: ["--json"], lambda: ["--order", "cluster"],
            ),
        ]  # fmt: skip

    def compare(self) -> list[str]:
        return [
            *(self.file(good) for good in ("rdm.csv", "f.npy")[: self.draw.randint(1, 2)]),
            *self.some(
                lambda: ["--reference", self.file("rdm.h5"), self.file("rdm.mat")],
                lambda: ["--reference", self.file("rdm.npy")],
                lambda: ["--comparison", self.draw.choice(["pearson", "cka", "bures", "x\n"])],
                lambda: ["--bootstrap", self.draw.choice(["0", "5", "5", "-1"])],
                lambda: ["--permutations", self.draw.choice(["0", "5", "5", "-1"])],
                lambda: ["--out", self.place(".csv", ".json", ".svg")],
                lambda: ["--seed", self.number("1")],
                lambda: ["--assume-order"], lambda: ["--json"],
            ),
        ]  # fmt: skip

    def encode(self) -> list[str]:
        return [
            self.file("f.h5"), "--responses", self.file("voxels.csv"),
            "--permutations", self.draw.choice(["0", "3"]), "--cv", self.number("3"),
            *self.some(
                lambda: ["--layer", self.draw.choice(["a"] * 20 + [*ODD_NAMES])],
                lambda: ["--test-images", self.file("test.txt")],
                lambda: ["--groups", self.file("kinds.csv"), self.draw.choice(["kind", "\a"])],
                lambda: ["--fdr", self.number("0.1")],
                lambda: ["--out", self.place(".csv", ".json")], lambda: ["--assume-order"],
                lambda: ["--seed", self.number("1")],
            ),
        ]  # fmt: skip

    def search(self) -> list[str]:
        target = self.draw.choice(["--rdm", "--responses"])
        return [
            *self._network(), "--images", self.file("images"),
            target, self.file("rdm.csv" if target == "--rdm" else "voxels.csv"), "--dry-run",
            "--cv", self.number("3"),
            *self.some(
                lambda: ["--components", self.number("2")],
                lambda: ["--out", self.place(".csv", ".svg")], lambda: ["--assume-order"],
                lambda: ["--cache", self.file("cache")], lambda: ["--nested"],
            ),
        ]  # fmt: skip

    def hierarchy(self) -> list[str]:
        if self.draw.random() < 0.5:
            return [
                "--accuracies", self.file("accuracies"),
                *self.some(
                    lambda: ["--settings", self.file("settings.json")],
                    lambda: ["--networks", self.draw.choice(ODD_NAMES)],
                    lambda: ["--out", self.place(".csv")],
                ),
            ]  # fmt: skip
        return [
            "--features", self.file("f.h5"), "--responses", self.file("f.npz"), "--areas", "V1",
            "--test-images", self.file("test.txt"), "--dry-run",
            *self.some(lambda: ["--results", self.file("cache")], lambda: ["--json"]),
        ]  # fmt: skip

    def describe(self) -> list[str]:
        return [self.file("f.h5"), *self.some(lambda: ["--json"], lambda: ["--bibtex"])]

    def cache(self) -> list[str]:
        return [
            self.draw.choice(["list", "verify", "prune"]), self.file("store"),
            *self.some(lambda: ["--json"], lambda: ["--dry-run"]),
        ]  # fmt: skip

    def extract(self) -> list[str]:
        return [
            *self._network(), "--images", self.file("images"),
            "--out", self.place(".h5", ".npy"), "--quiet",
            *self.some(
                lambda: ["--parts", self.number("2")], lambda: ["--average-folders"],
                lambda: ["--cache", self.file("cache")], lambda: ["--seed", self.number("1")],
            ),
        ]  # fmt: skip

    def classify(self) -> list[str]:
        return [
            *self._network()[:4], "--images", self.file("images"), "--quiet",
            *self.some(
                lambda: ["--top", self.number("2")], lambda: ["--json"],
                lambda: ["--classes", self.file("test.txt")],
            ),
        ]  # fmt: skip

    def models(self) -> list[str]:
        return [self.draw.choice(ODD_NAMES)]

    def layers(self) -> list[str]:
        return [self.draw.choice([*ODD_NAMES, "alexnet"])]

    def _network(self) -> list[str]:
        weights = self.draw.choice(["none"] * 9 + [self.file("noise.pth")])
        layer = self.draw.choice(["features.0"] * 60 + [*ODD_NAMES])
        return ["--model", "squeezenet1_1", "--weights", weights, "--layer", layer]


# --- what must hold ------------------------------------------------------------------------------


@pytest.fixture
def limit() -> Iterator[Callable[[], None]]:
    """Nothing hangs: an alarm, to be wound up for each command."""

    def late(*_: object) -> None:
        raise AssertionError(f"still running after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    yield lambda: signal.alarm(SECONDS) and None
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def is_plain(text: str) -> bool:
    """Whether nothing in a text steers a terminal."""
    steering = {"Cc", "Cs", "Zl", "Zp"}
    return not any(
        (unicodedata.category(letter) in steering and letter not in "\n\r\t")
        or letter in "\u202e\u2066\u2067"
        for letter in text
    )


def check(words: list[str], capsys: Any) -> int:
    capsys.readouterr()
    try:
        code = main(words)
    except SystemExit as stop:
        code = int(stop.code or 0)
    said = capsys.readouterr()
    told = f"{words!r}\ncode {code}\n{said.err}"
    assert code in (0, 1, 2), told
    assert "Traceback" not in said.err, told
    assert is_plain(said.err), told
    assert is_plain(said.out), told
    if code == 1:
        errors = re.findall(r"^skdnn \S+: error: (.+)$", said.err, re.MULTILINE)
        assert len(errors) == 1, told
        assert said.err.rstrip("\n").splitlines()[-1].endswith(errors[0]), told
    return code


def content_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.resolve().is_relative_to(folder.resolve())
    }


def throw(seeds: range, zoo: Path, tmp_path: Path, capsys: Any, wind_up: Any) -> list[int]:
    """Give commands odd things, and look whether all files of the zoo are what they were."""
    before = content_of(zoo)
    codes = []
    for seed in seeds:
        out = tmp_path / str(seed)
        out.mkdir()
        (out / "file").write_text("mine")
        os.mkfifo(out / "fifo.csv")
        wind_up()
        codes.append(check(Typist(seed, zoo, out).words(), capsys))
    after = content_of(zoo)
    assert {name: after.get(name) for name in before} == before
    return codes


def test_sixty_odd_inputs(
    zoo: Path, tmp_path: Path, capsys: Any, limit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    codes = throw(range(60), zoo, tmp_path, capsys, limit)
    assert codes.count(1) > 25  # most are refused by the command itself
    assert codes.count(0) > 5


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 1500, 100))
def test_five_hundred_odd_inputs(
    start: int, zoo: Path, tmp_path: Path, capsys: Any, limit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    codes = throw(range(start, start + 100), zoo, tmp_path, capsys, limit)
    assert set(codes) == {0, 1, 2}


@pytest.mark.parametrize(
    ("kind", "ending"),
    [*(("FIFO", ending) for ending in (".csv", ".npy", ".h5", ".mat", "")),
     ("device", ".txt"), ("socket", ".parquet")],
)  # fmt: skip
def test_nothing_waits_for_a_pipe(
    kind: str,
    ending: str,
    zoo: Path,
    tmp_path: Path,
    capsys: Any,
    limit: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the place of any file that is read, and of those that are written."""
    monkeypatch.chdir(tmp_path)
    pipe = tmp_path / f"p{ending}"
    if kind == "FIFO":
        os.mkfifo(pipe)
    elif kind == "device":
        pipe.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(pipe.name)  # whole paths may be too long for it
    good = {path.name: str(path) for path in zoo.iterdir()}
    out = str(tmp_path / "r.csv")
    network = ["--model", "squeezenet1_1", "--weights", "none", "--layer", "features.0"]
    place = ["--images", good["images"], "--quiet"]
    encode = ["encode", good["f.h5"], "--responses", good["voxels.csv"]]
    hierarchy = ["--areas", "V1", "--dry-run", "--test-images"]
    limit()
    for words in (
        ["rdm", str(pipe), "--out", out],
        ["rdm", good["f.h5"], "--out", f"{out[:-3]}svg", "--images", str(pipe)],
        ["compare", good["rdm.csv"], str(pipe)],
        ["compare", good["rdm.csv"], "--reference", str(pipe)],
        ["encode", str(pipe), "--responses", good["voxels.csv"]],
        ["encode", good["f.h5"], "--responses", str(pipe)],
        [*encode, "--test-images", str(pipe)],
        [*encode, "--groups", str(pipe), "kind"],
        ["search", *network, *place, "--rdm", str(pipe)],
        ["search", *network, *place, "--responses", str(pipe)],
        ["search", *network[:3], str(pipe), *network[4:], *place, "--rdm", good["rdm.csv"]],
        ["search", *network, "--images", str(pipe), "--rdm", good["rdm.csv"]],
        ["extract", *network, "--images", str(pipe), "--out", out],
        ["classify", *network[:4], *place, "--classes", str(pipe)],
        ["describe", str(pipe)],
        ["hierarchy", "--accuracies", good["accuracies"], "--settings", str(pipe)],
        ["hierarchy", "--accuracies", str(pipe)],
        ["hierarchy", "--features", good["f.h5"], "--responses", str(pipe), *hierarchy,
         good["test.txt"]],
        ["hierarchy", "--features", good["f.h5"], "--responses", good["f.npz"], *hierarchy,
         str(pipe)],
        ["cache", "list", str(pipe)],
        ["extract", *network, *place, "--out", out, "--cache", str(pipe)],
        ["rdm", good["f.h5"], "--layer", "a", "--out", str(pipe), "--overwrite"],
        ["extract", *network, *place, "--out", str(pipe), "--overwrite"],
    ):  # fmt: skip
        before = pipe.lstat().st_ino
        assert check(words, capsys) == 1, words
        assert pipe.lstat().st_ino == before  # and nothing replaces it
    signal.alarm(0)


@pytest.mark.parametrize("beside", ["f.npy.json", "f.part-1-of-2.npy", "f.part-1-of-2.npy.json"])
def test_nor_for_a_pipe_that_belongs_to_a_file(
    beside: str, tmp_path: Path, capsys: Any, limit: Any
) -> None:
    if ".part-" in beside:
        save_features(FEATURES, tmp_path / "f.npy", labels=NAMES, n_parts=2)
        (tmp_path / beside).unlink(missing_ok=True)
    else:
        np.save(tmp_path / "f.npy", FEATURES)
    os.mkfifo(tmp_path / beside)
    limit()
    assert check(["rdm", str(tmp_path / "f.npy"), "--out", str(tmp_path / "r.csv")], capsys) == 1


# All but one too long, and one that text in UTF-8 cannot hold.
@pytest.mark.parametrize("name", [n for n in ODD_NAMES if n[0] != "\udcff" and len(n) < 99])
def test_odd_names_are_matched_and_shown(
    name: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files and images of such names do what those of other names do."""
    monkeypatch.chdir(tmp_path)
    images = tmp_path / "images"
    images.mkdir()
    for k, part in enumerate([name, "b", "c"]):
        pixels = chance.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{part}{k}.png")
    network = ["--model", "squeezenet1_1", "--weights", "none", "--layer", "features.0"]
    paths = ["--images", "./images", "--quiet", "--device", "cpu"]
    assert check(["extract", *network, *paths, "--out", f"./{name}.npy"], capsys) == 0
    assert check(["rdm", f"./{name}.npy", "--out", f"./{name}.csv", f"./{name}.svg"], capsys) == 0
    network[4:] = ["--layer", "features.0", "--weights", "none"]
    assert check(["compare", *network, *paths, "--reference", f"./{name}.csv"], capsys) == 0
    words = ["compare", f"./{name}.csv", f"./{name}.npy"]
    assert check(words, capsys) == 0
    assert main([*words[:2], "--reference", words[2], "--json"]) == 0
    said = capsys.readouterr().out
    assert is_plain(said)
    assert json.loads(said)[0]["score"] == pytest.approx(1)
    (images / f"{name}9.png").write_bytes(b"no image")
    assert check(["extract", *network, *paths, "--out", "o.npy"], capsys) == 1
