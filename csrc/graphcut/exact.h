// The lowest optimal labelling of one sample, for a convex label cost.
//
// Where the unary costs are convex in the label and the label cost is a convex function of the
// distance (the default problem is both), the energy is L-natural-convex (Murota, Discrete Convex
// Analysis, 2003) and steepest descent is exact: raise all cells of the best set by one until
// that doesn't help, then lower them. The least raised set and the largest lowered set, which are
// the canonical cuts here, end in the lowest optimum: if y is the least best raise, every optimum
// x has min(x, y) an optimum too, so the lowest lies below, and no step down passes it. For 3
// labels from the middle one cut up and one down suffice. Otherwise: Ishikawa's graph.
#pragma once

#include <algorithm>
#include <vector>

#include "graphcut/grid_cut.h"
#include "graphcut/integers.h"
#include "graphcut/layered_cut.h"

namespace puzzlemix {

template <int Words>
class Descent {
 public:
  explicit Descent(const Sample& sample)
      : sample_(sample),
        labels_(sample.label_cost().labels),
        cut_(sample.height(), sample.width()),
        low_(sample.cells()) {
    for (auto& plane : capacity_) plane.assign(Words * 64, 0);
  }

  // Whether the descent is exact for this sample.
  bool applies() const {
    const LabelCost& cost = sample_.label_cost();
    for (int a = 1; a < labels_; ++a) {
      for (int b = a; b < labels_; ++b) {
        if (cost(a, b) != cost(a - 1, b - 1)) return false;
      }
    }
    // The sign bit of `bent` is set if a second difference is negative. Unsigned, because the
    // largest costs may wrap round here: then Ishikawa's graph does it.
    uint32_t bent = 0;
    for (int l = 1; l + 1 < labels_; ++l) {
      const int32_t *before = sample_.unary(l - 1), *at = sample_.unary(l);
      const int32_t* after = sample_.unary(l + 1);
      for (int i = 0; i < sample_.cells(); ++i) {
        bent |= static_cast<uint32_t>(after[i]) + static_cast<uint32_t>(before[i]) -
                2 * static_cast<uint32_t>(at[i]);
      }
    }
    return bent >> 31 == 0;
  }

  void solve(int64_t* out) {
    start(out);
    const int rises = labels_ > 3 ? labels_ : 1, falls = labels_ > 3 ? labels_ : labels_ - 2;
    for (int k = 0; k < rises && step(out, 1); ++k) {
    }
    for (int k = 0; k < falls && step(out, -1); ++k) {
    }
  }

 private:
  using Cut = GridCut<Words>;
  using Set = Bits<Words>;

  void start(int64_t* out) const {
    for (int i = 0; i < sample_.cells(); ++i) {
      int best = labels_ == 3 ? 1 : 0;
      for (int l = 1; l < labels_ && labels_ > 3; ++l) {
        if (sample_.unary(l)[i] < sample_.unary(best)[i]) best = l;
      }
      out[i] = best;
    }
  }

  // Chooses for every cell low or low + 1, where low is the label (going up) or the one below it
  // (going down); cells at the end stay. True if a label changed.
  bool step(int64_t* out, int direction) {
    const int n = sample_.cells(), last = direction > 0 ? labels_ - 1 : 0;
    Set active = Set::none();
    for (int i = 0; i < n; ++i) {
      const bool moves = out[i] != last;
      low_[i] = static_cast<int>(out[i]) - (direction < 0 && moves ? 1 : 0);
      if (moves) active.set(i);
    }
    if (!active.any()) return false;
    fill(active);
    const auto edges = cut_.edges(capacity_[0].data(), capacity_[1].data(), capacity_[2].data(),
                                  capacity_[3].data());
    const Set high = cut_.solve(active, edges, 1);
    for_each_bit(active, [&](int i) { out[i] = low_[i]; });
    for_each_bit(high, [&](int i) { ++out[i]; });
    return (direction > 0 ? high : active - high).any();
  }

  // Excess and capacities of the choice between low and low + 1.
  void fill(const Set& active) {
    int32_t* const excess = cut_.excess();
    for (int i = 0; i < sample_.cells(); ++i) {
      if (active.has(i)) excess[i] = sample_.unary(low_[i] + 1)[i] - sample_.unary(low_[i])[i];
    }
    const int width = sample_.width();
    for (int d = 0; d < Cut::kLeft; ++d) {
      const bool down = d == Cut::kDown;
      const int32_t* const weights = down ? sample_.down() : sample_.right();
      for (int i = 0; i < sample_.cells(); ++i) {
        const int j = i + (down ? width : 1);
        int32_t there = 0, back = 0;
        if (weights[i] != 0) edge(active.has(i), active.has(j), i, j, weights[i], there, back);
        capacity_[d][i] = there;
        capacity_[d + 2][i] = back;
      }
    }
  }

