// The lowest optimal labelling of a small grid by one warp, where all costs are convex: the descent
// of descent.h, where its reasons stand, with cuts by warp_cut.h.
#pragma once

#include "graphcut/warp_cut.h"

namespace puzzlemix {

class WarpDescentEngine {
  static constexpr int kPlane = WarpGrid::kPlane;

 public:
  // The memory of a sample: planes by place (see warp_cut.h), 0 where the grid has no cell. One
  // address, as registers are few. To be taken first from an arena: lanes read it as shared memory.
  struct Work {
    PUZZLEMIX_HD Work(Arena& arena, int labels)
        : memory(arena.take<int32_t>(labels > 0 ? kUnary + labels * kPlane : 0)) {}

    PUZZLEMIX_HD int32_t* right() const { return memory; }
    PUZZLEMIX_HD int32_t* down() const { return memory + kPlane; }
    PUZZLEMIX_HD int32_t* label() const { return memory + 2 * kPlane; }
    PUZZLEMIX_HD int32_t* unary(int label) const { return memory + kUnary + label * kPlane; }
    // By gap, from the one of -labels on: an edge of weight 1 costs f(x_i - x_j), f even and
    // convex, and x is low or low + 1 with low_i - low_j = gap. The arc i -> j is cut where i stays
    // and j takes low + 1, the arc back the other way round; together they make up f's second
    // difference, split as evenly as integers allow. `rise` is excess of i and lack of j.
    PUZZLEMIX_HD int32_t* there() const { return memory + kTable; }
    PUZZLEMIX_HD int32_t* back() const { return there() + 2 * kMaxLabels; }
    PUZZLEMIX_HD int32_t* rise() const { return back() + 2 * kMaxLabels; }

   private:
    static constexpr int kTable = 3 * kPlane, kUnary = kTable + 6 * kMaxLabels;

    int32_t* memory;
  };

  // The label cost is a convex function of the distance, unary costs are convex in the label.
  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& given, const IntegerLabeling& sample,
                                 const LabelCost* label_cost, int32_t* label) {
    const Work work = given;
    load(team, work, sample);
    tabulate(team, work, label_cost, sample.labels);
    const GridShape shape = sample.shape;
    const int labels = sample.labels;
    team.warp([=](auto& lanes) {
      using Lanes = std::remove_reference_t<decltype(lanes)>;
      Solver<Lanes>(lanes, work, labels).solve();
    });
    team.step(WarpGrid::kPlane, [=](int place) {
      if (WarpGrid::inside(shape, place)) label[WarpGrid::cell(shape, place)] = work.label()[place];
    });
  }

 private:
  template <typename Team>
  PUZZLEMIX_HD static void load(Team& team, const Work& work, const IntegerLabeling& sample) {
    const Work to = work;
    const IntegerLabeling in = sample;
    team.step(WarpGrid::kPlane, [=](int place) {
      const bool inside = WarpGrid::inside(in.shape, place);
      const int i = WarpGrid::cell(in.shape, place);
      to.right()[place] = inside ? in.right[i] : 0;
      to.down()[place] = inside ? in.down[i] : 0;
      int cheapest = 0;  // the lowest on a tie
      for (int l = in.labels - 1; l >= 0; --l) {
        const int32_t cost = inside ? in.costs_of(l)[i] : 0;
        to.unary(l)[place] = cost;
        cheapest = cost == 0 ? l : cheapest;
      }
      to.label()[place] = in.labels > 3 ? cheapest : in.labels - 2;
    });
  }

  template <typename Team>
  PUZZLEMIX_HD static void tabulate(Team& team, const Work& work, const LabelCost* label_cost,
                                    int labels) {
    const Work to = work;
    team.step(2 * labels, [=](int k) {
      const int gap = k - labels;
      // In 64 bits: a cost that no edge has weight for may be as large as an integer gets. The gap
      // next to the widest belongs to no edge that is ever cut.
      const auto f = [=](int gap) -> int64_t {
        return (*label_cost)(0, Least()(gap < 0 ? -gap : gap, labels - 1));
      };
      const int64_t second = f(gap + 1) + f(gap - 1) - 2 * f(gap), half = second / 2;
      to.there()[k] = static_cast<int32_t>(second - half);
      to.back()[k] = static_cast<int32_t>(half);
      to.rise()[k] = static_cast<int32_t>(f(gap + 1) - f(gap) - half);
    });
  }

  template <typename Lanes>
  class Solver {
   public:
    using Cut = WarpCut<Lanes>;
    using Int = typename Lanes::Int;
    using Bits = typename Lanes::Bits;
    static constexpr int kCells = WarpGrid::kCells;

    PUZZLEMIX_INLINE Solver(Lanes& lanes, const Work& work, int labels)
        : lanes_(lanes), work_(work), labels_(labels), cut_(lanes) {}

