// assignment as device algorithms (see team_run.h and transport.h). The costs stay where the caller
// has them; what is forbidden counts as 0.
//
// Phases a sample for uniform float32 costs, N = 64, 256 and 1024: approx 16, 23 and 28, exact 99,
// 363 and 1632.
#pragma once

#include <algorithm>

#include "element.h"
#include "team_algorithms.h"
#include "transport/cost_scale.h"
#include "transport/team_matching.h"
#include "transport/team_paths.h"
#include "transport/transport.h"

namespace puzzlemix {

// Writes what row_of(column) says, and the total.
template <typename Team, typename RowOf>
PUZZLEMIX_HD void write_assignment(Team& team, const AssignmentProblem& problem, int64_t b,
                                   RowOf row_of) {
  const int n = static_cast<int>(problem.n);
  const Array cost = problem.cost;
  int64_t* const source = problem.source + b * n;
  const double total = team.add(n, [=](int j) {
    const int i = row_of(j);
    source[j] = i;
    return finite_element(cost, (b * n + i) * n + j);
  });
  double* const totals = problem.total;
  team.step(1, [=](int) { totals[b] = total; });
}

// A warp a row, up to the largest block.
inline int assignment_items(const AssignmentProblem& problem) {
  return static_cast<int>(std::min<int64_t>(32 * problem.n, 512));
}

// The stable matching.
class TeamAssignmentApprox {
 public:
  using Problem = AssignmentProblem;
  using Work = TeamMatching;

  PUZZLEMIX_HD static Work layout(Arena& arena, const Problem& p) {
    return TeamMatching(arena, p.n, p.cost.dtype != Dtype::float64);
  }
  static int items(const Problem& p) { return assignment_items(p); }

  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const Problem& problem, int64_t b) {
    const int n = static_cast<int>(problem.n);
    TeamMatching matching = work;
    const TeamMatching started = matching;
    team.step(n, [=](int i) { started.wait(i); });
    matching.solve(team, Rows{problem.cost, b * n * n, n}, n, n);
    const TeamMatching result = matching;
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
    PUZZLEMIX_HD void propose(Team& team, int slots, const TeamMatching& state) const {
      const TeamMatching matching = state;
      const Rows rows = *this;
      const Choice none{~uint64_t{0}, ~uint64_t{0}};
      team.rows(
          slots, n, none,
          [=](int s, int j) {
            const int row = matching.waiting(s);
            if (row == kNobody) return none;
            const uint64_t key = matching.key(rows.cost(row, j), row);
            return matching.accepts(j, key, row) ? Choice{key, static_cast<uint64_t>(j)} : none;
          },
          Cheaper(),
          [=](int s, Choice choice) {
            if (choice.key == none.key) return;
            matching.template bid<Team>(s, static_cast<int>(choice.column), choice.key);
          });
    }

    PUZZLEMIX_HD double cost(int row, int column) const {
      return finite_element(costs, first + int64_t{row} * n + column);
    }

    Array costs;
    int64_t first;
    int n;
  };
};

// A minimum-cost assignment: the columns' minima as prices, a few rounds of an auction, and a
// shortest augmenting path for each row that is left.
class TeamAssignmentExact {
 public:
  using Problem = AssignmentProblem;

  struct Work {
    PUZZLEMIX_HD Work(Arena& arena, const Problem& p) : paths(arena, p.n), waiting(arena, p.n) {}

    TeamPaths paths;
    WaitingRows waiting;
  };

  PUZZLEMIX_HD static Work layout(Arena& arena, const Problem& p) { return Work(arena, p); }
  static int items(const Problem& p) { return assignment_items(p); }

  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const Problem& problem, int64_t b) {
    const int n = static_cast<int>(problem.n);
    const TeamPaths paths = work.paths;
    WaitingRows waiting = work.waiting;
    Matrix matrix{problem.cost, b * n * n, n, {}};
    const Matrix raw = matrix;
    const double most = team.reduce(
        n, raw.value(0, 0),
        [=](int j) {
          double least = raw.value(0, j), most = least;
          for (int i = 1; i < n; ++i) {
            const double x = raw.value(i, j);
            least = Least()(least, x);
            most = Most()(most, x);
          }
          paths.price(j) = least;
          return most;
        },
        Most());
    const double least =
        team.reduce(n, raw.value(0, 0), [=](int j) { return paths.price(j); }, Least());
    if (problem.cost.dtype != Dtype::int32) matrix.scale = CostScale(least, most);
    const Matrix costs = matrix;
    uint16_t* const rows = waiting.row;
    team.step(n, [=](int i) {
      paths.vacate(i);
      paths.price(i) = -costs.scale.integer(paths.price(i));
      rows[i] = static_cast<uint16_t>(i);
    });
    const int count = paths.auction(team, costs, n, waiting);
    paths.assign(team, costs, n, waiting, count);
    write_assignment(team, problem, b, [=](int j) { return paths.row(j); });
  }

 private:
  // The costs as integers, made on the fly.
  struct Matrix {
    PUZZLEMIX_HD double value(int i, int j) const {
      return finite_element(costs, first + int64_t{i} * n + j);
    }
    PUZZLEMIX_HD double operator()(int i, int j) const { return scale.integer(value(i, j)); }

    Array costs;
    int64_t first;
    int n;
    CostScale scale;
  };
};

}  // namespace puzzlemix
