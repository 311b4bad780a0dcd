// A team of real threads, with which ThreadSanitizer detects a missing barrier.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <vector>

#include "team.h"

namespace puzzlemix {

// The team as one of its threads sees it: all threads run the algorithm, as those of a block do.
// Each takes the items of a phase with a stride of the team's size; they combine reductions in
// `Meeting`.
class ThreadedTeam {
 public:
  static constexpr bool kChecked = false;
  static constexpr int kWide = 1;
  template <int kLanes>
  static constexpr bool kHasLanes = true;

  class Meeting {
   public:
    explicit Meeting(int size) : size_(size), slots_(2 * static_cast<size_t>(size)) {}

    void wait() {
      std::unique_lock<std::mutex> lock(mutex_);
      const uint64_t round = round_;
      if (++arrived_ == size_) {
        arrived_ = 0;
        ++round_;
        all_here_.notify_all();
      } else {
        all_here_.wait(lock, [&] { return round_ != round; });
      }
    }

   private:
    friend class ThreadedTeam;
    struct alignas(16) Slot {
      unsigned char bytes[32];
    };

    const int size_;
    std::vector<Slot> slots_;
    std::mutex mutex_;
    std::condition_variable all_here_;
    int arrived_ = 0;
    uint64_t round_ = 0;
  };

  ThreadedTeam(Meeting& meeting, int index) : meeting_(meeting), index_(index) {}

  template <typename F>
  void for_each(int n, F f) {
    expect_values_captured(f);
    for (int i = index_; i < n; i += meeting_.size_) f(i);
    meeting_.wait();
  }

  template <typename F>
  void for_each(int rows, int columns, F f) {
    for_each(rows * columns, [=](int i) { f(i / columns, i % columns); });
  }

  template <typename F>
  bool mask(int n, uint32_t* words, F f) {
    expect_values_captured(f);
    bool some = false;
    for (int w = index_; w < word_count(n); w += meeting_.size_) {
      uint32_t word = 0;
      for (int i = 32 * w; i < n && i < 32 * w + 32; ++i) {
        word |= static_cast<uint32_t>(f(i)) << (i & 31);
      }
      words[w] = word;
      some = some || word != 0;
    }
    return meet(some, Most());
  }

  template <typename F>
  bool any(int n, F f) {
    return reduce(n, false, [f](int i) -> bool { return f(i); }, Most());
  }

  template <typename T, typename F, typename Op>
  T reduce(int n, T none, F f, Op op) {
    expect_values_captured(f);
    T mine = none;
    for (int i = index_; i < n; i += meeting_.size_) mine = op(mine, f(i));
    return meet(mine, op);
  }

  template <typename F>
  double add(int n, F f) {
    return reduce(n, 0.0, f, Sum());
  }

  template <typename T, typename F, typename Op, typename G>
  void rows(int m, int n, T none, F f, Op op, G g) {
    expect_values_captured(f);
    expect_values_captured(g);
    for (int r = index_; r < m; r += meeting_.size_) {
      T all = none;
      for (int i = 0; i < n; ++i) all = op(all, f(r, i));
      g(r, all);
    }
    meeting_.wait();
  }

  template <int kLanes, typename F>
  void lanes(F f) {
    expect_values_captured(f);
    if (index_ == 0) {
      HostLanes<kLanes> lanes;
      f(lanes);
    }
    meeting_.wait();
  }

  static void atomic_min(uint64_t* at, uint64_t value) {
    uint64_t seen = __atomic_load_n(at, __ATOMIC_RELAXED);
    while (value < seen && !__atomic_compare_exchange_n(at, &seen, value, true, __ATOMIC_RELAXED,
                                                        __ATOMIC_RELAXED)) {
    }
  }
  static void atomic_add(int32_t* at, int32_t value) {
    __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
  }

 private:
  template <typename T, typename Op>
  T meet(T mine, Op op) {
    static_assert(sizeof(T) <= sizeof(Meeting::Slot), "a slot holds a value");
    Meeting::Slot* const slots = meeting_.slots_.data() + turn_ * meeting_.size_;
    turn_ ^= 1;
    reinterpret_cast<T&>(slots[index_].bytes) = mine;
    meeting_.wait();
    T all = reinterpret_cast<const T&>(slots[0].bytes);
    for (int k = 1; k < meeting_.size_; ++k) {
      all = op(all, reinterpret_cast<const T&>(slots[k].bytes));
    }
    return all;
  }

  Meeting& meeting_;
  const int index_;
  int turn_ = 0;
};

}  // namespace puzzlemix
