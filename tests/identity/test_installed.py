"""Packages count by their version wherever they are installed; all else by its source."""

from __future__ import annotations

import importlib
import itertools
import os
import site
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from laboratory import identity
from torch import nn

_numbers = itertools.count()
#: A package whose code could not be fingerprinted, as that of torch or timm.
CODE = """\
import os
{names}
VERSION = {version!r}

class Part(__import__("torch").nn.Module):
    def forward(self, x):
        import another_package_of_that_kind
        return x * float(os.environ["SCALE"])
"""


class Package:
    """A package of one module in a folder, with what an installer writes beside it."""

    def __init__(self, folder: Path, version: str = "1.0") -> None:
        self.folder, self.name = folder, f"fakelib{next(_numbers)}"
        self.write(version)

    def write(self, version: str, comment: str = "") -> Package:
        home = self.folder / self.name
        home.mkdir(parents=True, exist_ok=True)
        home.joinpath("__init__.py").write_text(CODE.format(names=comment, version=version))
        return self

    def info(self, kind: str, version: str = "1.0", **files: str) -> Package:
        """Metadata: ``"dist-info"`` or ``"egg-info"``."""
        for old in self.folder.glob(f"{self.name}*-info"):
            for file in old.iterdir():
                file.unlink()
            old.rmdir()
        home = self.folder / f"{self.name}-{version}.{kind}"
        home.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {version}\n"
        home.joinpath("METADATA" if kind == "dist-info" else "PKG-INFO").write_text(metadata)
        for name, text in files.items():
            home.joinpath(name).write_text(text.replace("NAME", self.name))
        return self

    def wheel(self, version: str = "1.0") -> Package:
        return self.info("dist-info", version, RECORD="NAME/__init__.py,sha256=x,1\n")

    def network(self) -> nn.Module:
        """A network with a part of the package, imported as in a new process."""
        sys.modules.pop(self.name, None)
        importlib.invalidate_caches()
        for cache in (importlib.import_module("skdnn._identity._installed_packages"),):
            cache._distributions.cache_clear()
            cache._library.cache_clear()
        torch.manual_seed(0)
        part = importlib.import_module(self.name).Part()
        return nn.Sequential(part, nn.Flatten()).append(_layer())


def _layer() -> nn.Module:
    return nn.Linear(3, 2)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Package]:
    """Makes packages in a folder of `sys.path`."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def make(folder: str = "target") -> Package:
        sys.path.insert(0, str(tmp_path / folder))
        return Package(tmp_path / folder)

    return make


def test_in_any_folder_with_a_record(package):
    """As ``pip install --target`` leaves it, on ``PYTHONPATH``."""
    made = package().wheel()
    first = identity(made.network())
    assert identity(made.write("1.0", "# changed").network()) == first
    assert identity(made.wheel("1.1").network()) != first


def is_refused(made: Package) -> bool:
    with pytest.raises(ValueError, match=r"another_package_of_that_kind.*version='1'"):
        identity(made.network())
    return True


def test_in_no_package(package):
    assert is_refused(package("study"))


@pytest.mark.parametrize(
    "record",
    [
        "__editable__.NAME-1.0.pth,sha256=x,1\nNAME-1.0.dist-info/METADATA,,\n",
        "__editable___NAME_1_0_finder.py,sha256=x,1\n__pycache__/x.pyc,,\n",
    ],
)
def test_editable(package, record, tmp_path):
    """The record lists a pointer to the code, not the code."""
    made = package("project")
    pointer = Package(tmp_path / "site")
    pointer.name = made.name
    pointer.info("dist-info", RECORD=record)
    sys.path.append(str(pointer.folder))
    assert is_refused(made)


def test_developed_in_its_own_folder(package):
    """What ``setup.py develop`` leaves there lists the sources, and is no installation."""
    made = package("project")
    made.info("egg-info", **{"top_level.txt": "NAME\n", "SOURCES.txt": "NAME/__init__.py\n"})
    assert is_refused(made)


@pytest.mark.parametrize(
    "files", [{"top_level.txt": "NAME\n"}, {}], ids=["list of names", "name alone"]
)
@pytest.mark.parametrize("kind", ["dist-info", "egg-info"])
def test_without_a_record_in_a_site_folder(package, kind, files, tmp_path, monkeypatch):
    """As Debian leaves it; in the user's site folder, and in any other one."""
    made = package("site").info(kind, **files)
    assert is_refused(made)
    monkeypatch.setattr(site, "getusersitepackages", lambda: str(tmp_path / "site"))
    assert identity(made.network()) == identity(made.write("1.0", "# changed").network())


def test_a_module_beside_packages_is_ones_own(package):
    """A file put by hand into a folder of packages belongs to none of them."""
    made = package("site").wheel()
    other = Package(made.folder)
    assert len(identity(made.network())) == 64
    assert is_refused(other)


def test_a_module_called_as_one_of_pythons(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setitem(sys.modules, "this", sys.modules.get("this"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    found = []
    for scale in (1, 2):
        (tmp_path / "this.py").write_text(f"def act(x):\n    return x * {scale}\n")
        del sys.modules["this"]
        importlib.invalidate_caches()
        network = nn.Sequential(nn.Linear(3, 2))
        torch.manual_seed(0)
        nn.init.ones_(network[0].weight)
        nn.init.zeros_(network[0].bias)
        network.act = importlib.import_module("this").act
        found.append(identity(network))
    assert found[0] != found[1]


SCRIPT = """
import torch, sys
from torch import nn
from skdnn.models._registry import resolve_model
from skdnn.models import Model

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        return torch.relu(self.fc(x))

print(resolve_model(Model(Net())).fingerprint(), sys.prefix)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["PYTHONPATH", "user site", "system site"])
def test_torch_installed_elsewhere(how, tmp_path):
    """The interpreter that runs has no packages of its own."""
    base = getattr(sys, "_base_executable", sys.executable)
    if sys.prefix == sys.base_prefix:
        pytest.skip("needs a virtual environment")
    ours, packages = str(Path(__file__).parents[2]), sysconfig.get_path("purelib")
    environment = {**os.environ, "PYTHONPATH": ours}
    normal = _run(sys.executable, environment)
    if how == "PYTHONPATH":
        environment["PYTHONPATH"] = os.pathsep.join([ours, packages])
    elif how == "user site":
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        (tmp_path / "lib" / version).mkdir(parents=True)
        (tmp_path / "lib" / version / "site-packages").symlink_to(packages)
        environment["PYTHONUSERBASE"] = str(tmp_path)
    else:
        subprocess.run([base, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
        (folder,) = (tmp_path / "venv").glob("lib/*/site-packages")
        (folder / "of_the_system.pth").write_text(packages)
        base = str(tmp_path / "venv" / "bin" / "python")
    found = _run(base, environment)
    assert found.split()[0] == normal.split()[0]
    assert found.split()[1] != normal.split()[1]


def _run(python: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [python, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
