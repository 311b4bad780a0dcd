// `assignment` as device algorithms (see device_algorithm.h and transport.h): deferred acceptance
// (device_matching.h) and shortest augmenting paths (device_paths.h). Costs are read where the
// caller has them; NaN and -infinity count as 0.
//
// Phases a sample for uniform float32 costs, N = 64, 256 and 1024: approx 16, 23 and 28, exact 99,
// 363 and 1632.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "element.h"
#include "team_algorithms.h"
#include "transport/cost_scale.h"
#include "transport/device_matching.h"
#include "transport/device_paths.h"
#include "transport/transport.h"

namespace puzzlemix {

// Writes the source row of each column, row_of(column), and the total.
template <typename Team, typename RowOf>
PUZZLEMIX_HD void write_assignment(Team& team, const AssignmentProblem& problem, int64_t b,
                                   RowOf row_of) {
  const int columns = static_cast<int>(problem.columns);
  const int64_t first = b * problem.rows * columns;
  const Array cost = problem.cost;
  int64_t* const source = problem.source + b * columns;
  const double total = team.add(columns, [=](int j) {
    const int i = row_of(j);
    source[j] = i == kNobody ? -1 : i;
    return i == kNobody ? 0.0 : forbidding_element(cost, first + int64_t{i} * columns + j);
  });
  double* const totals = problem.total;
  team.for_each(1, [=](int) { totals[b] = total; });
}

// As many items that a block has a warp for each row, up to 512 threads.
inline int assignment_items(const AssignmentProblem& problem) {
  return static_cast<int>(std::clamp<int64_t>(32 * problem.rows, 32, 512));
}

// Finds the proposer-optimal stable matching, rows proposing.
class DeviceAssignmentApprox {
 public:
  using Problem = AssignmentProblem;
  struct Work : DeviceMatching {
    PUZZLEMIX_HD Work(Arena& arena, const Problem& p)
        : DeviceMatching(arena, p.rows, p.columns, p.cost.dtype != Dtype::float64) {}
  };

  static int items(const Problem& p) { return assignment_items(p); }

  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const Problem& problem, int64_t b) {
    const int rows = static_cast<int>(problem.rows), columns = static_cast<int>(problem.columns);
    DeviceMatching matching = work;
    const DeviceMatching started = matching;
    team.for_each(Most()(rows, columns), [=](int i) {
      if (i < rows) started.wait(i);
      if (i < columns) started.vacate(i);
    });
    matching.solve(team, Rows{problem.cost, b * rows * columns, columns}, rows, rows, rows + 1);
    const DeviceMatching result = matching;
    write_assignment(team, problem, b, [=](int j) { return result.row(j); });
  }

 private:
  struct Bid {
    uint64_t key, column;
  };
  struct Cheaper {
    PUZZLEMIX_HD Bid operator()(Bid a, Bid b) const {
      return b.key < a.key || (b.key == a.key && b.column < a.column) ? b : a;
    }
  };

  struct Rows {
    template <typename Team>
    PUZZLEMIX_HD void propose(Team& team, int slots, const DeviceMatching& state) const {
      const DeviceMatching matching = state;
      const Rows rows = *this;
      const Bid none{~uint64_t{0}, ~uint64_t{0}};
      team.rows(
          slots, columns, none,
          [=](int s, int j) {
            const int row = matching.waiting(s);
            if (row == kNobody) return none;
            const uint64_t key = matching.key(rows.cost(row, j), row);
            return matching.accepts(j, key, row) ? Bid{key, static_cast<uint64_t>(j)} : none;
          },
          Cheaper(),
          [=](int s, Bid bid) {
            if (bid.key == none.key) {
              matching.withdraw(s);
            } else {
              matching.template bid<Team>(s, static_cast<int>(bid.column), bid.key);
            }
          });
    }

    PUZZLEMIX_HD double cost(int row, int column) const {
      return forbidding_element(costs, first + int64_t{row} * columns + column);
    }

    Array costs;
    int64_t first;
    int columns;
  };
};

// A minimum-cost assignment: prices from the columns' minima where each column will have a row, a
// few rounds of an auction (Bertsekas 1988), and a shortest augmenting path for each row that is
// left (Jonker and Volgenant 1987). Where the caller has fewer columns than rows, the two are
// exchanged.
class DeviceAssignmentExact {
 public:
  using Problem = AssignmentProblem;

  struct Work {
    PUZZLEMIX_HD Work(Arena& arena, const Problem& p)
        : Work(arena, Least()(p.rows, p.columns), Most()(p.rows, p.columns)) {}
    PUZZLEMIX_HD Work(Arena& arena, int64_t rows, int64_t columns)
        : paths(arena, rows, columns),
          waiting(arena, rows, columns),
          least(arena.take<double>(rows)) {}

    DevicePaths paths;
    WaitingRows waiting;
    double* least;  // the least cost of each row
  };

