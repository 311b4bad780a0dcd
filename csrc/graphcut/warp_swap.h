// Alpha-beta swap of a grid of up to 16x16 by one warp, of up to 32x32 by four (Boykov, Veksler and
// Zabih, PAMI 2001, section 4; swap.h explains it), each minimum cut by WarpCut (warp_cut.h).
//
// Whether a move lowers the energy needs no sums: it does if the present labels of the pair are not
// a minimum cut, which the residual capacities tell. A pair's cut starts from the flow that its
// last one ended with, on the edges that still join two of its cells (in a prototype, 25 % fewer
// levels and pushes at 16x16 with 3 labels).
#pragma once

#include "graphcut/warp_cut.h"

namespace puzzlemix {

template <int kLanes>
class WarpSwapEngine {
  using Grid = WarpGrid<kLanes>;
  static constexpr int kPlane = Grid::kPlane, kFlow = 2 * kPlane;

  // Where a sample's memory has what, in words: see Work.
  static constexpr int kCost = 2 * kPlane, kJoined = kCost + kMaxLabels * kMaxLabels,
                       kPairs = kJoined + 4 * kLanes, kLabels = kPairs + 2 * kLanes,
                       kLabel = kPlane + kLanes;

  // The flows of this many pairs are kept: of all pairs of up to 4 labels, where they have room.
  PUZZLEMIX_HD static constexpr int kept(int labels) {
    const int pairs = labels * (labels - 1) / 2, most = pairs < 6 ? pairs : 6;
    if (kLanes == kWarp) return most;
    const int room = (static_cast<int>(kFastBytes / 4) - kLabels - labels * kLabel) / kFlow;
    return room < most ? Most()(room, 0) : most;
  }

 public:
  PUZZLEMIX_HD static constexpr int64_t bytes(int labels) {
    return int64_t{4} * (kLabels + labels * kLabel + kept(labels) * kFlow);
  }

  // The memory of a sample, bytes() of CUDA's shared memory: planes by place (see warp_cut.h), 0
  // where the grid has no cell. One pointer, as registers are few.
  struct Work {
    PUZZLEMIX_HD int32_t* right() const { return memory; }
    PUZZLEMIX_HD int32_t* down() const { return memory + kPlane; }
    PUZZLEMIX_HD int32_t* cost() const { return memory + kCost; }
    // Sets of cells, a word for each lane: those with an edge of positive weight in a direction,
    // and those with a label.
    PUZZLEMIX_HD uint32_t* joined(int direction) const { return set(kJoined + direction * kLanes); }
    PUZZLEMIX_HD uint32_t* cells(int label) const { return set(kLabels + label * kLabel + kPlane); }
    // Sets of pairs of labels, a < b as bit b of lane a: all, and those to be tried, as their cut
    // may differ from when they were last tried.
    PUZZLEMIX_HD uint32_t* pairs() const { return set(kPairs); }
    PUZZLEMIX_HD uint32_t* untried() const { return set(kPairs + kLanes); }
    PUZZLEMIX_HD int32_t* unary(int label) const { return memory + kLabels + label * kLabel; }
    // Two planes: what flowed to the right and down after the last cut of a pair of labels.
    PUZZLEMIX_HD int32_t* flow(int labels, int pair) const {
      return memory + kLabels + labels * kLabel + pair * kFlow;
    }

    int32_t* memory;

   private:
    PUZZLEMIX_HD uint32_t* set(int first) const {
      return reinterpret_cast<uint32_t*>(memory + first);
    }
  };

  // max_cycles: the most sweeps; negative: no limit.
  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, int32_t* memory, const IntegerLabeling& sample,
                                 const LabelCost* label_cost, int64_t max_cycles, int32_t* label) {
    const Work work{memory};
    load(team, work, sample, label_cost);
    const GridShape shape = sample.shape;
    const int labels = sample.labels;
    // Each sweep but the last lowers the energy, an integer below 2^30: more sweeps don't happen.
    const int cycles = static_cast<int>(Least()(max_cycles, int64_t{1} << 30));
    team.template lanes<kLanes>([=](auto& lanes) {
      using Lanes = std::remove_reference_t<decltype(lanes)>;
      Solver<Lanes>(lanes, work, labels).solve(shape, cycles);
    });
    team.for_each(Grid::kPlane, [=](int place) {
      if (!Grid::inside(shape, place)) return;
      int32_t found = 0;
      for (int l = 1; l < labels; ++l) {
        if (Grid::has(work.cells(l), place)) found = l;
      }
      label[Grid::cell(shape, place)] = found;
    });
  }

