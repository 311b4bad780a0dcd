// The binding files, one for each noun. Python passes tensors, which puzzlemix/ops has checked and
// made dense.
#pragma once

#include <pybind11/pybind11.h>

#include <array>

#include "tensor.h"

namespace puzzlemix {

void bind_graphcut(pybind11::module_& module);
void bind_transport(pybind11::module_& module);
void bind_puzzle(pybind11::module_& module);
void bind_mix(pybind11::module_& module);
void bind_device(pybind11::module_& module);
void bind_interruption(pybind11::module_& module);
void bind_tensor(pybind11::module_& module);

// A tensor of PyTorch, dense and row-major unless its operator says otherwise, or None. It is asked
// for what it holds like any object of Python, so that nothing of PyTorch is linked.
class Tensor : public pybind11::object {
 public:
  PYBIND11_OBJECT_DEFAULT(Tensor, object, can_be_tensor)

  // Its memory; null for None and for a tensor without elements.
  template <typename T>
  T* data() const {
    return static_cast<T*>(address());
  }
  // None gets the first type.
  Dtype dtype() const;
  Array array() const { return {address(), dtype()}; }

  template <size_t rank>
  std::array<int64_t, rank> sizes() const {
    std::array<int64_t, rank> sizes;
    read_sizes(sizes.data(), rank);
    return sizes;
  }

 private:
  static bool can_be_tensor(PyObject*) { return true; }

  void* address() const;
  void read_sizes(int64_t* sizes, size_t rank) const;
};

}  // namespace puzzlemix
