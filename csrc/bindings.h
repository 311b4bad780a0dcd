// One binding file a noun. Python passes addresses and sizes; ops.py has checked them.
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

// Addresses arrive as integers; a tensor without elements may have address 0.
template <typename T>
T* pointer(uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

inline Array array(uintptr_t address, int dtype) {
  return {pointer<const void>(address), static_cast<Dtype>(dtype)};
}

}  // namespace puzzlemix
