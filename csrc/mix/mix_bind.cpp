#include <pybind11/stl.h>

#include "dispatch.h"
#include "mix/mix.h"

namespace puzzlemix {

namespace py = pybind11;

namespace {

using Sides = std::pair<int64_t, int64_t>;
using Shape = std::array<int64_t, 4>;  // B, C, Y, X

MixLayout layout(const Shape& shape, int dtype, uintptr_t mask, int mask_dtype,
                 const Sides& mask_grid, uintptr_t source1, const Sides& grid1, uintptr_t source2,
                 const Sides& grid2) {
  const auto [batch, channels, height, width] = shape;
  return {static_cast<Dtype>(dtype),
          array(mask, mask_dtype),
          {mask_grid.first, mask_grid.second},
          {pointer<const int64_t>(source1), {grid1.first, grid1.second}},
          {pointer<const int64_t>(source2), {grid2.first, grid2.second}},
          batch,
          channels,
          height,
          width};
}

struct MixCall {
  MixProblem problem;

  Status run(int threads) const { return mix_cpu(problem, threads); }
};

struct MixGradCall {
  MixGradProblem problem;

  Status run(int threads) const { return mix_grad_cpu(problem, threads); }
};

MixCall mix_call(const Shape& shape, int dtype, uintptr_t mask, int mask_dtype,
                 const Sides& mask_grid, uintptr_t source1, const Sides& grid1, uintptr_t source2,
                 const Sides& grid2, uintptr_t x1, uintptr_t x2, uintptr_t out) {
  return {{layout(shape, dtype, mask, mask_dtype, mask_grid, source1, grid1, source2, grid2),
           pointer<const void>(x1), pointer<const void>(x2), pointer<void>(out)}};
}

MixGradCall mix_grad_call(const Shape& shape, int dtype, uintptr_t mask, int mask_dtype,
                          const Sides& mask_grid, uintptr_t source1, const Sides& grid1,
                          uintptr_t source2, const Sides& grid2, uintptr_t grad, uintptr_t x1,
                          uintptr_t x2, uintptr_t grad1, uintptr_t grad2, uintptr_t grad_mask) {
  return {{layout(shape, dtype, mask, mask_dtype, mask_grid, source1, grid1, source2, grid2),
           pointer<const void>(grad), pointer<const void>(x1), pointer<const void>(x2),
           pointer<void>(grad1), pointer<void>(grad2), pointer<double>(grad_mask)}};
}

#ifdef PUZZLEMIX_HAS_CUDA
int enqueue(const MixProblem& problem, void* stream) { return mix_cuda(problem, stream); }
int enqueue(const MixGradProblem& problem, void* stream) { return mix_grad_cuda(problem, stream); }
#endif

// Kernels of their own, which need no scratch memory.
template <typename Call, typename... Fields, typename... Names>
void bind_kernels(py::module_& module, const char* name, Call (*make)(Fields...),
                  const Names&... names) {
  py::module_ entries = module.def_submodule(name);
  bind_cpu(entries, make, names...);
  entries.def("scratch_bytes", [](const py::kwargs&) { return 0; });
#ifdef PUZZLEMIX_HAS_CUDA
  entries.def(
      "enqueue",
      [make](uintptr_t stream, uintptr_t, Fields... fields) {
        const Call call = make(fields...);
        int code = 0;
        {
          const py::gil_scoped_release release;
          code = enqueue(call.problem, pointer<void>(stream));
        }
        expect_launched(code);
      },
      py::arg("stream"), py::arg("scratch"), py::kw_only(), names...);
#endif
}

}  // namespace

void bind_mix(py::module_& module) {
  bind_kernels(module, "mix", &mix_call, py::arg("shape"), py::arg("dtype"), py::arg("mask"),
               py::arg("mask_dtype"), py::arg("mask_grid"), py::arg("source1"), py::arg("grid1"),
               py::arg("source2"), py::arg("grid2"), py::arg("x1"), py::arg("x2"), py::arg("out"));
  bind_kernels(module, "mix_grad", &mix_grad_call, py::arg("shape"), py::arg("dtype"),
               py::arg("mask"), py::arg("mask_dtype"), py::arg("mask_grid"), py::arg("source1"),
               py::arg("grid1"), py::arg("source2"), py::arg("grid2"), py::arg("grad"),
               py::arg("x1"), py::arg("x2"), py::arg("grad1"), py::arg("grad2"),
               py::arg("grad_mask"));
}

}  // namespace puzzlemix
