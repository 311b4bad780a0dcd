// Assignment and transport on CUDA: all that they do stands in team_assignment.h and
// team_transport.h.
#include "launch.cuh"
#include "transport/team_assignment.h"
#include "transport/team_transport.h"

namespace puzzlemix {

template int solve_cuda<TeamAssignmentApprox>(const AssignmentProblem&, void*, void*);
template int solve_cuda<TeamAssignmentExact>(const AssignmentProblem&, void*, void*);
template int solve_cuda<TeamTransportApprox>(const TransportProblem&, void*, void*);
template int solve_cuda<TeamTransportExact>(const TransportProblem&, void*, void*);

}  // namespace puzzlemix
