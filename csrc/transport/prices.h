// The first prices of the exact block transport, for every team: one price p(w) for all places of
// weight w. Blocks whose own place is the cheapest at these prices stay; whatever the prices, the
// answer is exact, but with good ones few blocks are left to assign.
//
// The price of a step up in weight is the one that clears the market: as many blocks would pay it
// to cross over to the nearest place of more weight as would rather have it and leave. (The price
// that leaves fewest blocks to assign leaves them all on one side; each of those then moves the
// price of a whole group in a search over all of it, ten times the work at xi = 0.01.)
#pragma once

#include <cmath>

#include "transport/blocks.h"

namespace puzzlemix {

// The squared distance of every cell to the nearest cell on the other side of a division of the
// grid: two passes of minima of sums (Felzenszwalb and Huttenlocher 2012), over a window because
// bytes at sixteen an instruction beat their linear-time scan. 16 x 16, reach 3: 0.4 us.
class NearestAcross {
 public:
  static constexpr int kReach = 7;

  PUZZLEMIX_HD NearestAcross(Arena& arena, int height, int width) : height_(height), width_(width) {
    const int64_t bytes = Planes(height, width, kReach).bytes();
    marks_ = arena.take<uint8_t>(bytes);
    rows_ = arena.take<uint8_t>(bytes);
  }

  // look(i, the squared distance of cell i), in the last of 3 + 2 * reach phases. upper: which side
  // each cell is on, 0 or 1. Looks at most `reach` rows and columns away; what is further has more
  // than twice the square of kReach.
  template <typename Team, typename Look>
  PUZZLEMIX_HD void find(Team& team, const uint8_t* upper, int reach, Look look) const {
    const Planes planes(height_, width_, reach);
    uint8_t *const marks = marks_, *const rows = rows_;
    team.step(planes.bytes(), [=](int t) { marks[t] = kFar; });
    team.step(planes.bytes(), [=](int t) { rows[t] = kFar; });
    // 0 at the lower cells in one plane, at the upper cells in the other.
    const int width = width_, stride = planes.stride, plane = planes.size;
    uint8_t* const first = marks + planes.margin;
    team.step(height_, width, [=](int y, int x) {
      const uint8_t side = upper[y * width + x];
      first[y * stride + x] = side ? kFar : 0;
      first[plane + y * stride + x] = side ? 0 : kFar;
    });
    spread(team, planes, marks, rows, reach, stride);
    spread(team, planes, rows, marks, reach, 1);
    team.step(height_, width, [=](int y, int x) {
      const uint8_t to_lower = first[y * stride + x], to_upper = first[plane + y * stride + x];
      look(y * width + x, upper[y * width + x] ? to_lower : to_upper);
    });
  }

 private:
  // Further away than the reach. Twice the square of the reach more is still a byte.
  static constexpr uint8_t kFar = 128;

  // Two planes with empty rows and columns between them as far as the reach, and before and after.
  struct Planes {
    PUZZLEMIX_HD Planes(int height, int width, int reach)
        : stride(width + reach), size((height + reach) * stride), margin(reach * (stride + 1)) {}
    PUZZLEMIX_HD int bytes() const { return 2 * (margin + size); }

    int stride, size, margin;
  };

  // to[t] = min over |q| <= reach of from[t + q * apart] + q^2.
  template <typename Team>
  PUZZLEMIX_HD static void spread(Team& team, const Planes& planes, const uint8_t* from_start,
                                  uint8_t* to_start, int reach, int apart) {
    const uint8_t* const from = from_start + planes.margin;
    uint8_t* const to = to_start + planes.margin;
    team.step(2 * planes.size,
              [=](int t) { to[t] = shorter(from[t], from[t - apart], from[t + apart], 1); });
    for (int q = 2; q <= reach; ++q) {
      const int away = q * apart;
      const uint8_t along = static_cast<uint8_t>(q * q);
      team.step(2 * planes.size,
                [=](int t) { to[t] = shorter(to[t], from[t - away], from[t + away], along); });
    }
  }
  PUZZLEMIX_HD static uint8_t shorter(uint8_t here, uint8_t before, uint8_t after, uint8_t along) {
    const uint8_t nearer = before < after ? before : after;
    const uint8_t squared = static_cast<uint8_t>(nearer + along);
    return squared < here ? squared : here;
  }

  int height_, width_;
  uint8_t *marks_, *rows_;
};

class Prices {
 public:
  PUZZLEMIX_HD Prices(Arena& arena, int height, int width)
      : across_(arena, height, width),
        upper_(arena.take<uint8_t>(height * width)),
        bid_(arena.take<double>(height * width)),
        ask_(arena.take<double>(height * width)) {}

