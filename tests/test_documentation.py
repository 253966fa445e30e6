"""The documentation says what is: its links, names, code and commands, and the built pages."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest

import skdnn
from skdnn.cli import parser

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MADE = ("_build", "api", "gallery", "generated")  # by sphinx
PAGES = sorted(path for path in DOCS.rglob("*.md") if path.relative_to(DOCS).parts[0] not in MADE)
EVERYWHERE = [*PAGES, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
# Named in examples for those who have them, and not needed by any test.
ELSEWHERE = {"dask_jobqueue"}
SHELLS = {"bash", "sh", "shell", "console", "powershell"}

each_page = pytest.mark.parametrize("page", EVERYWHERE, ids=lambda path: path.stem)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Language and content of the fenced blocks, directives left out."""
    for match in re.finditer(r"^```(\w+)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        yield match.group(1), match.group(2)


def prose(text: str) -> str:
    """What is not in fenced blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def test_there_are_pages() -> None:
    names = {str(page.relative_to(DOCS).with_suffix("")) for page in PAGES}
    assert {"index", "install", "start", "guide/rsa", "coming_from/thingsvision"} <= names


# --- links -------------------------------------------------------------------------------------


def headings(page: Path) -> set[str]:
    """Anchors of a page's headings, as code hosts and sphinx make them."""
    found = re.findall(r"^#+ (.+)$", prose(text_of(page)), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text_of(page))):
        if re.match(r"https?://", target):
            continue
        file, _, anchor = target.partition("#")
        # Pages that sphinx makes are checked with the built site.
        assert not file.startswith("/"), target
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), target
        assert not anchor or anchor in headings(there), target


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_pages_referred_to_exist(page: Path) -> None:
    """{doc} roles and tables of contents."""
    text = text_of(page)
    roles = re.findall(r"\{doc\}`(?:[^`<]*<)?([^`>]+)>?`", text)
    tables = re.findall(r"^```\{toctree\}\n((?:.*\n)*?)```", text, flags=re.MULTILINE)
    listed = [line for table in tables for line in table.split("\n") if re.match(r"[\w/]+$", line)]
    for target in [*roles, *listed]:
        there = DOCS / target.lstrip("/") if target.startswith("/") else page.parent / target
        relative = os.path.relpath(there, DOCS)
        assert relative.split(os.sep)[0] in MADE or there.with_suffix(".md").exists(), target


# --- names -------------------------------------------------------------------------------------


def find(dotted: str) -> object:
    """The object of a dotted name; AttributeError or ImportError if there is none."""
    found: object = skdnn
    path = "skdnn"
    for part in dotted.split(".")[1:]:
        path += f".{part}"
        if not hasattr(found, part):
            importlib.import_module(path)
        found = getattr(found, part)
    return found


@each_page
def test_names_exist(page: Path) -> None:
    missing = []
    for dotted in set(re.findall(r"(?<![\w./-])skdnn(?:\.[A-Za-z]\w*)+", text_of(page))):
        try:
            find(dotted.removesuffix(".NAME"))
        except (AttributeError, ImportError):
            missing.append(dotted)
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_roles_name_what_exists(page: Path) -> None:
    """Sphinx finds this too, but takes longer."""
    role = r"\{(?:func|class|meth|attr|mod)\}`(?:[^`<]*<)?~?([^`>]+)>?`"
    for dotted in re.findall(role, text_of(page)):
        find(dotted)


@pytest.mark.parametrize(
    ("package", "rooms", "least"),
    [
        (
            "rsatoolbox",
            ("data", "data.noise", "rdm", "model", "inference", "vis", "util.searchlight"),
            16,
        ),
        (
            "nilearn",
            (
                "glm",
                "maskers",
                "image",
                "decoding",
                "plotting",
                "glm.first_level",
                "glm.second_level",
                "mass_univariate",
            ),
            9,
        ),
        ("himalaya", ("ridge", "kernel_ridge", "scoring", "backend"), 7),
    ],
)
def test_peers_have_the_names_of_their_pages(
    package: str, rooms: tuple[str, ...], least: int
) -> None:
    pytest.importorskip(package)
    modules = [importlib.import_module(f"{package}.{room}") for room in rooms]
    page = text_of(DOCS / "coming_from" / f"{package}.md")
    rows = re.findall(r"^\| (.*?) \|", page, flags=re.M)
    names = [name for row in rows for name in re.findall(r"`([A-Za-z]\w+)[(`]", row)]
    names = [name for name in names if name not in ("deltas_", "best_alphas_", "predict")]
    assert len(names) >= least
    for name in names:
        assert any(hasattr(module, name) for module in modules), name


