// Minimum-cost assignment by shortest augmenting paths (Jonker and Volgenant 1987) by a team of
// threads.
//
// Every column has a price, the dual variable; a row's reduced cost of a column is cost plus price.
// Complementary slackness: each row that has a column has one of least reduced cost. A row without
// a column gets one by a shortest path: it takes a column from another row, which takes another's,
// and so on to a free column, where each exchange costs the difference of reduced costs. Prices
// then rise so that complementary slackness holds again. At most n such paths make the assignment.
//
// A search labels columns with distances, in rounds. A round scans the labelled columns whose
// distance is within a margin of the least one, and improves every column by a path through each of
// these; a column that is improved is labelled again (as in Delta-stepping, Meyer and Sanders
// 2003). When a free column is nearer than all labelled ones, the distances below its own are
// final, as in Dijkstra's algorithm, which scans one column at a time. The margin adapts to how
// many columns a round scans. Phases a sample, against Dijkstra's: 360 instead of 890 for 256 rows
// of uniform costs, 1700 instead of 4100 for the distances of 256 random points, 1750 instead of
// 5300 for 16 x 16 blocks with xi = 0.01.
//
// Costs are integers in doubles, made at each access; an infinite one forbids a pair. There are at
// most as many rows as columns; where there are fewer, no price may exceed that of a free column.
//
// Range. Let finite costs lie in a range C, no first price be above P, and none of a free column
// above C. The nearest free column is no further than 2 C, as each is one exchange away; so no
// price exceeds the larger of P and (n + 2) C, and no distance the sum of both. C is below 2^32, n
// at most 2^12, P below 2^48 (the auction has at most 2^16 rounds): a key has room for 2^50. A key
// holds the distance, a bit for a column that has a row (so that free ones come first), and the
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

  // Before assign() or auction(), a phase of the caller's says of every column that it is free and
  // of every row that it has none, or that row i has column i, by one of these.
  PUZZLEMIX_HD void vacate(int column) const {
    row_[column] = kNobody;
    key_[column] = kNone;
  }
  PUZZLEMIX_HD void wait(int row) const { column_[row] = kNobody; }
  PUZZLEMIX_HD void stay(int i) const {
    row_[i] = column_[i] = static_cast<uint16_t>(i);
    key_[i] = kNone;
  }

  // The price of a column. At the first prices each row that has a column must have one of least
  // reduced cost.
  PUZZLEMIX_HD double& price(int column) const { return price_[column]; }
  // The row of a column and the column of a row, or kNobody.
  PUZZLEMIX_HD int row(int column) const { return row_[column]; }
  PUZZLEMIX_HD int column(int row) const { return column_[row]; }
  PUZZLEMIX_HD void set_row(int column, int row) const {
    row_[column] = static_cast<uint16_t>(row);
  }

  // Gives a column to each of the `count` rows in `waiting`, whose words it overwrites. costs(i, j)
  // is the cost of a pair. False if every assignment contains a forbidden pair.
  template <typename Team, typename Costs>
  PUZZLEMIX_HD bool assign(Team& team, const Costs& costs, int columns, const WaitingRows& waiting,
                           int count) const {
    double margin = kStart;
    for (int k = 0; k < count && margin != kNoPath; ++k) {
      margin = search(team, costs, columns, waiting.row[k], waiting.words, margin);
    }
    return margin != kNoPath;
  }

  // Gives free columns to the rows without one, whatever the costs, for the case that assign()
  // fails. One thread does it in one phase.
  template <typename Team>
  PUZZLEMIX_HD void fill(Team& team, int rows) const {
    const DevicePaths self = *this;
    team.for_each(1, [=](int) {
      int free = 0;
      for (int i = 0; i < rows; ++i) {
        if (self.column_[i] != kNobody) continue;
        while (self.row_[free] != kNobody) ++free;
        self.row_[free] = static_cast<uint16_t>(i);
        self.column_[i] = static_cast<uint16_t>(free);
      }
    });
  }

  // Rounds of an auction (Bertsekas 1988, with epsilon 0): every waiting row bids for its best
  // column what that gains over its second best one, and the highest bidder takes it. Complementary
  // slackness stays, and a bid raises the highest price by at most C. Prices only rise, so no old
  // bid wins. Ends when the number of waiting rows hasn't fallen for kPatience rounds, and returns
  // that number.
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
  static constexpr double kBias = 1125899906842624.0;  // 2^50, added to distances in keys
  static constexpr double kFar = kBias / 2;
  static constexpr int kPatience = 10;
  // How many columns a round should scan, and the margin: 2^24 at first, 2^32 at most.
  static constexpr int kFewest = 8, kMost = 64;
  static constexpr double kStart = 16777216.0, kWidest = 4294967296.0;
  static constexpr double kNoPath = -1;  // instead of a margin, if a search finds no free column

  PUZZLEMIX_HD uint64_t key(double distance, int column) const {
    if (!(distance < kFar)) return kNone;
    const uint64_t taken = row_[column] == kNobody ? 0 : kTaken;
    return static_cast<uint64_t>(distance + kBias) << 13 | taken | static_cast<uint64_t>(column);
  }
  PUZZLEMIX_HD static double distance(uint64_t key) {
    return static_cast<double>(key >> 13) - kBias;
  }

  // Finds the shortest path from row `first` to a free column and augments along it. Returns the
  // margin for the next search; or kNoPath, and then neither prices nor the assignment have
  // changed.
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
    team.for_each(n, [=](int j) {
      self.price_[j] +=
          Most()(length - distance(self.key_[j]), 0.0);  // prices of free columns stay
      if (j == end) self.augment(first, end);
    });
    return margin;
  }

  // Augments along the path that ends at a free column: each row on it takes the next column.
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

  // A row's least and second least keys.
  struct BestTwo {
    uint64_t best, second;
  };
  struct MergeBestTwo {
    PUZZLEMIX_HD BestTwo operator()(BestTwo a, BestTwo b) const {
      if (b.best < a.best) return {b.best, Least()(a.best, b.second)};
      return {a.best, Least()(b.best, a.second)};
    }
  };

  // A bid is a key that is the lower, the higher the price: atomic_min keeps the highest bid.
  template <typename Team, typename Costs>
  PUZZLEMIX_HD void bid(Team& team, const Costs& costs, int n, const WaitingRows& waiting,
                        int slots) const {
    const DevicePaths self = *this;
    const Costs cost = costs;
    const WaitingRows slot = waiting;
    team.rows(
        slots, n, BestTwo{kNone, kNone},
        [=](int s, int j) {
          const int row = slot.row[s];
          if (row == kNobody) return BestTwo{kNone, kNone};
          return BestTwo{self.key(cost(row, j) + self.price_[j], j), kNone};
        },
        MergeBestTwo(),
        [=](int s, BestTwo two) {
          slot.proposed[s] = kNobody;
          if (two.best == kNone) return;
          const int column = static_cast<int>(two.best & kColumn);
          const double advantage =
              two.second == kNone ? 0 : distance(two.second) - distance(two.best);
          if ((two.best & kTaken) != 0 && advantage == 0) return;
          slot.proposed[s] = static_cast<uint16_t>(column);
          const double price = self.price_[column] + advantage;
          Team::atomic_min(self.key_ + column, static_cast<uint64_t>(kBias - price) << 12 |
                                                   static_cast<uint64_t>(slot.row[s]));
        });
  }

  // The highest bidders take their columns at the prices that they bid. Returns how many rows wait.
  template <typename Team>
  PUZZLEMIX_HD int sell(Team& team, const WaitingRows& waiting, int slots) const {
    const DevicePaths self = *this;
    const WaitingRows slot = waiting;
    return team.reduce(
        slots, 0,
        [=](int s) {
          uint16_t& row = slot.row[s];
          if (row == kNobody) return 0;
          const int column = slot.proposed[s];
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
  uint64_t* key_;     // by column, of the shortest path found; in the auction, of the highest bid
  uint16_t* row_;     // by column, its row
  double* dual_;      // by scanned column, the reduced cost of its row there minus the distance
  uint16_t* from_;    // by column, the row before it on the shortest path found
  uint16_t* column_;  // by row, its column
  bool* labelled_;    // by column, whether it is to be scanned: improved since it last was
};

}  // namespace puzzlemix
