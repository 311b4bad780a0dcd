// An assignment of least total cost, for a small matrix of integers (Jonker and Volgenant 1987).
//
// All of it is kept, shifted so that every column's cheapest cost is 0. Rows take their cheapest
// columns; those that find theirs taken bid for one; shortest augmenting paths do the rest. No
// lists, no queue: up to 128 rows a pass over a row takes less time than to avoid it (a fifth of
// exact_assignment.h's at 16 rows, a sixth at 8).
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace puzzlemix {

class SmallAssignment {
 public:
  static constexpr int kMost = 128;  // rows

  // source[j] becomes the row of column j. `rows` has fill(i, costs), which writes n integers below
  // 2^33 in magnitude.
  template <typename Rows>
  void solve(int n, const Rows& rows, int64_t* source) {
    n_ = n;
    padded_ = (n + kLanes - 1) / kLanes * kLanes;
    costs_.assign(static_cast<size_t>(n) * padded_, kInfinity);
    std::fill_n(price_, padded_, kInfinity);
    std::fill_n(row_, n, -1);
    for (int i = 0; i < n; ++i) {
      rows.fill(i, costs(i));
      lower(price_, costs(i));
    }
    // A column's price is what it takes off its costs; the padding's stays 0, its costs infinite.
    std::fill(price_ + n, price_ + padded_, 0.0);
    take();
    bid();
    for (int i : waiting_) augment(i);
    std::copy_n(row_, n, source);
  }

 private:
  static constexpr int kLanes = 8;
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();

  // The least and the second least cost of a row, prices off, and where the least is.
  struct Offer {
    double first, second;
    int column;
  };

  double* costs(int i) { return costs_.data() + static_cast<size_t>(i) * padded_; }

  void lower(double* __restrict minima, const double* __restrict costs) const {
    for (int j = 0; j < padded_; ++j) minima[j] = costs[j] < minima[j] ? costs[j] : minima[j];
  }

  Offer best(int i) {
    const double* const cost = costs(i);
    double first[kLanes], second[kLanes];
    std::fill_n(first, kLanes, kInfinity);
    std::fill_n(second, kLanes, kInfinity);
    for (int j = 0; j < padded_; j += kLanes) {
      for (int l = 0; l < kLanes; ++l) {
        const double x = cost[j + l] - price_[j + l];
        const double more = x > first[l] ? x : first[l];
        first[l] = x < first[l] ? x : first[l];
        second[l] = more < second[l] ? more : second[l];
      }
    }
    for (int half = kLanes / 2; half > 0; half /= 2) {
      for (int l = 0; l < half; ++l) {
        const double a = first[l], b = first[l + half];
        const double more = a < b ? b : a, rest = std::min(second[l], second[l + half]);
        first[l] = a < b ? a : b;
        second[l] = more < rest ? more : rest;
      }
    }
    int j = 0;
    while (cost[j] - price_[j] != first[0]) ++j;
    return {first[0], second[0], j};
  }

  void give(int i, int j, double cost) {
    row_[j] = i;
    column_[i] = j;
    cost_[i] = cost;
  }

  // Each row in turn has its cheapest column, if that is free; the others wait.
  void take() {
    waiting_.clear();
    for (int i = 0; i < n_; ++i) {
      const Offer offer = best(i);
      int j = offer.column;
      // Of equals a free one.
      if (row_[j] >= 0 && offer.second == offer.first) j = free_column(i, offer.first, j);
      if (row_[j] < 0) {
        give(i, j, offer.first);
      } else {
        waiting_.push_back(i);
      }
    }
  }

  int free_column(int i, double least, int otherwise) {
    const double* const cost = costs(i);
    for (int j = otherwise + 1; j < n_; ++j) {
      if (row_[j] < 0 && cost[j] - price_[j] == least) return j;
    }
    return otherwise;
  }

  // Waiting rows raise what they want by its advantage over the second best, and who had it bids
  // next. Those that a price doesn't help, or for whom there are no bids left, go on waiting.
  void bid() {
    left_.clear();
    int bids = 4 * n_;
    for (size_t next = 0; next < waiting_.size(); ++next) {
      for (int i = waiting_[next]; i >= 0;) {
        if (--bids < 0) {
          left_.push_back(i);
          break;
        }
        const Offer offer = best(i);
        int j = offer.column;
        const bool pays = offer.second > offer.first;
        if (!pays && row_[j] >= 0) j = free_column(i, offer.first, j);
        const int loser = row_[j];
        if (!pays && loser >= 0) {
          // Without a price to keep it off, the loser could only take the column back.
          left_.push_back(i);
          break;
        }
        price_[j] -= offer.second - offer.first;
        give(i, j, offer.second);
        i = loser;
      }
    }
    waiting_.swap(left_);
  }

  // The shortest path from a row without a column to a free column, by Dijkstra's algorithm.
  void augment(int root) {
    int count = 0;
    std::fill_n(distance_, padded_, kInfinity);
    std::copy_n(price_, padded_, search_price_);
    double limit, base = 0;
    int i = root, j;
    while (true) {
      limit = relax(i, base, j);
      if (row_[j] < 0) break;
      scanned_[count++] = j;
      reached_[j] = limit;
      i = row_[j];
      base = limit - cost_[i];
      // At a price of -infinity no way to a scanned column is shorter.
      search_price_[j] = -kInfinity;
      distance_[j] = kInfinity;
    }
    for (int k = 0; k < count; ++k) {
      const double rise = limit - reached_[scanned_[k]];
      price_[scanned_[k]] -= rise;
      cost_[row_[scanned_[k]]] += rise;
    }
    cost_[root] = limit;
    // Augments along the path.
    int row;
    do {
      row = from_[j];
      row_[j] = row;
      std::swap(j, column_[row]);
    } while (row != root);
  }

  // Lowers the distances by way of row i, whose column is `base` away; the least one of those that
  // are not scanned, and its column, a free one if there is a choice.
  double relax(int i, double base, int& column) {
    const double* __restrict const cost = costs(i);
    const double* __restrict const price = search_price_;
    double* __restrict const distance = distance_;
    double least[kLanes];
    std::fill_n(least, kLanes, kInfinity);
    for (int j = 0; j < padded_; j += kLanes) {
      for (int l = 0; l < kLanes; ++l) {
        const double x = cost[j + l] - price[j + l] + base;
        improved_[j + l] = x < distance[j + l];
        const double shorter = x < distance[j + l] ? x : distance[j + l];
        distance[j + l] = shorter;
        least[l] = shorter < least[l] ? shorter : least[l];
      }
    }
    for (int j = 0; j < n_; ++j) from_[j] = improved_[j] ? i : from_[j];
    const double nearest = *std::min_element(least, least + kLanes);
    column = -1;
    for (int j = 0; j < n_; ++j) {
      if (distance[j] == nearest && (column < 0 || row_[column] >= 0)) column = j;
    }
    return nearest;
  }

  int n_ = 0, padded_ = 0;
  std::vector<double> costs_;  // [n, padded]
  std::vector<int> waiting_, left_;
  // By column.
  double price_[kMost], search_price_[kMost], distance_[kMost], reached_[kMost];
  int row_[kMost], from_[kMost], scanned_[kMost];
  int32_t improved_[kMost];
  // By row.
  int column_[kMost];
  double cost_[kMost];  // what its column costs it, price off
};

}  // namespace puzzlemix
