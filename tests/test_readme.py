"""All names in the README exist. Its code and commands are run by test_docs.py."""

import re
from pathlib import Path

import puzzlemix

README = Path(__file__).parent.parent / "README.md"


def test_the_table_names_what_there_is():
    table = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", README.read_text(), re.MULTILINE)
    names = [name for row in table for name in re.findall(r"\w+", row)]
    assert len(names) >= 14
    for name in names:
        assert callable(getattr(puzzlemix, name))


def test_links_and_pictures_are_there():
    targets = re.findall(r"\]\(([^)]+)\)", README.read_text())
    assert len(targets) > 8
    for target in targets:
        file, _, anchor = target.partition("#")
        if not target.startswith("https://"):
            assert (README.parent / file).exists(), target
        if not file:
            heading = anchor.replace("-", " ")
            assert re.search(rf"^## {heading}$", README.read_text(), re.MULTILINE | re.IGNORECASE)
