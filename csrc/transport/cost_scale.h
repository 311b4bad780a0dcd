// How the costs of an assignment become integers (transport.h), on the CPU and on CUDA.
#pragma once

#include "numeric.h"

namespace puzzlemix {

// int32 costs stay as they are, with the default values.
struct CostScale {
  PUZZLEMIX_HD CostScale() : least(0), scale(1) {}
  // For costs from `lowest` to `highest`. Where the range overflows, all integers are 0.
  PUZZLEMIX_HD CostScale(double lowest, double highest) {
    const double range = highest - lowest;
    const bool finite = range - range == 0;
    least = finite ? lowest : 0;
    scale = finite ? power_scale(range) : 0;
  }

  PUZZLEMIX_HD double integer(double cost) const { return round_even((cost - least) * scale); }

  double least, scale;
};

}  // namespace puzzlemix
