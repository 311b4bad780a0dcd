// The team of one CPU thread, which takes the items of a phase in their order: what is written for
// teams (team.h) runs on the CPU as plain loops, which compilers vectorise.
#pragma once

#include "team.h"

namespace puzzlemix {

class PlainTeam {
 public:
  static constexpr bool kChecked = true;
  static constexpr int kWide = 64;

  template <typename F>
  void step(int n, F f) {
    for (int i = 0; i < n; ++i) f(i);
  }

  template <typename F>
  void step(int rows, int columns, F f) {
    for (int y = 0; y < rows; ++y) {
      for (int x = 0; x < columns; ++x) f(y, x);
    }
  }

  template <typename F>
  bool any(int n, F f) {
    bool some = false;
    for (int i = 0; i < n; ++i) some |= f(i);
    return some;
  }

  // Four at a time: a single result would wait for each comparison.
  template <typename T, typename F, typename Op>
  T reduce(int n, T none, F f, Op op) {
    T part[4] = {none, none, none, none};
    int i = 0;
    for (; i + 4 <= n; i += 4) {
      for (int k = 0; k < 4; ++k) part[k] = op(part[k], f(i + k));
    }
    for (; i < n; ++i) part[0] = op(part[0], f(i));
    return op(op(part[0], part[1]), op(part[2], part[3]));
  }

  template <typename F>
  double add(int n, F f) {
    double all = 0;
    for (int i = 0; i < n; ++i) all += f(i);
    return all;
  }
};

}  // namespace puzzlemix
