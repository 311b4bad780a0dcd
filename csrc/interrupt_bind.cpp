#include <pybind11/pybind11.h>

#include "bindings.h"
#include "interrupt.h"

namespace puzzlemix {

namespace py = pybind11;

// Lets solves run Python's signal handlers, which Python does in the main thread only. An exception
// that a handler raises, such as KeyboardInterrupt, stays pending until the solve has unwound.
void bind_interruption(py::module_&) {
  ask_for_interruption([] {
    const py::gil_scoped_acquire gil;
    return PyErr_CheckSignals() != 0;
  });
  py::register_local_exception_translator([](std::exception_ptr error) {
    try {
      std::rethrow_exception(error);
    } catch (const Interrupted&) {
      // The exception of the signal handler is pending already.
    }
  });
}

}  // namespace puzzlemix
