// Alpha-beta swap by a team of threads (Boykov, Veksler and Zabih, PAMI 2001, section 4; swap.h
// explains it). A grid of up to 16x16 is solved by one warp of the team, one of up to 32x32 with
// few labels by four (warp_swap.h), larger ones by all threads, one minimum cut after the other
// (device_cut.h).
#pragma once

#include "graphcut/device_cut.h"
#include "graphcut/integers.h"
#include "graphcut/warp_swap.h"

namespace puzzlemix {

// A set of label pairs, numbered in lexicographic order: those whose cut would be the same as when
// they were last tried.
class TriedLabelPairs {
 public:
  PUZZLEMIX_HD bool has(int pair) const {
    return (pair < 64 ? first_ >> pair : second_ >> (pair - 64)) & 1;
  }
  PUZZLEMIX_HD void set(int pair) {
    first_ |= pair < 64 ? uint64_t{1} << pair : 0;
    second_ |= pair < 64 ? 0 : uint64_t{1} << (pair - 64);
  }
  PUZZLEMIX_HD void clear(int pair) {
    first_ &= ~(pair < 64 ? uint64_t{1} << pair : 0);
    second_ &= ~(pair < 64 ? 0 : uint64_t{1} << (pair - 64));
  }

 private:
  uint64_t first_ = 0, second_ = 0;  // at most 120 pairs; an array would not be kept in registers
};

class DeviceSwapEngine {
 public:
  // How many lanes solve a sample, or 0 if all threads do.
  PUZZLEMIX_HD static int lanes(GridShape shape, int labels) {
    return lanes_for<WarpSwapEngine>(shape, labels);
  }

  struct Work {
    PUZZLEMIX_HD Work(Arena& arena, GridShape shape, int labels)
        : Work(arena, lanes(shape, labels), shape.cells(), labels) {}

    // Lanes read it as shared memory: it is to be the first that is taken from an arena.
    int32_t* warp;
    DeviceCut cut;
    int32_t* terminal;  // what beta costs a cell more than alpha, edges to other labels included

   private:
    PUZZLEMIX_HD Work(Arena& arena, int lanes, int cells, int labels)
        : warp(take_for_lanes<WarpSwapEngine>(arena, lanes, labels)),
          cut(arena, lanes > 0 ? 0 : cells, GridGraph::axes),
          terminal(arena.take<int32_t>(lanes > 0 ? 0 : cells)) {}
  };

  // max_cycles: the most sweeps; negative: no limit.
  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const IntegerLabeling& sample,
                                 const LabelCost* cost, int64_t max_cycles, int32_t* label) {
    if (solve_by_lanes<WarpSwapEngine>(team, lanes(sample.shape, sample.labels), work.warp, sample,
                                       cost, max_cycles, label)) {
      return;
    }
    DeviceSwapEngine swap(work, sample, cost, label);
    start_from_cheapest(team, sample, label);
    for (int64_t cycle = 0; cycle != max_cycles && swap.sweep(team); ++cycle) {
    }
  }

 private:
  PUZZLEMIX_HD DeviceSwapEngine(const Work& work, const IntegerLabeling& sample,
                                const LabelCost* cost, int32_t* label)
      : cut_(work.cut),
        sample_(sample),
        label_cost_(cost),
        label_(label),
        terminal_(work.terminal),
        shape_(sample.shape),
        cells_(sample.shape.cells()),
        labels_(sample.labels) {}

  template <typename Team>
  PUZZLEMIX_HD bool sweep(Team& team) {
    bool moved = false;
    int pair = 0;
    for (int a = 0; a < labels_; ++a) {
      for (int b = a + 1; b < labels_; ++b, ++pair) {
        if (tried_.has(pair)) continue;
        if (move(team, a, b)) moved = true;
        tried_.set(pair);
      }
    }
    return moved;
  }

  // Tries the move of alpha and beta; returns whether the energy fell.
  template <typename Team>
  PUZZLEMIX_HD bool move(Team& team, int alpha, int beta) {
    if (!fill(team, alpha, beta)) return false;
    const GridGraph graph = this->graph(alpha, beta);
    cut_.solve(team, graph);
    if (change(team, graph) >= 0) return false;
    forget(touched(team, graph) | 1u << alpha | 1u << beta);
    const DeviceCut cut = cut_;
    int32_t* const label = label_;
    team.for_each(cells_, [=](int i) {
      if (graph.active(i)) label[i] = cut.on_sink_side(i) ? beta : alpha;
    });
    return true;
  }

