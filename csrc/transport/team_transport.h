// masked_transport as device algorithms (see team_run.h and transport.h).
//
// Phases a sample of 16 x 16 blocks with smooth saliency and the masks of three labels, from
// loading to the total, for xi = 0.8, 0.1 and 0.01: approx 10, 21 and 61, exact 23, 208 and 1750.
#pragma once

#include "transport/team_matching.h"
#include "transport/team_paths.h"
#include "transport/team_prices.h"
#include "transport/team_turns.h"

namespace puzzlemix {

// Writes what row_of(place) says, and the total.
template <typename Team, typename RowOf>
PUZZLEMIX_HD void write_transport(Team& team, const TransportProblem& problem,
                                  const TeamBlocks& sample, int64_t b, RowOf row_of) {
  const TeamBlocks blocks = sample;
  const int n = blocks.cells();
  int64_t* const source = problem.source + b * n;
  const double total = team.add(n, [=](int j) {
    const int i = row_of(j);
    source[j] = i;
    return blocks.unit() * blocks.squared_distance(i, j) - blocks.saliency(i) * blocks.weight(j);
  });
  double* const totals = problem.total;
  team.step(1, [=](int) { totals[b] = total; });
}

// The stable matching (block_approx.h): blocks that could gain less than a step elsewhere stay, the
// others propose, each a thread that walks the rings around its place.
class TeamTransportApprox {
 public:
  using Problem = TransportProblem;

  struct Work {
    PUZZLEMIX_HD Work(Arena& arena, const Problem& p)
        : blocks(arena, p), matching(arena, p.height * p.width, true) {}

    TeamBlocks blocks;
    TeamMatching matching;
  };

  PUZZLEMIX_HD static Work layout(Arena& arena, const Problem& p) { return Work(arena, p); }
  static int items(const Problem& p) { return static_cast<int>(p.height * p.width); }

  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const Problem& problem, int64_t b) {
    TeamBlocks loaded = work.blocks;
    loaded.load(team, problem, b);
    const TeamBlocks blocks = loaded;
    TeamMatching matching = work.matching;
    if (blocks.step() == 0 && blocks.shown_or_not(team)) {
      const TeamMatching result = matching;
      TeamTurns(matching.spare()).solve(team, blocks, [=](int j, int i) { result.set_row(j, i); });
    } else {
      const TeamMatching started = matching;
      const int waiting = team.reduce(
          blocks.cells(), 0,
          [=](int i) {
            const double home = blocks.worth_at_home(i);
            const bool moves = blocks.worth_of(i, blocks.heaviest()) - home >= blocks.step();
            if (moves) {
              started.wait(i);
            } else {
              started.stay(i, -home);
            }
            return moves ? 1 : 0;
          },
          Sum());
      matching.solve(team, Rows{blocks}, blocks.cells(), waiting);
    }
    const TeamMatching result = matching;
    write_transport(team, problem, blocks, b, [=](int j) { return result.row(j); });
  }

 private:
  struct Rows {
    template <typename Team>
    PUZZLEMIX_HD void propose(Team& team, int slots, const TeamMatching& state) const {
      const TeamMatching matching = state;
      const TeamBlocks sample = blocks;
      team.step(slots, [=](int s) {
        const int row = matching.waiting(s);
        if (row == kNobody) return;
        const int column = choose(sample, matching, row);
        matching.template bid<Team>(s, column, matching.key(sample(row, column), row));
      });
    }

    // The cheapest place that accepts the block: no ring from r on has one for less than
    // D * r^2 - (the block's worth in a place of the largest weight).
    PUZZLEMIX_HD static int choose(const TeamBlocks& blocks, const TeamMatching& matching,
                                   int row) {
      const double most = blocks.worth_of(row, blocks.heaviest()), step = blocks.step();
      const int last = blocks.last_ring(row);
      double least = 0;
      int column = -1;
      for (int r = 0; r <= last && (column < 0 || step * (r * r) - most <= least); ++r) {
        blocks.ring(row, r, [&](int j, int squared) {
          const double cost = step * squared - blocks.worth_of(row, blocks.weight(j));
          if (column >= 0 && (cost > least || (cost == least && j > column))) return;
          if (!matching.accepts(j, matching.key(cost, row), row)) return;
          least = cost;
          column = j;
        });
      }
      return column;
    }

    PUZZLEMIX_HD double cost(int row, int column) const { return blocks(row, column); }

    TeamBlocks blocks;
  };
};

// A minimum-cost assignment (block_exact.h): the identity at prices that leave few blocks unhappy,
// and a shortest augmenting path for each of these.
class TeamTransportExact {
 public:
  using Problem = TransportProblem;

  struct Work {
    PUZZLEMIX_HD Work(Arena& arena, const Problem& p)
        : paths(arena, p.height * p.width),
          blocks(arena, p),
          waiting(arena, p.height * p.width),
          prices(arena, p.height * p.width, paths.spare()) {}

    TeamPaths paths;
    TeamBlocks blocks;
    WaitingRows waiting;
    TeamPrices prices;
  };

  PUZZLEMIX_HD static Work layout(Arena& arena, const Problem& p) { return Work(arena, p); }
  static int items(const Problem& p) { return static_cast<int>(p.height * p.width); }

  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const Problem& problem, int64_t b) {
    TeamBlocks loaded = work.blocks;
    loaded.load(team, problem, b);
    const TeamBlocks blocks = loaded;
    const TeamPaths paths = work.paths;
    WaitingRows waiting = work.waiting;
    if (blocks.step() == 0 && blocks.shown_or_not(team)) {
      TeamTurns(waiting).solve(team, blocks, [=](int j, int i) { paths.set_row(j, i); });
    } else {
      const TeamPrices prices = work.prices;
      prices.set(team, blocks, &paths.price(0));
      team.mask(blocks.cells(), waiting.words, [=](int i) {
        const bool moves = !prices.happy(blocks, &paths.price(0), i);
        if (moves) {
          paths.vacate(i);
        } else {
          paths.stay(i);
        }
        return moves;
      });
      const int count = waiting.pick(team, blocks.cells(), [=](int i) { return i; });
      paths.assign(team, blocks, blocks.cells(), waiting, count);
    }
    write_transport(team, problem, blocks, b, [=](int j) { return paths.row(j); });
  }
};

}  // namespace puzzlemix
