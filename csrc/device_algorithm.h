// Running a device algorithm on the host. An algorithm is a type with
//
// - Problem: what crosses the border, its `batch` included; passed by value.
// - Work layout(Arena&, problem): the memory of one sample, the same for all samples.
// - solve(team, work, problem, b): one sample. Ends with a phase; reads nothing that it has not
//   written and that is not the caller's.
// - items(problem): how many items a phase typically has.
//
// launch.cuh launches the same on CUDA.
#pragma once

#include <algorithm>
#include <vector>

#include "shuffled_team.h"
#include "team.h"

namespace puzzlemix {

struct Footprint {
  int64_t fast, slow;  // bytes a sample: in CUDA's shared memory, and in what PyTorch allocates
};

template <typename Algorithm>
Footprint footprint(const typename Algorithm::Problem& problem) {
  Arena counter(nullptr, kFastBytes, nullptr);
  Algorithm::layout(counter, problem);
  return {counter.fast_used(), counter.slow_used()};
}

// Blocks that work at a time where samples need slow memory, which is theirs: two for each
// multiprocessor of the largest devices, unless that would take more than kSlowBytes in all.
constexpr int64_t kMostBlocks = 288, kSlowBytes = int64_t{1} << 28;

template <typename Algorithm>
int64_t block_count(const typename Algorithm::Problem& problem, const Footprint& bytes) {
  constexpr int64_t kLimit = (int64_t{1} << 31) - 1;  // of a launch
  if (bytes.slow == 0) return std::min(problem.batch, kLimit);
  return std::min({problem.batch, kMostBlocks, std::max<int64_t>(kSlowBytes / bytes.slow, 1)});
}

// What the caller of a launch has to allocate.
template <typename Algorithm>
int64_t scratch_bytes(const typename Algorithm::Problem& problem) {
  const Footprint bytes = footprint<Algorithm>(problem);
  return bytes.slow * block_count<Algorithm>(problem, bytes);
}

// Returns what all samples waited for.
template <typename Algorithm>
Waits solve_shuffled(const typename Algorithm::Problem& problem, uint64_t seed) {
  const Footprint bytes = footprint<Algorithm>(problem);
  ShuffledTeam team(seed);
  for (int64_t b = 0; b < problem.batch; ++b) {
    // Of the very size, and new for each sample, so that sanitizers see what goes beyond or reads
    // what was never written.
    std::vector<char> fast(bytes.fast, '\x5a'), slow(bytes.slow, '\x5a');
    Arena arena(fast.data(), bytes.fast, slow.data());
    Algorithm::solve(team, Algorithm::layout(arena, problem), problem, b);
  }
  return team.waits();
}

}  // namespace puzzlemix