# --- code --------------------------------------------------------------------------------------


@each_page
def test_python_parses_and_its_imports_resolve(page: Path) -> None:
    for language, code in blocks(text_of(page)):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(textwrap.dedent(code))):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    check_import(alias.name, [])
            elif isinstance(node, ast.ImportFrom):
                check_import(str(node.module), [alias.name for alias in node.names])


def check_import(module: str, names: list[str]) -> None:
    """Ours must have the names; of others it is enough that they are installed."""
    top = module.partition(".")[0]
    if top == "skdnn":
        loaded = importlib.import_module(module)
        for name in names:
            assert hasattr(loaded, name), f"{module}.{name}"
    elif top not in ELSEWHERE:
        assert importlib.util.find_spec(top) is not None, module


def commands(text: str) -> Iterator[list[str]]:
    """Arguments of each `skdnn ...` of the shell blocks."""
    for language, block in blocks(text):
        if language not in SHELLS:
            continue
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\|\||[|;]", line.strip().removeprefix("$ ")):
                words = shlex.split(re.sub(r">+\s*\S+", "", part), comments=True)
                if words[:1] == ["skdnn"]:
                    yield words[1:]


def parses(words: list[str]) -> bool:
    """Whether argparse takes the arguments; --help leaves with 0."""
    try:
        parser().parse_args(words)
    except SystemExit as stopped:
        return stopped.code == 0
    return True


@each_page
def test_commands_parse(page: Path) -> None:
    for words in commands(text_of(page)):
        assert parses(words), f"skdnn {shlex.join(words)}"


def test_a_wrong_command_would_be_found() -> None:
    block = "```bash\n# a comment\npip install . && skdnn layers alexnet --jsno > out.txt\n```\n"
    (words,) = commands(block)
    assert words == ["layers", "alexnet", "--jsno"]
    assert not parses(words)
    assert parses(words[:2])
    assert parses(["--help"])


