// The mix on the CPU: a copy with few decisions.
//
// The image is cut at every boundary of the three grids. Within a band of rows between two cuts
// the same runs of columns repeat for all rows and channels, so the runs of a band are found once:
// neighbouring pieces with equal z that come from neighbouring places are one run, and a whole row
// of an unmoved image is one memcpy. Runs that copy and runs that blend then go apart, so that the
// loops over rows have nothing to decide.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "batch.h"
#include "half.h"
#include "mix/mix.h"

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

// Where the blocks of one image come from.
class Moves {
 public:
  Moves(const BlockMap& map, int64_t height, int64_t width) : map_(map) {
    if (!map.source) return;
    const int64_t block_height = height / map.grid.rows, block_width = width / map.grid.cols;
    for (int64_t row = 0; row < map.grid.rows; ++row) {
      for (int64_t col = 0; col < map.grid.cols; ++col) {
        corner_.push_back(row * block_height * width + col * block_width);
      }
    }
  }

  // Of one row of blocks: how far, in pixels of a plane, the block that lands at `col` has to come.
  struct Row {
    const int64_t *source, *corner, *here;
    uint64_t cells;
    // What was checked may have been changed by another thread since: a block from nowhere stays.
    int64_t operator()(int64_t col) const {
      if (!source) return 0;
      const auto from = static_cast<uint64_t>(*static_cast<const volatile int64_t*>(source + col));
      return from < cells ? corner[from] - here[col] : 0;
    }
  };
  Row row(int64_t sample, int64_t row) const {
    if (!map_.source) return {nullptr, nullptr, nullptr, 0};
    const int64_t first = row * map_.grid.cols;
    return {source(sample) + first, corner_.data(), corner_.data() + first, corner_.size()};
  }

  bool permutation(int64_t sample, std::vector<char>& seen) const {
    if (!map_.source) return true;
    const auto cells = static_cast<int64_t>(corner_.size());
    const int64_t* const from = source(sample);
    seen.assign(cells, 0);
    bool inside = true;
    for (int64_t j = 0; j < cells; ++j) {
      const int64_t block = *static_cast<const volatile int64_t*>(from + j);
      const bool here = block >= 0 && block < cells;
      seen[here ? block : 0] = 1;
      inside = inside && here;
    }
    return inside && std::count(seen.begin(), seen.end(), 1) == cells;
  }

 private:
  const int64_t* source(int64_t sample) const { return map_.source + sample * corner_.size(); }

  BlockMap map_;
  std::vector<int64_t> corner_;  // of each block, its first pixel
};

template <typename Real>
struct Runs {
  const Run<Real>*first, *last;
  const Run<Real>* begin() const { return first; }
  const Run<Real>* end() const { return last; }
  int64_t size() const { return last - first; }
};

// The geometry of a call, common to the mix and its gradient.
template <typename Real>
class Geometry {
 public:
  explicit Geometry(const MixLayout& p)
      : mask_(static_cast<const Real*>(p.mask.data)),
        grid_(p.mask_grid),
        from1_(p.map1, p.height, p.width),
        from2_(p.map2, p.height, p.width),
        rows_(cut_axis(p.height, p.mask_grid.rows, p.map1.grid.rows, p.map2.grid.rows)),
        cols_(cut_axis(p.width, p.mask_grid.cols, p.map1.grid.cols, p.map2.grid.cols)) {}

  int64_t bands() const { return static_cast<int64_t>(rows_.size()); }
  // How many pieces a row has, and their width if they have one, else 0.
  int64_t pieces() const { return static_cast<int64_t>(cols_.size()); }
  int64_t piece() const {
    const int64_t first = cols_[0].length;
    const auto same = [first](const Piece& piece) { return piece.length == first; };
    return std::all_of(cols_.begin(), cols_.end(), same) ? first : 0;
  }

  // The mask finite, the sources permutations.
  bool valid(int64_t sample, std::vector<char>& seen) const {
    const int64_t cells = grid_.rows * grid_.cols;
    const Real* mask = mask_ + sample * cells;
    return std::all_of(mask, mask + cells, [](Real z) { return std::isfinite(z); }) &&
           from1_.permutation(sample, seen) && from2_.permutation(sample, seen);
  }

