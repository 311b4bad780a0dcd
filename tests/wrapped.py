"""Models around models, for the tests of what a model may return."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Wrapped(nn.Module):
    """A model whose outputs are put into something."""

    def __init__(self, model: nn.Module, put: Any) -> None:
        super().__init__()
        self.model, self.put = model, put

    def forward(self, images: Tensor) -> Any:
        return self.put(self.model(images))