@pytest.mark.slow
def test_the_start_page_runs(
    published_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of its Python, in a folder of its own; but for the weights, fewer layers and folds."""
    import matplotlib

    matplotlib.use("agg")
    (tmp_path / "home" / "kriegeskorte92").mkdir(parents=True)
    for path in published_files.glob("*.mat"):
        (tmp_path / "home" / "kriegeskorte92" / path.name).symlink_to(path.resolve())
    monkeypatch.setenv("SKDNN_DATA", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    code = "".join(code for how, code in blocks(text_of(DOCS / "start.md")) if how == "python")
    for old, new in {
        'DNNFeatureExtractor("alexnet")': 'DNNFeatureExtractor("alexnet", weights=None)',
        '"features.1", "features.4", "features.7", "features.9", "features.11"': '"features.12"',
        "n_repeats=5": "n_repeats=1",
    }.items():
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["brain"].shape == (92, 92)
    assert set(names["search"].layer_profile_["layer"]) == {"features.12", "classifier.5"}
    assert names["search"].best_score_ > 0  # even random weights see something
    assert (tmp_path / "inputs.png").stat().st_size > 10_000
    assert (tmp_path / "layers.png").stat().st_size > 10_000


# --- the built site ----------------------------------------------------------------------------


class Anchors(HTMLParser):
    """What a page points to, and what can be pointed to in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.targets: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is not None and (name == "id" or (name == "name" and tag == "a")):
                self.ids.add(value)
            elif value and name in ("href", "src"):
                self.targets.append(value)


def dead_links(site: Path) -> list[str]:
    """Relative links of a folder of pages that lead nowhere."""
    # In _static lie templates of the theme.
    files = (path for path in site.rglob("*.html") if "_static" not in path.parts)
    pages = {path.resolve(): Anchors(text_of(path)) for path in files}
    dead = []
    for path, page in pages.items():
        for target in page.targets:
            if re.match(r"[a-z]+:|//", target):
                continue
            file, _, anchor = unquote(target).partition("#")
            there = (path.parent / file.partition("?")[0]).resolve() if file else path
            there = there / "index.html" if there.is_dir() else there
            known = pages.get(there)
            if not there.exists() or (anchor and known is not None and anchor not in known.ids):
                dead.append(f"{path.relative_to(site.resolve())}: {target}")
    return dead


def test_dead_links_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<a href="b.html#x">1</a> <img src="no.png"> <p id="p">')
    (tmp_path / "b.html").write_text('<a href="a.html#p">2</a> <a href="https://e.org/#q">3</a>')
    assert dead_links(tmp_path) == ["a.html: b.html#x", "a.html: no.png"]


def example_pages() -> ModuleType:
    """What prepares the gallery, freshly loaded."""
    pytest.importorskip("sphinx", reason="the site needs the extra docs")
    spec = importlib.util.spec_from_file_location("example_pages", DOCS / "_ext/example_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_examples_without_their_images_are_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = example_pages()

    def fails() -> None:
        raise OSError("no network")

    needs, own = ROOT / "examples/plot_layer_selection.py", ROOT / "examples/plot_mixed_rsa.py"
    run, leave_out = SimpleNamespace(plot_gallery=True), SimpleNamespace(plot_gallery="0")
    monkeypatch.delenv("SKDNN_DOCS_QUICK", raising=False)
    monkeypatch.setattr(pages, "fetch_kriegeskorte92", fails)
    assert [pages.state(path, run) for path in (needs, own)] == ["data", "full"]
    assert [pages.state(path, leave_out) for path in (needs, own)] == ["off", "off"]
    monkeypatch.setenv("SKDNN_DOCS_QUICK", "1")
    pages.have_images.cache_clear()
    monkeypatch.setattr(pages, "fetch_kriegeskorte92", dict)
    assert [pages.state(path, run) for path in (needs, own)] == ["quick", "quick"]


def test_results_of_another_kind_of_run_are_forgotten(tmp_path: Path) -> None:
    pages = example_pages()
    for name in ("plot_a", "plot_b"):
        (tmp_path / f"{name}.py.md5").write_text("digest")
    record = tmp_path / "states.json"
    record.write_text('{"plot_a": "quick", "plot_b": "quick"}')
    pages.forget_other_runs(record, tmp_path, {"plot_a": "quick", "plot_b": "full"})
    assert [path.name for path in tmp_path.glob("*.md5")] == ["plot_a.py.md5"]
    pages.forget_other_runs(record, tmp_path, {"plot_a": "off", "plot_b": "full"})
    assert not list(tmp_path.glob("*.md5"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built from a copy without running the examples; a warning is an error."""
    for package in ("sphinx", "sphinx_gallery", "numpydoc", "myst_parser", "sphinx_copybutton"):
        pytest.importorskip(package, reason="the site needs the extra docs")
    pytest.importorskip("pydata_sphinx_theme", reason="the site needs the extra docs")
    tree = tmp_path_factory.mktemp("documentation")
    shutil.copytree(DOCS, tree / "docs", ignore=shutil.ignore_patterns(*MADE, "__pycache__"))
    shutil.copytree(ROOT / "examples", tree / "examples")
    for name in ("README.md", "CHANGELOG.md"):
        shutil.copy2(ROOT / name, tree)
    out = tree / "html"
    options = ["-W", "--keep-going", "-q", "-b", "html", "-D", "plot_gallery=0"]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(tree / "docs"), str(out)],
        env={
            **os.environ,
            "MPLBACKEND": "agg",
            "PYTHONPATH": str(Path(skdnn.__file__).parents[1]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return out


@pytest.mark.slow
def test_links_of_the_site_lead_somewhere(site: Path) -> None:
    assert len(list(site.rglob("*.html"))) > 100
    assert dead_links(site) == []


@pytest.mark.slow
def test_each_public_name_has_a_page(site: Path) -> None:
    rooms = ("rsa", "encoding", "plotting", "models", "model_comparison", "datasets", "io")
    for module in (skdnn, *(importlib.import_module(f"skdnn.{room}") for room in rooms)):
        for name in module.__all__:
            if not name.startswith("__"):
                pages = [
                    site / "api" / f"{home}.{name}.html" for home in ("skdnn", module.__name__)
                ]
                assert any(page.exists() for page in pages), f"{module.__name__}.{name}"


@pytest.mark.slow
def test_each_command_has_its_help_on_the_page(site: Path) -> None:
    page = text_of(site / "commands.html")
    (choices,) = (
        action.choices
        for action in parser()._actions
        if action.choices and not action.option_strings
    )
    for name in choices:
        assert f"usage: skdnn {name}" in page


@pytest.mark.slow
def test_an_example_that_was_not_run_says_so(site: Path) -> None:
    page = text_of(site / "gallery" / "plot_layer_selection.html")
    assert "built without running the examples" in page
