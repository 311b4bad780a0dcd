// Solving the samples of a batch on threads, each with storage of its own.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "pool.h"
#include "tensor.h"

namespace puzzlemix {

// The fault of the lowest sample solved, whichever thread finds it first. The Status may name
// another sample, of a tensor in which this one has its partner.
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

// Solves a problem's batch on up to `threads` threads, `grain` samples being worth a thread. A
// Workspace is made of a problem, says whether it fits another one, and solves one sample at a
// time, with a Status. Each thread keeps its last one from call to call: tables and vectors cost as
// much as several small samples.
template <typename Workspace, typename Problem>
Status solve_batch(const Problem& problem, int64_t grain, int threads) {
  FirstFault fault;
  parallel_for(problem.batch, grain, threads, [&](int64_t begin, int64_t end) {
    thread_local std::unique_ptr<Workspace> kept;
    // Out of the keeper's hands meanwhile: what a solve leaves behind that is interrupted is lost.
    std::unique_ptr<Workspace> mine = std::move(kept);
    if (!mine || !mine->fits(problem)) mine = std::make_unique<Workspace>(problem);
    for (int64_t b = begin; b < end; ++b) fault.add(b, mine->solve(problem, b));
    kept = std::move(mine);
  });
  return fault.status();
}

}  // namespace puzzlemix
