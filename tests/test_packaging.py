"""The version is one, the typing marker is there, and the files about the project agree with it."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest

import puzzlemix

ROOT = Path(__file__).parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text()


def found(pattern: str, text: str) -> str:
    """The first match of the pattern's group at the start of a line."""
    match = re.search(f"^{pattern}", text, re.MULTILINE)
    assert match, pattern
    return match[1]


VERSION = found(r'version = "(.*)"$', PYPROJECT)


def names(requirements: list[str]) -> set[str]:
    """The packages of requirements such as "torch>=2.4"."""
    return {re.split(r"[^\w.-]", each)[0].lower() for each in requirements}


@pytest.fixture
def installed() -> metadata.Distribution:
    """The installed package; sources beside an extension built by hand have none."""
    try:
        return metadata.distribution("puzzlemix")
    except metadata.PackageNotFoundError:
        pytest.skip("puzzlemix is built, but not installed")


def test_the_version_installed(installed: metadata.Distribution) -> None:
    assert puzzlemix.__version__ == installed.version == VERSION


@pytest.mark.parametrize(
    ("file", "pattern"),
    [("CITATION.cff", r"version: (.*)$"), ("CHANGELOG.md", r"## (\d\S*)")],
)
def test_the_version_written(file: str, pattern: str) -> None:
    assert found(pattern, (ROOT / file).read_text()) == VERSION


def test_python_versions_are_those_of_the_wheels() -> None:
    """Wheels are built for all Pythons of the classifiers, from the oldest one allowed on."""
    promised = re.findall(r"Python :: (3\.\d+)\"", PYPROJECT)
    built = re.findall(r'"cp3(\d+)-\*"', PYPROJECT)
    assert promised == [f"3.{minor}" for minor in built]
    assert found(r'requires-python = ">=(.*)"$', PYPROJECT) == promised[0]


def test_types_are_announced() -> None:
    """Without this file type checkers ignore the annotations of an installed package."""
    assert (Path(puzzlemix.__file__).parent / "py.typed").is_file()


def test_the_page_is_installed(installed: metadata.Distribution) -> None:
    assert "puzzlemix/demo/play.html" in {str(file) for file in installed.files or []}


def test_every_dependency_is_in_the_list_of_licences(installed: metadata.Distribution) -> None:
    build = re.findall(r'"([^"]+)"', found(r"requires = \[(.*)\]$", PYPROJECT))
    rows = re.findall(
        r"^\| ([^|]+) \|", (ROOT / "THIRD_PARTY_LICENSES.md").read_text(), re.MULTILINE
    )
    listed = {name.strip() for row in rows for name in re.sub(r" \(.*\)", "", row).split(",")}
    needed = names([*(installed.requires or []), *build]) - {"puzzlemix"}
    assert needed - {name.lower() for name in listed} == set()
