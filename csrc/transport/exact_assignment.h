// An assignment of least total cost, for a matrix of integers.
//
// Four steps, each for what the one before leaves over.
//
// Start: prices, in one pass over the costs. Where the cheapest columns of most rows differ, those
// rows have them and all prices are 0. Otherwise the prices take the columns' minima off, of the
// costs or of the costs less each row's minimum, whichever promises more on a sample of the rows:
// an offset of the rows spoils the first, an offset of the columns the second, a hundredfold.
//
// Bids (the augmenting row reduction of Jonker and Volgenant 1987): a row takes its cheapest column
// and raises the price by its advantage over the second cheapest; who had it bids next. A row bids
// from a list of its dozen cheapest columns and a bound on all others, which holds as prices only
// rise: a bid costs 30 ns, not a scan. 10 of 1024 rows with uniform costs are left over.
//
// Searches: shortest augmenting paths for these, over the same lists (path_search.h); a row scans
// all its columns only where the list doesn't do. Where that happens often, searches go over whole
// rows in arrays, without a queue.
//
// Auction: where searches have scanned every row 64 times and are not done (auction.h).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "interrupt.h"
#include "transport/auction.h"
#include "transport/lanes.h"
#include "transport/path_search.h"

namespace puzzlemix {

class ExactAssignment {
 public:
  // source[j] becomes the row of column j. `rows` has fill(i, costs), which writes n integers below
  // 2^33 in magnitude.
  template <typename Rows>
  void solve(int n, Rows& rows, int64_t* source) {
    resize(n);
    if (n > 1) {
      start(rows);
      bid(rows);
      if (!search(rows)) auction_.assign(n, rows, matching_.price, matching_.row);
    } else {
      matching_.row[0] = 0;
    }
    std::copy(matching_.row.begin(), matching_.row.end(), source);
  }

  // The same by an auction alone, for costs that are known to be hard.
  template <typename Rows>
  void solve_hard(int n, Rows& rows, int64_t* source) {
    resize(n);
    std::fill(matching_.price.begin(), matching_.price.end(), 0.0);
    auction_.assign(n, rows, matching_.price, matching_.row);
    std::copy(matching_.row.begin(), matching_.row.end(), source);
  }

  // For the searches over lists: stage 0 is the list, stage 1 all columns.
  template <typename Rows>
  struct Listed {
    double bound(int i, int stage) const {
      return stage == 1 ? self.rest_[i] : std::numeric_limits<double>::infinity();
    }
    bool open(int i, int stage, PathSearch& search) {
      return stage == 0 ? self.open_list(rows, i, search) : self.open_row(rows, i, search);
    }
    ExactAssignment& self;
    Rows& rows;
  };

 private:
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();
  static constexpr int kListed = 12;
  static constexpr int kUnlisted = -1;
  static constexpr int kBids = 4;        // a row
  static constexpr int kRowsOpened = 8;  // by a search over lists, before it gives up
  static constexpr int kGivenUp = 4;     // searches, before lists are given up
  static constexpr int kPatience = 48;   // scans a row, before searches are given up

  struct Entry {
    int column;
    double cost;
  };
  struct Offer {
    double first, second;  // the least costs, price included
    int column, other;     // the columns; -1: none listed
  };

  void resize(int n) {
    n_ = n;
    padded_ = Lanes::padded(n);
    costs_.assign(padded_, kInfinity);
    matching_.price.assign(padded_, 0.0);
    matching_.row.assign(n, -1);
    matching_.column.assign(n, -1);
    matching_.dual.resize(n);
    search_.resize(n, n);
    listed_.assign(n, kUnlisted);
    rest_.resize(n);
    lists_.resize(static_cast<size_t>(n) * kListed);
    candidates_.resize(n);
    minimum_.resize(n);
  }

  // ---- Start ----

  template <typename Rows>
  void start(Rows& rows) {
    std::vector<double>& by_cost = shifted_;
    std::vector<double>& by_advantage = distance_;
    by_cost.assign(padded_, kInfinity);
    by_advantage.assign(padded_, kInfinity);
    int assigned = 0;
    for (int i = 0; i < n_; ++i) {
      rows.fill(i, costs_.data());
      const double* costs = costs_.data();
      const auto cost = [=](int j) { return costs[j]; };
      const Lanes lanes = lane_minima(padded_, cost);
      const double least = minimum_[i] = lanes.minimum();
      // Ties are broken in favour of the diagonal, lest all rows take the same column.
      const int j = costs[i] == least ? i : lanes.find(least, cost);
      if (matching_.row[j] < 0) {
        give(i, j, least);
        ++assigned;
      }
      lower(by_cost.data(), costs, 0);
      lower(by_advantage.data(), costs, least);
    }
    if (10 * assigned < 7 * n_) {
      std::fill(matching_.row.begin(), matching_.row.end(), -1);
      std::fill(matching_.column.begin(), matching_.column.end(), -1);
      const bool advantage = promise(rows, by_advantage) >= promise(rows, by_cost);
      const std::vector<double>& minima = advantage ? by_advantage : by_cost;
      for (int j = 0; j < n_; ++j) matching_.price[j] = -minima[j];
    }
    waiting_.clear();
    for (int i = 0; i < n_; ++i) {
      if (matching_.column[i] < 0) waiting_.push_back(i);
    }
    // The order in which rows keep what they got: on costs where all want the same columns, half
    // the work. Elsewhere it makes no difference.
    std::sort(waiting_.begin(), waiting_.end(), [this](int a, int b) {
      return minimum_[a] < minimum_[b] || (minimum_[a] == minimum_[b] && a < b);
    });
  }