  // Calls band(begin, end, runs) for each band of rows of one sample. Where one image alone is
  // read, runs merge whatever the other's place (unless `both` matter).
  template <typename Body>
  void for_each_band(int64_t sample, bool both, std::vector<Run<Real>>& runs,
                     const Body& band) const {
    runs.resize(cols_.size());
    for (const Piece& row : rows_) {
      const Real* const mask = mask_ + (sample * grid_.rows + row.mask) * grid_.cols;
      const Moves::Row from1 = from1_.row(sample, row.block1),
                       from2 = from2_.row(sample, row.block2);
      Run<Real>* last = runs.data() - 1;
      for (const Piece& col : cols_) {
        const Run<Real> run{col.begin, col.length, mask[col.mask], from1(col.block1),
                            from2(col.block2)};
        if (last >= runs.data() && continues(*last, run, both)) {
          last->length += col.length;
        } else {
          *++last = run;
        }
      }
      band(row.begin, row.begin + row.length, Runs<Real>{runs.data(), last + 1});
    }
  }

 private:
  static bool continues(const Run<Real>& last, const Run<Real>& run, bool both) {
    return last.z == run.z && (last.offset1 == run.offset1 || (run.z == 0 && !both)) &&
           (last.offset2 == run.offset2 || (run.z == 1 && !both));
  }

  const Real* mask_;
  Grid grid_;
  Moves from1_, from2_;
  std::vector<Piece> rows_, cols_;
};

// The widest of these that fits, from either end: blocks are a few pixels wide, where a call of
// memcpy costs more than the copy, and a loop more than its overlap.
template <int kBytes>
inline void copy_ends(char* out, const char* in, size_t bytes) {
  char first[kBytes], last[kBytes];
  std::memcpy(first, in, kBytes);
  std::memcpy(last, in + bytes - kBytes, kBytes);
  std::memcpy(out, first, kBytes);
  std::memcpy(out + bytes - kBytes, last, kBytes);
}

template <typename T>
inline void copy(T* to, const T* from, int64_t count) {
  const size_t bytes = count * sizeof(T);
  char* const out = reinterpret_cast<char*>(to);
  const char* const in = reinterpret_cast<const char*>(from);
  if (bytes > 128) {
    std::memcpy(out, in, bytes);
  } else if (bytes >= 64) {
    copy_ends<64>(out, in, bytes);
  } else if (bytes >= 32) {
    copy_ends<32>(out, in, bytes);
  } else if (bytes >= 16) {
    copy_ends<16>(out, in, bytes);
  } else if (bytes >= 8) {
    copy_ends<8>(out, in, bytes);
  } else if (bytes >= 4) {
    copy_ends<4>(out, in, bytes);
  } else {
    *to = *from;  // one element of two bytes
  }
}

template <typename T, typename Real>
inline void blend(T* __restrict out, const T* __restrict x1, const T* __restrict x2, Real z,
                  int64_t count) {
  const Real rest = 1 - z;
  for (int64_t i = 0; i < count; ++i) {
    out[i] = Element<T>::put(z * Element<T>::get(x1[i]) + rest * Element<T>::get(x2[i]));
  }
}

// What a sample's runs do, sorted so that the loops over pixels have nothing to decide. Places are
// those of the first channel, of the first row of the band.
template <typename T, typename Real>
class Work {
 public:
  // `piece`: the width of the pieces that runs are made of, if it is one for all, else 0.
  Work(int64_t pieces, int64_t piece)
      : piece_(has_constant_loop(piece) ? piece : 0), copies_(pieces + 1), blends_(pieces + 1) {}

  void start(T* out, const T* x1, const T* x2) {
    out_ = out, x1_ = x1, x2_ = x2;
    bands_.clear();
    bands_.push_back({0, 0, false, 0, 0});
  }

  void add(int64_t top, int64_t bottom, int64_t width, int64_t pieces, const Runs<Real>& runs) {
    Band band = bands_.back();
    // Rows that are one run follow each other in memory.
    const int64_t height = bottom - top, joined = runs.size() == 1 ? height : 1;
    band.rows = runs.size() == 1 ? 1 : height;
    // Short runs are taken to pieces again: loops of a constant length are worth more than the
    // few that a merge saves.
    band.piece = joined == 1 && pieces < 3 * runs.size() ? piece_ : 0;
    int64_t moved = 0;
    for (const Run<Real>& run : runs) {
      const int64_t count = band.piece > 0 ? band.piece : run.length * joined;
      const bool copies = (run.z == 0) | (run.z == 1);
      moved |= run.offset1 | run.offset2;
      for (int64_t x = run.begin; x < run.begin + run.length; x += count) {
        const int64_t at = top * width + x;
        const T *const from1 = x1_ + at + run.offset1, *const from2 = x2_ + at + run.offset2;
        // Both are written and one is kept: a mask is no pattern that a processor foresees.
        copies_[band.copies] = {out_ + at, run.z == 0 ? from2 : from1, count};
        blends_[band.blends] = {out_ + at, from1, from2, count, run.z};
        band.copies += copies;
        band.blends += !copies;
      }
    }
    band.moved = moved != 0;
    bands_.push_back(band);
  }

