#include <stdexcept>

#include "bindings.h"

namespace puzzlemix {

namespace py = pybind11;

namespace {

// PyTorch's objects for the types, in the order of Dtype, and the names of what a tensor is asked
// for. Set by bind_tensor and never let go.
PyObject* dtypes[6];
PyObject *data_ptr_name, *dtype_name, *shape_name;

py::object owned(PyObject* result) {
  if (!result) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(result);
}

// Interned, since lookups by such names are cached.
PyObject* interned(const char* name) {
  return owned(PyUnicode_InternFromString(name)).release().ptr();
}

// A number that Python has converted, unless that failed.
template <typename T>
T converted(T number) {
  if (PyErr_Occurred()) throw py::error_already_set();
  return number;
}

}  // namespace

void* Tensor::address() const {
  if (is_none()) return nullptr;
  const py::object number = owned(PyObject_CallMethodNoArgs(ptr(), data_ptr_name));
  return converted(PyLong_AsVoidPtr(number.ptr()));
}

Dtype Tensor::dtype() const {
  if (is_none()) return Dtype{};
  const py::object dtype = owned(PyObject_GetAttr(ptr(), dtype_name));
  int i = 0;
  for (PyObject* const known : dtypes) {
    if (dtype.ptr() == known) return static_cast<Dtype>(i);
    ++i;
  }
  throw std::invalid_argument("puzzlemix: a tensor of a type that no solver takes");
}

void Tensor::read_sizes(int64_t* sizes, size_t rank) const {
  const py::object shape = owned(PyObject_GetAttr(ptr(), shape_name));
  if (!PyTuple_Check(shape.ptr()) || static_cast<size_t>(PyTuple_GET_SIZE(shape.ptr())) != rank)
    throw std::invalid_argument("puzzlemix: a tensor of another rank than its operator takes");
  for (size_t i = 0; i < rank; ++i) {
    sizes[i] = converted(PyLong_AsLongLong(PyTuple_GET_ITEM(shape.ptr(), i)));
  }
}

void bind_tensor(py::module_&) {
  const py::module_ torch = py::module_::import("torch");
  int i = 0;
  for (const char* const name : {"float16", "bfloat16", "float32", "float64", "int32", "int64"}) {
    dtypes[i++] = py::object(torch.attr(name)).release().ptr();
  }
  data_ptr_name = interned("data_ptr");
  dtype_name = interned("dtype");
  shape_name = interned("shape");
}

}  // namespace puzzlemix
