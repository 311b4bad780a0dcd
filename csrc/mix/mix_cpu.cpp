// The mix on the CPU, bound by memory: a copy with as few decisions as possible.
//
// The image is cut at every boundary of the three grids (mask and two sources), into bands of rows
// and pieces of columns. All rows and channels of a band read the same columns from the same
// places, so a band's runs are found once: neighbouring pieces of one z that come from neighbouring
// places form a run, and a whole row of an unmoved image is one memcpy. Runs that copy x1, runs
// that copy x2 and runs that blend are kept in three lists, so that the loops over rows decide
// nothing.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "batch.h"
#include "half.h"
#include "mix/mix.h"

namespace puzzlemix {
namespace {

// The type in which elements of type T are computed, and the conversions to it and back.
template <typename T>
struct Arithmetic {
  using Real = T;
  static Real get(T x) { return x; }
  static T put(Real x) { return x; }
};
template <>
struct Arithmetic<Half> {
  using Real = float;
  static Real get(Half x) { return widen(x); }
  static Half put(Real x) { return narrow_half(x); }
};
template <>
struct Arithmetic<BFloat16> {
  using Real = float;
  static Real get(BFloat16 x) { return widen(x); }
  static BFloat16 put(Real x) { return narrow_bfloat16(x); }
};

// A piece of an axis that is cut at every boundary of three grids: it lies in one block of each.
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

// Columns [begin, begin + length) of a band. They have mask value z and come from offset1 of x1's
// plane and offset2 of x2's, both relative to their own place, so that 0 means unmoved.
template <typename Real>
struct Run {
  int64_t begin, length;
  Real z;
  int64_t offset1, offset2;
};

// Where the blocks of one image come from, for all samples.
class BlockSources {
 public:
  BlockSources(const BlockMap& map, int64_t height, int64_t width) : map_(map) {
    if (!map.source) return;
    const int64_t block_height = height / map.grid.rows, block_width = width / map.grid.cols;
    corner_.reserve(map.grid.rows * map.grid.cols);
    for (int64_t row = 0; row < map.grid.rows; ++row) {
      for (int64_t col = 0; col < map.grid.cols; ++col) {
        corner_.push_back(row * block_height * width + col * block_width);
      }
    }
  }

  // A row of blocks of one sample: row(col) is the place that the block at `col` comes from,
  // relative to its own, in pixels of a plane.
  struct Row {
    const int64_t *source, *corner, *here;
    uint64_t cells;
    // An index out of range counts as the block's own place: another thread may have changed it
    // since the check.
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

  bool stay() const { return !map_.source; }

  // Checks that a sample's source is a permutation. `argument` is its number; `seen` is scratch
  // memory.
  Status check(int64_t sample, int argument, std::vector<char>& seen) const {
    if (!map_.source) return {};
    const auto cells = static_cast<int64_t>(corner_.size());
    const int64_t* const from = source(sample);
    seen.assign(cells, 0);
    for (int64_t j = 0; j < cells; ++j) {
      const int64_t block = *static_cast<const volatile int64_t*>(from + j);
      if (block < 0 || block >= cells) return {Fault::value, argument, sample, j};
      if (seen[block]) return {Fault::repeated, argument, sample, j};
      seen[block] = 1;
    }
    return {};
  }

 private:
  const int64_t* source(int64_t sample) const { return map_.source + sample * corner_.size(); }

  BlockMap map_;
  std::vector<int64_t> corner_;  // by block, the index of its first pixel
};

template <typename Real>
struct Runs {
  const Run<Real>*first, *last;
  const Run<Real>* begin() const { return first; }
  const Run<Real>* end() const { return last; }
  int64_t size() const { return last - first; }
};

// How the images of a call are cut into bands and pieces, and the runs that result.
template <typename Real>
class Partition {
 public:
  explicit Partition(const MixProblem& p)
      : problem_(p),
        from1_(p.map1, p.height, p.width),
        from2_(p.map2, p.height, p.width),
        rows_(cut_axis(p.height, p.mask_grid.rows, p.map1.grid.rows, p.map2.grid.rows)),
        cols_(cut_axis(p.width, p.mask_grid.cols, p.map1.grid.cols, p.map2.grid.cols)) {
    if (cols_.empty()) rows_.clear();  // images without columns have no bands either
  }

