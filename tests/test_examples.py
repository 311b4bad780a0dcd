"""Every example runs, leaves its files, and goes on from a checkpoint as if never interrupted."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import subprocess
import sys
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import puzzlemix

ROOT = Path(puzzlemix.__file__).parent.parent
EXAMPLES = Path(__file__).parent.parent / "examples"
TINY = ("--smoke", "--limit", "64", "--batch-size", "16")


def run(*args: str | Path, processes: int = 0) -> subprocess.CompletedProcess[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    with subprocess.Popen(
        [sys.executable, *(launcher if processes else ()), *map(str, args)],
        cwd=EXAMPLES,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            out, error = process.communicate(timeout=400)
        except subprocess.TimeoutExpired:
            process.terminate()  # a launcher ends its processes, given the time
            try:
                process.communicate(timeout=30)
            finally:
                process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def succeed(*args: str | Path, processes: int = 0) -> str:
    done = run(*args, processes=processes)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def log(out: Path) -> list[dict[str, str]]:
    with (out / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def loop() -> ModuleType:
    """examples/loop.py, which imports nothing beside it."""
    spec = importlib.util.spec_from_file_location("examples_loop", EXAMPLES / "loop.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def check_outputs(out: Path, epochs: int, checkpoint: str = "checkpoint.pt") -> None:
    rows = log(out)
    assert [row["epoch"] for row in rows] == [str(i + 1) for i in range(epochs)]
    for row in rows:
        assert list(row) == ["epoch", "lr", "loss", "top1_error", "top5_error"]
        assert np.isfinite(float(row["loss"]))
        assert 0 <= float(row["top5_error"]) <= float(row["top1_error"]) <= 100
    assert (out / checkpoint).stat().st_size > 0
    assert not list(out.glob("*.tmp"))


def check_resuming(tmp_path: Path, *args: str, processes: int = 0, checkpoint: str) -> None:
    """Two epochs at once, and one and one."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    with ThreadPoolExecutor() as pool:
        at_once = pool.submit(succeed, *args, "--out", whole, processes=processes)
        succeed(*args, "--out", parts, "--stop-after", "1", processes=processes)
        check_outputs(parts, 1, checkpoint)
        succeed(*args, "--out", parts, "--resume", processes=processes)
        at_once.result()
    check_outputs(whole, 2, checkpoint)
    assert (parts / "log.csv").read_bytes() == (whole / "log.csv").read_bytes()


def test_cifar_with_any_mixer(tmp_path):
    """All in one process: most of the time of each would be that of importing PyTorch."""
    runs = {
        "none": (),
        "mixup": ("--net", "preactresnet18", "--limit", "4", "--batch-size", "2"),
        "manifold": (),
        "cutmix": ("--clean-weight", "1"),
        "cutout": ("--schedule", "step"),
        "puzzle": ("--saliency", "half", "--adversarial-prob", "0.5"),
    }
    argvs = [
        [*TINY, "--out", str(tmp_path / mixer), "--mixer", mixer, *options]
        for mixer, options in runs.items()
    ]
    program = f"from train_cifar import main\nfor argv in {argvs!r}:\n    main(argv)"
    assert succeed("-c", program).count("epoch 2: loss") == len(runs)
    for mixer in runs:
        check_outputs(tmp_path / mixer, 2)


def test_cifar_by_saliency_made_beforehand(tmp_path):
    """Without a network, and by the one that a run has trained; it resumes as any."""
    by_none, plain, by_net = (str(tmp_path / name) for name in ("none", "plain", "net"))
    made = (*TINY, "--mixer", "puzzle", "--saliency", "precomputed")
    program = f"""
from train_cifar import main
main([*{TINY!r}, "--mixer", "none", "--out", {plain!r}])
main([*{made!r}, "--out", {by_none!r}])
main([*{made!r}, "--out", {by_net!r}, "--saliency-net", {plain!r} + "/checkpoint.pt"])
"""
    succeed("-c", program)
    stored = []
    for out in (by_none, by_net):
        check_outputs(Path(out), 2)
        with np.load(Path(out) / "saliency.npz") as file:
            stored.append(file["maps"])
    assert stored[0].shape == stored[1].shape
    assert not np.array_equal(*stored)
    check_resuming(tmp_path, "train_cifar.py", *made, checkpoint="checkpoint.pt")


