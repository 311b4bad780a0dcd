// The graph cuts on CUDA: all that they do stands in device_graphcut.h.
#include "graphcut/device_graphcut.h"
#include "launch.cuh"

namespace puzzlemix {

template int solve_cuda<DeviceMinCut>(const MinCutProblem&, void*, void*);
template int solve_cuda<DeviceSwap>(const DeviceLabelingProblem&, void*, void*);
template int solve_cuda<DeviceExact>(const DeviceLabelingProblem&, void*, void*);
template int solve_cuda<DeviceLabelingEnergy>(const DeviceLabelingProblem&, void*, void*);

}  // namespace puzzlemix
