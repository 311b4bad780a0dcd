"""``puzzlemix play``: a page on this machine on which the mix follows every setting at once.

``solve`` and ``draw`` make of settings and two pictures what the page shows; ``Server`` is the thin
rest: the standard library's HTTP server, one page (play.html), no other host. Pictures are drawn as
SVG: an arrow panel by matplotlib takes 100 ms.
"""

# ruff: noqa: RUF001 - the Greek letters of the sliders are meant.

from __future__ import annotations

import base64
import hashlib
import html
import inspect
import io
import json
import socket
import socketserver
import sys
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..objective import objective
from ..ops import mix
from ..puzzle import puzzle_mix
from ..saliency import gradient_saliency, spectral_saliency
from ..validate.puzzle import CUTS, TRANSPORTS
from .cli import HELP
from .figures import (
    BOTH,
    FAINT,
    FIRST,
    INK,
    MASK,
    QUIET,
    SECOND,
    Array,
    Mix,
    arrows,
    enlarged,
    moved_blocks,
    moves,
    overlay,
)
from .photographs import PHOTOGRAPHS, read_square, shown_name

SIDE = 256
"""The side of the pictures, in pixels."""
LARGEST = 64 * 2**20
"""The most bytes of a request."""
KEPT = 32
"""Uploads that are remembered; the oldest is forgotten first."""


@dataclass(frozen=True)
class Settings:
    """Arguments of ``puzzle_mix``, as the page starts; eta and xi are those of the demo."""

    lam: float = 0.5
    grid: int = 16
    labels: int = 3
    beta: float = 1.2
    gamma: float = 0.5
    eta: float = 0.05
    xi: float = 0.05
    cycles: int = 1
    cut: str = "swap"
    transport: str | None = "approx"
    smoothness: str = "quadratic"


class Slider(NamedTuple):
    """A setting with numbers, in the order of the page."""

    name: str
    label: str
    least: float
    most: float
    step: float


SLIDERS = (
    Slider("lam", "λ: share of the first picture", 0, 1, 0.01),
    Slider("grid", "grid: blocks a side", 2, 64, 1),
    Slider("labels", "labels: values of the mask", 2, 16, 1),
    Slider("beta", "β: neighbours agree on a label", 0, 10, 0.1),
    Slider("gamma", "γ: seams where the pictures fit", 0, 8, 0.1),
    Slider("eta", "η: blocks are held to λ", 0, 1, 0.01),
    Slider("xi", "ξ: price of moving blocks", 0, 1, 0.01),
    Slider("cycles", "cycles: cut and transport, at most", 1, 10, 1),
)
SELECTS: dict[str, tuple[str, ...]] = {
    "cut": CUTS,
    "transport": tuple(name or "none" for name in TRANSPORTS),
    "smoothness": ("quadratic", "bilinear"),
}


class Outcome(NamedTuple):
    """What the settings make of two pictures."""

    mix: Mix
    overlays: tuple[Array, Array]
    """Both pictures with their saliency on the grid, each [Y, X, 3] in [0, 1]."""
    terms: dict[str, float]
    """The objective, term by term, and ``total``."""
    call: str
    """The call of ``puzzle_mix`` that does this; options that are the default are left out."""


def saliencies() -> dict[str, Callable[[Tensor], Tensor]]:
    """By name, from images [N, 3, Y, X] in [0, 1] to [N, Y, X]; a network's where it is installed.

    The network is made when it is first asked for.
    """
    found: dict[str, Callable[[Tensor], Tensor]] = {"spectral": spectral_saliency}
    try:
        from .network import NETWORK, Network
    except ModuleNotFoundError:
        return found
    network = lru_cache(maxsize=1)(Network)

    def seen(images: Tensor) -> Tensor:
        labels = network().probabilities(images).argmax(1)
        return gradient_saliency(network(), images, labels)

    return {**found, NETWORK: seen}