def test_maps_are_moved_with_their_images():
    spec = importlib.util.spec_from_file_location("examples_data", EXAMPLES / "data.py")
    data = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(data)
    images = torch.rand(20, 3, 32, 32)
    draws = torch.Generator().manual_seed(0)
    moved, maps = loop().augmented(data.crop_and_flip, images, images.mean(1), draws)
    torch.testing.assert_close(maps, moved.mean(1))
    assert not torch.equal(moved, images)
    alone, none = loop().augmented(data.crop_and_flip, images, None, draws.manual_seed(0))
    assert torch.equal(alone, moved)
    assert none is None


def test_cifar_resumes(tmp_path):
    options = (*TINY, "--mixer", "puzzle", "--clean-weight", "1", "--adversarial-prob", "0.3")
    check_resuming(tmp_path, "train_cifar.py", *options, checkpoint="checkpoint.pt")
    if importlib.util.find_spec("matplotlib"):
        assert (tmp_path / "parts" / "curves.png").read_bytes().startswith(b"\x89PNG")
    checkpoint = tmp_path / "parts" / "checkpoint.pt"
    assert len(loop().load_checkpoint(checkpoint, {"lr": 0.05})["rows"]) == 2
    with pytest.raises(ValueError, match=r"lr: expected 0.05, as in .*, got 0.3"):
        loop().load_checkpoint(checkpoint, {"lr": 0.3})


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "file"
    loop().replace_file(path, b"old")

    def fail(descriptor):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        loop().replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