  // Channel by channel and, where nothing moves, row by row: memory is met in its order. What
  // moves goes run by run, because a row at a time would read soon after it wrote at the same place
  // of another page, which processors mistake for the same place (3 times slower at 64x64).
  void run(int64_t channels, int64_t plane, int64_t width) const {
    for (int64_t c = 0; c < channels; ++c) {
      for (size_t k = 1; k < bands_.size(); ++k) {
        const Band& band = bands_[k];
        const int64_t together = band.moved ? band.rows : 1;
        for (int64_t y = 0; y < band.rows; y += together) {
          const int64_t first = c * plane + y * width, last = first + together * width;
          mix_rows(bands_[k - 1], band, {first, last, width});
        }
      }
    }
  }

 private:
  struct Copy {
    T* out;
    const T* in;
    int64_t count;
  };
  struct Blend {
    T* out;
    const T *x1, *x2;
    int64_t count;
    Real z;
  };
  struct Band {
    int64_t rows, piece;  // piece: the length of all runs, or 0
    bool moved;
    size_t copies, blends;  // where those of the next band begin
  };
  // Offsets of the rows' first pixels.
  struct Rows {
    int64_t first, last, step;
  };

  static bool has_constant_loop(int64_t piece) {
    return piece == 1 || piece == 2 || piece == 4 || piece == 8;
  }

  void mix_rows(const Band& before, const Band& band, const Rows& rows) const {
    switch (band.piece) {
      case 1:
        return mix_runs<1>(before, band, rows);
      case 2:
        return mix_runs<2>(before, band, rows);
      case 4:
        return mix_runs<4>(before, band, rows);
      case 8:
        return mix_runs<8>(before, band, rows);
      default:
        return mix_runs<0>(before, band, rows);
    }
  }

  template <int kPiece>
  void mix_runs(const Band& before, const Band& band, const Rows& rows) const {
    for (size_t k = before.copies; k < band.copies; ++k) {
      const Copy& c = copies_[k];
      for (int64_t at = rows.first; at < rows.last; at += rows.step) {
        if constexpr (kPiece > 0) {
          std::memcpy(c.out + at, c.in + at, kPiece * sizeof(T));
        } else {
          copy(c.out + at, c.in + at, c.count);
        }
      }
    }
    for (size_t k = before.blends; k < band.blends; ++k) {
      const Blend& b = blends_[k];
      const int64_t count = kPiece > 0 ? kPiece : b.count;
      for (int64_t at = rows.first; at < rows.last; at += rows.step) {
        blend(b.out + at, b.x1 + at, b.x2 + at, b.z, count);
      }
    }
  }

  T* out_;
  const T *x1_, *x2_;
  const int64_t piece_;
  std::vector<Copy> copies_;
  std::vector<Blend> blends_;
  std::vector<Band> bands_;
};

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
  FirstFault fault;
  parallel_for(l.batch, grain(pixels * sizeof(T)), threads, [&](int64_t begin, int64_t end) {
    std::vector<Run<Real>> runs;
    std::vector<char> seen;
    Work<T, Real> work(geometry.bands() * geometry.pieces(), geometry.piece());
    for (int64_t b = begin; b < end; ++b) {
      if (!geometry.valid(b, seen)) {
        fault.add({Fault::value, 0, b, 0});
        return;
      }
      const T* x1 = static_cast<const T*>(p.x1) + b * pixels;
      const T* x2 = static_cast<const T*>(p.x2) + b * pixels;
      T* out = static_cast<T*>(p.out) + b * pixels;
      work.start(out, x1, x2);
      geometry.for_each_band(b, false, runs, [&](int64_t top, int64_t bottom, const auto& band) {
        work.add(top, bottom, l.width, geometry.pieces(), band);
      });
      work.run(l.channels, plane, l.width);
    }
  });
  return fault.status();
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
  FirstFault fault;
  parallel_for(l.batch, grain(pixels * sizeof(T)), threads, [&](int64_t begin, int64_t end) {
    std::vector<Run<Real>> runs;
    std::vector<char> seen;
    for (int64_t b = begin; b < end; ++b) {
      if (!geometry.valid(b, seen)) {
        fault.add({Fault::value, 0, b, 0});
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
  return fault.status();
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
