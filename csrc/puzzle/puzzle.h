// The whole decision of Puzzle Mix, from pixels to plan (Kim, Choo and Song, ICML 2020, sections 3
// and 4): a mask by a graph cut and two permutations by transports, alternately, for each sample.
//
// What is computed, and in which order it is added up, so that every backend decides the same bits:
// docs/mathematics/objective.md and order.md. The stages are in stages.h; the CPU runs them on one
// thread a sample (puzzle_cpu.cpp), CUDA in two launches (device_puzzle.h).
//
// Letters: B pairs, N second images, C channels, Y x X pixels, h x w the cut's grid, h' x w' the
// transport's, a multiple of it.
#pragma once

#include "tensor.h"

namespace puzzlemix {

enum class Transport : int { none, approx, exact };

// The numbers by which a Status names the tensors of the public function.
struct PuzzleArgument {
  static constexpr int x1 = 0, x2 = 1, saliency1 = 2, saliency2 = 3, lam = 4, partner = 5;
  static constexpr int none = -1;  // the fault lies in the weights beta, gamma, eta and xi
};

constexpr int kMostStd = 16;

struct PuzzleProblem {
  // Images [B, C, Y, X] and [N, C, Y, X] of one float type, contiguous or both channels_last;
  // saliency [B, Y1, X1] and [N, Y2, X2], any float types, not negative.
  Array x1, x2, saliency1, saliency2;
  bool channels_last;
  int64_t batch, others;  // B pairs, N second images
  int channels, rows, columns;
  int saliency_rows1, saliency_columns1, saliency_rows2, saliency_columns2;
  const int64_t* partner;  // [B], the second image of each pair; null: image b for pair b
  Array lam;               // [B], in [0, 1]; if its data is null, lam_number serves all pairs
  double lam_number;
  // The standard deviation by which images were divided: none (std_count 0), one, or one for each
  // channel. Up to kMostStd of them are in std_number, and more in the tensor `std` [std_count].
  int std_count;
  double std_number[kMostStd];
  Array std;

  // The grids h x w of the cut and h' x w' of the transport.
  int height, width, fine_height, fine_width;
  int labels;
  double beta, gamma, eta, xi;
  int neighborhood;
  bool bilinear;  // data smoothness as in the paper, or else quadratic as in the published code
  bool exact_cut;
  Transport transport;
  int64_t cycles;

  bool doubles;                // mask and ratio are float64, else float32
  void *mask, *ratio;          // [B, h, w], [B]
  int64_t *source1, *source2;  // [B, h', w']; null without transport
  double* objective;           // [B], or null if the caller doesn't want it
};

Status puzzle_plan_cpu(const PuzzleProblem& problem, int threads);

}  // namespace puzzlemix
