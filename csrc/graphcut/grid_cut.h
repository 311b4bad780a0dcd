// The canonical minimum cut of a 4-connected grid: preflow pushes on level graphs, with sets of
// cells as bit masks.
//
// The problem. Every cell is a node; the source has an arc to each cell, each cell one to the sink,
// and neighbouring cells are joined by an arc each way. Through the two terminal arcs of a cell the
// smaller of their capacities flows at once. What is left is the cell's excess: if positive, what
// the source can still send there; if negative, what the sink can still take from there. Below, a
// source is a cell of positive excess, a sink one of negative excess.
//
// A flow leaves as much of a cell as it brings. A preflow (Karzanov 1974) may bring more: excess
// that has been sent halfway waits in a cell until there is a way on. The residual capacity of an
// arc is what it can carry beyond what flows now; to send something back restores it.
//
// The algorithm alternates between two parts until the first finds no source:
//
// 1. Search. Breadth first from all sinks at once, backwards along arcs of positive residual
//    capacity. A cell's level is its distance to the nearest sink (the level graph of Dinitz 1970).
// 2. Push. From the farthest level to the nearest, each cell pushes its excess along its arcs to
//    cells one level nearer, as far as they carry it; a sink takes no more than it lacks.
//
// This is push-relabel (Goldberg and Tarjan 1988) with the highest label first, where one search
// makes all labels exact instead of relabelling cell by cell.
//
// Why it ends. Excess that is still in a cell after a push has saturated all its arcs to nearer
// cells, or filled its sinks; so its next level is higher. No level ever falls: a push makes
// residual capacity only on arcs that lead away from the sinks, and sinks only disappear. Levels
// are below n, the number of cells, so there are at most n^2 + n rounds, each of at most n levels
// of n/64 words and 4 n pushes. In practice some 20 rounds do.
//
// Why it is right. Whatever flows, and wherever excess waits: up to a constant, a cut whose sink
// side is T costs the excess of all cells in T plus the residual capacities of all arcs into T, as
// what flows along an arc is taken off one of its cells and added to the other. At the end the
// cells that the last search visited are all sinks, no source, and no arc into them has residual
// capacity, or the search would have followed it: no T costs less. One that costs as little has
// all sinks in it too, and no such arcs, so all cells from which a sink is reached. The visited
// cells are the smallest sink side of any minimum cut, the canonical one.
//
// So any flow will do to start from. Where much is to flow, sweeps along rows and columns find most
// of it first (sweeps.h).
//
// And either side may push. Where there are fewer sinks than sources, all arcs are turned round,
// and what the sinks lack is pushed to the sources. Few have short ways to many.
//
// Sets of cells are masks of one bit a cell (bits.h), and so, for each of four directions, is the
// set of cells whose arc there has residual capacity. A level of the search is, for each word and
// direction, a shift of the frontier and an AND: a dozen word operations for 64 cells. Pushes go
// from cell to cell, but gather as bits which arcs they saturate and which cells they empty or
// fill, so that no branch depends on an amount.
//
// What each trick is worth, in the time of a swap of 3 labels:
// - preflow pushes instead of augmenting paths (Boykov and Kolmogorov 2004): 1/3 of it at 16x16;
// - sets between words of zeros, so that no shift asks where the grid ends, and bits gathered
//   instead of branches on amounts: 0.8 of it at 16x16, 0.35 at 64x64;
// - starting from the flow that the last cut of the same labels ended with, which leaves little to
//   move: 0.92 of it at 16x16, 0.8 at 64x64;
// in that of an exact labelling, whose cuts move more:
// - above 256 cells, pushes from the side that has fewer cells: 0.8 of it at 64x64;
// - levels as runs of words, without a branch in them: 0.9 of it at 64x64;
// - sweeps: 0.7 of it at 64x64, 0.8 at 16x16, 0.9 at 8x8. Swaps start from cheapest labels, where
//   little is to flow: sweeps cost them a fifth more.
// Not used: wider vectors and the BMI instructions, which gained 3 %; relabelling cell by cell
// between searches, which halves these and takes longer.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "graphcut/bits.h"
#include "graphcut/integers.h"
#include "graphcut/sweeps.h"
#include "interrupt.h"

