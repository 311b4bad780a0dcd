// Solving the samples of a batch on threads, each with storage of its own.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "pool.h"
#include "tensor.h"

namespace puzzlemix {

// Workspaces that outlive the ranges of a parallel loop. A range takes one and returns it, so that
// a call makes as many as it has threads and not one for each range: tables and vectors cost as
// much as several small samples.
template <typename Workspace>
class Workspaces {
 public:
  template <typename Make, typename Use>
  void with(const Make& make, const Use& use) {
    std::unique_ptr<Workspace> workspace = take();
    if (!workspace) workspace.reset(new Workspace(make()));
    use(*workspace);
    const std::lock_guard<std::mutex> lock(mutex_);
    spare_.push_back(std::move(workspace));
  }

 private:
  std::unique_ptr<Workspace> take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (spare_.empty()) return nullptr;
    std::unique_ptr<Workspace> workspace = std::move(spare_.back());
    spare_.pop_back();
    return workspace;
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> spare_;
};

// The fault of the lowest sample, whichever thread finds it first.
class FirstFault {
 public:
  void add(const Status& status) {
    if (status.ok()) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (first_.ok() || status.sample < first_.sample) first_ = status;
  }
  const Status& status() const { return first_; }

 private:
  std::mutex mutex_;
  Status first_;
};

// Solves a problem's batch on up to `threads` threads, `grain` samples being worth a thread. A
// Workspace is made of a problem, says whether it fits another one, and solves one sample at a time,
// with a Status. Each thread keeps its last one from call to call: tables and vectors cost as much
// as several small samples.
template <typename Workspace, typename Problem>
Status solve_batch(const Problem& problem, int64_t grain, int threads) {
  FirstFault fault;
  parallel_for(problem.batch, grain, threads, [&](int64_t begin, int64_t end) {
    thread_local std::unique_ptr<Workspace> kept;
    // Out of the keeper's hands meanwhile: what a solve leaves behind that is interrupted is lost.
    std::unique_ptr<Workspace> mine = std::move(kept);
    if (!mine || !mine->fits(problem)) mine = std::make_unique<Workspace>(problem);
    for (int64_t b = begin; b < end; ++b) fault.add(mine->solve(problem, b));
    kept = std::move(mine);
  });
  return fault.status();
}

// Solves a batch on up to `threads` threads, `grain` samples being worth a thread. make() returns a
// solver, which is called with a sample's index and returns a Status.
template <typename Make>
Status solve_batch(int64_t batch, int64_t grain, int threads, const Make& make) {
  FirstFault fault;
  Workspaces<decltype(make())> workspaces;
  parallel_for(batch, grain, threads, [&](int64_t begin, int64_t end) {
    workspaces.with(make, [&](auto& solve) {
      for (int64_t b = begin; b < end; ++b) fault.add(solve(b));
    });
  });
  return fault.status();
}

}  // namespace puzzlemix
