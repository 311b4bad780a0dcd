// The graph cuts of graphcut.h as device algorithms (see device_algorithm.h).
#pragma once

#include "graphcut/device_exact.h"
#include "graphcut/device_swap.h"
#include "graphcut/integers.h"

namespace puzzlemix {

// One of the labellings by its engine, DeviceSwapEngine or DeviceExactEngine.
template <typename Engine, bool kConvex>
struct DeviceLabeling {
  using Problem = DeviceLabelingProblem;

  struct Work {
    PUZZLEMIX_HD Work(Arena& arena, GridShape shape, int labels)
        : engine(arena, shape, labels),
          integers(arena, shape, shape.cells(), labels),
          label(arena.take<int32_t>(shape.cells())),
          cost(arena.take<LabelCost>(1)),
          given(arena, shape.cells(), labels) {}

    typename Engine::Work engine;
    IntegerLabeling integers;
    int32_t* label;
    LabelCost* cost;
    GivenLabeling given;
  };

  PUZZLEMIX_HD static Work layout(Arena& arena, const Problem& p) {
    return Work(arena, GridShape(p.height, p.width), p.labels);
  }
  static int items(const Problem& p) { return p.height * p.width; }

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
    team.step(n, [=](int i) { out[i] = label[i]; });
    const double energy = labeling_energy(team, work.given, shape, work.cost, label);
    team.step(1, [=](int) { *energies = energy; });
  }
};

using DeviceSwap = DeviceLabeling<DeviceSwapEngine, false>;
using DeviceExact = DeviceLabeling<DeviceExactEngine, true>;

struct DeviceMinCut {
  using Problem = MinCutProblem;

  struct Work {
    PUZZLEMIX_HD Work(Arena& arena, GridShape shape)
        : Work(arena, WarpGrid::fits(shape), shape.cells()) {}

    WarpMinCut::Work warp;  // for small grids
    DeviceCut cut;          // for others
    IntegerCut integers;
    GivenCut given;

   private:
    PUZZLEMIX_HD Work(Arena& arena, bool small, int cells)
        : warp(arena, small),
          cut(arena, small ? 0 : cells, GridGraph::axes),
          integers(arena, cells),
          given(arena, cells) {}
  };

  PUZZLEMIX_HD static Work layout(Arena& arena, const Problem& p) {
    return Work(arena, GridShape(p.height, p.width));
  }
  static int items(const Problem& p) { return p.height * p.width; }

  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const Problem& problem, int64_t b) {
    const GridShape shape(problem.height, problem.width);
    read_cut(team, problem, b, work.given);
    round_cut(team, work.given, shape, problem.integers, work.integers);
    bool* const segment = problem.segment + b * shape.cells();
    if (WarpGrid::fits(shape)) {
      WarpMinCut::solve(team, work.warp, shape, work.integers, segment);
    } else {
      cut(team, work, shape, segment);
    }
    double* const flows = problem.flow + b;
    const double flow = cut_capacity(team, work.given, shape, [=](int i) { return segment[i]; });
    team.step(1, [=](int) { *flows = flow; });
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
    team.step(n, [=](int i) {
      cut.excess(i) = integers.excess[i];
      cut.clear(graph, i);
    });
    cut.solve(team, graph);
    const DeviceCut solved = cut;
    team.step(n, [=](int i) { segment[i] = solved.on_sink_side(i); });
  }
};

struct DeviceLabelingEnergy {
  using Problem = DeviceLabelingProblem;

  struct Work {
    PUZZLEMIX_HD Work(Arena& arena, int cells, int labels)
        : cost(arena.take<LabelCost>(1)), given(arena, cells, labels) {}

    LabelCost* cost;
    GivenLabeling given;
  };

  PUZZLEMIX_HD static Work layout(Arena& arena, const Problem& p) {
    return Work(arena, p.height * p.width, p.labels);
  }
  static int items(const Problem& p) { return p.height * p.width; }

  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const Problem& problem, int64_t b) {
    const GridShape shape(problem.height, problem.width);
    read_label_cost(team, problem, false, work.cost);
    read_labeling(team, problem, b, work.given);
    const int64_t* const labels = problem.out + b * shape.cells();
    const double energy = labeling_energy(team, work.given, shape, work.cost, labels);
    double* const energies = problem.energy + b;
    team.step(1, [=](int) { *energies = energy; });
  }
};

}  // namespace puzzlemix
