// Dispatch of an operator: to the CPU, to a CUDA stream, or, for tests, to a team of the host.
//
// Python sees an operator as a submodule with a function for each of these. All take the same
// tensors and options, in one order or by name; `make` turns these into a Call, a type with
//
// - Status run(int threads) const: solves on the CPU;
// - Status on_device(use) const: calls use(Chosen<Algorithm>(), problem) with the device algorithm
//   that serves the call (see device_algorithm.h), or returns the fault of a label cost that is in
//   the host's memory.
//
// A Call that needs several algorithms, or kernels of its own, overloads device_bytes, enqueue and
// run_on_team instead of having on_device.
//
// No object of an extension type crosses to Python: pybind11 takes longer to make one than for all
// the rest of a call.
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
// Enqueues on a cudaStream_t and returns a cudaError_t at once. Instantiated by the *_cuda.cu
// files.
template <typename Algorithm>
int solve_cuda(const typename Algorithm::Problem& problem, void* scratch, void* stream);
#endif

// None if there is no fault, else a tuple of the fields of Status, in order.
inline pybind11::object outcome(const Status& status) {
  if (status.ok()) return pybind11::none();
  return pybind11::make_tuple(static_cast<int>(status.fault), status.argument, status.sample,
                              status.entry);
}

// The bytes of scratch memory on the device.
template <typename Call>
int64_t device_bytes(const Call& call) {
  int64_t bytes = 0;
  call.on_device([&](auto chosen, const auto& problem) {
    bytes = scratch_bytes<typename decltype(chosen)::Type>(problem);
  });
  return bytes;
}

#ifdef PUZZLEMIX_HAS_CUDA
// Enqueues a call; `code` becomes a cudaError_t.
template <typename Call>
Status enqueue(const Call& call, char* scratch, void* stream, int& code) {
  return call.on_device([&](auto chosen, const auto& problem) {
    code = solve_cuda<typename decltype(chosen)::Type>(problem, scratch, stream);
  });
}
#endif

// Runs the device algorithm on a ShuffledTeam, whose order of items follows from the seed.
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
  // The names in order, so that callers can pass values by position: by name takes three times as
  // long.
  entries.attr("fields") = pybind11::make_tuple(names.name...);
}

// `allocate` takes a number of bytes and returns a tensor: scratch memory for this stream.
#ifdef PUZZLEMIX_HAS_CUDA
template <typename Call, typename... Fields, typename... Names>
void bind_cuda(pybind11::module_& entries, Call (*make)(Fields...), const Names&... names) {
  entries.def(
      "enqueue",
      [make](uintptr_t stream, const pybind11::function& allocate, Fields... fields) {
        const Call call = make(fields...);
        const int64_t bytes = device_bytes(call);
        const Tensor scratch = bytes > 0 ? allocate(bytes) : pybind11::none();
        char* const memory = scratch.data<char>();
        Status status;
        int code = 0;
        {
          const pybind11::gil_scoped_release release;
          status = enqueue(call, memory, reinterpret_cast<void*>(stream), code);
        }
        if (code != 0) {
          throw std::runtime_error("puzzlemix: CUDA error " + std::to_string(code) + ", " +
                                   cuda_error(code));
        }
        return outcome(status);
      },
      pybind11::arg("stream"), pybind11::arg("allocate"), names...);
}
#else
template <typename Call, typename... Fields, typename... Names>
void bind_cuda(pybind11::module_&, Call (*)(Fields...), const Names&...) {}
#endif

// The functions for tests. A run returns the outcome and the numbers of phases, shuffles and votes.
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
  entries.def(
      "scratch_bytes", [make](Fields... fields) { return device_bytes(make(fields...)); },
      names...);
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
