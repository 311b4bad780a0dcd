// The exact block transport: shortest augmenting paths from the identity, opened ring by ring.
//
// Duals. A place of weight w costs a price p(w) on top. Blocks whose own place is the cheapest, at
// these prices, stay; the identity and the prices are then an optimal part of the assignment, and
// only the unhappy blocks are left to assign. With p(w) chosen well these are few (masks from cuts,
// xi = 0.8: 4 of 256, 16 of 1024). The price of a step up in weight is the one that clears the
// market: as many blocks would pay it to cross over to the nearest place of more weight as would
// rather have it and leave. (The price that leaves fewest blocks unhappy leaves them all on one
// side; each of those then moves the price of a whole group in a search over all of it, ten times
// the work at xi = 0.01.)
//
// Repairs. From each unhappy block a Dijkstra search over reduced costs finds the nearest free
// place. A block reached doesn't look at all n places but at those within a small distance, and
// puts its next ring of moves on the queue at the least it can cost: D * d^2 + min over w of
// p(w) - S(w), which stays a bound because the prices of single places only rise from p(w). The
// search ends at the first free place that no open ring can undercut. n x n costs are never formed.
#pragma once

#include "transport/block_grid.h"
#include "transport/block_prices.h"
#include "transport/block_turns.h"
#include "transport/exact_assignment.h"
#include "transport/path_search.h"

namespace puzzlemix {

// The moves in an order and a layout made for searches.
//
// Places lie in rows of 2 * width - 1 with height - 1 empty rows above and below: a move off the
// grid ends in a cell that no search enters, and needs no check.
struct Rings {
  // Squared distances that are opened together: 3 takes half as many visits to the queue as 1.
  static constexpr int kBreadth = 3;

  Rings(int height, int width)
      : stride(2 * width - 1),
        first((height - 1) * stride + width - 1),
        cells((3 * height - 3) * stride + 3 * width - 2) {
    for (const Move& move : nearest_moves(height, width)) {
      if (begin.empty() || move.squared >= squared[begin.back()] + kBreadth) {
        begin.push_back(static_cast<int>(offset.size()));
      }
      squared.push_back(move.squared);
      offset.push_back(move.rows * stride + move.columns);
    }
    begin.push_back(static_cast<int>(offset.size()));
    for (int k = 0; k < count(); ++k) widest = std::max(widest, begin[k + 1] - begin[k]);
  }

  int count() const { return static_cast<int>(begin.size()) - 1; }

  const int stride, first, cells;  // first: the cell of block 0
  int widest = 0;
  std::vector<double> squared;  // of each move
  std::vector<int> offset;      // of each move, in cells
  std::vector<int> begin;       // of each ring among the moves, and the end
};

class BlockExact {
 public:
  explicit BlockExact(const BlockSample& sample)
      : sample_(sample),
        rings_(sample.height, sample.width),
        prices_(sample),
        turns_(sample),
        n_(sample.cells()),
        home_(n_),
        suspects_(n_),
        least_(n_),
        weight_(rings_.cells),
        index_(rings_.cells, -1),
        found_(rings_.widest) {
    matching_.price.resize(rings_.cells);
    matching_.row.resize(rings_.cells);
    matching_.column.resize(n_);
    matching_.dual.resize(n_);
    search_.resize(n_, rings_.cells);
    for (int cell = 0; cell < rings_.cells; ++cell) search_.close(cell);
    for (int i = 0; i < n_; ++i) {
      home_[i] = rings_.first + i / sample.width * rings_.stride + i % sample.width;
      index_[home_[i]] = i;
      search_.open(home_[i]);
    }
  }

  // Returns the total.
  double solve(int64_t* source) {
    if (sample_.step == 0) return move_for_free(source);
    std::iota(source, source + n_, int64_t{0});
    if (!prices_.set(matching_.dual, least_)) return sample_.total(source, 0);
    settle();
    if (unhappy_.empty()) return sample_.total(source, 0);
    if (repair()) {
      for (int i = 0; i < n_; ++i) source[index_[matching_.column[i]]] = i;
    } else {
      dense_.solve_hard(n_, *this, source);
    }
    return sample_.total(source);
  }

  // For the dense solver: a row of costs.
  void fill(int i, double* costs) const { sample_.costs(i, costs); }

