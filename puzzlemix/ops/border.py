"""The border between Python and C++: a problem is solved on the device of its tensors.

Each noun's module checks its arguments and calls its operator. The operator's kernel allocates the
results, makes tensors dense, and names all that crosses to C++, which reads addresses, types and
sizes from the tensors themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, overload

import torch
from torch import Tensor
from torch._C import DispatchKey, DispatchKeySet
from torch.nn import Parameter

from ..validate.elementary import debugging
from ..validate.values import Fault, expect_int32, expect_values, refused

try:
    from .. import _core as _core
except ImportError as error:
    raise ImportError(
        "puzzlemix: the compiled extension puzzlemix._core is missing or does not load: "
        f"run `pip install .` in the project's root ({error})"
    ) from error

OPERATORS = torch.ops.puzzlemix

Pair = tuple[Tensor, Tensor]


def solve(
    function: str, given: Sequence[Tensor | None], out: Tensor, problem: dict[str, object]
) -> None:
    """Solve a problem on the device of ``out``, or raise the error for a fault in its values.

    Values are checked by the solver itself on the CPU, and on CUDA only if `debug(True)` was
    called, before anything runs.

    Args:
        function: the low-level function, which its operator in C++ is named after.
        given: the tensors of its signature, as the caller gave them.
        out: one of the results, for which the problem names memory.
        problem: the arguments of the operator in C++, in its order; tensors are dense.
    """
    operator = getattr(_core, function)
    xi: Any = problem.get("xi", 0.0)
    if not out.is_cuda:
        fault = run_on_cpu(operator, problem)
    else:
        if debugging() and not problem.get("trusted"):
            expect_values(function, *given, xi=xi)
        fault = _run_on_cuda(operator, problem, out)
    if fault:
        raise refused(function, given, fault, xi)


def run_on_cpu(operator: Any, problem: dict[str, object]) -> Fault | None:
    """Solve on as many threads as PyTorch uses. Tests replace this function by a host team."""
    fault: Fault | None = operator.run(torch.get_num_threads(), *_in_order(operator, problem))
    return fault


def _run_on_cuda(operator: Any, problem: dict[str, object], out: Tensor) -> Fault | None:
    """Solve on the current stream of the device of ``out``, without waiting for it."""
    index = out.get_device()
    if index != torch.cuda.current_device():
        with torch.cuda.device(index):
            return _run_on_cuda(operator, problem, out)

    def scratch(count: int) -> Tensor:
        # Allocated by PyTorch, which may reuse it for later work on the same stream.
        return torch.empty(count, dtype=torch.uint8, device=out.device)

    # Builds of PyTorch without CUDA lack this function, but never get here.
    stream = torch._C._cuda_getCurrentRawStream(index)
    fault: Fault | None = operator.enqueue(stream, scratch, *_in_order(operator, problem))
    return fault


def _in_order(operator: Any, problem: dict[str, object]) -> Iterable[object]:
    """An operator's arguments, of which the first call checks that they are in its order."""
    if operator not in _known:
        assert tuple(problem) == operator.fields, (tuple(problem), operator.fields)
        _known.add(operator)
    return problem.values()


_known: set[object] = set()


def costs_of(function: str, *tensors: Tensor) -> list[Tensor]:
    """The costs of a function, in the order of its signature, made dense, and int32 if int64.

    Values that don't fit are refused on the CPU; on CUDA they count as the nearest that does.
    """
    for cost in tensors:
        if cost.dtype is torch.int64:
            expect_int32(function, *tensors)
            return [_as_int32(cost).contiguous() for cost in tensors]
    return [cost.contiguous() for cost in tensors]


def _as_int32(cost: Tensor) -> Tensor:
    if cost.dtype is not torch.int64:
        return cost
    ends = torch.iinfo(torch.int32)
    return (cost.clamp(ends.min, ends.max) if cost.is_cuda else cost).to(torch.int32)


@overload
def dense_index(tensor: Tensor) -> Tensor: ...
@overload
def dense_index(tensor: Tensor | None) -> Tensor | None: ...
def dense_index(tensor: Tensor | None) -> Tensor | None:
    """Indices made contiguous int64, or None."""
    if tensor is None:
        return None
    # Asking first takes a tenth of the time of a conversion that changes nothing.
    return (tensor if tensor.dtype is torch.int64 else tensor.long()).contiguous()


# ---- Operators ----------------------------------------------------------------------------------

library = torch.library.Library("puzzlemix", "DEF")


