// The team of one CPU thread: it takes the items of a phase in ascending order, so that code
// written for teams (team.h) runs as plain loops, which compilers vectorise.
#pragma once

#include "team.h"

namespace puzzlemix {

class PlainTeam {
 public:
  static constexpr bool kChecked = true;
  static constexpr int kWide = 64;

  template <typename F>
  void for_each(int n, F f) {
    expect_values_captured(f);
    for (int i = 0; i < n; ++i) f(i);
  }

  template <typename F>
  void for_each(int rows, int columns, F f) {
    expect_values_captured(f);
    for (int y = 0; y < rows; ++y) {
      for (int x = 0; x < columns; ++x) f(y, x);
    }
  }

  template <typename F>
  bool any(int n, F f) {
    expect_values_captured(f);
    bool some = false;
    for (int i = 0; i < n; ++i) some = some | f(i);
    return some;
  }

  // With 8 partial results, which vectorise; a single one would make each operation wait for the
  // last.
  template <typename T, typename F, typename Op>
  T reduce(int n, T none, F f, Op op) {
    expect_values_captured(f);
    constexpr int kLanes = 8;
    T lanes[kLanes], items[kLanes];
    for (T& lane : lanes) lane = none;
    int i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      for (int k = 0; k < kLanes; ++k) items[k] = f(i + k);
      for (int k = 0; k < kLanes; ++k) lanes[k] = op(lanes[k], items[k]);
    }
    for (; i < n; ++i) lanes[0] = op(lanes[0], f(i));
    for (int half = kLanes / 2; half > 0; half /= 2) {
      for (int k = 0; k < half; ++k) lanes[k] = op(lanes[k], lanes[k + half]);
    }
    return lanes[0];
  }

  template <typename F>
  double add(int n, F f) {
    return reduce(n, 0.0, f, Sum());
  }
};

}  // namespace puzzlemix
