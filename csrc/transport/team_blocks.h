// One sample of masked_transport for a team: the integers of BlockSample (block_grid.h), and the
// places around a block, ring by ring.
#pragma once

#include <cmath>

#include "element.h"
#include "numeric.h"
#include "team.h"
#include "transport/transport.h"

namespace puzzlemix {

class TeamBlocks {
 public:
  PUZZLEMIX_HD TeamBlocks(Arena& arena, const TransportProblem& problem)
      : saliency_(arena.take<double>(problem.height * problem.width)),
        weight_(arena.take<double>(problem.height * problem.width)),
        at_(arena.take<uint16_t>(problem.height * problem.width)),
        height_(static_cast<int>(problem.height)),
        width_(static_cast<int>(problem.width)) {}

  template <typename Team>
  PUZZLEMIX_HD void load(Team& team, const TransportProblem& problem, int64_t b) {
    const int n = cells(), width = width_;
    const int64_t first = b * n;
    const Array saliency = problem.saliency, mask = problem.mask;
    const bool indicator = problem.indicator;
    double *const s = saliency_, *const w = weight_;
    uint16_t* const at = at_;
    const double most = team.reduce(
        n, 0.0,
        [=](int i) {
          s[i] = capacity_element(saliency, first + i);
          const double z = Least()(capacity_element(mask, first + i), 1.0);
          w[i] = indicator && z > 0 ? 1.0 : z;
          at[i] = static_cast<uint16_t>(i / width << 8 | i % width);
          return s[i];
        },
        Most());
    lightest_ = team.reduce(n, 1.0, [=](int i) { return w[i]; }, Least());
    heaviest_ = team.reduce(n, 0.0, [=](int i) { return w[i]; }, Most());
    const int longest = Most()(height_, width_) - 1;
    unit_ = longest > 0 ? problem.xi / (static_cast<double>(longest) * longest) : 0.0;
    const double furthest = (height_ - 1) * (height_ - 1) + (width_ - 1) * (width_ - 1);
    const double largest = unit_ * furthest + most;
    // Where that overflows, all integers are 0.
    scale_ = largest - largest == 0 ? power_scale(largest) : 0.0;
    step_ = largest - largest == 0 ? round_even(scale_ * unit_) : 0.0;
  }

  PUZZLEMIX_HD int cells() const { return height_ * width_; }
  PUZZLEMIX_HD double saliency(int i) const { return saliency_[i]; }
  PUZZLEMIX_HD double weight(int j) const { return weight_[j]; }
  PUZZLEMIX_HD double unit() const { return unit_; }
  PUZZLEMIX_HD double step() const { return step_; }
  PUZZLEMIX_HD double lightest() const { return lightest_; }
  PUZZLEMIX_HD double heaviest() const { return heaviest_; }

  PUZZLEMIX_HD double worth(double s, double w) const { return round_even(scale_ * (s * w)); }
  // Of block i in a place of weight w, and at home.
  PUZZLEMIX_HD double worth_of(int i, double w) const { return worth(saliency_[i], w); }
  PUZZLEMIX_HD double worth_at_home(int i) const { return worth(saliency_[i], weight_[i]); }

  PUZZLEMIX_HD int squared_distance(int a, int b) const {
    const int rows = (at_[a] >> 8) - (at_[b] >> 8), columns = (at_[a] & 0xff) - (at_[b] & 0xff);
    return rows * rows + columns * columns;
  }
  PUZZLEMIX_HD double operator()(int row, int column) const {
    return step_ * squared_distance(row, column) - worth(saliency_[row], weight_[column]);
  }

  // Ring r of block i: the places r rows or columns away. All further ones are in later rings.
  PUZZLEMIX_HD int last_ring(int i) const {
    const int top = at_[i] >> 8, left = at_[i] & 0xff;
    return Most()(Most()(top, height_ - 1 - top), Most()(left, width_ - 1 - left));
  }
  // look(place, squared distance)
  template <typename Look>
  PUZZLEMIX_HD void ring(int i, int r, Look look) const {
    const int top = at_[i] >> 8, left = at_[i] & 0xff;
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

  // With weights 0 and w only, a block is shown or not.
  template <typename Team>
  PUZZLEMIX_HD bool shown_or_not(Team& team) const {
    const double *const w = weight_, heaviest = heaviest_;
    return !team.any(cells(), [=](int j) { return w[j] != 0 && w[j] != heaviest; });
  }

 private:
  double *saliency_, *weight_;
  uint16_t* at_;  // row << 8 | column
  int height_, width_;
  double unit_ = 0, scale_ = 1, step_ = 0;  // as in BlockSample
  double lightest_ = 0, heaviest_ = 0;
};

}  // namespace puzzlemix
