// Instantiates the kernels of the plan that decide by exact labelling, whose algorithms are in
// device_puzzle.h.
#include "puzzle/decide_cuda.cuh"

namespace puzzlemix {

template int solve_cuda<DeviceDecide<DeviceExactEngine, DeviceBlockApprox>>(const DecideProblem&,
                                                                            void*, void*);
template int solve_cuda<DeviceDecide<DeviceExactEngine, DeviceBlockExact>>(const DecideProblem&,
                                                                           void*, void*);

}  // namespace puzzlemix
