// The approximate block transport: the stable matching of blocks and places (see
// deferred_acceptance.h for what that is and why proposals may come in any order).
//
// A block that could gain less than one step costs elsewhere stays where it is: that is its first
// choice, and no other block can have the place at a better price before it proposes. Only the
// others propose. A block finds its best place by walking the moves from the nearest on, and stops
// where even a place of the largest weight would cost more than the best found so far. With masks
// from cuts and xi = 0.8, 20 of 256 blocks propose and walk 7 moves each.
//
// Where moves cost next to nothing a walk goes far; past n moves a block scans its whole row of
// costs, made on the fly, within the O(n^2 log n) of deferred acceptance.
#pragma once

#include "transport/block_grid.h"
#include "transport/block_turns.h"
#include "transport/deferred_acceptance.h"

namespace puzzlemix {

class BlockApprox {
 public:
  explicit BlockApprox(const BlockSample& sample)
      : sample_(sample),
        moves_(nearest_moves(sample.height, sample.width)),
        turns_(sample),
        n_(sample.cells()),
        cost_(n_),
        gain_(n_),
        walks_(n_),
        unsettled_(n_),
        costs_(n_) {}

  // Returns the total.
  double solve(int64_t* source) {
    if (sample_.step == 0) return turns_.solve(source);
    const int count = settle();
    squared_ = 0;
    for (int k = 0; k < count; ++k) place(unsettled_[k]);
    for (int j = 0; j < n_; ++j) source[j] = matching_.row(j);
    return sample_.total(source, squared_);
  }

  // The row of costs of a block, and one entry of it, for deferred acceptance.
  const double* row(int i) {
    sample_.costs(i, costs_.data());
    return costs_.data();
  }
  double at(int i, int j) const { return sample_.cost(i, j); }

 private:
  using Choice = DeferredAcceptance<double>::Choice;
  static constexpr int kWalks = 8;

  // Leaves every block in its place but those that may prefer another; returns how many those are.
  int settle() {
    sample_.worths(cost_.data(), gain_.data());
    int count = 0;
    for (int i = 0; i < n_; ++i) {
      cost_[i] = -cost_[i];
      unsettled_[count] = i;  // overwritten unless counted: no branch to mispredict
      count += gain_[i] >= sample_.step;
    }
    matching_.reset_to_identity(cost_);
    for (int k = 0; k < count; ++k) matching_.vacate(unsettled_[k]);
    std::fill(walks_.begin(), walks_.end(), 0);
    return count;
  }

  // Seats a block, then whichever has to leave for it, and so on.
  void place(int row) {
    while (row < n_) {
      const Choice choice = choose(row);
      const int leaver = matching_.seat(row, choice);
      squared_ += sample_.squared_distance(row, choice.column);
      if (leaver < n_) squared_ -= sample_.squared_distance(leaver, choice.column);
      row = leaver;
    }
  }

  Choice choose(int row) {
    Choice choice;
    if (walks_[row] < kWalks && walk(row, choice)) return choice;
    return matching_.choose(*this, row);
  }

  // Walks the moves from the nearest on. False where that leads too far.
  bool walk(int row, Choice& best) {
    ++walks_[row];
    best = {-1, std::numeric_limits<double>::infinity()};
    const double s = sample_.saliency[row], most = sample_.worth(s, sample_.heaviest);
    const int top = row / sample_.width, left = row % sample_.width;
    for (int k = 0; k < n_; ++k) {
      const Move& move = moves_[k];
      const double moving = sample_.step * move.squared;
      if (moving - most > best.cost) return true;
      const int i = top + move.rows, j = left + move.columns;
      if (i < 0 || i >= sample_.height || j < 0 || j >= sample_.width) continue;
      const int column = i * sample_.width + j;
      const double cost = moving - sample_.worth(s, sample_.weight[column]);
      const bool better = cost < best.cost || (cost == best.cost && column < best.column);
      if (better && matching_.accepts(column, cost, row)) best = {column, cost};
    }
    walks_[row] = kWalks;
    return false;
  }

  const BlockSample& sample_;
  const std::vector<Move> moves_;
  BlockTurns turns_;
  const int n_;
  DeferredAcceptance<double> matching_;
  std::vector<double> cost_, gain_;
  std::vector<int> walks_, unsettled_;
  std::vector<double> costs_;
  int64_t squared_ = 0;
};

}  // namespace puzzlemix