namespace puzzlemix {

// Calls f with two constants: the number of words that a grid's bit masks take, and the grid's
// width if it is the usual one for that number, else 0.
template <typename F>
auto for_words(int height, int width, const F& f) {
  const auto known = [&](auto words, auto usual) {
    constexpr int kUsual = usual;
    return height > 1 && width == kUsual ? f(words, usual)
                                         : f(words, std::integral_constant<int, 0>());
  };
  switch (padded(height * width) / 64) {
    case 1:
      return known(std::integral_constant<int, 1>(), std::integral_constant<int, 8>());
    case 4:
      return known(std::integral_constant<int, 4>(), std::integral_constant<int, 16>());
    case 16:
      return known(std::integral_constant<int, 16>(), std::integral_constant<int, 32>());
    default:
      return known(std::integral_constant<int, 64>(), std::integral_constant<int, 64>());
  }
}

// The flow that a solve ends with, for the next solve to start from. Any flow within the capacities
// leaves the minimum cut as it is, and the flow of a similar problem leaves little to push.
template <int Words>
class Flow {
 public:
  // What flows to the right (axis 0) or down (axis 1), at each edge's left or upper cell.
  int32_t* values(int axis) { return values_.data() + axis * Words * 64; }
  Bits<Words> moved[2] = {};  // by axis, the edges whose flow may not be 0

  void clear() {
    for (int axis = 0; axis < 2; ++axis) {
      for (int w = 0; w < Words; ++w) {
        if (moved[axis].word[w] != 0) std::fill_n(values(axis) + w * 64, 64, 0);
      }
      moved[axis] = Bits<Words>::none();
    }
  }

 private:
  std::vector<int32_t> values_ = std::vector<int32_t>(2 * Words * 64);
};

// Width is the grid's width as a constant, which saves a tenth of the time, or 0.
template <int Words, int Width = 0>
class GridCut {
 public:
  using Set = Bits<Words>;
  static constexpr int kCells = Words * 64;

  // The direction of an arc; the opposite of d is (d + 2) % 4.
  enum Direction { kRight, kDown, kLeft, kUp };

  // By direction, a plane of kCells capacities and the set of cells where an arc of positive
  // capacity starts. The capacities of both arcs of an edge stand at its upper or left cell.
  struct Edges {
    const int32_t* capacity[4];
    Set tails[4];
  };

  GridCut(int height, int width)
      : width_(height > 1 ? width : 1), height_(height), cells_(height * width), excess_(kCells) {
    levels_.resize(64);
  }

  // Source minus sink capacity of each cell: the caller writes it before solve, which leaves there
  // what it could not move. Values of cells that aren't active are ignored.
  int32_t* excess() { return excess_.data(); }

  // The index of a cell's neighbour in direction d, less that of the cell.
  int offset(int d) const { return (d % 2 == 0 ? 1 : width()) * (d < kLeft ? 1 : -1); }

  // The cells whose neighbour in direction d is in `set`. The last cell of a row counts as the
  // neighbour of the next row's first: such an edge is ruled out by its capacity, 0.
  Set tails(const Set& set, int d) const {
    const Shift by(d % 2 == 0 ? 1 : width());
    return d < kLeft ? set.lower(by) : set.higher(by);
  }

  Edges edges(const int32_t* right, const int32_t* down, const int32_t* left,
              const int32_t* up) const {
    Edges out{{right, down, left, up}, {}};
    for (int d = 0; d < 4; ++d) {
      const Set some = positive<Words>(out.capacity[d]);
      out.tails[d] = d < kLeft ? some : tails(some, d);
    }
    return out;
  }

  // The sink side of the canonical cut of the active cells, all capacities multiplied by
  // `multiplier`. Starts from `flow`, cut down to the capacities, and leaves its own flow there.
  // `sweeps`: much is to flow, so sweeps go first.
  Set solve(const Set& active, const Edges& edges, int32_t multiplier, Flow<Words>& flow,
            bool sweeps = false) {
    flow_ = &flow;
    if (sweeps && multiplier > 0 && 2 * active.count() >= kCells) {
      sweep(active, edges, multiplier);
    } else {
      resume(active, edges, multiplier);
    }
    if (find_terminals(active)) {
      reverse(active);
      push_while_reached();
      reverse(active);
    }
    push_while_reached();
    return visited_;
  }

