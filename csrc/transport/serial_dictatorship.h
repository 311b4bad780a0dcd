// The proposer-optimal stable matching of blocks and places where moving is free (D = 0): a serial
// dictatorship (Satterthwaite and Sonnenschein 1981), for every team and any weights.
//
// Rows (blocks) and columns (places) prefer the cheaper entry and, on a tie, the lower index. So
// the stable matching takes entries in the order of (cost, row, column): the first one is the first
// choice of its row and of its column, and so on among those that are left. Here a cost is -S,
// where S, the worth of a block in a place, grows with its saliency and with the weight of the
// place. So blocks choose in the order of falling saliency, and each takes the heaviest place left:
// block k of that order gets place k of the places by falling weight. If all weights are 0 or w,
// that is also an optimal assignment: the most salient blocks are shown.
//
// Ties. Different saliencies may round to one worth in the heaviest place left; then the block of
// lowest index among those is next, and likewise with places of different weights. If all weights
// are 0 or w it is enough to order blocks by their worth at w. Otherwise, from the first such tie
// on, blocks choose one by one.
//
// It takes two sorts of n indices and a few phases, and three phases more for each block that
// chooses by itself.
#pragma once

#include "transport/blocks.h"

namespace puzzlemix {

class SerialDictatorship {
 public:
  PUZZLEMIX_HD SerialDictatorship(Arena& arena, int64_t n)
      : value_(arena.take<double>(n)),
        rows_(arena.take<uint16_t>(n)),
        columns_(arena.take<uint16_t>(n)) {}

  // Calls set(place, block) for every place, in phases.
  template <typename Team, typename Set>
  PUZZLEMIX_HD void solve(Team& team, const Blocks& sample, Set set) const {
    const Blocks blocks = sample;
    const int n = blocks.cells();
    double* const value = value_;
    uint16_t *const rows = rows_, *const columns = columns_;
    const bool shown = blocks.shown_or_not(team);
    team.for_each(n, [=](int i) {
      value[i] = shown ? blocks.worth_of(i, blocks.heaviest()) : blocks.saliency()[i];
      rows[i] = columns[i] = static_cast<uint16_t>(i);
    });
    sort_values(team, n, rows, Falling{value});
    sort_values(team, n, columns, Falling{blocks.weight()});
    const Order order{blocks, value, rows, columns};
    const int clear = team.reduce(n, n, [=](int k) { return order.clear(k) ? n : k; }, Least());
    team.for_each(clear, [=](int k) { set(columns[k], rows[k]); });
    const int front = choose_one_by_one(team, order, clear, set);
    // The blocks left are worth nothing in any place left, all ties: the lowest row goes to the
    // lowest column.
    const int left = n - front;
    const auto ascending = [](uint16_t a, uint16_t b) { return a < b; };
    sort_values(team, left, rows + front, ascending);
    sort_values(team, left, columns + front, ascending);
    team.for_each(left, [=](int k) {
      if (rows[front + k] < kServed) set(columns[front + k], rows[front + k]);
    });
  }

 private:
  static constexpr uint16_t kServed =
      0x8000;  // a bit added to indices of blocks and places matched

  // Orders indices by falling value, then by rising index.
  struct Falling {
    PUZZLEMIX_HD bool operator()(uint16_t a, uint16_t b) const {
      return values[a] > values[b] || (values[a] == values[b] && a < b);
    }
    const double* values;
  };

  // Blocks and places by rank: row(k) is the k-th block, column(k) the k-th place.
  struct Order {
    PUZZLEMIX_HD int row(int k) const { return rows[k] & ~kServed; }
    PUZZLEMIX_HD int column(int k) const { return columns[k] & ~kServed; }
    PUZZLEMIX_HD double worth(int k, int l) const {
      return blocks.worth_of(row(k), blocks.weight()[column(l)]);
    }

    // Whether the blocks and places of rank k match each other: the worth isn't 0, and what ties
    // with either has equal saliency or weight, so that the rank decides.
    PUZZLEMIX_HD bool clear(int k) const {
      return worth(k, k) != 0 && row_end(k, k) == k + 1 && column_end(k, k) == k + 1;
    }

    // Where the range of ranks ends in which the lowest index is to be searched for: the blocks
    // from k on that are worth as much in place l as block k is, or the places from l on in which
    // block k is worth as much as in place l. The range is one rank if all of it has one saliency
    // or weight, because those are in the order of their indices.
    PUZZLEMIX_HD int row_end(int k, int l) const {
      const double tied = worth(k, l), mine = value[row(k)];
      const int other = end_of(k, [&](int m) { return value[row(m)] == mine; });
      const auto ties = [&](int m) { return worth(m, l) == tied; };
      return other == blocks.cells() || !ties(other) ? k + 1 : end_of(other, ties);
    }
    PUZZLEMIX_HD int column_end(int k, int l) const {
      const double tied = worth(k, l), mine = blocks.weight()[column(l)];
      const int other = end_of(l, [&](int m) { return blocks.weight()[column(m)] == mine; });
      const auto ties = [&](int m) { return worth(k, m) == tied; };
      return other == blocks.cells() || !ties(other) ? l + 1 : end_of(other, ties);
    }

    // The first rank from `begin` on for which alike(rank) is false; alike(begin) is true.
    template <typename Alike>
    PUZZLEMIX_HD int end_of(int begin, const Alike& alike) const {
      const int n = blocks.cells();
      int in = begin, apart = 1;  // exponential search first, as ties are short
      while (in + apart < n && alike(in + apart)) {
        in += apart;
        apart *= 2;
      }
      int out = Least()(in + apart, n);
      while (out - in > 1) {
        const int middle = (in + out) / 2;
        (alike(middle) ? in : out) = middle;
      }
      return out;
    }

    Blocks blocks;
    const double* value;
    const uint16_t *rows, *columns;
  };

  // Lets blocks choose one by one from rank `front` on, until those left are worth nothing in any
  // place left. Returns the rank before which all blocks and places are matched. Three phases a
  // block.
  template <typename Team, typename Set>
  PUZZLEMIX_HD int choose_one_by_one(Team& team, const Order& order, int front, Set set) const {
    const int n = order.blocks.cells();
    uint16_t *const rows = rows_, *const columns = columns_;
    int first_row = front, first_column = front;
    while (first_row < n && order.worth(first_row, first_column) != 0) {
      const int row = lowest(team, rows, first_row, order.row_end(first_row, first_column));
      const int column = lowest(team, columns, first_column, order.column_end(row, first_column));
      team.for_each(1, [=](int) {
        set(columns[column], rows[row]);
        rows[row] |= kServed;
        columns[column] |= kServed;
      });
      while (first_row < n && rows[first_row] >= kServed) ++first_row;
      while (first_column < n && columns[first_column] >= kServed) ++first_column;
    }
    team.for_each(0, [](int) {});  // a barrier: the caller's next phase changes what was read here
    return Least()(first_row, first_column);
  }

  // The rank in [begin, end) of the lowest index without kServed.
  template <typename Team>
  PUZZLEMIX_HD static int lowest(Team& team, const uint16_t* order, int begin, int end) {
    const uint32_t found = team.reduce(
        end - begin, ~uint32_t{0},
        [=](int k) -> uint32_t { return uint32_t{order[begin + k]} << 16 | (begin + k); }, Least());
    return static_cast<int>(found & 0xffff);
  }

  double* value_;  // by block, the number whose falling order is the order of choice
  uint16_t *rows_, *columns_;
};

}  // namespace puzzlemix
