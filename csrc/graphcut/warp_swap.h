// Alpha-beta swap of a grid of up to 16x16 by one warp (Boykov, Veksler and Zabih, PAMI 2001,
// section 4; swap.h explains it), each minimum cut by WarpCut (warp_cut.h).
//
// Whether a move lowers the energy needs no sums: it does if the present labels of the pair are not
// a minimum cut, which the residual capacities tell. A pair's cut starts from the flow that its
// last one ended with, on the edges that still join two of its cells (in a prototype, 25 % fewer
// levels and pushes at 16x16 with 3 labels).
#pragma once

#include "graphcut/warp_cut.h"

namespace puzzlemix {

class WarpSwapEngine {
  static constexpr int kPlane = WarpGrid::kPlane, kFlow = 2 * kPlane;

  // The flows of this many pairs are kept, 2 KB each: all pairs of up to 4 labels.
  static constexpr int kKept = 6;
  PUZZLEMIX_HD static int kept(int labels) { return Least()(labels * (labels - 1) / 2, kKept); }

 public:
  // The memory of a sample: planes by place (see warp_cut.h), 0 where the grid has no cell. One
  // pointer, as registers are few. Lanes read it as shared memory, so it is to be the first that is
  // taken from an arena.
  struct Work {
    PUZZLEMIX_HD Work(Arena& arena, int labels)
        : memory(arena.take<int32_t>(labels > 0 ? kUnary + labels * kPlane + kept(labels) * kFlow
                                                : 0)) {}

    PUZZLEMIX_HD int32_t* right() const { return memory; }
    PUZZLEMIX_HD int32_t* down() const { return memory + kPlane; }
    PUZZLEMIX_HD int32_t* cost() const { return memory + kCost; }
    // Sets of cells, a word for each lane: those with an edge of positive weight in a direction,
    // and those with a label.
    PUZZLEMIX_HD uint32_t* joined(int direction) const { return set(kJoined, direction); }
    PUZZLEMIX_HD uint32_t* cells(int label) const { return set(kCells, label); }
    PUZZLEMIX_HD int32_t* unary(int label) const { return memory + kUnary + label * kPlane; }
    // Two planes: what flowed to the right and down after the last cut of a pair of labels.
    PUZZLEMIX_HD int32_t* flow(int labels, int pair) const {
      return memory + kUnary + labels * kPlane + pair * kFlow;
    }

   private:
    static constexpr int kCost = 2 * kPlane, kJoined = kCost + kMaxLabels * kMaxLabels,
                         kCells = kJoined + 4 * kWarp, kUnary = kCells + kMaxLabels * kWarp;

    PUZZLEMIX_HD uint32_t* set(int first, int number) const {
      return reinterpret_cast<uint32_t*>(memory + first + number * kWarp);
    }

    int32_t* memory;
  };

  // max_cycles: the most sweeps; negative: no limit.
  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& given, const IntegerLabeling& sample,
                                 const LabelCost* label_cost, int64_t max_cycles, int32_t* label) {
    const Work work = given;
    load(team, work, sample, label_cost);
    const GridShape shape = sample.shape;
    const int labels = sample.labels;
    // Each sweep but the last lowers the energy, an integer below 2^30: more sweeps don't happen.
    const int cycles = static_cast<int>(Least()(max_cycles, int64_t{1} << 30));
    team.warp([=](auto& lanes) {
      using Lanes = std::remove_reference_t<decltype(lanes)>;
      Solver<Lanes>(lanes, work, labels).solve(shape, cycles);
    });
    team.for_each(WarpGrid::kPlane, [=](int place) {
      if (!WarpGrid::inside(shape, place)) return;
      int32_t found = 0;
      for (int l = 1; l < labels; ++l) {
        if (WarpGrid::has(work.cells(l), place)) found = l;
      }
      label[WarpGrid::cell(shape, place)] = found;
    });
  }

