// The lowest optimal labelling of one sample on the CPU, for a label cost that is a convex function
// of the distance of two labels: steepest descent on an L-natural-convex function (Murota, Discrete
// Convex Analysis, 2003), by one minimum cut after the other.
//
// Convex unary costs. Where the unary costs are convex in the label too, as in Puzzle Mix's default
// problem, the energy of a labelling is L-natural-convex. Then a labelling is optimal unless
// raising some set of cells by one label, or lowering some set by one, lowers the energy; and the
// best such set is a minimum cut: each cell chooses between its label and the next one. So raise
// the best set until nothing helps, then lower it until nothing helps. No cell is raised or lowered
// more often than there are labels above the lowest. For 3 labels, from the middle one, one cut up
// and one cut down are enough.
//
// The lowest optimum. The canonical cut raises the smallest set among the best ones, and lowers the
// largest. If y is the smallest best raise, min(x, y) is optimal for every optimum x; so the lowest
// optimum lies at or below y, and lowering the largest sets ends there without passing it.
//
// Other unary costs are enclosed by two that are convex. The energy is submodular, so the lowest
// optimum falls where going from a label to the next costs more, and rises where that costs less.
// With each of these slopes raised to the largest of those before it the problem is convex, and its
// lowest optimum bounds the sample's from below; with each lowered to the least of those after it,
// from above. Between these bounds the slopes need to be changed less, so the next two descents,
// which start at the bounds, find closer ones. Where the bounds meet the label is known; where all
// costs between them are convex, a last descent finds it. Of 3 labels at 32x32 with unary costs
// 50 % off convex, 2 of 1024 cells stay undecided: Ishikawa's graph (ishikawa.h) decides those.
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

  // Writes the labelling to `out`, or returns false where cells stay undecided: then the lowest
  // optimum lies between lowest() and highest().
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
  using Slopes =
      std::vector<int32_t>;  // [labels - 1, kPlane]: the next label's cost minus this one's
  static constexpr int kPlane = Words * 64;
  static constexpr int kRounds = 4;

  int cells() const { return sample_.shape.cells(); }

  void start() {
    const int n = cells();
    flow_.clear();
    sample_edges_ = cut_.edges(sample_.right, sample_.down, sample_.right, sample_.down);
    std::fill_n(lowest_.begin(), n, 0);
    std::fill_n(highest_.begin(), n, labels_ - 1);
    for (int l = 0; l + 1 < labels_; ++l) {
      const int32_t *const now = sample_.costs_of(l), *const next = sample_.costs_of(l + 1);
      int32_t* const slope = &slope_[l * kPlane];
      for (int i = 0; i < n; ++i) slope[i] = next[i] - now[i];
    }
  }

  void tabulate_edges() {
    const LabelCost& cost = cost_;
    for (int gap = 2; gap < labels_; ++gap) {
      quadratic_ = quadratic_ && cost(0, gap) == int64_t{cost(0, 1)} * gap * gap;
    }
    // edges_ is indexed by gap + labels_. At an edge with the widest gap one end can't move, and
    // what the edge costs the other end doesn't depend on f beyond that gap: so f may be clamped
    // there.
    // In 64 bits: where all edges have weight 0, label costs may be as large as 2^31 - 1.
    const auto f = [&](int gap) -> int64_t {
      return cost(0, std::min(std::abs(gap), labels_ - 1));
    };
    for (int gap = 1 - labels_; gap < labels_; ++gap) {
      const int64_t second = f(gap + 1) + f(gap - 1) - 2 * f(gap), half = second / 2;
      edges_[gap + labels_] = {static_cast<int32_t>(second - half), static_cast<int32_t>(half),
                               static_cast<int32_t>(f(gap + 1) - f(gap) - half)};
    }
  }

  // Finds the lowest optimum for convex slopes.
  void descend(const Slopes& slopes) {
    if (labels_ > 3) {
      PlainTeam team;
      start_from_cheapest(team, sample_, label_.data());
      climb(slopes, 1);
      climb(slopes, -1);
    } else {
      raise_from(slopes, labels_ - 2);
      if (labels_ == 3) change_by_one(slopes, -1);
    }
  }

  // Whether unary costs are convex between the bounds: no slope less than the one before it.
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

  // Bounds the lowest optimum by those of convex problems. Leaves it in label_ and returns true, or
  // returns false if cells stay undecided.
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

  // Finds closer bounds from costs that are made convex between the present ones only. Returns
  // false if no bound moves.
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

  // Sets convex_slope_ to the least convex slopes that are, between the bounds, nowhere below the
  // sample's.
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

  // Sets convex_slope_ to the largest convex slopes that are, between the bounds, nowhere above the
  // sample's.
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

  // Raises (direction 1) or lowers (-1) sets of cells until that doesn't help, at most as often as
  // the bounds leave a cell room.
  void climb(const Slopes& slopes, int direction) {
    int room = 0;
    const int n = cells();
    for (int i = 0; i < n; ++i) {
      room = std::max(room, direction > 0 ? highest_[i] - label_[i] : label_[i] - lowest_[i]);
    }
    while (room-- > 0 && change_by_one(slopes, direction)) {
    }
  }

  // The first raise, from a labelling that has the label `low` everywhere: cutting any edge then
  // costs weight * f(1), so the sample's own edges serve whatever f is, and add nothing to the
  // excess (a fourteenth of the time at 8x8).
  void raise_from(const Slopes& slopes, int low) {
    const int n = cells();
    std::copy_n(&slopes[low * kPlane], n, cut_.excess());
    std::fill(room_.begin(), room_.begin() + n, 1);
    const Set high = cut_.solve(positive<Words>(room_.data()), sample_edges_, cost_(0, 1), flow_,
                                /*sweeps=*/true);
    std::fill_n(label_.begin(), cells(), low);
    for_each_bit(high, [&](int i) { ++label_[i]; });
  }

  // One minimum cut, in which every cell chooses between low and low + 1: low is its label if the
  // direction is 1, the label below it if -1. Cells at their bound stay. Returns whether a label
  // changed.
  bool change_by_one(const Slopes& slopes, int direction) {
    const int n = cells();
    const int32_t *const label = label_.data(), *const lowest = lowest_.data();
    int32_t *const room = room_.data(), *const low = low_.data();
    for (int i = 0; i < n; ++i) {
      room[i] = direction > 0 ? highest_[i] - label[i] : label[i] - lowest[i];
    }
    const Set active = positive<Words>(room);
    if (!active.any()) return false;
    const int32_t down = direction < 0 ? 1 : 0;
    for (int i = 0; i < n; ++i) low[i] = label[i] - (room[i] > 0 ? down : 0);
    const Set high = raised(slopes, active);
    const Set changed = direction > 0 ? high : active - high;
    for_each_bit(changed, [&](int i) { label_[i] += direction; });
    return changed.any();
  }

  // The active cells that take low + 1 in the canonical cut.
  Set raised(const Slopes& slopes, const Set& active) {
    const int n = cells(), last = labels_ - 2;
    int32_t *const excess = cut_.excess(), *const low = low_.data();
    const int32_t* const slope = slopes.data();
    // A cell at the highest label has no slope above it. It isn't active, so any value will do.
    for (int i = 0; i < n; ++i) excess[i] = slope[std::min(low[i], last) * kPlane + i];
    if (quadratic_) {
      for (int d = 0; d < Cut::kLeft; ++d) add_quadratic_edges(active, d);
      return cut_.solve(active, sample_edges_, cost_(0, 1), flow_, /*sweeps=*/true);
    }
    for (int d = 0; d < Cut::kLeft; ++d) add_edges(active, d);
    const auto edges = cut_.edges(capacity_[0].data(), capacity_[1].data(), capacity_[2].data(),
                                  capacity_[3].data());
    return cut_.solve(active, edges, 1, flow_, /*sweeps=*/true);
  }

  // Fills in the capacities of the edges in direction d, and what they add to the excess.
  void add_edges(const Set& active, int d) {
    const int32_t *const weights = this->weights(d), *const low = low_.data();
    int32_t *const there = capacity_[d].data(), *const back = capacity_[d + 2].data();
    int32_t* const rise = rise_.data();
    const int offset = cut_.offset(d), last = cells() - offset;
    for (int i = 0; i < last; ++i) {
      const Edge& edge = edges_[low[i] - low[i + offset] + labels_];
      there[i] = weights[i] * edge.there;
      back[i] = weights[i] * edge.back;
      rise[i] = weights[i] * edge.rise;
    }
    add_rises(active, d, there, back, 1);
  }

  // Where the edge costs weight * c * gap^2, the second difference is 2 c, whatever the labels. So
  // the sample's own weights, times c, are the capacities.
  void add_quadratic_edges(const Set& active, int d) {
    const int32_t *const weights = this->weights(d), *const low = low_.data();
    int32_t* const rise = rise_.data();
    const int32_t factor = cost_(0, 1);
    const int offset = cut_.offset(d), last = cells() - offset;
    for (int i = 0; i < last; ++i) {
      rise[i] = weights[i] * (2 * factor * (low[i] - low[i + offset]));
    }
    add_rises(active, d, weights, weights, factor);
  }

  void add_rises(const Set& active, int d, const int32_t* there, const int32_t* back,
                 int32_t factor) {
    int32_t* const excess = cut_.excess();
    const int32_t* const rise = rise_.data();
    const int offset = cut_.offset(d), last = cells() - offset;
    // Two loops: in one, each iteration would wait for the sum that the last one stored.
    for (int i = 0; i < last; ++i) excess[i] += rise[i];
    for (int i = 0; i < last; ++i) excess[i + offset] -= rise[i];
    // An edge with one active end has no arcs: the second difference, which two active ends share
    // as capacities, belongs to that end's excess.
    const Set tails = cut_.tails(active, d);
    for_each_bit(active - tails, [&](int i) { excess[i] += factor * back[i]; });
    for_each_bit(tails - active, [&](int i) { excess[i + offset] += factor * there[i]; });
  }

  const int32_t* weights(int d) const { return d == Cut::kDown ? sample_.down : sample_.right; }

  // What an edge of weight 1 between cells i and j becomes in the cut. It costs f(x_i - x_j), f
  // even and convex, and each end takes low or low + 1. The arc i -> j is cut where i takes low and
  // j takes low + 1, the arc j -> i in the opposite case. The sum of their capacities is the second
  // difference of f, split as evenly as integers allow.
  struct Edge {
    int32_t there, back;
    int32_t rise;  // added to the excess of i, subtracted from that of j
  };

  const IntegerLabeling sample_;
  const LabelCost& cost_;
  const int labels_;
  Cut cut_;
  Flow<Words> flow_;
  std::vector<int32_t> label_, low_, room_, rise_;
  std::vector<int32_t> lowest_, highest_;  // the lowest optimum lies between these labellings
  Slopes slope_, convex_slope_;
  std::vector<int32_t> capacity_[4];
  typename Cut::Edges sample_edges_;  // of the weights
  bool quadratic_ = true;             // the label cost is c times the squared distance
  Edge edges_[2 * kMaxLabels];
};

}  // namespace puzzlemix
