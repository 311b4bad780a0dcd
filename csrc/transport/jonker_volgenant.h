// The linear assignment problem by shortest augmenting paths: R. Jonker and A. Volgenant, "A
// shortest augmenting path algorithm for dense and sparse linear assignment problems", Computing 38
// (1987).
//
// A matrix of whole costs with at most as many rows as columns is given; each row is to have a
// column of its own, at the least total. An infinite cost forbids a pair. O(rows^2 columns) at
// most; on random costs most of the time goes into reading the matrix.
//
// Prices. A column j has a price p[j], a row i that is assigned a dual u[i], what its column costs
// it, price included. Two conditions hold after every step:
//
//   complementary slackness:  u[i] = c[i, j] + p[j] <= c[i, k] + p[k]  for j the column of i, any k
//   free columns:             p[j] <= p[k]  for j free, any k, where columns outnumber rows
//
// Add the first up over the rows: the prices cancel against those of any other assignment of the
// same columns, and by the second no other columns do better. So once all rows are assigned, the
// assignment is optimal, and the prices are its certificate. The steps:
//
// Augmenting row reduction: a row bids for its cheapest column, that is takes it and raises its
// price by the advantage over the second cheapest; the row that had the column is evicted, and bids
// again when all that wait have done so. 13 of 1024 rows with uniform costs are left over.
//
// Column reduction, where every column will be taken and bids at prices of 0 evict many: prices
// take the columns' minima off, of the costs or of the costs less each row's minimum, whichever has
// the larger dual value on a sample of the rows: an offset of the rows spoils the first, an offset
// of the columns the second, a hundredfold. Then rows bid anew.
//
// Augmentation: from each row that is left, Dijkstra's algorithm over the reduced costs
// c[i, j] + p[j] - u[i], which are not negative, to the nearest free column. A row is scanned as a
// whole: all columns are compared with it in one pass. Shifting the rows along the path assigns one
// more, and the price of each column that is nearer rises by how much nearer it is.
//
// Cores, for more than 128 columns: A. Volgenant, "Linear and semi-assignment problems: a core
// oriented approach", Computers and Operations Research 23 (1996). A row keeps its dozen cheapest
// columns, and a bound on all others, which holds as prices only rise. A bid from the core costs
// 30 ns, not a scan, and searches (path_search.h) go beyond it only where it doesn't do.
//
// Auction with scaling: D. P. Bertsekas, "The auction algorithm: a distributed relaxation method
// for the assignment problem", Annals of Operations Research 14 (1988). It takes over where
// searches have scanned every row 48 times and are not done, as on costs i * j. Bids that raise a
// price by epsilon more give a total within rows * epsilon of the least. Prices found with a large
// epsilon make the bids with an eighth of it few, and with rows * epsilon < 1 the total of whole
// costs is the least: 50 to 80 bids a row, where searches scan as many rows as there are.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "interrupt.h"
#include "rounding.h"
#include "transport/lane_minima.h"
#include "transport/path_search.h"

namespace puzzlemix {

class JonkerVolgenant {
 public:
  // `costs` has
  //   row(i): the costs of row i, integers of which the least is 0, or infinity, up to
  //     padded_to_lanes(columns), the padding infinite; until the next call;
  //   at(i, j): one of them;
  //   offset(i): what a column reduction adds to row i, from 0.
  // With C the largest of finite costs and offsets, (columns + 2) * C is below 2^45.
  // Returns a row that no assignment has room for, -1 if all have a column.
  template <typename Costs>
  int solve(int rows, int columns, Costs& costs) {
    resize(rows, columns);
    const int few = rows <= kSmall ? kNone : rows / 16;
    if (!reduce_rows(costs, rows < columns ? kAny : few)) {
      reduce_columns(costs);
      reduce_rows(costs, kAny);
    }
    return augment(costs);
  }

  // Rows and columns are equally many, all pairs allowed, and searches known to be slow.
  template <typename Costs>
  void solve_hard(int n, Costs& costs) {
    resize(n, n);
    auction(costs);
  }

  // Afterwards the row that has the column; -1: none.
  int row(int column) const { return matching_.row[column]; }

