// What a device algorithm is, how much memory it needs, and how the host runs it for tests. An
// algorithm is a type with
//
// - Problem: a struct with all arguments of the call, among them `batch`; passed by value.
// - Work(Arena&, problem): the memory of one sample, of the same size for all.
// - solve(team, work, problem, b): solves sample b. It ends with a phase, and reads only what the
//   caller gave or what it has written itself.
// - items(problem): how many items a phase typically has.
// - lanes(problem), if it cuts: by how many lanes (lanes.h), or 0.
//
// launch.cuh runs an algorithm on CUDA.
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>
#include <vector>

#include "shuffled_team.h"
#include "team.h"

namespace puzzlemix {

template <typename Algorithm, typename = void>
constexpr bool kCuts = false;
template <typename Algorithm>
constexpr bool kCuts<Algorithm, std::void_t<decltype(Algorithm::lanes(
                                    std::declval<const typename Algorithm::Problem&>()))>> = true;

struct Footprint {
  int64_t fast, slow;  // bytes a sample needs in CUDA's shared memory, and in PyTorch's memory
};

template <typename Algorithm>
Footprint footprint(const typename Algorithm::Problem& problem) {
  Arena counter(nullptr, kFastBytes, nullptr);
  typename Algorithm::Work(counter, problem);
  return {counter.fast_used(), counter.slow_used()};
}

// Where samples need slow memory, each block has its own, so the number of blocks is limited: to
// two for each multiprocessor of the largest devices, or to what fits into kSlowBytes.
constexpr int64_t kMostBlocks = 288, kSlowBytes = int64_t{1} << 28;
constexpr int64_t kMostBlocksOfALaunch = (int64_t{1} << 31) - 1;

template <typename Algorithm>
int64_t block_count(const typename Algorithm::Problem& problem, const Footprint& bytes) {
  if (bytes.slow == 0) return std::min(problem.batch, kMostBlocksOfALaunch);
  return std::min({problem.batch, kMostBlocks, std::max<int64_t>(kSlowBytes / bytes.slow, 1)});
}

// The bytes of slow memory that the caller of a launch has to allocate.
template <typename Algorithm>
int64_t scratch_bytes(const typename Algorithm::Problem& problem) {
  const Footprint bytes = footprint<Algorithm>(problem);
  return bytes.slow * block_count<Algorithm>(problem, bytes);
}

// Solves all samples on a ShuffledTeam; returns how often its threads would wait for each other.
template <typename Algorithm>
Waits solve_shuffled(const typename Algorithm::Problem& problem, uint64_t seed) {
  const Footprint bytes = footprint<Algorithm>(problem);
  ShuffledTeam team(seed);
  for (int64_t b = 0; b < problem.batch; ++b) {
    // New for each sample and of exactly its size, so that sanitizers see accesses beyond the end,
    // and filled with garbage, so that a read of what was never written shows in the result.
    std::vector<char> fast(bytes.fast, '\x5a'), slow(bytes.slow, '\x5a');
    Arena arena(fast.data(), bytes.fast, slow.data());
    Algorithm::solve(team, typename Algorithm::Work(arena, problem), problem, b);
  }
  return team.waits();
}

}  // namespace puzzlemix
