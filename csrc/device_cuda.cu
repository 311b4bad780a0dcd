#include <cuda_runtime.h>

#include "device.h"

namespace puzzlemix {
namespace {

std::string version(int number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

std::string driver_too_old() {
  int driver = 0;
  cudaDriverGetVersion(&driver);
  if (driver == 0) return "no CUDA driver";
  return "the driver supports CUDA " + version(driver) + ", this build needs " +
         version(CUDART_VERSION) + ": update the driver, or build with an older toolkit";
}

// The compute capability of the current device, such as "90"; empty if there is no device.
std::string compute_capability() {
  int device = 0, major = 0, minor = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return "";
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  return std::to_string(major) + std::to_string(minor);
}

}  // namespace

CudaBuild cuda_build() { return {version(CUDART_VERSION), PUZZLEMIX_CUDA_ARCHITECTURES}; }

CudaDevices cuda_devices() {
  CudaDevices devices;
  const cudaError_t status = cudaGetDeviceCount(&devices.count);
  if (status == cudaSuccess) return devices;
  cudaGetLastError();  // clears the error, which later calls would report
  devices.count = 0;
  devices.problem = cuda_error(status);
  return devices;
}

std::string cuda_error(int code) {
  switch (code) {
    case cudaErrorInsufficientDriver:
    case cudaErrorUnsupportedPtxVersion:
      return driver_too_old();
    case cudaErrorNoKernelImageForDevice: {
      const std::string capability = compute_capability();
      return "this build has kernels for the architectures " +
             std::string(PUZZLEMIX_CUDA_ARCHITECTURES) + ", the device is " + capability +
             ": build again with PUZZLEMIX_CUDA_ARCHITECTURES=" + capability;
    }
    default:
      return cudaGetErrorString(static_cast<cudaError_t>(code));
  }
}

}  // namespace puzzlemix
