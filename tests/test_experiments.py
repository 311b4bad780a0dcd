"""The lecture's tables: what they measure, how runs go on where they stopped, and the pages."""

from __future__ import annotations

import io
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import puzzlemix
from experiments import (
    choices,
    conditions,
    corruption,
    localisation,
    ood,
    report,
    robustness,
    saliency,
    short,
    speed,
)
from experiments.__main__ import TABLES, main
from experiments.examples import data, loop, nets
from experiments.lab import Case, Lab, OutOfTimeError, Task, Trained
from experiments.methods import CLEAN, HALF, MANIFOLD, PUZZLE, VANILLA, class_activation
from experiments.sizes import SHORT
from experiments.tasks import cifar, tiny_imagenet

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def deterministic() -> Iterator[None]:
    """Training asks for deterministic algorithms, for good."""
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(None, tmp_path / "work", tmp_path / "out", "smoke", range(1), quiet=True)


def test_the_tested_package_stays() -> None:
    assert sys.modules["puzzlemix"] is puzzlemix


# Detection


def brute_force(inside: list[float], outside: list[float]) -> list[float]:
    pairs = [(a > b) + (a == b) / 2 for a in inside for b in outside]
    rates = [
        (np.mean([a >= at for a in inside]), np.mean([b < at for b in outside]))
        for at in {*inside, *outside}
    ]
    tnr = max(negative for positive, negative in rates if positive >= 0.95)
    return [100 * tnr, 100 * np.mean(pairs), 100 * max(map(np.mean, rates))]


@pytest.mark.parametrize("digits", [1, 6])
@pytest.mark.parametrize("shift", [-0.3, 0.0, 0.3])
def test_scores_are_those_of_all_pairs_and_thresholds(digits: int, shift: float) -> None:
    rng = torch.Generator().manual_seed(0)
    inside = (torch.rand(60, generator=rng, dtype=torch.float64) + shift).round(decimals=digits)
    outside = torch.rand(40, generator=rng, dtype=torch.float64).round(decimals=digits)
    found = ood.scores(inside, outside)
    assert list(found) == ood.COLUMNS
    expected = brute_force(inside.tolist(), outside.tolist())
    assert list(found.values()) == pytest.approx(expected, abs=1e-9)


def test_scores_of_what_can_be_told_apart_and_what_cannot() -> None:
    low, high = torch.linspace(0, 0.4, 50), torch.linspace(0.6, 1, 50)
    assert list(ood.scores(high, low).values()) == [100, 100, 100]
    constant = torch.ones(50)
    assert list(ood.scores(constant, constant).values()) == [0, 50, 50]


# Attacks


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nets.SmallNet(10, 4, stride=2).eval()


@pytest.mark.parametrize("steps", [1, 10])
def test_attacks_stay_in_the_ball_and_raise_the_loss(network: nn.Module, steps: int) -> None:
    images, labels = torch.rand(16, 3, 32, 32), torch.arange(16) % 10
    images[:, :, :4] = 0
    images[:, :, 4:8] = 1
    eps = 8 / 255
    changed = robustness.attack(network, images, labels, eps, steps)
    assert (changed - images).abs().max() <= eps + 1e-6
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert not changed.requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())
    with torch.no_grad():
        before, after = (
            F.cross_entropy(network(x), labels, reduction="none") for x in (images, changed)
        )
    assert (after > before).all()


def test_more_steps_deceive_more(network: nn.Module) -> None:
    images, labels = torch.rand(32, 3, 32, 32), torch.arange(32) % 10
    changed = [robustness.attack(network, images, labels, 0.1, steps) for steps in (1, 10)]
    with torch.no_grad():
        losses = [float(F.cross_entropy(network(each), labels)) for each in changed]
    assert losses[0] < losses[1]


def test_one_step_against_a_linear_network_is_known() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[1.0, -1.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))
    images = torch.full((1, 1, 2, 2), 0.5)
    changed = robustness.attack(model, images, torch.tensor([0]), 0.125)
    assert (changed - images).flatten().tolist() == [-0.125, 0.125, -0.125, 0.0]


# Localisation


