// Instantiates the kernels of the plan that pool images, and those that decide by alpha-beta swap.
// Their algorithms are in device_puzzle.h.
#include "puzzle/decide_cuda.cuh"

namespace puzzlemix {

template <>
constexpr bool kWaitsForMemory<DevicePool> = true;

template int solve_cuda<DevicePool>(const PoolProblem&, void*, void*);

template int solve_cuda<DeviceDecide<DeviceSwapEngine, DeviceBlockApprox>>(const DecideProblem&,
                                                                           void*, void*);
template int solve_cuda<DeviceDecide<DeviceSwapEngine, DeviceBlockExact>>(const DecideProblem&,
                                                                          void*, void*);

}  // namespace puzzlemix
