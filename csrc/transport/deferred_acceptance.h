// Deferred acceptance (Gale and Shapley 1962): the proposer-optimal stable matching of rows and
// columns, where both prefer the cheaper entry and, on a tie, the lower index.
//
// A row proposes to its best column. A column holds the best proposal that it has had so far and
// rejects any other, whose row then proposes to its next column. When every row is held, or has
// proposed to all columns, no row and column prefer each other to what they have: the matching is
// stable, and every row has the best column that it has in any stable matching.
//
// The order of proposals doesn't matter (McVitie and Wilson 1971), so rows propose one at a time,
// and only where they will be accepted: one vectorised scan of a row's costs, compared with what
// each column holds, finds its best column among those that would accept it. A uniform random
// matrix takes 1.4 to 1.5 scans a row (N = 256 to 4096); proposing down the list and being rejected
// would take log N proposals.
//
// Complexity. What a column holds only gets better, so a row's proposals go down its list. A row
// that has been scanned O(log N) times gets its columns sorted, and from then on walks down that
// order. So no input takes more than O(N^2 log N), where scans alone take N^3 on costs such as
// -i*j.
//
// Costs are read where the caller has them. Should another thread change them meanwhile, the result
// is meaningless but still a matching: every loop is bounded, and a row that finds no column takes
// one that is free.
//
// If there are more rows than columns, some rows end up without one. A pair that an infinite cost
// forbids is the last choice of both.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "interrupt.h"

namespace puzzlemix {

// An integer type for indices, or double, as wide as a cost: loops that compare both then
// vectorise.
template <typename T>
struct IndexFor {
  using type = int32_t;
};
template <>
struct IndexFor<double> {
  using type = double;
};

template <typename T>
class DeferredAcceptance {
 public:
  struct Proposal {
    int column;  // -1 if no column accepts the row
    T cost;
  };

  // Begins a matching in which all rows and columns are free.
  void reset(int rows, int columns) {
    start(rows, columns);
    cost_.assign(columns, kTop);
    row_.assign(columns, static_cast<Index>(rows));
  }

  // Begins a matching in which column i holds row i, at cost[i].
  void reset_to_identity(const std::vector<T>& cost) {
    const int n = static_cast<int>(cost.size());
    start(n, n);
    cost_ = cost;
    row_.resize(n);
    for (int j = 0; j < n; ++j) row_[j] = static_cast<Index>(j);
  }

  void vacate(int column) {
    cost_[column] = kTop;
    row_[column] = static_cast<Index>(rows_);
  }

  // The row that a column holds, or the number of rows if it is free.
  int row(int column) const { return static_cast<int>(row_[column]); }

  bool accepts(int column, T cost, int row) const {
    return cost < cost_[column] ||
           (cost == cost_[column] && static_cast<Index>(row) < row_[column]);
  }

  // Makes the column hold the row; returns the row that it rejects, or the number of rows if none.
  int seat(int row, Proposal proposal) {
    const int leaver = this->row(proposal.column);
    cost_[proposal.column] = proposal.cost;
    row_[proposal.column] = static_cast<Index>(row);
    return leaver;
  }

  // The row's best column among those that accept it. `rows` has row(i), a pointer to a row's
  // costs, and at(i, j), one cost.
  template <typename Rows>
  Proposal choose(Rows& rows, int row) {
    patience_.spend(columns_);
    if (scans_[row] < 0) return walk(rows, row);
    if (++scans_[row] <= most_scans_) return scan(rows.row(row), row);
    sort(rows.row(row), row);
    return walk(rows, row);
  }

 private:
  using Index = typename IndexFor<T>::type;
  static constexpr T kTop = std::numeric_limits<T>::has_infinity
                                ? std::numeric_limits<T>::infinity()
                                : std::numeric_limits<T>::max();
  static constexpr int kBlock = 256;

  void start(int rows, int columns) {
    rows_ = rows;
    columns_ = columns;
    scans_.assign(rows, 0);
    most_scans_ = 4;
    for (int m = columns; m > 1; m /= 2) most_scans_ += 4;
    sorted_rows_ = 0;
  }