def test_the_box_is_that_of_the_largest_part() -> None:
    maps = torch.zeros(4, 12, 16)
    maps[0, 1:4, 1:4] = 1.0  # 9 pixels, though the strongest
    maps[0, 6:10, 8:15] = 0.3
    maps[0, 0, 15] = 0.19  # below the threshold
    maps[1, 2:4, 3:5] = maps[1, 4:6, 5:7] = 1.0  # two that touch at a corner are one
    maps[1, 9:11, 9:12] = 1.0
    maps[2, 1:3, 1:3] = maps[2, 6:8, 6:8] = 1.0  # of equals the first
    maps[3] = 1.0
    boxes = localisation.largest_boxes(maps)
    assert boxes.tolist() == [[8, 6, 14, 9], [3, 2, 6, 5], [1, 1, 2, 2], [0, 0, 15, 11]]


def test_a_winding_part_is_one() -> None:
    spiral = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 0, 0, 1], [1, 1, 1, 0, 1], [1, 0, 0, 0, 1],
                           [1, 1, 1, 1, 1]]).float()  # fmt: skip
    assert localisation.largest_boxes(spiral[None]).tolist() == [[0, 0, 4, 4]]


def test_overlap() -> None:
    boxes = torch.tensor([[0, 0, 9, 9], [0, 0, 9, 9], [0, 0, 4, 4]])
    others = torch.tensor([[0, 0, 9, 9], [5, 0, 14, 9], [5, 5, 9, 9]])
    assert localisation.overlap(boxes, others).tolist() == pytest.approx([1, 1 / 3, 0])


