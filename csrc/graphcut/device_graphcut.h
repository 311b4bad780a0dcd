// The graph cuts of graphcut.h as device algorithms (see device_algorithm.h).
#pragma once

#include "graphcut/device_exact.h"
#include "graphcut/device_swap.h"
#include "graphcut/integers.h"

namespace puzzlemix {

// alpha_beta_swap or exact_labeling: Engine is DeviceSwapEngine or DeviceExactEngine, and kConvex
// says whether the label cost has to be convex.
template <typename Engine, bool kConvex>
struct DeviceLabeling {
  using Problem = DeviceLabelingProblem;

  struct Work {
    PUZZLEMIX_HD Work(Arena& arena, const Problem& p)
        : Work(arena, GridShape(p.height, p.width), p.labels) {}

    typename Engine::Work engine;
    IntegerLabeling integers;
    int32_t* label;
    LabelCost* cost;
    GivenLabeling given;

   private:
    PUZZLEMIX_HD Work(Arena& arena, GridShape shape, int labels)
        : engine(arena, shape, labels),
          integers(arena, shape, shape.cells(), labels),
          label(arena.take<int32_t>(shape.cells())),
          cost(arena.take<LabelCost>(1)),
          given(arena, shape.cells(), labels) {}
  };

  static int items(const Problem& p) { return p.height * p.width; }
  static int lanes(const Problem& p) {
    return Engine::lanes(GridShape(p.height, p.width), p.labels);
  }

  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const Problem& problem, int64_t b) {
    const GridShape shape(problem.height, problem.width);
    read_label_cost(team, problem, kConvex, work.cost);
    read_labeling(team, problem, b, work.given);
    round_labeling(team, work.given, *work.cost, problem.integers, work.integers);
    Engine::solve(team, work.engine, work.integers, work.cost, problem.max_cycles, work.label);
    const int n = shape.cells();
    const int32_t* const label = work.label;
    int64_t* const out = problem.out + b * n;
    double* const energies = problem.energy + b;
    team.for_each(n, [=](int i) { out[i] = label[i]; });
    const double energy = labeling_energy(team, work.given, shape, work.cost, label);
    team.for_each(1, [=](int) { *energies = energy; });
  }
};

using DeviceSwap = DeviceLabeling<DeviceSwapEngine, false>;
using DeviceExact = DeviceLabeling<DeviceExactEngine, true>;

struct DeviceMinCut {
  using Problem = MinCutProblem;

  struct Work {
    PUZZLEMIX_HD Work(Arena& arena, const Problem& p) : Work(arena, lanes(p), p.height * p.width) {}

    int32_t* warp;  // used where lanes solve a sample, which read it as shared memory
    DeviceCut cut;  // used where all threads do
    IntegerCut integers;
    GivenCut given;

   private:
    PUZZLEMIX_HD Work(Arena& arena, int lanes, int cells)
        : warp(take_for_lanes<WarpMinCut>(arena, lanes, 2)),
          cut(arena, lanes > 0 ? 0 : cells, GridGraph::axes),
          integers(arena, cells),
          given(arena, cells) {}
  };

  static int items(const Problem& p) { return p.height * p.width; }
  PUZZLEMIX_HD static int lanes(const Problem& p) {
    return lanes_for<WarpMinCut>(GridShape(p.height, p.width), 2);
  }

  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const Problem& problem, int64_t b) {
    const GridShape shape(problem.height, problem.width);
    read_cut(team, problem, b, work.given);
    round_cut(team, work.given, shape, problem.integers, work.integers);
    bool* const segment = problem.segment + b * shape.cells();
    const bool solved =
        solve_by_lanes<WarpMinCut>(team, lanes(problem), work.warp, shape, work.integers, segment);
    if (!solved) cut(team, work, shape, segment);
    double* const flows = problem.flow + b;
    const double flow = cut_capacity(team, work.given, shape, [=](int i) { return segment[i]; });
    team.for_each(1, [=](int) { *flows = flow; });
  }

 private:
  template <typename Team>
  PUZZLEMIX_HD static void cut(Team& team, const Work& work, GridShape shape, bool* segment) {
    const int n = shape.cells();
    const IntegerCut integers = work.integers;
    DeviceCut cut = work.cut;
    const GridGraph graph{
        n, shape.width, integers.right, integers.down, integers.right, integers.down, 1, nullptr, 0,
        0};
    team.for_each(n, [=](int i) {
      cut.excess(i) = integers.excess[i];
      cut.clear(graph, i);
    });
    cut.solve(team, graph);
    const DeviceCut solved = cut;
    team.for_each(n, [=](int i) { segment[i] = solved.on_sink_side(i); });
  }
};

struct DeviceLabelingEnergy {
  using Problem = DeviceLabelingProblem;

  struct Work {
    PUZZLEMIX_HD Work(Arena& arena, const Problem& p)
        : cost(arena.take<LabelCost>(1)), given(arena, p.height * p.width, p.labels) {}

    LabelCost* cost;
    GivenLabeling given;
  };

  static int items(const Problem& p) { return p.height * p.width; }

  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const Problem& problem, int64_t b) {
    const GridShape shape(problem.height, problem.width);
    read_label_cost(team, problem, false, work.cost);
    read_labeling(team, problem, b, work.given);
    const int64_t* const labels = problem.out + b * shape.cells();
    const double energy = labeling_energy(team, work.given, shape, work.cost, labels);
    double* const energies = problem.energy + b;
    team.for_each(1, [=](int) { *energies = energy; });
  }
};

}  // namespace puzzlemix
