// The lanes of a warp: 32 threads in lockstep that pass numbers to each other without memory.
//
// Code for lanes (graphcut/warp_cut.h) is written once, for all 32 together. Its variables are of
// the types Int and Bits, which hold one number for each lane; plain numbers are the same in all
// lanes. On CUDA (WarpLanes) an Int is a register of each thread; on the host (HostLanes) it is an
// array of 32 numbers, so that tests need no GPU. Integers wrap on overflow.
//
//   number()               the number of each lane, 0 to 31
//   from(x, lane)          the value of x in another lane, whose number is taken modulo 32
//   from_beside(x)         the value of x in the lane whose number differs in the lowest bit
//   any(bits)              whether a bit is set in some lane
//   in(lanes, bits)        `bits` in the lanes whose bit is set in `lanes`, 0 in the others
//   keep(bits, i, x)       x where bit i is set, else 0
//   negate(bits, i, x)     -x where bit i is set, else 0
//   push_sign(bits, x)     bits << 1, with the sign of x as bit 0
//   most(x), least(x, y)   the larger of x and 0; the smaller of x and y
//   flow(e, in, c)         e + in clamped to [0, c], for c >= 0: what a cell with excess e and
//   inflow
//                          `in` sends along an arc of capacity c
//   load(p, at), store     the number at p[at], which is in shared memory on CUDA
//   load_one(p, i)         p[i], the same in all lanes
//
// Only load and store access memory. A lane may load what it has stored itself, or what was there
// before the warp's code began.
#pragma once

#include <cstdint>

#include "cuda_macros.h"

namespace puzzlemix {

constexpr int kWarp = 32;

#ifdef __CUDACC__

struct WarpLanes {
  using Int = int32_t;
  using Bits = uint32_t;

  __device__ __forceinline__ static Int number() { return threadIdx.x % kWarp; }
  template <typename T>
  __device__ __forceinline__ static T from(T x, Int lane) {
    return __shfl_sync(kAll, x, lane);
  }
  template <typename T>
  __device__ __forceinline__ static T from_beside(T x) {
    return __shfl_xor_sync(kAll, x, 1);
  }
  __device__ __forceinline__ static bool any(Bits bits) { return __any_sync(kAll, bits != 0); }
  __device__ __forceinline__ static Bits in(uint32_t lanes, Bits bits) {
    return lanes >> number() & 1 ? bits : 0;
  }
  __device__ __forceinline__ static Int keep(Bits bits, int i, Int x) {
    return bits & (1u << i) ? x : 0;
  }
  __device__ __forceinline__ static Int negate(Bits bits, int i, Int x) {
    return x * (static_cast<Int>(bits << (31 - i)) >> 31);
  }
  __device__ __forceinline__ static Bits push_sign(Bits bits, Int x) {
    return __funnelshift_l(static_cast<Bits>(x), bits, 1);
  }
  __device__ __forceinline__ static Int most(Int x) { return max(x, 0); }
  __device__ __forceinline__ static Int least(Int x, Int y) { return min(x, y); }
  __device__ __forceinline__ static Int flow(Int e, Int in, Int c) {
    return __viaddmin_s32_relu(e, in, c);
  }
  template <typename T>
  __device__ __forceinline__ static T load(const T* p, Int at) {
    T x;
    asm volatile("ld.shared.b32 %0, [%1];" : "=r"(x) : "r"(address(p) + 4 * at) : "memory");
    return x;
  }
  template <typename T>
  __device__ __forceinline__ static T load_one(const T* p, int i) {
    return load(p, i);
  }
  template <typename T>
  __device__ __forceinline__ static void store(T* p, Int at, T x) {
    asm volatile("st.shared.b32 [%0], %1;" : : "r"(address(p) + 4 * at), "r"(x) : "memory");
  }

 private:
  static constexpr unsigned kAll = 0xffffffffu;

  // p must point to shared memory. A generic load, which finds out at run time, takes twice as
  // long.
  template <typename T>
  __device__ __forceinline__ static unsigned address(const T* p) {
    static_assert(sizeof(T) == 4, "numbers of 32 bits");
    return static_cast<unsigned>(__cvta_generic_to_shared(p));
  }
};

#endif

// A number for each lane, on the host. Arithmetic is done on unsigned numbers, which wrap.
template <typename T>
struct LaneNumbers {
  LaneNumbers() = default;
  LaneNumbers(T same) {
    for (T& x : of) x = same;
  }

