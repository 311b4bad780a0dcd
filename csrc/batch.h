// Solving the samples of a batch on threads, each with a workspace of its own.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "pool.h"
#include "tensor.h"

namespace puzzlemix {

// Keeps the fault that was met solving the lowest sample number, whichever thread reports first.
// `solved` is that number; the Status itself may name another sample, the partner of this one.
class FirstFault {
 public:
  void add(int64_t solved, const Status& status) {
    if (status.ok()) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!first_.ok() && lowest_ < solved) return;
    first_ = status;
    lowest_ = solved;
  }
  const Status& status() const { return first_; }

 private:
  std::mutex mutex_;
  Status first_;
  int64_t lowest_ = 0;
};

// Solves a problem's batch on up to `threads` threads; `grain` samples pay for waking a thread. A
// Workspace is constructed from a problem; fits(problem) says whether it can serve another one, and
// solve(problem, b) solves a sample and returns a Status. Each thread keeps its last workspace from
// call to call, as making one takes as long as solving several small samples. `order`: the samples
// in the order in which they are solved; null: by their numbers.
template <typename Workspace, typename Problem>
Status solve_batch(const Problem& problem, int64_t grain, int threads,
                   const int64_t* order = nullptr) {
  FirstFault fault;
  parallel_for(problem.batch, grain, threads, [&](int64_t begin, int64_t end) {
    thread_local std::unique_ptr<Workspace> kept;
    // Taken out of `kept` while in use, so that an exception destroys it: an interrupted solve
    // leaves a workspace in an unknown state.
    std::unique_ptr<Workspace> mine = std::move(kept);
    if (!mine || !mine->fits(problem)) mine = std::make_unique<Workspace>(problem);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t b = order ? order[i] : i;
      fault.add(b, mine->solve(problem, b));
    }
    kept = std::move(mine);
  });
  return fault.status();
}

}  // namespace puzzlemix
