// Minima of long rows of doubles, in vectors (packs.h): no minimum of floats is vectorised by GCC
// itself, which keeps to what the scalar one does with NaN and with zeros of both signs.
#pragma once

#include <limits>

#include "packs.h"

namespace puzzlemix {

// The least of kCount numbers, a power of two. It recurs, as compilers don't always unroll a loop.
template <int kCount>
inline double least_of(const double* values) {
  if constexpr (kCount == 1) {
    return values[0];
  } else {
    return least(least_of<kCount / 2>(values + kCount / 2), least_of<kCount / 2>(values));
  }
}

// kCount partial minima of a row: lane l has that of the entries l, l + kCount, and so on. They are
// found in one pass without a branch, and the lane that holds the row's minimum says which entries
// to search for its index.
template <int kCount>
struct Lanes {
  double minimum() const { return least_of<kCount>(least); }

  // The index of an entry with this value: the first one of the first lane that has it.
  template <typename Value>
  int find(double value, const Value& at) const {
    int j = 0;
    while (least[j] != value) ++j;
    while (at(j) != value) j += kCount;
    return j;
  }

  double least[kCount];
};

// Rows are padded with infinity to whole lanes.
constexpr int kMostLanes = 16;
inline int padded_to_lanes(int n) { return (n + kMostLanes - 1) / kMostLanes * kMostLanes; }

// The lane minima of a row; value(j) returns the vector of its entries j and j + 1. NaNs are
// ignored.
template <int kCount, typename Value>
inline Lanes<kCount> lane_minima(int padded, const Value& value) {
  constexpr int kPacks = kCount / kPacked<double>;
  Pack<double> minima[kPacks];
  for (auto& x : minima) x = pack_of(std::numeric_limits<double>::infinity());
  for (int j = 0; j < padded; j += kCount) {
    for (int k = 0; k < kPacks; ++k) {
      minima[k] = least(value(j + k * kPacked<double>), minima[k]);
    }
  }
  Lanes<kCount> lanes;
  for (int k = 0; k < kPacks; ++k) unpack(minima[k], lanes.least + k * kPacked<double>);
  return lanes;
}

}  // namespace puzzlemix
