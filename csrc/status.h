// How a batched solver ended. A value that the contract forbids is reported by its place, and one
// place in Python (puzzlemix/validate.py) turns that into an exception that names the argument,
// what came and what was expected; nothing is scanned a second time.
#pragma once

#include <cstdint>

namespace puzzlemix {

enum class Fault : int {
  none = 0,
  value = 1,       // an entry by itself: not finite, or outside the range of its argument
  sum = 2,         // costs of a sample that add up to too much
  repeated = 3,    // a permutation that names an index twice
  label_cost = 4,  // no semimetric, or not convex where it must be
  infeasible = 5,  // no assignment without a forbidden pair
};

struct Status {
  Fault fault = Fault::none;
  int argument = 0;    // its number among the tensors of the function
  int64_t sample = 0;  // of the batch
  int64_t entry = 0;   // in row-major order within the sample

  bool ok() const { return fault == Fault::none; }
};

}  // namespace puzzlemix
