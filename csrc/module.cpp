#include <pybind11/pybind11.h>

#include "bindings.h"

namespace py = pybind11;

// The module needs no GIL: what outlives a call is the thread pool, whose threads never touch
// Python and which has locks of its own, and objects that bind_tensor sets once. Only the main
// interpreter may load the module, as with PyTorch, because checks for interruption call one
// interpreter.
PYBIND11_MODULE(_core, module, py::mod_gil_not_used()) {
  module.doc() = "The compiled solvers of puzzlemix: tensors in, a status out.";
  puzzlemix::bind_device(module);
  puzzlemix::bind_graphcut(module);
  puzzlemix::bind_interruption(module);
  puzzlemix::bind_mix(module);
  puzzlemix::bind_puzzle(module);
  puzzlemix::bind_tensor(module);
  puzzlemix::bind_transport(module);
}
