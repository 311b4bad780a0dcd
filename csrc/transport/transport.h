// Batched assignment and block transport, on the CPU and on CUDA.
//
// An assignment is kept in gather form: source[j] = i sends row i (a block of the image) to
// column j (a place in the mix). min(N, M) pairs are made: if there are more rows than columns some
// rows go nowhere, and if there are more columns than rows the others get -1.
//
// approx: the proposer-optimal stable matching, rows proposing, where rows and columns both prefer
//   the cheaper entry and, on a tie, the lower index (Gale and Shapley 1962). The rounds of Puzzle
//   Mix (Kim, Choo and Song, ICML 2020, section 4.2) approach this matching.
// exact: a minimum-cost assignment of the integer costs below.
//
// Totals are the caller's own costs, added up in double.
#pragma once

#include "tensor.h"

namespace puzzlemix {

// cost [B, N, M], floats, int32, or int64 with values of int32. +infinity forbids a pair; if every
// assignment contains a forbidden pair, the CPU refuses the sample, and a device's total is
// infinite. approx compares the costs as they are. exact solves integers as given, and floats to
// within min(N, M) * U * 2^-28 of the optimum, where U is the optimum's total above the minima of
// the rows (of the columns if there are fewer); see cost_scale.h.
struct AssignmentProblem {
  Array cost;
  int64_t batch, rows, columns;
  bool exact;
  int64_t* source;  // [B, M]
  double* total;    // [B]
};

// saliency [B, H, W] >= 0, mask [B, H, W] in [0, 1], any float type. Sending block i to place j
// costs xi * C_ij - s_i * weight_j, where C_ij = d2_ij / (max(H, W) - 1)^2, d2 is the squared
// distance in blocks, and weight is (mask > 0) if `indicator`, else the mask. This is solved in
// integers, D * d2_ij - S_ij, with c = xi / (max(H, W) - 1)^2 (0 on 1x1), D = round(scale * c),
// S_ij = round(scale * (s_i * weight_j)), and scale the largest power of two, at most 2^1000, with
// (c * largest d2 + largest s) * scale < 2^30. No N x N matrix is formed.
struct TransportProblem {
  Array saliency, mask;
  int64_t batch, height, width;
  double xi;
  bool indicator;
  bool exact;
  int64_t* source;  // [B, H, W]
  double* total;    // [B]
};

Status assignment_cpu(const AssignmentProblem& problem, int threads);
Status masked_transport_cpu(const TransportProblem& problem, int threads);

}  // namespace puzzlemix