def call(name: str, *arguments: Any) -> Any:
    """Call an operator: its kernel itself, where PyTorch's dispatcher would do nothing but call it.

    The dispatcher converts all arguments to C++ and back, which takes as long as a small problem.
    """
    if torch.compiler.is_compiling() or not _is_plain(arguments):
        return getattr(OPERATORS, name).default(*arguments)
    return _kernels[name](*arguments)


def _is_plain(arguments: tuple[Any, ...]) -> bool:
    """Whether a kernel may have these arguments as they are: no mode or transform of PyTorch is to
    see the call, no profiler records this thread, and each tensor's memory holds its values (it is
    no subclass, no wrapper, and not lazily negated)."""
    if not _TELLS_KEYS or _keys_of_thread().raw_repr() != _PLAIN_THREAD:
        return False
    if torch._C._len_torch_function_stack() or torch._C._autograd._profiler_enabled():
        return False
    for each in arguments:
        if type(each) is Tensor or type(each) is Parameter:
            if _keys_of(each).raw_repr() not in _PLAIN_TENSORS:
                return False
        elif isinstance(each, Tensor):
            return False
    return True


# The keys by which PyTorch's dispatcher chooses what to call, as the bits of a number: those of the
# thread, which modes and transforms set, and those of a tensor. Where PyTorch doesn't tell the
# bits, no call is plain.
_TELLS_KEYS = hasattr(DispatchKeySet, "raw_repr")
_keys_of_thread: Callable[[], Any] = torch._C._dispatch_tls_local_include_set
_keys_of: Callable[[Tensor], Any] = torch._C._dispatch_keys


def _bits_of(*names: str) -> int:
    first, *others = (getattr(DispatchKey, name) for name in names)
    keys = DispatchKeySet(first)
    for other in others:
        keys = keys.add(other)
    return keys.raw_repr() if _TELLS_KEYS else 0


_PLAIN_THREAD = _bits_of("BackendSelect", "ADInplaceOrView")
_PLAIN_TENSORS = {
    _bits_of(device, "ADInplaceOrView", f"Autograd{device}", f"Autocast{device}")
    for device in (("CPU", "CUDA") if _core.cuda_toolkit else ("CPU",))
}
_kernels: dict[str, Callable[..., Any]] = {}


def register(
    schema: str,
    like: Callable[..., Any],
    kernel: Callable[..., Any],
    *,
    cuda: bool = True,
    decides: bool = True,
) -> None:
    """Register a kernel as an operator; ``like`` makes results of the right shapes for fake
    tensors.

    The results are marked as not differentiable; otherwise floats among them would require grad.
    """
    name = schema.split("(")[0]
    _kernels[name] = kernel
    library.define(schema)
    library.impl(name, kernel, "CPU")
    if cuda:
        library.impl(name, kernel if _core.cuda_toolkit else _no_cuda(name), "CUDA")
    if decides:
        library.impl(name, torch.library.fallthrough_kernel, "Autograd")
    torch.library.register_fake(f"puzzlemix::{name}", like, lib=library)


def register_gradient(
    name: str, save: Callable[..., None], backward: Callable[..., Any], tangent: Callable[..., Any]
) -> Callable[..., Any]:
    """Register reverse-mode and forward-mode differentiation of an operator, which may be nested in
    any order; returns the differentiable operator.

    ``torch.library.register_autograd`` has no forward mode: it silently drops tangents.
    ``save(ctx, inputs, output)`` and ``backward(ctx, *gradients)`` are as that function takes them;
    ``tangent(ctx, *tangents)`` gets None for inputs without a tangent. The result also works within
    the transforms of ``torch.func``, which need an autograd function rather than an operator.
    """

    def forward(*args: Any) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            return operator(*args)

    def differentiable(*args: Any) -> Any:
        return operator(*args) if torch.compiler.is_compiling() else function.apply(*args)

    operator = getattr(OPERATORS, name).default
    methods = {"forward": forward, "setup_context": save, "backward": backward, "jvp": tangent}
    static: dict[str, Any] = {key: staticmethod(method) for key, method in methods.items()}
    function: Any = type(name, (torch.autograd.Function,), static | {"generate_vmap_rule": True})
    library.impl(name, function.apply, "Autograd")
    return differentiable


def _no_cuda(name: str) -> Callable[..., Any]:
    def refuse(*args: object) -> Any:
        raise missing_cuda(name)

    return refuse


def missing_cuda(operation: str) -> RuntimeError:
    """The error for a CUDA tensor in a build without CUDA."""
    return RuntimeError(
        f"{operation}: got a CUDA tensor, but this build of puzzlemix has no CUDA: install the "
        "CUDA toolkit and build again with `PUZZLEMIX_CUDA=ON pip install .`, or move the "
        "tensors to the CPU"
    )
