#include <pybind11/stl.h>

#include "bindings.h"
#include "graphcut/graphcut.h"

namespace puzzlemix {

namespace py = pybind11;

namespace {

// The three labelling functions take the same problem, and how to solve it.
template <typename Solve>
int label(const std::array<Input, 4>& costs, bool integers, const std::array<int, 4>& shape,
          uintptr_t out, uintptr_t energy, const Solve& solve) {
  const auto [batch, height, width, labels] = shape;
  const LabelingProblem problem{array(costs[0]),
                                array(costs[1]),
                                array(costs[2]),
                                array(costs[3]),
                                integers,
                                batch,
                                height,
                                width,
                                labels,
                                pointer<int64_t>(out),
                                pointer<double>(energy)};
  const py::gil_scoped_release release;
  return static_cast<int>(solve(problem));
}

}  // namespace

void bind_graphcut(py::module_& module) {
  module.def("grid_min_cut",
             [](const std::array<Input, 4>& costs, bool integers, const std::array<int, 3>& shape,
                uintptr_t segment, uintptr_t flow, int threads) {
               const auto [batch, height, width] = shape;
               const MinCutProblem problem{array(costs[0]),
                                           array(costs[1]),
                                           array(costs[2]),
                                           array(costs[3]),
                                           integers,
                                           batch,
                                           height,
                                           width,
                                           pointer<bool>(segment),
                                           pointer<double>(flow)};
               const py::gil_scoped_release release;
               return static_cast<int>(grid_min_cut_cpu(problem, threads));
             });
  module.def("alpha_beta_swap", [](const std::array<Input, 4>& costs, bool integers,
                                   const std::array<int, 4>& shape, uintptr_t out, uintptr_t energy,
                                   int64_t max_cycles, int threads) {
    return label(costs, integers, shape, out, energy, [&](const LabelingProblem& problem) {
      return alpha_beta_swap_cpu(problem, max_cycles, threads);
    });
  });
  module.def("exact_labeling", [](const std::array<Input, 4>& costs, bool integers,
                                  const std::array<int, 4>& shape, uintptr_t out, uintptr_t energy,
                                  int threads) {
    return label(costs, integers, shape, out, energy, [&](const LabelingProblem& problem) {
      return exact_labeling_cpu(problem, threads);
    });
  });
  module.def("labeling_energy", [](const std::array<Input, 4>& costs, bool integers,
                                   const std::array<int, 4>& shape, uintptr_t labels,
                                   uintptr_t energy, int threads) {
    return label(costs, integers, shape, labels, energy, [&](const LabelingProblem& problem) {
      return labeling_energy_cpu(problem, threads);
    });
  });
}

}  // namespace puzzlemix