  PUZZLEMIX_HD GridGraph graph(int alpha, int beta) const {
    return {cells_,
            shape_.width,
            sample_.right,
            sample_.down,
            sample_.right,
            sample_.down,
            (*label_cost_)(alpha, beta),
            label_,
            alpha,
            beta};
  }

  // Fills in the cut of alpha and beta; false if no cell has one of these labels.
  template <typename Team>
  PUZZLEMIX_HD bool fill(Team& team, int alpha, int beta) const {
    const GridGraph graph = this->graph(alpha, beta);
    const DeviceCut cut = cut_;
    const IntegerLabeling sample = sample_;
    const LabelCost* const label_cost = label_cost_;
    const int32_t* const label = label_;
    const GridShape shape = shape_;
    const int n = cells_;
    int32_t* const terminal = terminal_;
    return team.any(n, [=](int i) {
      const bool active = graph.active(i);
      int32_t more = 0;
      if (active) {
        const LabelCost& cost = *label_cost;
        more = sample.costs_of(beta)[i] - sample.costs_of(alpha)[i];
        const auto outside = [&](int32_t weight, int j) {
          if (weight == 0 || graph.active(j)) return;
          more += weight * (cost(beta, label[j]) - cost(alpha, label[j]));
        };
        outside(sample.right[i], i + 1);
        outside(sample.down[i], i + shape.width);
        if (i >= 1) outside(sample.right[i - 1], i - 1);
        if (i >= shape.width) outside(sample.down[i - shape.width], i - shape.width);
      }
      terminal[i] = cut.excess(i) = more;
      cut.clear(graph, i);
      return active;
    });
  }

  // The change of energy if the labels of the cut are taken.
  template <typename Team>
  PUZZLEMIX_HD int64_t change(Team& team, const GridGraph& graph) const {
    const DeviceCut cut = cut_;
    const int32_t *const terminal = terminal_, *const label = label_;
    return team.reduce(
        cells_, int64_t{0},
        [=](int i) {
          if (!graph.active(i)) return int64_t{0};
          const int now = cut.on_sink_side(i), before = label[i] == graph.beta;
          int64_t sum = int64_t{now - before} * terminal[i];
          PUZZLEMIX_UNROLL
          for (int a = 0; a < graph.axes; ++a) {
            const int32_t weight = graph.there(a, i);
            const int j = i + graph.offset(a);
            if (weight == 0 || !graph.active(j)) continue;
            const bool is_cut = now != static_cast<int>(cut.on_sink_side(j));
            const bool was_cut = label[i] != label[j];
            sum += int64_t{weight} * (is_cut - was_cut);
          }
          return sum;
        },
        Sum());
  }

  struct Union {
    PUZZLEMIX_HD uint32_t operator()(uint32_t a, uint32_t b) const { return a | b; }
  };

  // A bit for each label of a cell that the move changes or that has a neighbour which it changes.
  template <typename Team>
  PUZZLEMIX_HD uint32_t touched(Team& team, const GridGraph& graph) const {
    const DeviceCut cut = cut_;
    const int32_t* const label = label_;
    return team.reduce(
        cells_, 0u,
        [=](int i) {
          const auto changes = [&](int j) {
            return graph.active(j) && cut.on_sink_side(j) != (label[j] == graph.beta);
          };
          const auto weight = [&](int a, int j) { return (a == 0 ? graph.right : graph.down)[j]; };
          bool near = changes(i);
          PUZZLEMIX_UNROLL
          for (int a = 0; a < graph.axes; ++a) {
            const int after = i + graph.offset(a), before = i - graph.offset(a);
            near = near || (weight(a, i) > 0 && changes(after)) ||
                   (before >= 0 && weight(a, before) > 0 && changes(before));
          }
          return near ? 1u << label[i] : 0u;
        },
        Union());
  }

  // The pairs with one of these labels are to be tried again.
  PUZZLEMIX_HD void forget(uint32_t touched) {
    int pair = 0;
    for (int a = 0; a < labels_; ++a) {
      for (int b = a + 1; b < labels_; ++b, ++pair) {
        if ((touched >> a | touched >> b) & 1) tried_.clear(pair);
      }
    }
  }

  DeviceCut cut_;
  const IntegerLabeling sample_;
  const LabelCost* const label_cost_;
  int32_t* const label_;
  int32_t* const terminal_;
  const GridShape shape_;
  const int cells_, labels_;
  TriedLabelPairs tried_;
};

}  // namespace puzzlemix
