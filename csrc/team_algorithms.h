// Sorting and selection for any team; overloads for PlainTeam use the standard library.
#pragma once

#include <algorithm>
#include <limits>

#include "plain_team.h"
#include "team.h"

namespace puzzlemix {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Sorts n values by a strict order, before(a, b): a bitonic sort (Batcher 1968), in
// O(log(n)^2) phases, 36 for n = 256 and 78 for 4096. Each merge starts by comparing with a
// mirrored half, so that every comparison puts the later value at the higher index; a length that
// is no power of two then behaves as if padded with values that come last.
template <typename Team, typename T, typename Before>
PUZZLEMIX_HD void sort_values(Team& team, int n, T* values, Before before) {
  expect_values_captured(before);
  const auto compare = [&](int flip) {
    team.for_each(n, [=](int i) {
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

// The k-th smallest, counted from 0, of the values below infinity, of which there are more than k.
// One phase, in which each thread counts how many values come before its own: O(n^2) work. May
// change the order of the values.
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
    values[count] = value;  // always written, kept only if counted: no branch to mispredict
    count += value < kInfinity;
  }
  std::nth_element(values, values + k, values + count);
  return values[k];
}

}  // namespace puzzlemix
