// The canonical minimum cut of a graph whose arcs join nodes at a few fixed distances, by preflow
// pushes on level graphs: the algorithm of grid_cut.h, which explains it, for Ishikawa's graph.
//
// An axis of offset o has an arc from each node v to v + o, and one back. Searches shift whole bit
// masks, as on a grid; pushes go from node to node, in the order of falling distance. Storage is
// kept from one sample to the next.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "graphcut/bits.h"
#include "interrupt.h"

namespace puzzlemix {

class LayeredCut {
 public:
  // The capacity of arcs on an axis declared `unbounded`: more than any sample costs in all.
  static constexpr int32_t kUnbounded = 1 << 30;

  void reset(int nodes) {
    nodes_ = nodes;
    words_ = (nodes + 63) / 64;
    used_ = 0;
    excess_.assign(nodes, 0);
  }

  int add_axis(int offset, bool unbounded = false) {
    if (used_ == static_cast<int>(axes_.size())) axes_.emplace_back();
    Axis& axis = axes_[used_];
    axis.offset = offset;
    axis.unbounded = unbounded;
    for (int way = 0; way < 2; ++way) {
      axis.left[way].assign(nodes_, 0);
      axis.arcs[way].assign(words_, 0);
    }
    return used_++;
  }

  // The arc from tail to head, which lie the axis's offset apart in either order.
  void set_capacity(int axis, int tail, int head, int32_t capacity) {
    if (capacity == 0) return;
    const Way way = head > tail ? kThere : kBack;
    axes_[axis].left[way][tail] = capacity;
    set(axes_[axis].arcs[way], tail);
  }

  // Adds to a node's source minus sink capacity.
  void add_excess(int node, int32_t amount) { excess_[node] += amount; }

  void solve() {
    while (search()) {
      for (size_t k = order_.size(); k-- > 0;) discharge(order_[k]);
      patience_.spend(4 * nodes_);
    }
  }

  bool on_sink_side(int node) const { return has(visited_, node); }

 private:
  enum Way { kThere, kBack };
  using Words = std::vector<uint64_t>;

  struct Axis {
    int offset;
    bool unbounded;                // pushes from v to v + offset don't reduce the capacity
    std::vector<int32_t> left[2];  // by direction (Way), the residual capacities of arcs, by tail
    Words arcs[2];                 // by direction, the tails of arcs with residual capacity
  };

  static void set(Words& words, int i) { words[i >> 6] |= uint64_t{1} << (i & 63); }
  static void clear(Words& words, int i) { words[i >> 6] &= ~(uint64_t{1} << (i & 63)); }
  static bool has(const Words& words, int i) { return words[i >> 6] >> (i & 63) & 1; }

  // Breadth-first search from the sinks: sets visited_, the distance of each visited node, and
  // order_, these nodes by rising distance. Returns whether a source was reached.
  bool search() {
    visited_.assign(words_, 0);
    frontier_.assign(words_, 0);
    distance_.resize(nodes_);
    order_.clear();
    for (int v = 0; v < nodes_; ++v) {
      if (excess_[v] < 0) set(frontier_, v);
    }
    bool reached = false;
    for (int level = 0; visit_frontier(level, reached); ++level) expand();
    return reached;
  }

  // Gives the nodes of the frontier their distance, `level`; false if there are none.
  bool visit_frontier(int level, bool& reached) {
    const size_t before = order_.size();
    for (int w = 0; w < words_; ++w) {
      visited_[w] |= frontier_[w];
      for (uint64_t rest = frontier_[w]; rest; rest &= rest - 1) {
        const int v = w * 64 + lowest_bit(rest);
        distance_[v] = level;
        order_.push_back(v);
        reached = reached || excess_[v] > 0;
      }
    }
    return order_.size() > before;
  }

  void expand() {
    next_.assign(words_, 0);
    for (int k = 0; k < used_; ++k) {
      const Axis& axis = axes_[k];
      const Shift by(axis.offset % 64);
      const int whole = axis.offset / 64;
      for (int w = 0; w < words_; ++w) {
        // An arc to the frontier starts `offset` below it, an arc back `offset` above it.
        const uint64_t low = at(w + whole), high = at(w + whole + 1);
        const uint64_t under = low >> by.rest | high << 1 << (63 - by.rest);
        const uint64_t top = at(w - whole), bottom = at(w - whole - 1);
        const uint64_t over = top << by.rest | bottom >> 1 >> (63 - by.rest);
        next_[w] |= (under & axis.arcs[kThere][w]) | (over & axis.arcs[kBack][w]);
      }
    }
    for (int w = 0; w < words_; ++w) frontier_[w] = next_[w] & ~visited_[w];
  }

  uint64_t at(int w) const { return w >= 0 && w < words_ ? frontier_[w] : 0; }

  // Pushes the excess of v to nodes one level nearer to a sink.
  void discharge(int v) {
    for (int k = 0; k < used_ && excess_[v] > 0; ++k) {
      push(axes_[k], v, kThere, kBack);
      push(axes_[k], v, kBack, kThere);
    }
  }

  void push(Axis& axis, int v, Way way, Way reverse) {
    if (excess_[v] <= 0 || !has(axis.arcs[way], v)) return;
    const int u = v + (way == kThere ? axis.offset : -axis.offset);
    if (!has(visited_, u) || distance_[u] != distance_[v] - 1) return;
    int32_t& left = axis.left[way][v];
    int32_t amount = std::min(excess_[v], left);
    if (distance_[u] == 0) amount = std::min(amount, std::max(0, -excess_[u]));
    if (amount == 0) return;
    excess_[v] -= amount;
    excess_[u] += amount;
    if (!(axis.unbounded && way == kThere) && (left -= amount) == 0) clear(axis.arcs[way], v);
    if (axis.unbounded && reverse == kThere) return;
    axis.left[reverse][u] += amount;
    set(axis.arcs[reverse], u);
  }

  int nodes_ = 0, words_ = 0, used_ = 0;
  std::vector<Axis> axes_;
  std::vector<int32_t> excess_, distance_;
  std::vector<int> order_;
  Words visited_, frontier_, next_;
  Patience patience_;
};

}  // namespace puzzlemix
