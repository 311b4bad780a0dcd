"""What the site takes from the rest of the repository, and makes, while it is built.

- Pages and pictures of bench/, experiments/ and examples/ keep their paths on the site.
- The gallery: `puzzlemix demo` draws it, and what it prints stands under it.
- Pictures of code blocks: a block that saves a picture runs, and its picture goes beside the page.
- `{{ source FILE:NAME }}` in a page becomes that definition, `{{ table FILE }}` the first table of
  a Markdown file, `{{ help COMMAND }}` what the command line says, `{{ report }}` what the demo
  printed.
- A picture links to itself, so that a phone can enlarge it.
- Formulas become MathML, which browsers set without a script, a font or another host.
"""

from __future__ import annotations

import ast
import contextlib
import html
import io
import os
import re
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

PAGES = (
    "CHANGELOG.md",
    "bench/README.md",
    "bench/results/*.md",
    "experiments/README.md",
    "experiments/results/*.md",
    "experiments/results/*.png",
    "examples/README.md",
    "examples/first_hour.ipynb",
)
"""What the site shows as it stands."""

BLOCK = re.compile(r"^```python([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DIRECTIVE = re.compile(r"^\{\{ (\w+) ?(.*?) \}\}$", re.MULTILINE)
FORMULA = re.compile(
    r'<(?:span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</(?:span|div)>', re.DOTALL
)
FIGURE = re.compile(r'<p>(<img [^>]*src="([^"]+\.png)"[^>]*>)</p>')
PICTURE = re.compile(r'savefig\("([\w-]+\.png)"')

MADE = tempfile.TemporaryDirectory(prefix="puzzlemix-site-")
"""What is drawn once, however often `mkdocs serve` builds the site again."""


def on_startup(**_: Any) -> None:
    """Import the sources, not a package that was installed before, and draw without a screen."""
    sys.path.insert(0, str(ROOT))
    os.environ["MPLBACKEND"] = "agg"


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of other folders, and what is drawn now."""
    from mkdocs.structure.files import File

    added = [path for pattern in PAGES for path in sorted(ROOT.glob(pattern))]
    every = {path.relative_to(ROOT).as_posix(): path for path in added}
    every |= {f"gallery/{path.name}": path for path in sorted(gallery().glob("*.png"))}
    for page in files.documentation_pages():
        folder = page.src_uri.rpartition("/")[0]
        for _, code in BLOCK.findall(page.content_string):
            if PICTURE.search(code):
                every |= {f"{folder}/{path.name}": path for path in drawn(code).glob("*.png")}
    for uri, path in every.items():
        files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


on_files.mkdocs_priority = 50  # type: ignore[attr-defined] - before htmlproofer looks at the files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Carry out the directives."""
    return DIRECTIVE.sub(lambda found: DIRECTIVES[found[1]](found[2]), markdown)


def on_post_page(output: str, **_: Any) -> str:
    """Link the pictures and set the formulas, which the search index has as they were written."""
    from math_core import LatexToMathML

    output = FIGURE.sub(r'<p><a href="\2">\1</a></p>', output)
    convert = LatexToMathML().convert_with_local_state
    return FORMULA.sub(
        lambda found: convert(html.unescape(found[2]), displaystyle=found[1] == "["), output
    )


def source(argument: str) -> str:
    """A definition, as it stands in a file: FILE:NAME, or FILE:CLASS.NAME."""
    file, _, path = argument.partition(":")
    text = (ROOT / file).read_text()
    node: Any = ast.parse(text)
    for name in path.split("."):
        named = [part for part in node.body if getattr(part, "name", None) == name]
        if not named:
            raise ValueError(f"{file} defines no {path}")
        (node,) = named
    lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
    code = "\n".join(line[node.col_offset :] for line in lines)
    return f'```python title="{file}"\n{code}\n```'


def table(file: str) -> str:
    """The first table of a Markdown file."""
    found = re.search(r"(?:^\|.*\n)+", (ROOT / file).read_text(), re.MULTILINE)
    if not found:
        raise ValueError(f"{file} has no table")
    return found[0]


def usage(argument: str) -> str:
    """What `puzzlemix COMMAND --help` prints."""
    command = ["puzzlemix", *argument.split(), "--help"]
    return f'```text title="{" ".join(command)}"\n{_printed(command[1:])}```'


def report(_: str) -> str:
    """What the demo printed, but for the list of its pictures and where they went."""
    _, _, text = (gallery() / "printed.txt").read_text().partition("\n\n")
    return f"```text\n{text.rpartition('Written to')[0].rstrip()}\n```"


DIRECTIVES: dict[str, Callable[[str], str]] = {
    "source": source,
    "table": table,
    "help": usage,
    "report": report,
}


@cache
def gallery() -> Path:
    """The demo's pictures and what it printed."""
    folder = Path(tempfile.mkdtemp(dir=MADE.name))
    text = _printed(["demo", "--out", str(folder), "--dpi", "200"])
    (folder / "printed.txt").write_text(text)
    return folder


@cache
def drawn(code: str) -> Path:
    """The folder with the pictures that a code block saves."""
    folder = Path(tempfile.mkdtemp(dir=MADE.name))
    with contextlib.redirect_stdout(io.StringIO()):
        run(code, folder)
    return folder


def run(code: str, folder: Path) -> None:
    """Run a code block in a folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        exec(compile(code, "a code block", "exec"), {})
    finally:
        os.chdir(before)


def _printed(arguments: list[str]) -> str:
    """What a command prints."""
    from puzzlemix.demo.cli import main

    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main(arguments)
    return out.getvalue()