 private:
  template <typename Team>
  PUZZLEMIX_HD static void load(Team& team, const Work& work, const IntegerLabeling& sample,
                                const LabelCost* label_cost) {
    const Work to = work;
    const IntegerLabeling in = sample;
    team.for_each(WarpGrid::kPlane, [=](int place) {
      const bool inside = WarpGrid::inside(in.shape, place);
      const int i = WarpGrid::cell(in.shape, place);
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
    static constexpr int kCells = WarpGrid::kCells;

    PUZZLEMIX_INLINE Solver(Lanes& lanes, const Work& work, int labels)
        : lanes_(lanes), work_(work), labels_(labels), cut_(lanes) {}

    PUZZLEMIX_INLINE void solve(GridShape shape, int max_cycles) {
      start(shape);
      for (int cycle = 0; cycle != max_cycles; ++cycle) {
        bool moved = false;
        int pair = 0;
        for (int a = 0; a < labels_; ++a) {
          for (int b = a + 1; b < labels_; ++b, ++pair) {
            if (lanes_.any(Lanes::in(1u << a, tried_ >> b & Bits(1)))) continue;
            if (move(a, b, pair)) moved = true;
            tried_ = tried_ | Lanes::in(1u << a, Bits(1u << b));
          }
        }
        if (!moved) break;
      }
    }

   private:
    // Gives each cell its cheapest label, the lowest on a tie: the first whose cost is 0.
    PUZZLEMIX_INLINE void start(GridShape shape) {
      Bits unassigned(0);
      PUZZLEMIX_UNROLL
      for (int i = kCells - 1; i >= 0; --i) {
        // Both differences, and so their AND, are negative where the grid has a cell.
        const Int y = cut_.lane() >> 1, x = ((cut_.lane() & Int(1)) << 3) + Int(i);
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
      tried_ = Bits(0);
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

    // Tries the move of alpha and beta; returns whether the energy fell.
    PUZZLEMIX_INLINE bool move(int alpha, int beta, int pair) {
      const Bits active = cells(alpha) | cells(beta);
      if (!lanes_.any(active)) return false;
      fill(alpha, beta, active);
      bound(active, cost(alpha, beta));
      if (pair < kKept) resume(active, work_.flow(labels_, pair));
      cut_.solve();
      if (pair < kKept) keep(alpha, beta, work_.flow(labels_, pair));
      // Loaded again, so that they take no registers while the cut is solved.
      const Bits in_alpha = cells(alpha), in_beta = cells(beta);
      if (!cut_.improves(in_alpha, in_beta)) return false;
      const Bits sink_side = cut_.on_sink_side();
      forget(in_beta ^ sink_side, 1u << alpha | 1u << beta);
      Lanes::store(work_.cells(alpha), cut_.lane(), (in_alpha | in_beta) & ~sink_side);
      Lanes::store(work_.cells(beta), cut_.lane(), sink_side);
      return true;
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
            Lanes::keep(at[Cut::kRight] & active, i, Lanes::load(flows + i * kWarp, cut_.lane()));
        down[i] = Lanes::keep(at[Cut::kDown] & active, i,
                              Lanes::load(flows + kPlane + i * kWarp, cut_.lane()));
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
        const Int right = Lanes::load(work_.right() + i * kWarp, cut_.lane());
        const Int down = Lanes::load(work_.down() + i * kWarp, cut_.lane());
        Lanes::store(flows + i * kWarp, cut_.lane(),
                     Lanes::keep(at[Cut::kRight] & active, i, right * Int(price)) +
                         cut_.left[Cut::kRight][i]);
        Lanes::store(
            flows + kPlane + i * kWarp, cut_.lane(),
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
      tried_ = Lanes::in(~touched, tried_ & ~Bits(touched));
    }

    PUZZLEMIX_INLINE Bits cells(int label) const {
      return Lanes::load(work_.cells(label), cut_.lane());
    }
    PUZZLEMIX_INLINE Int unary(int label, int i) const {
      return Lanes::load(work_.unary(label) + i * kWarp, cut_.lane());
    }
    PUZZLEMIX_INLINE int32_t cost(int a, int b) const {
      return Lanes::load_one(work_.cost(), a * labels_ + b);
    }

    Lanes& lanes_;
    const Work work_;
    const int labels_;
    Cut cut_;
    Bits tried_;  // lane a, bit b: whether the cut of (a, b) would be the same as when last tried
  };
};

}  // namespace puzzlemix
