// Functions that the CPU and CUDA share are marked PUZZLEMIX_HD, or PUZZLEMIX_INLINE where a call
// would put into memory what registers can hold; loops that index structs or small arrays
// PUZZLEMIX_UNROLL, for what is indexed by a variable can't be in registers; loops that would take
// more registers than there are if several rounds were under way PUZZLEMIX_NO_UNROLL.
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
