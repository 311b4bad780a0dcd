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
// p(w) - S(w), which stays a bound because the prices of single places only fall from p(w). The
// search ends at the first free place that no open ring can undercut. n x n costs are never formed.
#pragma once

#include <functional>

#include "transport/block_grid.h"
#include "transport/block_prices.h"
#include "transport/block_turns.h"

namespace puzzlemix {

// The moves in an order and a layout made for searches; one for all samples of a call.
//
// Places lie in rows of 2 * width - 1 with height - 1 empty rows above and below: a move off the
// grid ends in a cell that no search enters, and needs no check.
struct Rings {
  // Squared distances that are opened together: 3 takes half as many visits to the queue as 1.
  static constexpr int kBreadth = 3;

  Rings(const std::vector<Move>& moves, int height, int width)
      : stride(2 * width - 1),
        first((height - 1) * stride + width - 1),
        cells((3 * height - 3) * stride + 3 * width - 2) {
    for (const Move& move : moves) {
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
  BlockExact(const BlockSample& sample, const std::vector<Move>& moves)
      : sample_(sample),
        rings_(moves, sample.height, sample.width),
        prices_(sample),
        turns_(sample),
        n_(sample.cells()),
        least_(n_),
        dual_(n_),
        base_(n_),
        ring_(n_),
        home_(n_),
        place_(n_),
        suspects_(n_),
        distance_(rings_.cells, -kInfinity),
        price_(rings_.cells),
        weight_(rings_.cells),
        block_(rings_.cells, -1),
        from_(rings_.cells),
        index_(rings_.cells, -1),
        found_(rings_.widest) {
    for (int i = 0; i < n_; ++i) {
      home_[i] = rings_.first + i / sample.width * rings_.stride + i % sample.width;
      distance_[home_[i]] = kInfinity;
      index_[home_[i]] = i;
    }
  }

  double solve(int64_t* source) {
    if (sample_.step == 0) return turns_.solve(source);
    for (int i = 0; i < n_; ++i) source[i] = i;
    if (!prices_.set(dual_, least_)) return sample_.total(source, 0);
    settle();
    if (unhappy_.empty()) return sample_.total(source, 0);
    for (int i : unhappy_) repair(i);
    int64_t squared = 0;
    for (int i = 0; i < n_; ++i) {
      const int j = index_[place_[i]];
      source[j] = i;
      squared += sample_.squared_distance(i, j);
    }
    return sample_.total(source, squared);
  }

 private:
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();
  static constexpr int kBlockEvent = 1 << 15;

  struct Found {
    double distance;
    int cell;
  };

  void settle() {
    const int width = sample_.width;
    for (int i = 0; i < n_; i += width) {
      std::copy_n(&dual_[i], width, &price_[home_[i]]);
      std::copy_n(&sample_.weight[i], width, &weight_[home_[i]]);
      std::iota(&block_[home_[i]], &block_[home_[i]] + width, i);
    }
    std::copy(home_.begin(), home_.end(), place_.begin());
    sample_.less_worth_at_home(dual_.data());
    int count = 0;
    for (int i = 0; i < n_; ++i) {
      suspects_[count] = i;
      count += sample_.step + least_[i] < dual_[i];
    }
    unhappy_.clear();
    for (int k = 0; k < count; ++k) {
      if (!happy(suspects_[k])) unhappy_.push_back(suspects_[k]);
    }
    for (int i : unhappy_) block_[home_[i]] = -1;
  }

  // Whether no place would cost the block less than its own.
  bool happy(int i) const {
    const double s = sample_.saliency[i], step = sample_.step;
    for (int ring = 0; ring < rings_.count(); ++ring) {
      const int begin = rings_.begin[ring], end = rings_.begin[ring + 1];
      if (step * rings_.squared[begin] + least_[i] >= dual_[i]) return true;
      int better = 0;
      for (int k = begin; k < end; ++k) {
        const int cell = home_[i] + rings_.offset[k];
        const double cost =
            step * rings_.squared[k] - sample_.worth(s, weight_[cell]) + price_[cell];
        better += (cost < dual_[i]) & (index_[cell] >= 0);
      }
      if (better) return false;
    }
    return true;
  }

  // Assigns a block that has no place, on the cheapest path of replacements to a free one.
  void repair(int root) {
    limit_ = kInfinity;
    queue_.clear();
    reached_.clear();
    visit(root, -kInfinity, 0);
    while (!queue_.empty()) {
      const int64_t event = queue_.front();
      std::pop_heap(queue_.begin(), queue_.end(), std::greater<int64_t>());
      queue_.pop_back();
      const double distance = static_cast<double>(event >> 16);
      const int id = static_cast<int>(event & 0xffff);
      if (distance >= limit_) break;
      if (id & kBlockEvent) {
        open(id - kBlockEvent, distance);
      } else if (distance_[id] == distance) {
        const int i = block_[id];
        visit(i, distance, distance - dual_[i]);
      }
    }
    update_prices(root);
    shift(root);
  }

  void visit(int i, double distance, double base) {
    base_[i] = base;
    ring_[i] = 0;
    open(i, distance);
  }

  // Opens the rings that may hold a place at this distance, at least one, and queues the next.
  void open(int i, double distance) {
    double bound;
    do {
      open_ring(i, ring_[i]);
      if (++ring_[i] == rings_.count()) return;
      bound = base_[i] + sample_.step * rings_.squared[rings_.begin[ring_[i]]] + least_[i];
    } while (bound <= distance);
    if (bound < limit_) push(bound, kBlockEvent + i);
  }

  void open_ring(int i, int ring) {
    const double s = sample_.saliency[i], scale = sample_.scale, step = sample_.step;
    const double base = base_[i], limit = limit_;
    const int home = home_[i];
    int count = 0;
    for (int k = rings_.begin[ring]; k < rings_.begin[ring + 1]; ++k) {
      const int cell = home + rings_.offset[k];
      const double distance =
          base + step * rings_.squared[k] - round_even(scale * (s * weight_[cell])) + price_[cell];
      found_[count] = {distance, cell};
      count += (distance < distance_[cell]) & (distance < limit);
    }
    for (int k = 0; k < count; ++k) reach(found_[k], i);
  }

  void reach(const Found& found, int from) {
    const int cell = found.cell;
    if (distance_[cell] == kInfinity) reached_.push_back(cell);
    distance_[cell] = found.distance;
    from_[cell] = from;
    if (block_[cell] >= 0) {
      push(found.distance, cell);
    } else if (found.distance < limit_) {
      limit_ = found.distance;
      target_ = cell;
    }
  }

  void push(double distance, int id) {
    queue_.push_back(static_cast<int64_t>(distance) * 0x10000 + id);
    std::push_heap(queue_.begin(), queue_.end(), std::greater<int64_t>());
  }

  void update_prices(int root) {
    for (int cell : reached_) {
      const double rise = limit_ - distance_[cell];
      if (rise > 0) {
        price_[cell] += rise;
        dual_[block_[cell]] += rise;
      }
      distance_[cell] = kInfinity;
    }
    dual_[root] = limit_;
  }

  void shift(int root) {
    int cell = target_, block;
    do {
      block = from_[cell];
      block_[cell] = block;
      std::swap(cell, place_[block]);
    } while (block != root);
  }

  const BlockSample& sample_;
  const Rings rings_;
  BlockPrices prices_;
  BlockTurns turns_;
  const int n_;
  // By block.
  std::vector<double> least_;      // bounds the price less worth of any place from below
  std::vector<double> dual_;       // what the block's place costs it, price included
  std::vector<double> base_;       // its distance in the search, less dual
  std::vector<int> ring_;          // the next to open
  std::vector<int> home_, place_;  // cells
  std::vector<int> suspects_, unhappy_;
  // By cell. Off the grid the distance is minus infinity, which nothing improves on.
  std::vector<double> distance_, price_, weight_;
  std::vector<int> block_;  // that has the place; -1: free
  std::vector<int> from_;   // the block from which the search came
  std::vector<int> index_;  // of the place; -1: off the grid
  // A search.
  std::vector<int64_t> queue_;  // a heap of distance * 2^16 + the cell or kBlockEvent + the block
  std::vector<int> reached_;
  std::vector<Found> found_;
  double limit_ = 0;  // the distance of the nearest free place reached
  int target_ = -1;   // that place
};

}  // namespace puzzlemix
