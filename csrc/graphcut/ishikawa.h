// The lowest optimal labelling of one sample by one minimum cut (Ishikawa, PAMI 2003), for any
// label cost D that is convex in the order of labels, and any unary costs.
//
// The graph. Each cell has a column of L - 1 nodes, one for each threshold a: "label > a", true on
// the sink side. An arc of unbounded capacity from each node to the next higher one keeps the
// answers of a column consistent: label > a + 1 implies label > a. Arcs the other way carry the
// unary costs: the column is cut once, and the arc that is cut tells the label. With
//
//   M[a, b] = D[a, b+1] + D[a+1, b] - D[a, b] - D[a+1, b+1],
//
// which convexity makes >= 0, and D zero on the diagonal, the cost of two labels is the sum over
// a < b of M[a, b] where one label is above b and the other not above a, plus the sum of D[a, a+1]
// over all a between them. Each such term is an arc between the columns of two neighbours. The
// smallest sink side is then the lowest optimal labelling.
//
// Only labels between given bounds are considered (descent.h finds them). Cells whose bounds meet
// are decided. They divide the undecided cells into connected regions, which are solved one by one,
// each in its bounding box: a few undecided cells cost little, wherever they lie. A region of n
// cells has n (L - 1) nodes and O(n L^2) arcs; layered_cut.h cuts it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "graphcut/integers.h"
#include "graphcut/layered_cut.h"

namespace puzzlemix {

class Ishikawa {
 public:
  Ishikawa(const IntegerLabeling& sample, const LabelCost& d)
      : sample_(sample), cost_(d), labels_(sample.labels), visited_(sample.shape.cells()) {
    for (int a = 0; a + 1 < labels_; ++a) {
      if (d(a, a + 1) > 0) pairs_.push_back({a, a, d(a, a + 1)});
      for (int b = a + 1; b + 1 < labels_; ++b) {
        const int64_t m = int64_t{d(a, b + 1)} + d(a + 1, b) - d(a, b) - d(a + 1, b + 1);
        if (m > 0) pairs_.push_back({a, b, m});
      }
    }
  }

  // Writes the lowest optimal labelling, which lies between `lowest` and `highest`.
  template <typename Label>
  void solve(const int32_t* lowest, const int32_t* highest, Label* out) {
    lowest_ = lowest;
    highest_ = highest;
    const int n = sample_.shape.cells();
    std::copy_n(lowest, n, out);
    std::fill(visited_.begin(), visited_.end(), false);
    for (int i = 0; i < n; ++i) {
      if (!undecided(i) || visited_[i]) continue;
      collect(i);
      build();
      graph_.solve();
      for (int cell : region_) {
        for (int a = lowest[cell]; a < highest[cell]; ++a) {
          out[cell] += graph_.on_sink_side(node(a, cell));
        }
      }
    }
  }

 private:
  struct ThresholdPair {
    int a, b;  // two thresholds, a <= b
    int64_t
        factor;  // the cost, for an edge of weight 1, of one label above b, the other not above a
  };
  struct Threshold {
    int layer, cell;
  };

  bool undecided(int cell) const { return lowest_[cell] < highest_[cell]; }

  // Calls body with each neighbour, and the weight of the edge to it.
  template <typename Body>
  void for_each_neighbour(int cell, const Body& body) const {
    const int width = sample_.shape.width, x = cell % width;
    if (x + 1 < width) body(cell + 1, sample_.right[cell]);
    if (cell + width < sample_.shape.cells()) body(cell + width, sample_.down[cell]);
    if (x > 0) body(cell - 1, sample_.right[cell - 1]);
    if (cell >= width) body(cell - width, sample_.down[cell - width]);
  }

  // Collects the region of undecided cells that `first` is in, and its bounding box.
  void collect(int first) {
    const int width = sample_.shape.width;
    int top = first / width, bottom = top, left = first % width, right = left;
    low_ = lowest_[first];
    int high = highest_[first];
    region_.assign(1, first);
    visited_[first] = true;
    for (size_t k = 0; k < region_.size(); ++k) {
      const int cell = region_[k], y = cell / width, x = cell % width;
      bottom = std::max(bottom, y);
      left = std::min(left, x);
      right = std::max(right, x);
      low_ = std::min(low_, lowest_[cell]);
      high = std::max(high, highest_[cell]);
      for_each_neighbour(cell, [&](int other, int32_t) {
        if (!undecided(other) || visited_[other]) return;
        visited_[other] = true;
        region_.push_back(other);
      });
    }
    // Regions are found by visiting cells row by row, so no cell of a region lies above its first.
    box_first_ = top * width + left;
    box_width_ = right - left + 1;
    plane_ = (bottom - top + 1) * box_width_;
    layers_ = high - low_;
  }

