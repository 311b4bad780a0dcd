// Batched assignment and block transport, on the CPU and on CUDA.
//
// An assignment is kept in gather form: source[j] = i sends row i (a block of the image) to
// column j (a place in the mix). Of N rows and M columns the fewer all have a pair: rows left over
// go nowhere, columns left over get -1.
//
// approx: the proposer-optimal stable matching, rows proposing, where rows and columns both prefer
//   the cheaper entry and, on a tie, the lower index (Gale and Shapley 1962). It is what the rounds
//   of Puzzle Mix (Kim, Choo and Song, ICML 2020, section 4.2) tend to.
// exact: a minimum-cost assignment of the integer costs below.
//
// Totals are the caller's own costs, added up in double.
#pragma once

#include "tensor.h"

namespace puzzlemix {

// cost [B, N, M], float, int32 or int64 with values of int32. +infinity forbids a pair; where that
// leaves no matching, the CPU refuses the sample, and a device's total is infinite. approx compares
// the costs as they are; exact solves integers as given, and floats to min(N, M) * U * 2^-28, U the
// least total above the minima of the rows (of the columns where there are fewer), on scales that
// cost_scale.h explains.
struct AssignmentProblem {
  Array cost;
  int64_t batch, rows, columns;
  bool exact;
  int64_t* source;  // [B, M]
  double* total;    // [B]
};

// saliency [B, H, W] >= 0, mask [B, H, W] in [0, 1], any float type. The cost of sending block i
// to j is xi * C_ij - s_i * weight_j, C_ij = d2_ij / (max(H, W) - 1)^2, d2 the squared distance in
// blocks, weight = (mask > 0) or the mask itself. It is solved in integers: D * d2_ij - S_ij with
// c = xi / (max(H, W) - 1)^2 (0 on 1x1), D = round(scale * c), S_ij = round(scale * (s_i *
// weight_j)), scale the largest power of two with (c * largest d2 + largest s) * scale < 2^30 (at
// most 2^1000). No N x N matrix is formed.
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
