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
// Why it is right. No arc from a cell that the last search didn't visit to one that it did has
// residual capacity, or the search would have followed it. So these arcs are saturated, and as all
// sinks were visited and no source was, they are a minimum cut. The visited cells are those that
// can reach a sink in the residual graph; they are the same for every maximum preflow, and the
// smallest sink side of any minimum cut: the canonical one, whatever the order of pushes.
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
// - above 256 cells only words that aren't empty are visited: 0.87 of it at 64x64, and a level
//   costs what it holds, not the grid, which matters in long thin regions;
// - starting from the flow that the last cut of the same labels ended with, which leaves little to
//   move: 0.92 of it at 16x16, 0.8 at 64x64.
// Not used: wider vectors and the BMI instructions, which gained 3 %.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "graphcut/bits.h"
#include "graphcut/integers.h"
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
      for_each_bit(moved[axis], [&](int edge) { values(axis)[edge] = 0; });
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

  GridCut(int height, int width) : width_(height > 1 ? width : 1), excess_(kCells) {
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
  Set solve(const Set& active, const Edges& edges, int32_t multiplier, Flow<Words>& flow) {
    edges_ = &edges;
    multiplier_ = multiplier;
    flow_ = &flow;
    for (int d = 0; d < 4; ++d) {
      arcs_[d] = multiplier > 0 ? edges.tails[d] & active & tails(active, d) : Set::none();
    }
    resume<kRight>(active);
    resume<kDown>(active);
    sources_ = positive<Words>(excess_.data()) & active;
    levels_[0].cells = negative<Words>(excess_.data()) & active;
    levels_[0].some = nonempty(levels_[0].cells);
    while (search()) {
      push_all();
      patience_.spend(kCells);
    }
    return visited_;
  }

 private:
  static constexpr bool kDense =
      Words <= 4;  // visits all words of a set, even those that are empty
  static constexpr uint64_t kAllWords = ~uint64_t{0} >> (64 - Words);

  // The cells at one distance from the sinks. Bit w of `some` is set if word w isn't empty.
  struct Level {
    Padded<Words> cells;
    uint64_t some = 0;
  };

  // Calls body(w) for each word w whose bit in `some` is set; for all words if kDense.
  template <typename Body>
  static void for_each_word(uint64_t some, const Body& body) {
    if constexpr (kDense) {
      for (int w = 0; w < Words; ++w) body(w);
    } else {
      for (; some; some &= some - 1) body(lowest_bit(some));
    }
  }

  // A bit for each word of a set, 1 if the word isn't empty.
  static uint64_t nonempty(const Padded<Words>& set) {
    uint64_t some = 0;
    for (int w = 0; w < Words; ++w) some |= uint64_t{set[w] != 0} << w;
    return some;
  }

  // Word w of the cells whose neighbour in direction D is in `set`.
  template <int D>
  uint64_t tails_at(const Padded<Words>& set, int w) const {
    const Shift by(D % 2 == 0 ? 1 : width());
    return D < kLeft ? set.lower(w, by) : set.higher(w, by);
  }

  // Sends the flow to start from along the edges of axis D, as far as they carry it.
  template <int D>
  void resume(const Set& active) {
    constexpr int kBack = D + 2;
    int32_t* const values = flow_->values(D);
    const Set edges = active & tails(active, D);
    for_each_bit(flow_->moved[D] - edges, [&](int edge) { values[edge] = 0; });
    flow_->moved[D] = flow_->moved[D] & edges;
    for_each_bit(flow_->moved[D], [&](int edge) {
      const int head = edge + offset(D);
      const int32_t there = edges_->capacity[D][edge] * multiplier_;
      const int32_t back = edges_->capacity[kBack][edge] * multiplier_;
      const int32_t value = std::min(std::max(values[edge], -back), there);
      values[edge] = value;
      excess_[edge] -= value;
      excess_[head] += value;
      put(arcs_[D], edge, value < there);
      put(arcs_[kBack], head, value > -back);
    });
  }

  static void put(Padded<Words>& set, int cell, bool in) {
    uint64_t& word = set[cell >> 6];
    word = (word & ~(uint64_t{1} << (cell & 63))) | uint64_t{in} << (cell & 63);
  }

  // The search: fills levels_, the cells at each distance from the sinks, and
  // visited_, the union of all levels. Ends early at the level at which every source is reached.
  // Returns whether a source was reached.
  bool search() {
    uint64_t reached = 0, waiting_some = nonempty(sources_);
    Bits<Words> waiting;
    for (int w = 0; w < Words; ++w) {
      waiting.word[w] = sources_[w];
      visited_.word[w] = levels_[0].cells[w];
    }
    const bool some = waiting_some != 0;
    for (farthest_ = 0; levels_[farthest_].some && (!some || waiting_some); ++farthest_) {
      if (farthest_ + 1 == static_cast<int>(levels_.size())) levels_.resize(2 * levels_.size());
      const Level& from = levels_[farthest_];
      Level& to = levels_[farthest_ + 1];
      for_each_word(kDense ? 0 : to.some, [&](int w) { to.cells[w] = 0; });
      to.some = 0;
      for_each_word((from.some | from.some << 1 | from.some >> 1) & kAllWords, [&](int w) {
        const uint64_t next = ((arcs_[kRight][w] & tails_at<kRight>(from.cells, w)) |
                               (arcs_[kDown][w] & tails_at<kDown>(from.cells, w)) |
                               (arcs_[kLeft][w] & tails_at<kLeft>(from.cells, w)) |
                               (arcs_[kUp][w] & tails_at<kUp>(from.cells, w))) &
                              ~visited_.word[w];
        to.cells[w] = next;
        to.some |= uint64_t{next != 0} << w;
        visited_.word[w] |= next;
        reached |= next & waiting.word[w];
        waiting.word[w] &= ~next;
        waiting_some &= ~(uint64_t{waiting.word[w] == 0} << w);
      });
    }
    return reached != 0;
  }

  // The push, from the farthest level to the nearest.
  void push_all() {
    for (int level = farthest_; level > 0; --level) {
      const Level& from = levels_[level];
      for_each_word(from.some, [&](int w) {
        if ((from.cells[w] & sources_[w]) == 0) return;
        level > 1 ? push_word<false>(level, w) : push_word<true>(level, w);
      });
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
    const int32_t* const capacity = edges_->capacity[D];
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

  const int width_;
  int32_t multiplier_ = 1;
  const Edges* edges_ = nullptr;
  Flow<Words>* flow_ = nullptr;
  Padded<Words> arcs_[4], sources_;
  Set visited_ = Set::none();
  std::vector<Level> levels_;
  int farthest_ = 0;
  Patience patience_;
  std::vector<int32_t> excess_;
};

}  // namespace puzzlemix
