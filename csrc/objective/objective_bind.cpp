#include <pybind11/stl.h>

#include "dispatch.h"
#include "objective/block_sums.h"
#include "objective/team_objective.h"

namespace puzzlemix {

namespace py = pybind11;

namespace {

struct PairCall {
  PairProblem problem;

  Status run(int threads) const { return pair_cpu(problem, threads); }

  template <typename Use>
  Status on_device(const Use& use) const {
    use(Chosen<TeamPair>(), problem);
    return {};
  }
};

using Sizes = std::array<int, 7>;  // C, Y', X', h, w, h', w'
using Model = std::tuple<int, double, double, double, double, bool>;

PairCall pair_call(const std::array<uintptr_t, 2>& cells, int dtype, uintptr_t partner,
                   uintptr_t shares, uintptr_t log_prior, uintptr_t sources, bool moved,
                   int64_t batch, int64_t images, const Sizes& sizes, const Model& model,
                   const std::array<uintptr_t, 3>& costs, uintptr_t label, uintptr_t terms) {
  const auto [channels, rows, columns, height, width, fine_height, fine_width] = sizes;
  const auto [labels, smoothness, gamma, eta, xi, bilinear] = model;
  return {{{array(cells[0], dtype), array(cells[1], dtype)},
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
           pointer<double>(terms)}};
}

}  // namespace

void bind_objective(py::module_& module) {
  bind_operator(module, "pair", &pair_call, py::arg("cells"), py::arg("dtype"), py::arg("partner"),
                py::arg("shares"), py::arg("log_prior"), py::arg("sources"), py::arg("moved"),
                py::arg("batch"), py::arg("images"), py::arg("sizes"), py::arg("model"),
                py::arg("costs"), py::arg("label"), py::arg("terms"));

  module.def("block_sums",
             [](uintptr_t values, int dtype, int64_t planes, const std::array<int, 4>& sizes,
                uintptr_t sums, bool precise, int threads) {
               const auto [height, width, rows, columns] = sizes;
               const BlockSums problem{array(values, dtype), planes, height, width, rows, columns,
                                       pointer<void>(sums),  precise};
               const py::gil_scoped_release released;
               block_sums_cpu(problem, threads);
             });
}

}  // namespace puzzlemix
