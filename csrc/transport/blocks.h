// A sample of block transport as integers (transport.h has the formula), for every team.
//
// The worth of a block in a place and the cost of a move are integers kept in doubles: all are
// below 2^53, and SSE2, the baseline on x86, has no comparison of 64-bit integers.
#pragma once

#include <cstdint>

#include "rounding.h"
#include "team.h"
#include "team_algorithms.h"
#include "tensor.h"

namespace puzzlemix {

// First lay_out() once. Then, for each sample, the caller fills saliency() and weight() and calls
// scale(), which makes the integers. Copies share the memory.
class Blocks {
 public:
  PUZZLEMIX_HD Blocks(Arena& arena, int height, int width)
      : saliency_(arena.take<double>(height * width)),
        weight_(arena.take<double>(height * width)),
        position_(arena.take<uint16_t>(height * width)),
        height_(height),
        width_(width) {}

  // Tabulates the row and column of each block, in one phase.
  template <typename Team>
  PUZZLEMIX_HD void lay_out(Team& team) const {
    uint16_t* const position = position_;
    const int width = width_;
    team.for_each(height_, width, [=](int y, int x) {
      position[y * width + x] = static_cast<uint16_t>(y << 8 | x);
    });
  }

  // Saliency by block, finite and not negative; weight by place, in [0, 1].
  PUZZLEMIX_HD double* saliency() const { return saliency_; }
  PUZZLEMIX_HD double* weight() const { return weight_; }

  // Makes the integers of the sample, in three phases. binary: whether weights are known to be 0 or
  // 1.
  template <typename Team>
  PUZZLEMIX_HD void scale(Team& team, double xi, bool binary) {
    const int n = cells();
    const double *const s = saliency_, *const w = weight_;
    binary_ = binary;
    most_ = team.reduce(n, 0.0, [=](int i) { return s[i]; }, Most());
    lightest_ = team.reduce(n, 1.0, [=](int i) { return w[i]; }, Least());
    heaviest_ = team.reduce(n, 0.0, [=](int i) { return w[i]; }, Most());
    const int longest = Most()(height_, width_) - 1;
    unit_ = longest > 0 ? xi / (static_cast<double>(longest) * longest) : 0.0;
    const double furthest = (height_ - 1) * (height_ - 1) + (width_ - 1) * (width_ - 1);
    const double largest = unit_ * furthest + most_;
    // If `largest` overflows, all integers become 0.
    scale_ = largest - largest == 0 ? power_scale(largest) : 0.0;
    move_cost_ = largest - largest == 0 ? round_even(scale_ * unit_) : 0.0;
  }

  PUZZLEMIX_HD int height() const { return height_; }
  PUZZLEMIX_HD int width() const { return width_; }
  PUZZLEMIX_HD int cells() const { return height_ * width_; }
  PUZZLEMIX_HD int row_of(int i) const { return position_[i] >> 8; }
  PUZZLEMIX_HD int column_of(int i) const { return position_[i] & 0xff; }

  // D, the integer cost of a squared distance of one: what a move by one block costs.
  PUZZLEMIX_HD double move_cost() const { return move_cost_; }
  PUZZLEMIX_HD double most_saliency() const { return most_; }
  PUZZLEMIX_HD double lightest() const { return lightest_; }
  PUZZLEMIX_HD double heaviest() const { return heaviest_; }

  // S, the integer worth of saliency s in a place of weight w; of block i there, and in its own
  // place.
  PUZZLEMIX_HD double worth(double s, double w) const { return round_even(scale_ * (s * w)); }
  PUZZLEMIX_HD double worth_of(int i, double w) const { return worth(saliency_[i], w); }
  PUZZLEMIX_HD double worth_at_home(int i) const { return worth(saliency_[i], weight_[i]); }

  PUZZLEMIX_HD int squared_distance(int a, int b) const {
    const int rows = row_of(a) - row_of(b), columns = column_of(a) - column_of(b);
    return rows * rows + columns * columns;
  }

  // The integer cost of sending a block to a place; costs() writes those of all places.
  PUZZLEMIX_HD double cost(int block, int place) const {
    return move_cost_ * squared_distance(block, place) - worth(saliency_[block], weight_[place]);
  }
  void costs(int block, double* out) const {
    const int top = row_of(block), left = column_of(block), width = width_;
    const double scale = scale_, move_cost = move_cost_, s = saliency_[block];
    double across[kMaxSide];
    for (int x = 0; x < width; ++x) across[x] = move_cost * ((x - left) * (x - left));
    const double* w = weight_;
    for (int y = 0; y < height_; ++y, out += width, w += width) {
      const double down = move_cost * ((y - top) * (y - top));
      for (int x = 0; x < width; ++x) out[x] = (down + across[x]) - round_even(scale * (s * w[x]));
    }
  }

  // Ring r of block i are the places whose larger distance, of rows and of columns, is r. Every
  // place is in one ring up to last_ring(i).
  PUZZLEMIX_HD int last_ring(int i) const {
    const int top = row_of(i), left = column_of(i);
    return Most()(Most()(top, height_ - 1 - top), Most()(left, width_ - 1 - left));
  }
  // Calls look(place, squared distance) for every place of ring r of block i.
  template <typename Look>
  PUZZLEMIX_HD void ring(int i, int r, Look look) const {
    const int top = row_of(i), left = column_of(i);
    const int begin = Most()(top - r, 0), end = Least()(top + r, height_ - 1);
    for (int y = begin; y <= end; ++y) {
      const int down = y - top;
      const bool whole = down == r || down == -r;
      for (int across = -r; across <= r; across += whole ? 1 : 2 * r) {
        const int x = left + across;
        if (x >= 0 && x < width_) look(y * width_ + x, down * down + across * across);
      }
    }
  }

  // Whether every weight is 0 or the largest: each place shows its block or hides it.
  template <typename Team>
  PUZZLEMIX_HD bool shown_or_not(Team& team) const {
    const double *const w = weight_, heaviest = heaviest_;
    return binary_ || !team.any(cells(), [=](int j) { return (w[j] != 0) & (w[j] != heaviest); });
  }

  // For an answer in which block_in(place) goes to each place: the sum of squared distances, and
  // the total in the caller's own costs, which needs that sum.
  template <typename Team, typename BlockIn>
  PUZZLEMIX_HD int64_t squared_distances(Team& team, BlockIn block_in) const {
    const Blocks self = *this;
    return team.reduce(
        cells(), int64_t{0},
        [=](int j) -> int64_t { return self.squared_distance(static_cast<int>(block_in(j)), j); },
        Sum());
  }
  template <typename Team, typename BlockIn>
  PUZZLEMIX_HD double total(Team& team, int64_t squared, BlockIn block_in) const {
    const double *const s = saliency_, *const w = weight_;
    const double shown = team.add(cells(), [=](int j) { return s[block_in(j)] * w[j]; });
    return unit_ * static_cast<double>(squared) - shown;
  }

 private:
  double *saliency_, *weight_;
  uint16_t* position_;  // row << 8 | column of each block, as divisions would take too long
  int height_, width_;
  double unit_ = 0;  // c, the cost of a squared distance of one in the caller's unit
  double scale_ = 1, move_cost_ = 0;
  double most_ = 0, lightest_ = 0, heaviest_ = 0;
  bool binary_ = false;
};

}  // namespace puzzlemix
