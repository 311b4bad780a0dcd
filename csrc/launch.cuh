// Launches a device algorithm (device_algorithm.h): a block for each sample, a thread for each item
// up to kMostThreads.
#pragma once

#include <new>
#include <type_traits>

#include "device_algorithm.h"

namespace puzzlemix {

// With 512 threads a block, each thread has 128 registers; larger grids have several cells a
// thread.
constexpr int kMostThreads = 512;

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

template <typename Algorithm>
__device__ __forceinline__ void solve_samples(BlockTeam::Shared& shared,
                                              const typename Algorithm::Work& work,
                                              const typename Algorithm::Problem& problem) {
  BlockTeam team(shared);
  // Counts turns rather than samples, which would take two registers.
  for (uint32_t turn = 0;; ++turn) {
    const int64_t b = blockIdx.x + int64_t{turn} * gridDim.x;
    if (b >= problem.batch) break;
    Algorithm::solve(team, work, problem, b);
  }
}

template <typename Algorithm, typename Memory>
__global__ void __launch_bounds__(kMostThreads, kWaitsForMemory<Algorithm> ? 2 : 1)
    solve_kernel(const __grid_constant__ typename Algorithm::Problem problem, int64_t fast_bytes,
                 char* scratch, int64_t slow_bytes) {
  using Work = typename Algorithm::Work;
  extern __shared__ __align__(16) char fast[];
  __shared__ BlockTeam::Shared shared;
  if constexpr (std::is_same_v<Memory, SharedMemory>) {
    Arena arena(fast);
    solve_samples<Algorithm>(shared, Work(arena, problem), problem);
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
    solve_samples<Algorithm>(shared, *reinterpret_cast<const Work*>(room), problem);
  }
}

template <typename Algorithm, typename Memory>
void launch(const typename Algorithm::Problem& problem, const Footprint& bytes, void* scratch,
            void* stream) {
  const int threads = std::min((Algorithm::items(problem) + 31) / 32 * 32, kMostThreads);
  const auto blocks = static_cast<unsigned>(block_count<Algorithm>(problem, bytes));
  const auto to = static_cast<cudaStream_t>(stream);
  solve_kernel<Algorithm, Memory><<<blocks, threads, bytes.fast, to>>>(
      problem, bytes.fast, static_cast<char*>(scratch), bytes.slow);
}

// Enqueues the kernel on the stream and returns at once; the result is a cudaError_t.
template <typename Algorithm>
int solve_cuda(const typename Algorithm::Problem& problem, void* scratch, void* stream) {
  if (problem.batch == 0) return cudaSuccess;
  const Footprint bytes = footprint<Algorithm>(problem);
  if constexpr (!kManyAddresses<Algorithm>) {
    if (bytes.slow == 0) {
      launch<Algorithm, SharedMemory>(problem, bytes, scratch, stream);
      return cudaGetLastError();
    }
  }
  launch<Algorithm, SharedAndGlobalMemory>(problem, bytes, scratch, stream);
  return cudaGetLastError();
}

}  // namespace puzzlemix
