// Sums over blocks of the last two dimensions, by halves: rows first, each time the second half
// onto the first and an odd one onto the first of all. One pass, where PyTorch's additions of
// strided views took half of a whole mix of 64x64 images.
#pragma once

#include "tensor.h"

namespace puzzlemix {

struct BlockSums {
  Array values;  // [planes, height, width], float32 or float64
  int64_t planes;
  int height, width;
  int rows, columns;  // of a block; they divide height and width
  void* sums;         // [planes, height / rows, width / columns]
  bool precise;       // sums in float64, whatever the values
};

Status block_sums_cpu(const BlockSums& problem, int threads);

}  // namespace puzzlemix
