// Macros that mean something to nvcc only:
//
//   PUZZLEMIX_HD         a function that the CPU and CUDA share.
//   PUZZLEMIX_INLINE     such a function that must be inlined, as a call would pass its arguments
//                        through memory instead of registers.
//   PUZZLEMIX_UNROLL     a loop that indexes structs or small arrays: only constant indices keep
//                        these in registers.
//   PUZZLEMIX_NO_UNROLL  a loop of which several iterations at once would take too many registers.
#pragma once

#ifdef __CUDACC__
#define PUZZLEMIX_HD __host__ __device__
#define PUZZLEMIX_INLINE __host__ __device__ __forceinline__
#define PUZZLEMIX_UNROLL _Pragma("unroll")
#define PUZZLEMIX_NO_UNROLL _Pragma("unroll 1")
#else
#define PUZZLEMIX_HD
#define PUZZLEMIX_INLINE inline
#define PUZZLEMIX_UNROLL
#define PUZZLEMIX_NO_UNROLL
#endif
