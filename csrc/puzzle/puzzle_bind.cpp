#include <pybind11/stl.h>

#include "bindings.h"
#include "puzzle/puzzle.h"

namespace puzzlemix {

namespace py = pybind11;

void bind_puzzle(py::module_& module) {
  py::class_<PuzzleProblem>(module, "PuzzleProblem")
      .def(py::init([](const Input& x1, const Input& x2, const Input& saliency1,
                       const Input& saliency2, bool channels_last,
                       const std::array<int64_t, 5>& images, const std::array<int, 4>& maps,
                       uintptr_t partner, const std::optional<Input>& lam, double lam_number,
                       const std::optional<Input>& std, int std_count,
                       const std::array<int, 4>& grids, int labels, double beta, double gamma,
                       double eta, double xi, int neighborhood, bool bilinear, bool exact_cut,
                       int transport, int64_t cycles, bool doubles, uintptr_t mask, uintptr_t ratio,
                       uintptr_t source1, uintptr_t source2, uintptr_t objective) {
             PuzzleProblem p;
             p.x1 = array(x1);
             p.x2 = array(x2);
             p.saliency1 = array(saliency1);
             p.saliency2 = array(saliency2);
             p.channels_last = channels_last;
             p.batch = images[0];
             p.others = images[1];
             p.channels = static_cast<int>(images[2]);
             p.rows = static_cast<int>(images[3]);
             p.columns = static_cast<int>(images[4]);
             p.saliency_rows1 = maps[0];
             p.saliency_columns1 = maps[1];
             p.saliency_rows2 = maps[2];
             p.saliency_columns2 = maps[3];
             p.partner = pointer<const int64_t>(partner);
             p.lam = lam ? array(*lam) : Array{nullptr, Dtype::float64};
             p.lam_number = lam_number;
             p.std = std ? array(*std) : Array{nullptr, Dtype::float64};
             p.std_count = std_count;
             p.height = grids[0];
             p.width = grids[1];
             p.fine_height = grids[2];
             p.fine_width = grids[3];
             p.labels = labels;
             p.beta = beta;
             p.gamma = gamma;
             p.eta = eta;
             p.xi = xi;
             p.neighborhood = neighborhood;
             p.bilinear = bilinear;
             p.exact_cut = exact_cut;
             p.transport = static_cast<Transport>(transport);
             p.cycles = cycles;
             p.doubles = doubles;
             p.mask = pointer<void>(mask);
             p.ratio = pointer<void>(ratio);
             p.source1 = pointer<int64_t>(source1);
             p.source2 = pointer<int64_t>(source2);
             p.objective = pointer<double>(objective);
             return p;
           }),
           py::kw_only(), py::arg("x1"), py::arg("x2"), py::arg("saliency1"), py::arg("saliency2"),
           py::arg("channels_last"), py::arg("images"), py::arg("maps"), py::arg("partner"),
           py::arg("lam"), py::arg("lam_number"), py::arg("std"), py::arg("std_count"),
           py::arg("grids"), py::arg("labels"), py::arg("beta"), py::arg("gamma"), py::arg("eta"),
           py::arg("xi"), py::arg("neighborhood"), py::arg("bilinear"), py::arg("exact_cut"),
           py::arg("transport"), py::arg("cycles"), py::arg("doubles"), py::arg("mask"),
           py::arg("ratio"), py::arg("source1"), py::arg("source2"), py::arg("objective"));
  module.def("puzzle_plan", [](const PuzzleProblem& problem, int threads) {
    const py::gil_scoped_release release;
    const Status status = puzzle_plan_cpu(problem, threads);
    return std::tuple(static_cast<int>(status.fault), status.argument, status.sample, status.entry);
  });
}

}  // namespace puzzlemix
