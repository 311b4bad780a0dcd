// Algorithms for any team, made of its phases. Where one CPU thread has a better way, PlainTeam has
// an overload.
#pragma once

#include <algorithm>
#include <limits>

#include "plain_team.h"
#include "team.h"

namespace puzzlemix {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// f(y, x) for the cells of a grid: one phase. A thread that does all of it needs no division, and
// the loop along a row vectorises.
template <typename Team, typename F>
PUZZLEMIX_HD void step_grid(Team& team, int height, int width, F f) {
  expect_values_captured(f);
  team.step(height * width, [=](int i) { f(i / width, i % width); });
}
template <typename F>
void step_grid(PlainTeam&, int height, int width, F f) {
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) f(y, x);
  }
}

// The sum of doubles f(i) where its order doesn't matter: on one thread in lanes, a third of the
// time.
template <typename Team, typename F>
PUZZLEMIX_HD double add_values(Team& team, int n, F f) {
  return team.add(n, f);
}
template <typename F>
double add_values(PlainTeam& team, int n, F f) {
  return team.reduce(n, 0.0, f, Sum());
}

// Sorts n values by a strict order, before(a, b): a bitonic sort (Batcher 1968). Every comparison
// moves the later value up, also that of a merge's first phase, which mirrors one half; so a length
// that is no power of two is as if padded with values that stay behind. 36 phases for n = 256, 78
// for 4096.
template <typename Team, typename T, typename Before>
PUZZLEMIX_HD void sort_values(Team& team, int n, T* values, Before before) {
  expect_values_captured(before);
  const auto compare = [&](int flip) {
    team.step(n, [=](int i) {
      const int k = i ^ flip;
      if (k <= i || k >= n) return;
      const T a = values[i], b = values[k];
      if (!before(b, a)) return;
      values[i] = b;
      values[k] = a;
    });
  };
  for (int size = 2; size / 2 < n; size *= 2) {
    compare(size - 1);
    for (int apart = size / 4; apart > 0; apart /= 2) compare(apart);
  }
}
template <typename T, typename Before>
void sort_values(PlainTeam&, int n, T* values, Before before) {
  std::sort(values, values + n, before);
}

// Of n values the k-th smallest of those below infinity, from 0; there are more than k of these.
// One phase, in which every thread counts for its values; may change the order of the values.
template <typename Team>
PUZZLEMIX_HD double select_value(Team& team, int n, int k, double* values) {
  return team.reduce(
      n, -kInfinity,
      [=](int i) {
        const double mine = values[i];
        if (mine == kInfinity) return -kInfinity;
        int before = 0;
        for (int j = 0; j < n; ++j) {
          before += values[j] < mine || (values[j] == mine && j < i) ? 1 : 0;
        }
        return before == k ? mine : -kInfinity;
      },
      Most());
}
inline double select_value(PlainTeam&, int n, int k, double* values) {
  int count = 0;
  for (int i = 0; i < n; ++i) {
    const double value = values[i];
    values[count] = value;  // overwritten unless counted: no branch to mispredict
    count += value < kInfinity;
  }
  std::nth_element(values, values + k, values + count);
  return values[k];
}

}  // namespace puzzlemix
