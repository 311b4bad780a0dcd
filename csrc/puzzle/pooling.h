// Pooling, for every team: windows of images and blocks of saliency maps, which are sums over
// rectangles (order.md). First the columns of some stripes are added up, then the columns of each
// rectangle.
//
// On a device a thread adds up the columns of 16 bytes of a row together, up to four rows at a
// time, each read by one load, whatever the type and the memory format; where rows are not aligned,
// one column. So each byte is read once, and 256 threads have 8 to 16 KB under way.
#pragma once

#include <type_traits>

#include "puzzle/call.h"

namespace puzzlemix {

// `count` stripes, one after the other: each has `rows` rows of `length` elements.
struct Stripes {
  PUZZLEMIX_HD int64_t size() const { return int64_t{rows} * length; }
  int count, rows, length;
};

// Pools the stripes from `stripe` to before `end` of an image and writes to its `cells`
// [C, Y', X']. Returns whether a pixel is not finite, if values are checked and not every window is
// written.
template <typename Team>
PUZZLEMIX_HD bool pool_stripes(Team& team, const PuzzleCall& call, const ImageOf& image, int stripe,
                               int end, double* line, double* cells) {
  const Array& pixels = image.side == 0 ? call.x1 : call.x2;
  const Stripes stripes{end - stripe, call.window_rows, call.row_length()};
  const int64_t first = (image.index * call.stripes() + stripe) * stripes.size();
  bool wrong = false;
  add_stripes(team, pixels, first, stripes, Accepted<Team>(), line,
              [&](const auto& sums, int s, int count) {
                if (Team::kChecked && !call.all_windows()) {
                  wrong |= !all_finite(team, stripes.length, line);
                }
                write_windows(team, call, sums, stripe + s, count, cells);
              });
  return wrong;
}

// Pools rows of the transport's blocks, from `row` to before `end`, of a saliency map. Returns, if
// values are checked, whether one is negative or not finite.
template <typename Team>
PUZZLEMIX_HD bool pool_saliency(Team& team, const PuzzleCall& call, const ImageOf& image, int row,
                                int end, double* line, double* sums) {
  const Array& map = image.side == 0 ? call.saliency1 : call.saliency2;
  const int rows = image.side == 0 ? call.saliency_rows1 : call.saliency_rows2;
  const int columns = image.side == 0 ? call.saliency_columns1 : call.saliency_columns2;
  const int width = call.fine_width;
  const Stripes stripes{end - row, rows / call.fine_height, columns};
  const int64_t first = (image.index * call.fine_height + row) * stripes.size();
  add_stripes(team, map, first, stripes, AcceptedCapacity<Team>(), line,
              [&](const auto& added, int s, int count) {
                const auto column = added;
                double* const out = sums + (row + s) * width;
                with_constant(columns / width, [&](auto wide) {
                  team.for_each(count, width, [=](int y, int k) {
                    out[y * width + k] =
                        add_columns(wide, [=](int x) { return column(y, k * wide + x); });
                  });
                });
              });
  bool wrong = false;
  if (Team::kChecked) {
    with_elements<Team>(map, first, [&](const auto& value) {
      const auto in = value;
      // |x| - x is 0 for finite x >= 0, positive for x < 0, and NaN for infinity and NaN.
      const auto excess = [=](int i) { return fabs(in[i]) - in[i]; };
      wrong =
          team.reduce(stripes.count * static_cast<int>(stripes.size()), 0.0, excess, Sum()) != 0;
    });
  }
  return wrong;
}

// ---- Columns ------------------------------------------------------------------------------------

// Where the sum of column x of the s-th stripe is, of those that were added up together.
struct SumsInOrder {  // of one stripe
  PUZZLEMIX_HD double operator()(int, int x) const { return line[x]; }
  const double* line;
};
// As made by threads that add up 1 << shift columns each: neighbouring threads write next to each
// other.
struct SumsByChunks {
  PUZZLEMIX_HD double operator()(int s, int x) const {
    const int k = x & ((1 << shift) - 1);
    return line[s * length + k * (length >> shift) + (x >> shift)];
  }
  const double* line;
  int length, shift;
};

// Adds up the columns of stripes, from element `first` of an array on, each element passed through
// accept(). Calls use(sums, s, count) for the `count` stripes from the s-th on, whose sums are in
// `line` until then: on a device for all together, on the CPU for each by itself, which stays in
// its cache.
template <typename Team, typename Accept, typename Use>
PUZZLEMIX_HD void add_stripes(Team& team, const Array& array, int64_t first, const Stripes& stripes,
                              Accept accept, double* line, const Use& use) {
  if constexpr (Team::kChecked) {
    with_elements<Team>(array, first, [&](const auto& elements) {
      for (int s = 0; s < stripes.count; ++s) {
        add_rows(team, elements, s * stripes.size(), stripes, accept, line);
        use(SumsInOrder{line}, s, 1);
      }
    });
  } else {
    const int shift = with_chunks(array, first, stripes.length, [&](const auto* chunks) {
      return add_chunks(team, chunks, stripes, accept, line);
    });
    use(SumsByChunks{line, stripes.length, shift}, 0, stripes.count);
  }
}

// Adds up the rows of one stripe, which begins with element `start`. A phase adds up to four rows.
template <typename Team, typename Elements, typename Accept>
PUZZLEMIX_HD void add_rows(Team& team, const Elements& elements, int64_t start,
                           const Stripes& stripes, Accept accept, double* line) {
  const Elements in = elements;
  const int length = stripes.length;
  const auto add = [&](auto known, int row) {
    constexpr int kRows = decltype(known)::value;
    team.for_each(length, [=](int x) {
      const int64_t at = start + int64_t{row} * length + x;
      double sum = row == 0 ? accept(in[at]) : line[x] + accept(in[at]);
      PUZZLEMIX_UNROLL
      for (int r = 1; r < kRows; ++r) sum += accept(in[at + int64_t{r} * length]);
      line[x] = sum;
    });
  };
  by_fours(stripes.rows, add);
}

// Calls add(number of rows as a compile-time constant, first row) for four rows, for two or for
// one.
template <typename Add>
PUZZLEMIX_HD void by_fours(int rows, const Add& add) {
  int row = 0;
  PUZZLEMIX_NO_UNROLL
  for (; row + 4 <= rows; row += 4) add(std::integral_constant<int, 4>(), row);
  if (row + 2 <= rows) {
    add(std::integral_constant<int, 2>(), row);
    row += 2;
  }
  if (row < rows) add(std::integral_constant<int, 1>(), row);
}

// Elements that one load reads.
template <typename T, int Wide>
struct alignas(sizeof(T) * Wide) Chunk {
  T element[Wide];
};

// Calls body with the elements of an array of floats from `first` on as chunks: of 16 bytes where
// rows of `length` elements are aligned, else of one element.
template <typename Body>
PUZZLEMIX_HD auto with_chunks(const Array& array, int64_t first, int length, const Body& body) {
  return with_float_type(array.dtype, [&](auto zero) {
    using T = decltype(zero);
    constexpr int kWide = 16 / sizeof(T);
    const T* const from = static_cast<const T*>(array.data) + first;
    const bool aligned = reinterpret_cast<uintptr_t>(from) % 16 == 0 && length % kWide == 0;
    return aligned ? body(reinterpret_cast<const Chunk<T, kWide>*>(from))
                   : body(reinterpret_cast<const Chunk<T, 1>*>(from));
  });
}

// Adds up columns, a chunk of them for each item, in one phase. Returns the binary logarithm of the
// number of columns in a chunk.
template <typename Team, typename T, int Wide, typename Accept>
PUZZLEMIX_HD int add_chunks(Team& team, const Chunk<T, Wide>* chunks, const Stripes& stripes,
                            Accept accept, double* line) {
  const int rows = stripes.rows, length = stripes.length, across = length / Wide;
  team.for_each(stripes.count, across, [=](int s, int x) {
    const Chunk<T, Wide>* const from = chunks + int64_t{s} * rows * across + x;
    double sum[Wide];
    PUZZLEMIX_UNROLL
    for (int k = 0; k < Wide; ++k) sum[k] = -0.0;  // to which adding a number gives that number
    by_fours(rows, [&](auto known, int row) {
      constexpr int kRows = decltype(known)::value;
      Chunk<T, Wide> in[kRows];
      const Chunk<T, Wide>* const at = from + int64_t{row} * across;
      PUZZLEMIX_UNROLL
      for (int r = 0; r < kRows; ++r) in[r] = at[r * across];
      PUZZLEMIX_UNROLL
      for (int r = 0; r < kRows; ++r) {
        PUZZLEMIX_UNROLL
        for (int k = 0; k < Wide; ++k) sum[k] += as_double(accept(widen(in[r].element[k])));
      }
    });
    PUZZLEMIX_UNROLL
    for (int k = 0; k < Wide; ++k) line[s * length + k * across + x] = sum[k];
  });
  int shift = 0;
  while (1 << shift < Wide) ++shift;
  return shift;
}

// ---- Windows ------------------------------------------------------------------------------------

// A number known at compile time; std::integral_constant converts on the host only.
template <int kNumber>
struct Constant {
  PUZZLEMIX_HD constexpr operator int() const { return kNumber; }
};

// Calls f with `number`, as a constant if it is 1, 2 or 4: on the CPU sums of two columns then take
// half the time.
template <typename F>
PUZZLEMIX_HD void with_constant(int number, const F& f) {
  switch (number) {
    case 1:
      return f(Constant<1>());
    case 2:
      return f(Constant<2>());
    case 4:
      return f(Constant<4>());
    default:
      return f(number);
  }
}

// Calls write(count, window) for the windows of one channel in one stripe, the r-th row of those
// from `stripe` on: window(i) writes the i-th of `count`. They are `wide` pixels wide.
template <typename Sums, typename Width, typename Write>
PUZZLEMIX_HD void for_windows(const PuzzleCall& call, const Sums& sums, int stripe, int r,
                              Width wide, double* cells, const Write& write) {
  const bool last = call.channels_last;
  const int interleaved = call.interleaved();
  const int s = last ? r / interleaved : r, first = r - s * interleaved;
  // Planes have whole numbers of blocks and lie one after the other, as their windows do.
  const int y = stripe + s, above = y % call.block_rows, blocks = call.block_columns;
  double* const out = cells + (last ? first * call.plane_of_cells() : 0) + y * call.cell_columns;
  // Inside a block only its first and last window of a row are on a boundary.
  const bool boundary = above == 0 || above == call.block_rows - 1;
  const bool all = boundary || blocks <= 2 || !call.boundaries_only();
  const bool scaled = call.std_count != 0;
  const double factor = scaled ? call.std_of(last ? first : y / call.cell_rows) : 1.0;
  const Sums added = sums;
  write(all ? call.cell_columns : 2 * call.width, [=](int i) {
    const int k = all ? i : i / 2 * blocks + i % 2 * (blocks - 1);
    const double sum =
        add_columns(wide, [=](int x) { return added(s, (k * wide + x) * interleaved + first); });
    out[k] = scaled ? sum * factor : sum;
  });
}

// Writes the windows of `count` stripes, given the sums of their columns.
template <typename Team, typename Sums>
PUZZLEMIX_HD void write_windows(Team& team, const PuzzleCall& call, const Sums& sums, int stripe,
                                int count, double* cells) {
  const PuzzleCall* const p = &call;
  const int rows = count * call.interleaved();
  with_constant(call.window_columns, [&](auto wide) {
    if constexpr (Team::kChecked) {
      const auto write = [&](int windows, const auto& window) { team.for_each(windows, window); };
      for (int r = 0; r < rows; ++r) for_windows(call, sums, stripe, r, wide, cells, write);
    } else {
      team.for_each(rows, call.cell_columns, [=](int r, int i) {
        for_windows(*p, sums, stripe, r, wide, cells, [=](int windows, const auto& window) {
          if (i < windows) window(i);
        });
      });
    }
  });
}

}  // namespace puzzlemix
