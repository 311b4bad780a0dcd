#include <pybind11/stl.h>

#include "bindings.h"
#include "transport/team_assignment.h"
#include "transport/team_transport.h"
#include "transport/transport.h"
#include "where.h"

namespace puzzlemix {

namespace py = pybind11;

void bind_transport(py::module_& module) {
  module.def("assignment", [](const Input& cost, int64_t batch, int64_t n, bool exact,
                              uintptr_t source, uintptr_t total, const Where& where) {
    const AssignmentProblem problem{
        array(cost), batch, n, exact, pointer<int64_t>(source), pointer<double>(total)};
    const auto cpu = [&](int threads) { return assignment_cpu(problem, threads); };
    return exact ? run<TeamAssignmentExact>(problem, where, cpu)
                 : run<TeamAssignmentApprox>(problem, where, cpu);
  });
  module.def("masked_transport", [](const Input& saliency, const Input& mask,
                                    const std::array<int64_t, 3>& shape, double xi, bool indicator,
                                    bool exact, uintptr_t source, uintptr_t total,
                                    const Where& where) {
    const auto [batch, height, width] = shape;
    const TransportProblem problem{
        array(saliency),          array(mask),           batch, height, width, xi, indicator, exact,
        pointer<int64_t>(source), pointer<double>(total)};
    const auto cpu = [&](int threads) { return masked_transport_cpu(problem, threads); };
    return exact ? run<TeamTransportExact>(problem, where, cpu)
                 : run<TeamTransportApprox>(problem, where, cpu);
  });
}

}  // namespace puzzlemix
