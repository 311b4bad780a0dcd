// The lowest optimal labelling of a grid of up to 16x16 by one warp, of up to 32x32 by four, where
// label cost and unary costs are convex: steepest descent (descent.h explains it), each minimum cut
// by WarpCut (warp_cut.h).
#pragma once

#include "graphcut/warp_cut.h"

namespace puzzlemix {

template <int kLanes>
class WarpDescentEngine {
  using Grid = WarpGrid<kLanes>;
  static constexpr int kPlane = Grid::kPlane;

  // Where a sample's memory has what, in words: see Work.
  static constexpr int kTable = 3 * kPlane, kUnary = kTable + 6 * kMaxLabels;

 public:
  PUZZLEMIX_HD static constexpr int64_t bytes(int labels) {
    return int64_t{4} * (kUnary + labels * kPlane);
  }

  // The memory of a sample, bytes() of CUDA's shared memory: planes by place (see warp_cut.h), 0
  // where the grid has no cell. One pointer, as registers are few.
  struct Work {
    PUZZLEMIX_HD int32_t* right() const { return memory; }
    PUZZLEMIX_HD int32_t* down() const { return memory + kPlane; }
    PUZZLEMIX_HD int32_t* label() const { return memory + 2 * kPlane; }
    PUZZLEMIX_HD int32_t* unary(int label) const { return memory + kUnary + label * kPlane; }
    // Tables of what an edge of weight 1 becomes in the cut, by gap + labels. It costs
    // f(x_i - x_j), f even and convex; each end takes low or low + 1, and gap = low_i - low_j. The
    // arc i -> j (`there`) is cut where i takes low and j takes low + 1, the arc j -> i (`back`) in
    // the opposite case. The sum of their capacities is the second difference of f, split as evenly
    // as integers allow. `rise` is added to the excess of i and subtracted from that of j.
    PUZZLEMIX_HD int32_t* there() const { return memory + kTable; }
    PUZZLEMIX_HD int32_t* back() const { return there() + 2 * kMaxLabels; }
    PUZZLEMIX_HD int32_t* rise() const { return back() + 2 * kMaxLabels; }

    int32_t* memory;
  };

  // The label cost must be a convex function of the distance, unary costs convex in the label.
  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, int32_t* memory, const IntegerLabeling& sample,
                                 const LabelCost* label_cost, int32_t* label) {
    const Work work{memory};
    load(team, work, sample);
    tabulate(team, work, label_cost, sample.labels);
    const int labels = sample.labels;
    team.template lanes<kLanes>([=](auto& lanes) {
      using Lanes = std::remove_reference_t<decltype(lanes)>;
      Solver<Lanes>(lanes, work, labels).solve();
    });
    const GridShape shape = sample.shape;
    team.for_each(Grid::kPlane, [=](int place) {
      if (Grid::inside(shape, place)) label[Grid::cell(shape, place)] = work.label()[place];
    });
  }

