// Shortest augmenting paths for a team (Jonker and Volgenant 1987), each found in rounds.
//
// A round takes the labelled columns whose distance is within a margin of the least one, and offers
// every column its way through each of these; a column that is improved is labelled again. When a
// free column is nearer than all labelled ones, the distances below its own are final, as in
// Dijkstra's algorithm, which takes one column at a time. The margin follows from how many columns
// rounds take. Phases a sample, of both: 360 and 890 for 256 rows of uniform costs, 1700 and 4100
// for the distances of 256 random points, 1750 and 5300 for 16 x 16 blocks with xi = 0.01.
//
// Costs are integers in doubles, made on the fly; an infinite one forbids a pair. There are at most
// as many rows as columns; where there are fewer, no price is to be above that of a free column.
//
// With finite costs in a range C, no first price above P
// and none of a free column above C, the nearest free column is no further than 2 C, as each is one
// step away; so no price exceeds the larger of P and (n + 2) C, and no distance the sum of both.
// C is below 2^32, n at most 2^12 and P below 2^48 (the auction has at most 2^16 rounds): a key has
// room for 2^50. It holds the distance, whether the column is taken (free ones come first), and the
// column.
#pragma once

#include "transport/device_waiting.h"

namespace puzzlemix {

class DevicePaths {
 public:
  PUZZLEMIX_HD DevicePaths(Arena& arena, int64_t rows, int64_t columns)
      : price_(arena.take<double>(columns)),
        key_(arena.take<uint64_t>(columns)),
        row_(arena.take<uint16_t>(columns)),
        dual_(arena.take<double>(columns)),
        from_(arena.take<uint16_t>(columns)),
        column_(arena.take<uint16_t>(rows)),
        labelled_(arena.take<bool>(columns)) {}

  // A phase that comes first says of every row and column that the column is free, that the row has
  // none, or that row i has column i.
  PUZZLEMIX_HD void vacate(int column) const {
    row_[column] = kNobody;
    key_[column] = kNone;
  }
  PUZZLEMIX_HD void wait(int row) const { column_[row] = kNobody; }
  PUZZLEMIX_HD void stay(int i) const {
    row_[i] = column_[i] = static_cast<uint16_t>(i);
    key_[i] = kNone;
  }

  // What a column costs beyond the matrix: each row has to have the cheapest column, or none.
  PUZZLEMIX_HD double& price(int column) const { return price_[column]; }
  // Who has what; kNobody: none.
  PUZZLEMIX_HD int row(int column) const { return row_[column]; }
  PUZZLEMIX_HD int column(int row) const { return column_[row]; }
  PUZZLEMIX_HD void set_row(int column, int row) const {
    row_[column] = static_cast<uint16_t>(row);
  }

  // `costs` is called with a row and a column. Overwrites the words of `waiting`. False where no
  // assignment has room for all rows.
  template <typename Team, typename Costs>
  PUZZLEMIX_HD bool assign(Team& team, const Costs& costs, int columns, const WaitingRows& waiting,
                           int count) const {
    double margin = kStart;
    for (int k = 0; k < count && margin != kNoPath; ++k) {
      margin = search(team, costs, columns, waiting.row[k], waiting.words, margin);
    }
    return margin != kNoPath;
  }

  // Gives the rows without a column the first that are free, one phase by one thread.
  template <typename Team>
  PUZZLEMIX_HD void fill(Team& team, int rows) const {
    const DevicePaths self = *this;
    team.step(1, [=](int) {
      int free = 0;
      for (int i = 0; i < rows; ++i) {
        if (self.column_[i] != kNobody) continue;
        while (self.row_[free] != kNobody) ++free;
        self.row_[free] = static_cast<uint16_t>(i);
        self.column_[i] = static_cast<uint16_t>(free);
      }
    });
  }

  // An auction in which rows bid all they can, their advantage over the second best column: every
  // bid keeps the rows that have a column content, and raises the highest price by C at most. Bids
  // only rise, so an old one never wins. Ends when no fewer rows wait than kPatience rounds before;
  // returns how many that are.
  template <typename Team, typename Costs>
  PUZZLEMIX_HD int auction(Team& team, const Costs& costs, int rows, int columns,
                           WaitingRows& waiting) const {
    int slots = rows, left = rows;
    for (int stale = 0; left > 0 && stale < kPatience;) {
      bid(team, costs, columns, waiting, slots);
      const int now = sell(team, waiting, slots);
      stale = now < left ? 0 : stale + 1;
      left = now;
      if (WaitingRows::sparse(left, slots)) slots = waiting.gather(team, slots);
    }
    return left > 0 ? waiting.gather(team, slots) : 0;
  }

 private:
  static constexpr uint64_t kNone = ~uint64_t{0}, kColumn = 0xfff, kTaken = 0x1000;
  static constexpr double kBias = 1125899906842624.0;  // 2^50
  static constexpr double kFar = kBias / 2;
  static constexpr int kPatience = 10;
  // Columns that a round should take; the margins: 2^24 at first, 2^32 at most.
  static constexpr int kFewest = 8, kMost = 64;
  static constexpr double kStart = 16777216.0, kWidest = 4294967296.0;
  static constexpr double kNoPath = -1;  // a margin, where a search finds no free column

  PUZZLEMIX_HD uint64_t key(double distance, int column) const {
    if (!(distance < kFar)) return kNone;
    const uint64_t taken = row_[column] == kNobody ? 0 : kTaken;
    return static_cast<uint64_t>(distance + kBias) << 13 | taken | static_cast<uint64_t>(column);
  }
  PUZZLEMIX_HD static double distance(uint64_t key) {
    return static_cast<double>(key >> 13) - kBias;
  }

