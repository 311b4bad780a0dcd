// The mix of two images block by block (Kim, Choo and Song, ICML 2020, eq. 1):
//
//   out[b] = z * P1 x1[b] + (1 - z) * P2 x2[partner[b]]
//
// z holds one number per block of the mask's grid; (P x) at target block j is block source[j] of
// x, on the source's own grid, which may differ from the mask's; without a source P is the
// identity. Without partners the second image of sample b is number b of x2; without x2 it is
// zeros, which are neither made nor read. Computed in float (double for double images), each
// operation rounded on its own. Where z is 1 or 0, in that type, the other image is not read.
//
// Gradients are made of mixes (puzzlemix/ops/mix.py).
//
// Images are planes of `width` elements a row, all in one layout. In channels_last memory an image
// is a single plane, whose rows are C times as wide: `channels` is 1, `width` is X * C, and each
// grid divides it as before.
#pragma once

#include "cuda_macros.h"
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

struct MixProblem {
  Dtype dtype = Dtype::float32;  // of all images
  const void* mask = nullptr;  // [mask_grid] a sample, float for images up to float32, else double
  int64_t mask_step = 0;       // from one sample's mask to the next; 0: all have the same
  Grid mask_grid;
  BlockMap map1, map2;
  const int64_t* partner = nullptr;  // [B]; null: sample b's is b
  int64_t batch = 0, others = 0;     // B, and how many images x2 holds
  int64_t channels = 0, height = 0, width = 0;
  bool trusted = false;      // mask, sources and partners hold what they must: don't look
  const void* x1 = nullptr;  // [B, C, Y, X]
  const void* x2 = nullptr;  // [others, C, Y, X], or null for zeros
  void* out = nullptr;       // [B, C, Y, X]

  // The second image of a sample. What is no index is never used as one: it has not been looked at,
  // or another thread has written it since.
  PUZZLEMIX_HD int64_t other(int64_t sample) const {
    if (!partner) return sample;
    const auto named =
        static_cast<uint64_t>(*static_cast<const volatile int64_t*>(partner + sample));
    if (named < static_cast<uint64_t>(others)) return static_cast<int64_t>(named);
    return sample < others ? sample : 0;
  }
};

// The numbers of the tensors that a Status may name, in the order of mix's arguments.
enum MixArgument : int { kX1, kX2, kMask, kSource1, kSource2, kPartner };

// What is not finite in the mask, out of range in sources or partners, or twice in a permutation
// comes back as a Status; then the result is unspecified.
Status mix_cpu(const MixProblem& problem, int threads);

#ifdef PUZZLEMIX_HAS_CUDA
// Enqueue on `stream` (a cudaStream_t) and return at once; the result is the cudaError_t of the
// launch. A mask that is not finite counts as 0, an index out of range as the block's own place, a
// partner out of range as image b (0 where there is none). A plane has fewer than 2^31 pixels, a
// batch fewer than 2^31 samples; otherwise cudaErrorInvalidValue.
int mix_cuda(const MixProblem& problem, void* stream);
#endif

}  // namespace puzzlemix
