// The stable matching of blocks and places from locally dominant pairs, for every team.
//
// Both sides of a pair prefer by the same number, its cost, ties by index. So a block and a place
// that are each other's best choice among all that are still free can be matched for good: the pair
// is locally dominant (Preis, Linear time 1/2-approximation algorithm for maximum weighted
// matching, STACS 1999). One is found along a chain (the nearest-neighbour chain of hierarchical
// clustering, Benzecri 1982): from a free block to its best place, from there to the best block of
// that place, and so on. Every step leads to a pair that comes earlier in one order of all pairs,
// so the chain ends, in a block and a place that lead to each other. They leave the chain and are
// matched; what is left of it is still one, and goes on.
//
// A block or place enters the chain once, looks for its best then, and once more when the two after
// it have left. So n blocks take fewer than 4 n searches among n costs, two phases each, whatever
// the costs are. Deferred acceptance is faster where few blocks move, but where many prefer the
// same places it takes up to n^2 proposals on the CPU, and n rounds on the device.
#pragma once

#include "transport/blocks.h"
#include "transport/device_waiting.h"

namespace puzzlemix {

// Blocks are 0 to n - 1, places n to 2 n - 1.
class DominantPairs {
 public:
  PUZZLEMIX_HD DominantPairs(Arena& arena, int64_t n)
      : partner_(arena.take<uint16_t>(2 * n)), chain_(arena.take<uint16_t>(2 * n)) {}

  template <typename Team>
  PUZZLEMIX_HD void solve(Team& team, const Blocks& sample) const {
    const Blocks blocks = sample;
    const int n = blocks.cells();
    uint16_t *const partner = partner_, *const chain = chain_;
    team.for_each(2 * n, [=](int k) { partner[k] = kNobody; });
    int length = 0;
    for (int block = 0;;) {
      if (length == 0) {
        while (block < n && partner[block] != kNobody) ++block;
        if (block == n) break;
      }
      const int last = length == 0 ? block : chain[length - 1];
      const int best = best_of(team, blocks, last);
      const bool dominant = length > 1 && chain[length - 2] == best;
      const int at = length;
      team.for_each(1, [=](int) {
        if (dominant) {
          partner[last] = static_cast<uint16_t>(best);
          partner[best] = static_cast<uint16_t>(last);
        } else {
          if (at == 0) chain[0] = static_cast<uint16_t>(last);
          chain[at == 0 ? 1 : at] = static_cast<uint16_t>(best);
        }
      });
      length = dominant ? length - 2 : Most()(length, 1) + 1;
    }
    team.for_each(0, [](int) {});  // all have seen that no block is free
  }

  // Afterwards the block that goes to the place.
  PUZZLEMIX_HD int row(int place, int n) const { return partner_[n + place]; }

 private:
  // The best partner of a block, or of a place, among those that are free: the one of the least
  // cost, of several the first. The cost, below 2^31, and the index make one exact double.
  template <typename Team>
  PUZZLEMIX_HD int best_of(Team& team, const Blocks& sample, int one) const {
    const Blocks blocks = sample;
    const int n = blocks.cells();
    const uint16_t* const others = one < n ? partner_ + n : partner_;
    const int own = one < n ? one : one - n;
    const bool of_block = one < n;
    const double least = team.reduce(
        n, kInfinity,
        [=](int k) {
          const double cost = of_block ? blocks.cost(own, k) : blocks.cost(k, own);
          return others[k] == kNobody ? cost * kMostCells + k : kInfinity;
        },
        Least());
    const int index = static_cast<int>(static_cast<int64_t>(least) & (kMostCells - 1));
    return of_block ? n + index : index;
  }

  static constexpr int64_t kMostCells = kMaxSide * kMaxSide;

  uint16_t* partner_;  // of each; kNobody: it is free
  uint16_t* chain_;
};

}  // namespace puzzlemix