  // Returns the margin for the next search, or kNoPath, with nothing changed that matters.
  template <typename Team, typename Costs>
  PUZZLEMIX_HD double search(Team& team, const Costs& costs, int n, int first, uint32_t* words,
                             double margin) const {
    const DevicePaths self = *this;
    const Costs cost = costs;
    uint64_t nearest = team.reduce(
        n, kNone,
        [=](int j) {
          self.labelled_[j] = true;
          self.from_[j] = static_cast<uint16_t>(first);
          return self.key_[j] = self.key(cost(first, j) + self.price_[j], j);
        },
        Least());
    while ((nearest & kTaken) != 0) {
      if (nearest == kNone) return kNoPath;
      const double limit = distance(nearest) + margin;
      team.mask(n, words, [=](int j) {
        const double reached = distance(self.key_[j]);
        if (!self.labelled_[j] || self.row_[j] == kNobody || reached > limit) return false;
        self.labelled_[j] = false;
        self.dual_[j] = cost(self.row_[j], j) + self.price_[j] - reached;
        return true;
      });
      const int taken = bits_before(words, n);
      nearest = team.reduce(
          n, kNone,
          [=](int j) {
            const double price = self.price_[j];
            double least = kFar;
            uint16_t from = kNobody;
            for_each_bit(words, n, [&](int column) {
              const uint16_t row = self.row_[column];
              const double reached = cost(row, j) + price - self.dual_[column];
              if (reached >= least) return;
              least = reached;
              from = row;
            });
            const uint64_t key = self.key(least, j);
            if (key < self.key_[j]) {
              self.key_[j] = key;
              self.from_[j] = from;
              self.labelled_[j] = true;
            }
            return self.labelled_[j] ? self.key_[j] : kNone;
          },
          Least());
      if (taken > kMost) margin = margin / 2;
      if (taken < kFewest && margin < kWidest) margin = margin * 2;
    }
    const double length = distance(nearest);
    const int end = static_cast<int>(nearest & kColumn);
    team.step(n, [=](int j) {
      self.price_[j] += Most()(length - distance(self.key_[j]), 0.0);  // of no free column
      if (j == end) self.augment(first, end);
    });
    return margin;
  }

  // The rows of a path move on by a column each.
  PUZZLEMIX_HD void augment(int first, int end) const {
    int column = end, row;
    do {
      row = from_[column];
      const int left = column_[row];
      row_[column] = static_cast<uint16_t>(row);
      column_[row] = static_cast<uint16_t>(column);
      column = left;
    } while (row != first);
  }

  struct Offer {
    uint64_t best, second;
  };
  struct BetterOffers {
    PUZZLEMIX_HD Offer operator()(Offer a, Offer b) const {
      if (b.best < a.best) return {b.best, Least()(a.best, b.second)};
      return {a.best, Least()(b.best, a.second)};
    }
  };

  // The higher the price, the lower the key.
  template <typename Team, typename Costs>
  PUZZLEMIX_HD void bid(Team& team, const Costs& costs, int n, const WaitingRows& waiting,
                        int slots) const {
    const DevicePaths self = *this;
    const Costs cost = costs;
    const WaitingRows slot = waiting;
    team.rows(
        slots, n, Offer{kNone, kNone},
        [=](int s, int j) {
          const int row = slot.row[s];
          if (row == kNobody) return Offer{kNone, kNone};
          return Offer{self.key(cost(row, j) + self.price_[j], j), kNone};
        },
        BetterOffers(),
        [=](int s, Offer offer) {
          slot.choice[s] = kNobody;
          if (offer.best == kNone) return;
          const int column = static_cast<int>(offer.best & kColumn);
          const double advantage =
              offer.second == kNone ? 0 : distance(offer.second) - distance(offer.best);
          if ((offer.best & kTaken) != 0 && advantage == 0) return;
          slot.choice[s] = static_cast<uint16_t>(column);
          const double price = self.price_[column] + advantage;
          Team::atomic_min(self.key_ + column, static_cast<uint64_t>(kBias - price) << 12 |
                                                   static_cast<uint64_t>(slot.row[s]));
        });
  }

  template <typename Team>
  PUZZLEMIX_HD int sell(Team& team, const WaitingRows& waiting, int slots) const {
    const DevicePaths self = *this;
    const WaitingRows slot = waiting;
    return team.reduce(
        slots, 0,
        [=](int s) {
          uint16_t& row = slot.row[s];
          if (row == kNobody) return 0;
          const int column = slot.choice[s];
          if (column == kNobody || (self.key_[column] & kColumn) != row) return 1;
          const uint16_t loser = self.row_[column];
          self.price_[column] = kBias - static_cast<double>(self.key_[column] >> 12);
          self.row_[column] = row;
          self.column_[row] = static_cast<uint16_t>(column);
          if (loser != kNobody) self.column_[loser] = kNobody;
          row = loser;
          return loser == kNobody ? 0 : 1;
        },
        Sum());
  }

  double* price_;
  uint64_t* key_;  // of the nearest way to each column; in the auction, of the best bid
  uint16_t* row_;  // of each column
  double* dual_;   // what the row of a column pays, less the distance
  uint16_t *from_, *column_;
  bool* labelled_;
};

}  // namespace puzzlemix