  // One edge, cost weight * f(x_i - x_j), f even and convex. The arc i -> j is cut where i stays
  // and j takes low + 1, the arc back the other way round; together they make up f's second
  // difference, split as evenly as integers allow.
  void edge(bool i_moves, bool j_moves, int i, int j, int32_t weight, int32_t& there,
            int32_t& back) {
    int32_t* const excess = cut_.excess();
    const int gap = low_[i] - low_[j];
    const int32_t now = f(gap);
    if (i_moves && j_moves) {
      const int32_t second = f(gap + 1) + f(gap - 1) - 2 * now;
      const int32_t half = second / 2, rise = f(gap + 1) - now - half;
      there = weight * (second - half);
      back = weight * half;
      excess[i] += weight * rise;
      excess[j] -= weight * rise;
    } else if (i_moves) {
      excess[i] += weight * (f(gap + 1) - now);
    } else if (j_moves) {
      excess[j] += weight * (f(gap - 1) - now);
    }
  }

  int32_t f(int gap) const { return sample_.label_cost()(0, gap < 0 ? -gap : gap); }

  const Sample& sample_;
  const int labels_;
  Cut cut_;
  std::vector<int> low_;
  std::vector<int32_t> capacity_[4];
};

// Ishikawa's graph: for each threshold a a layer of nodes "label > a", true on the sink side. With
// M[a, b] = D[a, b+1] + D[a+1, b] - D[a, b] - D[a+1, b+1] >= 0, the pair cost is, for a zero
// diagonal, the sum over a < b of M[a, b] where one label is above b and the other not above a,
// and of D[a, a+1] where a separates them. The smallest sink side is the lowest labelling.
class Ishikawa {
 public:
  explicit Ishikawa(const Sample& sample)
      : sample_(sample), layers_(sample.label_cost().labels - 1) {}

  void solve(int64_t* out) {
    const int n = sample_.cells(), width = sample_.width();
    graph_.reset(n * layers_);
    for (int i = 0; i < n; ++i) {
      graph_.add_excess(node(0, i), -sample_.unary(0)[i]);
      graph_.add_excess(node(layers_ - 1, i), sample_.unary(layers_)[i]);
    }
    if (layers_ > 1) add_columns();
    for (int gap = 0; gap < layers_; ++gap) {
      if (width > 1) add_edges(sample_.right(), 1, gap);
      if (sample_.height() > 1) add_edges(sample_.down(), width, gap);
    }
    graph_.solve();
    for (int i = 0; i < n; ++i) {
      out[i] = 0;
      for (int a = 0; a < layers_; ++a) out[i] += graph_.on_sink_side(node(a, i));
    }
  }

 private:
  int node(int layer, int cell) const { return layer * sample_.cells() + cell; }

  // Down a column the unary costs, up it no way to be cut.
  void add_columns() {
    const int axis = graph_.add_axis(sample_.cells(), /*unbounded=*/true);
    for (int a = 0; a + 1 < layers_; ++a) {
      for (int i = 0; i < sample_.cells(); ++i) {
        graph_.set_capacity(axis, node(a, i), LayeredCut::kUnbounded, sample_.unary(a + 1)[i]);
      }
    }
  }

  // Edges of one kind (to the right or down: `step` cells on) between layers `gap` apart.
  void add_edges(const int32_t* weights, int step, int gap) {
    int64_t factor[kMaxLabels] = {};
    bool some = false;
    for (int a = 0; a + gap < layers_; ++a) {
      factor[a] = separation(a, a + gap);
      some = some || factor[a] != 0;
    }
    if (!some) return;
    const int n = sample_.cells();
    const int there = graph_.add_axis(gap * n + step);
    const int back = gap > 0 ? graph_.add_axis(gap * n - step) : there;
    for (int a = 0; a + gap < layers_; ++a) {
      for (int i = 0; i + step < n; ++i) {
        const auto capacity = static_cast<int32_t>(weights[i] * factor[a]);
        if (capacity == 0) continue;
        if (gap == 0) {
          graph_.set_capacity(there, node(a, i), capacity, capacity);
        } else {
          graph_.set_capacity(there, node(a, i), capacity, 0);
          graph_.set_capacity(back, node(a, i + step), capacity, 0);
        }
      }
    }
  }

  int64_t separation(int a, int b) const {
    const LabelCost& d = sample_.label_cost();
    if (a == b) return d(a, a + 1);
    return int64_t{d(a, b + 1)} + d(a + 1, b) - d(a, b) - d(a + 1, b + 1);
  }

  const Sample& sample_;
  const int layers_;
  LayeredCut graph_;
};

}  // namespace puzzlemix
