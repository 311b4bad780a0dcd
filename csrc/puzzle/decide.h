// The decision on one pair once its images are pooled, for any team: cut and transports in turns.
#pragma once

#include "puzzle/stages.h"
#include "transport/blocks.h"

namespace puzzlemix {

// The memory of one pair. `plane`: numbers of a plane of the cut's grid (see graphcut/integers.h).
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
  int32_t* shift;     // [2, h', w']
  double* seen[2];    // shares in the cut's grid
  int64_t* trial[2];  // permutations of a later cycle
  double* moved[2];   // windows of images whose blocks have moved

 private:
  PUZZLEMIX_HD static int moving(const PuzzleCall& call) {
    return call.transport == Transport::none ? 0 : call.fine_cells();
  }
  PUZZLEMIX_HD static int retried(const PuzzleCall& call) {
    return call.cycles > 1 ? moving(call) : 0;
  }
};

// What a pair shows through two permutations: null for blocks where they were.
template <typename Team>
PUZZLEMIX_HD void look_through(Team& team, const PuzzleCall& call, const DecisionWork& work,
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
  see_shares(team, call, view, 0, work.seen[0]);
  see_shares(team, call, view, 1, work.seen[1]);
}

// The transport of one image, which is hidden where its label is `hidden`. Returns the sum of the
// squared distances of its moves.
template <typename Team, typename Engines>
PUZZLEMIX_HD int64_t move(Team& team, const PuzzleCall& call, const Blocks& given,
                          const double* shares, const int32_t* label, int hidden, Engines& engines,
                          int64_t* source) {
  Blocks blocks = given;
  double *const saliency = blocks.saliency(), *const weight = blocks.weight();
  const int tall = call.tall, wide = call.wide, width = call.width;
  team.step(call.height, width, [=](int y, int x) {
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

// Decides pair b, whose pooled images are in `images`, and writes the plan. The engines have
//   cut(team, integers, label)
//   transport(team, blocks, source), which returns the sum of the squared distances of all moves.
// `blocks` have been laid out. Returns whether the costs are within their bound.
template <typename Team, typename Engines>
PUZZLEMIX_HD bool decide(Team& team, const PuzzleCall& call, const LabelCost& cost,
                         const DecisionWork& work, const Blocks& blocks, const View& images,
                         int64_t b, Engines& engines) {
  const int places = call.fine_cells();
  const bool moves = call.transport != Transport::none;
  // Whether somebody asks for the objective: the caller, or a later cycle.
  const bool judged = call.objective || (moves && call.cycles > 1);
  int64_t* const source1 = moves ? call.source1 + b * places : nullptr;
  int64_t* const source2 = moves ? call.source2 + b * places : nullptr;
  tabulate_labels(team, call, b, work.table);
  look_through(team, call, work, images, b, nullptr, nullptr);
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
      // Where nothing has moved, what was seen is seen.
      if (judged && (cycle > 0 || squared > 0)) {
        look_through(team, call, work, images, b, trial1, trial2);
      }
    }
    const double value = judged ? objective(team, call, work.seen[0], work.seen[1], work.down,
                                            work.right, work.table, work.label, squared, work.lines)
                                : 0;
    if (cycle > 0 && !(value < best)) break;
    best = value;
    write_mask(team, call, b, work.label);
    if (cycle > 0) {
      team.step(places, [=](int j) {
        source1[j] = trial1[j];
        source2[j] = trial2[j];
      });
    }
    if (!moves) break;  // nothing that a later cycle could see otherwise
  }
  double* const out = call.objective ? call.objective + b : nullptr;
  team.step(1, [=](int) {
    if (out) *out = best;
  });
  return true;
}

}  // namespace puzzlemix
