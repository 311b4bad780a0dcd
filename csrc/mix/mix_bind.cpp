#include <pybind11/stl.h>

#include "bindings.h"
#include "mix/mix.h"

namespace puzzlemix {

namespace py = pybind11;

namespace {

using Side = std::pair<int64_t, int64_t>;
using Map = std::tuple<uintptr_t, int64_t, int64_t>;  // address or 0, rows, cols
using Shape = std::array<int64_t, 4>;

Grid grid(const Side& side) { return {side.first, side.second}; }

BlockMap block_map(const Map& map) {
  const auto [address, rows, cols] = map;
  return {pointer<const int64_t>(address), {rows, cols}};
}

// The only choice between CPU and CUDA: a stream of -1 means the CPU. On CUDA the result is the
// launch's error code, 0 where all is well, as Status::ok is.
template <typename Problem>
int run(const Problem& problem, Status (*cpu)(const Problem&, int),
        [[maybe_unused]] int (*cuda)(const Problem&, void*), int64_t stream, int threads) {
#ifdef PUZZLEMIX_HAS_CUDA
  if (stream >= 0) return cuda(problem, pointer<void>(stream));
#endif
  return stream >= 0 ? -1 : static_cast<int>(cpu(problem, threads));
}

#ifndef PUZZLEMIX_HAS_CUDA
constexpr int (*mix_cuda)(const MixProblem&, void*) = nullptr;
constexpr int (*mix_grad_cuda)(const MixGradProblem&, void*) = nullptr;
#endif

}  // namespace

void bind_mix(py::module_& module) {
  module.def("mix", [](int dtype, uintptr_t x1, uintptr_t x2, const Input& mask,
                       const Side& mask_grid, const Map& map1, const Map& map2, const Shape& shape,
                       uintptr_t out, int64_t stream, int threads) {
    const auto [batch, channels, height, width] = shape;
    const MixProblem problem{static_cast<Dtype>(dtype),
                             pointer<const void>(x1),
                             pointer<const void>(x2),
                             array(mask),
                             grid(mask_grid),
                             block_map(map1),
                             block_map(map2),
                             batch,
                             channels,
                             height,
                             width,
                             pointer<void>(out)};
    const py::gil_scoped_release release;
    return run(problem, mix_cpu, mix_cuda, stream, threads);
  });
  module.def("mix_grad", [](int dtype, uintptr_t grad, uintptr_t x1, uintptr_t x2,
                            const Input& mask, const Side& mask_grid, const Map& map1,
                            const Map& map2, const Shape& shape, uintptr_t grad1, uintptr_t grad2,
                            uintptr_t grad_mask, int64_t stream, int threads) {
    const auto [batch, channels, height, width] = shape;
    const MixGradProblem problem{static_cast<Dtype>(dtype),
                                 pointer<const void>(grad),
                                 pointer<const void>(x1),
                                 pointer<const void>(x2),
                                 array(mask),
                                 grid(mask_grid),
                                 block_map(map1),
                                 block_map(map2),
                                 batch,
                                 channels,
                                 height,
                                 width,
                                 pointer<void>(grad1),
                                 pointer<void>(grad2),
                                 pointer<double>(grad_mask)};
    const py::gil_scoped_release release;
    return run(problem, mix_grad_cpu, mix_grad_cuda, stream, threads);
  });
}

}  // namespace puzzlemix
