// What the kernels that decide pairs have in common. Those of either cut are instantiated in a file
// of their own, as they take the longest to compile, and so do it side by side.
#pragma once

#include "launch.cuh"
#include "puzzle/device_puzzle.h"

namespace puzzlemix {

// In shared memory alone these kernels would have stack frames of 500 bytes and more, for the
// addresses, and a level of a cut 34 instructions instead of 29. Samples of 16x16 don't fit there
// anyway.
template <typename CutEngine, typename TransportEngine>
constexpr bool kManyAddresses<DeviceDecide<CutEngine, TransportEngine>> = true;

}  // namespace puzzlemix
