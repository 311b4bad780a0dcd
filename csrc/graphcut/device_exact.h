// The lowest optimal labelling by a team of threads. Where label cost and unary costs are convex,
// by steepest descent: one warp of the team for grids of up to 16x16, four for those of up to 32x32
// with few labels (warp_exact.h), all threads for larger ones. Otherwise by one minimum cut in
// Ishikawa's graph. descent.h and ishikawa.h explain both.
#pragma once

#include "graphcut/device_cut.h"
#include "graphcut/integers.h"
#include "graphcut/warp_exact.h"

namespace puzzlemix {

// Ishikawa's graph (ishikawa.h) for DeviceCut: the nodes "label > a" of all cells, a layer for each
// threshold a. Axis 0 leads along the column of a cell to the next layer. Then there is, for each
// gap between layers and each of the directions right and down, an axis to the neighbour, and where
// the gap isn't 0 also one from the neighbour.
struct LayeredGraph {
  using Capacity = int64_t;
  static constexpr int64_t kUnbounded = int64_t{1} << 40;  // more than a sample's excess in all

  PUZZLEMIX_HD static int axis_count(int layers) { return 4 * layers - 1; }

  PUZZLEMIX_HD int offset(int axis) const {
    if (axis == 0) return cells;
    const Way way = this->way(axis);
    return way.gap * cells + way.offset;
  }
  // Along a column capacities are unbounded, back they are unary costs.
  PUZZLEMIX_HD int64_t there(int axis, int v) const {
    if (axis == 0) return v + cells < nodes ? kUnbounded : 0;
    const Way way = this->way(axis);
    const int layer = v / cells, cell = v % cells;
    const int from =
        way.offset < 0 ? cell + way.offset : cell;  // the cell that keeps the edge's weight
    if (layer + way.gap >= layers || from < 0) return 0;
    return int64_t{way.weight[from]} * separation(layer, layer + way.gap);
  }
  PUZZLEMIX_HD int64_t back(int axis, int v) const {
    if (axis == 0) return v + cells < nodes ? unary[v + cells] : 0;
    return axis <= 2 ? there(axis, v) : 0;  // arcs within a layer have equal capacities both ways
  }
  PUZZLEMIX_HD bool active(int) const { return true; }

  // What an edge of weight 1 pays where one label is above b and the other not above a; for a = b,
  // where one is above a and the other not. A convex label cost makes that 0 or more; on CUDA one
  // that isn't convex is unchecked, and negative values count as 0.
  PUZZLEMIX_HD int64_t separation(int a, int b) const {
    const LabelCost& d = *label_cost;
    const int64_t twice = a == b ? int64_t{d(a, a + 1)}
                                 : int64_t{d(a, b + 1)} + d(a + 1, b) - d(a, b) - d(a + 1, b + 1);
    return twice > 0 ? twice : 0;
  }

  struct Way {
    int gap, offset;  // how many layers and how many cells the head is from the tail
    const int32_t* weight;
  };
  // Axis 1 leads to the right and 2 down, both in one layer. Then come four axes for each gap from
  // 1 on: to the right, down, and from the right and from below.
  PUZZLEMIX_HD Way way(int axis) const {
    const int k = axis <= 2 ? axis - 1 : (axis - 3) % 4;
    const int gap = axis <= 2 ? 0 : (axis - 3) / 4 + 1, offset = k % 2 == 0 ? 1 : width;
    return {gap, k < 2 ? offset : -offset, k % 2 == 0 ? right : down};
  }

  int nodes, axes;
  int cells, width, layers;
  const int32_t *unary, *right, *down;  // unary costs [L, cells], edge weights [cells]
  const LabelCost* label_cost;
};

class DeviceExactEngine {
 public:
  // How many lanes descend, or 0 if all threads do.
  PUZZLEMIX_HD static int lanes(GridShape shape, int labels) {
    return lanes_for<WarpDescentEngine>(shape, labels);
  }

  // The two algorithms share the memory, as a sample is solved by one of them.
  struct Work {
    PUZZLEMIX_HD Work(Arena& arena, GridShape shape, int labels)
        : Work(arena, arena, lanes(shape, labels), shape.cells(), labels) {}

