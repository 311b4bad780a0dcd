// The team of the tests: one host thread that takes the items of every phase in random order. See
// team.h.
#pragma once

#include <cstddef>
#include <random>
#include <vector>

#include "plain_team.h"

namespace puzzlemix {

// How often threads of a device would wait for each other: at phases, each of which ends with a
// barrier, and, in phases that some warps do alone, at shuffles and votes.
struct Waits {
  int64_t phases = 0, shuffles = 0, votes = 0;
};

class ShuffledTeam {
 public:
  static constexpr bool kChecked = false;
  static constexpr int kWide = 1;
  template <int kLanes>
  static constexpr bool kHasLanes = true;

  explicit ShuffledTeam(uint64_t seed) : random_(seed) {}

  template <typename F>
  void for_each(int n, F f) {
    expect_values_captured(f);
    for (int i : order(n)) f(i);
    ++waits_.phases;
  }

  template <typename F>
  void for_each(int rows, int columns, F f) {
    for_each(rows * columns, [=](int i) { f(i / columns, i % columns); });
  }

  template <typename F>
  bool mask(int n, uint32_t* words, F f) {
    expect_values_captured(f);
    // Random words until the phase ends, so that reading them within the phase shows in the result.
    std::vector<uint32_t> made(word_count(n));
    for (int w = 0; w < word_count(n); ++w) words[w] = random_();
    for (int i : order(n)) made[i >> 5] |= static_cast<uint32_t>(f(i)) << (i & 31);
    uint32_t all = 0;
    for (int w = 0; w < word_count(n); ++w) all |= words[w] = made[w];
    ++waits_.phases;
    return all != 0;
  }

  template <typename F>
  bool any(int n, F f) {
    expect_values_captured(f);
    bool some = false;
    for (int i : order(n)) some = f(i) || some;
    ++waits_.phases;
    return some;
  }

  template <typename T, typename F, typename Op>
  T reduce(int n, T none, F f, Op op) {
    expect_values_captured(f);
    T all = none;
    for (int i : order(n)) all = op(all, f(i));
    ++waits_.phases;
    return all;
  }

  // Not shuffled: a sum of doubles depends on its order.
  template <typename F>
  double add(int n, F f) {
    ++waits_.phases;
    return PlainTeam().add(n, f);
  }

  template <typename T, typename F, typename Op, typename G>
  void rows(int m, int n, T none, F f, Op op, G g) {
    expect_values_captured(f);
    expect_values_captured(g);
    const std::vector<int> rows = order(m);
    for (int r : rows) {
      T all = none;
      for (int i : order(n)) all = op(all, f(r, i));
      g(r, all);
    }
    ++waits_.phases;
  }

  template <int kLanes, typename F>
  void lanes(F f) {
    expect_values_captured(f);
    HostLanes<kLanes> lanes;
    f(lanes);
    waits_.shuffles += lanes.shuffles();
    waits_.votes += lanes.votes();
    ++waits_.phases;
  }

  static void atomic_min(uint64_t* at, uint64_t value) {
    if (value < *at) *at = value;
  }
  static void atomic_add(int32_t* at, int32_t value) { *at += value; }

  const Waits& waits() const { return waits_; }

 private:
  const std::vector<int>& order(int n) {
    order_.resize(n < 0 ? 0 : n);
    for (size_t i = 0; i < order_.size(); ++i) {
      const size_t j = random_() % (i + 1);
      order_[i] = order_[j];
      order_[j] = static_cast<int>(i);
    }
    return order_;
  }

  std::minstd_rand random_;
  std::vector<int> order_;
  Waits waits_;
};

}  // namespace puzzlemix
