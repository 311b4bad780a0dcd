// The label cost as integers, on the CPU and on CUDA.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>

#include "cuda_macros.h"
#include "element.h"
#include "graphcut/graphcut.h"
#include "team.h"

namespace puzzlemix {

// cost(a, b) stands for unit * cost(a, b) of the caller's.
struct LabelCost {
  int labels = 0;
  int32_t cost[kMaxLabels * kMaxLabels] = {};
  int32_t largest = 0;
  double unit = 1;
  bool exact = false;                          // the integers are the caller's costs, up to `unit`
  double given[kMaxLabels * kMaxLabels] = {};  // the caller's own

  PUZZLEMIX_HD int32_t operator()(int a, int b) const { return cost[a * labels + b]; }

  // Integers that came from the same numbers are the same, but for a cost of integers or of floats.
  bool operator==(const LabelCost& other) const {
    return labels == other.labels && unit == other.unit &&
           std::equal(cost, cost + labels * labels, other.cost) &&
           std::equal(given, given + labels * labels, other.given);
  }
};

// A labelling problem as it crosses to the device: the label cost by value where it is in the
// host's memory.
struct DeviceLabelingProblem : LabelingProblem {
  int64_t max_cycles = -1;  // of the swap
  bool known = false;
  LabelCost known_cost;
};

// Copies a label cost by the threads of a team.
template <typename Team>
PUZZLEMIX_HD void copy_label_cost(Team& team, const LabelCost* from, LabelCost* to) {
  team.step(from->labels * from->labels, [=](int e) {
    to->cost[e] = from->cost[e];
    to->given[e] = from->given[e];
    if (e > 0) return;
    to->labels = from->labels;
    to->largest = from->largest;
    to->unit = from->unit;
    to->exact = from->exact;
  });
}

// Symmetric, finite, not negative, zero on the diagonal.
inline bool semimetric(const LabelCost& cost) {
  const int labels = cost.labels;
  for (int a = 0; a < labels; ++a) {
    if (cost.given[a * labels + a] != 0) return false;
    for (int b = 0; b < labels; ++b) {
      const double value = cost.given[a * labels + b];
      if (!(value >= 0) || !std::isfinite(value) || value != cost.given[b * labels + a]) {
        return false;
      }
    }
  }
  return true;
}

// Fills in the integers for `labels` and `given`, a semimetric. False, and all integers 0, where
// the largest entry is too many times the smallest for a double.
PUZZLEMIX_HD inline bool to_integers(LabelCost& out, bool integers) {
  const int entries = out.labels * out.labels;
  double smallest = 0, largest = 0;  // of the positive entries
  for (int e = 0; e < entries; ++e) {
    const double value = out.given[e];
    if (value > 0 && (smallest == 0 || value < smallest)) smallest = value;
    if (value > largest) largest = value;
    out.cost[e] = 0;
  }
  out.exact = true;
  out.largest = 0;
  out.unit = 1;
  if (largest == 0) return true;  // D = 0, d = 1
  double factor = 1;
  if (!integers) {
    out.unit = smallest;
    const double most = largest / smallest;
    if (!(most <= DBL_MAX)) return false;
    for (int e = 0; e < entries; ++e) {
      const double q = out.given[e] / smallest, nearest = nearbyint(q);
      out.exact = out.exact && fabs(q - nearest) <= 1e-5 * q && nearest <= 4096;
    }
    if (!out.exact) {
      int exponent;
      const double fraction = frexp(most, &exponent);  // most <= 1024 / 2^j
      const int shift = fraction == 0.5 ? 11 - exponent : 10 - exponent;
      factor = ldexp(1.0, shift);
      out.unit = ldexp(out.unit, -shift);
    }
  }
  for (int e = 0; e < entries; ++e) {
    const double quotient = integers ? out.given[e] : out.given[e] / smallest;
    out.cost[e] = static_cast<int32_t>(nearbyint(quotient * factor));
    if (out.cost[e] > out.largest) out.largest = out.cost[e];
  }
  return true;
}

// Of a label cost in the host's memory; false where a value is not allowed.
inline bool read_label_cost(const LabelingProblem& problem, LabelCost& out) {
  out.labels = problem.labels;
  load(problem.label_cost, 0, problem.labels * problem.labels, out.given);
  return semimetric(out) && to_integers(out, problem.integers);
}

// Makes the integers convex in the label order; false where the caller's costs are not convex
// (up to 1e-6 of the largest). Rounding alone can break D[a,b] + D[a+1,b+1] <= D[a,b+1] + D[a+1,b]
// by a unit; then each violated second difference is raised to 0.
PUZZLEMIX_HD inline bool make_convex(LabelCost& cost) {
  const int labels = cost.labels;
  double most = 0;
  for (int e = 0; e < labels * labels; ++e) most = cost.given[e] > most ? cost.given[e] : most;
  for (int a = 0; a + 1 < labels; ++a) {
    for (int b = 0; b + 1 < labels; ++b) {
      const int here = a * labels + b, below = here + labels;
      const double exact = static_cast<double>(cost.cost[here + 1]) + cost.cost[below] -
                           cost.cost[here] - cost.cost[below + 1];
      const double given =
          cost.given[here + 1] + cost.given[below] - cost.given[here] - cost.given[below + 1];
      if (cost.exact ? exact < 0 : given < -1e-6 * most) return false;
    }
  }
  if (cost.exact) return true;
  // The integers become the convex ones gap by gap, above the diagonal; below it are the old ones
  // until then.
  const auto old = [&](int a, int b) { return cost(b, a); };
  for (int gap = 2; gap < labels; ++gap) {
    for (int a = 0; a + gap < labels; ++a) {
      const int b = a + gap;
      const int32_t excess = old(a, b) - old(a, b - 1) - old(a + 1, b) + old(a + 1, b - 1);
      cost.cost[a * labels + b] =
          cost(a, b - 1) + cost(a + 1, b) - cost(a + 1, b - 1) + (excess > 0 ? excess : 0);
    }
  }
  for (int a = 0; a < labels; ++a) {
    for (int b = a + 1; b < labels; ++b) cost.cost[b * labels + a] = cost(a, b);
  }
  return true;
}

}  // namespace puzzlemix
