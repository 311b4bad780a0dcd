// Where a problem runs: on the CPU, or enqueued on a CUDA stream; tests run it on a host team.
//
// What Python sees is one class an operator. Its constructor takes the fields of the problem by
// name, and its C++ type, here called Operator, has
//
// - Status run(int threads) const: the solver of the CPU;
// - Status on_device(use) const: calls use(Chosen<Algorithm>(), problem) with the device algorithm
//   that serves (see team_run.h); not where a label cost in the host's memory is refused.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "bindings.h"
#include "device.h"
#include "team_run.h"

namespace puzzlemix {

template <typename Algorithm>
struct Chosen {
  using Type = Algorithm;
};

#ifdef PUZZLEMIX_HAS_CUDA
// Enqueues on a cudaStream_t and returns at once: a cudaError_t. Instantiated by *_cuda.cu.
template <typename Algorithm>
int solve_cuda(const typename Algorithm::Problem& problem, void* scratch, void* stream);
#endif

// None where all is well, else the fault as a tuple in the order of Status.
inline pybind11::object outcome(const Status& status) {
  if (status.ok()) return pybind11::none();
  return pybind11::make_tuple(static_cast<int>(status.fault), status.argument, status.sample,
                              status.entry);
}

inline void expect_launched(int code) {
  if (code == 0) return;
  throw std::runtime_error("puzzlemix: CUDA error " + std::to_string(code) + ", " +
                           cuda_error(code));
}

template <typename Operator>
void bind_cpu(pybind11::class_<Operator>& type) {
  type.def("run", [](const Operator& call, int threads) {
    Status status;
    {
      const pybind11::gil_scoped_release release;
      status = call.run(threads);
    }
    return outcome(status);
  });
}

// The bytes of scratch memory depend on the sizes, the options and the types alone.
template <typename Operator>
void bind_cuda(pybind11::class_<Operator>& type) {
  type.def("scratch_bytes", [](const Operator& call) {
    int64_t bytes = 0;
    call.on_device([&](auto chosen, const auto& problem) {
      bytes = scratch_bytes<typename decltype(chosen)::Type>(problem);
    });
    return bytes;
  });
  type.def("enqueue",
           []([[maybe_unused]] const Operator& call, [[maybe_unused]] uintptr_t stream,
              [[maybe_unused]] uintptr_t scratch) -> pybind11::object {
#ifdef PUZZLEMIX_HAS_CUDA
             Status status;
             int code = 0;
             {
               const pybind11::gil_scoped_release release;
               status = call.on_device([&](auto chosen, const auto& problem) {
                 code = solve_cuda<typename decltype(chosen)::Type>(problem, pointer<void>(scratch),
                                                                    pointer<void>(stream));
               });
             }
             expect_launched(code);
             return outcome(status);
#else
    throw std::runtime_error("puzzlemix: this build has no CUDA");
#endif
           });
}

// For tests: the device algorithm on a team that takes the items of each phase in an order drawn
// from a seed. Returns the outcome and the number of phases.
template <typename Operator>
void bind_team(pybind11::module_& module) {
  module.def("run_on_team", [](const Operator& call, uint64_t seed) {
    Status status;
    int64_t phases = 0;
    {
      const pybind11::gil_scoped_release release;
      status = call.on_device([&](auto chosen, const auto& problem) {
        phases = solve_shuffled<typename decltype(chosen)::Type>(problem, seed);
      });
    }
    return pybind11::make_tuple(outcome(status), phases);
  });
}

template <typename Operator>
void bind_operator(pybind11::module_& module, pybind11::class_<Operator>& type) {
  bind_cpu(type);
  bind_cuda(type);
  bind_team<Operator>(module);
}

}  // namespace puzzlemix
