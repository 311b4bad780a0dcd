#include "dispatch.h"
#include "transport/device_assignment.h"
#include "transport/device_transport.h"
#include "transport/transport.h"

namespace puzzlemix {

namespace py = pybind11;

namespace {

struct AssignmentCall {
  AssignmentProblem problem;

  Status run(int threads) const { return assignment_cpu(problem, threads); }

  template <typename Use>
  Status on_device(const Use& use) const {
    if (problem.exact) {
      use(Chosen<DeviceAssignmentExact>(), problem);
    } else {
      use(Chosen<DeviceAssignmentApprox>(), problem);
    }
    return {};
  }
};

struct TransportCall {
  TransportProblem problem;

  Status run(int threads) const { return masked_transport_cpu(problem, threads); }

  template <typename Use>
  Status on_device(const Use& use) const {
    if (problem.exact) {
      use(Chosen<DeviceTransportExact>(), problem);
    } else {
      use(Chosen<DeviceTransportApprox>(), problem);
    }
    return {};
  }
};

AssignmentCall assignment_call(uintptr_t cost, int cost_dtype, int64_t batch, int64_t rows,
                               int64_t columns, bool exact, uintptr_t source, uintptr_t total) {
  return {{array(cost, cost_dtype), batch, rows, columns, exact, pointer<int64_t>(source),
           pointer<double>(total)}};
}

TransportCall transport_call(uintptr_t saliency, int saliency_dtype, uintptr_t mask, int mask_dtype,
                             int64_t batch, int64_t height, int64_t width, double xi,
                             bool indicator, bool exact, uintptr_t source, uintptr_t total) {
  return {{array(saliency, saliency_dtype), array(mask, mask_dtype), batch, height, width, xi,
           indicator, exact, pointer<int64_t>(source), pointer<double>(total)}};
}

}  // namespace

void bind_transport(py::module_& module) {
  bind_operator(module, "assignment", &assignment_call, py::arg("cost"), py::arg("cost_dtype"),
                py::arg("batch"), py::arg("rows"), py::arg("columns"), py::arg("exact"),
                py::arg("source"), py::arg("total"));
  bind_operator(module, "masked_transport", &transport_call, py::arg("saliency"),
                py::arg("saliency_dtype"), py::arg("mask"), py::arg("mask_dtype"), py::arg("batch"),
                py::arg("height"), py::arg("width"), py::arg("xi"), py::arg("indicator"),
                py::arg("exact"), py::arg("source"), py::arg("total"));
}

}  // namespace puzzlemix
