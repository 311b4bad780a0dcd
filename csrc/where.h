// Where a solver runs: the one choice between the CPU, CUDA and a host team.
#pragma once

#include <cstdint>
#include <tuple>

#include "bindings.h"
#include "team_run.h"

namespace puzzlemix {

// As in puzzlemix/_native.py: what to do, with what, and the scratch memory for it.
enum class Place : int {
  cpu = 0,      // so many threads
  cuda = 1,     // a stream
  measure = 2,  // nothing; the bytes of scratch memory that CUDA needs
  team = 3,     // a shuffled team of that seed, instead of CUDA's threads
};
using Where = std::tuple<int, int64_t, uintptr_t>;

inline Place place(const Where& where) { return static_cast<Place>(std::get<0>(where)); }

#ifdef PUZZLEMIX_HAS_CUDA
// Enqueues on a cudaStream_t and returns at once: a cudaError_t. Instantiated by *_cuda.cu.
template <typename Algorithm>
int solve_cuda(const typename Algorithm::Problem& problem, void* scratch, void* stream);
#endif

// A device algorithm. Returns a cudaError_t, bytes, or the number of phases.
template <typename Algorithm>
int64_t run_team(const typename Algorithm::Problem& problem, const Where& where) {
  const auto [what, with, scratch] = where;
  switch (static_cast<Place>(what)) {
#ifdef PUZZLEMIX_HAS_CUDA
    case Place::cuda:
      return solve_cuda<Algorithm>(problem, pointer<void>(scratch), pointer<void>(with));
#endif
    case Place::measure:
      return scratch_bytes<Algorithm>(problem);
    case Place::team:
      return solve_shuffled<Algorithm>(problem, static_cast<uint64_t>(with));
    default:
      return -1;
  }
}

// The solver of the CPU, called with the number of threads, or the device algorithm.
template <typename Algorithm, typename Cpu>
int64_t run(const typename Algorithm::Problem& problem, const Where& where, const Cpu& cpu) {
  const pybind11::gil_scoped_release release;
  if (place(where) != Place::cpu) return run_team<Algorithm>(problem, where);
  return static_cast<int>(cpu(static_cast<int>(std::get<1>(where))).fault);
}

}  // namespace puzzlemix
