"""Lets one entry of a docstring's arguments stand for several: `x1, x2: images`.

The parser takes what stands before the first space for the name; a no-break space isn't one.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

SEVERAL = re.compile(r"^ +\w+(?:, \w+)+(?=:)", re.MULTILINE)


class SeveralNames(griffe.Extension):
    """Joins the names before they are parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = SEVERAL.sub(
                lambda found: re.sub(r", ", ",\N{NO-BREAK SPACE}", found[0]), obj.docstring.value
            )
