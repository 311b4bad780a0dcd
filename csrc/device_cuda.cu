#include <cuda_runtime.h>

#include "device.h"

namespace puzzlemix {

CudaBuild cuda_build() {
  return {std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10),
          PUZZLEMIX_CUDA_ARCHITECTURES};
}

CudaDevices cuda_devices() {
  CudaDevices devices;
  const cudaError_t status = cudaGetDeviceCount(&devices.count);
  if (status == cudaSuccess) return devices;
  cudaGetLastError();  // the next call starts clean
  devices.count = 0;
  int driver = 0;
  cudaDriverGetVersion(&driver);
  if (status != cudaErrorInsufficientDriver || driver == 0) {
    devices.problem = status == cudaErrorInsufficientDriver ? "no CUDA driver" : cuda_error(status);
  } else {
    devices.problem = "the driver supports CUDA " + std::to_string(driver / 1000) + "." +
                      std::to_string(driver % 1000 / 10) + ", this build needs " +
                      cuda_build().toolkit + ": update the driver, or build with an older toolkit";
  }
  return devices;
}

std::string cuda_error(int code) { return cudaGetErrorString(static_cast<cudaError_t>(code)); }

}  // namespace puzzlemix