 private:
  static constexpr bool kDense = Words <= 4;  // levels span all words of a set

  // The cells at one distance from the sinks. None is outside of the words first to last, and two
  // words on either side of these are 0; what lies beyond may be left from another search.
  struct Level {
    Padded<Words> cells;
    int first = 0, last = Words - 1;

    bool empty() const { return kDense ? !cells.any() : first > last; }
    void span(int from, int to) {
      if (kDense) return;
      for (first = from; first <= to && cells[first] == 0;) ++first;
      for (last = to; first <= last && cells[last] == 0;) --last;
    }
  };

  // Word w of the cells whose neighbour in direction D is in `set`.
  template <int D>
  uint64_t tails_at(const Padded<Words>& set, int w) const {
    const Shift by(D % 2 == 0 ? 1 : width());
    return D < kLeft ? set.lower(w, by) : set.higher(w, by);
  }

  // Starts from the flow, cut down to the capacities.
  void resume(const Set& active, const Edges& edges, int32_t multiplier) {
    std::copy_n(edges.capacity, 4, capacity_);
    multiplier_ = multiplier;
    for (int d = 0; d < 4; ++d) {
      arcs_[d] = multiplier > 0 ? edges.tails[d] & active & tails(active, d) : Set::none();
    }
    resume_axis<kRight>(active);
    resume_axis<kDown>(active);
  }

  // Visits only the edges that carry flow.
  template <int D>
  void resume_axis(const Set& active) {
    constexpr int kBack = D + 2;
    int32_t* const values = flow_->values(D);
    const Set edges = active & tails(active, D);
    for_each_bit(flow_->moved[D] - edges, [&](int edge) { values[edge] = 0; });
    flow_->moved[D] = flow_->moved[D] & edges;
    for_each_bit(flow_->moved[D], [&](int edge) {
      const int head = edge + offset(D);
      const int32_t there = capacity_[D][edge] * multiplier_;
      const int32_t back = capacity_[kBack][edge] * multiplier_;
      const int32_t value = std::min(std::max(values[edge], -back), there);
      values[edge] = value;
      excess_[edge] -= value;
      excess_[head] += value;
      put(arcs_[D], edge, value < there);
      put(arcs_[kBack], head, value > -back);
    });
  }

  // Starts from the flow and sweeps. Visits all edges, active or not.
  void sweep(const Set& active, const Edges& edges, int32_t multiplier) {
    limit<kRight>(active, edges, multiplier);
    limit<kDown>(active, edges, multiplier);
    multiplier_ = 1;
    const AxisFlow rows{capacity_[kRight], capacity_[kLeft], flow_->values(kRight)};
    const AxisFlow columns{capacity_[kDown], capacity_[kUp], flow_->values(kDown)};
    sweep_rows<1, kCells>(rows, excess_.data());
    sweep_columns<1>(columns, height_, width(), excess_.data());
    sweep_rows<-1, kCells>(rows, excess_.data());
    sweep_columns<-1>(columns, height_, width(), excess_.data());
    find_arcs<kRight>();
    find_arcs<kDown>();
  }

  // Sets the capacities of axis D, 0 at edges that aren't active, and cuts the flow down to them.
  template <int D>
  void limit(const Set& active, const Edges& edges, int32_t multiplier) {
    constexpr int kBack = D + 2;
    const Set both = active & tails(active, D);
    if (multiplier == 1 && active.count() == cells_) {
      capacity_[D] = edges.capacity[D];
      capacity_[kBack] = edges.capacity[kBack];
    } else {
      for (int d : {D, kBack}) {
        limited_[d].resize(kCells);
        keep_in(both, edges.capacity[d], multiplier, limited_[d].data());
        capacity_[d] = limited_[d].data();
      }
    }
    if (flow_->moved[D].any()) {
      const int32_t *const there = capacity_[D], *const back = capacity_[kBack];
      int32_t *const flow = flow_->values(D), *const excess = excess_.data();
      for (int i = 0; i < kCells; ++i) flow[i] = std::min(std::max(flow[i], -back[i]), there[i]);
      // Two loops: in one, each iteration would wait for the sum that the last one stored.
      for (int i = 0; i < kCells; ++i) excess[i] -= flow[i];
      for (int i = 0; i < kCells - offset(D); ++i) excess[i + offset(D)] += flow[i];
    }
    flow_->moved[D] = both;
  }

