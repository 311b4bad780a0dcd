// Workspaces that outlive the ranges of a parallel loop.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

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

}  // namespace puzzlemix