def solve(
    settings: Settings,
    pixels: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    saliency: tuple[Array, Array],
) -> Outcome:
    """Mix two square pictures [Y, X, 3] with their saliency [Y, X].

    Where the grid does not divide the pictures, they are resized to the nearest side that it does.

    Raises:
        TypeError, ValueError: a setting that ``puzzle_mix`` refuses, named.
    """
    options = asdict(settings)
    lam = options.pop("lam")
    side = _side(settings.grid, len(pixels[0]))
    x1, x2 = (_image(picture, side) for picture in pixels)
    s1, s2 = (_resized(torch.from_numpy(plane)[None, None], side)[:, 0] for plane in saliency)
    solved = puzzle_mix(x1, x2, s1, s2, lam, **options)
    weights = {name: options[name] for name in options if name not in _SOLVERS}
    terms = objective(x1, x2, s1, s2, lam, solved.mask, solved.source1, solved.source2, **weights)
    whole = torch.ones(1, 1, 1)
    parts = mix(x1, x2, whole, solved.source1), mix(x1, x2, 0 * whole, None, solved.source2)
    sources = None
    if solved.source1 is not None and solved.source2 is not None:
        sources = (solved.source1[0].numpy(), solved.source2[0].numpy())
    ratio = float(solved.ratio)
    made = Mix(
        name="Puzzle Mix",
        how="",
        pixels=_pixels(solved.images),
        parts=(_pixels(parts[0]), _pixels(parts[1])),
        mask=solved.mask[0].numpy(),
        sources=sources,
        ratio=ratio,
        label=(ratio, 1 - ratio),
        guesses=(),
    )
    return Outcome(
        made,
        (_heat(x1, s1, settings.grid), _heat(x2, s2, settings.grid)),
        {name: float(value) for name, value in terms._asdict().items()},
        _call(settings),
    )


def draw(outcome: Outcome) -> dict[str, str]:
    """What the page shows, as HTML, by the names of its places."""
    made = outcome.mix
    first, second = (_moved(made, image) for image in range(2))
    rows = "".join(
        f"<tr><th>{name.replace('_', ' ')}</th><td>{value:.4f}</td></tr>"
        for name, value in outcome.terms.items()
    )
    return {
        "mix": f'<img src="{_source(made.pixels)}" alt="the mix">',
        "mask": _mask(made),
        "moved1": first,
        "moved2": second,
        "saliency1": f'<img src="{_source(outcome.overlays[0], "JPEG")}" alt="saliency">',
        "saliency2": f'<img src="{_source(outcome.overlays[1], "JPEG")}" alt="saliency">',
        "ratio": f"ratio {made.ratio:.3f}",
        "moves": _moves_told(made),
        "terms": rows,
        "call": html.escape(outcome.call),
    }


