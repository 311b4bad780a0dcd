// The canonical minimum cut of a grid of up to 16x16 by one warp, of up to 32x32 by four:
// push-relabel (Goldberg and Tarjan 1988) in lockstep, amounts in registers, sets of cells as bit
// masks. grid_cut.h explains the problem, residual capacities and why the last search is the
// canonical cut.
//
// A lane holds 8 cells of a row. Of each cell it knows the excess and, for each of four
// directions, the residual capacity of the arc there, in two parts: that of admissible arcs, which
// lead one level nearer to a sink, and that of all others. Two parts alternate:
//
// 1. Search, breadth first from the sinks. Lanes pass the frontier's masks to their neighbours. An
//    arc with residual capacity is admissible if it leads from a cell that is reached for the first
//    time to a cell of the frontier. Levels themselves are never stored. The search ends once every
//    source is reached.
// 2. Two pushes. Each sends excess along all admissible arcs to the right, down, to the left and
//    up, one direction after the other; along a row, from cell to cell in one go. There is no
//    branch and no vote.
//
// Excess that a complete search doesn't reach can never reach a sink again and is not looked for
// any more. When a search reaches no excess, the cells that it visited are the smallest sink side.
//
// Why it ends. Of the cells with excess, the farthest ones send all of it nearer in a push or have
// a higher level in the next search. Levels are at most n, for n cells, and never fall; so there
// are at most 2 n^2 searches of at most n levels, as in the parallel algorithm of Goldberg and
// Tarjan. In practice there are few: a path of 256 cells from source to sink takes some 2,000
// levels in all.
//
// Machine code for sm_90 (`python -m bench.kernels`): in one warp a level has 29 instructions, a
// search and its pushes have about 505 more; no load, no store, no stack. From the latencies in
// bench/kernels.py these are estimated, not measured, as 57 and 640 cycles. A swap at 16x16 with 3
// labels then takes 20,000 cycles in the median and 32,000 at most of 100 samples, an exact
// labelling 16,000 and 26,000 (counts and arithmetic: bench/results/phases.md). An H100 took
// 531,000 where the threads of a block cut by barriers (device_cut.h). Tried without gain: pushes
// level by level from the farthest, votes every second level, a test for the minimum before each
// search. Not built, by estimates in phases.md: several small samples a warp.
//
// Cell (y, x) is bit x % 8 of lane r y + x / 8, where a row has r lanes, and number
// (x % 8) * lanes + lane of a plane. As no arc leads over the border, what lanes get from beyond it
// is never used, or is 0 because the lane at the opposite end sends nothing there.
#pragma once

#include "graphcut/integers.h"
#include "lanes.h"

namespace puzzlemix {

// The grids that 32 lanes can hold, up to 16x16, or 128, up to 32x32, and where their cells are: a
// place is an index into a plane.
template <int kLanes>
struct WarpGrid {
  static constexpr int kCells = 8, kSide = kLanes == kWarp ? 16 : 32, kAcross = kSide / kCells,
                       kPlane = kCells * kLanes;

  PUZZLEMIX_HD static bool fits(GridShape shape) {
    return shape.height <= kSide && shape.width <= kSide;
  }
  PUZZLEMIX_HD static int row(int place) { return place % kLanes / kAcross; }
  PUZZLEMIX_HD static int column(int place) { return place % kAcross * kCells + place / kLanes; }
  PUZZLEMIX_HD static bool inside(GridShape shape, int place) {
    return row(place) < shape.height && column(place) < shape.width;
  }
  PUZZLEMIX_HD static int cell(GridShape shape, int place) {
    return row(place) * shape.width + column(place);
  }
  // Whether the cell at a place is in a set, which is a word for each lane.
  PUZZLEMIX_HD static bool has(const uint32_t* set, int place) {
    return set[place % kLanes] >> (place / kLanes) & 1;
  }
};

// How many lanes cut a grid: 32, 128, or 0 if they can't. Engine<kLanes>::bytes(labels) is the
// memory that they need for so many labels, which has to be CUDA's shared memory.
template <template <int> class Engine>
PUZZLEMIX_HD int lanes_for(GridShape shape, int labels) {
  if (WarpGrid<kWarp>::fits(shape)) return kWarp;
  const bool fits =
      WarpGrid<kFourWarps>::fits(shape) && Engine<kFourWarps>::bytes(labels) <= kFastBytes;
  return fits ? kFourWarps : 0;
}

// Their memory, which is to be the first that is taken from an arena.
template <template <int> class Engine>
PUZZLEMIX_HD int32_t* take_for_lanes(Arena& arena, int lanes, int labels) {
  const int64_t bytes = lanes == kWarp        ? Engine<kWarp>::bytes(labels)
                        : lanes == kFourWarps ? Engine<kFourWarps>::bytes(labels)
                                              : 0;
  return arena.take<int32_t>(bytes / 4);
}

// Calls Engine<lanes>::solve, if there are lanes; returns whether there are.
template <template <int> class Engine, typename Team, typename... Arguments>
PUZZLEMIX_HD bool solve_by_lanes(Team& team, int lanes, const Arguments&... arguments) {
  if constexpr (Team::template kHasLanes<kWarp>) {
    if (lanes == kWarp) {
      Engine<kWarp>::solve(team, arguments...);
      return true;
    }
  }
  if constexpr (Team::template kHasLanes<kFourWarps>) {
    if (lanes == kFourWarps) {
      Engine<kFourWarps>::solve(team, arguments...);
      return true;
    }
  }
  return false;
}

template <typename Lanes>
class WarpCut {
 public:
  using Int = typename Lanes::Int;
  using Bits = typename Lanes::Bits;
  using Grid = WarpGrid<Lanes::kLanes>;
  static constexpr int kCells = Grid::kCells, kLanes = Lanes::kLanes;
  static_assert(Grid::kAcross == Lanes::kAcross, "the rows of lanes are those of the grid");
  enum Direction { kRight, kDown, kLeft, kUp, kDirections };

