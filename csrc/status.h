// How a batched solver ended. It reports a value that the contract forbids by its place, and
// puzzlemix/validate/ turns that into an exception that names the argument, what came and what
// was expected; so Python needn't scan the values a second time.
#pragma once

#include <cstdint>

namespace puzzlemix {

enum class Fault : int {
  none = 0,
  value = 1,       // an entry that is not finite, or outside the range of its argument
  sum = 2,         // costs of a sample whose sum exceeds what the solver can take
  repeated = 3,    // a permutation that names an index twice
  label_cost = 4,  // a label cost that is no semimetric, or not convex where it must be
  infeasible = 5,  // every assignment contains a forbidden pair
};

struct Status {
  Fault fault = Fault::none;
  int argument = 0;    // the number of the argument among the function's tensors, where several
                       // may have such a fault
  int64_t sample = 0;  // the index of the sample in the batch
  int64_t entry = 0;   // the index of the entry within the sample, in row-major order

  bool ok() const { return fault == Fault::none; }
};

constexpr Status kBadLabelCost{Fault::label_cost, 0, 0, 0};

}  // namespace puzzlemix
