"""What settings decide by images: what is measured, and that the page tells what was stored."""

from __future__ import annotations

import json

import pytest
import torch

pytest.importorskip("skimage")
settings = pytest.importorskip("experiments.settings")

if not settings.RESULT.is_file():
    pytest.skip(
        "this is no checkout: results are not in a source distribution", allow_module_level=True
    )
ROWS = json.loads(settings.RESULT.read_text())


def test_the_page_has_the_stored_tables():
    text = settings.PAGE.read_text()
    assert settings.page(text, ROWS) == text
    assert "| published |" in text


def test_every_case_is_stored():
    kinds = {(row["pixels"], row["saliency"], row["grid"], row["setting"]) for row in ROWS}
    assert len(kinds) == len(ROWS) == 3 * 3 * len(settings.GRIDS) * len(settings.SETTINGS)


def test_uniform_saliency_is_kept_by_half():
    images = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for row in settings.measured(images, torch.ones(5, 32, 32), 4, 16):
        assert row["kept"] == pytest.approx(0, abs=1e-6)
        assert row["top quarter"] == 0.25
        if "xi" not in row["setting"]:
            assert row["moved"] == 0


def test_discs_are_kept_more_by_a_weaker_prior():
    images, saliency = settings.discs(32, 8)
    assert 0 <= images.min() <= images.max() <= 1
    rows = {row["setting"]: row for row in settings.measured(images, saliency, 8, 32)}
    assert 0 < rows["published"]["kept"] < rows["eta = xi = 0.05"]["kept"] < 0.5
    assert rows["… and xi = 0"]["moved"] > 0.9


def test_photographs_are_squares_in_range():
    name, images = settings.photographs(32)
    assert name == "photographs"
    assert images.shape == (45, 3, 32, 32)
    assert 0 <= images.min() <= images.max() <= 1.001
