// A small pool of threads over which the CPU solvers spread a batch.
//
// It survives fork(): a child forgets the parent's workers, which don't exist there, and starts
// its own at its first call (OpenMP would hang in a forked DataLoader worker). A caller that finds
// the pool busy works alone, so concurrent and nested callers never wait for each other.
#pragma once

#include <cstdint>
#include <functional>

namespace puzzlemix {

// Calls body(begin, end) on ranges that cover [0, count), on up to `threads` threads, this one
// included, and on no more than count / grain: `grain` items are worth waking a thread for. The
// first exception of a body is rethrown here once all threads have stopped; so is Interrupted, for
// which this asks between ranges and while it waits (see interrupt.h).
void parallel_for(int64_t count, int64_t grain, int threads,
                  const std::function<void(int64_t, int64_t)>& body);

}  // namespace puzzlemix
