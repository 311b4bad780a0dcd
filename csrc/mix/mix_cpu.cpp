// The mix on the CPU: a copy with few decisions.
//
// The image is cut at every boundary of the three grids. Within a band of rows between two cuts
// the same runs of columns repeat for all rows and channels, so the runs of a band are found once:
// neighbouring pieces with equal z that come from neighbouring places are one run, and a whole row
// of an unmoved image is one memcpy.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "half.h"
#include "mix/mix.h"
#include "pool.h"

namespace puzzlemix {
namespace {

// The arithmetic type of each element type, and the way there and back.
template <typename T>
struct Element {
  using Real = T;
  static Real get(T x) { return x; }
  static T put(Real x) { return x; }
};
template <>
struct Element<Half> {
  using Real = float;
  static Real get(Half x) { return widen(x); }
  static Half put(Real x) { return narrow_half(x); }
};
template <>
struct Element<BFloat16> {
  using Real = float;
  static Real get(BFloat16 x) { return widen(x); }
  static BFloat16 put(Real x) { return narrow_bfloat16(x); }
};

// One axis cut at every boundary of three grids: pieces that lie in one block of each.
struct Piece {
  int64_t begin, length;
  int64_t mask, block1, block2;  // the block's index along this axis, in each grid
};

std::vector<Piece> cut_axis(int64_t size, int64_t mask, int64_t blocks1, int64_t blocks2) {
  const int64_t side0 = size / mask, side1 = size / blocks1, side2 = size / blocks2;
  std::vector<Piece> pieces;
  for (int64_t begin = 0; begin < size;) {
    const Piece piece{begin, 0, begin / side0, begin / side1, begin / side2};
    const int64_t end = std::min(
        {(piece.mask + 1) * side0, (piece.block1 + 1) * side1, (piece.block2 + 1) * side2});
    pieces.push_back(piece);
    pieces.back().length = end - begin;
    begin = end;
  }
  return pieces;
}

// Columns [begin, begin + length) of a band: mask z, from offset1 of x1's plane and offset2 of
// x2's, both relative to the target's own offset (so an unmoved run has 0).
template <typename Real>
struct Run {
  int64_t begin, length;
  Real z;
  int64_t offset1, offset2;
};

// How far, in pixels of a plane, the block that lands at (row, col) has to come.
struct Displacement {
  Displacement(const BlockMap& map, int64_t sample, int64_t height, int64_t width)
      : source(map.source ? map.source + sample * map.grid.rows * map.grid.cols : nullptr),
        cols(map.grid.cols),
        block_height(height / map.grid.rows),
        block_width(width / map.grid.cols),
        width(width) {}

  int64_t operator()(int64_t row, int64_t col) const {
    if (!source) return 0;
    const int64_t from = source[row * cols + col];
    return (from / cols - row) * block_height * width + (from % cols - col) * block_width;
  }

  const int64_t* source;
  int64_t cols, block_height, block_width, width;
};

// The geometry of a call, common to the mix and its gradient.
template <typename Real>
class Geometry {
 public:
  explicit Geometry(const MixLayout& p)
      : mask_(static_cast<const Real*>(p.mask.data)),
        grid_(p.mask_grid),
        map1_(p.map1),
        map2_(p.map2),
        height_(p.height),
        width_(p.width),
        rows_(cut_axis(p.height, p.mask_grid.rows, p.map1.grid.rows, p.map2.grid.rows)),
        cols_(cut_axis(p.width, p.mask_grid.cols, p.map1.grid.cols, p.map2.grid.cols)) {}

  // The mask finite, the sources permutations.
  bool valid(int64_t sample, std::vector<char>& seen) const {
    const int64_t cells = grid_.rows * grid_.cols;
    const Real* mask = mask_ + sample * cells;
    return std::all_of(mask, mask + cells, [](Real z) { return std::isfinite(z); }) &&
           permutation(map1_, sample, seen) && permutation(map2_, sample, seen);
  }

