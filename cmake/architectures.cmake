# For which CUDA architectures the kernels are built, in CMake's notation.
#
# puzzlemix_architectures(RESULT)    reads PUZZLEMIX_CUDA, PUZZLEMIX_CUDA_ARCHITECTURES,
#                                    CMAKE_CUDA_COMPILER_VERSION and PUZZLEMIX_DRIVER
#
# PUZZLEMIX_DRIVER says whether an NVIDIA driver is here; it is looked for where it isn't set.
# A script too: cmake -DPUZZLEMIX_CUDA=AUTO -DPUZZLEMIX_DRIVER=OFF -P cmake/architectures.cmake

function(puzzlemix_architectures result)
  if(PUZZLEMIX_CUDA_ARCHITECTURES)
    set(${result} ${PUZZLEMIX_CUDA_ARCHITECTURES} PARENT_SCOPE)
    return()
  endif()
  if(NOT DEFINED PUZZLEMIX_DRIVER)
    find_program(nvidia_smi nvidia-smi PATHS /usr/lib/wsl/lib NO_CACHE)
    set(PUZZLEMIX_DRIVER OFF)
    if(nvidia_smi OR EXISTS /proc/driver/nvidia/version)
      set(PUZZLEMIX_DRIVER ON)
    endif()
  endif()
  if(PUZZLEMIX_CUDA STREQUAL "AUTO" AND NOT PUZZLEMIX_DRIVER)
    # Compiles in a quarter of the time, and runs on every GPU: its driver makes machine code of the
    # PTX when a kernel is first called.
    message(STATUS "puzzlemix: no NVIDIA driver here, so PTX alone; PUZZLEMIX_CUDA=ON builds machine "
                   "code for every architecture, PUZZLEMIX_CUDA=OFF skips CUDA")
    set(list 75-virtual)
  elseif(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)
    # Turing, Ampere (A100 and consumer), Ada, Hopper, Blackwell (data centre and consumer), and PTX
    # of the last one for what follows.
    set(list 75-real 80-real 86-real 89-real 90-real 100-real 120)
  else()
    # Without Blackwell, which nvcc does not know yet.
    set(list 75-real 80-real 86-real 89-real 90)
  endif()
  set(${result} ${list} PARENT_SCOPE)
endfunction()

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  puzzlemix_architectures(architectures)
  message("${architectures}")
endif()
