// The decision on one pair from its pooled images, for every team: block coordinate descent on the
// objective of Puzzle Mix (Kim, Choo and Song, ICML 2020, section 4).
//
// A cycle solves three problems. With the permutations fixed the mask is a labelling problem on the
// cut's grid, solved by a graph cut. With the mask fixed the permutation of either image is a
// transport problem. The next cycle measures shares and distances through these permutations and is
// kept if the objective falls; the first cycle is always kept. Most calls have one cycle.
#pragma once

#include "puzzle/stages.h"
#include "transport/blocks.h"

namespace puzzlemix {

// The memory of one pair. `plane`: the size of a plane of the cut's grid (graphcut/integers.h).
struct DecisionWork {
  PUZZLEMIX_HD DecisionWork(Arena& arena, const PuzzleCall& call, int plane)
      : integers(arena, call.shape(), plane, call.labels),
        label(arena.take<int32_t>(plane)),
        table(arena),
        lines(arena.take<double>(4 * kMaxSide)),
        given(arena, plane, call.labels),
        down(arena, call.width, plane),
        right(arena, call.width, plane),
        shift(arena.take<int32_t>(call.moves_windows() ? 2 * moving(call) : 0)),
        seen{arena.take<double>(plane), arena.take<double>(plane)},
        trial{arena.take<int64_t>(retried(call)), arena.take<int64_t>(retried(call))},
        moved{arena.take<double>(call.rereads_pixels() ? call.image_cells() : 0),
              arena.take<double>(call.rereads_pixels() ? call.image_cells() : 0)} {}

  IntegerLabeling integers;
  int32_t* label;
  LabelTable table;
  double* lines;
  GivenLabeling given;
  EdgePlanes down, right;
  int32_t* shift;   // [2, h', w']
  double* seen[2];  // for either image, the shares that the permutations bring to the cut's blocks
  int64_t* trial[2];  // the permutations of a later cycle, until it is kept
  double* moved[2];   // the windows of either image, pooled after its blocks have moved

 private:
  PUZZLEMIX_HD static int moving(const PuzzleCall& call) {
    return call.transport == Transport::none ? 0 : call.fine_cells();
  }
  PUZZLEMIX_HD static int retried(const PuzzleCall& call) {
    return call.cycles > 1 ? moving(call) : 0;
  }
};

// A pair while it is decided. In memory, as a device has no registers to spare during a cut.
struct Pair {
  PUZZLEMIX_HD Pair(const PuzzleCall& call, int64_t number, const View& images)
      : number(number),
        images(images),
        source{of(call, call.source1), of(call, call.source2)},
        best(0) {}

  int64_t number;
  View images;         // as pooled
  int64_t* source[2];  // where its permutations go; null without transport
  double best;         // the objective of the last cycle that was kept

