#include <pybind11/stl.h>

#include "bindings.h"
#include "device.h"

namespace puzzlemix {

#ifndef PUZZLEMIX_HAS_CUDA
CudaBuild cuda_build() { return {}; }
CudaDevices cuda_devices() { return {0, "this build has no CUDA"}; }
std::string cuda_error(int) { return "this build has no CUDA"; }
#endif

void bind_device(pybind11::module_& module) {
  const CudaBuild build = cuda_build();
  module.attr("cuda_toolkit") = build.toolkit;
  module.attr("cuda_architectures") = build.architectures;
  module.def("cuda_devices", [] {
    const CudaDevices devices = cuda_devices();
    return std::pair(devices.count, devices.problem);
  });
}

}  // namespace puzzlemix
