"""The functions as operators of PyTorch, with NumPy, and among threads and processes."""

import inspect
import multiprocessing
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import problems
import pytest
import torch
from calls import FUNCTIONS, call, good
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import puzzlemix
from puzzlemix import _core, reference
from puzzlemix.ops import border
from puzzlemix.validate.elementary import debugging

OPERATORS = torch.ops.puzzlemix


def tensors(result):
    return (result,) if isinstance(result, torch.Tensor) else tuple(result)


def assert_same(ours, theirs):
    for mine, other in zip(tensors(ours), tensors(theirs), strict=True):
        assert mine.dtype == other.dtype
        exact = not mine.is_floating_point()
        torch.testing.assert_close(
            mine, other, rtol=0 if exact else 1e-12, atol=0 if exact else 1e-12
        )


@pytest.mark.parametrize("function", FUNCTIONS)
def test_same_signature_as_the_reference(function):
    ours, theirs = getattr(puzzlemix, function), getattr(reference, function)
    assert inspect.signature(ours) == inspect.signature(theirs)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_results_equal_the_reference(function, batch):
    arguments = good(function, batch)
    assert_same(call(puzzlemix, function, arguments), call(reference, function, arguments))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_numpy_in_numpy_out(function):
    arguments = good(function)
    expected = call(puzzlemix, function, arguments)
    arrays = {name: part.numpy() for name, part in arguments.items()}
    for array in arrays.values():
        array.flags.writeable = False
    turned = {name: np.ascontiguousarray(array[::-1])[::-1] for name, array in arrays.items()}
    for given in (arrays, turned):
        result = call(puzzlemix, function, given)
        parts = (result,) if isinstance(result, np.ndarray) else result
        assert type(result) is (np.ndarray if len(parts) == 1 else type(expected))
        for part, other in zip(parts, tensors(expected), strict=True):
            assert isinstance(part, np.ndarray)
            np.testing.assert_array_equal(part, other.numpy())


def operator_calls():
    labeling = problems.labeling("uniform", height=4, width=5)
    transport = problems.transport("puzzle", height=4, width=5)
    mix = problems.mix(dtype=torch.float64)._replace(mask=torch.rand(2, 2, 3).double())
    images = [part.requires_grad_() for part in mix[:3]]
    yield OPERATORS.grid_min_cut, problems.cut("uniform")
    yield OPERATORS.alpha_beta_swap, (*labeling, -1)
    yield OPERATORS.exact_labeling, labeling
    yield OPERATORS.labeling_energy, (torch.zeros(2, 4, 5, dtype=torch.int64), *labeling)
    yield OPERATORS.assignment, (problems.matrix("uniform"), False)
    yield OPERATORS.masked_transport, (*transport, 0.8, True, False)
    partner = torch.tensor([1, 1])
    last = [part.detach().to(memory_format=torch.channels_last) for part in images[:2]]
    yield OPERATORS.mix, (*images, *mix[3:], None, False)
    yield OPERATORS.mix, (*images, *mix[3:], partner, True)
    yield OPERATORS.mix, (images[0], None, images[2], None, None, None, False)
    yield OPERATORS.mix, (*last, images[2].detach(), *mix[3:], partner, False)