  PUZZLEMIX_INLINE explicit WarpCut(Lanes& lanes) : lanes_(lanes), lane_(Lanes::number()) {}

  PUZZLEMIX_INLINE const Int& lane() const { return lane_; }
  // Of each lane's first cell.
  PUZZLEMIX_INLINE Int row() const { return lane_ >> (Grid::kAcross == 2 ? 1 : 2); }
  PUZZLEMIX_INLINE Int column() const {
    return (lane_ & Int(Grid::kAcross - 1)) * Int(Grid::kCells);
  }

  // The problem, which the caller fills in: source minus sink capacity of each cell, and in `left`
  // the capacities of its arcs by direction. solve() leaves the excess that it could not move, and
  // in `left` the residual capacities with their signs reversed.
  Int excess[kCells], left[kDirections][kCells];

  // Finds the canonical minimum cut, the one with the smallest sink side, which on_sink_side() then
  // returns.
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
      push();
      push();
    }
  }

  PUZZLEMIX_INLINE Bits on_sink_side() const { return visited_; }

  // Whether the canonical cut is less than the cut between the cells `sources` and `sinks`. A cut
  // exceeds the minimum by the excess left on its sink side, by what sinks on its source side still
  // lack, and by the residual capacity from its source side to its sink side.
  PUZZLEMIX_INLINE bool improves(const Bits& sources, const Bits& sinks) {
    Bits to_sinks[kDirections];
    neighbours(sinks, to_sinks);
    Bits slack = (sources_ & sinks) | (sinks_ & sources);
    PUZZLEMIX_UNROLL
    for (int d = 0; d < kDirections; ++d) slack = slack | (arcs_[d] & sources & to_sinks[d]);
    return lanes_.any(slack);
  }

  // at[d]: the cells whose neighbour in direction d is in `set`. Bits of cells without such a
  // neighbour, and bits beyond the lane's 8 cells, are arbitrary.
  PUZZLEMIX_INLINE void neighbours(const Bits& set, Bits (&at)[kDirections]) {
    beside(set, at);
    lanes_.from_rows(set, at[kUp], at[kDown]);
  }

  // Loads the values of each cell's four edges, by direction, from two planes that keep an edge at
  // its left or upper cell.
  PUZZLEMIX_INLINE void load_edges(const int32_t* right, const int32_t* down,
                                   Int (&to)[kDirections][kCells]) const {
    load_plane(right, lane_, to[kRight]);
    to[kLeft][0] = Lanes::load(right + (kCells - 1) * kLanes, before(1));
    PUZZLEMIX_UNROLL
    for (int i = 1; i < kCells; ++i) to[kLeft][i] = to[kRight][i - 1];
    load_plane(down, lane_, to[kDown]);
    load_plane(down, before(Grid::kAcross), to[kUp]);
  }

  PUZZLEMIX_INLINE static void load_plane(const int32_t* plane, const Int& lane,
                                          Int (&to)[kCells]) {
    PUZZLEMIX_UNROLL
    for (int i = 0; i < kCells; ++i) to[i] = Lanes::load(plane + i * kLanes, lane);
  }

  // Before solve(): lets these amounts flow along each cell's edges to the right and down.
  PUZZLEMIX_INLINE void send(const Int (&right)[kCells], const Int (&down)[kCells]) {
    Int beside = lanes_.from_left(right[kCells - 1]), above[kCells];
    lanes_.from_above(down, above);
    PUZZLEMIX_UNROLL
    for (int i = 0; i < kCells; ++i) {
      excess[i] = excess[i] + beside + above[i] - right[i] - down[i];
      left[kRight][i] = left[kRight][i] - right[i];
      left[kLeft][i] = left[kLeft][i] + beside;
      left[kDown][i] = left[kDown][i] - down[i];
      left[kUp][i] = left[kUp][i] + above[i];
      beside = right[i];
    }
  }

 private:
  // The number of the lane that comes `by` before each, in a ring.
  PUZZLEMIX_INLINE Int before(int by) const { return (lane_ - Int(by)) & Int(kLanes - 1); }

  // neighbours() in the row.
  PUZZLEMIX_INLINE void beside(const Bits& set, Bits (&at)[kDirections]) {
    Bits left, right;
    lanes_.from_sides(set, left, right);
    at[kRight] = set >> 1 | right << (kCells - 1);
    at[kLeft] = set << 1 | left >> (kCells - 1);
  }

  // The search; returns whether a source was reached.
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
    bool growing, wanted;  // whether there are cells of the frontier, and such that are waited for
    while (true) {
      Bits at[kDirections];
      beside(frontier, at);
      lanes_.from_rows_and_any(frontier, at[kUp], at[kDown], waiting, growing, wanted);
      if (!(growing & wanted)) break;
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
    // Excess outside `live_` can't reach a sink. A search that ended early has reached all the
    // rest.
    live_ = visited_;
    return some && (growing || lanes_.any(sources & visited_));
  }

  // Makes the sets of sources, sinks and arcs with residual capacity. From here to admit() `left`
  // holds the whole residual capacity of an arc, its sign reversed again.
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

  // Moves the residual capacity of admissible arcs from `left` to nearer_.
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

  // One push, in all four directions.
  PUZZLEMIX_INLINE void push() {
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
    // What leaves these cells enters those beside; nothing leaves the grid.
    const int first = D == kRight ? 0 : kCells - 1;
    in = D == kRight ? lanes_.from_left(in) : lanes_.from_right(in);
    excess[first] = excess[first] + in;
    left[kBack][first] = left[kBack][first] - in;
  }

  template <int D>
  PUZZLEMIX_INLINE void push_along_columns() {
    constexpr int kBack = (D + 2) % kDirections;
    // Three loops, so that all shuffles are in flight together whatever order the compiler picks.
    Int out[kCells], in[kCells];
    PUZZLEMIX_UNROLL
    for (int i = 0; i < kCells; ++i) out[i] = Lanes::flow(excess[i], Int(0), nearer_[D][i]);
    if constexpr (D == kDown) {
      lanes_.from_above(out, in);
    } else {
      lanes_.from_below(out, in);
    }
    PUZZLEMIX_UNROLL
    for (int i = 0; i < kCells; ++i) {
      nearer_[D][i] = nearer_[D][i] - out[i];
      excess[i] = excess[i] - out[i] + in[i];
      left[kBack][i] = left[kBack][i] - in[i];
    }
  }

  Lanes& lanes_;
  const Int lane_;
  Int nearer_[kDirections][kCells];
  Bits sources_, sinks_, live_, visited_, arcs_[kDirections], admissible_[kDirections];
};