    // Lanes read it as shared memory: it is to be the first that is taken from an arena.
    int32_t* warp;
    int32_t *there, *back;  // where all threads descend, the capacities of change_by_one, by axis
    DeviceCut cut;

   private:
    PUZZLEMIX_HD Work(Arena& arena, Arena same, int lanes, int cells, int labels)
        : warp(take_for_lanes<WarpDescentEngine>(same, lanes, labels)),
          there(arena.take<int32_t>(lanes > 0 ? 0 : 2 * cells)),
          back(arena.take<int32_t>(lanes > 0 ? 0 : 2 * cells)),
          cut(arena, (labels - 1) * cells, LayeredGraph::axis_count(labels - 1)) {
      arena.go_beyond(same);
    }
  };

  // The label cost must be convex.
  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const IntegerLabeling& sample,
                                 const LabelCost* cost, int64_t, int32_t* label) {
    DeviceExactEngine exact(work, sample, cost, label);
    if (!exact.descent_applies(team)) {
      exact.cut_layers(team);
    } else if (!solve_by_lanes<WarpDescentEngine>(team, lanes(sample.shape, sample.labels),
                                                  work.warp, sample, cost, label)) {
      exact.descend(team);
    }
  }

 private:
  PUZZLEMIX_HD DeviceExactEngine(const Work& work, const IntegerLabeling& sample,
                                 const LabelCost* cost, int32_t* label)
      : cut_(work.cut),
        sample_(sample),
        label_cost_(cost),
        label_(label),
        there_(work.there),
        back_(work.back),
        shape_(sample.shape),
        cells_(sample.shape.cells()),
        labels_(sample.labels) {}

  // ---- Steepest descent ----

  // Whether the label cost is a convex function of the distance, and unary costs are convex.
  template <typename Team>
  PUZZLEMIX_HD bool descent_applies(Team& team) const {
    const LabelCost& cost = *label_cost_;
    for (int a = 1; a < labels_; ++a) {
      for (int b = a; b < labels_; ++b) {
        if (cost(a, b) != cost(a - 1, b - 1)) return false;
      }
    }
    for (int g = 1; g + 1 < labels_; ++g) {
      if (2 * int64_t{cost(0, g)} > int64_t{cost(0, g - 1)} + cost(0, g + 1)) return false;
    }
    const IntegerLabeling sample = sample_;
    const int n = cells_, labels = labels_;
    return !team.any(n, [=](int i) {
      bool bent = false;
      for (int l = 1; l + 1 < labels; ++l) {
        const int64_t second = int64_t{sample.costs_of(l - 1)[i]} + sample.costs_of(l + 1)[i] -
                               2 * int64_t{sample.costs_of(l)[i]};
        bent = bent || second < 0;
      }
      return bent;
    });
  }

  template <typename Team>
  PUZZLEMIX_HD void descend(Team& team) {
    const int labels = labels_;
    if (labels > 3) {
      start_from_cheapest(team, sample_, label_);
    } else {
      int32_t* const label = label_;
      team.for_each(cells_, [=](int i) { label[i] = labels - 2; });
    }
    const int rises = labels > 3 ? labels : 1, falls = labels > 3 ? labels : labels - 2;
    for (int k = 0; k < rises && change_by_one(team, 1); ++k) {
    }
    for (int k = 0; k < falls && change_by_one(team, -1); ++k) {
    }
  }

  // The move in which every cell chooses between low and low + 1: low is its label if `up`, else
  // the label below. Cells at the last label in that direction stay.
  struct UnitMove {
    PUZZLEMIX_HD bool moves(int i) const { return label[i] != (up ? labels - 1 : 0); }
    PUZZLEMIX_HD int low(int i) const { return label[i] - (!up && moves(i) ? 1 : 0); }
    PUZZLEMIX_HD int32_t f(int gap) const { return (*cost)(0, gap < 0 ? -gap : gap); }

