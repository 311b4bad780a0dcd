// The moves between two blocks of a grid, nearest first: the CPU's engines walk along this list.
#pragma once

#include <cstdint>
#include <vector>

namespace puzzlemix {

// A move by `rows` rows and `columns` columns, whose squared distance is `squared`.
struct Move {
  int32_t squared;
  int16_t rows, columns;
};

// All moves that fit a grid, in the order of their squared distance, then of the block they lead
// to.
inline std::vector<Move> nearest_moves(int height, int width) {
  const int largest = (height - 1) * (height - 1) + (width - 1) * (width - 1);
  std::vector<int> begin(largest + 2, 0);
  const auto for_each_move = [&](auto&& body) {
    for (int rows = 1 - height; rows < height; ++rows) {
      for (int columns = 1 - width; columns < width; ++columns) {
        body(Move{rows * rows + columns * columns, static_cast<int16_t>(rows),
                  static_cast<int16_t>(columns)});
      }
    }
  };
  for_each_move([&](const Move& move) { ++begin[move.squared + 1]; });
  for (int d = 0; d <= largest; ++d) begin[d + 1] += begin[d];
  std::vector<Move> moves(begin[largest + 1]);
  for_each_move([&](const Move& move) { moves[begin[move.squared]++] = move; });
  return moves;
}

}  // namespace puzzlemix