  // Calls band(begin, end, runs) for each band of rows of one sample. Where one image alone is
  // read, runs merge whatever the other's place (unless `both` matter).
  template <typename Body>
  void for_each_band(int64_t sample, bool both, std::vector<Run<Real>>& runs,
                     const Body& band) const {
    const Real* mask = mask_ + sample * grid_.rows * grid_.cols;
    const Displacement from1(map1_, sample, height_, width_);
    const Displacement from2(map2_, sample, height_, width_);
    for (const Piece& row : rows_) {
      runs.clear();
      for (const Piece& col : cols_) {
        const Real z = mask[row.mask * grid_.cols + col.mask];
        const int64_t offset1 = from1(row.block1, col.block1);
        const int64_t offset2 = from2(row.block2, col.block2);
        const Run<Real> run{col.begin, col.length, z, offset1, offset2};
        if (!runs.empty() && continues(runs.back(), run, both)) {
          runs.back().length += col.length;
        } else {
          runs.push_back(run);
        }
      }
      band(row.begin, row.begin + row.length, runs);
    }
  }

 private:
  static bool continues(const Run<Real>& last, const Run<Real>& run, bool both) {
    return last.z == run.z && (last.offset1 == run.offset1 || (run.z == 0 && !both)) &&
           (last.offset2 == run.offset2 || (run.z == 1 && !both));
  }

  static bool permutation(const BlockMap& map, int64_t sample, std::vector<char>& seen) {
    if (!map.source) return true;
    const int64_t cells = map.grid.rows * map.grid.cols;
    const int64_t* source = map.source + sample * cells;
    seen.assign(cells, 0);
    for (int64_t j = 0; j < cells; ++j) {
      if (source[j] < 0 || source[j] >= cells || seen[source[j]]) return false;
      seen[source[j]] = 1;
    }
    return true;
  }

