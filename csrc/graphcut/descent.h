// The lowest optimal labelling of one sample, for a label cost that is a convex function of the
// distance.
//
// Where the unary costs are convex in the label too (the default problem is), the energy is
// L-natural-convex (Murota, Discrete Convex Analysis, 2003) and steepest descent is exact: raise
// all cells of the best set by one until that doesn't help, then lower them. The least raised set
// and the largest lowered set, which are the canonical cuts here, end in the lowest optimum: if y
// is the least best raise, every optimum x has min(x, y) an optimum too, so the lowest lies below,
// and no step down passes it. For 3 labels from the middle one cut up and one down suffice.
//
// Other unary costs are enclosed by two that are convex. The lowest optimum falls where labels
// cost more than the ones before, and rises where they cost less (the energy is submodular). So
// with each slope raised to the largest of those before it, the lowest optimum bounds that of the
// sample from below; with each lowered to the least of those after it, from above. Within these
// bounds the enclosing costs fit closer, and the next two descents start at the bounds, which no
// step passes. Where bounds meet the label is known; where all costs are convex in between, a last
// descent has it. 3 labels at 32x32, unary costs 50 % off convex: 2 of 1024 cells are left open,
// for Ishikawa's graph (ishikawa.h) to decide.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "graphcut/grid_cut.h"
#include "graphcut/integers.h"
#include "plain_team.h"

namespace puzzlemix {

template <int Words, int Width>
class Descent {
 public:
  Descent(const IntegerLabeling& sample, const LabelCost& cost)
      : sample_(sample),
        cost_(cost),
        labels_(sample.labels),
        cut_(sample.shape.height, sample.shape.width),
        label_(kPlane),
        low_(cells()),
        room_(kPlane),
        rise_(cells()),
        lowest_(kPlane),
        highest_(kPlane, labels_ - 1),
        slope_((labels_ - 1) * kPlane),
        convex_slope_((labels_ - 1) * kPlane) {
    for (auto& plane : capacity_) plane.assign(kPlane, 0);
    tabulate_edges();
  }

  // Whether the label cost is a function of the distance.
  bool applies() const {
    const LabelCost& cost = cost_;
    for (int a = 1; a < labels_; ++a) {
      for (int b = a; b < labels_; ++b) {
        if (cost(a, b) != cost(a - 1, b - 1)) return false;
      }
    }
    return true;
  }

  // False where labels are left open, between lowest() and highest().
  template <typename Label>
  bool solve(Label* out) {
    start();
    if (convex()) {
      descend(slope_);
    } else if (!enclose()) {
      return false;
    }
    std::copy_n(label_.data(), cells(), out);
    return true;
  }

  const int32_t* lowest() const { return lowest_.data(); }
  const int32_t* highest() const { return highest_.data(); }

 private:
  using Cut = GridCut<Words, Width>;
  using Set = Bits<Words>;
  using Slopes = std::vector<int32_t>;  // [labels - 1, kPlane]: from each label to the next
  static constexpr int kPlane = Words * 64;
  static constexpr int kRounds = 4;

  int cells() const { return sample_.shape.cells(); }

  void start() {
    const int n = cells();
    flow_.clear();
    std::fill_n(lowest_.begin(), n, 0);
    std::fill_n(highest_.begin(), n, labels_ - 1);
    for (int l = 0; l + 1 < labels_; ++l) {
      const int32_t *const now = sample_.costs_of(l), *const next = sample_.costs_of(l + 1);
      int32_t* const slope = &slope_[l * kPlane];
      for (int i = 0; i < n; ++i) slope[i] = next[i] - now[i];
    }
  }

  void tabulate_edges() {
    // By gap + labels_; the gap next to the widest belongs to no edge that is ever cut.
    const LabelCost& cost = cost_;
    // In 64 bits: a cost that no edge has weight for may be as large as an integer gets.
    const auto f = [&](int gap) -> int64_t {
      return cost(0, std::min(std::abs(gap), labels_ - 1));
    };
    for (int gap = 1 - labels_; gap < labels_; ++gap) {
      const int64_t second = f(gap + 1) + f(gap - 1) - 2 * f(gap), half = second / 2;
      edges_[gap + labels_] = {static_cast<int32_t>(second - half), static_cast<int32_t>(half),
                               static_cast<int32_t>(f(gap + 1) - f(gap) - half)};
    }
  }

  // The optimum for convex slopes.
  void descend(const Slopes& slopes) {
    if (labels_ > 3) {
      PlainTeam team;
      start_from_cheapest(team, sample_, label_.data());
      climb(slopes, 1);
      climb(slopes, -1);
    } else {
      raise_from(slopes, labels_ - 2);
      if (labels_ == 3) step(slopes, -1);
    }
  }

  // Whether no slope is less than the one before it, between the bounds.
  bool convex() const {
    const int n = cells();
    int32_t bent = 0;
    for (int l = 1; l + 1 < labels_; ++l) {
      const int32_t *const before = &slope_[(l - 1) * kPlane], *const slope = &slope_[l * kPlane];
      for (int i = 0; i < n; ++i) {
        bent |= (slope[i] < before[i]) & (l > lowest_[i]) & (l < highest_[i]);
      }
    }
    return bent == 0;
  }