  int64_t bands() const { return static_cast<int64_t>(rows_.size()); }
  // How many pieces a row has, and their width if all have the same, else 0.
  int64_t pieces() const { return static_cast<int64_t>(cols_.size()); }
  int64_t piece() const {
    const int64_t first = cols_.empty() ? 0 : cols_[0].length;
    const auto same = [first](const Piece& piece) { return piece.length == first; };
    return std::all_of(cols_.begin(), cols_.end(), same) ? first : 0;
  }

  // Whether all samples have the same runs.
  bool one_for_all() const { return problem_.mask_stride == 0 && from1_.stay() && from2_.stay(); }

  // Checks a sample: the mask is finite, the sources are permutations, the partner is an image of
  // x2.
  Status check(int64_t sample, std::vector<char>& seen) const {
    if (problem_.trusted) return {};
    const Real* const mask = this->mask(sample);
    const int64_t cells = problem_.mask_grid.rows * problem_.mask_grid.cols;
    // x - x is 0 for a finite x and NaN else; adding them up needs no branch in the loop.
    Real wrong = 0;
    for (int64_t j = 0; j < cells; ++j) wrong += mask[j] - mask[j];
    if (wrong != 0) {
      const auto finite = [](Real z) { return std::isfinite(z); };
      const int64_t entry = std::find_if_not(mask, mask + cells, finite) - mask;
      return {Fault::value, kMask, sample, std::min(entry, cells - 1)};
    }
    Status status = from1_.check(sample, kSource1, seen);
    if (status.ok()) status = from2_.check(sample, kSource2, seen);
    if (!status.ok() || !problem_.partner) return status;
    const int64_t named = problem_.partner[sample];
    if (named < 0 || named >= problem_.others) return {Fault::value, kPartner, sample, 0};
    return {};
  }

  // Calls band(begin, end, runs) for each band of rows of one sample. Where z is 0 or 1, and so one
  // image isn't read, neighbouring pieces merge whatever their places in that image.
  template <typename Body>
  void for_each_band(int64_t sample, std::vector<Run<Real>>& runs, const Body& band) const {
    runs.resize(cols_.size());
    for (const Piece& row : rows_) {
      const Real* const mask = this->mask(sample) + row.mask * problem_.mask_grid.cols;
      const BlockSources::Row from1 = from1_.row(sample, row.block1),
                              from2 = from2_.row(sample, row.block2);
      Run<Real>* last = runs.data() - 1;
      for (const Piece& col : cols_) {
        const Run<Real> run{col.begin, col.length, mask[col.mask], from1(col.block1),
                            from2(col.block2)};
        if (last >= runs.data() && continues(*last, run)) {
          last->length += col.length;
        } else {
          *++last = run;
        }
      }
      band(row.begin, row.begin + row.length, Runs<Real>{runs.data(), last + 1});
    }
  }

 private:
  static bool continues(const Run<Real>& last, const Run<Real>& run) {
    return last.z == run.z && (last.offset1 == run.offset1 || run.z == 0) &&
           (last.offset2 == run.offset2 || run.z == 1);
  }

  const Real* mask(int64_t sample) const {
    return static_cast<const Real*>(problem_.mask) + sample * problem_.mask_stride;
  }

  const MixProblem& problem_;
  BlockSources from1_, from2_;
  std::vector<Piece> rows_, cols_;
};

// Copies `bytes`, between kBytes and 2 * kBytes, as two pieces of kBytes that may overlap. Blocks
// are a few pixels wide: there a call of memcpy costs more than the copy itself, and a loop more
// than the overlap.
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
    *to = *from;  // count is 1 and the element has two bytes
  }
}

// out = z * x1 + (1 - z) * x2; a null x2 stands for zeros.
template <typename T, typename Real>
inline void blend(T* __restrict out, const T* __restrict x1, const T* __restrict x2, Real z,
                  int64_t count) {
  const Real rest = 1 - z;
  if (!x2) {
    const Real nothing = rest * 0;  // -0 if rest is negative, as the formula has it
    for (int64_t i = 0; i < count; ++i)
      out[i] = Arithmetic<T>::put(z * Arithmetic<T>::get(x1[i]) + nothing);
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    out[i] = Arithmetic<T>::put(z * Arithmetic<T>::get(x1[i]) + rest * Arithmetic<T>::get(x2[i]));
  }
}

// The images of a sample.
template <typename T>
struct Images {
  T* out;
  const T *x1, *x2;  // a null x2 stands for zeros
};

// The work of a sample: its runs, sorted by what they do, so that the loops over pixels decide
// nothing. Places are those in the first channel and the first row of the band.
template <typename T, typename Real>
class Work {
 public:
  // Begins a sample. `piece`: the width of the pieces that runs are made of, or 0 if it varies.
  void start(int64_t pieces, int64_t piece) {
    piece_ = has_constant_loop(piece) ? piece : 0;
    for (std::vector<Copy>* copies : {&copies1_, &copies2_}) {
      if (static_cast<int64_t>(copies->size()) <= pieces) copies->resize(pieces + 1);
    }
    if (static_cast<int64_t>(blends_.size()) <= pieces) blends_.resize(pieces + 1);
    bands_.clear();
    bands_.push_back({0, 0, false, {0, 0, 0}});
  }

