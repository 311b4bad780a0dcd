#include <pybind11/stl.h>

#include "bindings.h"
#include "mix/mix.h"

namespace puzzlemix {

namespace py = pybind11;

namespace {

using Side = std::pair<int64_t, int64_t>;
using Map = std::tuple<uintptr_t, int64_t, int64_t>;  // address or 0, rows, cols

// dtype, mask, its grid, two maps, [B, C, Y, X]
using Layout = std::tuple<int, Input, Side, Map, Map, std::array<int64_t, 4>>;

BlockMap block_map(const Map& map) {
  const auto [address, rows, cols] = map;
  return {pointer<const int64_t>(address), {rows, cols}};
}

MixLayout layout(const Layout& given) {
  const auto& [dtype, mask, grid, map1, map2, shape] = given;
  return {static_cast<Dtype>(dtype),
          array(mask),
          {grid.first, grid.second},
          block_map(map1),
          block_map(map2),
          shape[0],
          shape[1],
          shape[2],
          shape[3]};
}

#ifndef PUZZLEMIX_HAS_CUDA
constexpr int (*mix_cuda)(const MixProblem&, void*) = nullptr;
constexpr int (*mix_grad_cuda)(const MixGradProblem&, void*) = nullptr;
#endif

// The only choice between CPU and CUDA: a stream of -1 means the CPU. On CUDA the result is the
// launch's error code, 0 where all is well, as Fault::none is.
template <typename Problem>
int run(const Problem& problem, Status (*cpu)(const Problem&, int),
        [[maybe_unused]] int (*cuda)(const Problem&, void*), int64_t stream, int threads) {
  const py::gil_scoped_release release;
#ifdef PUZZLEMIX_HAS_CUDA
  if (stream >= 0) return cuda(problem, pointer<void>(stream));
#endif
  return stream >= 0 ? -1 : static_cast<int>(cpu(problem, threads).fault);
}

}  // namespace

void bind_mix(py::module_& module) {
  module.def("mix", [](const Layout& given, uintptr_t x1, uintptr_t x2, uintptr_t out,
                       int64_t stream, int threads) {
    const MixProblem problem{layout(given), pointer<const void>(x1), pointer<const void>(x2),
                             pointer<void>(out)};
    return run(problem, mix_cpu, mix_cuda, stream, threads);
  });
  module.def("mix_grad",
             [](const Layout& given, uintptr_t grad, uintptr_t x1, uintptr_t x2, uintptr_t grad1,
                uintptr_t grad2, uintptr_t grad_mask, int64_t stream, int threads) {
               const MixGradProblem problem{layout(given),
                                            pointer<const void>(grad),
                                            pointer<const void>(x1),
                                            pointer<const void>(x2),
                                            pointer<void>(grad1),
                                            pointer<void>(grad2),
                                            pointer<double>(grad_mask)};
               return run(problem, mix_grad_cpu, mix_grad_cuda, stream, threads);
             });
}

}  // namespace puzzlemix
