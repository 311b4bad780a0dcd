// Instantiates the kernels of the plan, whose algorithms are in device_puzzle.h.
#include "launch.cuh"
#include "puzzle/device_puzzle.h"

namespace puzzlemix {

template <>
constexpr bool kWaitsForMemory<DevicePool> = true;

// In shared memory alone these kernels would have stack frames of 500 bytes and more, for the
// addresses, and a level of a cut 34 instructions instead of 29. Samples of 16x16 don't fit there
// anyway.
template <typename CutEngine, typename TransportEngine>
constexpr bool kManyAddresses<DeviceDecide<CutEngine, TransportEngine>> = true;

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