  Proposal scan(const T* costs, int row) const {
    // First the block of columns that has the best one, then the column within that block.
    int first = -1;
    T least = kTop;
    for (int begin = 0; begin < columns_; begin += kBlock) {
      const T best = least_accepted(costs, begin, std::min(begin + kBlock, columns_), row);
      if (best < least || first < 0) {
        least = best;
        first = begin;
      }
    }
    // A cost may equal kTop, the value of columns that don't accept: so ask whether this one does.
    for (int column = first; column < columns_; ++column) {
      if (costs[column] == least && accepts(column, least, row)) return {column, least};
    }
    return any_free();
  }

  Proposal any_free() const {
    const auto free = std::find(row_.begin(), row_.end(), static_cast<Index>(rows_));
    return {free == row_.end() ? -1 : static_cast<int>(free - row_.begin()), kTop};
  }

  // The lowest cost among the columns of a block that accept the row; kTop if there is none.
  T least_accepted(const T* costs, int begin, int end, int row) const {
    T value[kBlock];
    const T* held = cost_.data() + begin;
    const Index* holder = row_.data() + begin;
    const Index self = static_cast<Index>(row);
    costs += begin;
    const int count = end - begin;
    for (int j = 0; j < count; ++j) {
      const T cost = costs[j];
      const T tied = self < holder[j] ? cost : kTop;
      const T accepted = cost == held[j] ? tied : kTop;
      value[j] = cost < held[j] ? cost : accepted;
    }
    int width = 1;
    while (width < count) width *= 2;
    for (int j = count; j < width; ++j) value[j] = kTop;
    for (int half = width / 2; half > 0; half /= 2) {
      for (int j = 0; j < half; ++j) value[j] = std::min(value[j], value[j + half]);
    }
    return value[0];
  }

  void sort(const T* costs, int row) {
    const size_t slot = static_cast<size_t>(sorted_rows_++);
    if (order_.size() < (slot + 1) * columns_) order_.resize((slot + 1) * columns_);
    uint16_t* order = order_.data() + slot * columns_;
    for (int j = 0; j < columns_; ++j) order[j] = static_cast<uint16_t>(j);
    // A copy without NaNs: with NaNs, or values that another thread changes, the order would be
    // inconsistent, and std::sort might run beyond the ends.
    sorted_.assign(costs, costs + columns_);
    for (T& cost : sorted_) cost = cost == cost ? cost : kTop;
    const T* keys = sorted_.data();
    std::sort(order, order + columns_,
              [keys](int a, int b) { return keys[a] < keys[b] || (keys[a] == keys[b] && a < b); });
    scans_[row] = -1 - static_cast<int>(slot);
    if (next_.size() <= slot) next_.resize(slot + 1);
    next_[slot] = 0;
  }

  template <typename Rows>
  Proposal walk(Rows& rows, int row) {
    const size_t slot = static_cast<size_t>(-1 - scans_[row]);
    const uint16_t* order = order_.data() + slot * columns_;
    while (next_[slot] < columns_) {
      const int column = order[next_[slot]++];
      const T cost = rows.at(row, column);
      if (accepts(column, cost, row)) return {column, cost};
    }
    return any_free();
  }

  int rows_ = 0, columns_ = 0;
  std::vector<T> cost_;     // by column, the cost of the row that it holds
  std::vector<Index> row_;  // by column, the row that it holds; rows_: none
  std::vector<int> scans_;  // by row, the number of its scans, or -1 - its slot once it is sorted
  int most_scans_ = 0;      // how many scans a row gets before it is sorted
  size_t sorted_rows_ = 0;
  std::vector<uint16_t> order_;  // [slot, columns], the columns of a sorted row by rising cost
  std::vector<int> next_;        // [slot], how many columns of that order have been tried
  std::vector<T> sorted_;        // the costs of the row that is being sorted
  Patience patience_;
};

}  // namespace puzzlemix
