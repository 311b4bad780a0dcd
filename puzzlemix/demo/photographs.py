"""Photographs: those in scikit-image's wheel, and the middle square of any picture file."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

__all__ = ["PHOTOGRAPHS", "BadPicture", "read_square", "shown_name"]

PHOTOGRAPHS = {
    "astronaut": "astronaut.png",
    "camera": "camera.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "rocket": "rocket.jpg",
}
"""Photographs in scikit-image's wheel, free of rights; its other ones would be downloaded."""


def shown_name(image: str) -> str:
    """How a photograph, or a file, is called under its picture: Chelsea is a cat."""
    return "cat" if image == "chelsea" else Path(image).stem


class BadPicture(ValueError):
    """A file that cannot be used; the message says why in one line."""


def read_square(file: IO[bytes], side: int) -> NDArray[np.uint8]:
    """The middle square of a picture file, [side, side, 3].

    Raises:
        BadPicture: it cannot be read, or has more than 8 bits a pixel and channel.
    """
    try:
        with Image.open(file) as image:
            upright = ImageOps.exif_transpose(image)
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise BadPicture(f"too large: more than {most:,} pixels") from None
    except (OSError, SyntaxError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a picture that can be read"
        raise BadPicture(why) from None
    if upright.mode[0] in "IF":
        raise BadPicture("more than 8 bits a pixel and channel")
    square = ImageOps.fit(upright.convert("RGB"), (side, side), Image.Resampling.LANCZOS)
    return np.asarray(square)
