// The graph cuts of graphcut.h as device algorithms (see team_run.h).
#pragma once

#include "graphcut/team_exact.h"
#include "graphcut/team_swap.h"

namespace puzzlemix {

struct TeamMinCut {
  using Problem = MinCutProblem;

  struct Work {
    PUZZLEMIX_HD Work(Arena& arena, const Problem& p)
        : cut(arena, p.height * p.width, GridGraph::axes),
          right(arena.take<int32_t>(p.height * p.width)),
          down(arena.take<int32_t>(p.height * p.width)) {}

    TeamCut cut;
    int32_t *right, *down;
  };

  PUZZLEMIX_HD static Work layout(Arena& arena, const Problem& p) { return Work(arena, p); }
  static int items(const Problem& p) { return p.height * p.width; }

  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const Problem& problem, int64_t b) {
    const Problem p = problem;
    const GridShape shape(p.height, p.width);
    const GivenEdges edges(p.vertical, p.horizontal, shape, b);
    const int n = shape.cells();
    const int64_t first = b * n;
    const double terminal = team.reduce(
        n, 0.0,
        [=](int i) {
          return Most()(capacity_element(p.source, first + i), capacity_element(p.sink, first + i));
        },
        Most());
    const double edge = edges.largest(team);
    const double scale = team_scale(n * terminal + shape.edges() * edge, p.integers);
    TeamCut cut = work.cut;
    int32_t *const right = work.right, *const down = work.down;
    const GridGraph graph{n, shape.width, right, down, right, down, 1, nullptr, 0, 0};
    team.step(n, [=](int i) {
      cut.excess(i) = scaled(capacity_element(p.source, first + i), scale) -
                      scaled(capacity_element(p.sink, first + i), scale);
      right[i] = scaled(edges.right(i), scale);
      down[i] = scaled(edges.down(i), scale);
      cut.clear(graph, i);
    });
    cut.solve(team, graph);
    const TeamCut solved = cut;
    const double flow = team.add(n, [=](int i) {
      const bool side = solved.on_sink_side(i);
      p.segment[first + i] = side;
      double sum =
          side ? capacity_element(p.source, first + i) : capacity_element(p.sink, first + i);
      if (!shape.last_row(i) && side != solved.on_sink_side(i + shape.width)) sum += edges.down(i);
      if (!shape.last_column(i) && side != solved.on_sink_side(i + 1)) sum += edges.right(i);
      return sum;
    });
    team.step(1, [=](int) { p.flow[b] = flow; });
  }
};

struct TeamLabelingEnergy {
  using Problem = TeamLabelingProblem;
  struct Work {
    LabelCost* label_cost;
  };

  PUZZLEMIX_HD static Work layout(Arena& arena, const Problem&) {
    return {arena.take<LabelCost>(1)};
  }
  static int items(const Problem& p) { return p.height * p.width; }

  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const Problem& problem, int64_t b) {
    const LabelingProblem p = problem;
    read_label_cost(team, problem, false, work.label_cost);
    const int64_t* const labels = p.out + b * p.height * p.width;
    const double energy = labeling_energy(team, p, b, work.label_cost, labels);
    team.step(1, [=](int) { p.energy[b] = energy; });
  }
};

}  // namespace puzzlemix
