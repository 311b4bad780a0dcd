"""Check a built site: every link, anchor and picture within it resolves, and it loads nothing else.

python tools/check_site.py site

Links that lead outside are listed, not followed. Exits with 1 and a line for each fault if there is
one: a target that isn't there, an anchor that its page lacks, something loaded from elsewhere.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

LOADS = {
    ("audio", "src"), ("embed", "src"), ("iframe", "src"), ("img", "src"), ("img", "srcset"),
    ("input", "src"), ("link", "href"), ("object", "data"), ("script", "src"), ("source", "src"),
    ("source", "srcset"), ("track", "src"), ("video", "poster"), ("video", "src"),
}  # fmt: skip
"""What a browser fetches by itself. Of links some, such as the canonical one, it doesn't."""
FETCHED_LINKS = {"icon", "manifest", "modulepreload", "preload", "prefetch", "stylesheet"}
FOLLOWED = {("a", "href"), ("area", "href"), ("form", "action")}
IN_STYLE = re.compile(r"url\(\s*(['\"]?)(.*?)\1\s*\)|@import\s+(['\"])(.*?)\3")
SITE = "http://site.invalid/"


class Reference(NamedTuple):
    """An address that a page refers to."""

    target: str
    loaded: bool


class Page(HTMLParser):
    """The references and anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[Reference] = []
        self.anchors: set[str] = set()
        self._in_style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self._in_style = tag == "style"
        self.anchors.update(given[name] for name in ("id", "name") if given.get(name))
        self.references += styled(given.get("style", ""))
        for name, value in given.items():
            if (tag, name) in FOLLOWED:
                self.references.append(Reference(value, False))
            elif (tag, name) in LOADS:
                fetched = tag != "link" or bool(FETCHED_LINKS & set(given.get("rel", "").split()))
                several = value.split(",") if name == "srcset" else [value]
                self.references += [Reference(one.split()[0], fetched) for one in several if one]

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.references += styled(data)


def styled(text: str) -> list[Reference]:
    """The addresses that a style sheet loads."""
    return [Reference(found[1] or found[3], True) for found in IN_STYLE.findall(text)]


def check(site: Path) -> tuple[list[str], dict[str, list[str]]]:
    """The faults, and by address outside the site the pages that link to it."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    sheets = {path: styled(path.read_text(encoding="utf-8")) for path in site.rglob("*.css")}
    faults: list[str] = []
    outside: dict[str, list[str]] = {}
    every = {path: page.references for path, page in pages.items()} | sheets
    for path, references in every.items():
        where = path.relative_to(site).as_posix()
        # The page for missing addresses is shown at any address, so its links start from the root.
        base = SITE + ("" if where == "404.html" else where)
        for target, loaded in references:
            if target.startswith(("data:", "mailto:", "javascript:")):
                continue
            address = urljoin(base, target)
            if not address.startswith(SITE):
                outside.setdefault(address, []).append(where)
                if loaded:
                    faults.append(f"{where}: loads {target} from elsewhere")
                continue
            faults += [f"{where}: {target}: {why}" for why in missing(site, address, pages)]
    return faults, outside


def missing(site: Path, address: str, pages: dict[Path, Page]) -> Iterator[str]:
    """The part of an address within the site that doesn't exist, if any."""
    parts = urlsplit(address)
    path = site / unquote(parts.path).lstrip("/")
    if path.is_dir():
        path /= "index.html"
    if not path.is_file():
        yield "no such file"
    elif parts.fragment and path in pages:
        anchor = unquote(parts.fragment)
        # The theme makes anchors that begin with __ for its own controls.
        if anchor not in pages[path].anchors and not anchor.startswith("__"):
            yield f"no anchor {anchor} in {path.relative_to(site).as_posix()}"


def main(argv: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1 or not (site := Path(arguments[0])).is_dir():
        print("usage: python tools/check_site.py SITE, a folder with a built site", file=sys.stderr)
        return 2
    faults, outside = check(site)
    for address, wheres in sorted(outside.items()):
        more = f" and {len(set(wheres)) - 1} more" if len(set(wheres)) > 1 else ""
        print(f"outside: {address} ({wheres[0]}{more})")
    for fault in faults:
        print(fault, file=sys.stderr)
    count = len(list(site.rglob("*.html")))
    print(f"{count} pages, {len(outside)} addresses outside, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
