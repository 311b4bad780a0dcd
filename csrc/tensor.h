// What a tensor is on this side of the border: a pointer and an element type. Sizes are named by
// the struct of each operation; layouts are dense and row-major, Python makes them so.
//
// Letters, everywhere: B batch, H W grid, n = H*W cells, L labels, C channels, Y X pixels,
// N rows and M columns of an assignment.
#pragma once

#include <cstdint>

#include "status.h"

namespace puzzlemix {

enum class Dtype : int { float16, bfloat16, float32, float64, int32, int64 };

struct Array {
  const void* data;
  Dtype dtype;
};

// The limits of the contract.
constexpr int kMaxSide = 64;
constexpr int kMaxLabels = 16;

}  // namespace puzzlemix
