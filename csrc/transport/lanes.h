// Minima of long rows of doubles, in a form that any compiler vectorises.
#pragma once

#include <limits>

namespace puzzlemix {

// Minima of every kCount-th entry. A minimum of a row is found in one pass without a branch, and
// the lane that holds it says which few entries to search for the index.
struct Lanes {
  static constexpr int kCount = 16;

  // Rows are padded with infinity to whole lanes.
  static int padded(int n) { return (n + kCount - 1) / kCount * kCount; }

  double least[kCount];

  double minimum() const {
    double rest[kCount];
    for (int l = 0; l < kCount; ++l) rest[l] = least[l];
    for (int half = kCount / 2; half > 0; half /= 2) {
      for (int l = 0; l < half; ++l) rest[l] = rest[l + half] < rest[l] ? rest[l + half] : rest[l];
    }
    return rest[0];
  }

  // The first entry, by lane, that has this value.
  template <typename Value>
  int find(double value, const Value& at) const {
    int j = 0;
    while (least[j] != value) ++j;
    while (at(j) != value) j += kCount;
    return j;
  }
};

// The lane minima of value(0) to value(padded - 1).
template <typename Value>
inline Lanes lane_minima(int padded, const Value& value) {
  Lanes lanes;
  for (double& least : lanes.least) least = std::numeric_limits<double>::infinity();
  for (int j = 0; j < padded; j += Lanes::kCount) {
    for (int l = 0; l < Lanes::kCount; ++l) {
      const double x = value(j + l);
      lanes.least[l] = x < lanes.least[l] ? x : lanes.least[l];
    }
  }
  return lanes;
}

}  // namespace puzzlemix
