#include <pybind11/pybind11.h>

#include "bindings.h"

namespace py = pybind11;

// What outlives a call is the pool, whose threads never touch Python and whose locks are its own:
// no GIL is needed. Only the main interpreter may load this, as with PyTorch: the question whether
// to stop is asked of one interpreter.
PYBIND11_MODULE(_core, module, py::mod_gil_not_used()) {
  module.doc() = "The compiled solvers of puzzlemix: addresses and sizes in, a status out.";
  puzzlemix::bind_device(module);
  puzzlemix::bind_graphcut(module);
  puzzlemix::bind_interruption(module);
  puzzlemix::bind_mix(module);
  puzzlemix::bind_puzzle(module);
  puzzlemix::bind_transport(module);
}
