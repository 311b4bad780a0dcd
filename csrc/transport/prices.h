// The first dual prices of the exact block transport, for every team: a price p(w) for all places
// of weight w. Blocks whose own place is the cheapest at these prices satisfy complementary
// slackness and stay. Whatever the prices, the answer is exact; with good ones few blocks are left
// to assign.
//
// The difference of the prices of two neighbouring levels of weight is the one that clears the
// market: as many blocks at the lower level would pay it to move to the nearest place of the upper
// level as blocks of the upper level would rather have the money and leave. (The price that leaves
// the fewest blocks to assign leaves them all on one side; each of them then changes the price of a
// whole group in a search over all of it, which takes ten times the work at xi = 0.01.)
//
// Where there are two levels and nobody would pay what another one wants, a price in between proves
// that every block stays: with masks from cuts and xi = 0.8, seven samples of eight at 16x16, half
// of them at 32x32.
#pragma once

#include <cmath>
#include <cstring>

#include "transport/blocks.h"

namespace puzzlemix {

// The squared distance of every cell to the nearest cell of the other of two classes: a distance
// transform in two passes, one along columns and one along rows (Felzenszwalb and Huttenlocher
// 2012). A pass takes minima over a window of `reach` cells; on bytes, sixteen an instruction, that
// beats their linear-time scan. 16 x 16 with reach 3 takes 0.4 us.
class NearestAcross {
 public:
  static constexpr int kReach = 7;
  // Stands for no cell found. kFar + 2 * kReach^2 still fits a byte.
  static constexpr uint8_t kFar = 128;

  PUZZLEMIX_HD NearestAcross(Arena& arena, int height, int width) : height_(height), width_(width) {
    const int64_t bytes = Planes(height, width, kReach).bytes();
    marks_ = arena.take<uint8_t>(bytes);
    rows_ = arena.take<uint8_t>(bytes);
  }

  // Calls look(i, the squared distance of cell i) in the last of 3 + 2 * reach phases. upper(i):
  // kFar for a cell of the upper class, 0 for one of the lower. Cells more than `reach` rows or
  // columns away are not found; without any nearer one the result is larger than 2 * kReach^2.
  template <typename Team, typename Upper, typename Look>
  PUZZLEMIX_HD void find(Team& team, const Upper& upper, int reach, Look look) const {
    const Planes planes(height_, width_, reach);
    uint8_t *const marks = marks_, *const rows = rows_;
    team.for_each(planes.bytes(), [=](int t) { marks[t] = kFar; });
    team.for_each(planes.bytes(), [=](int t) { rows[t] = kFar; });
    // The first plane is 0 at cells of the lower class, the second at those of the upper.
    const int width = width_, stride = planes.stride, plane = planes.size;
    uint8_t* const first = marks + planes.margin;
    team.for_each(height_, width, [=](int y, int x) {
      const uint8_t mark = upper(y * width + x);
      first[y * stride + x] = mark;
      first[plane + y * stride + x] = mark ^ kFar;
    });
    spread(team, planes, marks, rows, reach, stride);
    spread(team, planes, rows, marks, reach, 1);
    team.for_each(height_, width, [=](int y, int x) {
      const int to_lower = first[y * stride + x], to_upper = first[plane + y * stride + x];
      look(y * width + x, to_lower + to_upper);  // one of them is 0
    });
  }

