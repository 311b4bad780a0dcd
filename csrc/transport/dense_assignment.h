// The exact assignment of a dense matrix, by shortest augmenting paths (Jonker and Volgenant,
// Computing 1987): column reduction, augmenting row reduction, then one Dijkstra search for each
// row that is still free. Costs are integers held as doubles: below 2^53 their arithmetic is exact,
// and comparisons vectorise without SSE4. O(n^3) at worst.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

namespace puzzlemix {

class DenseAssignment {
 public:
  // cost [n, n], integers of less than 2^40. source[j] is the row of column j.
  void solve(const double* cost, int n, int64_t* source) {
    cost_ = cost;
    n_ = n;
    row_of_.assign(n, -1);
    column_of_.assign(n, -1);
    reduce_columns();
    for (int pass = 0; pass < 2 && !free_.empty(); ++pass) reduce_rows();
    for (const int row : free_) augment(row);
    std::copy(row_of_.begin(), row_of_.end(), source);
  }

 private:
  static constexpr double kTop = std::numeric_limits<double>::infinity();

  const double* row(int i) const { return cost_ + static_cast<int64_t>(i) * n_; }

  void match(int row, int column) {
    row_of_[column] = row;
    column_of_[row] = column;
  }

  // Prices: each column's cheapest entry, which its row takes if it has none yet.
  void reduce_columns() {
    price_.assign(row(0), row(0) + n_);
    cheapest_.assign(n_, 0);
    for (int i = 1; i < n_; ++i) {
      const double* costs = row(i);
      for (int j = 0; j < n_; ++j) {
        if (costs[j] < price_[j]) {
          price_[j] = costs[j];
          cheapest_[j] = i;
        }
      }
    }
    for (int j = n_; j-- > 0;) {
      if (column_of_[cheapest_[j]] < 0) match(cheapest_[j], j);
    }
    free_.clear();
    for (int i = 0; i < n_; ++i) {
      if (column_of_[i] < 0) free_.push_back(i);
    }
  }

  // Each free row takes its best column and lowers that column's price until its second best is as
  // good; the row that had the column goes on with its own best. The budget bounds long quarrels
  // over a few columns, which the searches settle at once.
  void reduce_rows() {
    still_free_.clear();
    int budget = 4 * n_;
    for (size_t k = 0; k < free_.size(); ++k) {
      int i = free_[k];
      while (i >= 0) {
        const auto [best, second, u1, u2] = two_best(i);
        int j = best;
        const bool lowered = u2 > u1;
        if (lowered) {
          price_[j] -= u2 - u1;
        } else if (row_of_[j] >= 0) {
          j = second;
        }
        const int leaver = row_of_[j];
        match(i, j);
        i = -1;
        if (leaver < 0) break;
        column_of_[leaver] = -1;
        if (lowered && --budget > 0) {
          i = leaver;
        } else {
          still_free_.push_back(leaver);
        }
      }
    }
    free_.swap(still_free_);
  }

  struct TwoBest {
    int best, second;
    double u1, u2;
  };

  TwoBest two_best(int i) const {
    const double* costs = row(i);
    TwoBest found{0, 0, kTop, kTop};
    for (int j = 0; j < n_; ++j) {
      const double u = costs[j] - price_[j];
      if (u >= found.u2) continue;
      if (u < found.u1) {
        found = {j, found.best, u, found.u1};
      } else {
        found.second = j;
        found.u2 = u;
      }
    }
    return found;
  }

  // Dijkstra from a free row to the nearest free column, over reduced costs.
  void augment(int start) {
    distance_.resize(n_);
    before_.assign(n_, start);
    columns_.resize(n_);
    std::iota(columns_.begin(), columns_.end(), 0);
    const double* costs = row(start);
    for (int j = 0; j < n_; ++j) distance_[j] = costs[j] - price_[j];
    // columns_: [0, low) settled, [low, high) at the present distance, the rest farther.
    int low = 0, high = 0, end = -1;
    int settled = 0;
    double reach = 0;
    while (end < 0) {
      if (low == high) {
        settled = low;
        reach = nearest(low, high);
        for (int k = low; k < high && end < 0; ++k) {
          if (row_of_[columns_[k]] < 0) end = columns_[k];
        }
        if (end >= 0) break;
      }
      end = relax(columns_[low++], reach, high);
    }
    for (int k = 0; k < settled; ++k) price_[columns_[k]] += distance_[columns_[k]] - reach;
    for (int j = end, i = -1; i != start;) {
      i = before_[j];
      const int next = column_of_[i];
      match(i, j);
      j = next;
    }
  }

  // Brings the nearest of the columns from `low` on to the front, up to the new `high`.
  double nearest(int low, int& high) {
    double least = kTop;
    for (int k = low; k < n_; ++k) {
      const double d = distance_[columns_[k]];
      if (d > least) continue;
      if (d < least) {
        least = d;
        high = low;
      }
      std::swap(columns_[k], columns_[high++]);
    }
    return least;
  }

  // Goes on from a settled column's row; the free column that it finds at this very distance, or
  // -1.
  int relax(int column, double reach, int& high) {
    const int i = row_of_[column];
    const double* costs = row(i);
    const double base = reach - (costs[column] - price_[column]);
    for (int k = high; k < n_; ++k) {
      const int j = columns_[k];
      const double d = base + costs[j] - price_[j];
      if (d >= distance_[j]) continue;
      distance_[j] = d;
      before_[j] = i;
      if (d > reach) continue;
      if (row_of_[j] < 0) return j;
      std::swap(columns_[k], columns_[high++]);
    }
    return -1;
  }

  const double* cost_ = nullptr;
  int n_ = 0;
  std::vector<double> price_, distance_;
  std::vector<int> row_of_, column_of_, cheapest_, free_, still_free_, before_, columns_;
};

}  // namespace puzzlemix