class Looks(nn.Module):
    """Its features are the images, and its classes weigh their channels."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 2)
        self.head.weight.data = torch.tensor([[1.0, 0.0], [0.0, -1.0]])

    def features(self, images: Tensor) -> Tensor:
        return images


def test_the_activation_map_is_the_label_s() -> None:
    images = torch.rand(2, 2, 8, 8)
    model = Looks().train()
    maps = class_activation(model, images, torch.tensor([0, 1]))
    assert model.training
    for found, seen in zip(maps, (images[0, 0], -images[1, 1]), strict=True):
        torch.testing.assert_close(found, (seen - seen.min()) / (seen.max() - seen.min()))


@pytest.mark.parametrize("name", sorted(nets.NETS))
def test_maps_explain_the_outputs(name: str) -> None:
    model = nets.NETS[name](5, 4, stride=2, dropout=0.5).eval()
    images = torch.rand(3, 3, 32, 32)
    with torch.inference_mode():
        maps = torch.einsum("nchw,kc->nkhw", model.features(images), model.head.weight)
        torch.testing.assert_close(maps.mean((2, 3)) + model.head.bias, model(images))


# Corruption


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_exactly_the_share_gets_another_label(share: float) -> None:
    labels = torch.arange(1000) % 10
    wrong = corruption.corrupt(labels, share, 10, seed=0)
    assert int((wrong != labels).sum()) == round(1000 * share)
    assert set(wrong.tolist()) == set(range(10))
    assert torch.equal(wrong, corruption.corrupt(labels, share, 10, seed=0))
    assert not torch.equal(wrong, corruption.corrupt(labels, share, 10, seed=1))
    # All nine others, about as often.
    assert ((wrong - labels) % 10).bincount()[1:].min() > 1000 * share / 9 / 2


def test_training_errors_are_told_apart() -> None:
    real = torch.tensor([0, 0, 1, 1])
    labels = torch.tensor([0, 1, 1, 0])
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    model[1].weight.data = torch.eye(2)
    images = F.one_hot(real, 2).float().view(4, 1, 1, 2)
    seen = loop.Data(images, labels, images, real, num_classes=2)
    rows = [{"top1_error": error} for error in (30.0, 20.0, 25.0)]
    found = corruption.errors(real, Trained(model, seen, rows, 0.0, 0.0))
    assert list(found.values()) == [20.0, 25.0, 0.0, 100.0]


# Runs


class Cut(Lab):
    """A lab in which the power fails after the first epoch."""

    def bar(self, iterable: Any = None, **options: Any) -> Any:
        bar = super().bar(iterable, **options)
        if options.get("unit") == "epoch":
            bar.update = fail
        return bar


def last_loss(trained: Trained) -> dict[str, float]:
    return {"loss": trained.rows[-1]["loss"]}


def fail(count: int) -> None:
    if count == 1:
        raise KeyboardInterrupt


def test_a_run_that_was_cut_off_ends_in_the_same_numbers(lab: Lab, tmp_path: Path) -> None:
    def numbers(lab: Lab) -> tuple[Any, Any, list[Tensor]]:
        task = cifar(lab, lab.size.cifar)
        cases = [Case([method.name], task, method) for method in (VANILLA, CLEAN)]
        rows, _ = lab.survey("errors", cases, last_loss, {})
        trained = lab.trained(task, CLEAN, 0)
        return rows, trained.rows, list(trained.model.state_dict().values())

    cut = Cut(None, tmp_path / "cut", lab.out, "smoke", range(1), quiet=True)
    for _ in range(2):  # in the first row, and in the second
        with pytest.raises(KeyboardInterrupt):
            numbers(cut)
    there = replace(lab, work=cut.work)
    assert len(list(there.work.rglob("errors.json"))) == 1
    rows, epochs, state = numbers(lab)
    other_rows, other_epochs, other_state = numbers(there)
    assert rows == other_rows
    assert epochs == other_epochs
    assert all(map(torch.equal, state, other_state))


def test_what_was_measured_is_read(lab: Lab) -> None:
    task = cifar(lab, lab.size.cifar)
    first = lab.measured("number", task, VANILLA, 0, lambda trained: {"a": 1.0})
    assert first.seconds > 0
    assert lab.measured("number", task, VANILLA, 0, lambda trained: {"a": 2.0}) == first


def test_other_settings_are_another_run(lab: Lab) -> None:
    task = cifar(lab, lab.size.cifar)
    longer = cifar(lab, replace(lab.size.cifar, epochs=3))
    folders = {lab.folder(each, VANILLA, seed) for each in (task, longer) for seed in (0, 1)}
    folders |= {lab.folder(task, replace(VANILLA, dropout=0.5), 0)}
    assert len(folders) == 5


def test_half_is_half_the_epochs(lab: Lab) -> None:
    task = cifar(lab, lab.size.cifar)
    whole, half = (lab.trained(task, method, 0) for method in (PUZZLE, HALF))
    assert (len(whole.rows), len(half.rows)) == (2, 1)
    assert not whole.model.training


def test_further_cycles_only_lower_the_objective(lab: Lab) -> None:
    task = cifar(lab, lab.size.cifar)
    found = choices.mixes(lab.trained(task, VANILLA, 0), count=16)
    for weights in choices.WEIGHTS:
        one, two, three = (
            found[f"{weights}, {name}, objective"]
            for name in (", ".join(choices.PUBLISHED[:2]), "cycles, 2", "cycles, 3")
        )
        assert three <= two <= one
        assert 0 <= found[f"{weights}, changed by cycle 3, %"] <= 100
        names = {f"{weights}, {of}, {value}, {column}" for of, value, *_ in choices.CHOICES
                 for column in choices.COLUMNS}  # fmt: skip
        assert names < set(found)
        none = f"{weights}, saliency, uniform, that is none, {choices.KEPT}"
        assert found[none] == 0


def test_the_gradient_keeps_most_of_itself(lab: Lab) -> None:
    task = cifar(lab, lab.size.cifar)
    kept = saliency.kept(lab.trained(task, VANILLA, 0), count=32)
    assert set(kept) == set(saliency.KINDS | saliency.SETTINGS)
    assert kept[saliency.UNIFORM] == 0
    assert kept["gradient"] > max(0, kept["spectral residual"])
    # Moving costs less, and blocks are held less to lambda: more is shown.
    assert kept["gradient, ξ 0.05, η 0.05"] > kept["gradient"]


# Minutes


def test_a_run_that_is_out_of_time_goes_on(lab: Lab, tmp_path: Path) -> None:
    task = cifar(lab, lab.size.cifar)
    cases = [Case([method.name], task, method) for method in (VANILLA, PUZZLE)]
    whole = lab.survey("errors", cases, last_loss, {})
    late = replace(lab, work=tmp_path / "late", until=0.0)
    nothing = late.survey("errors", cases, last_loss, {})
    assert [row.values for row in nothing.rows] == [{}, {}]
    with pytest.raises(OutOfTimeError):
        late.trained(task, VANILLA, 0)

    class Once(Lab):
        """Out of time after the first epoch."""

        @property
        def is_out_of_time(self) -> bool:
            return any(self.work.rglob("seconds.json"))

    for size in ("smoke", "gpu-smoke"):  # saved after every epoch, and after ten
        once = Once(None, tmp_path / "once", lab.out, size, range(1), quiet=True)
        given = cifar(once, lab.size.cifar)
        with pytest.raises(OutOfTimeError):
            once.trained(given, VANILLA, 0)
        log = once.folder(given, VANILLA, 0) / "log.csv"
        assert len(log.read_text().splitlines()) == 2
        log.with_name("seconds.json").unlink()
        later = Lab(None, once.work, lab.out, size, range(1), quiet=True)
        rows = later.survey("errors", [cases[0]._replace(task=given)], last_loss, {}).rows
        assert rows[0].values == whole.rows[0].values
        shutil.rmtree(once.work)


@pytest.mark.parametrize("name", TABLES)
def test_any_table_without_time(lab: Lab, name: str) -> None:
    """It tells what there is, or that there is nothing."""
    try:
        table = TABLES[name](replace(lab, until=0.0))
    except OutOfTimeError:
        return
    page = report.markdown(table, name)
    report.figure(table)
    assert "(not yet)" in page or name in ("toy", "localisation")


def test_what_fits() -> None:
    recipe = replace(SHORT, train=5120, epochs=10)
    task = Task("data", recipe, lambda seed: None, lambda classes, method: None)
    cases = [Case([method.name], task, method) for method in (VANILLA, PUZZLE, HALF)]
    steps = [speed.Step(0.01, 1.0), speed.Step(0.02, 2.0), speed.Step(0.02, 2.0)]
    told = speed.estimate(cases, steps, 5120, 2)
    # 10 steps an epoch: 1 + 2 + 1 seconds for all epochs.
    assert "10 steps an epoch" in told
    assert re.search(r"Puzzle Mix +20.00 +2.00 +25,600", told)
    assert "10 epochs take 0.1 minutes" in told
    assert "2 minutes: 300 epochs of one seed, or 30.0 seeds of 10 epochs" in told


def test_steps_are_timed_by_every_method(lab: Lab) -> None:
    task = cifar(lab, lab.size.cifar)
    cases = [Case([name], task, method) for name, method in short.METHODS.items()]
    steps = speed.steps(replace(lab, size_name="gpu-smoke"), cases, rounds=1)
    assert len(steps) == len(cases) == 16
    assert steps[0].of_plain == 1
    assert all(step.seconds > 0 for step in steps)


def test_what_mixes_between_layers_is_not_compiled(lab: Lab) -> None:
    task = cifar(lab, lab.size.cifar)
    compiling = replace(lab, compiles=True)
    compiled = [
        compiling.start(task, method, 0).model._compiled_call_impl is not None
        for method in (VANILLA, PUZZLE, MANIFOLD)
    ]
    assert compiled == [True, True, False]


def test_one_network_a_condition(lab: Lab) -> None:
    tasks = conditions.tasks(lab)
    folders = {lab.folder(task, VANILLA, 0) for task in tasks.values()}
    assert len(folders) == len(tasks) == 5
    cropped = [task.recipe.crop_and_flip for task in tasks.values()]
    assert cropped == [False, True, False, False, True]


# Data


def test_scenes_without_data_have_boxes(lab: Lab) -> None:
    scenes = tiny_imagenet(lab)
    test = scenes.task.data(0).test
    assert test.shape[1:] == (3, 64, 64)
    sides = scenes.boxes[:, 2:] - scenes.boxes[:, :2] + 1
    assert (sides == 32).all()
    assert len(test) == len(scenes.boxes) == len(scenes.labels)


def test_tiny_imagenet_of_both_layouts(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wnids, names = ["n01", "n02", "n03"], ["first", "second", "third"]
    published = tmp_path / "published" / "tiny-imagenet-200"
    for part in ("train", "val"):
        files, labels = [], [0, 1, 2, 0, 1, 2]
        boxes = rng.integers(0, 64, (6, 4))
        for i, label in enumerate(labels):
            encoded = io.BytesIO()
            shape = (64, 64) if i == 2 else (64, 64, 3)  # some are grey
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(encoded, "jpeg")
            files.append(encoded.getvalue())
            folder = published / part / (wnids[label] if part == "train" else "") / "images"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{i}.JPEG").write_bytes(files[-1])
            listing, line = published / "val" / "val_annotations.txt", [f"{i}.JPEG", wnids[label]]
            if part == "train":
                listing, line = folder.parent / f"{wnids[label]}_boxes.txt", [f"{i}.JPEG"]
            with listing.open("a") as file:
                file.write("\t".join([*line, *map(str, boxes[i])]) + "\n")
        name = "tiny-imagenet-train0.npz" if part == "train" else "tiny-imagenet-val.npz"
        np.savez(
            tmp_path / name,
            jpeg=np.frombuffer(b"".join(files), np.uint8),
            offsets=np.cumsum([0, *map(len, files)]),
            labels=np.array(labels, np.int16),
            boxes=boxes.astype(np.int16),
            names=names,
        )
    (published / "wnids.txt").write_text("n02\nn03\nn01\n")
    words = "".join(f"{w}\t{n}, another name\n" for w, n in zip(wnids, names, strict=True))
    (published / "words.txt").write_text(words)
    assert data.tiny_imagenet_names(tmp_path) == names
    assert data.tiny_imagenet_names(published.parent) == names
    for part in ("train", "val"):
        one, two = (
            data.tiny_imagenet(folder, part, ["third", "first"])
            for folder in (tmp_path, published.parent)
        )
        assert sorted(one.labels.tolist()) == [0, 0, 1, 1]
        for boxed in (one, two):
            assert boxed.images.shape == (4, 3, 64, 64)
        order, other = (boxed.boxes.sum(1).argsort() for boxed in (one, two))
        for a, b in zip(one, two, strict=True):
            assert torch.equal(a[order], b[other])


# Pages


TABLE = report.Table(
    title="A title",
    heads=["method"],
    columns=["error, %", "norm"],
    rows=[
        report.Row(["One"], {"error, %": [10.0, 12.0], "norm": [0.5, 0.5]}, {"error, %": 21.14}),
        report.Row(["Puzzle Mix"], {"error, %": [9.96, 9.96]}, {}),
    ],
    settings={"size": "small"},
    notes=["A note."],
    seeds=[0, 1],
    seconds=90.0,
)
PAGE = """# A title

