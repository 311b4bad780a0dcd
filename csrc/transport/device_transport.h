// Block transport as device algorithms (see device_algorithm.h and transport.h).
//
// Phases a sample of 16 x 16 blocks with smooth saliency and the masks of three labels, from
// loading to the total, for xi = 0.8, 0.1 and 0.01: approx 12, 19 and 38, exact 16, 145 and 933.
#pragma once

#include "element.h"
#include "transport/device_matching.h"
#include "transport/device_paths.h"
#include "transport/dominant_pairs.h"
#include "transport/prices.h"
#include "transport/serial_dictatorship.h"
#include "transport/transport.h"

namespace puzzlemix {

// The proposer-optimal stable matching of blocks and places by deferred acceptance (Gale and
// Shapley 1962; block_approx.h explains why blocks stay that could gain less elsewhere than a move
// by one block costs). The others propose: a thread each, which walks the rings around the block's
// place. Where many rounds don't suffice, locally dominant pairs are matched instead
// (dominant_pairs.h), so that no input takes more than 2 most_rounds(n) + 8 n phases and a few.
//
// After solve(), row(place) is the block that goes there.
class DeviceBlockApprox {
 public:
  PUZZLEMIX_HD DeviceBlockApprox(Arena& arena, int height, int width)
      : matching_(arena, height * width, height * width, true),
        dictatorship_(arena, height * width),
        dominant_(arena, height * width) {}

  template <typename Team>
  PUZZLEMIX_HD void solve(Team& team, const Blocks& sample) const {
    const Blocks blocks = sample;
    const int n = blocks.cells();
    const DeviceMatching matching = matching_;
    if (blocks.move_cost() == 0) {
      dictatorship_.solve(team, blocks, [=](int j, int i) { matching.set_row(j, i); });
      return;
    }
    const int waiting = team.reduce(
        n, 0,
        [=](int i) {
          const double home = blocks.worth_at_home(i);
          const bool moves = blocks.worth_of(i, blocks.heaviest()) - home >= blocks.move_cost();
          if (moves) {
            matching.vacate(i);
            matching.wait(i);
          } else {
            matching.stay(i, -home);
          }
          return moves ? 1 : 0;
        },
        Sum());
    DeviceMatching rounds = matching;
    if (rounds.solve(team, Rows{blocks}, n, waiting, most_rounds(n))) return;
    const DominantPairs dominant = dominant_;
    dominant.solve(team, blocks);
    team.for_each(n, [=](int j) { matching.set_row(j, dominant.row(j, n)); });
  }

  // Ten times what smooth saliency and masks of cuts take (bench/results/phases.md).
  PUZZLEMIX_HD static int most_rounds(int cells) { return 32 + cells / 32; }

  PUZZLEMIX_HD int row(int place) const { return matching_.row(place); }

 private:
  struct Rows {
    template <typename Team>
    PUZZLEMIX_HD void propose(Team& team, int slots, const DeviceMatching& state) const {
      const DeviceMatching matching = state;
      const Blocks sample = blocks;
      team.for_each(slots, [=](int s) {
        const int row = matching.waiting(s);
        if (row == kNobody) return;
        const int column = choose(sample, matching, row);
        matching.template bid<Team>(s, column, matching.key(sample.cost(row, column), row));
      });
    }

    // The cheapest place that accepts the block. Rings are visited from the nearest: no place in a
    // ring from r on costs less than D * r^2 minus the block's worth in a place of the largest
    // weight.
    PUZZLEMIX_HD static int choose(const Blocks& blocks, const DeviceMatching& matching, int row) {
      const double most = blocks.worth_of(row, blocks.heaviest()), move_cost = blocks.move_cost();
      const int last = blocks.last_ring(row);
      double least = 0;
      int column = -1;
      for (int r = 0; r <= last && (column < 0 || move_cost * (r * r) - most <= least); ++r) {
        blocks.ring(row, r, [&](int j, int squared) {
          const double cost = move_cost * squared - blocks.worth_of(row, blocks.weight()[j]);
          if (column >= 0 && (cost > least || (cost == least && j > column))) return;
          if (!matching.accepts(j, matching.key(cost, row), row)) return;
          least = cost;
          column = j;
        });
      }
      return column;
    }

    PUZZLEMIX_HD double cost(int row, int column) const { return blocks.cost(row, column); }

    Blocks blocks;
  };

  DeviceMatching matching_;
  SerialDictatorship dictatorship_;
  DominantPairs dominant_;
};

// A minimum-cost assignment of blocks to places: starts from the identity at prices at which few
// blocks violate complementary slackness (prices.h), and finds a shortest augmenting path for each
// of these (Jonker and Volgenant 1987; device_paths.h).
class DeviceBlockExact {
 public:
  PUZZLEMIX_HD DeviceBlockExact(Arena& arena, int height, int width)
      : paths_(arena, height * width, height * width),
        waiting_(arena, height * width, height * width),
        least_(arena.take<double>(height * width)),
        prices_(arena, height, width),
        dictatorship_(arena, height * width) {}