    // What an edge of cost weight * f(x_i - x_j) becomes in the cut. The arc i -> j (`there`) is
    // cut where i takes low and j takes low + 1, the arc j -> i (`back`) in the opposite case. The
    // sum of their capacities is the second difference of f, split as evenly as integers allow; the
    // rest is added to the excess of the ends.
    struct Edge {
      int32_t there, back, to_i, to_j;
    };
    PUZZLEMIX_HD Edge edge(int32_t weight, int i, int j) const {
      const int gap = low(i) - low(j);
      // In 64 bits: where all edges have weight 0, label costs may be as large as 2^31 - 1.
      const int64_t now = f(gap), more = f(gap + 1) - now, less = f(gap - 1) - now;
      const auto times = [=](int64_t cost) { return static_cast<int32_t>(weight * cost); };
      if (moves(i) && moves(j)) {
        const int64_t half = (more + less) / 2, rise = more - half;
        return {times(more + less - half), times(half), times(rise), times(-rise)};
      }
      if (moves(i)) return {0, 0, times(more), 0};
      if (moves(j)) return {0, 0, 0, times(less)};
      return {0, 0, 0, 0};
    }

    const int32_t* label;
    const LabelCost* cost;
    int labels;
    bool up;
  };

  // One minimum cut, after which each cell has moved by one label in the direction or stayed.
  // Returns whether a label changed.
  template <typename Team>
  PUZZLEMIX_HD bool change_by_one(Team& team, int direction) {
    const int n = cells_;
    const UnitMove move{label_, label_cost_, labels_, direction > 0};
    const GridGraph graph{n, shape_.width, there_, there_ + n, back_, back_ + n, 1, nullptr, 0, 0};
    const IntegerLabeling sample = sample_;
    int32_t* const label = label_;
    const DeviceCut cut = cut_;
    int32_t *const there = there_, *const back = back_;
    const bool some = team.any(n, [=](int i) {
      int32_t excess = 0;
      if (move.moves(i)) {
        const int low = move.low(i);
        excess = sample.costs_of(low + 1)[i] - sample.costs_of(low)[i];
      }
      PUZZLEMIX_UNROLL
      for (int a = 0; a < graph.axes; ++a) {
        const int32_t* const weight = a == 0 ? sample.right : sample.down;
        const int after = i + graph.offset(a), before = i - graph.offset(a);
        typename UnitMove::Edge edge{0, 0, 0, 0};
        if (weight[i] != 0) edge = move.edge(weight[i], i, after);
        there[a * n + i] = edge.there;
        back[a * n + i] = edge.back;
        excess += edge.to_i;
        if (before >= 0 && weight[before] != 0) {
          excess += move.edge(weight[before], before, i).to_j;
        }
      }
      cut.excess(i) = excess;
      cut.clear(graph, i);
      return move.moves(i);
    });
    if (!some) return false;
    cut_.solve(team, graph);
    const DeviceCut solved = cut_;
    return team.any(n, [=](int i) {
      if (!move.moves(i)) return false;
      const int before = label[i];
      const int now = move.low(i) + solved.on_sink_side(i);
      label[i] = now;
      return now != before;
    });
  }

  // ---- Ishikawa's graph ----

  template <typename Team>
  PUZZLEMIX_HD void cut_layers(Team& team) {
    const int n = cells_, layers = labels_ - 1, nodes = n * layers;
    const IntegerLabeling sample = sample_;
    int32_t* const out = label_;
    const LayeredGraph graph{nodes,
                             LayeredGraph::axis_count(layers),
                             n,
                             shape_.width,
                             layers,
                             sample.unary,
                             sample.right,
                             sample.down,
                             label_cost_};
    const DeviceCut cut = cut_;
    team.for_each(nodes, [=](int v) {
      const int layer = v / n, cell = v % n;
      int32_t excess = 0;
      if (layer == 0) excess -= sample.unary[cell];
      if (layer == layers - 1) excess += sample.unary[layers * n + cell];
      cut.excess(v) = excess;
      cut.clear(graph, v);
    });
    cut_.solve(team, graph);
    const DeviceCut solved = cut_;
    team.for_each(n, [=](int i) {
      int label = 0;
      for (int a = 0; a < layers; ++a) label += solved.on_sink_side(a * n + i);
      out[i] = label;
    });
  }

  DeviceCut cut_;
  const IntegerLabeling sample_;
  const LabelCost* const label_cost_;
  int32_t* const label_;
  int32_t *const there_, *const back_;
  const GridShape shape_;
  const int cells_, labels_;
};

}  // namespace puzzlemix
