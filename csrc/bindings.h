// The binding files, one for each noun. Python passes addresses and sizes, which puzzlemix/ops has
// checked.
#pragma once

#include <pybind11/pybind11.h>

#include "tensor.h"

namespace puzzlemix {

void bind_graphcut(pybind11::module_& module);
void bind_transport(pybind11::module_& module);
void bind_puzzle(pybind11::module_& module);
void bind_mix(pybind11::module_& module);
void bind_device(pybind11::module_& module);
void bind_interruption(pybind11::module_& module);

// A pointer from an address, which arrives as an integer; 0 is allowed for a tensor without
// elements.
template <typename T>
T* pointer(uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

inline Array array(uintptr_t address, int dtype) {
  return {pointer<const void>(address), static_cast<Dtype>(dtype)};
}

}  // namespace puzzlemix