  // For searches over cores: stage 0 is the core, stage 1 all columns.
  template <typename Costs>
  struct Cored {
    double bound(int i, int stage) const { return stage == 1 ? self.rest_[i] : kInfinity; }
    bool open(int i, int stage, PathSearch& search) {
      return stage == 0 ? self.open_core(costs, i, search) : self.open_row(costs, i, search);
    }
    JonkerVolgenant& self;
    Costs& costs;
  };

 private:
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();
  static constexpr int kUncored = 128;  // columns, up to which rows have no core
  static constexpr int kCore = 12;      // columns of a core
  static constexpr int kLanes = kMostLanes;
  static constexpr int kUnlisted = -1, kUnseen = -2;
  static constexpr int kTagged = 64;   // columns, up to which a reduced cost names its column
  static constexpr int kSmall = 32;    // rows, for which a choice takes as long as it gains
  static constexpr int kSampled = 4;   // rows, for the choice of a column reduction
  static constexpr int kBids = 2;      // a row, before the rest is left to searches
  static constexpr int kCoreBids = 4;  // where a bid from the core is cheap
  static constexpr int kNone = -1, kAny = std::numeric_limits<int>::max();  // evictions
  static constexpr int kRowsOpened = 8;  // by a search over cores, before it gives up
  static constexpr int kGivenUp = 4;     // searches, before cores are given up
  static constexpr int kPatience = 48;   // scans a row, before searches are given up

  struct Entry {
    int column;
    double cost;
  };
  struct Offer {
    double first, second;  // the least costs, price included
    int column;
  };

  void resize(int rows, int columns) {
    rows_ = rows;
    columns_ = columns;
    padded_ = padded_to_lanes(columns);
    cored_ = columns > kUncored;
    matching_.price.assign(padded_, 0.0);
    matching_.row.assign(columns, -1);
    matching_.column.assign(rows, -1);
    matching_.dual.resize(rows);
    tag_ = columns <= kTagged ? 1.0 / 256 : 0.0;
    seen_.resize(padded_);
    for (int j = 0; j < padded_; ++j) seen_[j] = j * tag_;
    distance_.resize(padded_);
    open_.resize(padded_);
    waiting_.resize(static_cast<size_t>(most_bids()) + rows + 2);
    if (!cored_) return;
    search_.resize(rows, columns);
    listed_.assign(rows, kUnseen);
    rest_.resize(rows);
    cores_.resize(static_cast<size_t>(rows) * kCore);
    candidates_.resize(columns);
    reduced_.resize(padded_);
  }

  int most_bids() const { return (cored_ ? kCoreBids : kBids) * rows_; }

  // ---- Tags ----

  // Costs and prices are whole, below 2^45, which leaves a double eight bits. A price to bidders
  // and searches has a fraction: a quarter where the column is taken, so that a free one is cheaper
  // on a tie, and up to kTagged columns the column's number, so that the least of some reduced
  // costs says whose it is. To look for it in the row mispredicts two branches a bid.
  double tagged_price(int j) const {
    return matching_.price[j] + (matching_.row[j] < 0 ? 0.0 : 0.25) + j * tag_;
  }
  static double whole(double tagged) { return round_even(tagged); }
  int column_of(double tagged) const {
    return static_cast<int>((tagged - whole(tagged)) * 256) & (kTagged - 1);
  }

  // ---- Column reduction ----

  template <typename Costs>
  void reduce_columns(Costs& costs) {
    double* const minima = distance_.data();
    const int step = std::max(1, rows_ / kSampled);
    const bool offsets =
        rows_ > kSmall && promise(costs, step, true, minima) > promise(costs, step, false, minima);
    find_minima(costs, 1, offsets, minima);
    for (int j = 0; j < columns_; ++j) {
      // A search finds out about a column without a finite cost.
      matching_.price[j] = minima[j] < kInfinity ? -minima[j] : 0;
      matching_.row[j] = -1;
      seen_[j] = tagged_price(j);
    }
    std::fill(listed_.begin(), listed_.end(), kUnlisted);  // their bounds hold as prices rise only
  }