  // Leaves the optimum in label_; false if there are labels left open.
  bool enclose() {
    steepen();
    descend(convex_slope_);
    lowest_ = label_;
    flatten();
    climb(convex_slope_, 1);
    highest_ = label_;
    for (int round = 1; !convex(); ++round) {
      if (round == kRounds || !narrow()) return false;
    }
    label_ = lowest_;
    climb(slope_, 1);
    return true;
  }

  // Encloses once more, between the bounds; false if they stay.
  bool narrow() {
    steepen();
    label_ = lowest_;
    climb(convex_slope_, 1);
    bool closer = lowest_ != label_;
    lowest_ = label_;
    flatten();
    label_ = highest_;
    climb(convex_slope_, -1);
    closer = closer || highest_ != label_;
    highest_ = label_;
    return closer;
  }

  // The least convex slopes that are nowhere less than those between the bounds.
  void steepen() {
    const int n = cells();
    std::copy_n(slope_.begin(), n, convex_slope_.begin());
    for (int l = 1; l + 1 < labels_; ++l) {
      const int32_t* const slope = &slope_[l * kPlane];
      const int32_t* const before = &convex_slope_[(l - 1) * kPlane];
      int32_t* const out = &convex_slope_[l * kPlane];
      for (int i = 0; i < n; ++i) {
        out[i] = l > lowest_[i] ? std::max(before[i], slope[i]) : slope[i];
      }
    }
  }

  // The largest that are nowhere more.
  void flatten() {
    const int n = cells(), last = labels_ - 2;
    std::copy_n(&slope_[last * kPlane], n, &convex_slope_[last * kPlane]);
    for (int l = last - 1; l >= 0; --l) {
      const int32_t* const slope = &slope_[l * kPlane];
      const int32_t* const after = &convex_slope_[(l + 1) * kPlane];
      int32_t* const out = &convex_slope_[l * kPlane];
      for (int i = 0; i < n; ++i) {
        out[i] = l + 1 < highest_[i] ? std::min(after[i], slope[i]) : slope[i];
      }
    }
  }

  // Steps up or down as long as they help, which is no longer than a cell has room.
  void climb(const Slopes& slopes, int direction) {
    int room = 0;
    const int n = cells();
    for (int i = 0; i < n; ++i) {
      room = std::max(room, direction > 0 ? highest_[i] - label_[i] : label_[i] - lowest_[i]);
    }
    while (room-- > 0 && step(slopes, direction)) {
    }
  }

  // The step up where all have one label: without a gap an edge is worth f(1) either way, and there
  // is nothing to fill in (a sixth of the time at 8x8).
  void raise_from(const Slopes& slopes, int low) {
    const int n = cells();
    std::copy_n(&slopes[low * kPlane], n, cut_.excess());
    std::fill(room_.begin(), room_.begin() + n, 1);
    const auto edges = cut_.edges(sample_.right, sample_.down, sample_.right, sample_.down);
    const Set high = cut_.solve(positive<Words>(room_.data()), edges, cost_(0, 1), flow_);
    std::fill_n(label_.begin(), cells(), low);
    for_each_bit(high, [&](int i) { ++label_[i]; });
  }

  // Chooses for every cell low or low + 1, where low is the label (going up) or the one below it
  // (going down); cells at their bound stay. True if a label changed.
  bool step(const Slopes& slopes, int direction) {
    const int n = cells();
    for (int i = 0; i < n; ++i) {
      room_[i] = direction > 0 ? highest_[i] - label_[i] : label_[i] - lowest_[i];
    }
    const Set active = positive<Words>(room_.data());
    if (!active.any()) return false;
    for (int i = 0; i < n; ++i) low_[i] = label_[i] - (direction < 0 && label_[i] > lowest_[i]);
    fill(slopes, active);
    const auto edges = cut_.edges(capacity_[0].data(), capacity_[1].data(), capacity_[2].data(),
                                  capacity_[3].data());
    const Set high = cut_.solve(active, edges, 1, flow_);
    const Set changed = direction > 0 ? high : active - high;
    for_each_bit(changed, [&](int i) { label_[i] += direction; });
    return changed.any();
  }

  // Excess and capacities of the choice between low and low + 1.
  void fill(const Slopes& slopes, const Set& active) {
    int32_t* const excess = cut_.excess();
    const int n = cells();
    // Cells that don't move may have no label above; what is found for them counts for nothing.
    for (int i = 0; i < n; ++i) excess[i] = slopes[std::min(low_[i], labels_ - 2) * kPlane + i];
    for (int d = 0; d < Cut::kLeft; ++d) {
      const int step = cut_.offset(d);
      const int32_t* const weights = d == Cut::kDown ? sample_.down : sample_.right;
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

  const IntegerLabeling sample_;
  const LabelCost& cost_;
  const int labels_;
  Cut cut_;
  Flow<Words> flow_;
  std::vector<int32_t> label_, low_, room_, rise_;
  std::vector<int32_t> lowest_, highest_;  // bounds of the optimum
  Slopes slope_, convex_slope_;
  std::vector<int32_t> capacity_[4];
  Edge edges_[2 * kMaxLabels];
};

}  // namespace puzzlemix