 private:
  template <typename Team>
  PUZZLEMIX_HD static void load(Team& team, const Work& work, const IntegerLabeling& sample,
                                const LabelCost* label_cost) {
    const Work to = work;
    const IntegerLabeling in = sample;
    team.for_each(Grid::kPlane, [=](int place) {
      const bool inside = Grid::inside(in.shape, place);
      const int i = Grid::cell(in.shape, place);
      to.right()[place] = inside ? in.right[i] : 0;
      to.down()[place] = inside ? in.down[i] : 0;
      for (int l = 0; l < in.labels; ++l) {
        to.unary(l)[place] = inside ? in.costs_of(l)[i] : 0;
      }
      for (int p = 0; p < kept(in.labels); ++p) {
        to.flow(in.labels, p)[place] = to.flow(in.labels, p)[kPlane + place] = 0;
      }
      if (place < in.labels * in.labels) to.cost()[place] = label_cost->cost[place];
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

    PUZZLEMIX_INLINE void solve(GridShape shape, int max_cycles) {
      start(shape);
      for (int left = max_cycles; left != 0 && lanes_.any(untried()); --left) {
        for (int a = 0; a < labels_; ++a) {
          for (int b = a + 1; b < labels_; ++b) {
            const Bits pair = Lanes::in(1u << a, Bits(1u << b));
            if (!lanes_.any(untried() & pair)) continue;
            move(a, b);
            set_untried(untried() & ~pair);
          }
        }
      }
    }

   private:
    // Gives each cell its cheapest label, the lowest on a tie: the first whose cost is 0.
    PUZZLEMIX_INLINE void start(GridShape shape) {
      Bits unassigned(0);
      PUZZLEMIX_UNROLL
      for (int i = kCells - 1; i >= 0; --i) {
        // Both differences, and so their AND, are negative where the grid has a cell.
        const Int y = cut_.row(), x = cut_.column() + Int(i);
        unassigned = Lanes::push_sign(unassigned, (y - Int(shape.height)) & (x - Int(shape.width)));
      }
      PUZZLEMIX_NO_UNROLL
      for (int l = 0; l < labels_; ++l) {
        Bits costly(0);
        PUZZLEMIX_UNROLL
        for (int i = kCells - 1; i >= 0; --i) costly = Lanes::push_sign(costly, -unary(l, i));
        Lanes::store(work_.cells(l), cut_.lane(), unassigned & ~costly);
        unassigned = unassigned & costly;
      }
      join();
      Bits pairs(0);
      PUZZLEMIX_NO_UNROLL
      for (int a = 0; a < labels_; ++a) {
        pairs = pairs | Lanes::in(1u << a, Bits((1u << labels_) - (2u << a)));
      }
      Lanes::store(work_.pairs(), cut_.lane(), pairs);
      set_untried(pairs);
    }

    // Finds the cells with an edge of positive weight in each direction.
    PUZZLEMIX_INLINE void join() {
      cut_.load_edges(work_.right(), work_.down(), cut_.left);
      PUZZLEMIX_UNROLL
      for (int d = 0; d < Cut::kDirections; ++d) {
        Bits joined(0);
        PUZZLEMIX_UNROLL
        for (int i = kCells - 1; i >= 0; --i) joined = Lanes::push_sign(joined, -cut_.left[d][i]);
        Lanes::store(work_.joined(d), cut_.lane(), joined);
      }
    }

    // Tries the move of alpha and beta.
    PUZZLEMIX_INLINE void move(int alpha, int beta) {
      const Bits active = cells(alpha) | cells(beta);
      if (!lanes_.any(active)) return;
      fill(alpha, beta, active);
      bound(active, cost(alpha, beta));
      if (pair(alpha, beta) < kept(labels_)) resume(active, flow(alpha, beta));
      cut_.solve();
      if (pair(alpha, beta) < kept(labels_)) keep(alpha, beta, flow(alpha, beta));
      // Loaded again, so that they take no registers while the cut is solved.
      const Bits in_alpha = cells(alpha), in_beta = cells(beta);
      if (!cut_.improves(in_alpha, in_beta)) return;
      const Bits sink_side = cut_.on_sink_side();
      forget(in_beta ^ sink_side, 1u << alpha | 1u << beta);
      Lanes::store(work_.cells(alpha), cut_.lane(), (in_alpha | in_beta) & ~sink_side);
      Lanes::store(work_.cells(beta), cut_.lane(), sink_side);
    }

    // Fills in the swap's cut: an active cell's excess is its cost under beta less that under
    // alpha, edges to cells of other labels included. The arcs get the bare edge weights, which
    // bound() multiplies by the label cost.
    PUZZLEMIX_INLINE void fill(int alpha, int beta, const Bits& active) {
      cut_.load_edges(work_.right(), work_.down(), cut_.left);
      PUZZLEMIX_UNROLL
      for (int i = 0; i < kCells; ++i) {
        cut_.excess[i] = Lanes::keep(active, i, unary(beta, i) - unary(alpha, i));
      }
      PUZZLEMIX_NO_UNROLL
      for (int l = 0; l < labels_; ++l) {
        const int32_t more = cost(beta, l) - cost(alpha, l);
        if (l == alpha || l == beta) continue;
        Bits at[Cut::kDirections];
        cut_.neighbours(cells(l), at);
        PUZZLEMIX_UNROLL
        for (int i = 0; i < kCells; ++i) {
          Int weight(0);
          PUZZLEMIX_UNROLL
          for (int d = 0; d < Cut::kDirections; ++d) {
            weight = weight + Lanes::keep(at[d] & active, i, cut_.left[d][i]);
          }
          cut_.excess[i] = cut_.excess[i] + weight * Int(more);
        }
      }
    }

    // Turns weights into capacities: weight times `price`, the label cost of alpha beside beta,
    // between active cells, 0 elsewhere.
    PUZZLEMIX_INLINE void bound(const Bits& active, int32_t price) {
      Bits at[Cut::kDirections];
      cut_.neighbours(active, at);
      PUZZLEMIX_UNROLL
      for (int d = 0; d < Cut::kDirections; ++d) {
        PUZZLEMIX_UNROLL
        for (int i = 0; i < kCells; ++i) {
          cut_.left[d][i] = Lanes::keep(at[d] & active, i, cut_.left[d][i] * Int(price));
        }
      }
    }

    // Starts from the flow of the pair's last cut, on the edges that still join two of its cells.
    // It is within the capacities, which depend on the pair alone.
    PUZZLEMIX_INLINE void resume(const Bits& active, const int32_t* flows) {
      Bits at[Cut::kDirections];
      cut_.neighbours(active, at);
      Int right[kCells], down[kCells];
      PUZZLEMIX_UNROLL
      for (int i = 0; i < kCells; ++i) {
        right[i] =
            Lanes::keep(at[Cut::kRight] & active, i, Lanes::load(flows + i * kLanes, cut_.lane()));
        down[i] = Lanes::keep(at[Cut::kDown] & active, i,
                              Lanes::load(flows + kPlane + i * kLanes, cut_.lane()));
      }
      cut_.send(right, down);
    }

    // Stores the flow of a cut of the pair.
    PUZZLEMIX_INLINE void keep(int alpha, int beta, int32_t* flows) {
      const Bits active = cells(alpha) | cells(beta);
      const int32_t price = cost(alpha, beta);
      Bits at[Cut::kDirections];
      cut_.neighbours(active, at);
      PUZZLEMIX_UNROLL
      for (int i = 0; i < kCells; ++i) {
        const Int right = Lanes::load(work_.right() + i * kLanes, cut_.lane());
        const Int down = Lanes::load(work_.down() + i * kLanes, cut_.lane());
        Lanes::store(flows + i * kLanes, cut_.lane(),
                     Lanes::keep(at[Cut::kRight] & active, i, right * Int(price)) +
                         cut_.left[Cut::kRight][i]);
        Lanes::store(
            flows + kPlane + i * kLanes, cut_.lane(),
            Lanes::keep(at[Cut::kDown] & active, i, down * Int(price)) + cut_.left[Cut::kDown][i]);
      }
    }

    // Marks the pairs to be tried again: those with a label in the bits `touched`, or with the
    // label of a cell that changed or has a neighbour that did.
    PUZZLEMIX_INLINE void forget(const Bits& changed, uint32_t touched) {
      Bits at[Cut::kDirections], around = changed;
      cut_.neighbours(changed, at);
      PUZZLEMIX_UNROLL
      for (int d = 0; d < Cut::kDirections; ++d) {
        around = around | (at[d] & Lanes::load(work_.joined(d), cut_.lane()));
      }
      PUZZLEMIX_NO_UNROLL
      for (int l = 0; l < labels_; ++l) {
        if (lanes_.any(cells(l) & around)) touched |= 1u << l;
      }
      const Bits again = Lanes::in(touched, ~Bits(0)) | Bits(touched);
      set_untried(untried() | (again & Lanes::load(work_.pairs(), cut_.lane())));
    }

    // The number of a pair of labels in lexicographic order.
    PUZZLEMIX_INLINE int pair(int alpha, int beta) const {
      return alpha * (2 * labels_ - alpha - 3) / 2 + beta - 1;
    }
    PUZZLEMIX_INLINE int32_t* flow(int alpha, int beta) const {
      return work_.flow(labels_, pair(alpha, beta));
    }
    PUZZLEMIX_INLINE Bits untried() const { return Lanes::load(work_.untried(), cut_.lane()); }
    PUZZLEMIX_INLINE void set_untried(const Bits& pairs) {
      Lanes::store(work_.untried(), cut_.lane(), pairs);
    }
    PUZZLEMIX_INLINE Bits cells(int label) const {
      return Lanes::load(work_.cells(label), cut_.lane());
    }
    PUZZLEMIX_INLINE Int unary(int label, int i) const {
      return Lanes::load(work_.unary(label) + i * kLanes, cut_.lane());
    }
    PUZZLEMIX_INLINE int32_t cost(int a, int b) const {
      return Lanes::load_one(work_.cost(), a * labels_ + b);
    }

    Lanes& lanes_;
    const Work work_;
    const int labels_;
    Cut cut_;
  };
};

}  // namespace puzzlemix