  // For the search: a stage is a ring.
  double bound(int i, int ring) const {
    if (ring == rings_.count()) return std::numeric_limits<double>::infinity();
    return sample_.step * rings_.squared[rings_.begin[ring]] + least_[i];
  }

  // In two passes: the first, over all moves of the ring, has no branch to mispredict.
  bool open(int i, int ring, PathSearch& search) {
    const double s = sample_.saliency[i], scale = sample_.scale, step = sample_.step;
    const double base = search.base(i);
    const int home = home_[i];
    looks_ -= rings_.begin[ring + 1] - rings_.begin[ring];
    int count = 0;
    for (int k = rings_.begin[ring]; k < rings_.begin[ring + 1]; ++k) {
      const int cell = home + rings_.offset[k];
      const double distance = base + step * rings_.squared[k] -
                              round_even(scale * (s * weight_[cell])) + matching_.price[cell];
      found_[count] = {distance, cell};
      count += search.improves(cell, distance);
    }
    for (int k = 0; k < count; ++k) {
      search.reach(matching_, i, found_[k].cell, found_[k].distance);
    }
    return looks_ >= 0;
  }

 private:
  static constexpr int64_t kLooks = 24;  // n^2 of them take as long as the auction

  struct Found {
    double distance;
    int cell;
  };

  // With weights 0 and w the most salient blocks are shown, which is also what blocks in turn do.
  // Between more weights, rounding alone may make another assignment cheaper by a few units.
  double move_for_free(int64_t* source) {
    const bool shown_or_not =
        std::all_of(sample_.weight.begin(), sample_.weight.end(),
                    [this](double w) { return w == 0 || w == sample_.heaviest; });
    if (shown_or_not) return turns_.solve(source);
    dense_.solve(n_, *this, source);
    return sample_.total(source);
  }

  // False if that takes too long: where the prices are no good, every search spans the grid.
  bool repair() {
    looks_ = kLooks * n_ * n_;
    return std::all_of(unhappy_.begin(), unhappy_.end(),
                       [this](int i) { return search_.assign(*this, matching_, i); });
  }

  // Leaves all blocks at home but the unhappy ones.
  void settle() {
    const int width = sample_.width;
    for (int i = 0; i < n_; i += width) {
      std::copy_n(&matching_.dual[i], width, &matching_.price[home_[i]]);
      std::copy_n(&sample_.weight[i], width, &weight_[home_[i]]);
      std::iota(&matching_.row[home_[i]], &matching_.row[home_[i]] + width, i);
    }
    std::copy(home_.begin(), home_.end(), matching_.column.begin());
    sample_.less_worth_at_home(matching_.dual.data());
    int count = 0;
    for (int i = 0; i < n_; ++i) {
      suspects_[count] = i;
      count += sample_.step + least_[i] < matching_.dual[i];
    }
    unhappy_.clear();
    for (int k = 0; k < count; ++k) {
      if (!happy(suspects_[k])) unhappy_.push_back(suspects_[k]);
    }
    for (int i : unhappy_) matching_.row[home_[i]] = -1;
  }

  // Whether no place would cost the block less than its own.
  bool happy(int i) const {
    const double s = sample_.saliency[i], dual = matching_.dual[i];
    for (int ring = 0; bound(i, ring) < dual; ++ring) {
      int better = 0;
      for (int k = rings_.begin[ring]; k < rings_.begin[ring + 1]; ++k) {
        const int cell = home_[i] + rings_.offset[k];
        const double cost = sample_.step * rings_.squared[k] - sample_.worth(s, weight_[cell]) +
                            matching_.price[cell];
        better += (cost < dual) & (index_[cell] >= 0);
      }
      if (better) return false;
    }
    return true;
  }

  const BlockSample& sample_;
  const Rings rings_;
  BlockPrices prices_;
  BlockTurns turns_;
  PathSearch search_;
  ExactAssignment dense_;
  Matching matching_;  // its columns are cells
  const int n_;
  // By block.
  std::vector<int> home_;  // cells
  std::vector<int> suspects_, unhappy_;
  std::vector<double> least_;  // bounds the price less worth of any place from below
  // By cell.
  std::vector<double> weight_;
  std::vector<int> index_;  // of the place; -1: off the grid
  std::vector<Found> found_;
  int64_t looks_ = 0;  // at a place, that are left to the searches
};

}  // namespace puzzlemix
