// assignment as device algorithms (see device_algorithm.h and transport.h). The costs stay where
// the caller has them; what is neither finite nor infinity counts as 0.
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

// Writes what row_of(column) says, and the total.
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
  team.step(1, [=](int) { totals[b] = total; });
}

// A warp a row, up to the largest block.
inline int assignment_items(const AssignmentProblem& problem) {
  return static_cast<int>(std::clamp<int64_t>(32 * problem.rows, 32, 512));
}

// The stable matching.
class DeviceAssignmentApprox {
 public:
  using Problem = AssignmentProblem;
  using Work = DeviceMatching;

  PUZZLEMIX_HD static Work layout(Arena& arena, const Problem& p) {
    return DeviceMatching(arena, p.rows, p.columns, p.cost.dtype != Dtype::float64);
  }
  static int items(const Problem& p) { return assignment_items(p); }

  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const Problem& problem, int64_t b) {
    const int rows = static_cast<int>(problem.rows), columns = static_cast<int>(problem.columns);
    DeviceMatching matching = work;
    const DeviceMatching started = matching;
    team.step(Most()(rows, columns), [=](int i) {
      if (i < rows) started.wait(i);
      if (i < columns) started.vacate(i);
    });
    matching.solve(team, Rows{problem.cost, b * rows * columns, columns}, rows, rows, rows + 1);
    const DeviceMatching result = matching;
    write_assignment(team, problem, b, [=](int j) { return result.row(j); });
  }

 private:
  struct Choice {
    uint64_t key, column;
  };
  struct Cheaper {
    PUZZLEMIX_HD Choice operator()(Choice a, Choice b) const {
      return b.key < a.key || (b.key == a.key && b.column < a.column) ? b : a;
    }
  };

  struct Rows {
    template <typename Team>
    PUZZLEMIX_HD void propose(Team& team, int slots, const DeviceMatching& state) const {
      const DeviceMatching matching = state;
      const Rows rows = *this;
      const Choice none{~uint64_t{0}, ~uint64_t{0}};
      team.rows(
          slots, columns, none,
          [=](int s, int j) {
            const int row = matching.waiting(s);
            if (row == kNobody) return none;
            const uint64_t key = matching.key(rows.cost(row, j), row);
            return matching.accepts(j, key, row) ? Choice{key, static_cast<uint64_t>(j)} : none;
          },
          Cheaper(),
          [=](int s, Choice choice) {
            if (choice.key == none.key) {
              matching.withdraw(s);
            } else {
              matching.template bid<Team>(s, static_cast<int>(choice.column), choice.key);
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

// A minimum-cost assignment: the columns' minima as prices where each column will have a row, a few
// rounds of an auction, and a shortest augmenting path for each row that is left. What are rows
// here are the caller's columns where there are fewer of these.
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
    double* least;  // of the costs of each row
  };

  PUZZLEMIX_HD static Work layout(Arena& arena, const Problem& p) { return Work(arena, p); }
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
  static constexpr int kBits = 32;  // of an integer

  // The costs as integers, made on the fly.
  struct Matrix {
    PUZZLEMIX_HD Matrix(const Problem& p, int64_t b, double* least)
        : costs(p.cost),
          first(b * p.rows * p.columns),
          least(least),
          rows(static_cast<int>(Least()(p.rows, p.columns))),
          columns(static_cast<int>(Most()(p.rows, p.columns))),
          row_step(p.rows <= p.columns ? static_cast<int>(p.columns) : 1),
          column_step(p.rows <= p.columns ? 1 : static_cast<int>(p.columns)) {}

    PUZZLEMIX_HD double value(int i, int j) const {
      return forbidding_element(costs, first + int64_t{i} * row_step + int64_t{j} * column_step);
    }
    PUZZLEMIX_HD double operator()(int i, int j) const {
      return scale.integer(value(i, j), least[i]);
    }

    Array costs;
    int64_t first;
    double* least;
    int rows, columns, row_step, column_step;
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

  // Solves on finer and finer scales (cost_scale.h).
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

  // Returns the most that a cost is above the least of its row.
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
    // A spread that overflows counts as the largest that doesn't.
    return team.reduce(
        matrix.rows, 0.0, [=](int i) { return Least()(paths.price(i), DBL_MAX); }, Most());
  }

  // False where no assignment has room for all rows.
  template <typename Team>
  PUZZLEMIX_HD static bool assign(Team& team, const Work& work, const Matrix& costs) {
    const Matrix matrix = costs;
    const DevicePaths paths = work.paths;
    WaitingRows waiting = work.waiting;
    uint16_t* const slots = waiting.row;
    const bool square = matrix.rows == matrix.columns;
    team.step(matrix.columns, [=](int j) {
      paths.vacate(j);
      paths.price(j) = square ? -cheapest(matrix, j) : 0.0;
      if (j >= matrix.rows) return;
      paths.wait(j);
      slots[j] = static_cast<uint16_t>(j);
    });
    const int count = paths.auction(team, matrix, matrix.rows, matrix.columns, waiting);
    return paths.assign(team, matrix, matrix.columns, waiting, count);
  }

  // Of a column; 0 where all of it is forbidden.
  PUZZLEMIX_HD static double cheapest(const Matrix& matrix, int j) {
    double least = HUGE_VAL;
    for (int i = 0; i < matrix.rows; ++i) least = Least()(least, matrix(i, j));
    return least < HUGE_VAL ? least : 0.0;
  }
};

}  // namespace puzzlemix
