// Deferred acceptance by a team of threads, in rounds (Gale and Shapley 1962; deferred_acceptance.h
// explains it).
//
// A round has two phases. In the first, every waiting row looks for its best column among those
// that would accept it, given what columns hold, and puts its bid there by atomic_min. In the
// second, the best bidder of a column takes it, and the row that held it waits in the bidder's
// slot. A bid is the cost, as an integer of the same order, with the row in its lowest 12 bits;
// these are free in every type but float64, which needs a third phase, in which bidders of equal
// costs find the lowest row.
//
// Rows with uniform costs take 8 rounds (N = 64) to 14 (N = 4096), blocks with masks like those of
// cuts one to three (xi = 0.8), or 30 (xi = 0.01, 16 x 16). The most are N, where all rows agree on
// the columns, as with costs -i*j. No input takes more, as both sides prefer by one number: put the
// pairs of the matching in the order of (cost, row, column). Once those before a pair hold for
// good, its row is refused by all cheaper columns, and its column has no better bidder; so if the
// row waits, it gets the column in the next round, and if it doesn't, it has it. A round in which a
// row waits thus settles one pair of this order at least.
#pragma once

#include <cstring>

#include "transport/device_waiting.h"

namespace puzzlemix {

// An integer for each double but NaN, in the same order; 0 and -0 give the same one.
PUZZLEMIX_HD inline uint64_t ordered_bits(double x) {
  const double number = x + 0.0;
  uint64_t bits;
  memcpy(&bits, &number, sizeof bits);
  return bits >> 63 != 0 ? ~bits : bits | uint64_t{1} << 63;
}

class DeviceMatching {
 public:
  // short_costs: the 12 lowest bits of every cost's mantissa are 0.
  PUZZLEMIX_HD DeviceMatching(Arena& arena, int64_t rows, int64_t columns, bool short_costs)
      : held_(arena.take<uint64_t>(columns)),
        bid_(arena.take<uint64_t>(columns)),
        holder_(arena.take<uint16_t>(columns)),
        waiting_(arena, rows, rows),
        ties_(short_costs ? nullptr : arena.take<uint64_t>(columns)) {}

  // Before solve(), a phase of the caller's says of every row that it waits and of every column
  // that it is free, or that column i holds row i, by one of these.
  PUZZLEMIX_HD void wait(int row) const { waiting_.row[row] = static_cast<uint16_t>(row); }
  PUZZLEMIX_HD void vacate(int column) const { hold(column, kFree, kNobody); }
  PUZZLEMIX_HD void stay(int i, double cost) const {
    hold(i, key(cost, i), static_cast<uint16_t>(i));
    waiting_.row[i] = kNobody;
  }

  // Finds the matching; `waiting` rows are in the first `slots` slots. `rows` has cost(i, j), and
  // propose(team, slots, matching), a phase in which the row of each slot calls bid() or
  // withdraw(). False where rows still wait after `most` rounds.
  template <typename Team, typename Rows>
  PUZZLEMIX_HD bool solve(Team& team, const Rows& rows, int slots, int waiting, int most) {
    for (int round = 0; waiting > 0; ++round) {
      if (round == most) return false;
      if (WaitingRows::sparse(waiting, slots)) slots = waiting_.gather(team, slots);
      rows.propose(team, slots, *this);
      if (ties_ != nullptr) break_ties(team, rows, slots, round);
      waiting = take(team, slots);
    }
    return true;
  }

  // After solve(), the row that has the column, or kNobody.
  PUZZLEMIX_HD int row(int column) const { return holder_[column]; }
  PUZZLEMIX_HD void set_row(int column, int row) const {
    holder_[column] = static_cast<uint16_t>(row);
  }

  // For `rows.propose`: the row in a slot, or kNobody; the bid of a row for a cost; whether a
  // column accepts a bid; and placing it.
  PUZZLEMIX_HD int waiting(int slot) const { return waiting_.row[slot]; }
  PUZZLEMIX_HD uint64_t key(double cost, int row) const {
    const uint64_t bits = ordered_bits(cost);
    return ties_ != nullptr ? bits : (bits & ~kRow) | static_cast<uint64_t>(row);
  }
  PUZZLEMIX_HD bool accepts(int column, uint64_t key, int row) const {
    return key < held_[column] || (key == held_[column] && row < holder_[column]);
  }
  template <typename Team>
  PUZZLEMIX_HD void bid(int slot, int column, uint64_t key) const {
    waiting_.proposed[slot] = static_cast<uint16_t>(column);
    Team::atomic_min(bid_ + column, key);
  }
  // The row stays without a column: none accepts it.
  PUZZLEMIX_HD void withdraw(int slot) const { waiting_.row[slot] = kNobody; }

 private:
  static constexpr uint64_t kRow = 0xfff, kFree = ~uint64_t{0};

  PUZZLEMIX_HD void hold(int column, uint64_t key, uint16_t holder) const {
    held_[column] = bid_[column] = key;
    holder_[column] = holder;
    if (ties_ != nullptr) ties_[column] = kFree;
  }

  // The third phase of a round where costs leave no room for the row: ties_ becomes the lowest row
  // among the best bidders of a column. Later rounds write smaller numbers, so nothing is cleared.
  template <typename Team, typename Rows>
  PUZZLEMIX_HD void break_ties(Team& team, const Rows& rows, int slots, int round) {
    const DeviceMatching self = *this;
    const Rows costs = rows;
    team.for_each(slots, [=](int s) {
      const int row = self.waiting_.row[s];
      if (row == kNobody) return;
      const int column = self.waiting_.proposed[s];
      if (self.key(costs.cost(row, column), row) != self.bid_[column]) return;
      Team::atomic_min(self.ties_ + column,
                       (~static_cast<uint64_t>(round) << 12) | static_cast<uint64_t>(row));
    });
  }

  // The second phase of a round: the best bidders take their columns. Returns how many rows still
  // wait. Where the best bid is from an earlier round, the column holds that bidder already.
  template <typename Team>
  PUZZLEMIX_HD int take(Team& team, int slots) {
    const DeviceMatching self = *this;
    const uint64_t* const best = ties_ != nullptr ? ties_ : bid_;
    return team.reduce(
        slots, 0,
        [=](int s) {
          uint16_t& row = self.waiting_.row[s];
          if (row == kNobody) return 0;
          const int column = self.waiting_.proposed[s];
          if ((best[column] & kRow) != row) return 1;
          const uint16_t loser = self.holder_[column];
          self.holder_[column] = row;
          self.held_[column] = self.bid_[column];
          row = loser;
          return loser == kNobody ? 0 : 1;
        },
        Sum());
  }

  uint64_t *held_, *bid_;  // by column, the bid of the row that it holds, and the best bid so far
  uint16_t* holder_;       // by column, the row that it holds
  WaitingRows waiting_;
  uint64_t* ties_;  // by column, ~round << 12 | the lowest row of equal bids; null for short costs
};

}  // namespace puzzlemix