  // Finds the arcs of axis D that have residual capacity.
  template <int D>
  void find_arcs() {
    constexpr int kBack = D + 2;
    const int32_t *const there = capacity_[D], *const back = capacity_[kBack];
    const int32_t* const flow = flow_->values(D);
    int32_t* const left = left_.data();
    for (int i = 0; i < kCells; ++i) left[i] = there[i] - flow[i];
    arcs_[D] = positive<Words>(left);
    for (int i = 0; i < kCells; ++i) left[i] = back[i] + flow[i];
    arcs_[kBack] = tails(positive<Words>(left), kBack);
  }

  static void put(Padded<Words>& set, int cell, bool in) {
    uint64_t& word = set[cell >> 6];
    word = (word & ~(uint64_t{1} << (cell & 63))) | uint64_t{in} << (cell & 63);
  }

  // Returns whether there are so few sinks that these had better push.
  bool find_terminals(const Set& active) {
    const Set sources = positive<Words>(excess_.data()) & active;
    const Set sinks = negative<Words>(excess_.data()) & active;
    sources_ = sources;
    levels_[0].cells = sinks;
    return !kDense && sinks.count() < sources.count();
  }

  // Makes sources of the sinks and sinks of the sources, and turns all arcs round.
  void reverse(const Set& active) {
    for (int32_t& excess : excess_) excess = -excess;
    reverse_axis<kRight>();
    reverse_axis<kDown>();
    find_terminals(active);
  }

  template <int D>
  void reverse_axis() {
    constexpr int kBack = D + 2;
    std::swap(capacity_[D], capacity_[kBack]);
    int32_t* const values = flow_->values(D);
    for (int i = 0; i < kCells; ++i) values[i] = -values[i];
    Set there, back;
    for (int w = 0; w < Words; ++w) {
      there.word[w] = tails_at<D>(arcs_[kBack], w);
      back.word[w] = tails_at<kBack>(arcs_[D], w);
    }
    arcs_[D] = there;
    arcs_[kBack] = back;
  }

  void push_while_reached() {
    while (search()) {
      push_all();
      patience_.spend(kCells);
    }
  }

  // The search: fills levels_, the cells at each distance from the sinks, and
  // visited_, the union of all levels. Ends early at the level at which every source is reached.
  // Returns whether a source was reached.
  bool search() {
    levels_[0].span(0, Words - 1);
    for (int w = 0; w < Words; ++w) visited_.word[w] = levels_[0].cells[w];
    int waiting = 0;  // no source in a word before this one is left to be reached
    const auto all_reached = [&] {
      if constexpr (kDense) {
        uint64_t rest = 0;
        for (int w = 0; w < Words; ++w) rest |= sources_[w] & ~visited_.word[w];
        return rest == 0;
      }
      while (waiting < Words && (sources_[waiting] & ~visited_.word[waiting]) == 0) ++waiting;
      return waiting == Words;
    };
    const bool some = sources_.any();
    for (farthest_ = 0; !levels_[farthest_].empty() && !(some && all_reached()); ++farthest_) {
      if (farthest_ + 1 == static_cast<int>(levels_.size())) levels_.resize(2 * levels_.size());
      expand(levels_[farthest_], levels_[farthest_ + 1]);
    }
    uint64_t reached = 0;
    for (int w = 0; w < Words; ++w) reached |= sources_[w] & visited_.word[w];
    return reached != 0;
  }

  // Finds the cells that have an arc to a level, and are on none yet.
  void expand(const Level& from, Level& to) {
    const int first = kDense ? 0 : std::max(from.first - 1, 0);
    const int last = kDense ? Words - 1 : std::min(from.last + 1, Words - 1);
    uint64_t* const __restrict cells = &to.cells[0];
    uint64_t* const __restrict visited = visited_.word;
    for (int w = first; w <= last; ++w) {
      const uint64_t next = ((arcs_[kRight][w] & tails_at<kRight>(from.cells, w)) |
                             (arcs_[kDown][w] & tails_at<kDown>(from.cells, w)) |
                             (arcs_[kLeft][w] & tails_at<kLeft>(from.cells, w)) |
                             (arcs_[kUp][w] & tails_at<kUp>(from.cells, w))) &
                            ~visited[w];
      cells[w] = next;
      visited[w] |= next;
    }
    if (kDense) return;
    for (int k = 1; k <= Padded<Words>::kPad; ++k) to.cells[first - k] = to.cells[last + k] = 0;
    to.span(first, last);
  }

