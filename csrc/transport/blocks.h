// One sample of block transport as integers (transport.h), for every team.
//
// What a block is worth in a place and what a move costs are integers in doubles: all are below
// 2^53, and SSE2, the baseline, compares no 64-bit integers.
#pragma once

#include <cstdint>

#include "rounding.h"
#include "team.h"
#include "team_algorithms.h"
#include "tensor.h"

namespace puzzlemix {

// In this order: lay_out once; then, for each sample, the caller fills saliency() and weight() and
// scale() makes the integers. Copies share the memory.
class Blocks {
 public:
  PUZZLEMIX_HD Blocks(Arena& arena, int height, int width)
      : saliency_(arena.take<double>(height * width)),
        weight_(arena.take<double>(height * width)),
        position_(arena.take<uint16_t>(height * width)),
        height_(height),
        width_(width) {}

  // What follows from the shape alone: one phase.
  template <typename Team>
  PUZZLEMIX_HD void lay_out(Team& team) const {
    uint16_t* const position = position_;
    const int width = width_;
    team.step(height_, width,
              [=](int y, int x) { position[y * width + x] = static_cast<uint16_t>(y << 8 | x); });
  }

  // By block, finite and not negative; by place, in [0, 1].
  PUZZLEMIX_HD double* saliency() const { return saliency_; }
  PUZZLEMIX_HD double* weight() const { return weight_; }

  // The integers of the sample: three phases.
  template <typename Team>
  PUZZLEMIX_HD void scale(Team& team, double xi) {
    const int n = cells();
    const double *const s = saliency_, *const w = weight_;
    const double most = team.reduce(n, 0.0, [=](int i) { return s[i]; }, Most());
    lightest_ = team.reduce(n, 1.0, [=](int i) { return w[i]; }, Least());
    heaviest_ = team.reduce(n, 0.0, [=](int i) { return w[i]; }, Most());
    const int longest = Most()(height_, width_) - 1;
    unit_ = longest > 0 ? xi / (static_cast<double>(longest) * longest) : 0.0;
    const double furthest = (height_ - 1) * (height_ - 1) + (width_ - 1) * (width_ - 1);
    const double largest = unit_ * furthest + most;
    // Where that overflows, all integers are 0.
    scale_ = largest - largest == 0 ? power_scale(largest) : 0.0;
    step_ = largest - largest == 0 ? round_even(scale_ * unit_) : 0.0;
  }

  PUZZLEMIX_HD int height() const { return height_; }
  PUZZLEMIX_HD int width() const { return width_; }
  PUZZLEMIX_HD int cells() const { return height_ * width_; }
  PUZZLEMIX_HD int row_of(int i) const { return position_[i] >> 8; }
  PUZZLEMIX_HD int column_of(int i) const { return position_[i] & 0xff; }

  // c, the cost of a squared distance of one in the caller's unit; D, that as an integer; the
  // smallest and the largest weight.
  PUZZLEMIX_HD double step() const { return step_; }
  PUZZLEMIX_HD double lightest() const { return lightest_; }
  PUZZLEMIX_HD double heaviest() const { return heaviest_; }

  // S: what saliency s is worth in a place of weight w; block i there, and at home.
  PUZZLEMIX_HD double worth(double s, double w) const { return round_even(scale_ * (s * w)); }
  PUZZLEMIX_HD double worth_of(int i, double w) const { return worth(saliency_[i], w); }
  PUZZLEMIX_HD double worth_at_home(int i) const { return worth(saliency_[i], weight_[i]); }

  PUZZLEMIX_HD int squared_distance(int a, int b) const {
    const int rows = row_of(a) - row_of(b), columns = column_of(a) - column_of(b);
    return rows * rows + columns * columns;
  }

  // The integer cost of sending a block to a place, and to every place.
  PUZZLEMIX_HD double cost(int block, int place) const {
    return step_ * squared_distance(block, place) - worth(saliency_[block], weight_[place]);
  }
  void costs(int block, double* out) const {
    const int top = row_of(block), left = column_of(block), width = width_;
    const double scale = scale_, step = step_, s = saliency_[block];
    double across[kMaxSide];
    for (int x = 0; x < width; ++x) across[x] = step * ((x - left) * (x - left));
    const double* w = weight_;
    for (int y = 0; y < height_; ++y, out += width, w += width) {
      const double down = step * ((y - top) * (y - top));
      for (int x = 0; x < width; ++x) out[x] = (down + across[x]) - round_even(scale * (s * w[x]));
    }
  }

  // Ring r of block i: the places r rows or columns away. All further ones are in later rings.
  PUZZLEMIX_HD int last_ring(int i) const {
    const int top = row_of(i), left = column_of(i);
    return Most()(Most()(top, height_ - 1 - top), Most()(left, width_ - 1 - left));
  }
  // look(place, squared distance)
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

  // Whether weights are 0 and w only: a block is shown or not.
  template <typename Team>
  PUZZLEMIX_HD bool shown_or_not(Team& team) const {
    const double *const w = weight_, heaviest = heaviest_;
    return !team.any(cells(), [=](int j) { return (w[j] != 0) & (w[j] != heaviest); });
  }

  // Of an answer, where block_in(place) is the block that goes there: the sum of its squared
  // distances, and its total in the caller's own costs, given that sum.
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
  uint16_t* position_;  // row << 8 | column: divisions would cost more than all else
  int height_, width_;
  double unit_ = 0, scale_ = 1, step_ = 0;
  double lightest_ = 0, heaviest_ = 0;
};

}  // namespace puzzlemix