  int node(int layer, int cell) const {
    const int width = sample_.shape.width, y = cell / width - box_first_ / width;
    return (layer - low_) * plane_ + y * box_width_ + cell % width - box_first_ % width;
  }

  void build() {
    graph_.reset(plane_ * layers_);
    const int columns = layers_ > 1 ? graph_.add_axis(plane_, /*unbounded=*/true) : 0;
    for (int cell : region_) add_column(columns, cell);
    if (box_width_ > 1) add_edges(1, sample_.right, 1);
    if (plane_ > box_width_) add_edges(sample_.shape.width, sample_.down, box_width_);
  }

  // Adds the arcs of a cell's column. An edge to a neighbour that is decided is a unary cost.
  void add_column(int axis, int cell) {
    const int lowest = lowest_[cell], highest = highest_[cell];
    int32_t cost[kMaxLabels];
    for (int l = lowest; l <= highest; ++l) cost[l] = sample_.costs_of(l)[cell];
    for_each_neighbour(cell, [&](int other, int32_t weight) {
      if (undecided(other)) return;
      for (int l = lowest; l <= highest; ++l) {
        cost[l] += weight * cost_(l, lowest_[other]);
      }
    });
    graph_.add_excess(node(lowest, cell), -cost[lowest]);
    graph_.add_excess(node(highest - 1, cell), cost[highest]);
    for (int a = lowest; a + 1 < highest; ++a) {
      graph_.set_capacity(axis, node(a, cell), node(a + 1, cell), LayeredCut::kUnbounded);
      graph_.set_capacity(axis, node(a + 1, cell), node(a, cell), cost[a + 1]);
    }
  }

  // Adds the edges between undecided cells whose indices differ by `cell_offset`, and so those of
  // their nodes in one layer by `node_offset`.
  void add_edges(int cell_offset, const int32_t* weights, int node_offset) {
    int there[kMaxLabels], back[kMaxLabels];  // axes of arcs, by how far their thresholds are apart
    std::fill(there, there + kMaxLabels, -1);
    for (const ThresholdPair& pair : pairs_) {
      const int gap = pair.b - pair.a;
      if (gap >= layers_ || there[gap] >= 0) continue;
      there[gap] = graph_.add_axis(gap * plane_ + node_offset);
      back[gap] = gap > 0 ? graph_.add_axis(gap * plane_ - node_offset) : there[gap];
    }
    for (int cell : region_) {
      const int32_t weight = weights[cell];
      const int other = cell + cell_offset;
      if (weight == 0 || !undecided(other)) continue;
      for (const ThresholdPair& pair : pairs_) {
        const auto capacity = static_cast<int32_t>(weight * pair.factor);
        const int gap = pair.b - pair.a;
        add_arc(there[gap], {pair.a, cell}, {pair.b, other}, capacity);
        add_arc(back[gap], {pair.a, other}, {pair.b, cell}, capacity);
      }
    }
  }

  // Adds an arc. A threshold that the bounds decide stands for the source or for the sink.
  void add_arc(int axis, Threshold tail, Threshold head, int32_t capacity) {
    if (tail.layer < lowest_[tail.cell] || head.layer >= highest_[head.cell]) return;
    const bool from_source = tail.layer >= highest_[tail.cell];
    const bool to_sink = head.layer < lowest_[head.cell];
    if (from_source && to_sink) return;
    if (from_source) {
      graph_.add_excess(node(head.layer, head.cell), capacity);
    } else if (to_sink) {
      graph_.add_excess(node(tail.layer, tail.cell), -capacity);
    } else {
      graph_.set_capacity(axis, node(tail.layer, tail.cell), node(head.layer, head.cell), capacity);
    }
  }

  const IntegerLabeling sample_;
  const LabelCost& cost_;
  const int labels_;
  std::vector<ThresholdPair> pairs_;
  const int32_t *lowest_ = nullptr, *highest_ = nullptr;
  // The region being solved: its cells, its bounding box, and its layers_ thresholds from low_ on.
  std::vector<int> region_;
  std::vector<char> visited_;
  int box_first_ = 0, box_width_ = 0, plane_ = 0, low_ = 0, layers_ = 0;
  LayeredCut graph_;
};

}  // namespace puzzlemix
