// The canonical minimum cut of a 4-connected grid, by preflow pushes on the level graph,
// bit-parallel.
//
// Per direction a bit mask keeps the arcs with capacity left. A breadth-first search from all
// sinks at once costs a dozen word operations a level; then all excess moves level by level from
// the farthest towards the sinks; both repeat until no excess reaches a sink. The cells that the
// last search visits are those that reach a sink in the residual graph: the smallest sink side,
// which no choice of pushes can change.
//
// Excess that stays behind in a round of pushes has seen all its arcs to nearer cells saturated, or
// its sinks filled, so its distance grows or a sink is gone: at most n^2 + n rounds, some 20 in
// practice.
//
// What each trick is worth, in the time of a swap of 3 labels:
// - preflow pushes instead of augmenting paths (Boykov and Kolmogorov): a third left at 16x16;
// - sets between words of zeros, so that no shift asks where the grid ends, and bits gathered
//   instead of branches on amounts: 0.8 left at 16x16, 0.35 at 64x64;
// - above 256 cells only the words that aren't empty: 0.87 at 64x64, and a long thin region costs
//   a level what it holds, not the grid;
// - starting from the flow that the last cut of the same labels ended with, which leaves little to
//   move: 0.92 at 16x16, 0.8 at 64x64.
// Wider vectors and BMI were worth 3 %, no trouble for that.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "graphcut/bits.h"
#include "graphcut/integers.h"
#include "interrupt.h"

namespace puzzlemix {

// Calls f with the number of words that a grid's bit masks take, and its width where that is the
// usual one for so many (else 0), as constants.
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

// Where the excess of one solve went, to start the next one from: a flow that respects the
// capacities changes no cut, and that of a like problem leaves little to move.
template <int Words>
class Flow {
 public:
  // Of the edges to the right (axis 0) and down (axis 1), by their upper or left cell.
  int32_t* values(int axis) { return values_.data() + axis * Words * 64; }
  Bits<Words> moved[2] = {};  // where it is not 0

  void clear() {
    for (int axis = 0; axis < 2; ++axis) {
      for_each_bit(moved[axis], [&](int edge) { values(axis)[edge] = 0; });
      moved[axis] = Bits<Words>::none();
    }
  }

 private:
  std::vector<int32_t> values_ = std::vector<int32_t>(2 * Words * 64);
};

// Width is the grid's, or 0 if that is known only later: constant shifts save a tenth.
template <int Words, int Width = 0>
class GridCut {
 public:
  using Set = Bits<Words>;
  static constexpr int kCells = Words * 64;

  // Arcs by direction: to the next column, to the next row, and back.
  enum Direction { kRight, kDown, kLeft, kUp };

  // Capacities by direction; those of an edge's two arcs stand at its upper or left cell, in
  // planes of kCells. `tails` holds the cells where arcs of positive capacity start.
  struct Edges {
    const int32_t* capacity[4];
    Set tails[4];
  };

  GridCut(int height, int width) : width_(height > 1 ? width : 1), excess_(kCells) {
    levels_.resize(64);
  }

  // Source minus sink capacity of each cell, to be filled before solve; solve leaves what could
  // not be moved. Cells that are not active count for nothing.
  int32_t* excess() { return excess_.data(); }

  // From a cell to its neighbour in direction d.
  int offset(int d) const { return (d % 2 == 0 ? 1 : width()) * (d < kLeft ? 1 : -1); }

  // The cells whose neighbour in direction d is in `set`. Rows run on into each other here: edges
  // over the border are ruled out by their capacity, which is 0.
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

  // The sink side, with all capacities taken `multiplier` times. Starts from `flow`, cut down to
  // what the capacities allow, and leaves there the flow it ends with.
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
  static constexpr bool kDense = Words <= 4;  // all words are looked at rather than chosen
  static constexpr uint64_t kAllWords = ~uint64_t{0} >> (64 - Words);

  // The cells at one distance from the sinks. Bit w of `some` is set if word w isn't empty.
  struct Level {
    Padded<Words> cells;
    uint64_t some = 0;
  };

  // Calls body with the number of each word that `some` names.
  template <typename Body>
  static void for_each_word(uint64_t some, const Body& body) {
    if constexpr (kDense) {
      for (int w = 0; w < Words; ++w) body(w);
    } else {
      for (; some; some &= some - 1) body(lowest_bit(some));
    }
  }

  // Names the words of a set that aren't empty.
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

  // Puts the flow of axis D on the edges, as far as they carry it.
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

  // Fills levels_ and visited_, the cells at each distance from the sinks and at any; no further
  // than the farthest source unless there are sources that are never reached, or none. True if a
  // source was reached.
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

  // From the sources of word w of a level to the level below, in one direction. What becomes of
  // the cells is gathered as bits: no branch depends on an amount.
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
      // A sink takes what it can hold; more would only have to come back.
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