    // Up as long as that helps, then down.
    PUZZLEMIX_INLINE void solve() {
      int direction = 1, steps = labels_ > 3 ? labels_ : 1;
      while (true) {
        if (steps > 0 && change(direction)) {
          --steps;
        } else if (direction > 0) {
          direction = -1;
          steps = labels_ > 3 ? labels_ : labels_ - 2;
        } else {
          break;
        }
      }
    }

   private:
    // Chooses for every cell low or low + 1, where low is the label (going up) or the one below it
    // (going down); cells at the end stay. True if a label changed.
    PUZZLEMIX_INLINE bool change(int direction) {
      Int low[kCells];
      Cut::load_plane(work_.label(), cut_.lane(), low);
      Bits moves(0);
      const int end = direction > 0 ? labels_ - 1 : 0;
      PUZZLEMIX_UNROLL
      for (int i = kCells - 1; i >= 0; --i) {
        moves = Lanes::push_sign(moves, (low[i] - Int(end)) * Int(direction));
      }
      if (!lanes_.any(moves)) return false;
      PUZZLEMIX_UNROLL
      for (int i = 0; i < kCells; ++i) {
        low[i] = low[i] + Lanes::keep(moves, i, Int(direction > 0 ? 0 : -1));
        // Cells that don't move may have no label above; what is found for them counts for nothing.
        const Int at = Lanes::least(low[i], Int(labels_ - 2)) * Int(kPlane) + cut_.lane();
        cut_.excess[i] = Lanes::load(work_.unary(1) + i * kWarp, at) -
                         Lanes::load(work_.unary(0) + i * kWarp, at);
      }
      fill_edges(low, moves);
      PUZZLEMIX_UNROLL
      for (int i = 0; i < kCells; ++i) cut_.excess[i] = Lanes::keep(moves, i, cut_.excess[i]);
      cut_.solve();
      const Bits high = cut_.on_sink_side();
      const Bits changed = direction > 0 ? moves & high : moves & ~high;
      PUZZLEMIX_UNROLL
      for (int i = 0; i < kCells; ++i) {
        const Int before = Lanes::load(work_.label() + i * kWarp, cut_.lane());
        Lanes::store(work_.label() + i * kWarp, cut_.lane(),
                     before + Lanes::keep(changed, i, Int(direction)));
      }
      return lanes_.any(changed);
    }

    // Capacities, and what edges add to the excess.
    PUZZLEMIX_INLINE void fill_edges(const Int (&low)[kCells], const Bits& moves) {
      Bits others[Cut::kDirections];
      cut_.neighbours(moves, others);
      const Int beside = cut_.from_beside(low[0]);
      // What arcs back from, and edges to, the cell before have for the next one.
      Int back(0), to_next(0);
      PUZZLEMIX_UNROLL
      for (int i = 0; i < kCells; ++i) {
        const Int next = i + 1 < kCells ? low[i + 1 < kCells ? i + 1 : i] : beside;
        cut_.left[Cut::kLeft][i] = back;
        cut_.excess[i] = cut_.excess[i] + to_next;
        fill_edge<Cut::kRight>(work_.right(), low[i] - next, i, moves, others[Cut::kRight], back,
                               to_next);
      }
      cut_.left[Cut::kLeft][0] = cut_.from_beside(back);
      cut_.excess[0] = cut_.excess[0] + cut_.from_beside(to_next);
      PUZZLEMIX_UNROLL
      for (int i = 0; i < kCells; ++i) {
        fill_edge<Cut::kDown>(work_.down(), low[i] - cut_.from_below(low[i]), i, moves,
                              others[Cut::kDown], back, to_next);
        cut_.left[Cut::kUp][i] = cut_.from_above(back);
        cut_.excess[i] = cut_.excess[i] + cut_.from_above(to_next);
      }
    }

    // The edge from cell i to the one that has `others`: the capacity of the arc back, and the
    // excess of the other end, are returned.
    template <int D>
    PUZZLEMIX_INLINE void fill_edge(const int32_t* weights, const Int& gap, int i,
                                    const Bits& moves, const Bits& others, Int& back,
                                    Int& to_other) {
      const Int weight = Lanes::load(weights + i * kWarp, cut_.lane());
      const Int at = gap + Int(labels_);
      const Int there = weight * Lanes::load(work_.there(), at);
      const Int rise = weight * Lanes::load(work_.rise(), at);
      back = weight * Lanes::load(work_.back(), at);
      // Where one end moves, the other's choice is no excuse to share the second difference.
      cut_.excess[i] = cut_.excess[i] + rise + Lanes::keep(~others, i, back);
      to_other = Lanes::keep(~moves, i, there) - rise;
      cut_.left[D][i] = Lanes::keep(moves & others, i, there);
      back = Lanes::keep(moves & others, i, back);
    }

    Lanes& lanes_;
    const Work work_;
    const int labels_;
    Cut cut_;
  };
};

}  // namespace puzzlemix
