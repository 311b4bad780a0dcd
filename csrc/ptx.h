// Instructions of the device that CUDA C++ has no name for.
#pragma once

#include <cstdint>

// tests/team/emulated_block.h has these functions for the host.
#if defined(__CUDACC__) && !defined(PUZZLEMIX_EMULATED_BLOCK)

namespace puzzlemix::ptx {

template <typename T>
__device__ __forceinline__ unsigned shared_address(const T* p) {
  static_assert(sizeof(T) == 4, "numbers of 32 bits");
  return static_cast<unsigned>(__cvta_generic_to_shared(p));
}

// p[at] and p[at] = x, where p points to shared memory. A generic load, which finds out at run
// time, takes twice as long.
template <typename T>
__device__ __forceinline__ T load_shared(const T* p, int at) {
  T x;
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(x) : "r"(shared_address(p) + 4 * at) : "memory");
  return x;
}
template <typename T>
__device__ __forceinline__ void store_shared(T* p, int at, T x) {
  asm volatile("st.shared.b32 [%0], %1;" : : "r"(shared_address(p) + 4 * at), "r"(x) : "memory");
}

// A barrier of the first `threads` threads of a block, whose warps come to it whole. `kBarrier`
// isn't 0, which is that of all threads.
template <int kBarrier, int threads>
__device__ __forceinline__ void meet() {
  asm volatile("bar.sync %0, %1;" : : "n"(kBarrier), "n"(threads) : "memory");
}
// That barrier, and in how many of the threads x is true.
template <int kBarrier, int threads>
__device__ __forceinline__ uint32_t meet_count(bool x) {
  uint32_t count;
  asm volatile(
      "{\n\t"
      ".reg .pred mine;\n\t"
      "setp.ne.u32 mine, %1, 0;\n\t"
      "bar.red.popc.u32 %0, %2, %3, mine;\n\t"
      "}"
      : "=r"(count)
      : "r"(uint32_t{x}), "n"(kBarrier), "n"(threads)
      : "memory");
  return count;
}

}  // namespace puzzlemix::ptx

#endif