  // The push, from the farthest level to the nearest.
  void push_all() {
    for (int level = farthest_; level > 0; --level) {
      const Level& from = levels_[level];
      for (int w = kDense ? 0 : from.first; w <= (kDense ? Words - 1 : from.last); ++w) {
        if ((from.cells[w] & sources_[w]) == 0) continue;
        level > 1 ? push_word<false>(level, w) : push_word<true>(level, w);
      }
    }
  }

  template <bool kToSinks>
  void push_word(int level, int w) {
    push<kRight, kToSinks>(level, w);
    push<kDown, kToSinks>(level, w);
    push<kLeft, kToSinks>(level, w);
    push<kUp, kToSinks>(level, w);
  }

  // Pushes from the sources in word w of a level, in one direction, to the level below. kToSinks:
  // that is level 0.
  template <int D, bool kToSinks>
  void push(int level, int w) {
    constexpr bool kForward = D < kLeft;
    constexpr int kBack = (D + 2) % 4, kAxis = D % 2;
    Level& to = levels_[level - 1];
    const uint64_t movers =
        levels_[level].cells[w] & sources_[w] & arcs_[D][w] & tails_at<D>(to.cells, w);
    if (movers == 0) return;
    const int offset = this->offset(D);
    const int32_t* const capacity = capacity_[D];
    int32_t* const flow = flow_->values(kAxis);
    uint64_t saturated = 0, emptied = 0, filled = 0;
    for (uint64_t rest = movers; rest; rest &= rest - 1) {
      const int bit = lowest_bit(rest), tail = w * 64 + bit, head = tail + offset;
      const int edge = kForward ? tail : head;
      const int32_t left = capacity[edge] * multiplier_ + (kForward ? -flow[edge] : flow[edge]);
      const int32_t before = excess_[tail];
      int32_t amount = std::min(before, left);
      // A sink takes no more than it lacks, as what exceeds that would have to flow back.
      if (kToSinks) amount = std::min(amount, -excess_[head]);
      flow[edge] += kForward ? amount : -amount;
      excess_[tail] = before - amount;
      const int32_t after = excess_[head] += amount;
      saturated |= uint64_t{amount == left} << bit;
      emptied |= uint64_t{amount == before} << bit;
      if (kToSinks) filled |= uint64_t{after == 0} << bit;
    }
    arcs_[D][w] ^= saturated;
    sources_[w] ^= emptied;
    const auto heads = [&](uint64_t cells, const auto& body) {
      const Shift by(D % 2 == 0 ? 1 : width());
      if constexpr (Words == 1) {
        body(0, kForward ? cells << by.rest : cells >> by.rest);
      } else if constexpr (kForward) {
        body(w + by.words, cells << by.rest);
        body(w + by.words + 1, cells >> 1 >> (63 - by.rest));
      } else {
        body(w - by.words, cells >> by.rest);
        body(w - by.words - 1, cells << 1 << (63 - by.rest));
      }
    };
    heads(movers, [&](int v, uint64_t cells) {
      arcs_[kBack][v] |= cells;
      if (!kToSinks) sources_[v] |= cells;
      if (!kForward && v >= 0) flow_->moved[kAxis].word[v] |= cells;
    });
    if (kForward) flow_->moved[kAxis].word[w] |= movers;
    if (kToSinks) heads(filled, [&](int v, uint64_t cells) { to.cells[v] &= ~cells; });
  }

  int width() const { return Width > 0 ? Width : width_; }

  const int width_, height_, cells_;
  int32_t multiplier_ = 1;
  const int32_t* capacity_[4];
  Flow<Words>* flow_ = nullptr;
  Padded<Words> arcs_[4], sources_;
  Set visited_ = Set::none();
  std::vector<Level> levels_;
  int farthest_ = 0;
  Patience patience_;
  std::vector<int32_t> excess_;
  std::vector<int32_t> limited_[4], left_ = std::vector<int32_t>(kCells);
};

}  // namespace puzzlemix
