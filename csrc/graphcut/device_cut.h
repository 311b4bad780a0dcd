// The canonical minimum cut for a team: push-relabel (Goldberg and Tarjan 1988) in lockstep.
//
// In a push phase every node with excess sends it along all arcs to nodes one step nearer; what
// arrives is collected apart and joins the excess in the next phase, in which nodes that are left
// with excess and nowhere to send it are relabelled. Of an edge's two ends only the farther one
// pushes, so its flow has one writer; the answer of a phase depends on no order. Every kSteps such
// steps a breadth-first search from the sinks makes the distances exact. When it reaches no excess,
// the nodes that it visited are those that reach a sink in the residual graph: the smallest sink
// side.
//
// For grids that a warp can't hold (warp_cut.h) and for layered graphs. A swap at 32x32 with 3
// labels takes 674 phases in the median and 1,257 at the 99th percentile, all cuts and their set-up
// counted
// (`python -m bench.phases`).
//
// A graph has an arc and its reverse between v and v + offset(axis), for a few axes:
//   nodes, axes
//   Capacity                     int32_t or int64_t
//   offset(axis)
//   there(axis, v), back(axis, v)   capacities from v to v + offset(axis), and back; 0 where that
//                                   is not a node
//   active(v)                    nodes that are not count for nothing, and have no excess
#pragma once

#include "team.h"

namespace puzzlemix {

class DeviceCut {
 public:
  // Memory for graphs of up to `nodes` nodes, with `axes` axes.
  PUZZLEMIX_HD DeviceCut(Arena& arena, int64_t nodes, int64_t axes)
      : excess_(arena.take<int32_t>(nodes)),
        arriving_(arena.take<int32_t>(nodes)),
        distance_(arena.take<int32_t>(nodes)),
        relabelled_(arena.take<int32_t>(nodes)),
        frontier_(arena.take<uint32_t>(word_count(nodes))),
        next_(arena.take<uint32_t>(word_count(nodes))),
        flow_(arena.take<int32_t>(nodes * axes)) {}

  // Source minus sink capacity of each node: to be filled before solve.
  PUZZLEMIX_HD int32_t& excess(int v) const { return excess_[v]; }

  // To be called by item v of the phase that fills the excess.
  template <typename Graph>
  PUZZLEMIX_HD void clear(const Graph& graph, int v) const {
    arriving_[v] = 0;
    PUZZLEMIX_UNROLL
    for (int a = 0; a < graph.axes; ++a) flow_[a * graph.nodes + v] = 0;
  }

  // Afterwards on_sink_side holds until the next solve.
  template <typename Team, typename Graph>
  PUZZLEMIX_HD void solve(Team& team, const Graph& graph) {
    while (search(team, graph)) {
      for (int k = 0; k < kSteps; ++k) {
        push(team, graph);
        if (!relabel(team, graph)) break;
      }
    }
  }

  PUZZLEMIX_HD bool on_sink_side(int v) const { return distance_[v] < kFar; }

 private:
  static constexpr int kSteps = 8;
  static constexpr int32_t kFar = 1 << 30;

  // Distances to the sinks. True if excess was reached.
  template <typename Team, typename Graph>
  PUZZLEMIX_HD bool search(Team& team, const Graph& graph) {
    const DeviceCut cut = *this;
    bool some = team.mask(graph.nodes, frontier_, [=](int v) {
      const bool sink = cut.excess_[v] < 0;
      cut.distance_[v] = sink ? 0 : kFar;
      return sink;
    });
    for (int level = 1; some; ++level) {
      uint32_t* const frontier = frontier_;
      some = team.mask(graph.nodes, next_, [=](int v) {
        if (cut.distance_[v] != kFar || !graph.active(v) || !cut.touches(graph, v, frontier)) {
          return false;
        }
        cut.distance_[v] = level;
        return true;
      });
      frontier_ = next_;
      next_ = frontier;
    }
    return team.any(graph.nodes,
                    [=](int v) { return cut.excess_[v] > 0 && cut.distance_[v] < kFar; });
  }

  // Whether v has an arc with capacity left to a node of the frontier.
  template <typename Graph>
  PUZZLEMIX_HD bool touches(const Graph& graph, int v, const uint32_t* frontier) const {
    PUZZLEMIX_UNROLL
    for (int a = 0; a < graph.axes; ++a) {
      const int after = v + graph.offset(a), before = v - graph.offset(a);
      if (after < graph.nodes && has_bit(frontier, after) && left_there(graph, a, v) > 0) {
        return true;
      }
      if (before >= 0 && has_bit(frontier, before) && left_back(graph, a, before) > 0) return true;
    }
    return false;
  }