KILLED = """
import io, itertools, os, resource, shutil, signal, sys
from pathlib import Path

import torch
from torch import nn

import loop

g = loop.seeded(0, "data")
data = loop.Data(
    torch.rand(32, 3, 8, 8, generator=g), torch.arange(32) % 10,
    torch.rand(8, 3, 8, 8, generator=g), torch.arange(8), 10,
)
settings = loop.Settings(epochs=2, batch_size=16)
saves = {f.__code__ for f in (loop.replace_file, loop.save_checkpoint, loop.write_csv)}

def train(out, resume=False, **options):
    loop.start(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 32), nn.BatchNorm1d(32), nn.Linear(32, 10))
    mixer = loop.make_mixer("mixup", model, 10, generator=loop.seeded(0, "mixer"))
    loop.train(model, data, mixer, settings, out=out, resume=resume, quiet=True, **options)
    return b"".join(value.numpy().tobytes() for value in model.state_dict().values())

def in_fork(run):
    child = os.fork()
    if child == 0:
        try:
            run()
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def die():
    os.kill(os.getpid(), signal.SIGKILL)

# Train, and be killed before that line of all that the saving functions run through in the second
# epoch.
def killed_at(line, out):
    lines = itertools.count()
    def trace(frame, event, argument):
        if frame.f_code not in saves:
            return None
        if event == "line" and next(lines) == line:
            die()
        return trace
    train(out, after_epoch=lambda row: sys.settrace(trace))

# Train, and be killed when the second checkpoint is written in part.
def killed_inside_write(part, out):
    class Cut(io.FileIO):
        def write(self, content):
            super().write(content[: int(part * len(content))])
            die()
    class Place(type(Path())):
        def open(self, mode):
            second = self.name.startswith("checkpoint.pt") and (out / "checkpoint.pt").exists()
            return Cut(str(self), mode) if second else super().open(mode)
    train(Place(out))

# Train, with room for the log alone in the second epoch.
def disk_full(out):
    limit = lambda row: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    try:
        train(out, after_epoch=limit)
    except OSError:
        return
    raise AssertionError("there was room")

def check(name, run, *args, status=-signal.SIGKILL):
    out = folder / "killed"
    shutil.rmtree(out, ignore_errors=True)
    ended = in_fork(lambda: run(*args, out))
    if ended == 0 and status != 0:
        return False
    assert ended == status, (name, args, ended)
    def resume():
        assert train(out, resume=True) == expected, "other weights"
        assert (out / "log.csv").read_bytes() == (folder / "whole" / "log.csv").read_bytes()
        assert sorted(file.name for file in out.iterdir()) == ["checkpoint.pt", "log.csv"]
    assert in_fork(resume) == 0, (name, args)
    return True

torch.set_num_threads(1)
loop.plot = lambda path, rows: None
folder = Path(sys.argv[1])
expected = train(folder / "whole")
killed = 0
while check("line", killed_at, killed):
    killed += 1
assert killed > 25, killed
for part in (0, 0.5, 1):
    check("write", killed_inside_write, part)
check("disk", disk_full, status=0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks, kills and sets limits as on Linux")
def test_a_run_that_is_killed_anywhere_resumes(tmp_path):
    """At every line of what saves, inside a write, and where the disk is full."""
    succeed("-c", KILLED, tmp_path)


def test_processes_resume(tmp_path):
    if not torch.distributed.is_available():
        pytest.skip("this PyTorch has no torch.distributed")
    args = ("train_ddp.py", *TINY)
    check_resuming(tmp_path, *args, processes=2, checkpoint="checkpoint.pt")


def test_timm_resumes(tmp_path):
    args = ("train_timm.py", *TINY, "--mixer", "puzzle", "--mixup-off-epoch", "1")
    check_resuming(tmp_path, *args, checkpoint="checkpoint.pt")


def test_lightning_resumes(tmp_path):
    if importlib.util.find_spec("lightning") is None:
        done = run("train_lightning.py", "--smoke", "--out", tmp_path)
        assert done.returncode != 0
        assert "pip install lightning" in done.stderr
        pytest.skip("lightning is not installed")
    check_resuming(tmp_path, "train_lightning.py", *TINY, checkpoint="last.ckpt")


def test_speech(tmp_path):
    succeed("train_speech.py", *TINY, "--out", tmp_path)
    check_outputs(tmp_path, 2)


def test_speech_reads_recordings(tmp_path):
    rng = np.random.default_rng(0)
    for digit in range(10):
        for take in (0, 5, 6):
            with wave.open(str(tmp_path / f"{digit}_someone_{take}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(8000)
                file.writeframes(rng.integers(-999, 999, 3000 + take, dtype=np.int16).tobytes())
    out = tmp_path / "out"
    succeed("train_speech.py", "--smoke", "--data", tmp_path, "--out", out, "--epochs", "1")
    check_outputs(out, 1)


def test_classic_augmentations(tmp_path):
    pytest.importorskip("kornia")
    succeed("augment.py", *TINY, "--mixer", "cutmix", "--out", tmp_path)
    check_outputs(tmp_path, 2)
    if importlib.util.find_spec("matplotlib"):
        assert (tmp_path / "augmented.png").read_bytes().startswith(b"\x89PNG")


def test_auto_augment_resumes(tmp_path):
    if importlib.util.find_spec("kornia") is None:
        done = run("augment.py", *TINY, "--out", tmp_path)
        assert done.returncode != 0
        assert "pip install kornia" in done.stderr
        pytest.skip("kornia is not installed")
    args = ("augment.py", *TINY, "--auto", "--mixer", "mixup")
    check_resuming(tmp_path, *args, checkpoint="checkpoint.pt")


def test_every_example_has_a_command():
    text = (EXAMPLES / "README.md").read_text()
    named = set(re.findall(r"examples/(\w+\.py)", text))
    runnable = {file.name for file in EXAMPLES.glob("*.py") if "__main__" in file.read_text()}
    assert named == runnable


def test_the_notebook_runs_as_printed(capsys, tmp_path, monkeypatch):
    """All its cells in one process, in order; what is kept of it has no output of an older run."""
    plots = pytest.importorskip("matplotlib.pyplot")
    pytest.importorskip("skimage")
    monkeypatch.setattr("urllib.request.urlopen", lambda *_: pytest.fail("a download"))
    monkeypatch.chdir(tmp_path)
    plots.switch_backend("agg")
    cells = json.loads((EXAMPLES / "first_hour.ipynb").read_text())["cells"]
    assert len(cells) <= 25
    names: dict[str, object] = {}
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    assert len(plots.get_fignums()) == 6
    plots.close("all")
    out = capsys.readouterr().out
    assert 0.3 < names["mixed"].ratio.item() < 0.7
    assert int(re.search(r"moved (\d+) blocks", out)[1]) > 10
    right = [int(share) for share in re.findall(r"(\d+)% of the pictures right", out)]
    assert len(right) == 12
    assert min(max(right[:6]), max(right[6:])) > 80  # both ways to train learn it
    links = re.findall(r"\]\(\.\./([^)]+)\)", "".join("".join(cell["source"]) for cell in cells))
    assert links
    assert all((EXAMPLES.parent / link).is_file() for link in links)
