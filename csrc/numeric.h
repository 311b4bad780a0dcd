// Small numerics that every solver needs to turn costs into integers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "portable.h"

namespace puzzlemix {

// Half to even, for |x| < 2^51 in the default rounding mode: the sum with 1.5 * 2^52 keeps no
// fraction. Unlike nearbyint it is two additions on every machine, so that loops vectorise.
PUZZLEMIX_HD inline double round_even(double x) {
  constexpr double kShift = 6755399441055744.0;
  return (x + kShift) - kShift;
}

// Rounds half to even to an integer of 32 bits, the low word of the shifted sum. Unlike a
// conversion it vectorises without SSE4.1.
PUZZLEMIX_HD inline int32_t round_to_int(double x) {
  const double shifted = x + 6755399441055744.0;
  int64_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  return static_cast<int32_t>(bits);
}

// The largest power of two 2^k, k <= 1000, with sum * 2^k < 2^30; 1 where the sum is 0.
PUZZLEMIX_HD inline double power_scale(double sum) {
  if (sum == 0) return 1;
  int exponent;
  frexp(sum, &exponent);  // sum = f * 2^exponent, f in [1/2, 1)
  return ldexp(1.0, exponent < -970 ? 1000 : 30 - exponent);
}

// The largest and the smallest of n >= 1 numbers. Four at a time: one alone would wait for each
// comparison.
inline double maximum(const double* values, int n) {
  double most[4] = {values[0], values[0], values[0], values[0]};
  int i = 0;
  for (; i + 4 <= n; i += 4) {
    for (int k = 0; k < 4; ++k) most[k] = values[i + k] > most[k] ? values[i + k] : most[k];
  }
  for (; i < n; ++i) most[0] = std::max(most[0], values[i]);
  return std::max(std::max(most[0], most[1]), std::max(most[2], most[3]));
}

inline double minimum(const double* values, int n) {
  double least[4] = {values[0], values[0], values[0], values[0]};
  int i = 0;
  for (; i + 4 <= n; i += 4) {
    for (int k = 0; k < 4; ++k) least[k] = values[i + k] < least[k] ? values[i + k] : least[k];
  }
  for (; i < n; ++i) least[0] = std::min(least[0], values[i]);
  return std::min(std::min(least[0], least[1]), std::min(least[2], least[3]));
}

}  // namespace puzzlemix