  // Of every step-th row, offsets added or not.
  template <typename Costs>
  void find_minima(Costs& costs, int step, bool offsets, double* minima) const {
    std::fill_n(minima, padded_, kInfinity);
    for (int i = 0; i < rows_; i += step) {
      lower(minima, costs.row(i), offsets ? costs.offset(i) : 0);
    }
  }

  void lower(double* minima, const double* costs, double shift) const {
    const Pack<double> shifts = pack_of(shift);
    for (int j = 0; j < padded_; j += kPacked<double>) {
      unpack(least(pack(costs + j) + shifts, pack(minima + j)), minima + j);
    }
  }

  // The value of the dual problem of every step-th row, with minima of these rows as prices.
  template <typename Costs>
  double promise(Costs& costs, int step, bool offsets, double* minima) const {
    find_minima(costs, step, offsets, minima);
    double value = 0;
    for (int j = 0; j < columns_; ++j) value += minima[j] < kInfinity ? minima[j] : 0;
    value *= static_cast<double>(kSampled) / columns_;  // of so many columns as there are rows
    for (int i = 0; i < rows_; i += step) {
      const double* const cost = costs.row(i);
      const auto reduced = [=](int j) { return pack(cost + j) - pack(minima + j); };
      value += costs.offset(i) + lane_minima<8>(padded_, reduced).minimum();
    }
    return value;
  }

  // ---- Augmenting row reduction ----

  // Leaves in left_ the rows without a column. Gives up, and returns false, where it evicts more
  // than so many.
  //
  // Two rows bid at once (the Jacobi version of bidding, in Bertsekas' terms), as a bid takes
  // longer to come out than to compute: a seventh of the whole time with 16 to 64 columns. The
  // second row doesn't know yet what the first one's bid raises. That does no harm unless both want
  // one column, since prices only rise: its second cheapest column may cost more than it thinks, no
  // less.
  template <typename Costs>
  bool reduce_rows(Costs& costs, int most_evicted) {
    std::iota(waiting_.begin(), waiting_.begin() + rows_, 0);
    left_.clear();
    end_ = rows_;
    int next = 0;
    for (const int most = most_bids(); next < end_ && next < most;) {
      if (end_ - rows_ > most_evicted) return false;
      const int i = waiting_[next++], k = waiting_[next];
      const Offer offer = best_offer(costs, i);
      if (next == end_) {
        bid(i, offer);
        continue;
      }
      Offer other = best_offer(costs, k);
      ++next;
      bid(i, offer);
      if (other.column == offer.column) other = best_offer(costs, k);
      bid(k, other);
    }
    left_.insert(left_.end(), waiting_.begin() + next, waiting_.begin() + end_);
    for (int j = 0; j < columns_; ++j) {
      if (matching_.row[j] >= 0) matching_.column[matching_.row[j]] = j;
    }
    return true;
  }

  // Without branches, which would be mispredicted once a bid.
  void bid(int i, const Offer& offer) {
    const int j = offer.column, holder = matching_.row[j];
    const double first = whole(offer.first), second = whole(offer.second);
    // A row that may have one column alone could raise its price for ever.
    const bool raises = (second > first) & (second < kInfinity), held = holder >= 0;
    // Without a price to keep it off, an evicted row could only take the column back. A row that
    // has none to take costs infinity.
    const bool takes = (raises | !held) & (first < kInfinity);
    matching_.price[j] += raises ? second - first : 0;
    matching_.dual[i] = raises ? second : first;
    matching_.row[j] = takes ? i : holder;
    seen_[j] = tagged_price(j);
    waiting_[end_] = holder;
    end_ += takes & held;
    if (!takes) left_.push_back(i);
  }

  // On a tie, a free column goes first.
  template <typename Costs>
  Offer best_offer(Costs& costs, int i) {
    return cored_ ? best_of_core(costs, i) : best_of_row(costs.row(i));
  }

  Offer best_of_row(const double* cost) const {
    return tag_ > 0 ? best_by_tag(two_least(cost)) : best_by_lane(two_least(cost), cost);
  }

  // The least two of some numbers; of vectors, lane by lane.
  template <typename T>
  struct TwoLeast {
    void add(const T& x) {
      second = least(most(x, first), second);
      first = least(x, first);
    }
    void merge(const TwoLeast& other) {
      second = least(most(first, other.first), least(second, other.second));
      first = least(first, other.first);
    }

