// A flow for a minimum cut to start from, found by sweeps along the rows and columns of a grid.
//
// In a sweep every cell passes its excess to the next one, a sink what it lacks, as far as the edge
// between them carries it, on top of what flows there already: a maximum flow of each row, or
// column, by itself. What finds no counterpart ends where an edge is full or the row ends. Four
// sweeps, right, down, left and up, leave two fifths of the pushes at 16x16 and a tenth at 8x8.
// This is coordinate ascent on the dual problem, chain by chain (Kolmogorov, Convergent
// tree-reweighted message passing for energy minimization, PAMI 28, 2006), which doesn't reach the
// optimum, but comes near it.
#pragma once

#include <cstdint>
#include <cstring>

#include "packs.h"

namespace puzzlemix {

// Planes of the edges to the right, or down, each edge at its left or upper cell: what it carries
// either way, and what flows along it.
struct AxisFlow {
  const int32_t *there, *back;
  int32_t* flow;
};

// How much of an amount, which may be negative, an edge passes on: along it if kStep is 1, against
// it if -1. T is a number, or a vector of them for edges side by side.
template <int kStep, typename T>
inline T passed(T amount, T there, T back, T flow) {
  const T forwards = there - flow, backwards = back + flow;
  const T largest = kStep > 0 ? forwards : backwards;
  const T smallest = T{} - (kStep > 0 ? backwards : forwards);
  return least(most(amount, smallest), largest);
}

// To the right (kStep 1) or to the left (-1). The plane is cut into four chains of whole rows, if
// these are enough, which go side by side; an edge between two chains is left out. No edge leads
// from a row to the next: it carries nothing.
template <int kStep, int kCells>
inline void sweep_rows(const AxisFlow& edges, int32_t* __restrict excess) {
  constexpr int kChains = 4, kLength = kCells / kChains;
  const int32_t* const __restrict there = edges.there;
  const int32_t* const __restrict back = edges.back;
  int32_t* const __restrict flow = edges.flow;
  int32_t carried[kChains] = {};
  for (int k = 0; k + 1 < kLength; ++k) {
    for (int c = 0; c < kChains; ++c) {
      const int i = c * kLength + (kStep > 0 ? k : kLength - 1 - k), e = kStep > 0 ? i : i - 1;
      const int32_t all = excess[i] + carried[c];
      carried[c] = passed<kStep>(all, there[e], back[e], flow[e]);
      flow[e] += kStep * carried[c];
      excess[i] = all - carried[c];
    }
  }
  for (int c = 0; c < kChains; ++c) {
    excess[c * kLength + (kStep > 0 ? kLength - 1 : 0)] += carried[c];
  }
}

// Along a vertical edge, or as many side by side as a T holds.
template <int kStep, typename T>
inline void pass_column(const AxisFlow& edges, int edge, int width, int32_t* excess) {
  const auto load = [](const int32_t* at) {
    T x;
    std::memcpy(&x, at, sizeof x);
    return x;
  };
  int32_t* const flow = edges.flow + edge;
  int32_t* const from = excess + (kStep > 0 ? edge : edge + width);
  int32_t* const to = excess + (kStep > 0 ? edge + width : edge);
  const T amount =
      passed<kStep>(load(from), load(edges.there + edge), load(edges.back + edge), load(flow));
  unpack(kStep > 0 ? load(flow) + amount : load(flow) - amount, flow);
  unpack(load(from) - amount, from);
  unpack(load(to) + amount, to);
}

// Down (kStep 1) or up (-1).
template <int kStep>
inline void sweep_columns(const AxisFlow& edges, int height, int width, int32_t* excess) {
  constexpr int kMany = kPacked<int32_t>;
  for (int y = 0; y + 1 < height; ++y) {
    const int row = (kStep > 0 ? y : height - 2 - y) * width;
    int x = row;
    for (; x + kMany <= row + width; x += kMany) {
      pass_column<kStep, Pack<int32_t>>(edges, x, width, excess);
    }
    for (; x < row + width; ++x) pass_column<kStep, int32_t>(edges, x, width, excess);
  }
}

}  // namespace puzzlemix
