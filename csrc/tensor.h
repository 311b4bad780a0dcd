// A tensor as C++ sees it: a pointer and an element type. Its sizes are fields of each operation's
// struct. Layouts are dense and row-major; Python makes them so.
//
// Letters used everywhere: B batch, H W grid, n = H*W cells, L labels, C channels, Y X pixels,
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

// The largest grid side and number of labels that the functions accept.
constexpr int kMaxSide = 64;
constexpr int kMaxLabels = 16;

}  // namespace puzzlemix
