// The stable matching of blocks and places where moving is free (D = 0): a serial dictatorship
// (Satterthwaite and Sonnenschein 1981), for every team and any weights.
//
// Rows and columns prefer the cheaper entry and, on a tie, the lower index, so the stable matching
// takes the entries in the order of (cost, row, column): the first of them is the first choice of
// its row and of its column. A cost is -S here, and S grows with saliency and with weight. So the
// blocks choose by falling saliency, and each takes the heaviest place left: block k of that order
// has place k of the places by falling weight. For weights 0 and w that is also an exact optimum:
// the most salient blocks are shown.
//
// But different saliencies may round to the same worth in the heaviest place left; then the lowest
// of all blocks that tie is next, and likewise with places of different weights. With weights 0 and
// w it is enough to order blocks by their worth at w; otherwise, from the first such tie on, blocks
// choose one by one.
#pragma once

#include "transport/blocks.h"

namespace puzzlemix {

class SerialDictatorship {
 public:
  PUZZLEMIX_HD SerialDictatorship(Arena& arena, int64_t n)
      : SerialDictatorship(arena.take<uint16_t>(n), arena.take<uint16_t>(n)) {}
  // Works in memory that a solver has at hand: 2 x n.
  PUZZLEMIX_HD SerialDictatorship(uint16_t* rows, uint16_t* columns)
      : rows_(rows), columns_(columns) {}

  // set(place, block), for all places.
  template <typename Team, typename Set>
  PUZZLEMIX_HD void solve(Team& team, const Blocks& blocks, Set set) const {
    const Order order{blocks, rows_, columns_, blocks.shown_or_not(team)};
    const int n = blocks.cells();
    uint16_t *const rows = rows_, *const columns = columns_;
    const double* const weight = blocks.weight();
    sort_by_falling(team, n, rows, [=](int i) { return order.value_of(i); });
    sort_by_falling(team, n, columns, [=](int j) { return weight[j]; });
    const int clear = team.reduce(n, n, [=](int k) { return order.clear(k) ? n : k; }, Least());
    team.step(clear, [=](int k) { set(columns[k], rows[k]); });
    const int front = choose_one_by_one(team, order, clear, set);
    // What is left is worth nothing anywhere: the lowest row goes to the lowest column.
    const int left = n - front;
    const auto ascending = [](uint16_t a, uint16_t b) { return a < b; };
    sort_values(team, left, rows + front, ascending);
    sort_values(team, left, columns + front, ascending);
    team.step(left, [=](int k) {
      if (rows[front + k] < kServed) set(columns[front + k], rows[front + k]);
    });
  }

 private:
  static constexpr uint16_t kServed = 0x8000;  // added to who has chosen

  // Blocks by falling value and places by falling weight, those of one value by index.
  struct Order {
    PUZZLEMIX_HD int row(int k) const { return rows[k] & ~kServed; }
    PUZZLEMIX_HD int column(int k) const { return columns[k] & ~kServed; }
    PUZZLEMIX_HD double value_of(int i) const {
      return shown ? blocks.worth_of(i, blocks.heaviest()) : blocks.saliency()[i];
    }
    PUZZLEMIX_HD double value(int k) const { return value_of(row(k)); }
    PUZZLEMIX_HD double weight(int k) const { return blocks.weight()[column(k)]; }
    PUZZLEMIX_HD double worth(int k, int l) const { return blocks.worth_of(row(k), weight(l)); }

    // The blocks from k on that are worth the same in place l, and the places from l on in which
    // block k is worth the same: where they end.
    PUZZLEMIX_HD int last_row(int k, int l) const {
      const double tied = worth(k, l);
      return end_of(k, [&](int other) { return worth(other, l) == tied; });
    }
    PUZZLEMIX_HD int last_column(int k, int l) const {
      const double tied = worth(k, l);
      return end_of(l, [&](int other) { return worth(k, other) == tied; });
    }

    // Whether block k is worth something in place k, and all that tie are alike.
    PUZZLEMIX_HD bool clear(int k) const {
      return worth(k, k) != 0 && value(last_row(k, k) - 1) == value(k) &&
             weight(last_column(k, k) - 1) == weight(k);
    }

    template <typename Tied>
    PUZZLEMIX_HD int end_of(int begin, const Tied& tied) const {
      const int n = blocks.cells();
      int in = begin, apart = 1;  // gallops: ties are short
      while (in + apart < n && tied(in + apart)) {
        in += apart;
        apart *= 2;
      }
      int out = Least()(in + apart, n);
      while (out - in > 1) {
        const int middle = (in + out) / 2;
        (tied(middle) ? in : out) = middle;
      }
      return out;
    }

    Blocks blocks;
    const uint16_t *rows, *columns;
    bool shown;  // weights are 0 and w; then the value of a block is its worth at w, else its
                 // saliency
  };

  template <typename Team, typename Value>
  PUZZLEMIX_HD static void sort_by_falling(Team& team, int n, uint16_t* order, Value value) {
    team.step(n, [=](int i) { order[i] = static_cast<uint16_t>(i); });
    sort_values(team, n, order, [=](uint16_t a, uint16_t b) {
      const double first = value(a), second = value(b);
      return first > second || (first == second && a < b);
    });
  }

  // From rank `front` on, until nothing that is left is worth anything. Returns the rank before
  // which all have chosen and are chosen. Three phases for each that chooses.
  template <typename Team, typename Set>
  PUZZLEMIX_HD int choose_one_by_one(Team& team, const Order& order, int front, Set set) const {
    const int n = order.blocks.cells();
    uint16_t *const rows = rows_, *const columns = columns_;
    int first_row = front, first_column = front;
    while (first_row < n && order.worth(first_row, first_column) != 0) {
      int end = order.last_row(first_row, first_column);
      const bool rows_alike = order.value(end - 1) == order.value(first_row);
      const int row = lowest(team, rows, first_row, rows_alike ? first_row + 1 : end);
      end = order.last_column(row, first_column);
      const bool columns_alike = order.weight(end - 1) == order.weight(first_column);
      const int column =
          lowest(team, columns, first_column, columns_alike ? first_column + 1 : end);
      team.step(1, [=](int) {
        set(columns[column], rows[row]);
        rows[row] |= kServed;
        columns[column] |= kServed;
      });
      while (first_row < n && rows[first_row] >= kServed) ++first_row;
      while (first_column < n && columns[first_column] >= kServed) ++first_column;
    }
    team.step(0, [](int) {});  // all have read the orders before they change
    return Least()(first_row, first_column);
  }

  // The rank, in [begin, end), of the lowest index that has not been served.
  template <typename Team>
  PUZZLEMIX_HD static int lowest(Team& team, const uint16_t* order, int begin, int end) {
    const uint32_t found = team.reduce(
        end - begin, ~uint32_t{0},
        [=](int k) -> uint32_t { return uint32_t{order[begin + k]} << 16 | (begin + k); }, Least());
    return static_cast<int>(found & 0xffff);
  }

  uint16_t *rows_, *columns_;
};

}  // namespace puzzlemix