 private:
  template <typename Team>
  PUZZLEMIX_HD static void load(Team& team, const Work& work, const IntegerLabeling& sample) {
    const Work to = work;
    const IntegerLabeling in = sample;
    team.for_each(Grid::kPlane, [=](int place) {
      const bool inside = Grid::inside(in.shape, place);
      const int i = Grid::cell(in.shape, place);
      to.right()[place] = inside ? in.right[i] : 0;
      to.down()[place] = inside ? in.down[i] : 0;
      int cheapest = 0;  // the cheapest label, the lowest on a tie
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
    team.for_each(2 * labels, [=](int k) {
      const int gap = k - labels;
      // In 64 bits: where all edges have weight 0, label costs may be as large as 2^31 - 1. At an
      // edge with the widest gap one end can't move, and what the edge costs the other end doesn't
      // depend on f beyond that gap: so f may be clamped there.
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
    static constexpr int kCells = Grid::kCells;

    PUZZLEMIX_INLINE Solver(Lanes& lanes, const Work& work, int labels)
        : lanes_(lanes), work_(work), labels_(labels), cut_(lanes) {}

    // Raises sets of cells until nothing helps, then lowers them.
    PUZZLEMIX_INLINE void solve() {
      int direction = 1, cuts_left = labels_ > 3 ? labels_ : 1;
      while (true) {
        if (cuts_left > 0 && change_by_one(direction)) {
          --cuts_left;
        } else if (direction > 0) {
          direction = -1;
          cuts_left = labels_ > 3 ? labels_ : labels_ - 2;
        } else {
          break;
        }
      }
    }

   private:
    // One minimum cut, in which every cell chooses between low and low + 1: low is its label if the
    // direction is 1, the label below it if -1. Cells at the last label in that direction stay.
    // Returns whether a label changed.
    PUZZLEMIX_INLINE bool change_by_one(int direction) {
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
        // A cell at the highest label has no label above it. It doesn't move: any value will do.
        const Int at = Lanes::least(low[i], Int(labels_ - 2)) * Int(kPlane) + cut_.lane();
        cut_.excess[i] = Lanes::load(work_.unary(1) + i * kLanes, at) -
                         Lanes::load(work_.unary(0) + i * kLanes, at);
      }
      fill_edges(low, moves);
      PUZZLEMIX_UNROLL
      for (int i = 0; i < kCells; ++i) cut_.excess[i] = Lanes::keep(moves, i, cut_.excess[i]);
      cut_.solve();
      const Bits high = cut_.on_sink_side();
      const Bits changed = direction > 0 ? moves & high : moves & ~high;
      PUZZLEMIX_UNROLL
      for (int i = 0; i < kCells; ++i) {
        const Int before = Lanes::load(work_.label() + i * kLanes, cut_.lane());
        Lanes::store(work_.label() + i * kLanes, cut_.lane(),
                     before + Lanes::keep(changed, i, Int(direction)));
      }
      return lanes_.any(changed);
    }

    // Fills in the cut's capacities, and adds to the excess what edges contribute.
    PUZZLEMIX_INLINE void fill_edges(const Int (&low)[kCells], const Bits& moves) {
      Bits others[Cut::kDirections];
      cut_.neighbours(moves, others);
      const Int beside = lanes_.from_right(low[0]);
      // Of the edge between the last cell and this one: the capacity of the arc back, and what it
      // adds to the excess of this one.
      Int back(0), to_next(0);
      PUZZLEMIX_UNROLL
      for (int i = 0; i < kCells; ++i) {
        const Int next = i + 1 < kCells ? low[i + 1 < kCells ? i + 1 : i] : beside;
        cut_.left[Cut::kLeft][i] = back;
        cut_.excess[i] = cut_.excess[i] + to_next;
        fill_edge<Cut::kRight>(work_.right(), low[i] - next, i, moves, others[Cut::kRight], back,
                               to_next);
      }
      cut_.left[Cut::kLeft][0] = lanes_.from_left(back);
      cut_.excess[0] = cut_.excess[0] + lanes_.from_left(to_next);
      PUZZLEMIX_UNROLL
      for (int i = 0; i < kCells; ++i) {
        fill_edge<Cut::kDown>(work_.down(), low[i] - lanes_.from_below(low[i]), i, moves,
                              others[Cut::kDown], back, to_next);
        cut_.left[Cut::kUp][i] = lanes_.from_above(back);
        cut_.excess[i] = cut_.excess[i] + lanes_.from_above(to_next);
      }
    }

    // The edge from cell i to its neighbour in direction D; `others`: which neighbours move. Sets
    // the capacity and the excess of cell i, and returns the neighbour's: the capacity of the arc
    // back, and what the edge adds to its excess.
    template <int D>
    PUZZLEMIX_INLINE void fill_edge(const int32_t* weights, const Int& gap, int i,
                                    const Bits& moves, const Bits& others, Int& back,
                                    Int& to_other) {
      const Int weight = Lanes::load(weights + i * kLanes, cut_.lane());
      const Int at = gap + Int(labels_);
      const Int there = weight * Lanes::load(work_.there(), at);
      const Int rise = weight * Lanes::load(work_.rise(), at);
      back = weight * Lanes::load(work_.back(), at);
      // Where only one end moves the edge has no arcs: the second difference, which two ends that
      // move share as capacities, belongs to that end's excess.
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
