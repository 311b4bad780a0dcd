// Workspaces that outlive the ranges of a parallel loop.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "pool.h"
#include "tensor.h"

namespace puzzlemix {

// A range takes a workspace and returns it, so that a call makes as many as it has threads and not
// one for each range: tables and vectors cost as much as several small samples.
template <typename Workspace>
class Workspaces {
 public:
  template <typename Make, typename Use>
  void with(const Make& make, const Use& use) {
    std::unique_ptr<Workspace> workspace = take();
    if (!workspace) workspace = make();
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

// Solves a batch on up to `threads` threads, `grain` samples being worth a thread. A workspace is
// made from the problem and called with a sample's index; false where a value is forbidden.
template <typename Workspace, typename Problem>
Status solve_batch(const Problem& problem, int64_t grain, int threads) {
  std::atomic<bool> valid{true};
  Workspaces<Workspace> workspaces;
  const auto make = [&problem] { return std::make_unique<Workspace>(problem); };
  parallel_for(problem.batch, grain, threads, [&](int64_t begin, int64_t end) {
    workspaces.with(make, [&](Workspace& workspace) {
      for (int64_t b = begin; b < end; ++b) {
        if (!workspace(b)) valid = false;
      }
    });
  });
  return valid ? Status::ok : Status::bad_value;
}

}  // namespace puzzlemix
