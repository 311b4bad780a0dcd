#include <pybind11/stl.h>

#include "bindings.h"
#include "graphcut/graphcut.h"
#include "graphcut/team_graphcut.h"
#include "where.h"

namespace puzzlemix {

namespace py = pybind11;

namespace {

using Costs = std::array<Input, 4>;

struct Call {
  const Costs& costs;
  bool integers;
  bool label_cost_known;  // it is in the host's memory, whatever the others are in
  const std::array<int, 4>& shape;
  uintptr_t out, energy;
};

LabelingProblem labeling_problem(const Call& call) {
  const auto [batch, height, width, labels] = call.shape;
  return {array(call.costs[0]),
          array(call.costs[1]),
          array(call.costs[2]),
          array(call.costs[3]),
          call.integers,
          batch,
          height,
          width,
          labels,
          pointer<int64_t>(call.out),
          pointer<double>(call.energy)};
}

template <typename Algorithm, typename Cpu>
int64_t label(const Call& call, int64_t max_cycles, bool convex, const Where& where,
              const Cpu& cpu) {
  const LabelingProblem given = labeling_problem(call);
  DeviceLabelingProblem problem{given, max_cycles, call.label_cost_known, {}};
  if (place(where) != Place::cpu && problem.known) {
    const bool valid =
        read_label_cost(given, problem.known_cost) && (!convex || make_convex(problem.known_cost));
    if (!valid) return -1;
  }
  return run<Algorithm>(problem, where, [&](int threads) { return cpu(given, threads); });
}

}  // namespace

void bind_graphcut(py::module_& module) {
  module.def("grid_min_cut", [](const Costs& costs, bool integers, const std::array<int, 3>& shape,
                                uintptr_t segment, uintptr_t flow, const Where& where) {
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
    return run<TeamMinCut>(problem, where,
                           [&](int threads) { return grid_min_cut_cpu(problem, threads); });
  });
  module.def("alpha_beta_swap", [](const Costs& costs, bool integers, bool known,
                                   const std::array<int, 4>& shape, uintptr_t out, uintptr_t energy,
                                   int64_t max_cycles, const Where& where) {
    return label<TeamSwap>({costs, integers, known, shape, out, energy}, max_cycles, false, where,
                           [=](const LabelingProblem& problem, int threads) {
                             return alpha_beta_swap_cpu(problem, max_cycles, threads);
                           });
  });
  module.def("exact_labeling",
             [](const Costs& costs, bool integers, bool known, const std::array<int, 4>& shape,
                uintptr_t out, uintptr_t energy, const Where& where) {
               return label<TeamExact>({costs, integers, known, shape, out, energy}, -1, true,
                                       where, exact_labeling_cpu);
             });
  module.def("labeling_energy",
             [](const Costs& costs, bool integers, bool known, const std::array<int, 4>& shape,
                uintptr_t labels, uintptr_t energy, const Where& where) {
               return label<TeamLabelingEnergy>({costs, integers, known, shape, labels, energy}, -1,
                                                false, where, labeling_energy_cpu);
             });
}

}  // namespace puzzlemix
