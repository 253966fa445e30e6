"""Archives that cannot be unpacked, or should not be: refused by name, nothing left behind."""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from skdnn.datasets import fetch_brain_hierarchy


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "brain_hierarchy"
    folder.mkdir()
    (folder / "settings.json").write_text("{}")
    return folder


@pytest.fixture
def refused(home: Path) -> Callable[..., None]:
    """Checks that the archive is refused, and that nothing is written anywhere."""

    def check(reason: str, error: type[Exception] = ValueError) -> None:
        archive = home / "decoding_accuracy.zip"
        content = archive.read_bytes()
        before = sorted(home.parent.rglob("*"))
        with pytest.raises(error, match=rf"decoding_accuracy\.zip.* {reason}"):
            fetch_brain_hierarchy("decoding", data_home=home.parent, download_if_missing=False)
        after = [path for path in home.parent.rglob("*") if path.name != "hashes.json"]
        assert sorted(after) == before
        assert archive.read_bytes() == content

    return check


def pack(home: Path, names: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    path = home / "decoding_accuracy.zip"
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in names.items():
            file.writestr(name, content)
    return path


def patch(path: Path, local: int, central: int, value: int) -> None:
    """Change a byte of the first entry, in both of its headers."""
    content = bytearray(path.read_bytes())
    content[local] = content[content.index(b"PK\x01\x02") + central] = value
    path.write_bytes(content)


def test_whole_archives(home):
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        shutil.rmtree(home / "decoding", ignore_errors=True)
        (home / "hashes.json").unlink(missing_ok=True)
        pack(home, {"ImageNetTest/a": b"x" * 99, "ImageNetTest/..b": b"y"}, method)
        data = fetch_brain_hierarchy("decoding", data_home=home.parent, download_if_missing=False)
        assert (data.folder / "a").read_bytes() == b"x" * 99
        assert (data.folder / "..b").read_bytes() == b"y"


def test_encrypted(home, refused):
    patch(pack(home, {"ImageNetTest/a": b"x"}), 6, 8, 1)
    refused(r"is encrypted \('ImageNetTest/a'\)")


@pytest.mark.parametrize("method", [1, 9, 97, 99])
def test_of_an_unknown_method(home, refused, method):
    patch(pack(home, {"ImageNetTest/a": b"x"}), 8, 10, method)
    refused(f"is packed by the unknown method {method}")


@pytest.mark.parametrize("names", [{}, {"ImageNetTest/": b""}, {"a/": b"", "a/b/": b""}])
def test_without_files(home, refused, names):
    pack(home, names)
    refused("is an empty archive")


@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "/tmp/evil", "..\\evil", "a\\..\\..\\evil", "C:\\evil", "C:evil",
     "\\\\server\\share\\evil", ".."],
)  # fmt: skip
def test_names_that_lead_elsewhere(home, refused, name):
    pack(home, {"ImageNetTest/a": b"x", name: b"evil"})
    refused("holds the name .*leads out of the folder")


def test_links(home, refused):
    entry = zipfile.ZipInfo("ImageNetTest/link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(home / "decoding_accuracy.zip", "w") as file:
        file.writestr(entry, "/etc/passwd")
    refused("holds the name 'ImageNetTest/link'")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice(home, refused):
    with zipfile.ZipFile(home / "decoding_accuracy.zip", "w") as file:
        file.writestr("ImageNetTest/a", b"x")
        file.writestr("ImageNetTest/a", b"y")
    refused("holds the name 'ImageNetTest/a'")


@pytest.mark.parametrize("names", [["a", "a/b"], ["a/b", "a"], ["x" * 300]])
def test_names_that_no_folder_can_hold(home, refused, names):
    pack(home, dict.fromkeys(names, b"x"))
    refused("is damaged")


@pytest.mark.parametrize("share", [0.2, 0.6, 0.98])
def test_cut_short(home, refused, share):
    path = pack(home, {f"ImageNetTest/{n}": bytes(999) for n in range(9)})
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(r"is no \.zip file, or cut short")


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_flipped_bytes(home, refused, method):
    path = pack(home, {"ImageNetTest/a": bytes(range(256)) * 9}, method)
    content = bytearray(path.read_bytes())
    content[60:80] = bytes(20)
    path.write_bytes(content)
    refused("is damaged")


def test_larger_than_the_disk(home, refused, monkeypatch):
    pack(home, {"ImageNetTest/a": bytes(2000)}, zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1999))
    refused("takes 2.* when it is unpacked into .* are free", OSError)
