// The costs and terms on CUDA: all that they do stands in team_objective.h.
#include "launch.cuh"
#include "objective/team_objective.h"

namespace puzzlemix {

template int solve_cuda<TeamPair>(const PairProblem&, void*, void*);

}  // namespace puzzlemix