  void lower(double* __restrict minima, const double* __restrict costs, double least) const {
    for (int j = 0; j < padded_; ++j) {
      const double x = costs[j] - least;
      minima[j] = x < minima[j] ? x : minima[j];
    }
  }

  // The value of the dual problem with these prices, from a sample of the rows.
  template <typename Rows>
  double promise(Rows& rows, const std::vector<double>& minima) {
    const int step = std::max(1, n_ / 16);
    double sampled = 0;
    int count = 0;
    for (int i = 0; i < n_; i += step, ++count) {
      rows.fill(i, costs_.data());
      const double *costs = costs_.data(), *minimum = minima.data();
      const int n = n_;
      sampled += lane_minima(padded_, [=](int j) {
                   return j < n ? costs[j] - minimum[j] : kInfinity;
                 }).minimum();
    }
    return sampled / count * n_ + std::accumulate(minima.begin(), minima.begin() + n_, 0.0);
  }

  void give(int i, int j, double dual) {
    matching_.row[j] = i;
    matching_.column[i] = j;
    matching_.dual[i] = dual;
  }

  // ---- Bids ----

  // Leaves in waiting_ the rows without a column.
  template <typename Rows>
  void bid(Rows& rows) {
    left_.clear();
    int bids = kBids * n_;
    for (size_t next = 0; next < waiting_.size(); ++next) {
      int i = waiting_[next];
      while (i >= 0 && --bids >= 0) {
        const Offer offer = best_offer(rows, i);
        const double second = std::min(offer.second, rest_[i]);
        const bool pays = second > offer.first;
        const bool tied = !pays && offer.second == offer.first;
        const int j = tied && matching_.row[offer.column] >= 0 ? offer.other : offer.column;
        const int loser = matching_.row[j];
        if (pays) matching_.price[j] += second - offer.first;
        give(i, j, pays ? second : offer.first);
        if (loser >= 0) matching_.column[loser] = -1;
        i = loser;
        // Without a price to keep it off, it could only take the column back at once.
        if (!pays && loser >= 0) {
          waiting_.push_back(loser);
          i = -1;
        }
      }
      if (i >= 0) left_.push_back(i);
    }
    waiting_.swap(left_);
  }

  template <typename Rows>
  Offer best_offer(Rows& rows, int i) {
    if (listed_[i] == kUnlisted) list(rows, i);
    Offer offer = best_listed(i);
    if (offer.first > rest_[i]) {
      list(rows, i);
      offer = best_listed(i);
    }
    return offer;
  }

  // On a tie, a free column goes first.
  Offer best_listed(int i) const {
    Offer offer{kInfinity, kInfinity, -1, -1};
    const Entry* entries = &lists_[static_cast<size_t>(i) * kListed];
    for (int k = 0; k < listed_[i]; ++k) {
      const int j = entries[k].column;
      const double cost = entries[k].cost + matching_.price[j];
      const bool tied = cost == offer.first && matching_.row[j] < 0;
      if (cost < offer.first || (tied && matching_.row[offer.column] >= 0)) {
        offer = {cost, offer.first, j, offer.column};
      } else if (cost < offer.second) {
        offer.second = cost;
        offer.other = j;
      }
    }
    return offer;
  }

  // Lists the cheapest columns of a row at the current prices, and leaves in costs_ what all of
  // them cost. The bound: the ninth smallest of 32 lanes' minima, which is quick to find and below
  // which there are at least eight columns, though seldom many more.
  template <typename Rows>
  void list(Rows& rows, int i) {
    rows.fill(i, costs_.data());
    double* costs = costs_.data();
    const double* price = matching_.price.data();
    const Lanes lanes = lane_minima(padded_, [=](int j) { return costs[j] += price[j]; });
    constexpr int kBound = kListed * 3 / 4;
    Lanes sorted = lanes;
    std::nth_element(sorted.least, sorted.least + kBound - 1, sorted.least + Lanes::kCount);
    rest_[i] = n_ > kListed ? sorted.least[kBound - 1] : kInfinity;
    int count = gather(lanes, rest_[i]);
    int* found = candidates_.data();
    if (count > kListed) {
      std::nth_element(found, found + kListed, found + count, [costs](int a, int b) {
        return costs[a] < costs[b] || (costs[a] == costs[b] && a < b);
      });
      rest_[i] = costs[found[kListed]];
      count = kListed;
    }
    if (count < kListed / 2) count = gather_ties(i, rest_[i], count);
    Entry* entries = &lists_[static_cast<size_t>(i) * kListed];
    for (int k = 0; k < count; ++k) entries[k] = {found[k], costs[found[k]] - price[found[k]]};
    listed_[i] = count;
  }

