// The mix of two images block by block, and its gradient (Kim, Choo and Song, ICML 2020, eq. 1):
//
//   out = z * P1 x1 + (1 - z) * P2 x2
//
// z holds one number per block of the mask's grid; (P x) at target block j is block source[j] of
// x, on the source's own grid, which may differ from the mask's; without a source P is the
// identity. Computed in float (double for double images), each operation rounded on its own. Where
// z is 1 or 0, in that type, the other image is not read.
//
// The gradient is a gather too, through the inverse of the permutation:
//   grad1 = P1^T (z * g)      grad2 = P2^T ((1 - z) * g)
//   grad_mask = sums of g * (P1 x1 - P2 x2) over the mask's blocks and all channels, in double.
#pragma once

#include "tensor.h"

namespace puzzlemix {

// A grid of blocks over the image; rows * cols places, each Y/rows x X/cols pixels.
struct Grid {
  int64_t rows = 1, cols = 1;
};

struct BlockMap {
  const int64_t* source = nullptr;  // [B, rows, cols]; null: the identity
  Grid grid;
};

// What the mix and its gradient have in common.
struct MixLayout {
  Dtype dtype;  // of all images
  Array mask;   // [B, mask_grid], float32 for images up to float32, else float64
  Grid mask_grid;
  BlockMap map1, map2;
  int64_t batch, channels, height, width;  // height and width in pixels
};

struct MixProblem {
  MixLayout layout;
  const void *x1, *x2;  // [B, C, Y, X]
  void* out;            // [B, C, Y, X]
};

struct MixGradProblem {
  MixLayout layout;
  const void* grad;     // [B, C, Y, X]
  const void *x1, *x2;  // read for grad_mask alone
  void *grad1, *grad2;  // [B, C, Y, X], or null where not needed
  double* grad_mask;    // [B, mask_grid], or null
};

Status mix_cpu(const MixProblem& problem, int threads);
Status mix_grad_cpu(const MixGradProblem& problem, int threads);

#ifdef PUZZLEMIX_HAS_CUDA
// Enqueue on `stream` (a cudaStream_t) and return at once; the result is the cudaError_t of the
// launch. An index out of range counts as the block's own place. A plane has fewer than 2^31
// pixels, a batch fewer than 2^31 samples; otherwise cudaErrorInvalidValue.
int mix_cuda(const MixProblem& problem, void* stream);
int mix_grad_cuda(const MixGradProblem& problem, void* stream);
#endif

}  // namespace puzzlemix