| method | error, % | norm |
| --- | ---: | ---: |
| One | 11.0 ± 1.4 (21.14) | 0.500 ± 0.000 |
| Puzzle Mix | 10.0 ± 0.0 |  |

Mean ± standard deviation over the seeds 0, 1. In brackets: the lecture's number.

![The same as a plot](name.png)

- size: small
- work, training included: 1.5 minutes

A note.
"""


def test_a_page() -> None:
    assert report.markdown(TABLE, "name") == PAGE


def test_pages_depend_on_the_numbers_alone(tmp_path: Path) -> None:
    report.write(TABLE, tmp_path / "one", "name")
    again = report.read(tmp_path / "one" / "name.json")
    assert again == TABLE
    report.write(again, tmp_path / "two", "name")
    for suffix in ("json", "md", "png"):
        one, two = ((tmp_path / part / f"name.{suffix}").read_bytes() for part in ("one", "two"))
        assert one == two


def origin(seed: int, device: str = "a GPU") -> report.Origin:
    return report.Origin(seed, device, "2026-01-01", "abc1234")


def made(values: dict[str, dict[int, float]], device: str = "a GPU") -> report.Table:
    """A table whose rows have one column, by seed."""
    rows = [
        report.Row([name], {"error": list(each.values())}, {}, [origin(s, device) for s in each])
        for name, each in values.items()
    ]
    seeds = sorted({seed for each in values.values() for seed in each})
    return report.Table("T", ["m"], ["error"], rows, {"size": "gpu"}, [], seeds, 60.0)


def test_tables_of_two_machines_are_one() -> None:
    here = made({"One": {0: 1.0, 1: 2.0}, "Two": {0: 3.0}})
    there = made({"One": {1: 9.0, 2: 4.0}, "Two": {3: 5.0}}, "another")
    table = report.merge([here, there])
    assert table.seeds == [0, 1, 2, 3]
    assert table.seconds == 120
    one, two = table.rows
    assert one.values == {"error": [1.0, 2.0, 4.0]}
    assert [each.seed for each in one.origins] == [0, 1, 2]
    assert [each.device for each in two.origins] == ["a GPU", "another"]
    page = report.markdown(table, "name")
    assert "| One (seeds 0, 1, 2) | 2.33 ± 1.53 |" in page
    assert "| Two (seeds 0, 3) |" in page
    assert "- made: seeds 0, 1 on a GPU, 2026-01-01, by abc1234\n" in page
    assert "- made: seeds 2, 3 on another, 2026-01-01, by abc1234\n" in page


def test_what_is_merged_has_one_setting() -> None:
    here = made({"One": {0: 1.0}})
    with pytest.raises(ValueError, match="settings: expected"):
        report.merge([here, replace(here, settings={"size": "full"})])
    row = replace(here.rows[0], origins=[])
    with pytest.raises(ValueError, match="One: expected the origin of each seed"):
        report.merge([here, replace(here, rows=[row])])


def test_pairs_are_of_one_seed() -> None:
    one, two = made({"One": {0: 5.0, 2: 7.0}, "Two": {1: 1.0, 2: 6.5, 0: 4.0}}).rows
    assert saliency.paired(one, two, "error") == [0.5, 1.0]
    assert saliency.paired(one, report.Row(["Three"], {}, {}), "error") == []


def test_a_value_goes_with_its_group() -> None:
    row = report.Row(["One"], {"far, error": [1.0], "near, error": [2.0]}, {})
    spread = report.spread([row], ["near", "far"], ["error"], {"far, One": {"error": 3.0}})
    assert [each.name for each in spread] == [["near", "One"], ["far", "One"]]
    assert [each.values["error"] for each in spread] == [[2.0], [1.0]]
    assert [each.lecture for each in spread] == [{}, {"error": 3.0}]


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    options = ["--smoke", "--work", str(work), "--out", str(out)]
    assert main(["generalisation", *options]) == 0
    page = (out / "generalisation.md").read_text()
    assert page in capsys.readouterr().out
    assert "| Puzzle Mix (half) |" in page
    assert (out / "generalisation.png").read_bytes().startswith(b"\x89PNG")
    networks = {path: path.stat().st_mtime_ns for path in work.rglob("checkpoint.pt")}
    assert len(networks) == 8
    written = {path: path.read_bytes() for path in out.iterdir()}
    assert main(["generalisation", *options]) == 0  # from what is there
    assert {path: path.stat().st_mtime_ns for path in networks} == networks
    shutil.rmtree(work)
    assert main(["generalisation", *options, "--render"]) == 0
    assert not work.exists()
    assert {path: path.read_bytes() for path in out.iterdir()} == written


def test_minutes_of_a_gpu_without_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The time is over before the first network, and what was measured elsewhere is added."""
    out = tmp_path / "out"
    options = ["tiny_imagenet", "--size", "gpu", "--smoke", "--work", str(tmp_path)]
    assert main([*options, "--minutes", "9", "--plain-step", "9.4"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"Vanilla +9\.40 +1\.00 +3,404", told)
    assert re.search(r"9 minutes: \d+ epochs of one seed, or \d+\.\d seeds of 2 epochs", told)
    assert main([*options, "--minutes", "1e-9", "--out", str(out)]) == 0
    assert "| CutMix (not yet) |" in (out / "gpu-tiny_imagenet.md").read_text()
    table = report.read(out / "gpu-tiny_imagenet.json")
    values = {column: [50.0] for column in table.columns[:4]}
    elsewhere = replace(
        table, rows=[replace(row, values=values, origins=[origin(5)]) for row in table.rows]
    )
    report.write(replace(elsewhere, seeds=[5]), tmp_path, "elsewhere")
    assert main([*options, "--out", str(out), "--merge", str(tmp_path / "elsewhere.json")]) == 0
    assert "| CutMix | 50.0 | 50.0 |" in (out / "gpu-tiny_imagenet.md").read_text()


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["ood", "--size", "gpu", "--smoke"], "TABLE: expected tiny_imagenet, generalisation, got"),
        (["toy", "--smoke", "--plain-step", "9"], "--plain-step: expected --size gpu"),
        (["toy", "ood", "--merge", "a"], "--merge: expected one TABLE, got toy, ood"),
        (["nothing", "--smoke"], "TABLE: expected generalisation, .*, got nothing"),
        (["--smoke"], "TABLE: expected one or more, or --all"),
        (["ood"], "--data: expected the folder"),
    ],
)
def test_what_the_command_line_refuses(
    argv: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(argv)
    assert re.search(told, capsys.readouterr().err)
