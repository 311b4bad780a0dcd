// How a device algorithm is written: once, in phases, for a team of threads that solves one sample.
//
// A phase is a loop over items. Every item is done by some thread, in any order and at any pace,
// and at the end of the phase all threads wait for each other. So within a phase an item may write
// only what no other item of the phase reads or writes, except by atomic_min and atomic_add, which
// commute.
//
// The code between phases is executed by every thread, with the same result. It may read what
// phases have written, except what the next phase writes (another thread may be ahead), and must
// not write.
//
// Four teams run the same code: BlockTeam is CUDA's thread block (a single warp for small grids),
// PlainTeam (plain_team.h) one thread of the CPU, ShuffledTeam (shuffled_team.h) one thread of the
// host that takes the items of each phase in random order, and ThreadedTeam (tests/team) real
// threads, for ThreadSanitizer. An answer that depends on the order is a race.
//
//   kChecked                   whether values are checked after they are read. If not, forbidden
//                              values count as 0 (element.h, integers.h).
//   kWide                      how many neighbouring cells an item takes where there is a choice:
//                              enough to vectorise on the CPU, one on the device.
//   for_each(n, f)             f(i) for 0 <= i < n.
//   for_each(rows, columns, f) f(y, x) for all y < rows, x < columns.
//   mask(n, words, f)          sets bit i of `words` to f(i): n bits in 32-bit words, what is left
//                              of the last word 0. Returns whether a bit is set.
//   any(n, f)                  whether f(i) is true for some i.
//   reduce(n, none, f, op)     all f(i) combined by op, which commutes and associates; `none` if
//                              n = 0.
//   rows(m, n, none, f, op, g) calls g(r, all f(r, i) combined by op) for each of m rows; on CUDA a
//                              warp does a row.
//   add(n, f)                  the sum of doubles f(i), in an order that the team's size fixes.
//   kHasLanes<n>               whether there is
//   lanes<n>(f)                f(lanes), once, by n threads in lockstep (lanes.h), 32 or 128.
//
// Functors capture by value: what a reference captures would be shared on the host and private to
// each thread on the device. The teams refuse them, as a closure with references has no standard
// layout.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cuda_macros.h"
#include "lanes.h"

namespace puzzlemix {

template <typename F>
PUZZLEMIX_HD constexpr void expect_values_captured(const F&) {
  static_assert(std::is_standard_layout<F>::value, "a phase captures by value");
}

PUZZLEMIX_HD constexpr int word_count(int bits) { return (bits + 31) / 32; }
PUZZLEMIX_HD inline bool has_bit(const uint32_t* words, int i) {
  return words[i >> 5] >> (i & 31) & 1;
}

struct Least {
  template <typename T>
  PUZZLEMIX_HD T operator()(T a, T b) const {
    return b < a ? b : a;
  }
};
struct Most {
  template <typename T>
  PUZZLEMIX_HD T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};
struct Sum {
  template <typename T>
  PUZZLEMIX_HD T operator()(T a, T b) const {
    return a + b;
  }
};

#ifdef __CUDACC__

// A thread block, whose size is a multiple of the warp's. A phase has one barrier: reductions write
// to two arrays in turn, so that no warp overwrites what another one still reads.
template <typename Lanes>
class BlockTeam {
 public:
  static constexpr bool kChecked = false;
  static constexpr int kWide = 1;
  // The team cuts by these lanes alone: code for others would take registers from theirs.
  template <int kLanes>
  static constexpr bool kHasLanes = kLanes == Lanes::kLanes;

  union Shared {
    unsigned long long value[2][kWarp];
    typename Lanes::Shared lanes;
  };

  __device__ explicit BlockTeam(Shared& shared) : shared_(shared) {}

  template <typename F>
  __device__ void for_each(int n, F f) {
    expect_values_captured(f);
    for (int i = threadIdx.x; i < n; i += blockDim.x) f(i);
    __syncthreads();
  }

  template <typename F>
  __device__ void for_each(int rows, int columns, F f) {
    for_each(rows * columns, [=](int i) { f(i / columns, i % columns); });
  }

  template <typename F>
  __device__ bool mask(int n, uint32_t* words, F f) {
    expect_values_captured(f);
    bool some = false;
    for (int i = threadIdx.x; i < word_count(n) * kWarp; i += blockDim.x) {
      const unsigned word = __ballot_sync(kAll, i < n && f(i));
      if (lane() == 0) words[i >> 5] = word;
      some = some || word != 0;
    }
    return __syncthreads_or(some);
  }

  template <typename F>
  __device__ bool any(int n, F f) {
    expect_values_captured(f);
    bool some = false;
    for (int i = threadIdx.x; i < n; i += blockDim.x) some = f(i) || some;
    return __syncthreads_or(some);
  }

  template <typename T, typename F, typename Op>
  __device__ T reduce(int n, T none, F f, Op op) {
    expect_values_captured(f);
    static_assert(sizeof(T) <= sizeof(unsigned long long), "a reduction of at most 8 bytes");
    T mine = none;
    for (int i = threadIdx.x; i < n; i += blockDim.x) mine = op(mine, f(i));
    mine = over_warp(mine, op);
    T* const slots = reinterpret_cast<T*>(shared_.value[turn_]);
    turn_ ^= 1;
    if (lane() == 0) slots[threadIdx.x / kWarp] = mine;
    __syncthreads();
    const int warps = blockDim.x / kWarp;
    if (warps == 1) return slots[0];
    return over_warp(lane() < warps ? slots[lane()] : none, op);
  }