  // price: of every place, integers. least: for every block, a lower bound on the price less the
  // worth of any place. False, and nothing is set, where all weights are equal: then all blocks
  // stay. p is given at levels of weight and linear between them.
  template <typename Team>
  PUZZLEMIX_HD bool set(Team& team, const Blocks& sample, double* price, double* least) const {
    const Blocks blocks = sample;
    if (blocks.lightest() == blocks.heaviest()) return false;
    const int n = blocks.cells(), count = count_levels(team, blocks);
    const bool each = count > 0;  // weight has a level
    const int levels = each ? count : kLevels;
    // Between levels, p and the worth are linear but for their roundings.
    const double slack = each ? 0 : 2;
    double low = blocks.lightest(), level = 0;
    team.step(n, [=](int i) {
      price[i] = 0;
      least[i] = -slack - blocks.worth_of(i, low);
    });
    for (int k = 1; k < levels; ++k) {
      const double high = each ? next_weight(team, blocks, low) : spaced_level(blocks, k);
      const double rise = clearing_price(team, blocks, low, high);
      level += rise;
      raise(team, blocks, {low, high, rise, level - slack}, price, least);
      low = high;
    }
    team.step(n, [=](int i) { price[i] = round_even(price[i]); });
    return true;
  }

 private:
  static constexpr int kLevels = 9;

  // A step from one level to the next.
  struct Step {
    double low, high, rise, least;  // least: the price of the upper level at the least
  };

  // How many different weights there are; 0: more than kLevels.
  template <typename Team>
  PUZZLEMIX_HD static int count_levels(Team& team, const Blocks& blocks) {
    if (blocks.shown_or_not(team) && blocks.lightest() == 0) return 2;
    int levels = 1;
    for (double w = blocks.lightest(); w != blocks.heaviest(); ++levels) {
      if (levels == kLevels) return 0;
      w = next_weight(team, blocks, w);
    }
    return levels;
  }
  template <typename Team>
  PUZZLEMIX_HD static double next_weight(Team& team, const Blocks& blocks, double weight) {
    const double *const w = blocks.weight(), heaviest = blocks.heaviest();
    return team.reduce(
        blocks.cells(), heaviest, [=](int j) { return w[j] > weight ? w[j] : heaviest; }, Least());
  }
  PUZZLEMIX_HD static double spaced_level(const Blocks& blocks, int k) {
    const double lightest = blocks.lightest(), heaviest = blocks.heaviest();
    return k == kLevels - 1 ? heaviest : lightest + (heaviest - lightest) * k / (kLevels - 1);
  }

  // As many blocks below the step would pay the price to cross to the nearest place above it as
  // blocks above it would rather leave.
  template <typename Team>
  PUZZLEMIX_HD double clearing_price(Team& team, const Blocks& sample, double low,
                                     double high) const {
    const Blocks blocks = sample;
    const int n = blocks.cells();
    double *const bid = bid_, *const ask = ask_;
    uint8_t* const upper = upper_;
    const double *const w = blocks.weight(), step = blocks.step();
    const double most_gain = team.reduce(
        n, -kInfinity,
        [=](int i) { return bid[i] = blocks.worth_of(i, high) - blocks.worth_of(i, low); }, Most());
    team.step(n, [=](int i) { upper[i] = w[i] - low > high - w[i]; });
    // Nobody pays for a move further than this.
    const double affordable = sqrt(most_gain / step);
    constexpr double kLimit = NearestAcross::kReach;
    const int reach = static_cast<int>(Most()(1.0, Least()(affordable, kLimit)));
    // What a block below would pay at most to cross, and one above would ask for at least to leave.
    across_.find(team, upper, reach, [=](int i, uint8_t squared) {
      const double gain = bid[i], moving = step * squared, side = upper[i];
      bid[i] = side > 0 ? -kInfinity : gain - moving;
      ask[i] = side > 0 ? gain + moving : kInfinity;
    });
    return clear(team, n);
  }

  // At the price, the number of bids above it is the number of asks below it: so many bids as there
  // are lie at the price or below, asks counted in. Bids below all asks and asks above all bids
  // don't matter.
  template <typename Team>
  PUZZLEMIX_HD double clear(Team& team, int n) const {
    double* const bid = bid_;
    const double* const ask = ask_;
    const double most_bid = team.reduce(n, -kInfinity, [=](int i) { return bid[i]; }, Most());
    const double least_ask = team.reduce(n, kInfinity, [=](int i) { return ask[i]; }, Least());
    if (most_bid <= least_ask) return Most()(most_bid, 0.0);
    const int bids = team.reduce(n, 0, [=](int i) { return bid[i] > least_ask ? 1 : 0; }, Sum());
    team.step(n, [=](int i) {
      const double asked = ask[i] < most_bid ? ask[i] : kInfinity;
      bid[i] = bid[i] > least_ask ? bid[i] : asked;
    });
    return select_value(team, n, bids - 1, bid);
  }

  template <typename Team>
  PUZZLEMIX_HD static void raise(Team& team, const Blocks& sample, const Step& taken, double* price,
                                 double* least) {
    const Blocks blocks = sample;
    const Step step = taken;
    const double slope = step.rise / (step.high - step.low);
    const double* const w = blocks.weight();
    team.step(blocks.cells(), [=](int i) {
      const double between = w[i] > step.low ? (w[i] - step.low) * slope : 0;
      price[i] += w[i] >= step.high ? step.rise : between;
      const double offer = step.least - blocks.worth_of(i, step.high);
      least[i] = offer < least[i] ? offer : least[i];
    });
  }

  NearestAcross across_;
  uint8_t* upper_;  // by cell: the side of the step that it is on
  double *bid_, *ask_;
};

}  // namespace puzzlemix