  void add(int64_t top, int64_t bottom, int64_t width, int64_t pieces, const Runs<Real>& runs) {
    Band band = bands_.back();
    // If a row is one run, its rows are contiguous in memory and become one long run.
    const int64_t height = bottom - top, joined = runs.size() == 1 ? height : 1;
    band.rows = runs.size() == 1 ? 1 : height;
    // Short runs are divided into their pieces again: a constant length of loops gains more than
    // the few loops that merging saved.
    band.piece = joined == 1 && pieces < 3 * runs.size() ? piece_ : 0;
    int64_t moved = band.piece;
    for (const Run<Real>& run : runs) {
      const int64_t count = band.piece > 0 ? band.piece : run.length * joined;
      const bool one = run.z == 1, two = run.z == 0;
      moved |= run.offset1 | run.offset2;
      for (int64_t x = run.begin; x < run.begin + run.length; x += count) {
        const int64_t at = top * width + x, from1 = at + run.offset1, from2 = at + run.offset2;
        // Written to all three lists and kept in one: a branch on the mask would be mispredicted.
        copies1_[band.end.copies1] = {at, from1, count};
        copies2_[band.end.copies2] = {at, from2, count};
        blends_[band.end.blends] = {at, from1, from2, count, run.z};
        band.end.copies1 += one;
        band.end.copies2 += two;
        band.end.blends += !one && !two;
      }
    }
    band.moved = moved != 0;
    const Band& before = bands_.back();
    if (bands_.size() > 1 && band.piece > 0 && before.piece > 0 && before.rows == band.rows) {
      bands_.back() = band;  // bands of equal pieces and height are done together
    } else {
      bands_.push_back(band);
    }
  }

  // Channel by channel and, where nothing moves, row by row, in the order of memory. A band that
  // moves goes run by run: row by row it would read soon after it wrote at an address that differs
  // by a multiple of 4 KB, which processors mistake for the same one (3 times slower at 64x64).
  void run(Images<T> images, int64_t channels, int64_t plane, int64_t width) const {
    for (int64_t c = 0; c < channels; ++c) {
      for (size_t k = 1; k < bands_.size(); ++k) {
        const Band& band = bands_[k];
        const int64_t together = band.moved ? band.rows : 1;
        for (int64_t y = 0; y < band.rows; y += together) {
          mix_rows(images, bands_[k - 1].end, band, {y * width, together, width});
        }
      }
      images.out += plane, images.x1 += plane;
      if (images.x2) images.x2 += plane;
    }
  }

 private:
  struct Copy {
    int64_t to, from, count;
  };
  struct Blend {
    int64_t to, from1, from2, count;
    Real z;
  };
  struct Ends {
    size_t copies1, copies2, blends;
  };
  struct Band {
    int64_t rows, piece;  // piece: the length of all runs, or 0 if it varies
    bool moved;
    Ends end;  // one past the band's last entry in each list
  };
  struct Rows {
    int64_t first, count, stride;  // first: the first row's offset from the band's first row
  };

  static bool has_constant_loop(int64_t piece) {
    return piece == 1 || piece == 2 || piece == 4 || piece == 8;
  }

  void mix_rows(const Images<T>& images, const Ends& from, const Band& band,
                const Rows& rows) const {
    switch (band.piece) {
      case 1:
        return mix_runs<1>(images, from, band.end, rows);
      case 2:
        return mix_square<2>(images, from, band.end, rows);
      case 4:
        return mix_square<4>(images, from, band.end, rows);
      case 8:
        return mix_square<8>(images, from, band.end, rows);
      default:
        return mix_runs<0>(images, from, band.end, rows);
    }
  }

