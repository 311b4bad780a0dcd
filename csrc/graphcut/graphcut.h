// Batched graph cuts on 4-connected grids, on the CPU and on CUDA.
//
// Float costs become integers first, sample by sample (integers.h), and the integers decide, so
// that every backend gives the same labels. Each problem has one answer that counts:
//
// grid_min_cut     the minimum cut with the smallest sink side: the cells from which the sink can
//                  be reached in the residual graph, whatever the maximum flow.
// alpha_beta_swap  Boykov, Veksler and Zabih (PAMI 2001, section 4): from each cell's cheapest
//                  label (the lowest on a tie), pairs alpha < beta in lexicographic order; cells
//                  on the sink side of the canonical cut take beta; a move counts only if the
//                  integer energy falls. Ends after a sweep without a move, or max_cycles sweeps.
// exact_labeling   the labelling of least energy that is lowest in every cell, for a label cost
//                  that is convex in the label order (Ishikawa, PAMI 2003).
//
// Energies and the flow are computed in double from the caller's own costs.
#pragma once

#include "tensor.h"

namespace puzzlemix {

// source, sink [B, H, W]; vertical [B, H-1, W]; horizontal [B, H, W-1]; all >= 0. `integers`: all
// are int32, and solved as given.
struct MinCutProblem {
  Array source, sink, vertical, horizontal;
  bool integers;
  int64_t batch;
  int height, width;
  bool* segment;  // [B, H, W]: true on the sink side
  double* flow;   // [B]
};

// unary [B, H, W, L]; edge weights vertical [B, H-1, W] and horizontal [B, H, W-1], >= 0;
// label_cost [L, L], a semimetric. An edge between labels a and b costs weight * label_cost[a, b].
struct LabelingProblem {
  Array unary, vertical, horizontal, label_cost;
  bool integers;
  int64_t batch;
  int height, width, labels;
  int64_t* out;    // [B, H, W] labels: written, or read by labeling_energy
  double* energy;  // [B]
};

Status grid_min_cut_cpu(const MinCutProblem& problem, int threads);
Status labeling_energy_cpu(const LabelingProblem& problem, int threads);

// max_cycles: the most sweeps; negative: no limit.
Status alpha_beta_swap_cpu(const LabelingProblem& problem, int64_t max_cycles, int threads);
Status exact_labeling_cpu(const LabelingProblem& problem, int threads);

}  // namespace puzzlemix
