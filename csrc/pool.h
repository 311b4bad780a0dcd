// A pool of threads over which the CPU solvers spread a batch.
//
// It survives fork(): a child process has none of the parent's workers and starts its own at its
// first call, where OpenMP would hang in a forked DataLoader worker. A caller that finds the pool
// busy does all the work itself, so concurrent and nested callers never wait for each other.
#pragma once

#include <cstdint>
#include <functional>

namespace puzzlemix {

// Calls body(begin, end) on ranges that cover [0, count), on up to `threads` threads, the caller's
// included, and at most count / grain of them: `grain` items pay for waking a thread. The first
// exception of a body is rethrown once all threads have stopped. Between ranges and while it waits,
// the caller checks whether it is to stop (interrupt.h), and then throws Interrupted likewise.
void parallel_for(int64_t count, int64_t grain, int threads,
                  const std::function<void(int64_t, int64_t)>& body);

}  // namespace puzzlemix
