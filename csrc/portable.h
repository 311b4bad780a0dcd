// Functions that the CPU and CUDA share are marked PUZZLEMIX_HD; loops that index structs or small
// arrays PUZZLEMIX_UNROLL, for what is indexed by a variable can't be in registers.
#pragma once

#ifdef __CUDACC__
#define PUZZLEMIX_HD __host__ __device__
#define PUZZLEMIX_UNROLL _Pragma("unroll")
#else
#define PUZZLEMIX_HD
#define PUZZLEMIX_UNROLL
#endif
