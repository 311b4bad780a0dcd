// IEEE half precision and bfloat16 as 16-bit patterns, converted by hand: portable C++17 has
// neither type, and wheels assume no F16C. Narrowing rounds half to even, as PyTorch does.
#pragma once

#include <cstdint>
#include <cstring>

#include "cuda_macros.h"

namespace puzzlemix {

struct Half {
  uint16_t bits;
};

struct BFloat16 {
  uint16_t bits;
};

PUZZLEMIX_HD inline float from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

PUZZLEMIX_HD inline uint32_t to_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

PUZZLEMIX_HD inline float widen(BFloat16 x) { return from_bits(uint32_t{x.bits} << 16); }

PUZZLEMIX_HD inline float widen(Half x) {
  const uint32_t sign = uint32_t{x.bits & 0x8000u} << 16;
  const uint32_t rest = uint32_t{x.bits & 0x7fffu} << 13;  // exponent and mantissa in float's place
  if (rest >= 0x0f800000u) return from_bits(sign | rest | 0x7f800000u);  // infinity, NaN
  // The exponent's bias differs by 112; a product by 2^112 mends it and normalises subnormals.
  return from_bits(sign | to_bits(from_bits(rest) * from_bits(0x77800000u)));
}

PUZZLEMIX_HD inline BFloat16 narrow_bfloat16(float value) {
  const uint32_t bits = to_bits(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {0x7fc0};
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

PUZZLEMIX_HD inline Half narrow_half(float value) {
  const uint32_t bits = to_bits(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  uint32_t rest = bits & 0x7fffffffu;
  if (rest > 0x7f800000u) return {static_cast<uint16_t>(sign | 0x7e00u)};
  if (rest >= 0x47800000u) return {static_cast<uint16_t>(sign | 0x7c00u)};  // 65536 and above
  if (rest < 0x38800000u) {
    // Subnormal: adding one half makes the sum's last mantissa bit worth 2^-24, so that the
    // addition itself rounds to even.
    return {static_cast<uint16_t>(sign | (to_bits(from_bits(rest) + 0.5f) - to_bits(0.5f)))};
  }
  rest += 0xfffu + ((rest >> 13) & 1u);
  return {static_cast<uint16_t>(sign | ((rest - 0x38000000u) >> 13))};
}

}  // namespace puzzlemix
