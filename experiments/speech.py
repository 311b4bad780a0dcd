"""Table 7: spoken digits as spectrograms, by two kinds of networks."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from .examples import data, loop, nets
from .lab import Case, Lab, Task, Trained
from .methods import Method
from .report import Table
from .sizes import Recipe

VALIDATION, TEST = "validation error, %", "test error, %"
METHODS = (
    Method("ERM"),
    Method("Mixup (alpha = 0.1)", "mixup", {"alpha": 0.1}),
    Method("Mixup (alpha = 0.2)", "mixup", {"alpha": 0.2}),
)
LECTURE = {
    name: dict(zip((VALIDATION, TEST), errors, strict=True))
    for name, errors in {
        "LeNet, ERM": (9.8, 10.3),
        "LeNet, Mixup (alpha = 0.1)": (10.1, 10.8),
        "LeNet, Mixup (alpha = 0.2)": (10.2, 11.3),
        "VGG-11, ERM": (5.0, 4.6),
        "VGG-11, Mixup (alpha = 0.1)": (4.0, 3.8),
        "VGG-11, Mixup (alpha = 0.2)": (3.9, 3.4),
    }.items()
}


class Speech(NamedTuple):
    """Training recordings; those held out of them are the test of the training loop."""

    training: loop.Data
    test: Tensor
    test_labels: Tensor


def build(lab: Lab) -> Table:
    """Train both networks by ERM and by mixup."""
    recipe = lab.size.speech
    speech = recordings(lab.data, recipe)

    def errors(trained: Trained) -> dict[str, float]:
        test = speech.test.to(lab.device), speech.test_labels.to(lab.device)
        return {
            VALIDATION: trained.rows[-1]["top1_error"],
            TEST: loop.evaluate(trained.model, *test)[0],
        }

    tasks = {
        name: Task(f"speech-{net}", replace(recipe, net=net), lambda seed: speech.training, model)
        for name, net, model in (
            ("LeNet", "lenet", lambda classes, method: nets.LeNet(classes)),
            ("VGG-11", "vgg11", lambda classes, method: vgg11(classes, recipe.width)),
        )
    }
    cases = [
        Case([name, method.name], task, method)
        for name, task in tasks.items()
        for method in METHODS
    ]
    rows, seconds = lab.survey("errors", cases, errors, LECTURE)
    settings = lab.settings(recipe) | {
        "network": f"LeNet; VGG-11 of width {recipe.width} (the published one: 64) with batch "
        "normalisation, a mean over places and one linear layer",
        "images": f"{len(speech.training.train)} spectrograms of 64 x 64 to train, "
        f"{len(speech.training.test)} drawn from the same speakers and takes to validate, "
        f"{len(speech.test)} to test (takes 0 to 4 of every speaker and digit)",
    }
    return Table(
        title="Speech, Free Spoken Digit Dataset",
        heads=["network", "method"],
        columns=[VALIDATION, TEST],
        rows=rows,
        settings=settings,
        notes=["The lecture's numbers are of the Google commands dataset: 30 words, 65,000 takes."],
        seeds=list(lab.seeds),
        seconds=seconds,
    )


@lru_cache(1)
def recordings(folder: Path | None, recipe: Recipe) -> Speech:
    """Spoken digits, a ninth of those for training held out; without data tones."""
    if folder is None:
        parts = data.synthetic_tones(recipe.train or 2700, recipe.test or 300, seed=0)
    else:
        parts = data.spoken_digits(folder)
    images, labels, test, test_labels = parts
    images, labels = data.shuffled_part(images, labels, len(images), seed=0)
    held = len(images) // 9
    training = loop.Data(images[held:], labels[held:], images[:held], labels[:held], num_classes=10)
    return Speech(training, test, test_labels)


def vgg11(num_classes: int, width: int) -> nn.Module:
    """After configuration A of Simonyan and Zisserman, 2015; ``width`` is that of its first layer.

    As much narrower as the width is below 64.
    """
    layers: list[nn.Module] = [nets.Normalize([0.5], [0.25])]
    before = 1
    for times in ((1,), (2,), (4, 4), (8, 8), (8, 8)):
        for after in (width * factor for factor in times):
            convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, num_classes)
    )
