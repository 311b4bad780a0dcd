// From the caller's costs to the integers that decide, for a team: integers.h without its checks.
// What is not finite, or negative where that is forbidden, counts as 0; integers out of bounds are
// rounded as floats are. Maxima alone enter the scale, so the order of reductions can't matter.
#pragma once

#include <cfloat>
#include <cmath>

#include "element.h"
#include "graphcut/label_cost.h"
#include "numeric.h"
#include "team.h"

namespace puzzlemix {

struct GridShape {
  PUZZLEMIX_HD GridShape(int height, int width) : height(height), width(width) {}

  PUZZLEMIX_HD int cells() const { return height * width; }
  PUZZLEMIX_HD int verticals() const { return (height - 1) * width; }
  PUZZLEMIX_HD int horizontals() const { return height * (width - 1); }
  PUZZLEMIX_HD int edges() const { return verticals() + horizontals(); }
  PUZZLEMIX_HD bool last_row(int cell) const { return cell >= verticals(); }
  PUZZLEMIX_HD bool last_column(int cell) const { return cell % width == width - 1; }
  // Of the edge to the right of a cell, among the horizontal ones.
  PUZZLEMIX_HD int horizontal(int cell) const { return cell - cell / width; }

  int height, width;
};

// One sample's edges in the caller's numbers.
struct GivenEdges {
  PUZZLEMIX_HD GivenEdges(const Array& vertical, const Array& horizontal, GridShape shape,
                          int64_t sample)
      : vertical(vertical),
        horizontal(horizontal),
        shape(shape),
        first_vertical(sample * shape.verticals()),
        first_horizontal(sample * shape.horizontals()) {}

  // Of the edge down or to the right of a cell; 0 over the border.
  PUZZLEMIX_HD double down(int cell) const {
    return shape.last_row(cell) ? 0 : capacity_element(vertical, first_vertical + cell);
  }
  PUZZLEMIX_HD double right(int cell) const {
    return shape.last_column(cell)
               ? 0
               : capacity_element(horizontal, first_horizontal + shape.horizontal(cell));
  }

  template <typename Team>
  PUZZLEMIX_HD double largest(Team& team) const {
    const GivenEdges edges = *this;
    return team.reduce(
        shape.cells(), 0.0, [=](int i) { return Most()(edges.down(i), edges.right(i)); }, Most());
  }

  Array vertical, horizontal;
  GridShape shape;
  int64_t first_vertical, first_horizontal;
};

// 0 where a sum of costs is too large for a double: all integers are 0 then.
PUZZLEMIX_HD inline double team_scale(double sum, bool integers) {
  if (!(sum <= DBL_MAX)) return 0;
  return integers && sum < 1 << 30 ? 1 : power_scale(sum);
}

PUZZLEMIX_HD inline int32_t scaled(double x, double scale) {
  return scale == 0 ? 0 : static_cast<int32_t>(round_even(x * scale));
}

// A labelling problem as it crosses to the device: the label cost by value where it is in the
// host's memory.
struct TeamLabelingProblem : LabelingProblem {
  int64_t max_cycles = -1;  // of the swap
  bool known = false;
  LabelCost known_cost;
};

// One sample of it in integers. An edge is kept at its upper or left cell.
struct TeamSample {
  PUZZLEMIX_HD TeamSample(Arena& arena, const LabelingProblem& problem)
      : right(arena.take<int32_t>(cell_count(problem))),
        down(arena.take<int32_t>(cell_count(problem))),
        label(arena.take<int32_t>(cell_count(problem))),
        label_cost(arena.take<LabelCost>(1)),
        unary(arena.take<int32_t>(int64_t{cell_count(problem)} * problem.labels)) {}

  PUZZLEMIX_HD static int cell_count(const LabelingProblem& p) { return p.height * p.width; }