 private:
  PUZZLEMIX_HD int64_t* of(const PuzzleCall& call, int64_t* sources) const {
    return call.transport == Transport::none ? nullptr : sources + number * call.fine_cells();
  }
};

// Decides a pair and writes its plan. `engines` has
//   cut(team, integers, label)
//   transport(team, blocks, source), which returns the sum of the squared distances of all moves.
// blocks.lay_out() must have been called. Returns whether the costs are within their bound.
template <typename Team, typename Engines>
PUZZLEMIX_HD bool decide(Team& team, const PuzzleCall& call, const LabelCost& cost,
                         const DecisionWork& work, const Blocks& blocks, Pair* pair,
                         Engines& engines) {
  const bool moves = call.transport != Transport::none;
  // The caller may ask for the objective, and a later cycle is judged by it.
  const bool needs_objective = call.objective || (moves && call.cycles > 1);
  tabulate_labels(team, call, pair->number, work.table);
  int64_t squared = 0;
  // Where a cycle writes the permutation of image a.
  const auto found = [&](int cycle, int a) { return cycle > 0 ? work.trial[a] : pair->source[a]; };
  for (int cycle = 0;; ++cycle) {
    // If the first cycle moves nothing, the first measurement is still right.
    if (cycle == 0 || (needs_objective && (cycle > 1 || squared > 0))) {
      measure_permuted(team, call, work, *pair, cycle > 0 ? found(cycle - 1, 0) : nullptr,
                       cycle > 0 ? found(cycle - 1, 1) : nullptr);
    }
    if (cycle > 0) {
      const double value = needs_objective
                               ? objective(team, call, work.seen[0], work.seen[1], work.down,
                                           work.right, work.table, work.label, squared, work.lines)
                               : 0;
      if (cycle > 1 && !(value < pair->best)) return true;
      keep(team, call, work, pair, cycle, value);
      // Without transport a later cycle would solve the same problem.
      if (!moves || cycle == call.cycles) return true;
    }
    write_costs(team, call, work.seen[0], work.seen[1], work.down, work.right, work.table,
                work.given);
    if (Team::kChecked && !finite_costs(team, call, work.given)) return false;
    if (!round_labeling(team, work.given, cost, false, work.integers) && Team::kChecked) {
      return false;
    }
    engines.cut(team, work.integers, work.label);
    squared = 0;
    PUZZLEMIX_NO_UNROLL
    for (int a = 0; moves && a < 2; ++a) {
      squared += move(team, call, blocks, pair->images.shares[a], work.label,
                      a == 0 ? 0 : call.labels - 1, engines, found(cycle, a));
    }
  }
}

// Writes what the last of so many cycles has found, as its plan is better than that of those
// before.
template <typename Team>
PUZZLEMIX_HD void keep(Team& team, const PuzzleCall& call, const DecisionWork& work, Pair* pair,
                       int cycles, double value) {
  Pair* const to = pair;
  double* const objective = call.objective;
  write_mask(team, call, pair->number, work.label);
  team.for_each(1, [=](int) {
    to->best = value;
    if (objective) objective[to->number] = value;
  });
  if (cycles == 1) return;
  const int64_t *const trial1 = work.trial[0], *const trial2 = work.trial[1];
  int64_t *const source1 = pair->source[0], *const source2 = pair->source[1];
  team.for_each(call.fine_cells(), [=](int j) {
    source1[j] = trial1[j];
    source2[j] = trial2[j];
  });
}

// Measures the distances and shares of a pair as two permutations leave them; null is the identity.
template <typename Team>
PUZZLEMIX_HD void measure_permuted(Team& team, const PuzzleCall& call, const DecisionWork& work,
                                   const Pair& pair, const int64_t* source1,
                                   const int64_t* source2) {
  View view = pair.images;
  view.source[0] = source1;
  view.source[1] = source2;
  if (source1 && call.moves_windows()) {
    find_shifts(team, call, view, work.shift);
    view.shift = work.shift;
  } else if (source1) {
    pool_moved(team, call, {0, pair.number}, source1, work.moved[0]);
    pool_moved(team, call, {1, call.partner_of(pair.number)}, source2, work.moved[1]);
    view.cells[0] = work.moved[0];
    view.cells[1] = work.moved[1];
  }
  measure(team, call, view, work.down, work.right);
  permute_shares(team, call, view.shares[0], source1, work.seen[0]);
  permute_shares(team, call, view.shares[1], source2, work.seen[1]);
}

// Solves the transport of one image, which the mask hides in blocks of label `hidden`. Returns the
// sum of the squared distances of its moves.
template <typename Team, typename Engines>
PUZZLEMIX_HD int64_t move(Team& team, const PuzzleCall& call, const Blocks& given,
                          const double* shares, const int32_t* label, int hidden, Engines& engines,
                          int64_t* source) {
  Blocks blocks = given;
  double *const saliency = blocks.saliency(), *const weight = blocks.weight();
  const int tall = call.tall, wide = call.wide, width = call.width;
  team.for_each(call.height, width, [=](int y, int x) {
    const double shown = label[y * width + x] != hidden ? 1.0 : 0.0;
    for (int i = 0; i < tall; ++i) {
      const int first = ((y * tall + i) * width + x) * wide;
      for (int place = first; place < first + wide; ++place) {
        saliency[place] = shares[place];
        weight[place] = shown;
      }
    }
  });
  blocks.scale(team, call.xi, true);
  return engines.transport(team, blocks, source);
}

}  // namespace puzzlemix
