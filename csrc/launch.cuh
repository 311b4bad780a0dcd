// Launching a device algorithm (see team_run.h): a block a sample, as many threads as items.
#pragma once

#include "team_run.h"

namespace puzzlemix {

// 512 threads leave each 128 registers; grids beyond that have several cells a thread.
constexpr int kMostThreads = 512;

template <typename Algorithm>
__global__ void __launch_bounds__(kMostThreads, 1)
    solve_kernel(const __grid_constant__ typename Algorithm::Problem problem, int64_t fast_bytes,
                 char* scratch, int64_t slow_bytes) {
  extern __shared__ __align__(16) char fast[];
  __shared__ BlockTeam::Shared shared;
  BlockTeam team(shared);
  for (int64_t b = blockIdx.x; b < problem.batch; b += gridDim.x) {
    Arena arena(fast, fast_bytes, scratch + blockIdx.x * slow_bytes);
    Algorithm::solve(team, Algorithm::layout(arena, problem), problem, b);
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