  int32_t *right, *down;
  int32_t* label;
  LabelCost* label_cost;
  int32_t* unary;  // [L, H, W]
};

// The cost of a label in a cell as the caller has it.
PUZZLEMIX_HD inline double given_unary(const LabelingProblem& p, int64_t b, int cell, int label) {
  const int64_t first = (b * p.height * p.width + cell) * p.labels;
  return finite_element(p.unary, first + label);
}

// Writes the label cost: the known one, or the integers of the one on the device, which is made a
// semimetric; convex where that is wanted.
template <typename Team>
PUZZLEMIX_HD void read_label_cost(Team& team, const TeamLabelingProblem& problem, bool convex,
                                  LabelCost* out) {
  const int labels = problem.labels, entries = labels * labels;
  const Array given = problem.label_cost;
  const bool integers = problem.integers;
  if (problem.known) {
    const LabelCost* const from = &problem.known_cost;
    team.step(entries, [=](int e) {
      out->cost[e] = from->cost[e];
      out->given[e] = from->given[e];
      if (e > 0) return;
      out->labels = labels;
      out->largest = from->largest;
      out->unit = from->unit;
      out->exact = from->exact;
    });
    return;
  }
  team.step(entries, [=](int e) {
    const int a = e / labels, b = e % labels;
    const double one = capacity_element(given, e), other = capacity_element(given, b * labels + a);
    out->given[e] = a == b ? 0 : Most()(one, other);
  });
  team.step(1, [=](int) {
    out->labels = labels;
    to_integers(*out, integers);
    if (convex) make_convex(*out);
  });
}

// Writes everything but the labels.
template <typename Team>
PUZZLEMIX_HD void load_sample(Team& team, const TeamLabelingProblem& problem, int64_t b,
                              bool convex, const TeamSample& sample) {
  const LabelingProblem p = problem;
  const GridShape shape(p.height, p.width);
  const GivenEdges edges(p.vertical, p.horizontal, shape, b);
  read_label_cost(team, problem, convex, sample.label_cost);
  const double unit = sample.label_cost->unit;
  const double weight = edges.largest(team), pair = weight * unit * sample.label_cost->largest;
  // No optimum and no chain of swaps reaches a label that costs more, and a forbidding cost must
  // not eat the precision.
  const double limit = pair > 0 ? 4.0 * (p.labels + 1) * pair : HUGE_VAL;
  const int n = shape.cells(), labels = p.labels;
  const auto cheapest = [=](int i) {
    double least = given_unary(p, b, i, 0);
    for (int l = 1; l < labels; ++l) least = Least()(least, given_unary(p, b, i, l));
    return least;
  };
  const double top = team.reduce(
      n, 0.0,
      [=](int i) {
        const double least = cheapest(i);
        double most = 0;
        for (int l = 0; l < labels; ++l) {
          most = Most()(most, Least()(limit, given_unary(p, b, i, l) - least));
        }
        return most;
      },
      Most());
  const double scale = team_scale(n * top + shape.edges() * pair, p.integers);
  // Where labels cost nothing, weights may be beyond all that the scale is for.
  const double edge_scale = pair > 0 ? scale : 0;
  const TeamSample out = sample;
  team.step(n, [=](int i) {
    const double least = cheapest(i);
    for (int l = 0; l < labels; ++l) {
      out.unary[l * n + i] = scaled(Least()(limit, given_unary(p, b, i, l) - least), scale);
    }
    out.down[i] = scaled(edges.down(i) * unit, edge_scale);
    out.right[i] = scaled(edges.right(i) * unit, edge_scale);
  });
}

// Gives each cell its cheapest label, the lowest on a tie.
template <typename Team>
PUZZLEMIX_HD void start_from_cheapest(Team& team, const LabelingProblem& p,
                                      const TeamSample& loaded) {
  const TeamSample sample = loaded;
  const int n = p.height * p.width, labels = p.labels;
  team.step(n, [=](int i) {
    int best = 0;
    for (int l = 1; l < labels; ++l) {
      if (sample.unary[l * n + i] < sample.unary[best * n + i]) best = l;
    }
    sample.label[i] = best;
  });
}

// The energy in the caller's costs.
template <typename Team, typename Label>
PUZZLEMIX_HD double labeling_energy(Team& team, const LabelingProblem& p, int64_t b,
                                    const LabelCost* cost, const Label* label) {
  const GridShape shape(p.height, p.width);
  const GivenEdges edges(p.vertical, p.horizontal, shape, b);
  const int labels = p.labels;
  return team.add(shape.cells(), [=](int i) {
    const auto known = [=](Label l) {
      return static_cast<int>(l < 0 ? 0 : l < labels ? l : labels - 1);
    };
    const double* const pair = cost->given + known(label[i]) * labels;
    double sum = given_unary(p, b, i, known(label[i]));
    if (!shape.last_row(i)) sum += edges.down(i) * pair[known(label[i + shape.width])];
    if (!shape.last_column(i)) sum += edges.right(i) * pair[known(label[i + 1])];
    return sum;
  });
}

// Writes the labels of a sample and their energy.
template <typename Team>
PUZZLEMIX_HD void write_labeling(Team& team, const LabelingProblem& problem, int64_t b,
                                 const TeamSample& sample) {
  const LabelingProblem p = problem;
  const int n = p.height * p.width;
  const int32_t* const label = sample.label;
  team.step(n, [=](int i) { p.out[b * n + i] = label[i]; });
  const double energy = labeling_energy(team, p, b, sample.label_cost, label);
  team.step(1, [=](int) { p.energy[b] = energy; });
}

}  // namespace puzzlemix
