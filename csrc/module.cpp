#include <pybind11/pybind11.h>

#include "bindings.h"

namespace py = pybind11;

PYBIND11_MODULE(_core, module) {
  module.doc() = "The compiled solvers of puzzlemix: addresses and sizes in, a status out.";
  puzzlemix::bind_device(module);
  puzzlemix::bind_graphcut(module);
  puzzlemix::bind_mix(module);
  puzzlemix::bind_objective(module);
  puzzlemix::bind_transport(module);
}
