// Launches a device algorithm (device_algorithm.h): a block for each sample, a thread for each item
// up to kMostThreads.
#pragma once

#include <new>

#include "device_algorithm.h"

namespace puzzlemix {

// With 512 threads a block, each thread has 128 registers; larger grids have several cells a
// thread.
constexpr int kMostThreads = 512;

// Whether an algorithm is to have twice the threads on a multiprocessor, with half the registers
// each: where all wait for global memory, that brings more of it under way.
template <typename Algorithm>
constexpr bool kWaitsForMemory = false;

template <typename Algorithm>
__global__ void __launch_bounds__(kMostThreads, kWaitsForMemory<Algorithm> ? 2 : 1)
    solve_kernel(const __grid_constant__ typename Algorithm::Problem problem, int64_t fast_bytes,
                 char* scratch, int64_t slow_bytes) {
  using Work = typename Algorithm::Work;
  extern __shared__ __align__(16) char fast[];
  __shared__ BlockTeam::Shared shared;
  // The addresses that Work holds are kept in shared memory, as they are too many for registers.
  __shared__ __align__(16) char room[sizeof(Work)];
  static_assert(kFastBytes + sizeof(shared) + sizeof(room) <= 48 * 1024, "all shared memory");
  if (threadIdx.x == 0) {
    Arena arena(fast, fast_bytes, scratch + blockIdx.x * slow_bytes);
    new (room) Work(arena, problem);
  }
  __syncthreads();
  const Work& work = *reinterpret_cast<const Work*>(room);
  BlockTeam team(shared);
  // Counts turns rather than samples, which would take two registers.
  for (uint32_t turn = 0;; ++turn) {
    const int64_t b = blockIdx.x + int64_t{turn} * gridDim.x;
    if (b >= problem.batch) break;
    Algorithm::solve(team, work, problem, b);
  }
}

// Enqueues the kernel on the stream and returns at once; the result is a cudaError_t.
template <typename Algorithm>
int solve_cuda(const typename Algorithm::Problem& problem, void* scratch, void* stream) {
  if (problem.batch == 0) return cudaSuccess;
  const Footprint bytes = footprint<Algorithm>(problem);
  const int threads = std::min((Algorithm::items(problem) + 31) / 32 * 32, kMostThreads);
  const auto blocks = static_cast<unsigned>(block_count<Algorithm>(problem, bytes));
  solve_kernel<Algorithm><<<blocks, threads, bytes.fast, static_cast<cudaStream_t>(stream)>>>(
      problem, bytes.fast, static_cast<char*>(scratch), bytes.slow);
  return cudaGetLastError();
}

}  // namespace puzzlemix