    T first, second;
  };
  // Of every kLanes-th column.
  struct TwoLeastByLane {
    static constexpr int kPacks = 4, kLanes = kPacks * kPacked<double>;
    TwoLeast<Pack<double>> packs[kPacks];
  };

  // Prices included.
  TwoLeastByLane two_least(const double* cost) const {
    const double* const seen = seen_.data();
    const Pack<double> none = pack_of(kInfinity);
    TwoLeastByLane two{{{none, none}, {none, none}, {none, none}, {none, none}}};
    for (int j = 0; j < padded_; j += TwoLeastByLane::kLanes) {
      for (int k = 0; k < TwoLeastByLane::kPacks; ++k) {
        const int at = j + k * kPacked<double>;
        two.packs[k].add(pack(cost + at) + pack(seen + at));
      }
    }
    return two;
  }

  // The merges are spelt out, as a loop that isn't unrolled takes the vectors through memory: a
  // bid with 16 columns takes a quarter longer.
  Offer best_by_tag(TwoLeastByLane two) const {
    auto& packs = two.packs;
    packs[0].merge(packs[2]);
    packs[1].merge(packs[3]);
    packs[0].merge(packs[1]);
    TwoLeast<double> both{packs[0].first[0], packs[0].second[0]};
    both.merge({packs[0].first[1], packs[0].second[1]});
    return {both.first, both.second, both.first < kInfinity ? column_of(both.first) : 0};
  }

  Offer best_by_lane(const TwoLeastByLane& two, const double* cost) const {
    const double* const seen = seen_.data();
    Lanes<TwoLeastByLane::kLanes> first, second;
    for (int k = 0; k < TwoLeastByLane::kPacks; ++k) {
      unpack(two.packs[k].first, first.least + k * kPacked<double>);
      unpack(two.packs[k].second, second.least + k * kPacked<double>);
    }
    const double least = first.minimum();
    const int column = first.find(least, [=](int j) { return cost[j] + seen[j]; });
    // The second cheapest is another lane's cheapest or this lane's second.
    first.least[column % TwoLeastByLane::kLanes] = second.least[column % TwoLeastByLane::kLanes];
    return {least, first.minimum(), column};
  }

  // ---- Core ----

  template <typename Costs>
  Offer best_of_core(Costs& costs, int i) {
    if (listed_[i] == kUnseen) {
      listed_[i] = kUnlisted;
      return best_of_row(costs.row(i));
    }
    // A free column beyond the core may do as well as a taken one.
    if (listed_[i] > 0) {
      const Offer offer = best_listed(i);
      if (offer.first <= rest_[i]) return offer;
    }
    list(costs, i);
    const Offer offer = best_listed(i);
    return offer.first <= rest_[i] ? offer : best_of_row(costs.row(i));
  }

  // What is beyond the core is no cheaper than the bound.
  Offer best_listed(int i) const {
    Offer offer{kInfinity, rest_[i], 0};
    const Entry* const entries = &cores_[static_cast<size_t>(i) * kCore];
    for (int k = 0; k < listed_[i]; ++k) {
      const int j = entries[k].column;
      const double x = entries[k].cost + seen_[j];
      const double loser = x > offer.first ? x : offer.first;
      offer.second = loser < offer.second ? loser : offer.second;
      offer.column = x < offer.first ? j : offer.column;
      offer.first = x < offer.first ? x : offer.first;
    }
    return offer;
  }

  // Lists the cheapest columns of a row at the current prices, and leaves in reduced_ what all of
  // them cost. The bound: the eighth smallest of the lanes' minima, which is quick to find and
  // below which there are at least seven columns, but for ties, though seldom many more.
  template <typename Costs>
  void list(Costs& costs, int i) {
    const double* const cost = costs.row(i);
    const double* const price = matching_.price.data();
    double* const reduced = reduced_.data();
    const auto lanes = lane_minima<kLanes>(padded_, [=](int j) {
      const Pack<double> x = pack(cost + j) + pack(price + j);
      unpack(x, reduced + j);
      return x;
    });
    constexpr int kBound = 8;
    auto sorted = lanes;
    std::nth_element(sorted.least, sorted.least + kBound - 1, sorted.least + kLanes);
    rest_[i] = sorted.least[kBound - 1];
    int count = gather(lanes, rest_[i]);
    int* const found = candidates_.data();
    if (count > kCore) {
      std::nth_element(found, found + kCore, found + count, [reduced](int a, int b) {
        return reduced[a] < reduced[b] || (reduced[a] == reduced[b] && a < b);
      });
      rest_[i] = reduced[found[kCore]];
      count = kCore;
    }
    Entry* const entries = &cores_[static_cast<size_t>(i) * kCore];
    for (int k = 0; k < count; ++k) entries[k] = {found[k], cost[found[k]]};
    listed_[i] = count;
  }

