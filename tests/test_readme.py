"""The README's examples run as printed, and what it names is there."""

import re
from pathlib import Path

import pytest
import torch

import puzzlemix

README = Path(__file__).parent.parent / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples_run(example, capsys):
    torch.manual_seed(0)
    exec(compile(example, "README.md", "exec"), {})
    assert ("print(" in example) == bool(capsys.readouterr().out)


def test_the_table_names_what_there_is():
    table = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", README.read_text(), re.MULTILINE)
    names = [name for row in table for name in re.findall(r"\w+", row)]
    assert len(names) >= 14
    for name in names:
        assert callable(getattr(puzzlemix, name))


def test_pictures_are_there():
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README.read_text()):
        assert (README.parent / picture).is_file()
