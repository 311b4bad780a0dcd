// The canonical minimum cut of a small grid by one warp: push-relabel (Goldberg and Tarjan 1988) in
// lockstep, amounts in registers, sets of cells as bit masks.
//
// A lane has 8 cells, half a row of a grid of up to 16x16. Cells know their excess and, for each of
// four directions, what is left of the capacity to the neighbour there, in two parts: on arcs that
// lead nearer to a sink, and the rest. A search finds the former breadth first from the sinks: the
// frontier's masks are passed to the neighbours, and every arc with capacity left from a cell that
// is reached for the first time to one of the frontier is admissible; distances themselves are
// never needed. It ends when every cell with excess is reached. Then two push steps send excess
// along all admissible arcs, to the right, down, to the left and up in turn, a row's amounts from
// cell to cell in one go; they have no branch and no vote. Excess that a complete search doesn't
// reach never reaches a sink again and is no longer looked for. When a search reaches none, the
// cells that it visited are those that reach a sink in the residual graph: the smallest sink side.
//
// What ends it: of the cells with excess, the farthest ones send all of it nearer in a step or are
// farther away at the next search. Distances grow to at most n, for n cells, and never shrink; so
// there are at most 2 n^2 searches of at most n levels, as in the parallel algorithm of Goldberg
// and Tarjan. Few come near: a path of 256 cells from source to sink takes some 2,000 levels in
// all.
//
// Machine code for sm_90 (`python -m bench.kernels`): a level has 29 instructions, a search and its
// pushes have 505 more; no load, no store, no stack. An estimate, not a measurement, from the
// latencies in bench/kernels.py: 57 and 640 cycles. A swap at 16x16 with 3 labels then takes 20,000
// cycles in the median and 32,000 at most of 100 samples, an exact labelling 16,000 and 26,000
// (counts and arithmetic: bench/results/phases.md); 531,000 were measured on an H100 where a
// block's threads cut by barriers. Without gain: waves from the farthest level, votes every second
// level, a test for the minimum before each search.
//
// Cell (y, x) is bit x % 8 of lane 2 y + x / 8, number (x % 8) * 32 + lane of a plane. Lanes pass
// numbers around in rings, the last row's to the first; as no arc leads over the border, nothing
// comes of that.
#pragma once

#include "graphcut/integers.h"
#include "lanes.h"

namespace puzzlemix {

// The grids that a warp can hold, and the places of their cells.
struct WarpGrid {
  static constexpr int kSide = 16, kCells = 8, kPlane = kCells * kWarp;

  PUZZLEMIX_HD static bool fits(GridShape shape) {
    return shape.height <= kSide && shape.width <= kSide;
  }
  PUZZLEMIX_HD static int row(int place) { return place % kWarp / 2; }
  PUZZLEMIX_HD static int column(int place) { return place % 2 * kCells + place / kWarp; }
  PUZZLEMIX_HD static bool inside(GridShape shape, int place) {
    return row(place) < shape.height && column(place) < shape.width;
  }
  PUZZLEMIX_HD static int cell(GridShape shape, int place) {
    return row(place) * shape.width + column(place);
  }
  // Whether a place is in a set of cells, a word for each lane.
  PUZZLEMIX_HD static bool has(const uint32_t* set, int place) {
    return set[place % kWarp] >> (place / kWarp) & 1;
  }
};

template <typename Lanes>
class WarpCut {
 public:
  using Int = typename Lanes::Int;
  using Bits = typename Lanes::Bits;
  static constexpr int kCells = WarpGrid::kCells;
  enum Direction { kRight, kDown, kLeft, kUp, kDirections };

  PUZZLEMIX_INLINE explicit WarpCut(Lanes& lanes)
      : lanes_(lanes),
        lane_(Lanes::number()),
        beside_(lane_ ^ Int(1)),
        above_((lane_ - Int(2)) & Int(kWarp - 1)),
        below_((lane_ + Int(2)) & Int(kWarp - 1)) {}

  PUZZLEMIX_INLINE const Int& lane() const { return lane_; }
  // What each cell's neighbour below, or above, has of a number that cells have.
  PUZZLEMIX_INLINE Int from_below(const Int& x) { return lanes_.from(x, below_); }
  PUZZLEMIX_INLINE Int from_above(const Int& x) { return lanes_.from(x, above_); }
  // What the other half of the row has.
  PUZZLEMIX_INLINE Int from_beside(const Int& x) { return lanes_.from(x, beside_); }

  // What is solved: source less sink capacity of each cell, and the capacities of its arcs. Solving
  // leaves the excess, and in `left` the residual capacities with their signs reversed.
  Int excess[kCells], left[kDirections][kCells];

  // Afterwards on_sink_side() is the canonical cut.
  PUZZLEMIX_INLINE void solve() {
    PUZZLEMIX_UNROLL
    for (int d = 0; d < kDirections; ++d) {
      PUZZLEMIX_UNROLL
      for (int i = 0; i < kCells; ++i) {
        left[d][i] = -left[d][i];
        nearer_[d][i] = Int(0);
      }
    }
    live_ = ~Bits(0);
    while (search()) {
      admit();
      step();
      step();
    }
  }