  int gather(const Lanes<kLanes>& lanes, double bound) {
    int count = 0;
    for (int l = 0; l < kLanes; ++l) {
      if (lanes.least[l] >= bound) continue;
      for (int j = l; j < columns_; j += kLanes) {
        candidates_[count] = j;
        count += reduced_[j] < bound;
      }
    }
    return count;
  }

  template <typename Costs>
  bool open_core(Costs& costs, int i, PathSearch& search) {
    if (listed_[i] < 0) list(costs, i);
    if (listed_[i] == 0) return false;  // too many are equally cheap
    const double base = search.base(i);
    const Entry* const entries = &cores_[static_cast<size_t>(i) * kCore];
    for (int k = 0; k < listed_[i]; ++k) {
      const int j = entries[k].column;
      const double distance = base + entries[k].cost + matching_.price[j];
      if (search.improves(j, distance)) search.reach(matching_, i, j, distance);
    }
    return true;
  }

  // A search that opens a whole row has found its core out of date: the scan chooses a new one.
  template <typename Costs>
  bool open_row(Costs& costs, int i, PathSearch& search) {
    if (++rows_opened_ > kRowsOpened) return false;
    list(costs, i);
    const double base = search.base(i);
    for (int j = 0; j < columns_; ++j) {
      const double distance = base + reduced_[j];
      if (search.improves(j, distance)) search.reach(matching_, i, j, distance);
    }
    return true;
  }

  // ---- Augmentation ----

  // Returns a row that no assignment has room for, or -1.
  template <typename Costs>
  int augment(Costs& costs) {
    Cored<Costs> cores{*this, costs};
    int given_up = cored_ ? 0 : kGivenUp;
    scans_ = 0;
    for (int i : left_) {
      rows_opened_ = 0;
      if (given_up < kGivenUp && search_.assign(cores, matching_, i)) continue;
      ++given_up;
      if (scans_ > kPatience * rows_ && rows_ == columns_ && !costs.forbids()) {
        auction(costs);
        return -1;
      }
      if (!search(costs, i)) return i;
    }
    return -1;
  }

  // From one row, over whole rows, to the nearest free column; the first of equals.
  template <typename Costs>
  bool search(Costs& costs, int root) {
    std::fill(distance_.begin(), distance_.end(), kInfinity);
    for (int j = 0; j < columns_; ++j) open_[j] = tagged_price(j);
    std::fill(open_.begin() + columns_, open_.end(), 0.0);
    scanned_.clear();
    int i = root, j = -1;
    double base = 0, length;
    while (true) {
      ++scans_;
      patience_.spend(columns_);
      scanned_.push_back({i, -1, base, 0});
      length = whole(relax(costs.row(i), base, j));
      if (length == kInfinity) return false;
      if (matching_.row[j] < 0) break;
      scanned_.back().column = j;
      scanned_.back().length = length;
      distance_[j] = open_[j] = kInfinity;
      i = matching_.row[j];
      base = length - matching_.dual[i];
    }
    augment_along_path(costs, j, length);
    return true;
  }

  // Shortens the distances by way of a row that is `base` away; returns the least one, tagged, of
  // those that are not scanned, and its column.
  double relax(const double* cost, double base, int& column) {
    const double* const open = open_.data();
    double* const distance = distance_.data();
    const Pack<double> bases = pack_of(base);
    const auto lanes = lane_minima<kLanes>(padded_, [=](int j) {
      const Pack<double> x = least(pack(cost + j) + pack(open + j) + bases, pack(distance + j));
      unpack(x, distance + j);
      return x;
    });
    const double least = lanes.minimum();
    if (least < kInfinity) {
      column = tag_ > 0 ? column_of(least) : lanes.find(least, [=](int j) { return distance[j]; });
    }
    return least;
  }

