// What the approximate and the exact block transport share: one sample as integers, and the moves
// between two blocks of a grid, nearest first.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "numeric.h"
#include "transport/transport.h"

namespace puzzlemix {

// A move from block i to block i + index, of the given squared distance in blocks.
struct Move {
  int32_t squared;
  int16_t rows, columns;
};

// All moves that fit a grid, by squared distance, then by the index of the block they lead to.
inline std::vector<Move> nearest_moves(int height, int width) {
  const int largest = (height - 1) * (height - 1) + (width - 1) * (width - 1);
  std::vector<int> begin(largest + 2, 0);
  const auto for_each_move = [&](auto&& body) {
    for (int rows = 1 - height; rows < height; ++rows) {
      for (int columns = 1 - width; columns < width; ++columns) {
        body(Move{rows * rows + columns * columns, static_cast<int16_t>(rows),
                  static_cast<int16_t>(columns)});
      }
    }
  };
  for_each_move([&](const Move& move) { ++begin[move.squared + 1]; });
  for (int d = 0; d <= largest; ++d) begin[d + 1] += begin[d];
  std::vector<Move> moves(begin[largest + 1]);
  for_each_move([&](const Move& move) { moves[begin[move.squared]++] = move; });
  return moves;
}

// One sample of masked_transport. Integers are kept in doubles: all are below 2^53, and SSE2, the
// baseline, compares no 64-bit integers.
class BlockSample {
 public:
  BlockSample(int height, int width)
      : height(height), width(width), saliency(height * width), weight(height * width) {
    for (int i = 0; i < cells(); ++i) at_.push_back({i / width, i % width});
  }

  // False where a value is forbidden.
  bool load(const TransportProblem& problem, int64_t index) {
    const int n = cells();
    puzzlemix::load(problem.saliency, index * n, n, saliency.data());
    puzzlemix::load(problem.mask, index * n, n, weight.data());
    if (!valid()) return false;
    if (problem.indicator) {
      for (double& z : weight) z = z > 0 ? 1.0 : 0.0;
    }
    // No move costs more than twice xi; a bound that doesn't depend on the grid is the contract's.
    if (!(2 * problem.xi + maximum(saliency.data(), n) <= std::numeric_limits<double>::max())) {
      return false;
    }
    scale_by(problem.xi);
    return true;
  }

  // Makes integers of saliency and weights.
  void scale_by(double xi) {
    const int n = cells();
    const int longest = std::max(height, width) - 1;
    unit = longest > 0 ? xi / (static_cast<double>(longest) * longest) : 0.0;
    const double furthest = (height - 1) * (height - 1) + (width - 1) * (width - 1);
    const double most = maximum(saliency.data(), n), largest = unit * furthest + most;
    lightest = minimum(weight.data(), n);
    heaviest = maximum(weight.data(), n);
    scale = power_scale(largest);
    step = round_even(scale * unit);
  }

  int cells() const { return height * width; }

  // S: what a block of saliency s is worth in a place of weight w.
  double worth(double s, double w) const { return round_even(scale * (s * w)); }

  // The integer cost of sending block `row` to place `column`, and to every place.
  double cost(int row, int column) const {
    return step * squared_distance(row, column) - worth(saliency[row], weight[column]);
  }
  void costs(int row, double* out) const {
    const int top = at_[row].row, left = at_[row].column;
    const double scale = this->scale, s = saliency[row];
    double across[kMaxSide];
    for (int j = 0; j < width; ++j) across[j] = step * ((j - left) * (j - left));
    const double* z = weight.data();
    for (int i = 0; i < height; ++i, out += width, z += width) {
      const double down = step * ((i - top) * (i - top));
      for (int j = 0; j < width; ++j) out[j] = (down + across[j]) - round_even(scale * (s * z[j]));
    }
  }

  // For every block: what it is worth at home, and how much more it could be worth elsewhere.
  void worths(double* home, double* gain) const {
    const double scale = this->scale, heaviest = this->heaviest;
    const double *s = saliency.data(), *z = weight.data();
    for (int i = 0, n = cells(); i < n; ++i) {
      home[i] = round_even(scale * (s[i] * z[i]));
      gain[i] = round_even(scale * (s[i] * heaviest)) - home[i];
    }
  }

  // Takes from every entry what the block is worth at home.
  void less_worth_at_home(double* out) const {
    const double scale = this->scale;
    const double *s = saliency.data(), *z = weight.data();
    for (int i = 0, n = cells(); i < n; ++i) out[i] -= round_even(scale * (s[i] * z[i]));
  }

  int squared_distance(int a, int b) const {
    const int rows = at_[a].row - at_[b].row, columns = at_[a].column - at_[b].column;
    return rows * rows + columns * columns;
  }

  // The caller's own cost of an assignment, whose moves may be known to have this sum of squared
  // distances.
  double total(const int64_t* source) const {
    int64_t squared = 0;
    for (int j = 0; j < cells(); ++j) squared += squared_distance(static_cast<int>(source[j]), j);
    return total(source, squared);
  }
  double total(const int64_t* source, int64_t squared_distances) const {
    double shown[4] = {0, 0, 0, 0};  // four sums: one would wait for each addition
    for (int j = 0; j < cells(); ++j) shown[j & 3] += saliency[source[j]] * weight[j];
    return unit * static_cast<double>(squared_distances) -
           ((shown[0] + shown[1]) + (shown[2] + shown[3]));
  }

  const int height, width;
  std::vector<double> saliency, weight;
  double unit = 0;   // c: the cost of a squared distance of one, in the caller's unit
  double scale = 1;  // integers a unit
  double step = 0;   // D: c as an integer
  double lightest = 0, heaviest = 0;  // the smallest and the largest weight

 private:
  struct Position {
    int row, column;
  };

  // Saliency finite and not negative, the mask in [0, 1]. Zero times a number is +0 unless that is
  // negative (-0), infinite or not a number; adding 0 first makes +0 of -0, which is welcome.
  bool valid() const {
    uint64_t wrong = 0;
    const auto look = [&wrong](double x) {
      const double zero = (x + 0.0) * 0.0;
      uint64_t bits;
      std::memcpy(&bits, &zero, sizeof bits);
      wrong |= bits;
    };
    for (int i = 0; i < cells(); ++i) {
      look(saliency[i]);
      look(weight[i]);
      look(1.0 - weight[i]);
    }
    return wrong == 0;
  }

  std::vector<Position> at_;  // of each cell: divisions would cost more than all else
};

}  // namespace puzzlemix
