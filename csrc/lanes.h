// The lanes of one warp or of four: threads in lockstep that pass numbers to each other.
//
// Code for lanes (graphcut/warp_cut.h) is written once, for all together. Its variables are of the
// types Int and Bits, which hold one number for each lane; plain numbers are the same in all lanes.
// On CUDA (WarpLanes, FourWarpLanes) an Int is a register of each thread; on the host (HostLanes)
// it is an array, so that tests need no GPU. Integers wrap on overflow.
//
// Lanes stand in rows of kAcross: 16 rows of 2, or 32 of 4. What comes from beyond an end of a row
// or column is 0, or the value of x in a lane at the opposite end of some row or column.
//
//   kLanes, kAcross        how many lanes there are, and how many make a row
//   number()               the number of each lane, from 0, row by row
//   from_left(x), from_right(x), from_above(x), from_below(x)
//                          the value of x in the next lane there
//   from_above(x, to)      that of several numbers; from_below(x, to) too
//   from_sides(x, left, right), from_rows(x, above, below)
//                          the values of x in both lanes beside, or in those above and below
//   any(bits)              whether a bit is set in some lane
//   from_rows_and_any(x, above, below, y, some_x, some_y)
//                          from_rows(x, above, below), any(x) and any(y)
//   in(lanes, bits)        `bits` in those of the first 32 lanes whose bit is set in `lanes`, 0 in
//                          the others
//   keep(bits, i, x)       x where bit i is set, else 0
//   negate(bits, i, x)     -x where bit i is set, else 0
//   push_sign(bits, x)     bits << 1, with the sign of x as bit 0
//   most(x), least(x, y)   the larger of x and 0; the smaller of x and y
//   flow(e, in, c)         e + in clamped to [0, c], for c >= 0: what a cell with excess e and
//                          inflow `in` sends along an arc of capacity c
//   load(p, at), store     the number at p[at], which is in shared memory on CUDA
//   load_one(p, i)         p[i], the same in all lanes
//
// Only load and store access the caller's memory. A lane may load what it has stored itself, or
// what was there before the code of the lanes began.
#pragma once

#include <cstdint>

#include "cuda_macros.h"
#include "ptx.h"

namespace puzzlemix {

constexpr int kWarp = 32, kFourWarps = 4 * kWarp;

#ifdef __CUDACC__

// What a thread does as a lane by itself.
struct DeviceLane {
  using Int = int32_t;
  using Bits = uint32_t;

  __device__ __forceinline__ static Int number() { return threadIdx.x; }
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
    return ptx::load_shared(p, at);
  }
  template <typename T>
  __device__ __forceinline__ static T load_one(const T* p, int i) {
    return load(p, i);
  }
  template <typename T>
  __device__ __forceinline__ static void store(T* p, Int at, T x) {
    ptx::store_shared(p, at, x);
  }

 protected:
  static constexpr unsigned kAll = 0xffffffffu;
};

// The first warp of a block. Lanes pass numbers without memory.
struct WarpLanes : DeviceLane {
  static constexpr int kLanes = kWarp, kAcross = 2;
  struct Shared {};

  __device__ __forceinline__ explicit WarpLanes(Shared&) {}

  template <typename T>
  __device__ __forceinline__ static T from_left(T x) {
    return __shfl_xor_sync(kAll, x, 1);
  }
  template <typename T>
  __device__ __forceinline__ static T from_right(T x) {
    return __shfl_xor_sync(kAll, x, 1);
  }
  template <typename T>
  __device__ __forceinline__ static T from_above(T x) {
    return __shfl_sync(kAll, x, number() - kAcross);
  }
  template <typename T>
  __device__ __forceinline__ static T from_below(T x) {
    return __shfl_sync(kAll, x, number() + kAcross);
  }
  template <int n, typename T>
  __device__ __forceinline__ static void from_above(const T (&x)[n], T (&to)[n]) {
    PUZZLEMIX_UNROLL
    for (int i = 0; i < n; ++i) to[i] = from_above(x[i]);
  }
  template <int n, typename T>
  __device__ __forceinline__ static void from_below(const T (&x)[n], T (&to)[n]) {
    PUZZLEMIX_UNROLL
    for (int i = 0; i < n; ++i) to[i] = from_below(x[i]);
  }
  template <typename T>
  __device__ __forceinline__ static void from_sides(T x, T& left, T& right) {
    left = right = from_left(x);
  }
  template <typename T>
  __device__ __forceinline__ static void from_rows(T x, T& above, T& below) {
    above = from_above(x);
    below = from_below(x);
  }

  __device__ __forceinline__ static bool any(Bits bits) { return __any_sync(kAll, bits != 0); }
  __device__ __forceinline__ static void from_rows_and_any(Bits x, Bits& above, Bits& below, Bits y,
                                                           bool& some_x, bool& some_y) {
    from_rows(x, above, below);
    some_x = any(x);
    some_y = any(y);
  }
  __device__ __forceinline__ static Bits in(uint32_t lanes, Bits bits) {
    return lanes >> number() & 1 ? bits : 0;
  }
};

