// Where a problem runs: on the CPU, or enqueued on a CUDA stream; tests run it on a host team.
//
// What Python sees of an operator is a module with a function for each. All take the fields of the
// problem by name, from which `make` makes a Call, a type with
//
// - Status run(int threads) const: the solver of the CPU;
// - Status on_device(use) const: calls use(Chosen<Algorithm>(), problem) with the device algorithm
//   that serves (see device_algorithm.h); not where a label cost in the host's memory is refused.
//
// A Call that takes more than one algorithm, or kernels of its own, has device_bytes, enqueue and
// run_on_team in place of the latter.
//
// No object of the extension's own types crosses: making one takes pybind11 longer than the rest,
// and it is lost where memory runs out meanwhile.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "bindings.h"
#include "device.h"
#include "device_algorithm.h"

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

// The bytes of scratch memory depend on the sizes, the options and the types alone.
template <typename Call>
int64_t device_bytes(const Call& call) {
  int64_t bytes = 0;
  call.on_device([&](auto chosen, const auto& problem) {
    bytes = scratch_bytes<typename decltype(chosen)::Type>(problem);
  });
  return bytes;
}

#ifdef PUZZLEMIX_HAS_CUDA
// `code` becomes a cudaError_t.
template <typename Call>
Status enqueue(const Call& call, char* scratch, void* stream, int& code) {
  return call.on_device([&](auto chosen, const auto& problem) {
    code = solve_cuda<typename decltype(chosen)::Type>(problem, scratch, stream);
  });
}
#endif

// Counts on a team that takes the items of each in an order drawn from a seed.
template <typename Call>
Status run_on_team(const Call& call, uint64_t seed, Waits& waits) {
  return call.on_device([&](auto chosen, const auto& problem) {
    waits = solve_shuffled<typename decltype(chosen)::Type>(problem, seed);
  });
}

template <typename Call, typename... Fields, typename... Names>
void bind_cpu(pybind11::module_& entries, Call (*make)(Fields...), const Names&... names) {
  entries.def(
      "run",
      [make](int threads, Fields... fields) {
        const Call call = make(fields...);
        Status status;
        {
          const pybind11::gil_scoped_release release;
          status = call.run(threads);
        }
        return outcome(status);
      },
      pybind11::arg("threads"), names...);
  // By which a caller can hand them over in order: names cost three times as much.
  entries.attr("fields") = pybind11::make_tuple(names.name...);
}

template <typename Call, typename... Fields, typename... Names>
void bind_cuda(pybind11::module_& entries, Call (*make)(Fields...), const Names&... names) {
  entries.def(
      "scratch_bytes", [make](Fields... fields) { return device_bytes(make(fields...)); },
      names...);
#ifdef PUZZLEMIX_HAS_CUDA
  entries.def(
      "enqueue",
      [make](uintptr_t stream, uintptr_t scratch, Fields... fields) {
        const Call call = make(fields...);
        Status status;
        int code = 0;
        {
          const pybind11::gil_scoped_release release;
          status = enqueue(call, pointer<char>(scratch), pointer<void>(stream), code);
        }
        if (code != 0) {
          throw std::runtime_error("puzzlemix: CUDA error " + std::to_string(code) + ", " +
                                   cuda_error(code));
        }
        return outcome(status);
      },
      pybind11::arg("stream"), pybind11::arg("scratch"), names...);
#endif
}

// For tests. Returns the outcome and what was waited for: phases, shuffles, votes.
template <typename Call, typename... Fields, typename... Names>
void bind_team(pybind11::module_& entries, Call (*make)(Fields...), const Names&... names) {
  entries.def(
      "run_on_team",
      [make](uint64_t seed, Fields... fields) {
        const Call call = make(fields...);
        Status status;
        Waits waits;
        {
          const pybind11::gil_scoped_release release;
          status = run_on_team(call, seed, waits);
        }
        return pybind11::make_tuple(outcome(status), waits.phases, waits.shuffles, waits.votes);
      },
      pybind11::arg("seed"), names...);
}

template <typename Call, typename... Fields, typename... Names>
void bind_operator(pybind11::module_& module, const char* name, Call (*make)(Fields...),
                   const Names&... names) {
  pybind11::module_ entries = module.def_submodule(name);
  bind_cpu(entries, make, names...);
  bind_cuda(entries, make, names...);
  bind_team(entries, make, names...);
}

}  // namespace puzzlemix
