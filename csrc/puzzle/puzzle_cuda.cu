// Instantiates the kernels of the plan, whose algorithms are in device_puzzle.h.
#include "launch.cuh"
#include "puzzle/device_puzzle.h"

namespace puzzlemix {

template <>
constexpr bool kWaitsForMemory<DevicePool> = true;

template int solve_cuda<DevicePool>(const PoolProblem&, void*, void*);

template int solve_cuda<DeviceDecide<DeviceSwapEngine, DeviceBlockApprox>>(const DecideProblem&,
                                                                           void*, void*);
template int solve_cuda<DeviceDecide<DeviceSwapEngine, DeviceBlockExact>>(const DecideProblem&,
                                                                          void*, void*);
template int solve_cuda<DeviceDecide<DeviceExactEngine, DeviceBlockApprox>>(const DecideProblem&,
                                                                            void*, void*);
template int solve_cuda<DeviceDecide<DeviceExactEngine, DeviceBlockExact>>(const DecideProblem&,
                                                                           void*, void*);

}  // namespace puzzlemix
