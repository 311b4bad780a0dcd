// The natural logarithm in plain arithmetic, so that every compiler and device gives the same bits:
// the algorithm of FDLIBM (Sun Microsystems, 1993, e_log.c), without its shortcuts.
//
// x = 2^k (1 + f) with sqrt(2)/2 < 1 + f < sqrt(2); log(1 + f) = f - f^2/2 + s (f^2/2 + R(s^2))
// with s = f/(2 + f) and R a polynomial of degree 7 in s^2. The error is below one unit in the last
// place.
#pragma once

#include <cstdint>
#include <cstring>

#include "cuda_macros.h"

namespace puzzlemix {

// Of a positive normal number.
PUZZLEMIX_HD inline double natural_log(double x) {
  constexpr double kLn2High = 6.93147180369123816490e-01, kLn2Low = 1.90821492927058770002e-10;
  constexpr double kLg1 = 6.666666666666735130e-01, kLg2 = 3.999999999940941908e-01,
                   kLg3 = 2.857142874366239149e-01, kLg4 = 2.222219843214978396e-01,
                   kLg5 = 1.818357216161805012e-01, kLg6 = 1.531383769920937332e-01,
                   kLg7 = 1.479819860511658591e-01;
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  const auto high = static_cast<int32_t>(bits >> 32);
  const int32_t mantissa = high & 0xfffff, above = (mantissa + 0x95f64) & 0x100000;
  const double k = (high >> 20) - 1023 + (above >> 20);
  bits = (bits & 0xffffffffu) |
         static_cast<uint64_t>(static_cast<uint32_t>(mantissa | (above ^ 0x3ff00000))) << 32;
  double scaled;
  memcpy(&scaled, &bits, sizeof scaled);
  const double f = scaled - 1.0, s = f / (2.0 + f), z = s * s, w = z * z;
  const double even = w * (kLg2 + w * (kLg4 + w * kLg6));
  const double odd = z * (kLg1 + w * (kLg3 + w * (kLg5 + w * kLg7)));
  const double r = odd + even, half = 0.5 * f * f;
  return k * kLn2High - ((half - (s * (half + r) + k * kLn2Low)) - f);
}

}  // namespace puzzlemix
