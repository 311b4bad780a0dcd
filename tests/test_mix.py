"""The mix and its gradients against a loop over pixels, the reference and finite differences."""

import math

import problems
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import puzzlemix
from puzzlemix import reference

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@st.composite
def mixes(draw):
    size = draw(st.sampled_from([(1, 1), (4, 6), (8, 8), (12, 16), (7, 5)]))
    divisors = [[d for d in range(1, side + 1) if side % d == 0] for side in size]
    grid = st.tuples(*map(st.sampled_from, divisors))
    return problems.mix(
        seed=draw(st.integers(0, 2**32)),
        batch=draw(st.integers(0, 3)),
        channels=draw(st.integers(1, 4)),
        size=size,
        grids=(draw(grid), draw(grid), draw(grid)),
        levels=draw(st.integers(2, 5)),
        dtype=draw(st.sampled_from(DTYPES)),
    )


@given(problem=mixes(), moved=st.tuples(st.booleans(), st.booleans()))
def test_the_reference_s_bits(problem, moved):
    problem = problem._replace(
        source1=problem.source1 if moved[0] else None, source2=problem.source2 if moved[1] else None
    )
    ours, theirs = puzzlemix.mix(*problem), reference.mix(*problem)
    assert ours.dtype == problem.x1.dtype
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("dtype", DTYPES)
def test_pixel_by_pixel(dtype):
    problem = problems.mix(dtype=dtype)
    expected = problems.naive_mix(problem).to(dtype)
    torch.testing.assert_close(puzzlemix.mix(*problem), expected)


def test_known_answer():
    """Two blocks; the first image's are exchanged."""
    x1 = torch.tensor([[[[1.0, 2.0, 3.0, 4.0]]]])
    x2 = torch.tensor([[[[10.0, 20.0, 30.0, 40.0]]]])
    mask = torch.tensor([[[1.0, 0.5]]])
    source = torch.tensor([[[1, 0]]])
    mixed = puzzlemix.mix(x1, x2, mask, source)
    assert mixed.tolist() == [[[[3.0, 4.0, 15.5, 21.0]]]]


def test_source_is_where_a_block_comes_from():
    """A cycle of three, which is not its own inverse."""
    x = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    source = torch.tensor([[[1, 2, 0]]])
    moved = puzzlemix.mix(x, x, torch.ones(1, 1, 1), source)
    assert moved.tolist() == [[[[2.0, 3.0, 1.0]]]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_other_image_is_not_read(dtype):
    x1, x2 = (
        torch.full((1, 1, 2, 4), 2.0, dtype=dtype),
        torch.full((1, 1, 2, 4), math.nan, dtype=dtype),
    )
    assert (puzzlemix.mix(x1, x2, torch.ones(1, 1, 1)) == 2).all()
    assert (puzzlemix.mix(x2, x1, torch.zeros(1, 1, 1)) == 2).all()


@given(problem=mixes())
def test_gradients_are_the_reference_s(problem):
    parts = [part.double().requires_grad_() for part in problem[:3]]
    weight = torch.linspace(-1, 1, problem.x1.numel(), dtype=torch.float64).view(problem.x1.shape)
    ours, theirs = (
        torch.autograd.grad(module.mix(*parts, *problem[3:]), parts, weight)
        for module in (puzzlemix, reference)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_gradients_have_the_type_of_what_they_are_of(dtype):
    problem = problems.mix(dtype=dtype, levels=4)
    parts = [part.detach().requires_grad_() for part in problem[:3]]
    grads = torch.autograd.grad(puzzlemix.mix(*parts, *problem[3:]).float().sum(), parts)
    assert [g.dtype for g in grads] == [dtype, dtype, torch.float32]
    # Each pixel of x1 is seen once, times the mask where it is seen.
    assert grads[0].double().sum().item() == pytest.approx(
        3 * 8 * 12 * problem.mask.double().mean((1, 2)).sum().item(), rel=1e-2
    )


@pytest.mark.parametrize("needed", [(0,), (1,), (2,), (0, 1), (1, 2)])
def test_only_the_gradients_that_are_needed(needed):
    problem = problems.mix(dtype=torch.float64)
    parts = [part.double() for part in problem[:3]]
    every = [part.clone().requires_grad_() for part in parts]
    some = [part.clone().requires_grad_(i in needed) for i, part in enumerate(parts)]
    for inputs in (every, some):
        puzzlemix.mix(*inputs, *problem[3:]).square().sum().backward()
    for i in range(3):
        if i in needed:
            torch.testing.assert_close(some[i].grad, every[i].grad)
        else:
            assert some[i].grad is None


def test_first_and_second_derivatives():
    problem = problems.mix(
        batch=1, channels=2, size=(4, 4), grids=((2, 2), (4, 2), (2, 4)), dtype=torch.float64
    )
    mask = torch.rand(1, 2, 2, dtype=torch.float64, generator=problems.generator(0))
    inputs = [part.requires_grad_() for part in (problem.x1, problem.x2, mask)]

    def mix(x1, x2, mask):
        return puzzlemix.mix(x1, x2, mask, problem.source1, problem.source2)

    assert torch.autograd.gradcheck(mix, inputs)
    assert torch.autograd.gradgradcheck(mix, inputs)


def test_images_in_any_memory():
    problem = problems.mix()
    expected = puzzlemix.mix(*problem)
    last = problem._replace(
        x1=problem.x1.contiguous(memory_format=torch.channels_last),
        x2=torch.stack((problem.x2,) * 2, -1)[..., 1],
        source1=problem.source1.int(),
        mask=problem.mask.transpose(1, 2).contiguous().transpose(1, 2),
    )
    assert torch.equal(puzzlemix.mix(*last), expected)
    one = problem.x1[:1].expand(2, -1, -1, -1)
    again = puzzlemix.mix(one, problem.x2, *problem[2:])
    assert torch.equal(again, puzzlemix.mix(one.clone(), problem.x2, *problem[2:]))


def test_batch_and_threads(threads):
    problem = problems.mix(batch=40, size=(32, 32), grids=((8, 8), (16, 16), (32, 32)))
    expected = puzzlemix.mix(*problem)
    threads(3)
    assert torch.equal(puzzlemix.mix(*problem), expected)
    assert torch.equal(puzzlemix.mix(*(part[7:8] for part in problem)), expected[7:8])


@pytest.mark.parametrize("bad", [-1, 6, 0])
def test_no_permutation(bad):
    problem = problems.mix(grids=((2, 3), (2, 3), (2, 3)))
    source = problem.source1.clone()
    place = (source[1].flatten() != bad).nonzero()[0].item()
    source[1].view(-1)[place] = bad
    with pytest.raises(ValueError, match="source1: expected"):
        puzzlemix.mix(*problem[:3], source, problem.source2)
    images = [x.clone().requires_grad_() for x in problem[:2]]
    with pytest.raises(ValueError, match="source1: expected"):
        puzzlemix.mix(*images, problem.mask, source, problem.source2)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_mask_that_is_not_finite(value):
    problem = problems.mix()
    mask = problem.mask.clone()
    mask[1, 0, 0] = value
    with pytest.raises(ValueError, match="mask: expected finite"):
        puzzlemix.mix(problem.x1, problem.x2, mask)
