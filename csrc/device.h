// What this build knows of CUDA. Importing the extension doesn't call the driver, because a process
// that has called it can't fork and use CUDA in the child.
#pragma once

#include <string>

namespace puzzlemix {

struct CudaBuild {
  std::string toolkit;        // "13.0", or empty in a build without CUDA
  std::string architectures;  // the list that CMake built for, such as "75-real;...;120"
};

CudaBuild cuda_build();

// How many devices the driver shows, and the reason if it shows none.
struct CudaDevices {
  int count = 0;
  std::string problem;
};

CudaDevices cuda_devices();

// The text of a cudaError_t, with advice where there is some.
std::string cuda_error(int code);

}  // namespace puzzlemix