  template <typename Team, typename Graph>
  PUZZLEMIX_HD void push(Team& team, const Graph& graph) const {
    const DeviceCut cut = *this;
    team.step(graph.nodes, [=](int v) {
      int32_t rest = cut.excess_[v];
      if (rest <= 0 || cut.distance_[v] >= kFar) return;
      const int32_t nearer = cut.distance_[v] - 1;
      PUZZLEMIX_UNROLL
      for (int a = 0; a < graph.axes && rest > 0; ++a) {
        const int after = v + graph.offset(a), before = v - graph.offset(a);
        // The other end is asked for its distance first: a flow has a reader other than its writer
        // only in phases without pushes.
        if (after < graph.nodes && cut.distance_[after] == nearer) {
          cut.send<Team>(rest, cut.left_there(graph, a, v), cut.flow(graph, a, v), 1, after);
        }
        if (before >= 0 && rest > 0 && cut.distance_[before] == nearer) {
          cut.send<Team>(rest, cut.left_back(graph, a, before), cut.flow(graph, a, before), -1,
                         before);
        }
      }
      cut.excess_[v] = rest;
    });
  }

  template <typename Team, typename Capacity>
  PUZZLEMIX_HD void send(int32_t& rest, Capacity left, int32_t& flow, int sign, int to) const {
    if (left <= 0) return;
    const int32_t amount = left < rest ? static_cast<int32_t>(left) : rest;
    flow += sign * amount;
    rest -= amount;
    Team::atomic_add(&arriving_[to], amount);
  }

  // Takes in what arrived and relabels; true if there is excess that may still move.
  template <typename Team, typename Graph>
  PUZZLEMIX_HD bool relabel(Team& team, const Graph& graph) {
    const DeviceCut cut = *this;
    const bool some = team.any(graph.nodes, [=](int v) {
      const int32_t now = cut.excess_[v] + cut.arriving_[v];
      int32_t distance = cut.distance_[v];
      cut.excess_[v] = now;
      cut.arriving_[v] = 0;
      const bool moves = now > 0 && distance < kFar;
      if (moves) distance = cut.above_nearest(graph, v);
      cut.relabelled_[v] = distance;
      return moves && distance < kFar;
    });
    relabelled_ = cut.distance_;
    distance_ = cut.relabelled_;
    return some;
  }

  // One more than the least distance that v has an arc to.
  template <typename Graph>
  PUZZLEMIX_HD int32_t above_nearest(const Graph& graph, int v) const {
    int32_t least = kFar;
    PUZZLEMIX_UNROLL
    for (int a = 0; a < graph.axes; ++a) {
      const int after = v + graph.offset(a), before = v - graph.offset(a);
      if (after < graph.nodes && distance_[after] < least && left_there(graph, a, v) > 0) {
        least = distance_[after];
      }
      if (before >= 0 && distance_[before] < least && left_back(graph, a, before) > 0) {
        least = distance_[before];
      }
    }
    return least < kFar ? least + 1 : kFar;
  }

  template <typename Graph>
  PUZZLEMIX_HD int32_t& flow(const Graph& graph, int axis, int v) const {
    return flow_[axis * graph.nodes + v];
  }
  template <typename Graph>
  PUZZLEMIX_HD typename Graph::Capacity left_there(const Graph& graph, int axis, int v) const {
    return graph.there(axis, v) - flow(graph, axis, v);
  }
  template <typename Graph>
  PUZZLEMIX_HD typename Graph::Capacity left_back(const Graph& graph, int axis, int v) const {
    return graph.back(axis, v) + flow(graph, axis, v);
  }

  int32_t* const excess_;
  int32_t* const arriving_;
  int32_t *distance_, *relabelled_;
  uint32_t *frontier_, *next_;
  int32_t* const flow_;  // by axis and node
};

// Four neighbours, the capacities of an edge at its upper or left cell; 0 over the border.
struct GridGraph {
  using Capacity = int32_t;
  static constexpr int axes = 2;

  PUZZLEMIX_HD int offset(int axis) const { return axis == 0 ? 1 : width; }
  PUZZLEMIX_HD int32_t there(int axis, int v) const {
    return (axis == 0 ? right : down)[v] * multiplier;
  }
  PUZZLEMIX_HD int32_t back(int axis, int v) const {
    return (axis == 0 ? left : up)[v] * multiplier;
  }
  PUZZLEMIX_HD bool active(int v) const { return !label || label[v] == alpha || label[v] == beta; }

  int nodes, width;
  const int32_t *right, *down, *left, *up;
  int32_t multiplier;
  const int32_t* label;  // null: all cells are active
  int alpha, beta;
};

}  // namespace puzzlemix