  PUZZLEMIX_INLINE Bits on_sink_side() const { return visited_; }

  // Whether the canonical cut is less than the cut whose source side is `sources` and whose sink
  // side is `sinks`. The difference is what is left of excess on its sink side, of sinks on its
  // source side, and of capacity from source side to sink side.
  PUZZLEMIX_INLINE bool improves(const Bits& sources, const Bits& sinks) {
    Bits to_sinks[kDirections];
    neighbours(sinks, to_sinks);
    Bits slack = (sources_ & sinks) | (sinks_ & sources);
    PUZZLEMIX_UNROLL
    for (int d = 0; d < kDirections; ++d) slack = slack | (arcs_[d] & sources & to_sinks[d]);
    return lanes_.any(slack);
  }

  // What `set` holds at each cell's neighbour in each direction; beyond the grid, anything, in bits
  // beyond those of the lane's cells too.
  PUZZLEMIX_INLINE void neighbours(const Bits& set, Bits (&at)[kDirections]) {
    const Bits other = lanes_.from(set, beside_);
    at[kDown] = lanes_.from(set, below_);
    at[kUp] = lanes_.from(set, above_);
    at[kRight] = set >> 1 | other << (kCells - 1);
    at[kLeft] = set << 1 | other >> (kCells - 1);
  }

  // Edges are kept at their upper or left cells, in a plane to the right and one down: loads those
  // of each cell, by direction.
  PUZZLEMIX_INLINE void load_edges(const int32_t* right, const int32_t* down,
                                   Int (&to)[kDirections][kCells]) const {
    load_plane(right, lane_, to[kRight]);
    to[kLeft][0] = Lanes::load(right + (kCells - 1) * kWarp, beside_);
    PUZZLEMIX_UNROLL
    for (int i = 1; i < kCells; ++i) to[kLeft][i] = to[kRight][i - 1];
    load_plane(down, lane_, to[kDown]);
    load_plane(down, above_, to[kUp]);
  }

  PUZZLEMIX_INLINE static void load_plane(const int32_t* plane, const Int& lane,
                                          Int (&to)[kCells]) {
    PUZZLEMIX_UNROLL
    for (int i = 0; i < kCells; ++i) to[i] = Lanes::load(plane + i * kWarp, lane);
  }

  // Sends so much along the edges to the right and down, before solving.
  PUZZLEMIX_INLINE void send(const Int (&right)[kCells], const Int (&down)[kCells]) {
    Int beside = from_beside(right[kCells - 1]);
    PUZZLEMIX_UNROLL
    for (int i = 0; i < kCells; ++i) {
      const Int above = from_above(down[i]);
      excess[i] = excess[i] + beside + above - right[i] - down[i];
      left[kRight][i] = left[kRight][i] - right[i];
      left[kLeft][i] = left[kLeft][i] + beside;
      left[kDown][i] = left[kDown][i] - down[i];
      left[kUp][i] = left[kUp][i] + above;
      beside = right[i];
    }
  }

 private:
  // True if excess was reached.
  PUZZLEMIX_INLINE bool search() {
    make_masks();
    Bits rest[kDirections];
    PUZZLEMIX_UNROLL
    for (int d = 0; d < kDirections; ++d) {
      admissible_[d] = Bits(0);
      rest[d] = arcs_[d] & ~sinks_;
    }
    const Bits sources = sources_ & live_;
    const bool some = lanes_.any(sources);
    Bits waiting = some ? sources : ~Bits(0);
    Bits frontier = sinks_;
    visited_ = sinks_;
    bool open;
    while (true) {
      Bits at[kDirections];
      neighbours(frontier, at);  // under way while the votes are taken
      open = lanes_.any(frontier);
      const bool wanted = lanes_.any(waiting);
      if (!(open & wanted)) break;
      PUZZLEMIX_UNROLL
      for (int d = 0; d < kDirections; ++d) at[d] = at[d] & rest[d];
      frontier = at[kRight] | at[kDown] | at[kLeft] | at[kUp];
      PUZZLEMIX_UNROLL
      for (int d = 0; d < kDirections; ++d) {
        admissible_[d] = admissible_[d] | at[d];
        rest[d] = rest[d] & ~frontier;
      }
      visited_ = visited_ | frontier;
      waiting = waiting & ~frontier;
    }
    // A search that ends early has reached all that is live, and excess moves nearer.
    live_ = visited_;
    return some && (open || lanes_.any(sources & visited_));
  }

