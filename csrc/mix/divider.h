// Division by a number that is known only at run time but is the same for many: a multiplication
// and two shifts (Granlund and Montgomery, Division by Invariant Integers, PLDI 1994, figure 4.1).
// Exact for every dividend and every divisor from 1 of 32 bits.
#pragma once

#include <cstdint>

#include "cuda_macros.h"

namespace puzzlemix {

class Divider {
 public:
  constexpr explicit Divider(uint32_t divisor) : divisor_(divisor) {
    int bits = 0;  // the least with 2^bits >= divisor
    while ((uint64_t{1} << bits) < divisor) ++bits;
    magic_ = static_cast<uint32_t>((((uint64_t{1} << bits) - divisor) << 32) / divisor + 1);
    first_ = bits > 0 ? 1 : 0;
    second_ = bits > 0 ? bits - 1 : 0;
  }

  PUZZLEMIX_HD constexpr uint32_t divisor() const { return divisor_; }

  PUZZLEMIX_HD constexpr uint32_t quotient(uint32_t dividend) const {
    const auto high = static_cast<uint32_t>((uint64_t{dividend} * magic_) >> 32);
    return (high + ((dividend - high) >> first_)) >> second_;
  }

 private:
  uint32_t divisor_, magic_ = 0;
  int first_ = 0, second_ = 0;
};

static_assert(Divider(1).quotient(0xffffffffu) == 0xffffffffu);
static_assert(Divider(3).quotient(0xfffffffeu) == 0x55555554u);
static_assert(Divider(7).quotient(48) == 6 && Divider(7).quotient(49) == 7);
static_assert(Divider(0x80000001u).quotient(0x80000000u) == 0);
static_assert(Divider(0xffffffffu).quotient(0xffffffffu) == 1);

}  // namespace puzzlemix