  template <typename F>
  __device__ double add(int n, F f) {
    return reduce(n, 0.0, f, Sum());
  }

  template <typename T, typename F, typename Op, typename G>
  __device__ void rows(int m, int n, T none, F f, Op op, G g) {
    expect_values_captured(f);
    expect_values_captured(g);
    for (int r = threadIdx.x / kWarp; r < m; r += blockDim.x / kWarp) {
      T mine = none;
      for (int i = lane(); i < n; i += kWarp) mine = op(mine, f(r, i));
      mine = over_warp(mine, op);
      if (lane() == 0) g(r, mine);
    }
    __syncthreads();
  }

  template <int kLanes, typename F>
  __device__ void lanes(F f) {
    expect_values_captured(f);
    // Until here a warp may read what a reduction has left where lanes write.
    if constexpr (kLanes > kWarp) __syncthreads();
    // The shuffle makes the condition the same in all lanes, which the compiler then knows.
    if (__shfl_sync(kAll, threadIdx.x / kWarp, 0) < kLanes / kWarp) {
      Lanes lanes(shared_.lanes);
      f(lanes);
    }
    __syncthreads();
  }

  __device__ static void atomic_min(uint64_t* at, uint64_t value) {
    atomicMin(reinterpret_cast<unsigned long long*>(at), static_cast<unsigned long long>(value));
  }
  __device__ static void atomic_add(int32_t* at, int32_t value) { atomicAdd(at, value); }

 private:
  static constexpr unsigned kAll = 0xffffffffu;

  __device__ static int lane() { return threadIdx.x % kWarp; }

  template <typename T, typename Op>
  __device__ static T over_warp(T mine, Op op) {
    for (int apart = kWarp / 2; apart > 0; apart /= 2) {
      mine = op(mine, shuffled(mine, apart));
    }
    return mine;
  }

  // __shfl_xor_sync for any trivially copyable type of whole 32-bit words.
  template <typename T>
  __device__ static T shuffled(T value, int apart) {
    static_assert(sizeof(T) % 4 == 0 && std::is_trivially_copyable<T>::value, "words to shuffle");
    unsigned words[sizeof(T) / 4];
    memcpy(words, &value, sizeof(T));
    for (unsigned& word : words) word = __shfl_xor_sync(kAll, word, apart);
    memcpy(&value, words, sizeof(T));
    return value;
  }

  Shared& shared_;
  int turn_ = 0;
};

#endif

// Hands out memory for one sample: from the fast region (CUDA's shared memory) while that lasts,
// then from the slow one; so what is used most is taken first. An arena of null regions only counts
// bytes.
class Arena {
 public:
  PUZZLEMIX_HD Arena(char* fast, int64_t fast_bytes, char* slow)
      : fast_(fast), fast_bytes_(fast_bytes), slow_(slow) {}
  // All from the fast region, which has room for it. The compiler sees that, and so by which
  // instructions to access it.
  PUZZLEMIX_HD explicit Arena(char* fast) : Arena(fast, kUnlimited, nullptr) {}

  template <typename T>
  PUZZLEMIX_HD T* take(int64_t count) {
    const int64_t bytes = (count * static_cast<int64_t>(sizeof(T)) + 15) / 16 * 16;
    if (fast_bytes_ == kUnlimited || fast_used_ + bytes <= fast_bytes_) {
      fast_used_ += bytes;
      return at<T>(fast_, fast_used_ - bytes);
    }
    slow_used_ += bytes;
    return at<T>(slow_, slow_used_ - bytes);
  }

  // For alternatives that share memory: `other` began as a copy of this arena, and either what this
  // one has handed out since or what `other` has will be used. Goes on beyond both.
  PUZZLEMIX_HD void go_beyond(const Arena& other) {
    fast_used_ = Most()(fast_used_, other.fast_used_);
    slow_used_ = Most()(slow_used_, other.slow_used_);
  }

  PUZZLEMIX_HD int64_t fast_used() const { return fast_used_; }
  PUZZLEMIX_HD int64_t slow_used() const { return slow_used_; }

 private:
  static constexpr int64_t kUnlimited = INT64_MAX;

  // Null from an arena that only counts, which is on the host.
  template <typename T>
  PUZZLEMIX_HD static T* at(char* start, int64_t offset) {
#ifndef __CUDA_ARCH__
    if (!start) return nullptr;
#endif
    return reinterpret_cast<T*>(start + offset);
  }

  char* fast_;
  int64_t fast_bytes_;
  char* slow_;
  int64_t fast_used_ = 0, slow_used_ = 0;
};

// The size of an arena's fast region on CUDA. Every device gives every block 48 KB of shared memory
// by default, part of which BlockTeam takes; a multiprocessor of an H100 has room for four such
// blocks.
constexpr int64_t kFastBytes = 46 * 1024;

}  // namespace puzzlemix
