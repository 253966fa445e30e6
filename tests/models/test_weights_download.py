"""Downloads of weights, from a server on this machine that can be cut, slow or wrong."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import skdnn
from helpers.late import models
from skdnn._config import weights_home
from skdnn.models import _torchvision, _weights_folder
from skdnn.models._registry import resolve_model
from skdnn.models._weights_choice import SUFFIXES, OwnFile
from skdnn.models._weights_folder import IN_NAME, WebFile, base_name, own_name

CONTENT = np.random.default_rng(0).bytes(300_000)
OTHER = np.random.default_rng(1).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `files`; `cut` says after how many bytes each answer ends, `status` overrules."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/a/weights.pth": CONTENT, "/b/weights.pth": OTHER}
        self.cut: int | None = None
        self.status: list[int] = []
        self.ranges = True
        self.tags: list[str] = []
        self.pause = 0.0
        self.seen: list[str | None] = []  # the Range of each request

    def url(self, path: str = "/a/weights.pth") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.seen.append(asked)
        content = self.server.files.get(self.path)
        status = self.server.status.pop(0) if self.server.status else 200
        if content is None or status != 200:
            self.send_error(status if content is not None else 404)
            return
        tag = self.server.tags.pop(0) if self.server.tags else None
        start = 0
        if asked and self.server.ranges and self.headers.get("If-Range") in (None, tag):
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            last = len(content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(content)}")
        if tag:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        for place in range(0, len(body[: self.server.cut]), 50_000):
            end = place + 50_000 if self.server.cut is None else self.server.cut
            self.wfile.write(body[place : min(place + 50_000, end)])
            time.sleep(self.server.pause)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of weights that no other test sees; tries follow each other at once."""
    monkeypatch.setenv("SKDNN_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(_weights_folder, "_PAUSES", (0.0, 0.0, 0.0))
    return tmp_path / "weights"


def fetch(url: str, **about: Any) -> Path:
    return WebFile(url, **about).path()


def in_folder(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir())


# Where files are


def test_folder(monkeypatch, tmp_path):
    assert weights_home() == tmp_path / "weights"
    assert weights_home(tmp_path) == tmp_path
    monkeypatch.delenv("SKDNN_WEIGHTS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights_home() == tmp_path / "skdnn" / "weights"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert weights_home() == Path.home() / ".cache" / "skdnn" / "weights"


@pytest.mark.parametrize("sha256", [None, SHA256, SHA256[:8], SHA256[:8].upper()])
def test_downloads_once(server, home, sha256):
    path = fetch(server.url(), name="own.pth", sha256=sha256)
    assert path == home / "own.pth"
    assert path.read_bytes() == CONTENT
    assert fetch(server.url(), name="own.pth", sha256=sha256) == path
    assert server.seen == [None]
    assert in_folder(home) == ["own.pth"]


def test_same_last_part_of_two_addresses(server):
    urls = [server.url("/a/weights.pth"), server.url("/b/weights.pth")]
    names = [own_name(url, SUFFIXES, ".pth") for url in urls]
    paths = [fetch(url, name=name) for url, name in zip(urls, names, strict=True)]
    assert [path.read_bytes() for path in paths] == [CONTENT, OTHER]


def test_names_from_addresses():
    name = own_name("https://a.org/x/we%20ights.tar?download=1#part", SUFFIXES, ".pth")
    assert re.fullmatch(r"we_ights-[0-9a-f]{12}\.tar", name)
    assert re.fullmatch(r"v1.2-\w{12}\.pth", own_name("https://a.org/v1.2", SUFFIXES, ".pth"))
    assert re.fullmatch(r"weights-\w{12}\.pth", own_name("https://a.org", SUFFIXES, ".pth"))
    assert base_name("https://a.org/x/y.pth?z=1#q") == "y.pth"


def test_put_there_by_hand(server, home):
    home.mkdir()
    (home / "weights.pth").write_bytes(CONTENT)
    assert fetch(server.url(), name="own.pth", sha256=SHA256[:10]) == home / "weights.pth"
    (home / "own.pth").write_bytes(CONTENT)
    assert fetch(server.url(), name="own.pth") == home / "own.pth"
    assert server.seen == []


def test_another_file_of_that_name_is_no_substitute(server, home):
    home.mkdir()
    (home / "weights.pth").write_bytes(OTHER)
    for name, sha256 in (("known.pth", SHA256), ("unknown.pth", None)):
        assert fetch(server.url(), name=name, sha256=sha256).read_bytes() == CONTENT
    assert (home / "weights.pth").read_bytes() == OTHER


def test_elsewhere_counts_with_the_right_hash(server, tmp_path):
    kept, wrong = tmp_path / "kept.pth", tmp_path / "wrong.pth"
    kept.write_bytes(CONTENT)
    wrong.write_bytes(OTHER)
    places = [tmp_path / "none.pth", wrong, kept]
    assert fetch(server.url(), name="own.pth", sha256=SHA256, elsewhere=places) == kept
    assert fetch(server.url(), name="own.pth", elsewhere=places) not in places


def test_wrong_file_put_there_by_hand(server, home):
    home.mkdir()
    (home / "own.pth").write_bytes(OTHER)
    found = hashlib.sha256(OTHER).hexdigest()
    with pytest.raises(OSError, match=f"is {found}, expected {SHA256}.*left as it is"):
        fetch(server.url(), name="own.pth", sha256=SHA256)
    assert (home / "own.pth").read_bytes() == OTHER
    assert server.seen == []


@pytest.mark.parametrize("sha256", ["", "123", "x" * 64, "a" * 65])
def test_words_that_are_no_hash(server, sha256):
    with pytest.raises(ValueError, match=r"sha256=.*hexadecimal"):
        fetch(server.url(), name="own.pth", sha256=sha256)


# What goes wrong on the way


def test_wrong_content(server, home):
    wrong = hashlib.sha256(OTHER).hexdigest()
    with pytest.raises(OSError, match=f"SHA-256 is {wrong}, expected {SHA256[:8]}\\.\\.\\."):
        fetch(server.url("/b/weights.pth"), name="own.pth", sha256=SHA256[:8])
    assert in_folder(home) == []
    assert server.seen == [None]


def test_cut_connection_goes_on_where_it_was(server, home):
    server.cut = 120_000
    assert fetch(server.url(), name="own.pth", sha256=SHA256).read_bytes() == CONTENT
    assert server.seen == [None, "bytes=120000-", "bytes=240000-"]
    assert in_folder(home) == ["own.pth"]


def test_cut_connection_without_a_hash(server):
    """The rest may be another version's: it counts only where the server says that it is not."""
    server.cut, server.tags = 160_000, ['"one"', '"one"']
    assert fetch(server.url(), name="own.pth").read_bytes() == CONTENT
    assert server.seen == [None, "bytes=160000-"]
    server.tags = ['"one"', '"two"', '"two"']
    assert fetch(server.url(), name="again.pth").read_bytes() == CONTENT
    assert server.seen[2:] == [None, "bytes=160000-", "bytes=160000-"]
    server.seen.clear()
    with pytest.raises(OSError, match="cut after 160000 of 300000 bytes"):
        fetch(server.url(), name="third.pth")
    assert set(server.seen) == {None}


def test_server_without_ranges(server, home):
    server.cut, server.ranges = 160_000, False
    with pytest.raises(OSError, match="cut after 160000 of 300000 bytes"):
        fetch(server.url(), name="own.pth", sha256=SHA256)
    assert len(server.seen) == 4
    server.cut = None
    assert fetch(server.url(), name="own.pth", sha256=SHA256).read_bytes() == CONTENT
    assert in_folder(home) == ["own.pth"]


@pytest.mark.parametrize(
    ("left", "requests"),
    [
        (CONTENT[:100_000], ["bytes=100000-"]),
        (CONTENT, ["bytes=300000-"]),
        (OTHER[:100_000], ["bytes=100000-", None]),
        (CONTENT + b"too long", ["bytes=300008-", None]),
    ],
    ids=["some", "all", "another version", "too long"],
)
def test_what_a_killed_process_left(server, home, left, requests):
    home.mkdir()
    (home / ".own.pth.part").write_bytes(left)
    assert fetch(server.url(), name="own.pth", sha256=SHA256).read_bytes() == CONTENT
    assert server.seen == requests
    assert in_folder(home) == ["own.pth"]


def test_what_was_left_counts_only_with_a_hash(server, home):
    home.mkdir()
    (home / ".own.pth.part").write_bytes(OTHER[:100_000])
    assert fetch(server.url(), name="own.pth").read_bytes() == CONTENT
    assert server.seen == [None]


def test_busy_server(server):
    server.status = [503, 429]
    assert fetch(server.url(), name="own.pth").read_bytes() == CONTENT
    assert len(server.seen) == 3


def test_file_that_is_gone(server, home):
    with pytest.raises(OSError, match="404"):
        fetch(server.url("/gone.pth"), name="own.pth")
    assert len(server.seen) == 1
    assert in_folder(home) == []


def test_without_a_network(server, home):
    url = server.url()
    server.server_close()  # nobody listens any more
    with pytest.raises(OSError, match="could not be downloaded") as caught:
        fetch(url, name="own.pth", sha256=SHA256)
    message = str(caught.value)
    assert all(part in message for part in ("own.pth", url, SHA256, str(home), "SKDNN_WEIGHTS"))
    assert "as own.pth (or weights.pth)" in message
    with pytest.raises(OSError, match="SHA-256  not published") as caught:
        fetch(url, name="own.pth")
    assert "(or weights.pth)" not in str(caught.value)
    assert in_folder(home) == []


# Several processes

SCRIPT = """
import sys
from pathlib import Path
from typing import Any
from skdnn.models._weights_folder import WebFile
url, sha256 = sys.argv[1:]
path = WebFile(url, "own.pth", sha256 or None).path()
print(path.stat().st_size)
"""


def start(server: Server, sha256: str) -> subprocess.Popen[str]:
    root = str(Path(skdnn.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, server.url(), sha256],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": root},
    )


@pytest.mark.parametrize("sha256", [SHA256, ""])
@pytest.mark.slow
def test_two_processes_at_once(server, home, sha256):
    server.pause = 0.3
    both = [start(server, sha256) for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=50)
        assert out.strip() == str(len(CONTENT)), err
    assert in_folder(home) == ["own.pth"]
    assert (home / "own.pth").read_bytes() == CONTENT
    assert server.seen == [None]  # one waited for the other


def test_killed_process_leaves_no_lock(server, home):
    server.pause = 60
    process = start(server, SHA256)
    part = home / ".own.pth.part"
    while process.poll() is None and not (part.exists() and part.stat().st_size):
        time.sleep(0.01)
    process.kill()
    process.communicate()
    size = part.stat().st_size
    assert 0 < size < len(CONTENT)
    server.pause = 0
    assert fetch(server.url(), name="own.pth", sha256=SHA256).read_bytes() == CONTENT
    assert server.seen == [None, f"bytes={size}-"]
    assert in_folder(home) == ["own.pth"]


def test_threads_at_once(server, home):
    from concurrent.futures import ThreadPoolExecutor

    server.pause = 0.02
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: fetch(server.url(), name="own.pth"), range(4)))
    assert set(paths) == {home / "own.pth"}
    assert paths[0].read_bytes() == CONTENT
    assert server.seen == [None]


