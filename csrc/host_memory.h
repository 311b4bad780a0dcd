// Memory on the host for what takes its arrays from an Arena.
#pragma once

#include <optional>
#include <vector>

#include "team.h"

namespace puzzlemix {

// Holds the Work that make(arena) returns, and the arrays it took, which start as zeros.
template <typename Work>
class HostMemory {
 public:
  template <typename Make>
  explicit HostMemory(const Make& make) {
    Arena counter(nullptr, 0, nullptr);
    make(counter);
    bytes_.assign(counter.slow_used() / sizeof(Chunk) + 1, Chunk{});
    Arena arena(nullptr, 0, bytes_.data()->bytes);
    work_.emplace(make(arena));
  }

  const Work& operator*() const { return *work_; }
  const Work* operator->() const { return &*work_; }

 private:
  struct alignas(16) Chunk {
    char bytes[16];
  };

  std::vector<Chunk> bytes_;
  std::optional<Work> work_;
};

}  // namespace puzzlemix
