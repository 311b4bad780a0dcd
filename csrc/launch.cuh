// Launching a device algorithm (see device_algorithm.h): a block a sample, as many threads as
// items.
#pragma once

#include <new>
#include <utility>

#include "device_algorithm.h"

namespace puzzlemix {

// 512 threads leave each 128 registers; grids beyond that have several cells a thread.
constexpr int kMostThreads = 512;

template <typename Algorithm>
__global__ void __launch_bounds__(kMostThreads, 1)
    solve_kernel(const __grid_constant__ typename Algorithm::Problem problem, int64_t fast_bytes,
                 char* scratch, int64_t slow_bytes) {
  using Work = decltype(Algorithm::layout(std::declval<Arena&>(), problem));
  extern __shared__ __align__(16) char fast[];
  __shared__ BlockTeam::Shared shared;
  // Addresses are looked up where they are needed; there are too many for registers.
  __shared__ __align__(16) char room[sizeof(Work)];
  static_assert(kFastBytes + sizeof(shared) + sizeof(room) <= 48 * 1024, "all shared memory");
  if (threadIdx.x == 0) {
    Arena arena(fast, fast_bytes, scratch + blockIdx.x * slow_bytes);
    new (room) Work(Algorithm::layout(arena, problem));
  }
  __syncthreads();
  const Work& work = *reinterpret_cast<const Work*>(room);
  BlockTeam team(shared);
  for (int64_t b = blockIdx.x; b < problem.batch; b += gridDim.x) {
    Algorithm::solve(team, work, problem, b);
  }
}

// Enqueues on the stream and returns at once; the result is a cudaError_t.
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
