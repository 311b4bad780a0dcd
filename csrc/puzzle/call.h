// A call of puzzle_plan with the sizes that follow from its arguments, and the sum over a
// rectangle.
#pragma once

#include <cmath>

#include "element.h"
#include "graphcut/integers.h"
#include "puzzle/puzzle.h"
#include "team.h"

namespace puzzlemix {

PUZZLEMIX_HD constexpr int largest_divisor(int size, int limit) {
  for (int d = size < limit ? size : limit; d > 1; --d) {
    if (size % d == 0) return d;
  }
  return 1;
}

// A problem with the sizes and factors that follow from it. "Cells" of an image are its windows.
struct PuzzleCall : PuzzleProblem {
  explicit PuzzleCall(const PuzzleProblem& problem)
      : PuzzleProblem(problem),
        window_rows(largest_divisor(rows / height, neighborhood)),
        window_columns(largest_divisor(columns / width, neighborhood)),
        cell_rows(rows / window_rows),
        cell_columns(columns / window_columns),
        block_rows(cell_rows / height),
        block_columns(cell_columns / width),
        tall(fine_height / height),
        wide(fine_width / width),
        smoothness(beta / (16 * std::sqrt(static_cast<double>(height * width)))),
        weigh(smoothness * gamma / 2) {}

  PUZZLEMIX_HD GridShape shape() const { return GridShape(height, width); }
  PUZZLEMIX_HD int cells() const { return height * width; }
  PUZZLEMIX_HD int fine_cells() const { return fine_height * fine_width; }
  // The number of pixels, of all channels, in the strip on either side of an edge down or right.
  PUZZLEMIX_HD double pixels_down() const {
    return static_cast<double>(channels) * block_columns * window_rows * window_columns;
  }
  PUZZLEMIX_HD double pixels_right() const {
    return static_cast<double>(channels) * block_rows * window_rows * window_columns;
  }
  // In memory an image is rows of this many elements, and a stripe is as many rows as a window has.
  // Planes lie one after the other, so their stripes are counted on; in channels_last memory a
  // stripe has all channels.
  PUZZLEMIX_HD int interleaved() const { return channels_last ? channels : 1; }
  PUZZLEMIX_HD int row_length() const { return columns * interleaved(); }
  PUZZLEMIX_HD int stripes() const { return cell_rows * (channels_last ? 1 : channels); }
  PUZZLEMIX_HD int plane_of_cells() const { return cell_rows * cell_columns; }
  PUZZLEMIX_HD int image_cells() const { return channels * plane_of_cells(); }

  // Whether only windows on the boundaries of the cut's blocks are needed: others can get there
  // only if blocks of a finer grid move.
  PUZZLEMIX_HD bool boundaries_only() const {
    return transport == Transport::none || (tall == 1 && wide == 1);
  }

  // Whether pool_stripes writes every window.
  PUZZLEMIX_HD bool all_windows() const {
    return (block_rows <= 2 && block_columns <= 2) || !boundaries_only();
  }

  // Whether the transport's blocks are whole numbers of windows, so that windows move with them. If
  // not, windows are pooled again from the pixels after blocks have moved.
  PUZZLEMIX_HD bool moves_windows() const {
    return cell_rows % fine_height == 0 && cell_columns % fine_width == 0;
  }
  PUZZLEMIX_HD bool rereads_pixels() const { return !boundaries_only() && !moves_windows(); }

  // Whether first and second images are the same tensors, as in a batch that is mixed with itself.
  PUZZLEMIX_HD bool one_batch() const {
    return x1.data == x2.data && batch == others && saliency1.data == saliency2.data &&
           saliency1.dtype == saliency2.dtype && saliency_rows1 == saliency_rows2 &&
           saliency_columns1 == saliency_columns2;
  }

  // The standard deviation by which windows of a channel are multiplied, if std_count isn't 0.
  PUZZLEMIX_HD double std_of(int channel) const {
    const int i = std_count == 1 ? 0 : channel;
    return std.data ? element(std, i) : std_number[i];
  }

  // The second image of pair b. An index out of range, which is unchecked on CUDA, counts as image
  // b, or 0 if there is none.
  PUZZLEMIX_HD int64_t partner_of(int64_t b) const {
    const int64_t index = partner ? partner[b] : b;
    return index >= 0 && index < others ? index : b < others ? b : 0;
  }

  int window_rows, window_columns;  // the size of a window, in pixels
  int cell_rows, cell_columns;      // the windows ("cells") of an image
  int block_rows, block_columns;    // the size of a block of the cut, in windows
  int tall, wide;                   // the size of a block of the cut, in blocks of the transport
  double smoothness;                // the factor of (z_i - z_j)^2 in the objective
  double weigh;                     // half the factor of phi in the objective
};

// An image of a call.
struct ImageOf {
  int side;       // 0 for an image of x1, 1 for one of x2
  int64_t index;  // the number of the image in x1 or x2
};

// How many cells an item takes of the `left` cells that remain in a row. Where Team::kWide is 1 the
// answer is a constant, so that arrays of cells stay in registers.
template <typename Team>
PUZZLEMIX_HD constexpr int cells_wide(int left) {
  return Team::kWide == 1 ? 1 : Least()(Team::kWide, left);
}

// ---- Sums ---------------------------------------------------------------------------------------

// The second half of the sum over a rectangle whose columns have the sums column(x): the even ones
// and the odd ones each from the left.
template <typename Column>
PUZZLEMIX_HD double add_columns(int count, const Column& column) {
  double even = 0, odd = 0;
  for (int x = 0; x < count; x += 2) {
    const double left = column(x);
    even = x == 0 ? left : even + left;
    if (x + 1 == count) break;
    const double right = column(x + 1);
    odd = x == 0 ? right : odd + right;
  }
  return count == 1 ? even : even + odd;
}
PUZZLEMIX_HD inline double add_columns(const double* sums, int count) {
  return add_columns(count, [=](int x) { return sums[x]; });
}

// The sum of value(y, x) over a rectangle of at most kMaxSide columns; `line` has room for their
// sums.
template <typename Team, typename Value>
PUZZLEMIX_HD double rectangle_sum(Team& team, int rows, int columns, double* line, Value value) {
  team.for_each(columns, [=](int x) {
    double sum = value(0, x);
    for (int y = 1; y < rows; ++y) sum += value(y, x);
    line[x] = sum;
  });
  return add_columns(line, columns);
}

}  // namespace puzzlemix
