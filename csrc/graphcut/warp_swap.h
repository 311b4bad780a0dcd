// Alpha-beta swap of a small grid by one warp (Boykov, Veksler and Zabih 2001): the moves of
// swap.h, cuts by warp_cut.h.
//
// Whether a move lowers the energy needs no sums: it does where the cut shows that the labels of
// the pair are no minimum cut. A pair's cut begins with the flow that its last one ended with,
// where that still fits (in a prototype, 25 % fewer levels and push steps at 16x16, 3 labels).
#pragma once

#include "graphcut/warp_cut.h"

namespace puzzlemix {

class WarpSwapEngine {
  static constexpr int kPlane = WarpGrid::kPlane, kFlow = 2 * kPlane;

  // The flows of so many pairs are kept, all of 4 labels: 2 KB each.
  static constexpr int kKept = 6;
  PUZZLEMIX_HD static int kept(int labels) { return Least()(labels * (labels - 1) / 2, kKept); }

 public:
  // The memory of a sample: planes by place (see warp_cut.h), 0 where the grid has no cell. One
  // address, as registers are few. To be taken first from an arena: lanes read it as shared memory.
  struct Work {
    PUZZLEMIX_HD Work(Arena& arena, int labels)
        : memory(arena.take<int32_t>(labels > 0 ? kUnary + labels * kPlane + kept(labels) * kFlow
                                                : 0)) {}

    PUZZLEMIX_HD int32_t* right() const { return memory; }
    PUZZLEMIX_HD int32_t* down() const { return memory + kPlane; }
    PUZZLEMIX_HD int32_t* cost() const { return memory + kCost; }
    // Sets are a word for each lane. Arcs with weight, by direction:
    PUZZLEMIX_HD uint32_t* joined(int direction) const { return set(kJoined, direction); }
    PUZZLEMIX_HD uint32_t* cells(int label) const { return set(kCells, label); }
    PUZZLEMIX_HD int32_t* unary(int label) const { return memory + kUnary + label * kPlane; }
    // What flows to the right and down after the last cut of a pair of labels.
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

  // max_cycles < 0: until a sweep makes no move.
  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& given, const IntegerLabeling& sample,
                                 const LabelCost* label_cost, int64_t max_cycles, int32_t* label) {
    const Work work = given;
    load(team, work, sample, label_cost);
    const GridShape shape = sample.shape;
    const int labels = sample.labels;
    // Each sweep but the last lowers the energy: there are fewer than 2^30.
    const int cycles = static_cast<int>(Least()(max_cycles, int64_t{1} << 30));
    team.warp([=](auto& lanes) {
      using Lanes = std::remove_reference_t<decltype(lanes)>;
      Solver<Lanes>(lanes, work, labels).solve(shape, cycles);
    });
    team.step(WarpGrid::kPlane, [=](int place) {
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
    team.step(WarpGrid::kPlane, [=](int place) {
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
      Bits open(0);
      PUZZLEMIX_UNROLL
      for (int i = kCells - 1; i >= 0; --i) {
        // Negative where there is a cell.
        const Int y = cut_.lane() >> 1, x = ((cut_.lane() & Int(1)) << 3) + Int(i);
        open = Lanes::push_sign(open, (y - Int(shape.height)) & (x - Int(shape.width)));
      }
      PUZZLEMIX_NO_UNROLL
      for (int l = 0; l < labels_; ++l) {
        Bits costly(0);
        PUZZLEMIX_UNROLL
        for (int i = kCells - 1; i >= 0; --i) costly = Lanes::push_sign(costly, -unary(l, i));
        Lanes::store(work_.cells(l), cut_.lane(), open & ~costly);
        open = open & costly;
      }
      join();
      tried_ = Bits(0);
    }

    // The arcs with weight.
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

    // One swap of alpha and beta; true if the energy fell.
    PUZZLEMIX_INLINE bool move(int alpha, int beta, int pair) {
      const Bits active = cells(alpha) | cells(beta);
      if (!lanes_.any(active)) return false;
      fill(alpha, beta, active);
      bound(active, cost(alpha, beta));
      if (pair < kKept) resume(active, work_.flow(labels_, pair));
      cut_.solve();
      if (pair < kKept) keep(alpha, beta, work_.flow(labels_, pair));
      // Loaded again, lest they be in registers while the cut is solved.
      const Bits in_alpha = cells(alpha), in_beta = cells(beta);
      if (!cut_.improves(in_alpha, in_beta)) return false;
      const Bits sink_side = cut_.on_sink_side();
      forget(in_beta ^ sink_side, 1u << alpha | 1u << beta);
      Lanes::store(work_.cells(alpha), cut_.lane(), (in_alpha | in_beta) & ~sink_side);
      Lanes::store(work_.cells(beta), cut_.lane(), sink_side);
      return true;
    }

    // Excess: what beta costs a cell more than alpha, its neighbours outside the pair counted.
    // Leaves weights in the places of capacities.
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

    // From weights to capacities: between cells of the pair, weight times price.
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

    // Takes up the flow of the last cut of the pair on the edges that still join two of its cells:
    // a capacity depends on the pair alone.
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

    // Pairs with a label of cells that change or have a neighbour that does are to be tried again.
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
    Bits tried_;  // of lane a, bit b: the pair (a, b) would give the same cut as when it was tried
  };
};

}  // namespace puzzlemix
