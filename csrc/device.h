// What this build knows of CUDA. Importing the extension never touches the driver: a process that
// forks later must find it untouched.
#pragma once

#include <string>

namespace puzzlemix {

struct CudaBuild {
  std::string toolkit;        // "13.0", or empty in a build without CUDA
  std::string architectures;  // as CMake was told, "75-real;...;120"
};

CudaBuild cuda_build();

// Devices that the driver shows, and what is wrong where it shows none.
struct CudaDevices {
  int count = 0;
  std::string problem;
};

CudaDevices cuda_devices();

// The text of a cudaError_t, and what to do where that is known.
std::string cuda_error(int code);

}  // namespace puzzlemix
