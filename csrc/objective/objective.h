// The costs of Puzzle Mix's labelling problem, and the terms of its objective: what
// puzzlemix/objective.py computes in plain PyTorch, and explains, in one pass over the boundaries
// of blocks (Kim, Choo and Song, ICML 2020, section 3).
//
// Letters as there: h x w the cut's grid with E edges, vertical ones first; h' x w' the
// transport's, a multiple of it; Y' x X' windows of pixels ("cells"), whose averages count; L
// labels.
#pragma once

#include "tensor.h"

namespace puzzlemix {

struct PairModel {
  int labels;
  double smoothness;  // beta / (16 side), the factor of (z_i - z_j)^2
  double gamma, eta, xi;
  bool bilinear;
};

struct PairProblem {
  // The images: averages over windows, float32 or float64. The second image of sample b is
  // partner[b] of cells[1], or b where there are no partners.
  Array cells[2];           // [N, C, Y', X']
  const int64_t* partner;   // [B] or null
  const double* shares;     // [B, 2, h', w'], of each block in its image's saliency
  const double* log_prior;  // [B, L], log p of each label
  const int64_t* sources;   // [B, 2, h', w'] or null: permutations, through which shares are read
  bool moved;             // the cells have been moved already; else they are read through them too
  int64_t batch, images;  // images: N
  int channels, rows, columns;  // C, Y', X'
  int height, width;            // h, w
  int fine_height, fine_width;  // h', w'
  PairModel model;
  // The costs, written where `label` is null.
  double *unary, *vertical, *horizontal;  // [B, h, w, L], [B, h-1, w], [B, h, w-1]
  // The terms of a labelling: saliency, label smoothness, data smoothness, prior, transport, total.
  const int64_t* label;  // [B, h, w]
  double* terms;         // [B, 6]
};

Status pair_cpu(const PairProblem& problem, int threads);

}  // namespace puzzlemix
