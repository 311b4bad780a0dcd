// Launches a device algorithm (device_algorithm.h): a block for each sample, a thread for each
// item, up to 512.
#pragma once

#include <new>
#include <type_traits>

#include "device_algorithm.h"

namespace puzzlemix {

// With 512 threads a block, each thread has 128 registers; larger grids have several cells a
// thread. Where four warps cut it is to have 168.
template <typename Lanes>
constexpr int kMostThreads = Lanes::kLanes == kFourWarps ? 384 : 512;

// Whether an algorithm is to have twice the threads on a multiprocessor, with half the registers
// each: where all wait for global memory, that brings more of it under way.
template <typename Algorithm>
constexpr bool kWaitsForMemory = false;

// Where a kernel has the memory of its samples. In shared memory alone, and then the compiler knows
// it: addresses have 32 bits and are computed where they are needed, and accesses are by the
// instructions of shared memory. Or in global memory too, as far as shared memory doesn't suffice.
struct SharedMemory {};
struct SharedAndGlobalMemory {};

// Whether an algorithm has so many addresses that they don't stay in registers wherever they are.
template <typename Algorithm>
constexpr bool kManyAddresses = false;

// Lanes: those that cut, if the algorithm cuts.
template <typename Algorithm, typename Memory, typename Lanes>
__global__ void __launch_bounds__(kMostThreads<Lanes>, kWaitsForMemory<Algorithm> ? 2 : 1)
    solve_kernel(const __grid_constant__ typename Algorithm::Problem problem, int64_t first,
                 int64_t fast_bytes, char* scratch, int64_t slow_bytes) {
  using Work = typename Algorithm::Work;
  extern __shared__ __align__(16) char fast[];
  using Team = BlockTeam<Lanes>;
  __shared__ typename Team::Shared shared;
  Team team(shared);
  if constexpr (std::is_same_v<Memory, SharedMemory>) {
    // One sample: in a loop addresses would be computed before it and take registers throughout.
    Arena arena(fast);
    Algorithm::solve(team, Work(arena, problem), problem, first + blockIdx.x);
  } else {
    // Addresses, which are of either memory, are kept in shared memory, as they are too many for
    // registers.
    __shared__ __align__(16) char room[sizeof(Work)];
    static_assert(kFastBytes + sizeof(shared) + sizeof(room) <= 48 * 1024, "all shared memory");
    if (threadIdx.x == 0) {
      Arena arena(fast, fast_bytes, scratch + blockIdx.x * slow_bytes);
      new (room) Work(arena, problem);
    }
    __syncthreads();
    // Counts turns rather than samples, which would take two registers.
    for (uint32_t turn = 0;; ++turn) {
      const int64_t b = blockIdx.x + int64_t{turn} * gridDim.x;
      if (b >= problem.batch) break;
      Algorithm::solve(team, *reinterpret_cast<const Work*>(room), problem, b);
    }
  }
}

template <typename Algorithm, typename Memory, typename Lanes>
int launch(const typename Algorithm::Problem& problem, const Footprint& bytes, void* scratch,
           void* stream) {
  const int wanted = std::max(Algorithm::items(problem), Lanes::kLanes);
  const int threads = std::min((wanted + kWarp - 1) / kWarp * kWarp, kMostThreads<Lanes>);
  const auto to = static_cast<cudaStream_t>(stream);
  const auto start = [&](int64_t blocks, int64_t first) {
    solve_kernel<Algorithm, Memory, Lanes>
        <<<static_cast<unsigned>(blocks), threads, bytes.fast, to>>>(
            problem, first, bytes.fast, static_cast<char*>(scratch), bytes.slow);
  };
  if constexpr (std::is_same_v<Memory, SharedMemory>) {
    for (int64_t first = 0; first < problem.batch; first += kMostBlocksOfALaunch) {
      start(std::min(problem.batch - first, kMostBlocksOfALaunch), first);
    }
  } else {
    start(block_count<Algorithm>(problem, bytes), 0);
  }
  return cudaGetLastError();
}

// Enqueues the kernel on the stream and returns at once; the result is a cudaError_t.
template <typename Algorithm>
int solve_cuda(const typename Algorithm::Problem& problem, void* scratch, void* stream) {
  if (problem.batch == 0) return cudaSuccess;
  const Footprint bytes = footprint<Algorithm>(problem);
  if constexpr (kCuts<Algorithm>) {
    if (Algorithm::lanes(problem) == kFourWarps) {
      return launch<Algorithm, SharedAndGlobalMemory, FourWarpLanes>(problem, bytes, scratch,
                                                                     stream);
    }
  }
  if constexpr (!kManyAddresses<Algorithm>) {
    if (bytes.slow == 0) {
      return launch<Algorithm, SharedMemory, WarpLanes>(problem, bytes, scratch, stream);
    }
  }
  return launch<Algorithm, SharedAndGlobalMemory, WarpLanes>(problem, bytes, scratch, stream);
}

}  // namespace puzzlemix