# Through the models


def test_weights_at_an_address(server, tmp_path):
    torch.manual_seed(3)
    net = models.squeezenet1_1(weights=None)
    file = tmp_path / "made.pth"
    torch.save({"model": {"state_dict": net.state_dict()}}, file)
    server.files["/made.pth"] = file.read_bytes()
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    address = server.url("/made.pth") + "#sha256="
    spec = resolve_model("squeezenet1_1", weights=address + sha256)
    fingerprint = spec.fingerprint()
    assert server.seen == []
    found = spec.load().state_dict()
    assert all(torch.equal(found[k], v) for k, v in net.state_dict().items())
    same = resolve_model("squeezenet1_1", weights=file)
    assert same.fingerprint() == fingerprint  # where the bytes come from is no matter
    short = resolve_model("squeezenet1_1", weights=address + sha256[:8])
    assert short.fingerprint() != fingerprint
    assert short.load() is not None
    assert len(server.seen) == 1
    with pytest.raises(OSError, match="wrong content"):
        resolve_model(
            "squeezenet1_1", weights=server.url("/b/weights.pth") + "#sha256=" + sha256
        ).load()


@pytest.mark.parametrize("end", ["", "#sha256=", "#sha256=1234", "#md5=0123456789abcdef"])
def test_address_without_a_hash(server, end):
    with pytest.raises(ValueError, match="needs the file's SHA-256"):
        resolve_model("squeezenet1_1", weights=server.url() + end)
    assert server.seen == []


