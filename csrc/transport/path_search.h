// Shortest augmenting paths (Jonker and Volgenant 1987) over rows that show their columns in
// stages, the cheap ones first.
//
// Assigning one more row is a Dijkstra search from it, over costs with prices, to the nearest free
// column. A row that is reached doesn't look at all its columns: it opens one stage, and waits in
// the queue for the distance at which its next stage could matter. A bound for every stage has to
// hold for good, and does, as prices only rise. The search ends when nothing in the queue can
// undercut the nearest free column reached. Distances are integers below 2^46, kept in doubles.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "interrupt.h"

namespace puzzlemix {

// Who has what, at which prices. Columns and rows need not be equally many.
struct Matching {
  std::vector<double> price;  // by column
  std::vector<int> row;       // by column; -1: free
  std::vector<int> column;    // by row; -1: none
  std::vector<double> dual;   // by row: what its column costs it, price included
};

// Gives the free column `target` to the row from which it was reached, that row's column to the
// next one, and so on back to `root`, which had none.
inline void augment_along_path(Matching& matching, const std::vector<int>& from, int target,
                               int root) {
  int column = target, row;
  do {
    row = from[column];
    matching.row[column] = row;
    std::swap(column, matching.column[row]);
  } while (row != root);
}

class PathSearch {
 public:
  void resize(int rows, int columns) {
    distance_.assign(columns, kInfinity);
    from_.resize(columns);
    base_.resize(rows);
    stage_.resize(rows);
  }

  // A column that no search may enter.
  void close(int column) { distance_[column] = -kInfinity; }
  void open(int column) { distance_[column] = kInfinity; }

  // Assigns a row that has no column, and changes prices so that all rows assigned have the
  // cheapest columns there are for them. `rows` has
  //   bound(row, stage): no column of this or a later stage costs the row less; infinity after the
  //     last stage;
  //   open(row, stage, *this): calls reach for every column of the stage that improves; false to
  //     give up, and so does assign, with nothing changed, also where no free column is in reach.
  template <typename Rows>
  bool assign(Rows& rows, Matching& matching, int root) {
    start();
    bool going = visit(rows, root, -kInfinity, 0);
    while (going && !queue_.empty()) {
      const Event event = pop();
      patience_.spend(32);
      if (event.distance >= limit_) break;
      if (event.row) {
        going = expand(rows, event.index, event.distance);
      } else if (distance_[event.index] == event.distance) {
        const int row = matching.row[event.index];
        going = visit(rows, row, event.distance, event.distance - matching.dual[row]);
      }
    }
    going = going && limit_ < kInfinity;
    if (going) raise_prices(matching, root);
    for (int column : reached_) distance_[column] = kInfinity;
    if (going) augment_along_path(matching, from_, target_, root);
    return going;
  }

  // What Rows::open calls: base() is the distance of the opened row, to which a column's cost is
  // added; where improves() says that this is less than the column's distance, reach() takes it.
  double base(int row) const { return base_[row]; }
  bool improves(int column, double distance) const {
    return (distance < distance_[column]) & (distance < limit_);
  }
  void reach(const Matching& matching, int row, int column, double distance) {
    if (distance_[column] == kInfinity) reached_.push_back(column);
    distance_[column] = distance;
    from_[column] = row;
    if (matching.row[column] >= 0) {
      push(distance, column);
    } else if (distance < limit_) {
      limit_ = distance;
      target_ = column;
    }
  }

 private:
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();
  static constexpr int kRow = 1 << 15;

  struct Event {
    double distance;
    int index;
    bool row;  // index is a row whose next stage is due; else a column
  };

  void start() {
    queue_.clear();
    reached_.clear();
    limit_ = kInfinity;
  }

  template <typename Rows>
  bool visit(Rows& rows, int row, double distance, double base) {
    base_[row] = base;
    stage_[row] = 0;
    return expand(rows, row, distance);
  }

  // Opens the stages that may hold a column at this distance, one at least, and queues the next.
  template <typename Rows>
  bool expand(Rows& rows, int row, double distance) {
    double bound;
    do {
      if (!rows.open(row, stage_[row], *this)) return false;
      bound = base_[row] + rows.bound(row, ++stage_[row]);
    } while (bound <= distance);
    if (bound < limit_) push(bound, kRow + row);
    return true;
  }

  // One integer to an event: distance * 2^16 + what it is.
  void push(double distance, int index) {
    queue_.push_back(static_cast<int64_t>(distance) * 0x10000 + index);
    std::push_heap(queue_.begin(), queue_.end(), std::greater<int64_t>());
  }
  Event pop() {
    const int64_t event = queue_.front();
    std::pop_heap(queue_.begin(), queue_.end(), std::greater<int64_t>());
    queue_.pop_back();
    const int index = static_cast<int>(event & 0xffff);
    return {static_cast<double>(event >> 16), index & (kRow - 1), index >= kRow};
  }

  void raise_prices(Matching& matching, int root) const {
    for (int column : reached_) {
      const double rise = limit_ - distance_[column];
      if (rise > 0) {
        matching.price[column] += rise;
        matching.dual[matching.row[column]] += rise;
      }
    }
    matching.dual[root] = limit_;
  }

  // By column.
  std::vector<double> distance_;
  std::vector<int> from_;  // the row from which it was reached
  // By row.
  std::vector<double> base_;
  std::vector<int> stage_;  // the next to open
  std::vector<int64_t> queue_;
  std::vector<int> reached_;  // columns
  double limit_ = 0;          // the distance of the nearest free column reached
  int target_ = -1;           // that column
  Patience patience_;
};

}  // namespace puzzlemix
