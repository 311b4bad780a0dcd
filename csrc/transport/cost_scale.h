// How the costs of an exact assignment become integers, on the CPU and on CUDA.
//
// Each of the pairs' lines (rows, or columns where there are fewer of these) has a pair, so its
// least cost is taken off. What is left is multiplied by a power of two and rounded. A total that
// is known bounds every optimum: costs above it are in none, and count as forbidden. So an answer
// on a coarse scale, which a filler of 1e300 may enforce, gives a finer one, until the answer is
// within pairs * U * 2^-29 of the optimum, U its total above the lines' least costs; but for
// fillers the first scale does. No scale is above 2^1015.
#pragma once

#include "rounding.h"

namespace puzzlemix {

class CostScale {
 public:
  // int32 costs stay as they are.
  CostScale() = default;
  // For costs of at most `most` above the least of their line: integers below 2^bits, 31 or more.
  PUZZLEMIX_HD CostScale(double most, int bits) : most_(most) {
    scale_ = power_scale(most) * static_cast<double>(int64_t{1} << (bits - 30));
  }

  // Infinite where the pair is forbidden.
  PUZZLEMIX_HD double integer(double cost, double least) const {
    return cost - least <= most_ ? allowed(cost, least) : HUGE_VAL;
  }
  // Where it is known that it isn't.
  PUZZLEMIX_HD double allowed(double cost, double least) const {
    const double whole = round_even((cost - least) * scale_);
    return whole > 0 ? whole : 0;  // another thread may have changed the costs
  }

  // Whether an optimum of the integers is near enough to one of the costs; `total` is what it costs
  // above the least of each line. Two totals of the integers are off by half a unit for each pair.
  PUZZLEMIX_HD bool fine_enough(double total, int pairs) const {
    return total == 0 || total * scale_ - pairs >= 536870912.0;
  }
  PUZZLEMIX_HD bool finer_than(const CostScale& other) const { return scale_ > other.scale_; }

  PUZZLEMIX_HD double scale() const { return scale_; }

 private:
  double most_ = 4294967296.0, scale_ = 1;
};

}  // namespace puzzlemix