// grid_min_cut of a sample by some lanes of a team.
template <int kLanes>
struct WarpMinCut {
  using Grid = WarpGrid<kLanes>;

  PUZZLEMIX_HD static constexpr int64_t bytes(int) {
    return sizeof(int32_t) * (3 * Grid::kPlane + kLanes);
  }

  // `memory`: bytes() of CUDA's shared memory, for planes by place, 0 where the grid has no cell.
  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, int32_t* memory, GridShape shape,
                                 const IntegerCut& integers, bool* segment) {
    int32_t *const excess = memory, *const right = excess + Grid::kPlane,
                   *const down = right + Grid::kPlane;
    // The set of cells on the sink side, a word for each lane.
    auto* const sink_side = reinterpret_cast<uint32_t*>(down + Grid::kPlane);
    const IntegerCut in = integers;
    team.for_each(Grid::kPlane, [=](int place) {
      const bool inside = Grid::inside(shape, place);
      const int i = Grid::cell(shape, place);
      excess[place] = inside ? in.excess[i] : 0;
      right[place] = inside ? in.right[i] : 0;
      down[place] = inside ? in.down[i] : 0;
    });
    team.template lanes<kLanes>([=](auto& lanes) {
      using Lanes = std::remove_reference_t<decltype(lanes)>;
      using Cut = WarpCut<Lanes>;
      Cut cut(lanes);
      Cut::load_plane(excess, cut.lane(), cut.excess);
      cut.load_edges(right, down, cut.left);
      cut.solve();
      Lanes::store(sink_side, cut.lane(), cut.on_sink_side());
    });
    team.for_each(Grid::kPlane, [=](int place) {
      if (!Grid::inside(shape, place)) return;
      segment[Grid::cell(shape, place)] = Grid::has(sink_side, place);
    });
  }
};

}  // namespace puzzlemix
