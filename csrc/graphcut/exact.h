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
#include <cstdlib>
#include <vector>

#include "graphcut/grid_cut.h"
#include "graphcut/integers.h"
#include "graphcut/layered_cut.h"

namespace puzzlemix {

template <int Words, int Width>
class Descent {
 public:
  explicit Descent(const Sample& sample)
      : sample_(sample),
        labels_(sample.label_cost().labels),
        cut_(sample.height(), sample.width()),
        label_(sample.cells()),
        low_(sample.cells()),
        room_(Words * 64),
        rise_(sample.cells()) {
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
    start();
    if (labels_ > 3) {
      for (int k = 0; k < labels_ && step(1); ++k) {
      }
      for (int k = 0; k < labels_ && step(-1); ++k) {
      }
    } else {
      raise_from(labels_ - 2);
      if (labels_ == 3) step(-1);
    }
    std::copy_n(label_.data(), sample_.cells(), out);
  }

 private:
  using Cut = GridCut<Words, Width>;
  using Set = Bits<Words>;

  void start() {
    flow_.clear();
    if (labels_ > 3) sample_.cheapest(label_.data());
    // By gap + labels_; the gap next to the widest belongs to no edge that is ever cut.
    const LabelCost& cost = sample_.label_cost();
    const auto f = [&](int gap) { return cost(0, std::min(std::abs(gap), labels_ - 1)); };
    for (int gap = 1 - labels_; gap < labels_; ++gap) {
      const int32_t second = f(gap + 1) + f(gap - 1) - 2 * f(gap), half = second / 2;
      edges_[gap + labels_] = {second - half, half, f(gap + 1) - f(gap) - half};
    }
  }

  // The step up where all have one label: without a gap an edge is worth f(1) either way, and there
  // is nothing to fill in (a sixth of the time at 8x8).
  void raise_from(int low) {
    const int n = sample_.cells();
    const int32_t *const now = sample_.unary(low), *const next = sample_.unary(low + 1);
    for (int i = 0; i < n; ++i) cut_.excess()[i] = next[i] - now[i];
    std::fill(room_.begin(), room_.begin() + n, 1);
    const auto edges = cut_.edges(sample_.right(), sample_.down(), sample_.right(), sample_.down());
    const Set high =
        cut_.solve(positive<Words>(room_.data()), edges, sample_.label_cost()(0, 1), flow_);
    std::fill(label_.begin(), label_.end(), low);
    for_each_bit(high, [&](int i) { ++label_[i]; });
  }

  // Chooses for every cell low or low + 1, where low is the label (going up) or the one below it
  // (going down); cells at the end stay. True if a label changed.
  bool step(int direction) {
    const int n = sample_.cells();
    for (int i = 0; i < n; ++i) room_[i] = direction > 0 ? labels_ - 1 - label_[i] : label_[i];
    const Set active = positive<Words>(room_.data());
    if (!active.any()) return false;
    for (int i = 0; i < n; ++i) low_[i] = label_[i] - (direction < 0 && label_[i] > 0);
    fill(active);
    const auto edges = cut_.edges(capacity_[0].data(), capacity_[1].data(), capacity_[2].data(),
                                  capacity_[3].data());
    const Set high = cut_.solve(active, edges, 1, flow_);
    const Set changed = direction > 0 ? high : active - high;
    for_each_bit(changed, [&](int i) { label_[i] += direction; });
    return changed.any();
  }

  // Excess and capacities of the choice between low and low + 1.
  void fill(const Set& active) {
    int32_t* const excess = cut_.excess();
    const int n = sample_.cells();
    const auto plane = static_cast<int>(sample_.unary(1) - sample_.unary(0));
    const int32_t* const unary = sample_.unary(0);
    // Cells that don't move have no label above; what is found for them counts for nothing.
    for (int i = 0; i < n; ++i) {
      const int32_t* const at = unary + std::min(low_[i], labels_ - 2) * plane + i;
      excess[i] = at[plane] - at[0];
    }
    for (int d = 0; d < Cut::kLeft; ++d) {
      const int step = cut_.offset(d);
      const int32_t* const weights = d == Cut::kDown ? sample_.down() : sample_.right();
      int32_t *const there = capacity_[d].data(), *const back = capacity_[d + 2].data();
      for (int i = 0; i + step < n; ++i) {
        const Edge& edge = edges_[low_[i] - low_[i + step] + labels_];
        there[i] = weights[i] * edge.there;
        back[i] = weights[i] * edge.back;
        rise_[i] = weights[i] * edge.rise;
      }
      // Apart: a sum that goes on to the next cell would make the loop wait for itself.
      for (int i = 0; i + step < n; ++i) excess[i] += rise_[i];
      for (int i = 0; i + step < n; ++i) excess[i + step] -= rise_[i];
      // Where one end moves, the other's choice is no excuse to share the second difference.
      for_each_bit(active - cut_.tails(active, d), [&](int i) { excess[i] += back[i]; });
      for_each_bit(cut_.tails(active, d) - active, [&](int i) { excess[i + step] += there[i]; });
    }
  }

  // An edge of weight 1, cost f(x_i - x_j), f even and convex. The arc i -> j is cut where i stays
  // and j takes low + 1, the arc back the other way round; together they make up f's second
  // difference, split as evenly as integers allow.
  struct Edge {
    int32_t there, back;
    int32_t rise;  // excess of i, and lack of j
  };

  const Sample& sample_;
  const int labels_;
  Cut cut_;
  Flow<Words> flow_;
  std::vector<int32_t> label_, low_, room_, rise_;
  std::vector<int32_t> capacity_[4];
  Edge edges_[2 * kMaxLabels];
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