  template <typename Team>
  PUZZLEMIX_HD void solve(Team& team, const Blocks& sample) const {
    const Blocks blocks = sample;
    const DevicePaths paths = paths_;
    const int n = blocks.cells();
    if (blocks.move_cost() == 0 && blocks.shown_or_not(team)) {
      dictatorship_.solve(team, blocks, [=](int j, int i) { paths.set_row(j, i); });
      return;
    }
    const double* const least = least_;
    if (!prices_.set(team, blocks, &paths.price(0), least_)) {
      team.for_each(n, [=](int i) { paths.stay(i); });
      return;
    }
    WaitingRows waiting = waiting_;
    team.mask(n, waiting.words, [=](int i) {
      const bool moves = violates_slackness(blocks, paths, least, i);
      if (moves) {
        paths.vacate(i);
      } else {
        paths.stay(i);
      }
      return moves;
    });
    const int count = waiting.pick(team, n, [=](int i) { return i; });
    paths.assign(team, Costs{blocks}, n, waiting, count);
  }

  PUZZLEMIX_HD int row(int place) const { return paths_.row(place); }

 private:
  struct Costs {
    PUZZLEMIX_HD double operator()(int row, int column) const { return blocks.cost(row, column); }

    Blocks blocks;
  };

  // Whether some place has a lower reduced cost for block i than its own place.
  PUZZLEMIX_HD static bool violates_slackness(const Blocks& blocks, const DevicePaths& paths,
                                              const double* least, int i) {
    const double dual = paths.price(i) - blocks.worth_at_home(i);
    const int last = blocks.last_ring(i);
    bool cheaper = false;
    for (int r = 1; !cheaper && r <= last && blocks.move_cost() * (r * r) + least[i] < dual; ++r) {
      blocks.ring(i, r, [&](int j, int squared) {
        const double cost =
            blocks.move_cost() * squared - blocks.worth_of(i, blocks.weight()[j]) + paths.price(j);
        cheaper = cheaper || cost < dual;
      });
    }
    return cheaper;
  }

  DevicePaths paths_;
  WaitingRows waiting_;
  double* least_;  // by block, a lower bound on price minus worth over all places
  Prices prices_;
  SerialDictatorship dictatorship_;
};

// masked_transport as a device algorithm, solved by an engine.
template <typename Engine>
class DeviceTransport {
 public:
  using Problem = TransportProblem;

  struct Work {
    PUZZLEMIX_HD Work(Arena& arena, const Problem& p)
        : Work(arena, static_cast<int>(p.height), static_cast<int>(p.width)) {}

    Engine engine;
    Blocks blocks;

   private:
    PUZZLEMIX_HD Work(Arena& arena, int height, int width)
        : engine(arena, height, width), blocks(arena, height, width) {}
  };

  static int items(const Problem& p) { return static_cast<int>(p.height * p.width); }

  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const Problem& problem, int64_t b) {
    Blocks blocks = work.blocks;
    blocks.lay_out(team);
    load(team, blocks, problem, b);
    blocks.scale(team, problem.xi, problem.indicator);
    const Engine engine = work.engine;
    engine.solve(team, blocks);
    const auto row = [=](int j) { return engine.row(j); };
    const double total = blocks.total(team, blocks.squared_distances(team, row), row);
    const int n = blocks.cells();
    int64_t* const source = problem.source + b * n;
    double* const at = problem.total + b;
    team.for_each(n, [=](int j) {
      source[j] = engine.row(j);
      if (j == 0) *at = total;
    });
  }

 private:
  // Reads a sample. Forbidden values count as the nearest allowed one; NaN and infinity count as 0.
  template <typename Team>
  PUZZLEMIX_HD static void load(Team& team, const Blocks& blocks, const Problem& problem,
                                int64_t b) {
    const int n = blocks.cells();
    const int64_t first = b * n;
    const Array saliency = problem.saliency, mask = problem.mask;
    const bool indicator = problem.indicator;
    double *const s = blocks.saliency(), *const w = blocks.weight();
    team.for_each(n, [=](int i) {
      s[i] = capacity_element(saliency, first + i);
      const double z = Least()(capacity_element(mask, first + i), 1.0);
      w[i] = indicator && z > 0 ? 1.0 : z;
    });
  }
};

using DeviceTransportApprox = DeviceTransport<DeviceBlockApprox>;
using DeviceTransportExact = DeviceTransport<DeviceBlockExact>;

}  // namespace puzzlemix
