// Solving the samples of a batch on threads, each with storage of its own.
#pragma once

#include <atomic>
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

// Solves a batch on up to `threads` threads, `grain` samples being worth a thread. make() returns a
// solver, which is called with a sample's index; false where a value is forbidden.
template <typename Make>
Status solve_batch(int64_t batch, int64_t grain, int threads, const Make& make) {
  std::atomic<bool> valid{true};
  Workspaces<decltype(make())> workspaces;
  parallel_for(batch, grain, threads, [&](int64_t begin, int64_t end) {
    workspaces.with(make, [&](auto& solve) {
      for (int64_t b = begin; b < end; ++b) {
        if (!solve(b)) valid = false;
      }
    });
  });
  return valid ? Status::ok : Status::bad_value;
}

}  // namespace puzzlemix
