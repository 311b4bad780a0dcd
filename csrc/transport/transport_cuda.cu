// Assignment and transport on CUDA: all that they do stands in device_assignment.h and
// device_transport.h.
#include "launch.cuh"
#include "transport/device_assignment.h"
#include "transport/device_transport.h"

namespace puzzlemix {

template int solve_cuda<DeviceAssignmentApprox>(const AssignmentProblem&, void*, void*);
template int solve_cuda<DeviceAssignmentExact>(const AssignmentProblem&, void*, void*);
template int solve_cuda<DeviceTransportApprox>(const TransportProblem&, void*, void*);
template int solve_cuda<DeviceTransportExact>(const TransportProblem&, void*, void*);

}  // namespace puzzlemix
