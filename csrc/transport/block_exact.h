// The exact block transport on a CPU thread: shortest augmenting paths (Jonker and Volgenant 1987)
// from the identity, opened ring by ring.
//
// Duals. A place of weight w costs a price p(w) on top (prices.h). Blocks whose own place is the
// cheapest, at these prices, stay; the identity and the prices are then an optimal part of the
// assignment, and only the blocks that violate complementary slackness are left to assign. With
// p(w) chosen well these are few (masks from cuts, xi = 0.8: 4 of 256, 16 of 1024).
//
// Repairs. From each of these blocks a Dijkstra search over reduced costs finds the nearest free
// place. A block reached doesn't look at all n places but at those within a small distance, and
// puts its next ring of moves on the queue at the least it can cost: D * d^2 + min over w of
// p(w) - S(w), which stays a bound because the prices of single places only rise from p(w). The
// search ends at the first free place that no ring in the queue can undercut. n x n costs are never
// formed.
//
// Contested places. With random masks and small xi one price for a weight is far from an optimum: a
// third of all blocks violates complementary slackness, and searches span the grid. Once they have
// scanned more than that of a few violators should take, they start anew from prices that differ
// from place to place (entropic_prices.h): an eighth of the blocks is left to assign. 16x16, random
// mask, xi = 0.1: 920 us without, 230 with; xi = 0.01: 3,530 and 550.
#pragma once

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "owned.h"
#include "transport/blocks.h"
#include "transport/entropic_prices.h"
#include "transport/jonker_volgenant.h"
#include "transport/moves.h"
#include "transport/path_search.h"
#include "transport/prices.h"
#include "transport/serial_dictatorship.h"

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

