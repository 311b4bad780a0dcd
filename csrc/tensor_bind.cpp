#include <stdexcept>

#include "bindings.h"

namespace puzzlemix {

namespace py = pybind11;

namespace {

// PyTorch's objects for the types, in the order of Dtype; found once and never let go.
PyObject* dtypes[6];

PyObject* interned(const char* name) { return PyUnicode_InternFromString(name); }

py::object owned(PyObject* result) {
  if (!result) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(result);
}

py::object attribute(PyObject* object, PyObject* name) {
  return owned(PyObject_GetAttr(object, name));
}

py::object call_method(PyObject* object, PyObject* name) {
  return owned(PyObject_CallMethodNoArgs(object, name));
}

}  // namespace

void* Tensor::address() const {
  if (is_none()) return nullptr;
  static PyObject* const name = interned("data_ptr");
  return PyLong_AsVoidPtr(call_method(ptr(), name).ptr());
}

Dtype Tensor::dtype() const {
  if (is_none()) return Dtype{};
  static PyObject* const name = interned("dtype");
  const py::object dtype = attribute(ptr(), name);
  int i = 0;
  for (PyObject* const known : dtypes) {
    if (dtype.ptr() == known) return static_cast<Dtype>(i);
    ++i;
  }
  throw std::invalid_argument("puzzlemix: a tensor of a type that no solver takes");
}

void Tensor::read_sizes(int64_t* sizes, size_t rank) const {
  static PyObject* const name = interned("shape");
  const py::object shape = attribute(ptr(), name);
  if (!PyTuple_Check(shape.ptr()) || static_cast<size_t>(PyTuple_GET_SIZE(shape.ptr())) != rank)
    throw std::invalid_argument("puzzlemix: a tensor of another rank than its operator takes");
  for (size_t i = 0; i < rank; ++i) {
    sizes[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(shape.ptr(), i));
  }
}

void bind_tensor(py::module_&) {
  const py::module_ torch = py::module_::import("torch");
  int i = 0;
  for (const char* const name : {"float16", "bfloat16", "float32", "float64", "int32", "int64"}) {
    dtypes[i++] = py::object(torch.attr(name)).release().ptr();
  }
}

}  // namespace puzzlemix
