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

AssignmentCall assignment_call(const Tensor& cost, bool exact, const Tensor& source,
                               const Tensor& total) {
  const auto [batch, rows, columns] = cost.sizes<3>();
  return {
      {cost.array(), batch, rows, columns, exact, source.data<int64_t>(), total.data<double>()}};
}

TransportCall transport_call(const Tensor& saliency, const Tensor& mask, double xi, bool indicator,
                             bool exact, const Tensor& source, const Tensor& total) {
  const auto [batch, height, width] = saliency.sizes<3>();
  return {{saliency.array(), mask.array(), batch, height, width, xi, indicator, exact,
           source.data<int64_t>(), total.data<double>()}};
}

}  // namespace

void bind_transport(py::module_& module) {
  using py::arg;
  bind_operator(module, "assignment", &assignment_call, arg("cost"), arg("exact"), arg("source"),
                arg("total"));
  bind_operator(module, "masked_transport", &transport_call, arg("saliency"), arg("mask"),
                arg("xi"), arg("indicator"), arg("exact"), arg("source"), arg("total"));
}

}  // namespace puzzlemix
