"""The mix and its gradients against a loop over pixels, the reference and finite differences."""

import math
from functools import partial

import problems
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

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
def test_bits_equal_the_reference(problem, moved):
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
    """A mix of two blocks, where the first image's are exchanged."""
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
def test_gradients_equal_the_reference(problem):
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


# ---- Partners ----


@st.composite
def partnered(draw):
    """A mix with partners: any number of second images, and an index for each sample."""
    problem = draw(mixes())
    batch, seed = len(problem.x1), draw(st.integers(0, 2**32))
    count = draw(st.integers(1 if batch else 0, 5))
    g = problems.generator(seed)
    others = torch.rand((count, *problem.x1.shape[1:]), generator=g).to(problem.x1.dtype)
    partner = torch.randint(max(count, 1), (batch,), generator=g)
    return problem._replace(x2=others), partner


LAYOUTS = {
    "contiguous": torch.Tensor.contiguous,
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "sliced": lambda x: torch.stack((x, x + 1), -1)[..., 0],
    "transposed": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
}


@given(
    given=partnered(),
    layouts=st.tuples(*[st.sampled_from(sorted(LAYOUTS))] * 2),
    narrow=st.booleans(),
)
def test_mixes_with_partners_equal_the_reference(given, layouts, narrow):
    problem, partner = given
    x1, x2 = (LAYOUTS[kind](x) for kind, x in zip(layouts, problem[:2], strict=True))
    partner = partner.int() if narrow else partner
    ours = puzzlemix.mix(x1, x2, *problem[2:], partner=partner)
    assert torch.equal(ours, puzzlemix.mix(x1, x2[partner.long()], *problem[2:]))
    theirs = reference.mix(x1, x2, *problem[2:], partner=partner)
    assert torch.equal(ours, theirs)
    assert ours.stride() == theirs.stride()