// The first four warps of a block, eight rows each. Within a warp lanes pass numbers without
// memory; between its first or last row and the warp next to it through shared memory, with a
// barrier of these four warps. What is passed goes to two places in turn, so that no warp
// overwrites what another one still reads.
class FourWarpLanes : public DeviceLane {
 public:
  static constexpr int kLanes = kFourWarps, kAcross = 4;

 private:
  static constexpr int kWarps = kLanes / kWarp, kLast = kWarp / kAcross - 1, kMostPassed = 8;

 public:
  struct Shared {
    uint32_t passed[2 * kMostPassed * kWarps * kAcross];
  };

  __device__ __forceinline__ explicit FourWarpLanes(Shared& shared)
      : shared_(shared), place_(number() / kWarp * kAcross + number() % kAcross) {}

  template <typename T>
  __device__ __forceinline__ static T from_left(T x) {
    const T left = __shfl_up_sync(kAll, x, 1);
    return number() % kAcross > 0 ? left : 0;
  }
  template <typename T>
  __device__ __forceinline__ static T from_right(T x) {
    const T right = __shfl_down_sync(kAll, x, 1);
    return number() % kAcross < kAcross - 1 ? right : 0;
  }
  template <typename T>
  __device__ __forceinline__ T from_above(T x) {
    T from[1] = {x}, to[1];
    from_above(from, to);
    return to[0];
  }
  template <typename T>
  __device__ __forceinline__ T from_below(T x) {
    T from[1] = {x}, to[1];
    from_below(from, to);
    return to[0];
  }
  template <int n, typename T>
  __device__ __forceinline__ void from_above(const T (&x)[n], T (&to)[n]) {
    from_row<-1>(x, to);
  }
  template <int n, typename T>
  __device__ __forceinline__ void from_below(const T (&x)[n], T (&to)[n]) {
    from_row<1>(x, to);
  }
  template <typename T>
  __device__ __forceinline__ static void from_sides(T x, T& left, T& right) {
    left = from_left(x);
    right = from_right(x);
  }
  template <typename T>
  __device__ __forceinline__ void from_rows(T x, T& above, T& below) {
    pass_both_ways(x, above, below, [] { meet(); });
  }

  __device__ __forceinline__ static bool any(Bits bits) {
    return ptx::meet_count<kBarrier, kLanes>(bits != 0) != 0;
  }
  // By one barrier, which counts: of each warp the first lane for x, the eight after it for y.
  __device__ __forceinline__ void from_rows_and_any(Bits x, Bits& above, Bits& below, Bits y,
                                                    bool& some_x, bool& some_y) {
    const bool in_x = __any_sync(kAll, x != 0), in_y = __any_sync(kAll, y != 0);
    const uint32_t lane = number() % kWarp;
    const bool mine = (lane == 0 && in_x) || (lane - 1 < 8 && in_y);
    pass_both_ways(x, above, below, [&] {
      const uint32_t count = ptx::meet_count<kBarrier, kLanes>(mine);
      some_x = count % 8 != 0;
      some_y = count >= 8;
    });
  }
  __device__ __forceinline__ static Bits in(uint32_t lanes, Bits bits) {
    return number() < kWarp && lanes >> number() % kWarp & 1 ? bits : 0;
  }

 private:
  // Barrier 0 is that of the whole block.
  static constexpr int kBarrier = 1;

  // from_rows; `meet` comes with a barrier.
  template <typename T, typename Meet>
  __device__ __forceinline__ void pass_both_ways(T x, T& above, T& below, const Meet& meet) {
    above = __shfl_up_sync(kAll, x, kAcross);
    below = __shfl_down_sync(kAll, x, kAcross);
    if (row() == kLast) passed(0, 0) = x;
    if (row() == 0) passed(1, 0) = x;
    meet();
    if (row() == 0) above = passed(0, -1);
    if (row() == kLast) below = passed(1, 1);
    take_turns();
  }

  // The value of each x in the row that is kBy below.
  template <int kBy, int n, typename T>
  __device__ __forceinline__ void from_row(const T (&x)[n], T (&to)[n]) {
    static_assert(n <= kMostPassed, "room for what is passed");
    constexpr int kGives = kBy < 0 ? kLast : 0;
    PUZZLEMIX_UNROLL
    for (int i = 0; i < n; ++i) {
      to[i] = kBy < 0 ? __shfl_up_sync(kAll, x[i], kAcross) : __shfl_down_sync(kAll, x[i], kAcross);
    }
    if (row() == kGives) {
      PUZZLEMIX_UNROLL
      for (int i = 0; i < n; ++i) passed(i, 0) = x[i];
    }
    meet();
    if (row() == kLast - kGives) {
      PUZZLEMIX_UNROLL
      for (int i = 0; i < n; ++i) to[i] = passed(i, kBy);
    }
    take_turns();
  }