  static int items(const Problem& p) { return assignment_items(p); }

  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const Problem& problem, int64_t b) {
    const Matrix matrix(problem, b, work.least);
    const DevicePaths paths = work.paths;
    if (matrix.rows > 0) refine(team, work, matrix);
    if (problem.rows <= problem.columns) {
      write_assignment(team, problem, b,
                       [=](int j) { return matrix.rows > 0 ? paths.row(j) : kNobody; });
    } else {
      write_assignment(team, problem, b, [=](int j) { return paths.column(j); });
    }
  }

 private:
  static constexpr int kBits = 32;  // integers are below 2^kBits

  // The costs as integers, which are made from the caller's at each access.
  struct Matrix {
    PUZZLEMIX_HD Matrix(const Problem& p, int64_t b, double* least)
        : costs(p.cost),
          first(b * p.rows * p.columns),
          least(least),
          rows(static_cast<int>(Least()(p.rows, p.columns))),
          columns(static_cast<int>(Most()(p.rows, p.columns))),
          row_stride(p.rows <= p.columns ? static_cast<int>(p.columns) : 1),
          column_stride(p.rows <= p.columns ? 1 : static_cast<int>(p.columns)) {}

    PUZZLEMIX_HD double value(int i, int j) const {
      return forbidding_element(costs,
                                first + int64_t{i} * row_stride + int64_t{j} * column_stride);
    }
    PUZZLEMIX_HD double operator()(int i, int j) const {
      return scale.integer(value(i, j), least[i]);
    }

    Array costs;
    int64_t first;
    double* least;
    int rows, columns, row_stride, column_stride;
    CostScale scale;
  };

  struct Extent {
    double least, most;
  };
  struct Wider {
    PUZZLEMIX_HD Extent operator()(Extent a, Extent b) const {
      return {Least()(a.least, b.least), Most()(a.most, b.most)};
    }
  };

  // Solves on scales that get finer until the answer is as near to the optimum as promised
  // (cost_scale.h).
  template <typename Team>
  PUZZLEMIX_HD static void refine(Team& team, const Work& work, const Matrix& given) {
    Matrix matrix = given;
    const double spread = find_least(team, work, given);
    const bool integers = matrix.costs.dtype == Dtype::int32;
    if (!integers) matrix.scale = CostScale(spread, kBits);
    while (true) {
      const bool assigned = assign(team, work, matrix);
      if (!assigned) work.paths.fill(team, matrix.rows);
      if (!assigned || integers) return;
      const DevicePaths paths = work.paths;
      const Matrix costs = matrix;
      const double total = team.add(
          matrix.rows, [=](int i) { return costs.value(i, paths.column(i)) - costs.least[i]; });
      const CostScale finer(total, kBits);
      if (matrix.scale.fine_enough(total, matrix.rows)) return;
      if (!finer.finer_than(matrix.scale)) return;
      matrix.scale = finer;
    }
  }

  // Finds the least cost of each row. Returns the largest difference of a cost and its row's least.
  template <typename Team>
  PUZZLEMIX_HD static double find_least(Team& team, const Work& work, const Matrix& given) {
    const Matrix matrix = given;
    const DevicePaths paths = work.paths;
    team.rows(
        matrix.rows, matrix.columns, Extent{HUGE_VAL, -HUGE_VAL},
        [=](int i, int j) {
          const double x = matrix.value(i, j);
          return Extent{x, x == HUGE_VAL ? -HUGE_VAL : x};
        },
        Wider(),
        [=](int i, Extent extent) {
          matrix.least[i] = extent.least;
          paths.price(i) = Most()(extent.most - extent.least, 0.0);
        });
    // A difference that overflows counts as DBL_MAX.
    return team.reduce(
        matrix.rows, 0.0, [=](int i) { return Least()(paths.price(i), DBL_MAX); }, Most());
  }

  // Assigns all rows; false if every assignment contains a forbidden pair.
  template <typename Team>
  PUZZLEMIX_HD static bool assign(Team& team, const Work& work, const Matrix& costs) {
    const Matrix matrix = costs;
    const DevicePaths paths = work.paths;
    WaitingRows waiting = work.waiting;
    uint16_t* const slots = waiting.row;
    const bool square = matrix.rows == matrix.columns;
    team.for_each(matrix.columns, [=](int j) {
      paths.vacate(j);
      paths.price(j) = square ? -cheapest(matrix, j) : 0.0;
      if (j >= matrix.rows) return;
      paths.wait(j);
      slots[j] = static_cast<uint16_t>(j);
    });
    const int count = paths.auction(team, matrix, matrix.rows, matrix.columns, waiting);
    return paths.assign(team, matrix, matrix.columns, waiting, count);
  }

  // The least cost of a column; 0 if all its pairs are forbidden.
  PUZZLEMIX_HD static double cheapest(const Matrix& matrix, int j) {
    double least = HUGE_VAL;
    for (int i = 0; i < matrix.rows; ++i) least = Least()(least, matrix(i, j));
    return least < HUGE_VAL ? least : 0.0;
  }
};

}  // namespace puzzlemix
