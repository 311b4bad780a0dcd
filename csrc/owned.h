// Host memory for a type that takes its memory from an arena (team.h).
#pragma once

#include <cstdint>
#include <vector>

#include "team.h"

namespace puzzlemix {

// Owned<Work>(sizes...) holds a Work(arena, sizes...) and its memory, which starts as zeros.
template <typename Work>
class Owned {
 public:
  template <typename... Sizes>
  explicit Owned(Sizes... sizes)
      : memory_(bytes(sizes...)), arena_(nullptr, 0, memory_.data()), work_(arena_, sizes...) {}
  Owned(const Owned&) = delete;
  Owned(Owned&&) noexcept = default;

  Work& operator*() { return work_; }
  const Work& operator*() const { return work_; }
  Work* operator->() { return &work_; }
  const Work* operator->() const { return &work_; }

 private:
  template <typename... Sizes>
  static int64_t bytes(Sizes... sizes) {
    Arena counter(nullptr, 0, nullptr);
    const Work counted(counter, sizes...);
    return counter.slow_used();
  }

  std::vector<char> memory_;
  Arena arena_;
  Work work_;
};

}  // namespace puzzlemix
