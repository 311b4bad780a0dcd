#include <pybind11/pybind11.h>

#include "bindings.h"
#include "interrupt.h"

namespace puzzlemix {

namespace py = pybind11;

// Runs Python's signal handlers, which only the main thread does; what one of them raises, such as
// KeyboardInterrupt, stays set until the solve has unwound.
void bind_interruption(py::module_&) {
  ask_for_interruption([] {
    const py::gil_scoped_acquire gil;
    return PyErr_CheckSignals() != 0;
  });
  py::register_local_exception_translator([](std::exception_ptr error) {
    try {
      std::rethrow_exception(error);
    } catch (const Interrupted&) {
      // Python's exception is set.
    }
  });
}

}  // namespace puzzlemix
