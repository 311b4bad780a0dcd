#include <pybind11/stl.h>

#include "bindings.h"
#include "transport/transport.h"
#include "where.h"

namespace puzzlemix {

namespace py = pybind11;

void bind_transport(py::module_& module) {
  module.def("assignment", [](const Input& cost, int64_t batch, int64_t n, bool exact,
                              uintptr_t source, uintptr_t total, const Where& where) {
    const AssignmentProblem problem{
        array(cost), batch, n, exact, pointer<int64_t>(source), pointer<double>(total)};
    const py::gil_scoped_release release;
    const int threads = static_cast<int>(std::get<1>(where));
    return static_cast<int>(assignment_cpu(problem, threads));
  });
  module.def("masked_transport", [](const Input& saliency, const Input& mask,
                                    const std::array<int64_t, 3>& shape, double xi, bool indicator,
                                    bool exact, uintptr_t source, uintptr_t total, const Where& where) {
    const auto [batch, height, width] = shape;
    const TransportProblem problem{
        array(saliency),          array(mask),           batch, height, width, xi, indicator, exact,
        pointer<int64_t>(source), pointer<double>(total)};
    const py::gil_scoped_release release;
    const int threads = static_cast<int>(std::get<1>(where));
    return static_cast<int>(masked_transport_cpu(problem, threads));
  });
}

}  // namespace puzzlemix
