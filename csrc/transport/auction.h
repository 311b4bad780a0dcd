// The auction with scaling (Bertsekas 1988): an assignment of least total cost in about 40 to 80
// bids a row, whatever the costs.
//
// Shortest paths are faster on most inputs, but may have to look at all of the matrix for every row
// that they assign: N^3 on costs such as i * j. Here a row without a column scans its costs once,
// takes the cheapest column at the current prices, and raises the price by its advantage over the
// second cheapest plus epsilon; whoever had the column bids again. That gives a total within
// N * epsilon of the least. Prices found with a large epsilon make the bids with an eighth of it
// few, and with N * epsilon < 1 an assignment of integer costs is optimal.
//
// Bids a row (N = 256 / 1024): i * j 50 / 77, random points in a plane 35 / 50, rank one 77 / 84,
// where shortest paths scan 128 / 512, 14 / 28, 127 / 511.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "interrupt.h"
#include "transport/lanes.h"

namespace puzzlemix {

class Auction {
 public:
  // n >= 2 rows; `rows` has fill(i, costs), which writes n integers below 2^33 in magnitude.
  // `price` [n] is where to start from, and row [n] is the result, by column.
  template <typename Rows>
  void assign(int n, Rows& rows, std::vector<double>& price, std::vector<int>& row) {
    n_ = n;
    costs_.assign(Lanes::padded(n), kInfinity);
    price.resize(Lanes::padded(n));
    // Powers of two, so that prices are exact: multiples of the last one, below 2^40.
    double epsilon = kLast;
    for (const double range = this->range(rows); 16 * epsilon <= range;) epsilon *= 2;
    for (; epsilon > kLast; epsilon = std::max(kLast, epsilon / 8))
      round(rows, epsilon, price, row);
    round(rows, kLast, price, row);
  }

 private:
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();
  static constexpr double kLast = 1.0 / 8192;  // times 4096 rows is less than 1

  struct Offer {
    int column;
    double cost, second;  // price included
  };

  template <typename Rows>
  double range(Rows& rows) {
    double widest = 0;
    for (int i = 0; i < n_; ++i) {
      rows.fill(i, costs_.data());
      const auto ends = std::minmax_element(costs_.begin(), costs_.begin() + n_);
      widest = std::max(widest, *ends.second - *ends.first);
    }
    return widest;
  }

  template <typename Rows>
  void round(Rows& rows, double epsilon, std::vector<double>& price, std::vector<int>& row) {
    row.assign(n_, -1);
    for (int i = 0; i < n_; ++i) {
      for (int bidder = i; bidder >= 0;) {
        const Offer offer = best(rows, bidder, price.data());
        price[offer.column] += offer.second - offer.cost + epsilon;
        std::swap(bidder, row[offer.column]);
        patience_.spend(n_);
      }
    }
  }

  // The cheapest column of a row, and the cost of the second cheapest.
  template <typename Rows>
  Offer best(Rows& rows, int i, const double* price) {
    rows.fill(i, costs_.data());
    const double* costs = costs_.data();
    double second[Lanes::kCount];
    for (double& s : second) s = kInfinity;
    Lanes lanes;
    for (double& l : lanes.least) l = kInfinity;
    for (int j = 0; j < static_cast<int>(costs_.size()); j += Lanes::kCount) {
      for (int l = 0; l < Lanes::kCount; ++l) {
        const double x = costs[j + l] + price[j + l];
        const double loser = x > lanes.least[l] ? x : lanes.least[l];
        lanes.least[l] = x < lanes.least[l] ? x : lanes.least[l];
        second[l] = loser < second[l] ? loser : second[l];
      }
    }
    Offer offer;
    offer.cost = lanes.minimum();
    offer.column = lanes.find(offer.cost, [=](int j) { return costs[j] + price[j]; });
    // The second cheapest is another lane's cheapest or this lane's second.
    const int lane = offer.column % Lanes::kCount;
    lanes.least[lane] = second[lane];
    offer.second = lanes.minimum();
    return offer;
  }

  int n_ = 0;
  std::vector<double> costs_;
  Patience patience_;
};

}  // namespace puzzlemix
