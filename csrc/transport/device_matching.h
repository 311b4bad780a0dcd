// Deferred acceptance for a team (see deferred_acceptance.h for what that finds), in rounds.
//
// A round has two phases. Every waiting row looks for its best column among those that would take
// it, given what columns hold, and puts its bid there by atomic_min; then the column's best bidder
// takes it and leaves its slot to whoever held it. A bid is the cost as an integer of the same
// order with the row in its lowest 12 bits, which are free in every type but float64; that takes a
// phase more, in which bidders of equal costs find the lowest row.
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

// Integers in the order of finite doubles and infinity; 0 and -0 are one.
PUZZLEMIX_HD inline uint64_t ordered_bits(double x) {
  const double number = x + 0.0;
  uint64_t bits;
  memcpy(&bits, &number, sizeof bits);
  return bits >> 63 != 0 ? ~bits : bits | uint64_t{1} << 63;
}

class DeviceMatching {
 public:
  // short_costs: costs have 41 significant bits at most.
  PUZZLEMIX_HD DeviceMatching(Arena& arena, int64_t rows, int64_t columns, bool short_costs)
      : held_(arena.take<uint64_t>(columns)),
        bid_(arena.take<uint64_t>(columns)),
        holder_(arena.take<uint16_t>(columns)),
        waiting_(arena, rows, rows),
        ties_(short_costs ? nullptr : arena.take<uint64_t>(columns)) {}

  // A phase that comes first says of every row and column that the row waits, that the column is
  // free, or that row i holds column i.
  PUZZLEMIX_HD void wait(int row) const { waiting_.row[row] = static_cast<uint16_t>(row); }
  PUZZLEMIX_HD void vacate(int column) const { hold(column, kFree, kNobody); }
  PUZZLEMIX_HD void stay(int i, double cost) const {
    hold(i, key(cost, i), static_cast<uint16_t>(i));
    waiting_.row[i] = kNobody;
  }

  // `rows` has cost(i, j), and propose(team, slots, matching), a phase in which the row of each
  // of the `slots` proposes to its choice or withdraws. False where rows wait after `most` rounds.
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

  // Afterwards the row that has the column; kNobody: none.
  PUZZLEMIX_HD int row(int column) const { return holder_[column]; }
  PUZZLEMIX_HD void set_row(int column, int row) const {
    holder_[column] = static_cast<uint16_t>(row);
  }

  // For propose: the row in a slot (kNobody: none), what it bids, who would take that, and doing
  // it.
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
    waiting_.choice[slot] = static_cast<uint16_t>(column);
    Team::atomic_min(bid_ + column, key);
  }
  PUZZLEMIX_HD void withdraw(int slot) const { waiting_.row[slot] = kNobody; }

 private:
  static constexpr uint64_t kRow = 0xfff, kFree = ~uint64_t{0};

  PUZZLEMIX_HD void hold(int column, uint64_t key, uint16_t holder) const {
    held_[column] = bid_[column] = key;
    holder_[column] = holder;
    if (ties_ != nullptr) ties_[column] = kFree;
  }

  // Later rounds have lower numbers, so that nothing has to be cleared.
  template <typename Team, typename Rows>
  PUZZLEMIX_HD void break_ties(Team& team, const Rows& rows, int slots, int round) {
    const DeviceMatching self = *this;
    const Rows costs = rows;
    team.step(slots, [=](int s) {
      const int row = self.waiting_.row[s];
      if (row == kNobody) return;
      const int column = self.waiting_.choice[s];
      if (self.key(costs.cost(row, column), row) != self.bid_[column]) return;
      Team::atomic_min(self.ties_ + column,
                       (~static_cast<uint64_t>(round) << 12) | static_cast<uint64_t>(row));
    });
  }

  // Returns how many wait afterwards. A column whose best bid is an old one has its bidder.
  template <typename Team>
  PUZZLEMIX_HD int take(Team& team, int slots) {
    const DeviceMatching self = *this;
    const uint64_t* const best = ties_ != nullptr ? ties_ : bid_;
    return team.reduce(
        slots, 0,
        [=](int s) {
          uint16_t& row = self.waiting_.row[s];
          if (row == kNobody) return 0;
          const int column = self.waiting_.choice[s];
          if ((best[column] & kRow) != row) return 1;
          const uint16_t loser = self.holder_[column];
          self.holder_[column] = row;
          self.held_[column] = self.bid_[column];
          row = loser;
          return loser == kNobody ? 0 : 1;
        },
        Sum());
  }

  uint64_t *held_, *bid_;  // by column: the key of what it holds; of that or the best bid
  uint16_t* holder_;
  WaitingRows waiting_;
  uint64_t* ties_;
};

}  // namespace puzzlemix