@pytest.mark.parametrize("folder", ["weights", "torch/hub/checkpoints"])
def test_published_weights_of_torchvision_are_found(monkeypatch, tmp_path, folder):
    """In our folder, or where torch.hub has kept them."""
    torch.manual_seed(4)
    net = models.squeezenet1_1(weights=None)
    made = tmp_path / "made.pth"
    torch.save(net.state_dict(), made)
    sha256 = hashlib.sha256(made.read_bytes()).hexdigest()
    home = tmp_path / folder
    home.mkdir(parents=True)
    made.rename(home / f"squeezenet-{sha256[:8]}.pth")
    enum = models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    renamed = _torchvision._read(enum, made)  # an enum's value is for all who use it
    url = f"http://127.0.0.1:9/models/squeezenet-{sha256[:8]}.pth"
    renamed._value_ = type(enum.value)(url, enum.transforms, enum.meta)
    found = resolve_model("squeezenet1_1", weights=renamed).load().state_dict()
    assert all(torch.equal(found[k], v) for k, v in net.state_dict().items())


@pytest.mark.parametrize(
    "name", ["alexnet", "densenet121", "googlenet", "inception_v3", "mnasnet0_5", "vit_b_32"]
)
def test_files_of_torchvision_load_as_torchvision_does(name, monkeypatch, tmp_path):
    """Some hold more than the network (auxiliary heads), or have names of old."""
    enum = models.get_model_weights(name).DEFAULT
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    complete = models.get_model(name, weights=None, **options)
    state = complete.state_dict()
    if name == "densenet121":
        old = r"(denselayer\d+\.(?:norm|conv))(\d)"
        state = {re.sub(old, r"\1.\2", key): value for key, value in state.items()}
        state = {key: v for key, v in state.items() if not key.endswith("num_batches_tracked")}
    file = tmp_path / "made.pth"
    torch.save(state, file)
    monkeypatch.setattr(_torchvision, "_file", lambda url: OwnFile(file))
    found = resolve_model(name, weights=enum.name).load()
    monkeypatch.setattr(models._api, "load_state_dict_from_url", lambda *a, **k: torch.load(file))
    expected = models.get_model(name, weights=enum)
    assert list(found.state_dict()) == list(expected.state_dict())
    assert all(torch.equal(v, expected.state_dict()[k]) for k, v in found.state_dict().items())
    if options:
        assert found.transform_input is expected.transform_input is True


def test_every_published_network_has_a_hash_in_its_address():
    for name in models.list_models(exclude="quantized_*"):
        for enum in models.get_model_weights(name):
            assert IN_NAME.search(base_name(enum.url)), enum.url


def test_published_weights_without_a_network(monkeypatch, home):
    def no_network(*args: object, **kwargs: object) -> None:
        raise _weights_folder.NetworkError("no network")

    monkeypatch.setattr("skdnn.models._weights_folder.complete", no_network)
    with pytest.raises(OSError, match=r"alexnet-owt-7be5be79\.pth.*weights=None") as caught:
        resolve_model("alexnet").load()
    message = str(caught.value)
    assert "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth" in message
    assert "begins with 7be5be79" in message
    assert str(home) in message
