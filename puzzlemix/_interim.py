"""The costs and terms of pairs of images, and sums over blocks, as operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .ops import DTYPES, OPERATORS, Triple, _core, address, register, solve

__all__ = ["OPERATORS"]


def _pair_costs_like(cells1: Tensor, cells2: Tensor, *pairs: Any) -> Triple:
    shares, log_prior, grid = pairs[1], pairs[2], pairs[5]
    (batch, labels), (height, width) = log_prior.shape, grid
    return (
        shares.new_empty(batch, height, width, labels),
        shares.new_empty(batch, height - 1, width),
        shares.new_empty(batch, height, width - 1),
    )


def _pair_costs(*pairs: Any) -> Triple:
    costs = _pair_costs_like(*pairs)
    _pair(pairs, costs, None, None)
    return costs


def _pair_terms_like(labels: Tensor, cells1: Tensor, cells2: Tensor, *pairs: Any) -> Tensor:
    shares: Tensor = pairs[1]
    return shares.new_empty(shares.shape[0], 6)


def _pair_terms(labels: Tensor, *pairs: Any) -> Tensor:
    terms = _pair_terms_like(labels, *pairs)
    _pair(pairs, (None, None, None), labels, terms)
    return terms


def _pair(
    pairs: Sequence[Any],
    costs: Sequence[Tensor | None],
    labels: Tensor | None,
    terms: Tensor | None,
) -> None:
    """Write the costs of the labelling problems, or the terms of the objective for labels.

    cells [N, C, Y', X'], averages over windows; partner [B]; shares [B, 2, h', w'] and log_prior
    [B, L] float64; sources [B, 2, h', w'] int64: see csrc/objective/objective.h.
    """
    cells1, cells2, partner, shares, log_prior, sources, moved, grid, model = pairs
    cells1, cells2, shares, log_prior = (
        tensor.contiguous() for tensor in (cells1, cells2, shares, log_prior)
    )
    partner, sources, labels = (
        None if tensor is None else tensor.contiguous() for tensor in (partner, sources, labels)
    )
    smoothness, gamma, eta, xi, bilinear = model
    sizes = (*cells1.shape[1:], *grid, *shares.shape[2:])
    count = log_prior.shape[1]
    solve(
        _core.pair,
        shares,
        (shares.shape[0], sizes, count, labels is None),
        cells=(cells1.data_ptr(), cells2.data_ptr()),
        dtype=DTYPES[cells1.dtype],
        partner=address(partner),
        shares=shares.data_ptr(),
        log_prior=log_prior.data_ptr(),
        sources=address(sources),
        moved=moved,
        batch=shares.shape[0],
        images=cells2.shape[0],
        sizes=sizes,
        model=(count, smoothness, gamma, eta, xi, bool(bilinear)),
        costs=tuple(map(address, costs)),
        label=address(labels),
        terms=address(terms),
    )


def _block_sums_like(values: Tensor, rows: int, columns: int, precise: bool) -> Tensor:
    height, width = values.shape[-2:]
    dtype = torch.float64 if precise else values.dtype
    return values.new_empty((*values.shape[:-2], height // rows, width // columns), dtype=dtype)


def _block_sums(values: Tensor, rows: int, columns: int, precise: bool) -> Tensor:
    sums = _block_sums_like(values, rows, columns, precise)
    values = values.contiguous()
    height, width = values.shape[-2:]
    _core.block_sums(
        values.data_ptr(),
        DTYPES[values.dtype],
        values.shape[:-2].numel(),
        (height, width, rows, columns),
        sums.data_ptr(),
        precise,
        torch.get_num_threads(),
    )
    return sums


_PAIRS = (
    "Tensor cells1, Tensor cells2, Tensor? partner, Tensor shares, Tensor log_prior,"
    " Tensor? sources, bool moved, int[] grid, float[] model"
)
register(f"pair_costs({_PAIRS}) -> (Tensor, Tensor, Tensor)", _pair_costs_like, _pair_costs)
register(f"pair_terms(Tensor labels, {_PAIRS}) -> Tensor", _pair_terms_like, _pair_terms)
register(
    "block_sums(Tensor values, int rows, int columns, bool precise) -> Tensor",
    _block_sums_like,
    _block_sums,
    cuda=False,
)