@given(given=partnered(), layouts=st.tuples(*[st.sampled_from(sorted(LAYOUTS))] * 3))
def test_gradients_with_partners_equal_the_reference(given, layouts):
    problem, partner = given
    weight = torch.linspace(-1, 1, problem.x1.numel(), dtype=torch.float64).view(problem.x1.shape)
    *images, weight = (
        LAYOUTS[kind](x.double()) for kind, x in zip(layouts, (*problem[:2], weight), strict=True)
    )
    parts = [part.detach().requires_grad_() for part in (*images, problem.mask.double())]
    ours, theirs = (
        torch.autograd.grad(module.mix(*parts, *problem[3:], partner=partner), parts, weight)
        for module in (puzzlemix, reference)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_a_shared_partner_are_added_in_order_and_rounded_once(dtype, threads):
    """Image 0 is no sample's partner, image 2 one sample's, image 1 that of all others."""
    x1, x2 = torch.zeros(6, 1, 4, 4, dtype=dtype), torch.zeros(3, 1, 4, 4, dtype=dtype)
    partner = torch.tensor([1, 1, 2, 1, 1, 1])
    mask = torch.tensor([0.25, 0.5, 0.75, 1.0, 0.0, 0.3])[:, None, None]
    source = problems.permutations(problems.generator(1), 6, 2, 4)
    grad = torch.randn(x1.shape, generator=problems.generator(2)).to(dtype)
    real = torch.float64 if dtype == torch.float64 else torch.float32
    rest = (1 - mask.to(real))[..., None]
    shares = puzzlemix.mix(
        rest * grad.to(real),
        None,
        torch.ones(6, 1, 1),
        source.flatten(1).argsort(1).view_as(source),
    )
    total = shares[0]
    for b in (1, 3, 4, 5):
        total = total + shares[b]
    expected = torch.stack((torch.zeros_like(total), total, shares[2])).to(dtype)
    for count in (1, 3):
        threads(count)
        x2 = x2.detach().requires_grad_()
        mixed = puzzlemix.mix(x1, x2, mask, None, source, partner=partner)
        assert torch.equal(torch.autograd.grad(mixed, x2, grad)[0], expected)


@pytest.mark.parametrize("needed", [(0,), (1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize("last", [False, True])
def test_derivatives_with_partners(needed, last):
    g = problems.generator(0)
    problem = problems.mix(
        batch=3, channels=2, size=(4, 4), grids=((2, 2), (4, 2), (2, 4)), dtype=torch.float64
    )
    partner = torch.tensor([1, 1, 3])
    images = [problem.x1, torch.rand((4, 2, 4, 4), dtype=torch.float64, generator=g)]
    if last:
        images = list(map(LAYOUTS["channels_last"], images))
    mask = torch.rand((3, 2, 2), dtype=torch.float64, generator=g)
    parts = [part.requires_grad_(i in needed) for i, part in enumerate((*images, mask))]
    mix = partial(puzzlemix.mix, partner=partner)
    given = (*parts, problem.source1, problem.source2)
    assert torch.autograd.gradcheck(mix, given)
    assert torch.autograd.gradgradcheck(mix, given)


def test_what_is_hidden_is_not_read():
    """Second images that are no partner, and pixels that z hides, may hold any value."""
    x = torch.ones(3, 1, 2, 2)
    x[0] = math.nan
    mixed = puzzlemix.mix(x[1:], x, torch.full((2, 1, 1), 0.5), partner=torch.tensor([2, 1]))
    assert (mixed == 1).all()


class Allocations(TorchDispatchMode):
    """The bytes that operators make, and their names; views make none."""

    def __init__(self):
        super().__init__()
        self.made = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        known = {a.untyped_storage().data_ptr() for a in args if isinstance(a, torch.Tensor)}
        if isinstance(result, torch.Tensor) and result.untyped_storage().data_ptr() not in known:
            self.made.append((str(function), result.numel() * result.element_size()))
        return result


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("empty", [False, True])
def test_a_plan_copies_no_image(layout, empty):
    """The only memory that a plan allocates is that of the mix."""
    images = LAYOUTS[layout](torch.rand(5, 3, 16, 16))
    index = None if empty else torch.tensor([1, 1, 0, 4, 3])
    plan = puzzlemix.Plan(index, torch.full((5,), 0.5), torch.full((5, 2, 2), 0.5))
    with Allocations() as allocations:
        mixed = plan.images(images)
    large = [made for made in allocations.made if made[1] >= images[0].numel()]
    assert large == [("puzzlemix.mix.default", images.numel() * 4)]
    assert mixed.stride() == images.stride()


# ---- An empty partner ----


@given(problem=mixes(), layout=st.sampled_from(sorted(LAYOUTS)))
def test_an_empty_partner_is_zeros(problem, layout):
    x1, zeros = LAYOUTS[layout](problem.x1), torch.zeros_like(problem.x1)
    ours = puzzlemix.mix(x1, None, problem.mask, problem.source1)
    for expected in (
        puzzlemix.mix(x1, zeros, problem.mask, problem.source1),
        reference.mix(x1, None, problem.mask, problem.source1),
    ):
        assert torch.equal(ours, expected)
        assert torch.equal(ours.signbit(), expected.signbit())


@pytest.mark.parametrize("z", [-0.5, 1.5, 0.5, 0.0, 1.0])
@pytest.mark.parametrize("value", [-0.0, 0.0, -1.0, math.inf, math.nan])
def test_an_empty_partner_has_the_signs_of_zeros(z, value):
    x1, mask = torch.full((1, 1, 2, 8), value), torch.full((1, 1, 1), z)
    ours, theirs = puzzlemix.mix(x1, None, mask), puzzlemix.mix(x1, torch.zeros_like(x1), mask)
    assert torch.equal(ours.view(torch.int32), theirs.view(torch.int32))


def test_derivatives_with_an_empty_partner():
    problem = problems.mix(
        batch=2, size=(4, 4), grids=((2, 2), (4, 2), (2, 4)), dtype=torch.float64
    )
    mask = torch.rand((2, 2, 2), dtype=torch.float64, generator=problems.generator(0))
    given = (problem.x1.requires_grad_(), None, mask.requires_grad_(), problem.source1)
    assert torch.autograd.gradcheck(puzzlemix.mix, given)
    assert torch.autograd.gradgradcheck(puzzlemix.mix, given)


# ---- Forward mode ----

FORWARD = ("plain", "partners", "empty", "channels_last")


def in_forward_mode(kind):
    """A mix as a function of images and mask, and its arguments."""
    g = problems.generator(0)
    problem = problems.mix(
        batch=3, channels=2, size=(4, 4), grids=((2, 2), (4, 2), (2, 4)), dtype=torch.float64
    )
    mask = torch.rand((3, 2, 2), dtype=torch.float64, generator=g)
    x1, x2, moves, partner = problem.x1, problem.x2, list(problem[3:]), None
    if kind == "partners":
        x2, partner = torch.rand((4, 2, 4, 4), dtype=torch.float64, generator=g), [1, 1, 3]
        partner = torch.tensor(partner)
    if kind == "channels_last":
        x1, x2 = map(LAYOUTS["channels_last"], (x1, x2))
    if kind == "empty":
        return (lambda module, x1, mask: module.mix(x1, None, mask, moves[0])), [x1, mask]
    return (lambda module, *parts: module.mix(*parts, *moves, partner=partner)), [x1, x2, mask]


@pytest.mark.parametrize("kind", FORWARD)
def test_forward_mode_and_both_modes_nested(kind):
    mix, parts = in_forward_mode(kind)
    ours, parts = partial(mix, puzzlemix), [part.requires_grad_() for part in parts]
    assert torch.autograd.gradcheck(ours, parts, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(
        ours, parts, check_fwd_over_rev=True, check_rev_over_rev=True
    )


@pytest.mark.parametrize("kind", FORWARD)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_tangent_is_a_mix_again(kind, dtype):
    mix, parts = in_forward_mode(kind)
    parts = [part.to(dtype) for part in parts]
    tangents = [torch.randn_like(part) for part in parts]
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(*pair) for pair in zip(parts, tangents, strict=True)]
        mixed, tangent = forward_ad.unpack_dual(mix(puzzlemix, *duals))
    assert torch.equal(mixed, mix(puzzlemix, *parts))
    assert tangent.dtype == dtype
    assert tangent.stride() == mixed.stride()
    doubles = [part.double() for part in parts]
    theirs = torch.func.jvp(
        partial(mix, reference), tuple(doubles), tuple(part.double() for part in tangents)
    )[1]
    # Three roundings, of numbers up to 4.
    tolerance = 12 * torch.finfo(dtype).eps
    torch.testing.assert_close(tangent.double(), theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize("moving", [0, 1, 2])
def test_one_tangent_alone(moving):
    mix, parts = in_forward_mode("partners")
    given = torch.randn_like(parts[moving])
    with forward_ad.dual_level():
        duals = list(parts)
        duals[moving] = forward_ad.make_dual(parts[moving], given)
        ours, theirs = (
            forward_ad.unpack_dual(mix(module, *duals)).tangent for module in (puzzlemix, reference)
        )
    torch.testing.assert_close(ours, theirs)
    assert ours.abs().max() > 0


@pytest.mark.parametrize("kind", FORWARD)
def test_transforms_of_functions(kind):
    """The transforms of torch.func wrap each tensor once a level."""
    mix, parts = in_forward_mode(kind)
    tangents = tuple(torch.randn_like(part) for part in parts)
    numbers = tuple(range(len(parts)))

    def results(module):
        def loss(*parts):
            return mix(module, *parts).sin().sum()

        gradient = torch.func.grad(loss, argnums=numbers)
        yield torch.func.jvp(loss, tuple(parts), tangents)[1]
        yield from gradient(*parts)
        yield from torch.func.jvp(gradient, tuple(parts), tangents)[1]
        slope = torch.func.grad(lambda *p: torch.func.jvp(loss, p, tangents)[1], argnums=numbers)
        yield from slope(*parts)

    for ours, theirs in zip(results(puzzlemix), results(reference), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
def test_jacobians():
    mix, parts = in_forward_mode("plain")
    for jacobian in (torch.func.jacfwd, torch.func.jacrev):
        for number in range(3):
            ours, theirs = (
                jacobian(partial(mix, module), argnums=number)(*parts)
                for module in (puzzlemix, reference)
            )
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("kind", ["MixUp", "CutMix", "Cutout", "PuzzleMix"])
def test_forward_mode_through_a_mixer(kind):
    images, labels = torch.rand(4, 3, 8, 8), torch.arange(4)
    settings = {"grids": (4,), "saliency": puzzlemix.spectral_saliency}
    settings = settings if kind == "PuzzleMix" else {}
    generator = torch.Generator().manual_seed(0)
    mixer = getattr(puzzlemix, kind)(num_classes=4, generator=generator, **settings)
    plan = mixer.plan(images, labels)
    tangent = torch.randn_like(images)
    got = torch.func.jvp(plan.images, (images,), (tangent,))[1]
    torch.testing.assert_close(got, plan.images(tangent))


# ---- Memory ----


@pytest.mark.parametrize("channels", [1, 3, 4, 17])
@pytest.mark.parametrize("dtype", DTYPES)
def test_channels_last_is_kept(channels, dtype):
    problem = problems.mix(channels=channels, dtype=dtype)
    parts = [LAYOUTS["channels_last"](x).requires_grad_() for x in problem[:2]]
    mixed = puzzlemix.mix(*parts, *problem[2:])
    assert torch.equal(mixed, puzzlemix.mix(*problem))
    assert mixed.stride() == parts[0].stride()
    for upstream in (torch.ones_like(mixed), torch.ones(()).to(dtype).expand(mixed.shape)):
        for grad in torch.autograd.grad(mixed, parts, upstream, retain_graph=True):
            assert grad.stride() == parts[0].stride()


@pytest.mark.parametrize("size", [(0, 6), (6, 0), (0, 0)])
@pytest.mark.parametrize("channels", [0, 2])
def test_images_without_pixels(size, channels):
    x, mask = torch.rand(3, channels, *size, requires_grad=True), torch.rand(3, 2, 3)
    source = torch.arange(6).view(1, 2, 3).expand(3, -1, -1)
    for mixed in (puzzlemix.mix(x, None, mask), puzzlemix.mix(x, x, mask, source, source)):
        assert mixed.shape == x.shape
        mixed.sum().backward()
    with pytest.raises(ValueError, match="mask: expected finite values"):
        puzzlemix.mix(x, None, mask.log() * 0 - math.inf)


def test_one_mask_for_all():
    """With strides of 0 all samples have one mask in memory."""
    problem = problems.mix(batch=5)
    mask = problem.mask[:1].expand(5, -1, -1)
    for sources in ((None, None), problem[3:]):
        ours = puzzlemix.mix(*problem[:2], mask, *sources)
        assert torch.equal(ours, puzzlemix.mix(*problem[:2], mask.contiguous(), *sources))
    partner = torch.tensor([4, 0, 0, 1, 2])
    ours = puzzlemix.mix(*problem[:2], mask, partner=partner)
    assert torch.equal(ours, puzzlemix.mix(problem.x1, problem.x2[partner], mask.contiguous()))
    column = problem.mask[:, :, :1].expand(-1, -1, 3)
    assert torch.equal(
        puzzlemix.mix(*problem[:2], column), puzzlemix.mix(*problem[:2], column.contiguous())
    )


# ---- Refusals ----


def test_partners_that_are_refused():
    x, mask = torch.rand(2, 1, 4, 4), torch.rand(2, 2, 2)
    source, partner = torch.arange(4).view(1, 2, 2).expand(2, -1, -1), torch.tensor([1, 0])
    for module in (puzzlemix, reference):
        mix = module.mix
        for wrong, place in ((2, 1), (-1, 0)):
            bad = partner.clone()
            bad[place] = wrong
            text = rf"partner: expected indices from 0 to 1, got {wrong} at \[{place}\]"
            with pytest.raises(ValueError, match=text):
                mix(x, x, mask, partner=bad)
        with pytest.raises(ValueError, match=r"partner: expected shape \[B\] = \[2\], got \[3\]"):
            mix(x, x, mask, partner=torch.zeros(3).long())
        with pytest.raises(TypeError, match=r"partner: expected int64 or int32 .*, got float32"):
            mix(x, x, mask, partner=partner.float())
        with pytest.raises(ValueError, match=r"x2: expected at least one image.*got 0"):
            mix(x, x[:0], mask, partner=partner)
        with pytest.raises(ValueError, match=r"x2: expected shape \[B, C, Y, X\] = \[2, 1, 4, 4\]"):
            mix(x, x[:1], mask)
        with pytest.raises(ValueError, match=r"x2: expected shape \[N, C, Y, X\] = \[2, 1, 4, 4\]"):
            mix(x, x[:, :, :2], mask, partner=partner)
        with pytest.raises(ValueError, match=r"partner: expected None beside an empty partner"):
            mix(x, None, mask, partner=partner)
        with pytest.raises(ValueError, match=r"source2: expected None beside an empty partner"):
            mix(x, None, mask, None, source)
        assert mix(x[:0], x[:0], mask[:0], partner=partner[:0]).shape == (0, 1, 4, 4)


@pytest.mark.parametrize(
    ("argument", "place", "value", "text"),
    [
        (2, (1, 1, 2), math.inf, r"mask: expected finite values, got inf at \[1, 1, 2\]"),
        (3, (2, 3, 1), 16, r"source1: expected indices from 0 to 15, got 16 at \[2, 3, 1\]"),
        (4, (0, 7, 5), -3, r"source2: expected indices from 0 to 47, got -3 at \[0, 7, 5\]"),
        (
            3,
            (2, 3, 1),
            None,
            r"source1: .*permutation in each sample, got index \d+ twice in sam.* 2",
        ),
    ],
)
def test_a_fault_names_argument_sample_and_entry(argument, place, value, text, threads):
    threads(2)
    problem = problems.mix(batch=4)
    part = problem[argument]
    part[place] = part[place[0], 0, 0] if value is None else value
    for module in (puzzlemix, reference):
        with pytest.raises(ValueError, match=text):
            module.mix(*problem)