 private:
  // Two planes of bytes, with `reach` columns between rows and `reach` rows between, before and
  // after the planes, which hold kFar: so windows need no check for the border.
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
    team.for_each(2 * planes.size,
                  [=](int t) { to[t] = shorter(from[t], from[t - apart], from[t + apart], 1); });
    for (int q = 2; q <= reach; ++q) {
      const int away = q * apart;
      const uint8_t along = static_cast<uint8_t>(q * q);
      team.for_each(2 * planes.size,
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
        bid_(arena.take<double>(height * width)),
        ask_(arena.take<double>(height * width)) {}

  // Sets `price` of every place, integers, and for every block `least`, a lower bound on price
  // minus worth over all places. p(w) is computed at levels of weight and linear between them.
  // Returns false, with nothing set, if every block stays: where all weights are equal, and where
  // there are two of them and no bid exceeds an ask.
  template <typename Team>
  PUZZLEMIX_HD bool set(Team& team, const Blocks& sample, double* price, double* least) const {
    const Blocks blocks = sample;
    if (blocks.lightest() == blocks.heaviest()) return false;
    const int n = blocks.cells(), count = count_levels(team, blocks);
    const bool each = count > 0;  // whether every weight is a level
    const int levels = each ? count : kLevels;
    // A bound taken at the levels holds between them, where p and the worth are linear, but for the
    // rounding of either.
    const double slack = each ? 0 : 2;
    double low = blocks.lightest(), level = 0;
    for (int k = 1; k < levels; ++k) {
      const double high = k == levels - 1 ? blocks.heaviest()
                          : each          ? next_weight(team, blocks, low)
                                          : spaced_level(blocks, k);
      const Market market = meet(team, blocks, low, high);
      if (count == 2 && market.complete && !market.trades()) return false;
      if (k == 1) {
        team.for_each(n, [=](int i) {
          price[i] = 0;
          least[i] = -slack - blocks.worth_of(i, low);
        });
      }
      const double rise = clearing_price(team, n, market);
      level += rise;
      raise(team, blocks, {low, high, rise, level - slack}, price, least);
      low = high;
    }
    team.for_each(n, [=](int i) { price[i] = round_even(price[i]); });
    return true;
  }

 private:
  static constexpr int kLevels = 9;

  // The rise of the price from a level of weight `low` to the next, `high`.
  struct Rise {
    double low, high, amount, least;  // least: a lower bound on the price of the upper level
  };

  // The number of different weights, or 0 if there are more than kLevels.
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
    return lightest + (heaviest - lightest) * k / (kLevels - 1);
  }

  // What blocks of the lower half between two levels would pay to move to the nearest place of the
  // upper half, and blocks of the upper half want for leaving to the nearest place of the lower.
  struct Market {
    PUZZLEMIX_HD bool trades() const { return most_bid > least_ask; }

    double most_bid, least_ask;
    bool complete;  // whether no bid or ask is off for a distance that wasn't found
  };

  template <typename Team>
  PUZZLEMIX_HD Market meet(Team& team, const Blocks& sample, double low, double high) const {
    const Blocks blocks = sample;
    const int n = blocks.cells();
    double *const bid = bid_, *const ask = ask_;
    const double *const w = blocks.weight(), move_cost = blocks.move_cost();
    team.for_each(n, [=](int i) {
      const double worth = blocks.worth_of(i, high);
      const double gain = low > 0 ? worth - blocks.worth_of(i, low) : worth;
      const bool upper = w[i] - low > high - w[i];
      bid[i] = upper ? -kInfinity : gain;
      ask[i] = upper ? gain : kInfinity;
    });
    const double most_gain = team.reduce(n, 0.0, [=](int i) { return bid[i]; }, Most());
    const double least_gain = team.reduce(n, kInfinity, [=](int i) { return ask[i]; }, Least());
    // What is left to pay for moves when one block moves by one already.
    const Market nearest{most_gain - move_cost, least_gain + move_cost, true};
    if (!nearest.trades()) return nearest;
    const double affordable = sqrt((most_gain - nearest.least_ask) / move_cost);
    constexpr double kLimit = NearestAcross::kReach;
    const int reach = static_cast<int>(Most()(1.0, Least()(affordable, kLimit)));
    // The sign of a bid, without a comparison, as these turn no doubles into bytes in vectors.
    const auto upper = [=](int i) {
      uint64_t bits;
      memcpy(&bits, &bid[i], sizeof bits);
      return static_cast<uint8_t>(bits >> 56 & NearestAcross::kFar);
    };
    across_.find(team, upper, reach, [=](int i, int squared) {
      bid[i] -= move_cost * squared;
      ask[i] += move_cost * squared;
    });
    return {
        team.reduce(
            n, -kInfinity, [=](int i) { return bid[i]; }, Most()),
        team.reduce(n, kInfinity, [=](int i) { return ask[i]; }, Least()), affordable < kLimit + 1};
  }

  // The price at which the number of bids above it equals the number of asks below it: among the
  // bids and asks together, the one whose rank is the number of bids. Bids below all asks and asks
  // above all bids are left out.
  template <typename Team>
  PUZZLEMIX_HD double clearing_price(Team& team, int n, const Market& given) const {
    const Market market = given;
    if (!market.trades()) return Most()(market.most_bid, 0.0);
    double* const bid = bid_;
    const double* const ask = ask_;
    const int bids =
        team.reduce(n, 0, [=](int i) { return bid[i] > market.least_ask ? 1 : 0; }, Sum());
    team.for_each(n, [=](int i) {
      const double asked = ask[i] < market.most_bid ? ask[i] : kInfinity;
      bid[i] = bid[i] > market.least_ask ? bid[i] : asked;
    });
    return select_value(team, n, bids - 1, bid);
  }

  template <typename Team>
  PUZZLEMIX_HD static void raise(Team& team, const Blocks& sample, const Rise& given, double* price,
                                 double* least) {
    const Blocks blocks = sample;
    const Rise rise = given;
    const double slope = rise.amount / (rise.high - rise.low);
    const double* const w = blocks.weight();
    team.for_each(blocks.cells(), [=](int i) {
      const double between = w[i] > rise.low ? (w[i] - rise.low) * slope : 0;
      price[i] += w[i] >= rise.high ? rise.amount : between;
      const double offer = rise.least - blocks.worth_of(i, rise.high);
      least[i] = offer < least[i] ? offer : least[i];
    });
  }

  NearestAcross across_;
  double *bid_, *ask_;
};

}  // namespace puzzlemix