  // Finds the way back to the root, row by row: which row a column was reached from isn't kept, as
  // that takes twice the time to find out for all. Then raises prices, and passes columns on.
  template <typename Costs>
  void augment_along_path(Costs& costs, int target, double length) {
    const int last = static_cast<int>(scanned_.size()) - 1;
    path_.clear();
    int column = target;
    double reached = length;
    for (int k = last; k >= 0;) {
      int from = 0;
      while (from < k &&
             scanned_[from].base + costs.at(scanned_[from].row, column) + matching_.price[column] !=
                 reached) {
        ++from;
      }
      path_.push_back({column, static_cast<double>(scanned_[from].row)});
      k = from - 1;
      if (k >= 0) {
        column = scanned_[k].column;
        reached = scanned_[k].length;
      }
    }
    for (int k = 0; k < last; ++k) {
      const double rise = length - scanned_[k].length;
      matching_.price[scanned_[k].column] += rise;
      matching_.dual[matching_.row[scanned_[k].column]] += rise;
    }
    matching_.dual[scanned_[0].row] = length;
    for (const Entry& step : path_) {
      matching_.row[step.column] = static_cast<int>(step.cost);
      matching_.column[static_cast<int>(step.cost)] = step.column;
    }
  }

  // ---- Auction ----

  // Prices are exact: multiples of the last epsilon, which rise by C at most in each of some twenty
  // rounds.
  template <typename Costs>
  void auction(Costs& costs) {
    tag_ = 0;
    double last = 1;
    while (last * rows_ >= 1) last /= 2;
    seen_ = matching_.price;
    double epsilon = last;
    for (const double range = this->range(costs); 16 * epsilon <= range;) epsilon *= 2;
    for (; epsilon > last; epsilon = std::max(last, epsilon / 8)) bid_all(costs, epsilon);
    bid_all(costs, last);
  }

  template <typename Costs>
  double range(Costs& costs) {
    double widest = 0;
    for (int i = 0; i < rows_; ++i) {
      const double* const cost = costs.row(i);
      widest = std::max(widest, *std::max_element(cost, cost + columns_));
    }
    return widest;
  }

  template <typename Costs>
  void bid_all(Costs& costs, double epsilon) {
    std::fill(matching_.row.begin(), matching_.row.end(), -1);
    for (int i = 0; i < rows_; ++i) {
      for (int bidder = i; bidder >= 0;) {
        const Offer offer = best_of_row(costs.row(bidder));
        seen_[offer.column] += offer.second - offer.first + epsilon;
        matching_.price[offer.column] = seen_[offer.column];
        std::swap(bidder, matching_.row[offer.column]);
        patience_.spend(columns_);
      }
    }
  }

  // A row scanned by a search, and the column that was the nearest then.
  struct Scan {
    int row, column;
    double base, length;
  };

  int rows_ = 0, columns_ = 0, padded_ = 0, end_ = 0;
  bool cored_ = false;
  Matching matching_;
  std::vector<double> seen_;  // prices to bidders, tagged
  double tag_ = 0;            // of column 1: 1/256, or 0 where columns are too many
  std::vector<int> waiting_;  // a queue of rows that are to bid, of which end_ have entered
  std::vector<int> left_;     // rows that are left to searches
  // The core of a row: its cheapest entries, by which searches go first.
  std::vector<Entry> cores_;  // [rows, kCore]
  std::vector<int> listed_;   // the number of entries in each core, or kUnlisted
  std::vector<double> rest_;  // bounds the costs of all other columns from below
  std::vector<int> candidates_;
  std::vector<double> reduced_;
  PathSearch search_;
  int rows_opened_ = 0;
  // Searches over whole rows.
  std::vector<double> distance_, open_;
  std::vector<Scan> scanned_;
  std::vector<Entry> path_;
  int64_t scans_ = 0;
  Patience patience_;
};

}  // namespace puzzlemix