  const Real* mask_;
  Grid grid_;
  BlockMap map1_, map2_;
  int64_t height_, width_;
  std::vector<Piece> rows_, cols_;
};

// Blocks are a few pixels wide, where a call of memcpy costs more than the copy.
template <typename T>
inline void copy(T* out, const T* in, int64_t count) {
  constexpr int64_t kChunk = 16 / sizeof(T);
  if (count >= 8 * kChunk) {
    std::memcpy(out, in, count * sizeof(T));
    return;
  }
  for (; count >= kChunk; count -= kChunk, out += kChunk, in += kChunk) std::memcpy(out, in, 16);
  for (; count > 0; --count) *out++ = *in++;
}

template <typename T, typename Real>
void mix_run(T* out, const T* x1, const T* x2, const Run<Real>& run) {
  x1 += run.offset1;
  x2 += run.offset2;
  if (run.z == 1) return copy(out, x1, run.length);
  if (run.z == 0) return copy(out, x2, run.length);
  const Real z = run.z, rest = 1 - z;
  for (int64_t i = 0; i < run.length; ++i) {
    out[i] = Element<T>::put(z * Element<T>::get(x1[i]) + rest * Element<T>::get(x2[i]));
  }
}

// Samples that are worth a thread of their own: some 64 KiB of pixels.
int64_t grain(int64_t bytes_per_sample) {
  return std::max<int64_t>(1, (1 << 16) / std::max<int64_t>(1, bytes_per_sample));
}

template <typename T>
Status mix_typed(const MixProblem& p, int threads) {
  using Real = typename Element<T>::Real;
  const MixLayout& l = p.layout;
  const Geometry<Real> geometry(l);
  const int64_t plane = l.height * l.width, pixels = l.channels * plane;
  std::atomic<bool> valid{true};
  parallel_for(l.batch, grain(pixels * sizeof(T)), threads, [&](int64_t begin, int64_t end) {
    std::vector<Run<Real>> runs;
    std::vector<char> seen;
    for (int64_t b = begin; b < end; ++b) {
      if (!geometry.valid(b, seen)) {
        valid = false;
        return;
      }
      const T* x1 = static_cast<const T*>(p.x1) + b * pixels;
      const T* x2 = static_cast<const T*>(p.x2) + b * pixels;
      T* out = static_cast<T*>(p.out) + b * pixels;
      geometry.for_each_band(b, false, runs, [&](int64_t top, int64_t bottom, const auto& band) {
        for (int64_t c = 0; c < l.channels; ++c) {
          for (int64_t y = top; y < bottom; ++y) {
            const int64_t row = c * plane + y * l.width;
            for (const Run<Real>& run : band) {
              const int64_t at = row + run.begin;
              mix_run(out + at, x1 + at, x2 + at, run);
            }
          }
        }
      });
    }
  });
  return valid ? Status::ok : Status::bad_value;
}

// out = weight * g, with the copies and zeros of the weights 1 and 0.
template <typename T, typename Real>
void scale_run(T* out, const T* grad, Real weight, int64_t length) {
  if (weight == 1) return copy(out, grad, length);
  if (weight == 0) {
    std::fill_n(out, length, T{});
    return;
  }
  for (int64_t i = 0; i < length; ++i) out[i] = Element<T>::put(weight * Element<T>::get(grad[i]));
}

// Adds g * (P1 x1 - P2 x2) to the mask's cells of one row; all four start at the run.
template <typename T, typename Real>
void add_mask_grad(double* row, const T* grad, const T* x1, const T* x2, const Run<Real>& run,
                   int64_t block_width) {
  for (int64_t i = 0; i < run.length; ++i) {
    const double difference = double{Element<T>::get(x1[i])} - Element<T>::get(x2[i]);
    row[(run.begin + i) / block_width] += Element<T>::get(grad[i]) * difference;
  }
}

template <typename T>
Status mix_grad_typed(const MixGradProblem& p, int threads) {
  using Real = typename Element<T>::Real;
  const MixLayout& l = p.layout;
  const Geometry<Real> geometry(l);
  const int64_t plane = l.height * l.width, pixels = l.channels * plane;
  const int64_t mask_cells = l.mask_grid.rows * l.mask_grid.cols;
  const int64_t side_y = l.height / l.mask_grid.rows, side_x = l.width / l.mask_grid.cols;
  std::atomic<bool> valid{true};
  parallel_for(l.batch, grain(pixels * sizeof(T)), threads, [&](int64_t begin, int64_t end) {
    std::vector<Run<Real>> runs;
    std::vector<char> seen;
    for (int64_t b = begin; b < end; ++b) {
      if (!geometry.valid(b, seen)) {
        valid = false;
        return;
      }
      const auto image = [&](const void* x) { return static_cast<const T*>(x) + b * pixels; };
      const auto result = [&](void* x) { return x ? static_cast<T*>(x) + b * pixels : nullptr; };
      const T* grad = image(p.grad);
      T* grad1 = result(p.grad1);
      T* grad2 = result(p.grad2);
      double* grad_mask = p.grad_mask ? p.grad_mask + b * mask_cells : nullptr;
      if (grad_mask) std::fill_n(grad_mask, mask_cells, 0.0);
      geometry.for_each_band(b, true, runs, [&](int64_t top, int64_t bottom, const auto& band) {
        for (int64_t c = 0; c < l.channels; ++c) {
          for (int64_t y = top; y < bottom; ++y) {
            const int64_t row = c * plane + y * l.width;
            for (const Run<Real>& run : band) {
              const int64_t at = row + run.begin;
              const int64_t at1 = at + run.offset1, at2 = at + run.offset2;
              if (grad1) scale_run(grad1 + at1, grad + at, run.z, run.length);
              if (grad2) scale_run(grad2 + at2, grad + at, 1 - run.z, run.length);
              if (grad_mask) {
                add_mask_grad(grad_mask + y / side_y * l.mask_grid.cols, grad + at,
                              image(p.x1) + at1, image(p.x2) + at2, run, side_x);
              }
            }
          }
        }
      });
    }
  });
  return valid ? Status::ok : Status::bad_value;
}

template <typename Problem, typename F>
Status for_dtype(const Problem& problem, F&& solve) {
  switch (problem.layout.dtype) {
    case Dtype::float16:
      return solve(Half{});
    case Dtype::bfloat16:
      return solve(BFloat16{});
    case Dtype::float64:
      return solve(double{});
    default:
      return solve(float{});
  }
}

}  // namespace

Status mix_cpu(const MixProblem& problem, int threads) {
  return for_dtype(problem, [&](auto zero) { return mix_typed<decltype(zero)>(problem, threads); });
}

Status mix_grad_cpu(const MixGradProblem& problem, int threads) {
  return for_dtype(problem,
                   [&](auto zero) { return mix_grad_typed<decltype(zero)>(problem, threads); });
}

}  // namespace puzzlemix
