// The matching of blocks and places for a team where moving is free (D = 0) and weights are 0 and
// w: what BlockTurns (block_turns.h) finds one by one, by counting, in six phases.
#pragma once

#include "transport/team_blocks.h"
#include "transport/team_waiting.h"

namespace puzzlemix {

class TeamTurns {
 public:
  // Works in memory that a solver has at hand.
  PUZZLEMIX_HD explicit TeamTurns(const WaitingRows& spare)
      : rows_(spare.row), words_(spare.words) {}

  // The blocks of most worth, in that order (the lower index on a tie), take the shown places from
  // the lowest on; of all else the lowest block goes to the lowest place. set(place, block)
  template <typename Team, typename Set>
  PUZZLEMIX_HD void solve(Team& team, const TeamBlocks& sample, Set set) const {
    const TeamBlocks blocks = sample;
    const int n = blocks.cells();
    const double w = blocks.heaviest();
    uint16_t* const rows = rows_;
    uint32_t* const words = words_;
    const auto shown = [=](int j) { return w > 0 && blocks.weight(j) == w; };
    const int places = team.reduce(n, 0, [=](int j) { return shown(j) ? 1 : 0; }, Sum());
    const int worthy =
        team.reduce(n, 0, [=](int i) { return blocks.worth_of(i, w) > 0 ? 1 : 0; }, Sum());
    const int served = Least()(places, worthy);
    team.mask(n, words, [=](int i) {
      const double mine = blocks.worth_of(i, w);
      int before = 0;
      for (int k = 0; k < n; ++k) {
        const double other = blocks.worth_of(k, w);
        before += other > mine || (other == mine && k < i) ? 1 : 0;
      }
      if (before >= served) return false;
      rows[before] = static_cast<uint16_t>(i);
      return true;
    });
    team.step(n, [=](int i) {
      if (!has_bit(words, i)) rows[served + i - bits_before(words, i)] = static_cast<uint16_t>(i);
    });
    team.mask(n, words, shown);
    team.step(n, [=](int j) {
      const int before = bits_before(words, j);
      const bool mine = has_bit(words, j) && before < served;
      set(j, rows[mine ? before : served + j - Least()(before, served)]);
    });
  }

 private:
  uint16_t* rows_;
  uint32_t* words_;
};

}  // namespace puzzlemix