class Server(socketserver.ThreadingTCPServer):
    """Answers the page. ``port`` 0 takes a free one; ``url`` says which.

    Raises:
        OSError: the address cannot be had.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        kind = socket.SOCK_STREAM
        self.address_family, _, _, _, address = socket.getaddrinfo(host, port, type=kind)[0]
        self._saliencies = saliencies()
        self._pictures = {
            name: _square((files("skimage") / "data" / file).read_bytes())
            for name, file in PHOTOGRAPHS.items()
        }
        self._lock = threading.Lock()
        self._saliency = lru_cache(maxsize=2 * KEPT)(self._look)
        self.page = _page(list(self._pictures), list(self._saliencies)).encode()
        super().__init__((str(address[0]), int(address[1])), _Handler)
        where = f"[{host}]" if ":" in host else host
        self.url = f"http://{where}:{self.server_address[1]}/"

    def add(self, data: bytes) -> dict[str, str]:
        """Keep an uploaded picture; returns the name by which it can be mixed."""
        name = hashlib.sha256(data).hexdigest()[:16]
        picture = _square(data)
        with self._lock:
            self._pictures[name] = picture
            if len(self._pictures) > len(PHOTOGRAPHS) + KEPT:
                del self._pictures[list(self._pictures)[len(PHOTOGRAPHS)]]
        return {"name": name}

    def thumbnail(self, name: str) -> bytes:
        """The picture as the mix sees it, JPEG."""
        return _encoded(self._pictures[name], "JPEG")

    def answer(self, data: bytes) -> dict[str, str]:
        """Settings, names of pictures and of a saliency, as JSON, to the parts of the page."""
        given = json.loads(data)
        if not isinstance(given, dict):
            raise TypeError(f"expected an object, got {type(given).__name__}")
        names, kind = given.pop("pictures"), given.pop("saliency")
        if given.get("transport") == "none":
            given["transport"] = None
        # One lock for all: the network's gradient is not to be taken twice at once.
        with self._lock:
            first, second = names
            pictures = self._pictures[first], self._pictures[second]
            planes = self._saliency(first, kind), self._saliency(second, kind)
        return draw(solve(Settings(**given), pictures, planes))

    def _look(self, name: str, kind: str) -> Array:
        saliency = self._saliencies[kind](_image(self._pictures[name], SIDE))[0]
        return saliency.float().numpy()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no fault."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """GET the page or a picture, POST a picture or settings."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else headers and body are 40 ms apart
    server: Server

    def do_GET(self) -> None:
        name = self.path.removeprefix("/picture/")
        if self.path == "/":
            self._send(200, "text/html; charset=utf-8", self.server.page)
        elif name in self.server._pictures:
            self._send(200, "image/jpeg", self.server.thumbnail(name))
        else:
            self._tell(404, {"error": "there is no such page"})

    def do_POST(self) -> None:
        act = {"/picture": self.server.add, "/mix": self.server.answer}.get(self.path)
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST:
            self.close_connection = True  # what it sends is not read
            self._tell(413, {"error": f"more than {LARGEST >> 20} MB"})
            return
        data = self.rfile.read(int(length))
        if act is None:
            self._tell(404, {"error": "there is no such page"})
            return
        try:
            self._tell(200, act(data))
        except KeyError as error:
            self._tell(400, {"error": f"unknown: {error}; choose the picture again"})
        except (TypeError, ValueError, RecursionError) as error:
            self._tell(400, {"error": " ".join(str(error).split())})

    def _tell(self, status: int, answer: dict[str, str]) -> None:
        self._send(status, "application/json", json.dumps(answer).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        # The browser itself sees to it that the page asks no other host.
        self.send_header(
            "Content-Security-Policy",
            "default-src 'self'; img-src 'self' data:; "
            "style-src 'unsafe-inline'; script-src 'unsafe-inline'",
        )
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads a line a request."""


def serve(host: str, port: int, *, browser: bool) -> None:
    """Serve the page until interrupted.

    Raises:
        OSError: the address cannot be had.
    """
    with Server(host, port) as server:
        print(f"Puzzle Mix is at {server.url} (Ctrl-C ends it)", flush=True)
        if browser:
            webbrowser.open(server.url)
        server.serve_forever()


_SOLVERS = ("grid", "cycles", "cut", "transport")
"""Settings that the objective doesn't have."""


def _square(data: bytes) -> NDArray[np.uint8]:
    return read_square(io.BytesIO(data), SIDE)


def _side(grid: int, side: int) -> int:
    """The multiple of the grid nearest to the side; what is no grid is left to the library."""
    if not isinstance(grid, int) or not 0 < grid <= 2 * side:
        return side
    return grid * max(round(side / grid), 1)


def _image(pixels: NDArray[np.uint8], side: int) -> Tensor:
    """[1, 3, side, side] in [0, 1]."""
    image = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]
    return _resized(image, side).contiguous()


def _resized(planes: Tensor, side: int) -> Tensor:
    if planes.shape[-1] == side:
        return planes
    return F.interpolate(planes, (side, side), mode="bilinear", antialias=True)


def _pixels(images: Tensor) -> Array:
    pixels: Array = images[0].permute(1, 2, 0).numpy()
    return pixels


