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

// Measures the distances and shares of a pair as two permutations leave them; null is the identity.
template <typename Team>
PUZZLEMIX_HD void measure_permuted(Team& team, const PuzzleCall& call, const DecisionWork& work,
                                   const View& images, int64_t b, const int64_t* source1,
                                   const int64_t* source2) {
  View view = images;
  view.source[0] = source1;
  view.source[1] = source2;
  if (source1 && call.moves_windows()) {
    find_shifts(team, call, view, work.shift);
    view.shift = work.shift;
  } else if (source1) {
    pool_moved(team, call, {0, b}, source1, work.moved[0]);
    pool_moved(team, call, {1, call.partner_of(b)}, source2, work.moved[1]);
    view.cells[0] = work.moved[0];
    view.cells[1] = work.moved[1];
  }
  measure(team, call, view, work.down, work.right);
  permute_shares(team, call, view, 0, work.seen[0]);
  permute_shares(team, call, view, 1, work.seen[1]);
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
  blocks.scale(team, call.xi);
  return engines.transport(team, blocks, source);
}

// Decides pair b, whose pooled images are in `images`, and writes its plan. `engines` has
//   cut(team, integers, label)
//   transport(team, blocks, source), which returns the sum of the squared distances of all moves.
// blocks.lay_out() must have been called. Returns whether the costs are within their bound.
template <typename Team, typename Engines>
PUZZLEMIX_HD bool decide(Team& team, const PuzzleCall& call, const LabelCost& cost,
                         const DecisionWork& work, const Blocks& blocks, const View& images,
                         int64_t b, Engines& engines) {
  const int places = call.fine_cells();
  const bool moves = call.transport != Transport::none;
  // The caller may ask for the objective, and a later cycle is judged by it.
  const bool needs_objective = call.objective || (moves && call.cycles > 1);
  int64_t* const source1 = moves ? call.source1 + b * places : nullptr;
  int64_t* const source2 = moves ? call.source2 + b * places : nullptr;
  tabulate_labels(team, call, b, work.table);
  measure_permuted(team, call, work, images, b, nullptr, nullptr);
  double best = 0;
  for (int64_t cycle = 0; cycle < call.cycles; ++cycle) {
    write_costs(team, call, work.seen[0], work.seen[1], work.down, work.right, work.table,
                work.given);
    if (Team::kChecked && !finite_costs(team, call, work.given)) return false;
    if (!round_labeling(team, work.given, cost, false, work.integers) && Team::kChecked) {
      return false;
    }
    engines.cut(team, work.integers, work.label);
    int64_t* const trial1 = cycle == 0 ? source1 : work.trial[0];
    int64_t* const trial2 = cycle == 0 ? source2 : work.trial[1];
    int64_t squared = 0;
    if (moves) {
      squared =
          move(team, call, blocks, images.shares[0], work.label, 0, engines, trial1) +
          move(team, call, blocks, images.shares[1], work.label, call.labels - 1, engines, trial2);
      // If the first cycle moves nothing, the first measurement is still right.
      if (needs_objective && (cycle > 0 || squared > 0)) {
        measure_permuted(team, call, work, images, b, trial1, trial2);
      }
    }
    const double value = needs_objective
                             ? objective(team, call, work.seen[0], work.seen[1], work.down,
                                         work.right, work.table, work.label, squared, work.lines)
                             : 0;
    if (cycle > 0 && !(value < best)) break;
    best = value;
    write_mask(team, call, b, work.label);
    if (cycle > 0) {
      team.for_each(places, [=](int j) {
        source1[j] = trial1[j];
        source2[j] = trial2[j];
      });
    }
    if (!moves) break;  // without transport a later cycle would solve the same problem
  }
  double* const out = call.objective ? call.objective + b : nullptr;
  team.for_each(1, [=](int) {
    if (out) *out = best;
  });
  return true;
}

}  // namespace puzzlemix
