// The first prices of the exact block transport for a team: one price p(w) for all places of weight
// w, as in block_prices.h. Levels are the lightest weight and then the next that is at least an
// eighth of the range heavier, and p is linear between levels. Any prices would do; with these few
// blocks have to be assigned. 7 phases for an indicator, 6 more for each further level.
#pragma once

#include <limits>

#include "transport/team_blocks.h"

namespace puzzlemix {

class TeamPrices {
 public:
  // spare: memory that nobody else uses meanwhile.
  PUZZLEMIX_HD TeamPrices(Arena& arena, int64_t n, double* spare)
      : least_(arena.take<double>(n)), offer_(spare) {}

  // price: of every place, all integers.
  template <typename Team>
  PUZZLEMIX_HD void set(Team& team, const TeamBlocks& sample, double* price) const {
    const TeamBlocks blocks = sample;
    const int n = blocks.cells();
    double* const least = least_;
    double low = blocks.lightest(), level = 0;
    const double most = blocks.heaviest(), spacing = (most - low) / kSteps;
    team.step(n, [=](int i) {
      price[i] = 0;
      least[i] = -blocks.worth_of(i, low);
    });
    while (low < most) {
      const double high = team.reduce(
          n, most,
          [=](int j) {
            const double w = blocks.weight(j);
            return w > low && w >= low + spacing ? w : most;
          },
          Least());
      const double rise = clearing_price(team, blocks, low, high);
      level += rise;
      team.step(n, [=](int i) {
        const double w = blocks.weight(i);
        const double between = w > low ? (w - low) * (rise / (high - low)) : 0;
        const double sum = price[i] + (w >= high ? rise : between);
        price[i] = high < most ? sum : round_even(sum);
        least[i] = Least()(least[i], level - blocks.worth_of(i, high));
      });
      low = high;
    }
  }

  // Whether no place would cost the block less than its own.
  PUZZLEMIX_HD bool happy(const TeamBlocks& blocks, const double* price, int i) const {
    const double dual = price[i] - blocks.worth_at_home(i);
    // Between levels, p and the worth are linear but for their roundings: 2 in all.
    const double bound = least_[i] - 2;
    const int last = blocks.last_ring(i);
    bool best = true;
    for (int r = 1; best && r <= last && blocks.step() * (r * r) + bound < dual; ++r) {
      blocks.ring(i, r, [&](int j, int) { best = best && blocks(i, j) + price[j] >= dual; });
    }
    return best;
  }

 private:
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();
  static constexpr int kSteps = 8, kReach = 7;

  PUZZLEMIX_HD static bool above(const TeamBlocks& blocks, int i, double low, double high) {
    return blocks.weight(i) - low > high - blocks.weight(i);
  }

  // What a block below would pay at most for crossing to the nearest place above, and one above
  // would ask for at least to leave for the nearest below; infinite if that is too far.
  PUZZLEMIX_HD static double offer(const TeamBlocks& blocks, int i, double low, double high) {
    const double gain = blocks.worth_of(i, high) - blocks.worth_of(i, low);
    const bool leaves = above(blocks, i, low, high);
    const int last = Least()(kReach, blocks.last_ring(i));
    int nearest = kFar;
    for (int r = 1; r <= last && r * r < nearest; ++r) {
      if (!leaves && gain <= blocks.step() * (r * r)) break;
      blocks.ring(i, r, [&](int j, int squared) {
        if (above(blocks, j, low, high) != leaves) nearest = Least()(nearest, squared);
      });
    }
    const double moving = nearest < kFar ? blocks.step() * nearest : kInfinity;
    return leaves ? gain + moving : gain - moving;
  }

  // The price at which as many blocks below would pay for crossing as blocks above would leave: so
  // many bids as there are lie at it or below, asks counted in. Bids below all asks and asks above
  // all bids don't matter.
  template <typename Team>
  PUZZLEMIX_HD double clearing_price(Team& team, const TeamBlocks& sample, double low,
                                     double high) const {
    const TeamBlocks blocks = sample;
    const int n = blocks.cells();
    double* const offers = offer_;
    const double most_bid = team.reduce(
        n, -kInfinity,
        [=](int i) {
          offers[i] = offer(blocks, i, low, high);
          return above(blocks, i, low, high) ? -kInfinity : offers[i];
        },
        Most());
    const double least_ask = team.reduce(
        n, kInfinity, [=](int i) { return above(blocks, i, low, high) ? offers[i] : kInfinity; },
        Least());
    if (!(most_bid > least_ask)) return Most()(most_bid, 0.0);
    const int bids = team.reduce(
        n, 0,
        [=](int i) {
          const bool asks = above(blocks, i, low, high);
          if (asks ? offers[i] < most_bid : offers[i] > least_ask) return asks ? 0 : 1;
          offers[i] = kInfinity;
          return 0;
        },
        Sum());
    return team.reduce(
        n, -kInfinity,
        [=](int i) {
          const double mine = offers[i];
          if (mine == kInfinity) return -kInfinity;
          int before = 0;
          for (int k = 0; k < n; ++k) {
            before += offers[k] < mine || (offers[k] == mine && k < i) ? 1 : 0;
          }
          return before == bids - 1 ? mine : -kInfinity;
        },
        Most());
  }

  static constexpr int kFar = 1 << 20;

  double* least_;  // bounds the price less worth of any place from below, by block
  double* offer_;
};

}  // namespace puzzlemix