  // The row of a lane in its warp.
  __device__ __forceinline__ static int row() { return number() % kWarp / kAcross; }
  // Where the warp that comes `by` after this one puts the i-th number of a lane in this column.
  __device__ __forceinline__ uint32_t& passed(int i, int by) {
    const int place = (place_ & ~(kPlaces - 1)) + ((place_ + by * kAcross) & (kPlaces - 1));
    return shared_.passed[place + i * kPlaces];
  }
  __device__ __forceinline__ void take_turns() { place_ ^= kMostPassed * kPlaces; }
  __device__ __forceinline__ static void meet() { ptx::meet<kBarrier, kLanes>(); }

  static constexpr int kPlaces = kWarps * kAcross;

  Shared& shared_;
  int place_;  // of its warp and column, in the half of `passed` whose turn it is
};

#endif

// A number for each of n lanes, on the host. Arithmetic is done on unsigned numbers, which wrap.
template <typename T, int n>
struct LaneNumbers {
  LaneNumbers() = default;
  LaneNumbers(T same) {
    for (T& x : of) x = same;
  }

  template <typename F>
  static LaneNumbers each(const F& f) {
    LaneNumbers out;
    for (int l = 0; l < n; ++l) out.of[l] = static_cast<T>(f(l));
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

  T of[n];
};

// Lanes on the host. Counts shuffles and votes, at each of which a GPU's lanes wait for each other.
template <int n>
class HostLanes {
 public:
  static constexpr int kLanes = n, kAcross = n == kWarp ? 2 : 4;
  using Int = LaneNumbers<int32_t, n>;
  using Bits = LaneNumbers<uint32_t, n>;

  static Int number() {
    return Int::each([](int l) { return l; });
  }
  template <typename T>
  LaneNumbers<T, n> from_left(const LaneNumbers<T, n>& x) {
    return from(x, -1);
  }
  template <typename T>
  LaneNumbers<T, n> from_right(const LaneNumbers<T, n>& x) {
    return from(x, 1);
  }
  template <typename T>
  LaneNumbers<T, n> from_above(const LaneNumbers<T, n>& x) {
    return from(x, -kAcross);
  }
  template <typename T>
  LaneNumbers<T, n> from_below(const LaneNumbers<T, n>& x) {
    return from(x, kAcross);
  }
  template <int count, typename T>
  void from_above(const LaneNumbers<T, n> (&x)[count], LaneNumbers<T, n> (&to)[count]) {
    for (int i = 0; i < count; ++i) to[i] = from_above(x[i]);
  }
  template <int count, typename T>
  void from_below(const LaneNumbers<T, n> (&x)[count], LaneNumbers<T, n> (&to)[count]) {
    for (int i = 0; i < count; ++i) to[i] = from_below(x[i]);
  }
  template <typename T>
  void from_sides(const LaneNumbers<T, n>& x, LaneNumbers<T, n>& left, LaneNumbers<T, n>& right) {
    left = from_left(x);
    right = from_right(x);
    if (kAcross == 2) --shuffles_;  // in a row of two, both are the same lane
  }
  template <typename T>
  void from_rows(const LaneNumbers<T, n>& x, LaneNumbers<T, n>& above, LaneNumbers<T, n>& below) {
    above = from_above(x);
    below = from_below(x);
  }
  bool any(const Bits& bits) {
    ++votes_;
    uint32_t all = 0;
    for (uint32_t x : bits.of) all |= x;
    return all != 0;
  }
  void from_rows_and_any(const Bits& x, Bits& above, Bits& below, const Bits& y, bool& some_x,
                         bool& some_y) {
    from_rows(x, above, below);
    some_x = any(x);
    some_y = any(y);
  }
  static Bits in(uint32_t lanes, const Bits& bits) {
    return Bits::each([&](int l) { return l < 32 && lanes >> l & 1 ? bits.of[l] : 0; });
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
  static LaneNumbers<T, n> load(const T* p, const Int& at) {
    return LaneNumbers<T, n>::each([&](int l) { return p[at.of[l]]; });
  }
  template <typename T>
  static T load_one(const T* p, int i) {
    return p[i];
  }
  template <typename T>
  static void store(T* p, const Int& at, const LaneNumbers<T, n>& x) {
    for (int l = 0; l < n; ++l) p[at.of[l]] = x.of[l];
  }

  int64_t shuffles() const { return shuffles_; }
  int64_t votes() const { return votes_; }

 private:
  // The value of x in the lane whose number is larger by that much, in a ring.
  template <typename T>
  LaneNumbers<T, n> from(const LaneNumbers<T, n>& x, int by) {
    ++shuffles_;
    return LaneNumbers<T, n>::each([&](int l) { return x.of[(l + by) & (n - 1)]; });
  }

  int64_t shuffles_ = 0, votes_ = 0;
};

}  // namespace puzzlemix
