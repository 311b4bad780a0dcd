"""What the site takes from the rest of the repository, and makes, while it is built.

- Pages and pictures of bench/ and examples/, where they stand: they keep their paths on the site.
- The gallery: `puzzlemix demo` draws it, and what it prints stands under it.
- Pictures of code blocks: a block that saves a picture runs, and its picture goes beside the page.
- `{{ source FILE:NAME }}` in a page becomes that definition, `{{ help COMMAND }}` what the command
  line says, `{{ report }}` what the demo printed.
- Formulas, by KaTeX, here and not in the reader's browser.

What is slow to make is kept in a folder of the user's cache, by a hash of what it is made from.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import hashlib
import html
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

PAGES = (
    "CHANGELOG.md",
    "bench/README.md",
    "bench/results/*.md",
    "bench/results/*.png",
    "experiments/README.md",
    "experiments/results/*.md",
    "experiments/results/*.png",
    "examples/README.md",
)
"""What the site shows as it stands."""

KATEX = "0.19.1"
KATEX_SHA512 = (
    "jG8uKntjSEcm2EpQOh0XturpPuuC9r3Sq5HLHdsFdWZT27E672SF19QEi+of0/YeOy15lDgRhKvr5614uRrEfA=="
)
"""Of the package, as the npm registry tells it."""

OTHER_FONTS = re.compile(r",url\(fonts/[\w-]+\.(?:woff|ttf)\) format\([^)]*\)")
"""Every browser that KaTeX supports takes the fonts as woff2."""

BLOCK = re.compile(r"^```python([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DIRECTIVE = re.compile(r"^\{\{ (\w+) ?(.*?) \}\}$", re.MULTILINE)
FORMULA = re.compile(
    r'<(?:span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</(?:span|div)>', re.DOTALL
)
PICTURE = re.compile(r'savefig\("([\w-]+\.png)"')


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
    every |= {f"assets/katex/{name}": katex() / name for name in _shown(katex())}
    for page in files.documentation_pages():
        every |= pictures(page.src_uri, page.content_string)
    for uri, path in every.items():
        files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Carry out the directives."""
    return DIRECTIVE.sub(lambda found: DIRECTIVES[found[1]](found[2]), markdown)


def on_post_page(output: str, **_: Any) -> str:
    """Set the formulas. The search index, made before, has them as they were written."""
    formulas = [(html.unescape(tex), kind == "[") for kind, tex in FORMULA.findall(output)]
    if not formulas:
        return output
    command = ["node", str(Path(__file__).with_name("katex.js")), str(katex() / "katex.js")]
    text = json.dumps(formulas)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    made = iter(json.loads(done.stdout))
    return FORMULA.sub(lambda _: next(made), output)


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


def usage(argument: str) -> str:
    """What `puzzlemix COMMAND --help` prints."""
    command = ["puzzlemix", *argument.split(), "--help"]
    return f'```text title="{" ".join(command)}"\n{_printed(command[1:])}```'


def report(_: str) -> str:
    """What the demo printed, but for where its pictures went."""
    text = (gallery() / "printed.txt").read_text()
    return f"```text\n{text.rpartition('Written to')[0].strip()}\n```"


DIRECTIVES: dict[str, Callable[[str], str]] = {"source": source, "help": usage, "report": report}


def gallery() -> Path:
    """The demo's pictures and what it printed."""

    def draw(folder: Path) -> None:
        text = _printed(["demo", "--out", str(folder), "--dpi", "200"])
        (folder / "printed.txt").write_text(text)

    return _cached("gallery", _library(), draw)


def pictures(uri: str, markdown: str) -> dict[str, Path]:
    """The pictures that a page's code blocks draw, by where they go."""
    found = {}
    for _, code in BLOCK.findall(markdown):
        names = PICTURE.findall(code)
        if names:
            folder = _cached("picture", code.encode() + _library(), partial(_quietly, code))
            found |= {f"{uri.rpartition('/')[0]}/{name}": folder / name for name in names}
    return found


def _quietly(code: str, folder: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        run(code, folder)


def run(code: str, folder: Path) -> None:
    """Run a code block in a folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        exec(compile(code, "a code block", "exec"), {})
    finally:
        os.chdir(before)


def katex() -> Path:
    """KaTeX's files, by npm."""

    def fetch(folder: Path) -> None:
        npm = ["npm", "pack", "--silent", f"katex@{KATEX}", "--pack-destination", str(folder)]
        subprocess.run(npm, check=True, capture_output=True)
        package = (folder / f"katex-{KATEX}.tgz").read_bytes()
        if base64.b64encode(hashlib.sha512(package).digest()).decode() != KATEX_SHA512:
            raise RuntimeError(f"katex {KATEX} is not the package that was expected")
        with tarfile.open(fileobj=io.BytesIO(package)) as archive:
            for member in archive:
                path = Path(member.name).relative_to("package")
                kept = path.parts[0] == "dist" and path.suffix in (".js", ".css", ".woff2")
                if (kept and "contrib" not in path.parts) or path.name == "LICENSE":
                    to = folder / path.relative_to("dist" if kept else ".")
                    to.parent.mkdir(exist_ok=True)
                    to.write_bytes(archive.extractfile(member).read())
        style = folder / "katex.min.css"
        style.write_text(OTHER_FONTS.sub("", style.read_text()))

    return _cached("katex", KATEX_SHA512.encode(), fetch)


def _shown(folder: Path) -> Iterator[str]:
    """What of KaTeX the reader's browser loads, and its licence."""
    yield from ("katex.min.css", "LICENSE")
    for path in sorted((folder / "fonts").glob("*.woff2")):
        yield f"fonts/{path.name}"


def _library() -> bytes:
    """All that decides what puzzlemix computes and draws."""
    parts = [*(ROOT / "puzzlemix").rglob("*.py"), *(ROOT / "csrc").rglob("*.[hc]*")]
    return b"".join(path.read_bytes() for path in sorted(parts))


def _printed(arguments: list[str]) -> str:
    """What a command prints."""
    from puzzlemix.demo.cli import main

    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main(arguments)
    return out.getvalue()


def _cached(kind: str, made_from: bytes, make: Callable[[Path], None]) -> Path:
    """The folder that `make` fills, from an earlier build where nothing has changed since."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "puzzlemix-site"
    folder = base / f"{kind}-{hashlib.sha256(made_from).hexdigest()[:16]}"
    if not folder.is_dir():
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=base) as new:
            made = Path(new) / "made"
            made.mkdir()
            make(made)
            with contextlib.suppress(OSError):  # another build was faster
                made.rename(folder)
    return folder