  template <typename F>
  static LaneNumbers each(const F& f) {
    LaneNumbers out;
    for (int l = 0; l < kWarp; ++l) out.of[l] = static_cast<T>(f(l));
    return out;
  }

  friend LaneNumbers operator+(const LaneNumbers& a, const LaneNumbers& b) {
    return each([&](int l) { return a.word(l) + b.word(l); });
  }
  friend LaneNumbers operator-(const LaneNumbers& a, const LaneNumbers& b) {
    return each([&](int l) { return a.word(l) - b.word(l); });
  }
  friend LaneNumbers operator*(const LaneNumbers& a, const LaneNumbers& b) {
    return each([&](int l) { return a.word(l) * b.word(l); });
  }
  friend LaneNumbers operator&(const LaneNumbers& a, const LaneNumbers& b) {
    return each([&](int l) { return a.of[l] & b.of[l]; });
  }
  friend LaneNumbers operator|(const LaneNumbers& a, const LaneNumbers& b) {
    return each([&](int l) { return a.of[l] | b.of[l]; });
  }
  friend LaneNumbers operator^(const LaneNumbers& a, const LaneNumbers& b) {
    return each([&](int l) { return a.of[l] ^ b.of[l]; });
  }
  friend LaneNumbers operator<<(const LaneNumbers& a, int by) {
    return each([&](int l) { return a.word(l) << by; });
  }
  friend LaneNumbers operator>>(const LaneNumbers& a, int by) {
    return each([&](int l) { return a.of[l] >> by; });
  }
  LaneNumbers operator-() const {
    return each([&](int l) { return 0 - word(l); });
  }
  LaneNumbers operator~() const {
    return each([&](int l) { return ~of[l]; });
  }

  uint32_t word(int l) const { return static_cast<uint32_t>(of[l]); }

  T of[kWarp];
};

// One warp's lanes on the host. Counts shuffles and votes, at each of which a GPU's lanes
// synchronise.
class HostLanes {
 public:
  using Int = LaneNumbers<int32_t>;
  using Bits = LaneNumbers<uint32_t>;

  static Int number() {
    return Int::each([](int l) { return l; });
  }
  template <typename T>
  LaneNumbers<T> from(const LaneNumbers<T>& x, const Int& lane) {
    ++shuffles_;
    return LaneNumbers<T>::each([&](int l) { return x.of[lane.of[l] & (kWarp - 1)]; });
  }
  template <typename T>
  LaneNumbers<T> from_beside(const LaneNumbers<T>& x) {
    return from(x, number() ^ Int(1));
  }
  bool any(const Bits& bits) {
    ++votes_;
    uint32_t all = 0;
    for (uint32_t x : bits.of) all |= x;
    return all != 0;
  }
  static Bits in(uint32_t lanes, const Bits& bits) {
    return Bits::each([&](int l) { return bits.of[l] & (0 - (lanes >> l & 1)); });
  }
  static Int keep(const Bits& bits, int i, const Int& x) {
    return Int::each([&](int l) { return x.word(l) & (0 - (bits.of[l] >> i & 1)); });
  }
  static Int negate(const Bits& bits, int i, const Int& x) { return -keep(bits, i, x); }
  static Bits push_sign(const Bits& bits, const Int& x) {
    return Bits::each([&](int l) { return bits.of[l] << 1 | x.word(l) >> 31; });
  }
  static Int most(const Int& x) {
    return Int::each([&](int l) { return x.of[l] > 0 ? x.of[l] : 0; });
  }
  static Int least(const Int& x, const Int& y) {
    return Int::each([&](int l) { return x.of[l] < y.of[l] ? x.of[l] : y.of[l]; });
  }
  static Int flow(const Int& e, const Int& in, const Int& c) { return most(least(e + in, c)); }
  template <typename T>
  static LaneNumbers<T> load(const T* p, const Int& at) {
    return LaneNumbers<T>::each([&](int l) { return p[at.of[l]]; });
  }
  template <typename T>
  static T load_one(const T* p, int i) {
    return p[i];
  }
  template <typename T>
  static void store(T* p, const Int& at, const LaneNumbers<T>& x) {
    for (int l = 0; l < kWarp; ++l) p[at.of[l]] = x.of[l];
  }

  int64_t shuffles() const { return shuffles_; }
  int64_t votes() const { return votes_; }

 private:
  int64_t shuffles_ = 0, votes_ = 0;
};

}  // namespace puzzlemix