// Serves any number of samples of one shape.
class BlockExact {
 public:
  BlockExact(int height, int width)
      : n_(height * width),
        rings_(height, width),
        prices_(height, width),
        entropic_(height, width),
        dictatorship_(n_),
        home_(n_),
        suspects_(n_),
        price_(n_),
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
      home_[i] = rings_.first + i / width * rings_.stride + i % width;
      index_[home_[i]] = i;
      search_.open(home_[i]);
    }
  }

  // source[place] becomes the block that goes there. Returns the sum of squared distances.
  int64_t solve(const Blocks& blocks, int64_t* source) {
    blocks_ = &blocks;
    PlainTeam team;
    if (blocks.move_cost() == 0) {
      move_for_free(source);
    } else {
      std::iota(source, source + n_, int64_t{0});
      if (!prices_->set(team, blocks, price_.data(), least_.data())) return 0;
      far_cost_ = blocks.move_cost();
      keep_at_home();
      if (violators_.empty()) return 0;
      move(source);
    }
    return blocks.squared_distances(team, [=](int j) { return source[j]; });
  }

  // For the dense solver.
  const double* row(int i) {
    row_.resize(padded_to_lanes(n_), std::numeric_limits<double>::infinity());
    blocks_->costs(i, row_.data());
    const double least = *std::min_element(row_.begin(), row_.begin() + n_);
    for (int j = 0; j < n_; ++j) row_[j] -= least;
    return row_.data();
  }
  double at(int i, int j) { return row(i)[j]; }
  double offset(int) const { return 0; }
  bool forbids() const { return false; }

  // For the search: a stage is a ring.
  double bound(int i, int ring) const {
    if (ring == rings_.count()) return std::numeric_limits<double>::infinity();
    return far_cost_ * rings_.squared[rings_.begin[ring]] + least_[i];
  }

  // In two passes: the first, over all moves of the ring, has no branch to mispredict.
  bool open(int i, int ring, PathSearch& search) {
    const Blocks blocks = *blocks_;
    const double s = blocks.saliency()[i], move_cost = blocks.move_cost();
    const double base = search.base(i);
    const int home = home_[i];
    scans_left_ -= rings_.begin[ring + 1] - rings_.begin[ring];
    int count = 0;
    for (int k = rings_.begin[ring]; k < rings_.begin[ring + 1]; ++k) {
      const int cell = home + rings_.offset[k];
      const double distance = base + move_cost * rings_.squared[k] -
                              blocks.worth(s, weight_[cell]) + matching_.price[cell];
      found_[count] = {distance, cell};
      count += search.improves(cell, distance);
    }
    for (int k = 0; k < count; ++k) {
      search.reach(matching_, i, found_[k].cell, found_[k].distance);
    }
    return scans_left_ >= 0;
  }

 private:
  // Moves that searches may scan in all, in units of n^2; the auction takes as long.
  static constexpr int64_t kScanLimit = 24;

  struct Found {
    double distance;
    int cell;
  };

  // With weights 0 and w the most salient blocks are shown, which is also what a serial
  // dictatorship does. Between more weights, rounding alone may make another assignment cheaper by
  // a few units.
  void move_for_free(int64_t* source) {
    PlainTeam team;
    if (blocks_->shown_or_not(team)) {
      dictatorship_->solve(team, *blocks_, [=](int j, int i) { source[j] = i; });
    } else {
      dense_.solve(n_, n_, *this);
      for (int j = 0; j < n_; ++j) source[j] = dense_.row(j);
    }
  }

  // Searches from the violators, if need be from better prices; where these are no good either, an
  // auction takes less.
  void move(int64_t* source) {
    const int64_t scans = int64_t{n_} * (blocks_->height() + blocks_->width());
    const int64_t each = 3 * scans / (2 * static_cast<int64_t>(violators_.size()));
    bool repaired = repair(scans / 8, each);
    if (!repaired) {
      if (entropic_.improve(*blocks_, price_.data(), matching_.dual.data())) start_anew();
      repaired = repair(kScanLimit * n_ * n_, 0);
    }
    if (repaired) {
      for (int i = 0; i < n_; ++i) source[index_[matching_.column[i]]] = i;
    } else {
      dense_.solve_hard(n_, *this);
      for (int j = 0; j < n_; ++j) source[j] = dense_.row(j);
    }
  }

  // Assigns the violators that are left, but gives up where searches scan more than `scans` moves,
  // and `each` for each of them.
  bool repair(int64_t scans, int64_t each) {
    for (scans_left_ = scans; !violators_.empty(); violators_.pop_back()) {
      scans_left_ += each;
      if (!search_.assign(*this, matching_, violators_.back())) return false;
    }
    return true;
  }

  // Leaves all blocks at home but those that violate complementary slackness.
  void keep_at_home() {
    const Blocks blocks = *blocks_;
    const int width = blocks.width();
    double* const dual = matching_.dual.data();
    const double* const price = price_.data();
    for (int i = 0; i < n_; i += width) {
      std::copy_n(blocks.weight() + i, width, &weight_[home_[i]]);
    }
    put_all_at_home();
    PlainTeam().for_each(n_, [=](int i) { dual[i] = price[i] - blocks.worth_at_home(i); });
    int count = 0;
    for (int i = 0; i < n_; ++i) {
      suspects_[count] = i;
      count += blocks.move_cost() + least_[i] < dual[i];
    }
    violators_.clear();
    for (int k = 0; k < count; ++k) {
      if (violates_slackness(suspects_[k])) violators_.push_back(suspects_[k]);
    }
    for (int i : violators_) matching_.row[home_[i]] = -1;
  }

  // Starts from the entropic prices: a block takes its own place, or a free one, where none is
  // cheaper for it at these prices; the others are searched for. For the search's lower bound the
  // cost of a move is split in half: one half times the squared distance of the ring, plus the
  // least cost over all places with the other half, is tighter than the whole move plus the least
  // price.
  void start_anew() {
    const Blocks& blocks = *blocks_;
    const double half = std::floor(blocks.move_cost() / 2);
    far_cost_ = blocks.move_cost() - half;
    entropic_.least_costs(blocks, half, price_.data(), least_.data());
    put_all_at_home();
    violators_.clear();
    for (int i = 0; i < n_; ++i) {
      if (price_[i] - blocks.worth_at_home(i) > matching_.dual[i]) violators_.push_back(i);
    }
    for (int i : violators_) matching_.row[home_[i]] = -1;
    const auto moves = [this](int i) { return takes_free_place(i); };
    violators_.erase(std::remove_if(violators_.begin(), violators_.end(), moves), violators_.end());
  }

  // Gives the block a place that is the cheapest for it, if one is free.
  bool takes_free_place(int i) {
    const double s = blocks_->saliency()[i], dual = matching_.dual[i];
    for (int ring = 0; bound(i, ring) <= dual; ++ring) {
      for (int k = rings_.begin[ring]; k < rings_.begin[ring + 1]; ++k) {
        const int cell = home_[i] + rings_.offset[k];
        if (index_[cell] < 0 || matching_.row[cell] >= 0 || cost(s, k, cell) != dual) continue;
        matching_.row[cell] = i;
        matching_.column[i] = cell;
        return true;
      }
    }
    return false;
  }

  // Gives all blocks their own places, at their first prices.
  void put_all_at_home() {
    const int width = blocks_->width();
    for (int i = 0; i < n_; i += width) {
      std::copy_n(&price_[i], width, &matching_.price[home_[i]]);
      std::iota(&matching_.row[home_[i]], &matching_.row[home_[i]] + width, i);
    }
    std::copy(home_.begin(), home_.end(), matching_.column.begin());
  }

  // Whether some place would cost the block less than its own, prices included.
  bool violates_slackness(int i) const {
    const Blocks blocks = *blocks_;
    const double s = blocks.saliency()[i], dual = matching_.dual[i];
    for (int ring = 0; bound(i, ring) < dual; ++ring) {
      int cheaper = 0;
      for (int k = rings_.begin[ring]; k < rings_.begin[ring + 1]; ++k) {
        const int cell = home_[i] + rings_.offset[k];
        cheaper += (cost(s, k, cell) < dual) & (index_[cell] >= 0);
      }
      if (cheaper) return true;
    }
    return false;
  }

  // What move k, which leads to the cell, costs a block of saliency s, price included.
  double cost(double s, int k, int cell) const {
    return blocks_->move_cost() * rings_.squared[k] - blocks_->worth(s, weight_[cell]) +
           matching_.price[cell];
  }

  const int n_;
  const Rings rings_;
  Owned<Prices> prices_;
  EntropicPrices entropic_;
  Owned<SerialDictatorship> dictatorship_;
  const Blocks* blocks_ = nullptr;  // while solving
  PathSearch search_;
  JonkerVolgenant dense_;
  Matching matching_;  // its columns are cells
  // By block.
  std::vector<int> home_;  // cells
  std::vector<int> suspects_, violators_;
  std::vector<double> price_;  // of its place, before searches
  std::vector<double> least_;  // bounds what any place costs but for far_cost_ from below
  // By cell.
  std::vector<double> weight_;
  std::vector<int> index_;  // of the place; -1: off the grid
  std::vector<Found> found_;
  std::vector<double> row_;  // of costs
  double far_cost_ = 0;      // of a move by one block, in bounds: all of it or half
  int64_t scans_left_ = 0;   // of single moves, for all searches
};

}  // namespace puzzlemix
