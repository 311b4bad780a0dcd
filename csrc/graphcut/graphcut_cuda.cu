// The graph cuts on CUDA: all that they do stands in team_graphcut.h.
#include "graphcut/team_graphcut.h"
#include "launch.cuh"

namespace puzzlemix {

template int solve_cuda<TeamMinCut>(const MinCutProblem&, void*, void*);
template int solve_cuda<TeamSwap>(const DeviceLabelingProblem&, void*, void*);
template int solve_cuda<TeamExact>(const DeviceLabelingProblem&, void*, void*);
template int solve_cuda<TeamLabelingEnergy>(const DeviceLabelingProblem&, void*, void*);

}  // namespace puzzlemix