  // Makes the height of loops a constant as well if pieces are square.
  template <int kPiece>
  void mix_square(const Images<T>& images, const Ends& from, const Ends& to,
                  const Rows& rows) const {
    if (rows.count == kPiece) return mix_runs<kPiece, kPiece>(images, from, to, rows);
    mix_runs<kPiece>(images, from, to, rows);
  }

  template <int kPiece, int kRows = 0>
  void mix_runs(const Images<T>& images, const Ends& from, const Ends& to, const Rows& rows) const {
    const int64_t height = kRows > 0 ? kRows : rows.count;
    const auto copy_all = [&](const std::vector<Copy>& copies, size_t k, size_t end, const T* in) {
      for (; k < end; ++k) {
        const Copy& c = copies[k];
        const int64_t count = kPiece > 0 ? kPiece : c.count;
        T* to = images.out + rows.first + c.to;
        if (!in) {
          for (int64_t y = 0; y < height; ++y, to += rows.stride) std::fill_n(to, count, T{});
          continue;
        }
        const T* from = in + rows.first + c.from;
        for (int64_t y = 0; y < height; ++y, to += rows.stride, from += rows.stride) {
          if constexpr (kPiece > 0) {
            std::memcpy(to, from, kPiece * sizeof(T));
          } else {
            copy(to, from, count);
          }
        }
      }
    };
    copy_all(copies1_, from.copies1, to.copies1, images.x1);
    copy_all(copies2_, from.copies2, to.copies2, images.x2);
    for (size_t k = from.blends; k < to.blends; ++k) {
      const Blend& b = blends_[k];
      const int64_t count = kPiece > 0 ? kPiece : b.count;
      for (int64_t y = 0; y < height; ++y) {
        const int64_t at = rows.first + y * rows.stride;
        blend(images.out + at + b.to, images.x1 + at + b.from1,
              images.x2 ? images.x2 + at + b.from2 : nullptr, b.z, count);
      }
    }
  }

  int64_t piece_ = 0;
  std::vector<Copy> copies1_, copies2_;
  std::vector<Blend> blends_;
  std::vector<Band> bands_;
};

// The least samples that are worth waking a thread for: some 64 KiB of pixels.
int64_t grain(int64_t bytes_per_sample) {
  return std::max<int64_t>(1, (1 << 16) / std::max<int64_t>(1, bytes_per_sample));
}

// The buffers of a thread. Small ones are kept from call to call, as allocating them takes longer
// than a small mix.
template <typename T, typename Real>
struct Workspace {
  std::vector<Run<Real>> runs;
  std::vector<char> seen;
  Work<T, Real> work;
};

template <typename T>
Status mix_typed(const MixProblem& p, int threads) {
  using Real = typename Arithmetic<T>::Real;
  const Partition<Real> partition(p);
  const int64_t plane = p.height * p.width, pixels = p.channels * plane;
  const int64_t pieces = partition.bands() * partition.pieces(), piece = partition.piece();
  FirstFault fault;
  parallel_for(p.batch, grain(pixels * sizeof(T)), threads, [&](int64_t begin, int64_t end) {
    constexpr int64_t kKept = 1024;
    thread_local Workspace<T, Real> kept;
    Workspace<T, Real> large;
    Workspace<T, Real>& own = pieces <= kKept ? kept : large;
    for (int64_t b = begin; b < end; ++b) {
      if (b == begin || !partition.one_for_all() || p.partner) {
        const Status status = partition.check(b, own.seen);
        if (!status.ok()) return fault.add(b, status);
      }
      if (b == begin || !partition.one_for_all()) {
        own.work.start(pieces, piece);
        partition.for_each_band(b, own.runs, [&](int64_t top, int64_t bottom, const auto& band) {
          own.work.add(top, bottom, p.width, partition.pieces(), band);
        });
      }
      const Images<T> images{static_cast<T*>(p.out) + b * pixels,
                             static_cast<const T*>(p.x1) + b * pixels,
                             p.x2 ? static_cast<const T*>(p.x2) + p.other(b) * pixels : nullptr};
      own.work.run(images, p.channels, plane, p.width);
    }
  });
  return fault.status();
}

}  // namespace

Status mix_cpu(const MixProblem& problem, int threads) {
  switch (problem.dtype) {
    case Dtype::float16:
      return mix_typed<Half>(problem, threads);
    case Dtype::bfloat16:
      return mix_typed<BFloat16>(problem, threads);
    case Dtype::float64:
      return mix_typed<double>(problem, threads);
    default:
      return mix_typed<float>(problem, threads);
  }
}

}  // namespace puzzlemix