def _heat(image: Tensor, saliency: Tensor, grid: int) -> Array:
    blocks = F.avg_pool2d(saliency, saliency.shape[-1] // grid)[0].numpy()
    pixels = _pixels(image)
    return overlay(pixels, enlarged(blocks, pixels.shape))


def _call(settings: Settings) -> str:
    known = inspect.signature(puzzle_mix).parameters
    given = asdict(settings)
    options = [
        f"{name}={given[name]!r}"
        for name in known
        if name in given and name != "lam" and given[name] != known[name].default
    ]
    arguments = ["x1", "x2", "saliency1", "saliency2", repr(settings.lam), *options]
    return f"puzzle_mix({', '.join(arguments)})"


def _moved(made: Mix, image: int) -> str:
    """A picture with its blocks moved, faint where it is not seen, and an arrow for each move."""
    pixels = made.parts[image]
    share = made.mask if image == 0 else 1 - made.mask
    weight = 0.1 + 0.9 * enlarged(share, pixels.shape)[..., None]
    shown = _source(weight * pixels + (1 - weight), "JPEG")
    size, color = len(pixels), (FIRST, SECOND)[image]
    path = _arrows(made, image, size)
    return (
        f'<svg viewBox="0 0 {size} {size}" role="img" aria-label="moved blocks">'
        f'<image href="{shown}" width="{size}" height="{size}"/>'
        f'<g fill="none"><path d="{path}" stroke="white" stroke-width="3.4"/>'
        f'<path class="arrows" d="{path}" stroke="{color}" stroke-width="1.5"/></g></svg>'
    )


def _moves_told(made: Mix) -> str:
    told = moved_blocks(made)
    some = any(len(arrows(made, image)) < len(moves(made, image)) for image in range(2))
    return f"{told}; some arrows" if some else told


def _arrows(made: Mix, image: int, size: int) -> str:
    """A line and its head for each block that moved, as the d of an SVG path."""
    pairs = np.array(arrows(made, image)).reshape(-1, 2)
    if not len(pairs) or made.sources is None:
        return ""
    columns = made.sources[image].shape[1]
    block = size / columns
    ends = np.stack((pairs % columns, pairs // columns), 2) * block + block / 2  # [N, 2, (x, y)]
    tail, tip = ends[:, 0], ends[:, 1]
    along = (tip - tail) / np.linalg.norm(tip - tail, axis=1, keepdims=True)
    across = along[:, ::-1] * (1, -1)
    head = min(5, 0.6 * block)
    sides = [tip - head * along + side * 0.6 * head * across for side in (-1, 1)]
    corners = np.concatenate((tail, tip, sides[0], tip, sides[1]), 1)
    return "".join(
        "M{:.1f} {:.1f}L{:.1f} {:.1f}M{:.1f} {:.1f}L{:.1f} {:.1f}L{:.1f} {:.1f}".format(*row)
        for row in corners
    )


def _mask(made: Mix) -> str:
    size = len(made.mask)
    shown = _source(MASK(made.mask)[..., :3])
    lines = "".join(f"M0 {k}H{size}M{k} 0V{size}" for k in range(1, size))
    return (
        f'<svg viewBox="0 0 {size} {size}" role="img" aria-label="the mask">'
        f'<image href="{shown}" width="{size}" height="{size}"/>'
        f'<path d="{lines}" stroke="white" stroke-opacity="0.6" stroke-width="{size / 600}"/></svg>'
    )


def _source(pixels: Array, kind: str = "PNG") -> str:
    """A picture [Y, X, 3] in [0, 1] as a data URL: PNG is exact, JPEG quick."""
    data = _encoded((255 * pixels.clip(0, 1) + 0.5).astype(np.uint8), kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data).decode()}"


def _encoded(pixels: NDArray[np.uint8], kind: str) -> bytes:
    file = io.BytesIO()
    options = {"compress_level": 1} if kind == "PNG" else {"quality": 90}
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def _page(photographs: list[str], kinds: list[str]) -> str:
    """play.html with the controls in it."""
    start: dict[str, Any] = asdict(Settings())
    sliders = "".join(
        f'<div class="setting"><label>{slider.label}<output name="{slider.name}-value"></output>'
        f'<input type="range" name="{slider.name}" min="{slider.least}" max="{slider.most}" '
        f'step="{slider.step}" value="{start[slider.name]}"></label>{_help(slider.name)}</div>'
        for slider in SLIDERS
    )
    selects = "".join(
        f'<div class="choice"><label>{name}{_select(name, choices, start[name])}</label>'
        f"{_help(name)}</div>"
        for name, choices in SELECTS.items()
    )
    selects += f"<label>saliency{_select('saliency', tuple(kinds), kinds[0])}</label>"
    inputs = "".join(
        f'<div class="input"><img alt="" class="frame{number}">'
        f"{_select(f'picture{number}', tuple(photographs), chosen)}"
        f'<label class="upload">Upload<input type="file" accept="image/*"></label></div>'
        for number, chosen in ((1, "chelsea"), (2, "coffee"))
    )
    colors = {"first": FIRST, "both": BOTH, "second": SECOND, "ink": INK, "quiet": QUIET}
    colors["faint"] = FAINT
    page = (files("puzzlemix.demo") / "play.html").read_text(encoding="utf-8")
    page = page.replace("/* colors */", "".join(f"--{k}: {v};" for k, v in colors.items()))
    return page.replace("<!-- controls -->", f"{inputs}{sliders}{selects}")


def _help(name: str) -> str:
    text = html.escape(f"{HELP[name][0].upper()}{HELP[name][1:]}.")
    return f'<details><summary aria-label="about {name}">?</summary>{text}</details>'


def _select(name: str, choices: tuple[str, ...], chosen: str) -> str:
    options = "".join(
        f'<option value="{choice}"{" selected" * (choice == chosen)}>{shown_name(choice)}</option>'
        for choice in choices
    )
    label = name if not name.startswith("picture") else f"picture {name[-1]}"
    return f'<select name="{name}" aria-label="{label}">{options}</select>'
