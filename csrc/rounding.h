// Small numerics that every solver needs to turn costs into integers.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "cuda_macros.h"

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

}  // namespace puzzlemix
