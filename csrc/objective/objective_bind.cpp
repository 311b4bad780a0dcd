#include <pybind11/stl.h>

#include "bindings.h"
#include "objective/block_sums.h"
#include "objective/team_objective.h"
#include "where.h"

namespace puzzlemix {

namespace py = pybind11;

void bind_objective(py::module_& module) {
  using Sizes = std::array<int, 7>;  // C, Y', X', h, w, h', w'
  using Model = std::tuple<int, double, double, double, double, bool>;
  module.def("pair", [](const std::array<Input, 2>& cells, uintptr_t partner, uintptr_t shares,
                        uintptr_t log_prior, uintptr_t sources, bool moved, int64_t batch,
                        int64_t images, const Sizes& sizes, const Model& model,
                        const std::array<uintptr_t, 3>& costs, uintptr_t label, uintptr_t terms,
                        const Where& where) {
    const auto [channels, rows, columns, height, width, fine_height, fine_width] = sizes;
    const auto [labels, smoothness, gamma, eta, xi, bilinear] = model;
    const PairProblem problem{{array(cells[0]), array(cells[1])},
                              pointer<const int64_t>(partner),
                              pointer<const double>(shares),
                              pointer<const double>(log_prior),
                              pointer<const int64_t>(sources),
                              moved,
                              batch,
                              images,
                              channels,
                              rows,
                              columns,
                              height,
                              width,
                              fine_height,
                              fine_width,
                              {labels, smoothness, gamma, eta, xi, bilinear},
                              pointer<double>(costs[0]),
                              pointer<double>(costs[1]),
                              pointer<double>(costs[2]),
                              pointer<const int64_t>(label),
                              pointer<double>(terms)};
    return run<TeamPair>(problem, where, [&](int threads) { return pair_cpu(problem, threads); });
  });
  module.def("block_sums", [](const Input& values, int64_t planes, const std::array<int, 4>& sizes,
                              uintptr_t sums, bool precise, int threads) {
    const auto [height, width, rows, columns] = sizes;
    const BlockSums problem{array(values),       planes, height, width, rows, columns,
                            pointer<void>(sums), precise};
    const py::gil_scoped_release released;
    return static_cast<int>(block_sums_cpu(problem, threads).fault);
  });
}

}  // namespace puzzlemix
