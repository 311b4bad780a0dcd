// The plan on CUDA: all that it does stands in device_puzzle.h.
#include "launch.cuh"
#include "puzzle/device_puzzle.h"

namespace puzzlemix {

template int solve_cuda<DevicePool>(const PoolProblem&, void*, void*);

template int solve_cuda<DeviceDecide<TeamSwapEngine, TeamBlockApprox>>(const DecideProblem&, void*,
                                                                       void*);
template int solve_cuda<DeviceDecide<TeamSwapEngine, TeamBlockExact>>(const DecideProblem&, void*,
                                                                      void*);
template int solve_cuda<DeviceDecide<TeamExactEngine, TeamBlockApprox>>(const DecideProblem&, void*,
                                                                        void*);
template int solve_cuda<DeviceDecide<TeamExactEngine, TeamBlockExact>>(const DecideProblem&, void*,
                                                                       void*);

}  // namespace puzzlemix
