// The approximate block transport on the CPU: the proposer-optimal stable matching of blocks and
// places, by deferred acceptance (Gale and Shapley 1962; deferred_acceptance.h explains it).
//
// A block that could gain less elsewhere than a move by one block costs stays where it is: its own
// place is its first choice, and no other block can hold that place at a better price before it
// proposes. Only the others propose. A block finds its best place by walking the moves from the
// nearest on, and stops where even a place of the largest weight would cost more than the best
// found so far. With masks from cuts and xi = 0.8, 20 of 256 blocks propose and walk 7 moves each.
//
// Certificate. Mostly nothing moves, which these walks can tell without a matching: preferences are
// such that there is only one stable matching, and it is the identity unless some block and place
// prefer each other to what they have in it (a blocking pair). With masks from cuts and xi = 0.8
// the certificate holds for 99 samples of 100.
//
// Where moves cost next to nothing, walks go far, and blocks that prefer the same places make each
// other leave again and again. Once all walks together have taken n^2 / 2 moves, matching starts
// anew from locally dominant pairs (dominant_pairs.h), which take O(n^2) whatever the costs are.
#pragma once

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "interrupt.h"
#include "owned.h"
#include "transport/blocks.h"
#include "transport/deferred_acceptance.h"
#include "transport/dominant_pairs.h"
#include "transport/moves.h"
#include "transport/serial_dictatorship.h"

namespace puzzlemix {

// Solves samples of one shape, one after the other.
class BlockApprox {
 public:
  BlockApprox(int height, int width)
      : n_(height * width),
        moves_(nearest_moves(height, width)),
        dictatorship_(n_),
        dominant_(n_),
        home_(n_),
        gain_(n_),
        proposers_(n_) {}

  // Sets source[place] to the block that goes there. Returns the sum of squared distances.
  int64_t solve(const Blocks& blocks, int64_t* source) {
    blocks_ = &blocks;
    PlainTeam team;
    if (blocks.move_cost() == 0) {
      dictatorship_->solve(team, blocks, [=](int j, int i) { source[j] = i; });
      return blocks.squared_distances(team, [=](int j) { return source[j]; });
    }
    const int count = find_proposers();
    if (!certified(count)) return match(count, source);
    std::iota(source, source + n_, int64_t{0});
    return 0;
  }

 private:
  using Proposal = DeferredAcceptance<double>::Proposal;

  // Can be interrupted between reductions.
  class PatientTeam : public PlainTeam {
   public:
    template <typename T, typename F, typename Op>
    T reduce(int n, T none, F f, Op op) {
      patience_.spend(4 * n);
      return PlainTeam::reduce(n, none, f, op);
    }

   private:
    Patience patience_;
  };

  // Sets the costs of blocks in their own places, and finds the blocks that may prefer another one,
  // the proposers; returns how many these are.
  int find_proposers() {
    const Blocks blocks = *blocks_;
    const double heaviest = blocks.heaviest(), move_cost = blocks.move_cost();
    double *const home = home_.data(), *const gain = gain_.data();
    PlainTeam().for_each(n_, [=](int i) {
      const double worth = blocks.worth_at_home(i);
      home[i] = -worth;
      gain[i] = blocks.worth_of(i, heaviest) - worth;
    });
    int count = 0;
    for (int i = 0; i < n_; ++i) {
      proposers_[count] = i;  // always written, kept only if counted: no branch to mispredict
      count += gain[i] >= move_cost;
    }
    return count;
  }

  // Whether the identity is certified to be stable: no proposer is part of a blocking pair. Where
  // there are many proposers some block mostly moves, so then it isn't tried.
  bool certified(int count) const {
    const int* const proposers = proposers_.data();
    return 4 * count < n_ &&
           std::all_of(proposers, proposers + count, [this](int i) { return stays(i); });
  }

  // Whether block i is part of no blocking pair.
  bool stays(int i) const {
    const double own = home_[i];
    bool stays = true;
    walk(
        i, [&](double bound) { return !stays || bound > own; },
        [&](int j, double cost) {
          const bool wants = cost < own || (cost == own && j < i);
          const bool wanted = cost < home_[j] || (cost == home_[j] && i < j);
          stays = !(wants && wanted);
        });
    return stays;
  }

  // Finds the matching, all blocks but the proposers being held by their own places at first.
  int64_t match(int count, int64_t* source) {
    matching_.reset_to_identity(home_);
    for (int k = 0; k < count; ++k) matching_.vacate(proposers_[k]);
    squared_ = 0;
    moves_left_ = int64_t{n_} * n_ / 2;
    for (int k = 0; k < count; ++k) {
      if (!place(proposers_[k])) return match_dominant(source);
    }
    for (int j = 0; j < n_; ++j) source[j] = matching_.row(j);
    return squared_;
  }

  int64_t match_dominant(int64_t* source) {
    PatientTeam team;
    dominant_->solve(team, *blocks_);
    for (int j = 0; j < n_; ++j) source[j] = dominant_->row(j, n_);
    return blocks_->squared_distances(team, [=](int j) { return source[j]; });
  }

  // Lets a block propose, then the block that is rejected for it, and so on; false where no moves
  // are left.
  bool place(int row) {
    while (row < n_) {
      const Proposal proposal = choose(row);
      if (moves_left_ < 0) return false;
      const int leaver = matching_.seat(row, proposal);
      squared_ += blocks_->squared_distance(row, proposal.column);
      if (leaver < n_) squared_ -= blocks_->squared_distance(leaver, proposal.column);
      row = leaver;
    }
    return true;
  }

  Proposal choose(int row) {
    Proposal best{-1, std::numeric_limits<double>::infinity()};
    const int64_t moves = walk(
        row, [&](double bound) { return bound > best.cost; },
        [&](int column, double cost) {
          const bool better = cost < best.cost || (cost == best.cost && column < best.column);
          if (better && matching_.accepts(column, cost, row)) best = {column, cost};
        });
    moves_left_ -= moves;
    patience_.spend(2 * moves);
    return best;
  }

  // Walks the moves of a block from the nearest on, calling look(place, cost), until no place
  // further away costs less than some bound for which enough(bound). Returns the number of moves.
  template <typename Enough, typename Look>
  int64_t walk(int row, const Enough& enough, const Look& look) const {
    const Blocks& blocks = *blocks_;
    const double s = blocks.saliency()[row], most = blocks.worth(s, blocks.heaviest());
    const int top = blocks.row_of(row), left = blocks.column_of(row);
    const int height = blocks.height(), width = blocks.width();
    int64_t k = 0;
    for (const Move& move : moves_) {
      const double moving = blocks.move_cost() * move.squared;
      if (enough(moving - most)) break;
      ++k;
      const int y = top + move.rows, x = left + move.columns;
      if (y < 0 || y >= height || x < 0 || x >= width) continue;
      const int column = y * width + x;
      look(column, moving - blocks.worth(s, blocks.weight()[column]));
    }
    return k;
  }

  const int n_;
  const std::vector<Move> moves_;
  Owned<SerialDictatorship> dictatorship_;
  Owned<DominantPairs> dominant_;
  const Blocks* blocks_ = nullptr;  // the sample that is being solved
  DeferredAcceptance<double> matching_;
  std::vector<double> home_, gain_;  // by block: its cost at home, and what it could gain elsewhere
  std::vector<int> proposers_;
  int64_t squared_ = 0, moves_left_ = 0;
  Patience patience_;
};

}  // namespace puzzlemix