  // From amounts to sets; reverses the signs in `left`, which has all that is left until admit().
  PUZZLEMIX_INLINE void make_masks() {
    sources_ = sinks_ = Bits(0);
    PUZZLEMIX_UNROLL
    for (int i = kCells - 1; i >= 0; --i) {
      sources_ = Lanes::push_sign(sources_, -excess[i]);
      sinks_ = Lanes::push_sign(sinks_, excess[i]);
    }
    PUZZLEMIX_UNROLL
    for (int d = 0; d < kDirections; ++d) {
      arcs_[d] = Bits(0);
      PUZZLEMIX_UNROLL
      for (int i = kCells - 1; i >= 0; --i) {
        left[d][i] = left[d][i] - nearer_[d][i];
        arcs_[d] = Lanes::push_sign(arcs_[d], left[d][i]);
      }
    }
  }

  PUZZLEMIX_INLINE void admit() {
    PUZZLEMIX_UNROLL
    for (int d = 0; d < kDirections; ++d) {
      PUZZLEMIX_UNROLL
      for (int i = 0; i < kCells; ++i) {
        nearer_[d][i] = Lanes::negate(admissible_[d], i, left[d][i]);
        left[d][i] = left[d][i] + nearer_[d][i];
      }
    }
  }

  PUZZLEMIX_INLINE void step() {
    push_along_rows<kRight>();
    push_along_columns<kDown>();
    push_along_rows<kLeft>();
    push_along_columns<kUp>();
  }

  template <int D>
  PUZZLEMIX_INLINE void push_along_rows() {
    constexpr int kBack = (D + 2) % kDirections;
    Int in(0);
    PUZZLEMIX_UNROLL
    for (int k = 0; k < kCells; ++k) {
      const int i = D == kRight ? k : kCells - 1 - k;
      const Int out = Lanes::flow(excess[i], in, nearer_[D][i]);
      excess[i] = excess[i] + in - out;
      nearer_[D][i] = nearer_[D][i] - out;
      if (k > 0) left[kBack][i] = left[kBack][i] - in;
      in = out;
    }
    // Into the other half of the row; out of the grid goes nothing.
    const int first = D == kRight ? 0 : kCells - 1;
    in = from_beside(in);
    excess[first] = excess[first] + in;
    left[kBack][first] = left[kBack][first] - in;
  }

  template <int D>
  PUZZLEMIX_INLINE void push_along_columns() {
    constexpr int kBack = (D + 2) % kDirections;
    // All shuffles are under way at a time, whatever the compiler makes of it.
    Int out[kCells], in[kCells];
    PUZZLEMIX_UNROLL
    for (int i = 0; i < kCells; ++i) out[i] = Lanes::flow(excess[i], Int(0), nearer_[D][i]);
    PUZZLEMIX_UNROLL
    for (int i = 0; i < kCells; ++i) in[i] = D == kDown ? from_above(out[i]) : from_below(out[i]);
    PUZZLEMIX_UNROLL
    for (int i = 0; i < kCells; ++i) {
      nearer_[D][i] = nearer_[D][i] - out[i];
      excess[i] = excess[i] - out[i] + in[i];
      left[kBack][i] = left[kBack][i] - in[i];
    }
  }

  Lanes& lanes_;
  const Int lane_, beside_, above_, below_;
  Int nearer_[kDirections][kCells];
  Bits sources_, sinks_, live_, visited_, arcs_[kDirections], admissible_[kDirections];
};

// The minimum cut of a sample.
struct WarpMinCut {
  // Planes by place, 0 where the grid has no cell. To be taken first from an arena: the lanes read
  // them as shared memory.
  struct Work {
    PUZZLEMIX_HD Work(Arena& arena, bool used)
        : excess(arena.take<int32_t>(used ? WarpGrid::kPlane : 0)),
          right(arena.take<int32_t>(used ? WarpGrid::kPlane : 0)),
          down(arena.take<int32_t>(used ? WarpGrid::kPlane : 0)),
          sink_side(arena.take<uint32_t>(used ? kWarp : 0)) {}

    int32_t *excess, *right, *down;
    uint32_t* sink_side;  // a word for each lane
  };

  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& given, GridShape shape,
                                 const IntegerCut& integers, bool* segment) {
    const Work work = given;
    const IntegerCut in = integers;
    team.step(WarpGrid::kPlane, [=](int place) {
      const bool inside = WarpGrid::inside(shape, place);
      const int i = WarpGrid::cell(shape, place);
      work.excess[place] = inside ? in.excess[i] : 0;
      work.right[place] = inside ? in.right[i] : 0;
      work.down[place] = inside ? in.down[i] : 0;
    });
    team.warp([=](auto& lanes) {
      using Lanes = std::remove_reference_t<decltype(lanes)>;
      using Cut = WarpCut<Lanes>;
      Cut cut(lanes);
      Cut::load_plane(work.excess, cut.lane(), cut.excess);
      cut.load_edges(work.right, work.down, cut.left);
      cut.solve();
      Lanes::store(work.sink_side, cut.lane(), cut.on_sink_side());
    });
    team.step(WarpGrid::kPlane, [=](int place) {
      if (!WarpGrid::inside(shape, place)) return;
      segment[WarpGrid::cell(shape, place)] = WarpGrid::has(work.sink_side, place);
    });
  }
};

}  // namespace puzzlemix
