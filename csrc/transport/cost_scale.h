// How the costs of an exact assignment become integers, on the CPU and on CUDA.
//
// Rows are given a column each (columns a row, if there are fewer columns); so the least cost of
// each row can be taken off. The rest is multiplied by a power of two and rounded. The total of any
// known assignment bounds every optimum from above: costs larger than it are in no optimum, and
// count as forbidden. So an answer on a coarse scale, such as a filler of 1e300 enforces, allows a
// finer scale, until the answer is within pairs * U * 2^-29 of the optimum, U being its total above
// the least costs of the rows. Without fillers the first scale is fine enough. No scale exceeds
// 2^1015.
#pragma once

#include "rounding.h"

namespace puzzlemix {

class CostScale {
 public:
  // The scale of int32 costs, which stay as they are.
  CostScale() = default;
  // For costs that exceed the least of their row by at most `most`, and integers below 2^bits,
  // where bits is at least 31.
  PUZZLEMIX_HD CostScale(double most, int bits) : most_(most) {
    scale_ = power_scale(most) * static_cast<double>(int64_t{1} << (bits - 30));
    limit_ = round_even(most * scale_);
  }

  // The integer of a cost whose row's least is `least`; infinite if the pair is forbidden.
  PUZZLEMIX_HD double integer(double cost, double least) const {
    return cost - least <= most_ ? allowed(cost, least) : HUGE_VAL;
  }
  // The integer of a cost that is known not to be forbidden. Within its limits even if another
  // thread has changed the costs since.
  PUZZLEMIX_HD double allowed(double cost, double least) const {
    const double whole = round_even((cost - least) * scale_);
    const double least_whole = whole > 0 ? whole : 0;
    return least_whole < limit_ ? least_whole : limit_;
  }

  // Whether an optimum of the integers is near enough to one of the costs; `total` is its cost
  // above the least cost of each row. Rounding changes each of two totals that are compared by at
  // most half a unit for each pair.
  PUZZLEMIX_HD bool fine_enough(double total, int pairs) const {
    return total == 0 || total * scale_ - pairs >= 536870912.0;
  }
  PUZZLEMIX_HD bool finer_than(const CostScale& other) const { return scale_ > other.scale_; }

  PUZZLEMIX_HD double scale() const { return scale_; }

 private:
  double most_ = 4294967296.0, scale_ = 1, limit_ = most_;
};

}  // namespace puzzlemix