@pytest.mark.parametrize(
    ("operator", "arguments"),
    list(operator_calls()),
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_opcheck(operator, arguments):
    torch.library.opcheck(operator.default, tuple(arguments))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_compiles_as_one_graph(function):
    arguments = good(function)

    def twice(**arguments):
        return tuple(2 * part for part in tensors(call(puzzlemix, function, arguments)))

    compiled = torch.compile(twice, fullgraph=True, backend="aot_eager")
    assert_same(compiled(**arguments), twice(**arguments))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_decisions_need_no_gradient(function):
    arguments = {
        name: part.clone().requires_grad_(part.is_floating_point())
        for name, part in good(function).items()
    }
    for part in tensors(call(puzzlemix, function, arguments)):
        assert part.requires_grad == (function == "mix")


class Names(TorchDispatchMode):
    """Keeps the names of the operators that PyTorch dispatches."""

    def __init__(self):
        super().__init__()
        self.called = set()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.called.add(operator.name())
        return operator(*args, **(kwargs or {}))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_modes_and_profilers_see_the_operators(function):
    arguments = good(function)
    name = f"puzzlemix::{function}"
    with Names() as mode:
        call(puzzlemix, function, arguments)
    assert name in mode.called
    with torch.profiler.profile() as profiler:
        call(puzzlemix, function, arguments)
    assert name in {event.key for event in profiler.key_averages()}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_plain_call_goes_to_the_kernel(function, monkeypatch):
    monkeypatch.delattr(OPERATORS, function)
    monkeypatch.setattr(type(OPERATORS), "__getattr__", None)
    call(puzzlemix, function, good(function))


def test_function_modes_see_the_operators():
    class Names(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            called.add(str(function))
            return function(*args, **(kwargs or {}))

    called = set()
    with Names():
        call(puzzlemix, "assignment", good("assignment"))
    assert "puzzlemix.assignment.default" in called


def test_a_tensor_without_memory_goes_to_the_dispatcher():
    """PyTorch's functional tensors have the type of plain ones, and another tensor inside."""
    (cost,) = (problems.matrix("uniform"),)
    want = puzzlemix.assignment(cost).source
    got = puzzlemix.assignment(torch._to_functional_tensor(cost)).source
    assert torch.equal(torch._from_functional_tensor(got), want)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_negated_views(function):
    """PyTorch may negate a tensor lazily: its memory then holds the values' negatives."""
    arguments = good(function)
    negated = {
        name: (-part)._neg_view() if part.is_floating_point() else part
        for name, part in arguments.items()
    }
    want, got = call(puzzlemix, function, arguments), call(puzzlemix, function, negated)
    assert_same(got, want)


def test_a_device_gets_memory_within_the_one_call(monkeypatch):
    """What is passed to an operator on CUDA, whose place is taken by a function here."""

    class Operator:
        fields = ("cost", "total")

        @staticmethod
        def enqueue(stream, allocate, *arguments):
            got.append((stream, allocate(10), arguments))

    got = []
    monkeypatch.setattr(torch.cuda, "current_device", lambda: -1)
    monkeypatch.setattr(torch._C, "_cuda_getCurrentRawStream", lambda index: 7, raising=False)
    cost, total = torch.zeros(1), torch.zeros(1)
    assert border._run_on_cuda(Operator, {"cost": cost, "total": total}, total) is None
    ((stream, scratch, arguments),) = got
    assert stream == 7
    assert (scratch.shape, scratch.dtype, scratch.device) == ((10,), torch.uint8, total.device)
    assert arguments[0] is cost
    assert arguments[1] is total
    with pytest.raises(AssertionError, match="total"):
        border._run_on_cuda(type("Other", (Operator,), {}), {"total": total, "cost": cost}, total)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, which other tests use")
def test_cuda_tensors_are_refused_with_a_word_on_what_to_do():
    with pytest.raises(RuntimeError, match=r"mix: got a CUDA tensor.*PUZZLEMIX_CUDA=ON|only `mix`"):
        raise border.missing_cuda("mix")


def test_debug_can_be_switched():
    puzzlemix.debug(True)
    assert debugging()
    puzzlemix.debug(False)
    assert not debugging()


# ---- Threads and processes ----


def solve_in_child(problem, expected, queue):
    torch.set_num_threads(4)
    # PyTorch itself uses one thread here, because with several a forked child may hang.
    labels = puzzlemix.alpha_beta_swap(*problem).labels
    queue.put(np.array_equal(labels, expected))


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_in_a_child_process_with_several_threads(method, threads):
    """A forked child has none of the threads of the parent's pool."""
    problem = problems.labeling("puzzle", height=8, width=8, batch=400)
    threads(4)
    expected = puzzlemix.alpha_beta_swap(*problem).labels.numpy()
    arrays = [part.numpy() for part in problem]
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=solve_in_child, args=(arrays, expected, queue))
    child.start()
    try:
        assert queue.get(timeout=60)
        child.join(60)
        assert child.exitcode == 0
    finally:
        child.kill()


def test_concurrent_callers(threads):
    problem = problems.labeling("puzzle", height=8, width=8, batch=300)
    expected = puzzlemix.alpha_beta_swap(*problem).labels
    threads(3)

    def solve(_):
        return puzzlemix.alpha_beta_swap(*problem).labels

    with ThreadPoolExecutor(4) as callers:
        assert all(torch.equal(labels, expected) for labels in callers.map(solve, range(80)))


def test_a_bad_sample_among_many_threads(threads):
    problem = problems.labeling("puzzle", height=8, width=8, batch=300)
    problem.unary[217, 3, 4, 1] = float("nan")
    threads(3)
    with pytest.raises(ValueError, match=r"unary: expected finite values, got nan at \[217, 3"):
        puzzlemix.alpha_beta_swap(*problem)


# ---- The border to C++ --------------------------------------------------------------------------


class NoTensor:
    """Something that answers like a tensor, but for one answer."""

    dtype = torch.float32
    shape: tuple[object, ...] = (2, 3, 4)

    def data_ptr(self):
        return "address"


class NoShape(NoTensor):
    shape = (2, 3, "four")


class NoMemory(NoTensor):
    def data_ptr(self):
        raise MemoryError("gone")


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (torch.rand(2, 12), ValueError, "another rank"),
        (torch.zeros(2, 3, 4, dtype=torch.bool), ValueError, "a type that no solver takes"),
        (None, AttributeError, "shape"),
        (NoTensor(), TypeError, "int"),
        (NoShape(), TypeError, "int"),
        (NoMemory(), MemoryError, "gone"),
    ],
)
def test_what_is_no_tensor_is_an_error_at_the_border(source, error, message):
    costs = good("grid_min_cut").values()
    out = torch.empty(2, 3, 4, dtype=torch.bool), torch.empty(2, dtype=torch.float64)
    counts = [sys.getrefcount(part) for part in (source, *costs, *out)]
    with pytest.raises(error, match=message):
        _core.grid_min_cut.run(1, source, *list(costs)[1:], *out)
    assert [sys.getrefcount(part) for part in (source, *costs, *out)] == counts