  int gather(const Lanes& lanes, double bound) {
    int count = 0;
    for (int l = 0; l < Lanes::kCount; ++l) {
      if (lanes.least[l] >= bound) continue;
      for (int j = l; j < n_; j += Lanes::kCount) {
        candidates_[count] = j;
        count += costs_[j] < bound;
      }
    }
    return count;
  }

  // Free columns first, and from the diagonal on, lest all rows list the same.
  int gather_ties(int i, double bound, int count) {
    for (const bool taken : {false, true}) {
      for (int k = 0; k < n_ && count < kListed; ++k) {
        const int j = i + k < n_ ? i + k : i + k - n_;
        if (costs_[j] == bound && (matching_.row[j] >= 0) == taken) candidates_[count++] = j;
      }
    }
    return count;
  }

  // ---- Searches ----

  // False if they take too long.
  template <typename Rows>
  bool search(Rows& rows) {
    Listed<Rows> listed{*this, rows};
    int given_up = 0;
    scans_ = 0;
    for (int i : waiting_) {
      rows_opened_ = 0;
      if (given_up < kGivenUp && search_.assign(listed, matching_, i)) continue;
      ++given_up;
      if (scans_ > kPatience * n_) return false;
      scan(rows, i);
    }
    return true;
  }

  template <typename Rows>
  bool open_list(Rows& rows, int i, PathSearch& search) {
    if (listed_[i] == kUnlisted) list(rows, i);
    const double base = search.base(i);
    const Entry* entries = &lists_[static_cast<size_t>(i) * kListed];
    for (int k = 0; k < listed_[i]; ++k) {
      const int j = entries[k].column;
      const double distance = base + entries[k].cost + matching_.price[j];
      if (search.improves(j, distance)) search.reach(matching_, i, j, distance);
    }
    return true;
  }

  // A list that doesn't do is out of date: a new one comes with the scan.
  template <typename Rows>
  bool open_row(Rows& rows, int i, PathSearch& search) {
    if (++rows_opened_ > kRowsOpened) return false;
    list(rows, i);
    const double base = search.base(i);
    for (int j = 0; j < n_; ++j) {
      if (search.improves(j, base + costs_[j])) search.reach(matching_, i, j, base + costs_[j]);
    }
    return true;
  }

  // The search over whole rows. A column's key is 4096 * its distance + the row that it was reached
  // from, and half a unit less if it is free, so that a free column wins a tie.
  template <typename Rows>
  void scan(Rows& rows, int root) {
    distance_.assign(padded_, kInfinity);
    shifted_.assign(padded_, kInfinity);
    for (int j = 0; j < n_; ++j) {
      shifted_[j] = 4096 * matching_.price[j] - (matching_.row[j] < 0 ? 2048 : 0);
    }
    from_.resize(n_);
    settled_.clear();
    double limit, base = 0;
    for (int i = root, j;; i = matching_.row[j], base = limit - matching_.dual[i]) {
      ++scans_;
      patience_.spend(n_);
      rows.fill(i, costs_.data());
      double key = relax(4096 * base + i, j);
      const bool free = matching_.row[j] < 0;
      if (free) key += 2048;
      limit = std::floor(key / 4096);
      from_[j] = static_cast<int>(key - 4096 * limit);
      if (free) {
        for (const Entry& entry : settled_) {
          const double rise = limit - entry.cost;
          matching_.price[entry.column] += rise;
          matching_.dual[matching_.row[entry.column]] += rise;
        }
        matching_.dual[root] = limit;
        augment_along_path(matching_, from_, j, root);
        return;
      }
      settled_.push_back({j, limit});
      distance_[j] = shifted_[j] = kInfinity;
    }
  }

  // Lowers the keys to costs_ + shifted_ + shift; returns the least one and where it is.
  double relax(double shift, int& column) {
    const double *costs = costs_.data(), *shifted = shifted_.data();
    double* __restrict distance = distance_.data();
    const Lanes lanes = lane_minima(padded_, [=](int j) {
      const double key = costs[j] * 4096 + shifted[j] + shift;
      return distance[j] = key < distance[j] ? key : distance[j];
    });
    const double least = lanes.minimum();
    column = lanes.find(least, [=](int j) { return distance[j]; });
    return least;
  }

  int n_ = 0, padded_ = 0;
  Matching matching_;
  PathSearch search_;
  Auction auction_;
  std::vector<double> costs_;        // of the row at hand
  std::vector<double> minimum_;      // of each row
  std::vector<int> waiting_, left_;  // rows without a column
  // Lists.
  std::vector<Entry> lists_;  // [n, kListed]
  std::vector<int> listed_;   // entries of each list, or kUnlisted
  std::vector<double> rest_;  // bounds the costs of all other columns from below
  std::vector<int> candidates_;
  int rows_opened_ = 0;
  // Searches over whole rows.
  std::vector<double> distance_, shifted_;
  std::vector<int> from_;
  std::vector<Entry> settled_;  // columns and their distances
  int scans_ = 0;
  Patience patience_;
};

}  // namespace puzzlemix
