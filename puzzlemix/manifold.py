"""Manifold mixup: hidden states of a network are mixed instead of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .keywords import suggests_keywords
from .mixers import MixUp
from .plan import Plan

__all__ = ["ManifoldMixUp"]

INPUT = "input"
"""The name in ``layers`` that stands for the images themselves."""


class ManifoldMixUp(nn.Module):
    """Mixes hidden states (Verma et al., Manifold Mixup, ICML 2019).

    A call draws lambda and the partners as ``MixUp`` does, and one of the layers; the network runs
    with the output of that layer, [N, ...], replaced by its mix, and labels are mixed with the same
    lambda and partners:

        outputs, weights = mixer(images, labels)
        loss = F.cross_entropy(outputs, weights)

    The model is not registered as a submodule: ``parameters``, ``train`` and ``to`` of the mixer
    don't reach it, and ``state_dict()`` holds the generator's state only.

    The layer has to run once in a forward pass, and not within a region that activation
    checkpointing runs again. Layers within a compiled model are refused: compiled code ignores a
    hook that is added later, and would keep one that is removed.

    Args:
        model: called as ``model(images)``.
        layers: names as in ``model.named_modules()``; "input" is the images themselves.
        alpha, num_classes, generator: see ``MixUp``.

    Raises:
        TypeError, ValueError: naming the argument, what was expected and what came.
    """

    @suggests_keywords
    def __init__(
        self,
        model: nn.Module,
        *,
        layers: Sequence[str],
        alpha: float = 1.0,
        num_classes: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
        if isinstance(layers, str) or not isinstance(layers, Sequence) or not layers:
            raise TypeError(f"layers: expected a sequence of one name or more, got {layers!r}")
        names = [INPUT, *(name for name, _ in model.named_modules() if name != INPUT)]
        for layer in layers:
            if layer not in names:
                listed = ", ".join(map(repr, names))
                raise ValueError(f"layers: expected names among {listed}, got {layer!r}")
        self._model = (model,)  # a tuple, so that it isn't registered as a submodule
        self.layers = tuple(layers)
        self.mixup = MixUp(alpha=alpha, num_classes=num_classes, generator=generator)

    @property
    def model(self) -> nn.Module:
        """The network that the constructor was given."""
        return self._model[0]

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Any, Tensor]:
        """Run the network, with a mix at one of the layers.

        Args:
            images: [N, ...] of a floating dtype.
            labels: [N] integers or weights [N, K].

        Returns:
            What the model returns, and weights [N, K] float32.

        Raises:
            TypeError: the layer's output is not a tensor of a floating dtype.
            ValueError: it does not have N rows; a layer is within a compiled model.
            RuntimeError: the layer ran more than once, or not at all.
        """
        for layer in self.layers:
            self._expect_uncompiled(layer)
        plan = self.mixup.plan(images, labels)
        choice = torch.randint(len(self.layers), (), generator=self.mixup.generator, device="cpu")
        layer = self.layers[int(choice)]
        weights = plan.labels(labels)
        if layer == INPUT:
            return self.model(plan.images(images)), weights
        mix = _MixOutput(layer, plan)
        handle = self.model.get_submodule(layer).register_forward_hook(mix)
        try:
            outputs = self.model(images)
        finally:
            handle.remove()
        if not mix.done:
            raise RuntimeError(
                f"layers: expected {layer!r} to run in the model's forward pass, it did not"
            )
        return outputs, weights

    def extra_repr(self) -> str:
        """The layers, for printing."""
        return f"layers={self.layers}"

    def _expect_uncompiled(self, layer: str) -> None:
        """Refuse a layer within a compiled model."""
        if layer == INPUT:
            return
        parts = layer.split(".") if layer else []
        for depth in range(len(parts) + 1):
            name = ".".join(parts[:depth])
            module = self.model.get_submodule(name)
            # ``module.compile()`` compiles the module's own hooks too, ``torch.compile(module)``
            # doesn't.
            if getattr(module, "_compiled_call_impl", None) is not None or (
                depth < len(parts) and hasattr(module, "_orig_mod")
            ):
                raise ValueError(
                    f"layers: expected layers outside of compiled modules, got {layer!r} within "
                    f"{name or 'the model'!r}; give the model as it was before it was compiled"
                )


class _MixOutput:
    """A forward hook that mixes the output of a layer, once."""

    def __init__(self, layer: str, plan: Plan) -> None:
        self.layer = layer
        self.plan = plan
        self.done = False

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> Tensor:
        if self.done:
            raise RuntimeError(
                f"layers: expected {self.layer!r} to run once in a forward pass, it ran again"
            )
        if not isinstance(output, Tensor):
            raise TypeError(
                f"layers: expected a tensor from {self.layer!r}, got {type(output).__name__}"
            )
        if not output.is_floating_point():
            raise TypeError(
                f"layers: expected a floating dtype from {self.layer!r}, got {output.dtype}"
            )
        if output.dim() == 0 or len(output) != len(self.plan):
            raise ValueError(
                f"layers: expected {len(self.plan)} rows from {self.layer!r}, one a sample, "
                f"got shape {list(output.shape)}"
            )
        self.done = True
        return self.plan.images(output)
