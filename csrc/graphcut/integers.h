// From the caller's costs to the integers that decide: one rule for every team (a CPU thread, a
// host team, a CUDA block).
//
// Each sample is scaled by a power of two, so that all its costs together are just under 2^30, and
// rounded half to even. Weight and label cost are rounded apart, because rounding their product
// would break submodularity. The scale follows from maxima, never from sums, so no order of
// evaluation can matter.
//
// A sample is kept in planes of `plane` numbers, one for each cell. On the CPU planes are padded
// with zeros to whole words of the bit masks (bits.h). An edge is kept at its upper or left cell;
// edges over the border are 0.
#pragma once

#include <cfloat>
#include <cmath>
#include <cstdint>

#include "element.h"
#include "graphcut/graphcut.h"
#include "graphcut/label_cost.h"
#include "rounding.h"
#include "team.h"

namespace puzzlemix {

struct GridShape {
  PUZZLEMIX_HD GridShape(int height, int width) : height(height), width(width) {}

  PUZZLEMIX_HD int cells() const { return height * width; }
  PUZZLEMIX_HD int verticals() const { return (height - 1) * width; }
  PUZZLEMIX_HD int horizontals() const { return height * (width - 1); }
  PUZZLEMIX_HD int edges() const { return verticals() + horizontals(); }
  PUZZLEMIX_HD bool last_row(int cell) const { return cell >= verticals(); }
  // The index of the edge to the right of a cell among the horizontal edges, in row-major order.
  PUZZLEMIX_HD int horizontal(int cell) const { return cell - cell / width; }

  int height, width;
};

// The size of a plane on the CPU: the least of four that holds the cells, so that the sizes of bit
// masks are compile-time constants.
constexpr int padded(int cells) {
  return cells <= 64 ? 64 : cells <= 256 ? 256 : cells <= 1024 ? 1024 : 4096;
}

// The edge weights of a sample, before rounding.
struct GivenEdges {
  PUZZLEMIX_HD GivenEdges(Arena& arena, int plane)
      : down(arena.take<double>(plane)), right(arena.take<double>(plane)) {}

  template <typename Team>
  PUZZLEMIX_HD double largest(Team& team, int cells) const {
    const double *const d = down, *const r = right;
    return team.reduce(cells, 0.0, [=](int i) { return Most()(d[i], r[i]); }, Most());
  }

  double *down, *right;
};

// A sample of a labelling problem before rounding: label l costs cell i unary[l * plane + i].
struct GivenLabeling {
  PUZZLEMIX_HD GivenLabeling(Arena& arena, int plane, int labels)
      : edges(arena, plane), unary(arena.take<double>(int64_t{plane} * labels)), plane(plane) {}

  GivenEdges edges;
  double* unary;
  int plane;
};

// A sample of a labelling problem in integers.
struct IntegerLabeling {
  PUZZLEMIX_HD IntegerLabeling(Arena& arena, GridShape shape, int plane, int labels)
      : shape(shape),
        plane(plane),
        labels(labels),
        right(arena.take<int32_t>(plane)),
        down(arena.take<int32_t>(plane)),
        unary(arena.take<int32_t>(int64_t{plane} * labels)) {}

  PUZZLEMIX_HD const int32_t* costs_of(int label) const { return unary + label * plane; }

  GridShape shape;
  int plane, labels;
  int32_t *right, *down;
  int32_t* unary;  // costs above those of each cell's cheapest label
};

// A sample of a minimum cut before rounding.
struct GivenCut {
  PUZZLEMIX_HD GivenCut(Arena& arena, int plane)
      : edges(arena, plane), source(arena.take<double>(plane)), sink(arena.take<double>(plane)) {}

  GivenEdges edges;
  double *source, *sink;
};

// A sample of a minimum cut in integers.
struct IntegerCut {
  PUZZLEMIX_HD IntegerCut(Arena& arena, int plane)
      : excess(arena.take<int32_t>(plane)),
        right(arena.take<int32_t>(plane)),
        down(arena.take<int32_t>(plane)) {}

  int32_t *excess, *right, *down;  // excess: source minus sink capacity
};

// ---- Reading ------------------------------------------------------------------------------------

// A value as a team reads it. Teams whose values are checked later take it as it is; others take a
// value that is not finite, or a capacity that is negative, as 0.
template <typename Team, typename Real>
PUZZLEMIX_HD Real accepted(Real x) {
  return Team::kChecked || x - x == 0 ? x : 0;
}
template <typename Team, typename Real>
PUZZLEMIX_HD Real accepted_capacity(Real x) {
  return Team::kChecked || (x - x == 0 && x > 0) ? x : 0;
}

template <typename Team>
struct Accepted {
  template <typename Real>
  PUZZLEMIX_HD Real operator()(Real x) const {
    return accepted<Team>(x);
  }
};
template <typename Team>
struct AcceptedCapacity {
  template <typename Real>
  PUZZLEMIX_HD Real operator()(Real x) const {
    return accepted_capacity<Team>(x);
  }
};

// Reads the edges of sample b: vertical [B, H-1, W], horizontal [B, H, W-1].
template <typename Team>
PUZZLEMIX_HD void read_edges(Team& team, const Array& vertical, const Array& horizontal,
                             GridShape shape, int64_t b, const GivenEdges& into) {
  const GivenEdges out = into;
  with_elements<Team>(vertical, b * shape.verticals(), [&](const auto& given) {
    const auto in = given;
    team.for_each(shape.cells(), [=](int i) {
      out.down[i] = shape.last_row(i) ? 0 : accepted_capacity<Team>(in[i]);
    });
  });
  with_elements<Team>(horizontal, b * shape.horizontals(), [&](const auto& given) {
    const auto in = given;
    team.for_each(shape.height, shape.width, [=](int y, int x) {
      const bool last = x + 1 == shape.width;
      out.right[y * shape.width + x] =
          last ? 0 : accepted_capacity<Team>(in[y * (shape.width - 1) + x]);
    });
  });
}

template <typename Team>
PUZZLEMIX_HD void read_labeling(Team& team, const LabelingProblem& p, int64_t b,
                                const GivenLabeling& into) {
  const GivenLabeling out = into;
  const GridShape shape(p.height, p.width);
  const int labels = p.labels;
  read_edges(team, p.vertical, p.horizontal, shape, b, out.edges);
  with_elements<Team>(p.unary, b * shape.cells() * labels, [&](const auto& given) {
    const auto in = given;
    team.for_each(shape.cells(), [=](int i) {
      for (int l = 0; l < labels; ++l) {
        out.unary[l * out.plane + i] = accepted<Team>(in[i * labels + l]);
      }
    });
  });
}

template <typename Team>
PUZZLEMIX_HD void read_cut(Team& team, const MinCutProblem& p, int64_t b, const GivenCut& into) {
  const GivenCut out = into;
  const GridShape shape(p.height, p.width);
  read_edges(team, p.vertical, p.horizontal, shape, b, out.edges);
  const auto read = [&](const Array& array, double* values) {
    with_elements<Team>(array, b * shape.cells(), [&](const auto& given) {
      const auto in = given;
      team.for_each(shape.cells(), [=](int i) { values[i] = accepted_capacity<Team>(in[i]); });
    });
  };
  read(p.source, out.source);
  read(p.sink, out.sink);
}

// Writes a label cost and its integers to `out`, on the device. One that isn't known on the host is
// unchecked: it is made a semimetric, and convex if `convex`.
template <typename Team>
PUZZLEMIX_HD void read_label_cost(Team& team, const DeviceLabelingProblem& problem, bool convex,
                                  LabelCost* out) {
  const int labels = problem.labels, entries = labels * labels;
  const Array given = problem.label_cost;
  const bool integers = problem.integers;
  if (problem.known) {
    copy_label_cost(team, &problem.known_cost, out);
    return;
  }
  team.for_each(entries, [=](int e) {
    const int a = e / labels, b = e % labels;
    const double one = capacity_element(given, e), other = capacity_element(given, b * labels + a);
    out->given[e] = a == b ? 0 : Most()(one, other);
  });
  team.for_each(1, [=](int) {
    out->labels = labels;
    to_integers(*out, integers);
    if (convex) make_convex(*out);
  });
}

// ---- Rounding -----------------------------------------------------------------------------------

constexpr double kIntegerBound = 1 << 30;

// Whether the costs of a sample may add up to `sum`. Where they may not, rounding still makes some
// valid problem of them, for teams that don't check.
PUZZLEMIX_HD inline bool within_bound(double sum, bool integers) {
  return integers ? sum < kIntegerBound : sum <= DBL_MAX;
}

// The factor of a sample whose costs add up to `sum`. It is 0, which makes all integers 0, where
// that is too large for a double.
PUZZLEMIX_HD inline double sample_scale(double sum, bool integers) {
  if (!(sum <= DBL_MAX)) return 0;
  return integers && sum < kIntegerBound ? 1 : power_scale(sum);
}

// Makes the integers of a labelling problem. `integers`: the costs came as int32. Returns whether
// they are within their bound.
template <typename Team>
PUZZLEMIX_HD bool round_labeling(Team& team, const GivenLabeling& given, const LabelCost& cost,
                                 bool integers, const IntegerLabeling& into) {
  constexpr int kWide = Team::kWide;
  const GivenLabeling in = given;
  const IntegerLabeling out = into;
  const int n = out.shape.cells(), labels = out.labels, strips = (n + kWide - 1) / kWide;
  const double unit = cost.unit;
  const double pair = in.edges.largest(team, n) * unit * cost.largest;
  // Larger unary costs are cut down to this limit: neither an optimum nor any sequence of swaps
  // takes such a label, and one forbidding cost must not cost all others their precision.
  const double limit = pair > 0 ? 4.0 * (labels + 1) * pair : HUGE_VAL;
  // An item is a strip of cells rather than one, so that the CPU's loops vectorise whatever the
  // number of labels.
  const auto cheapest = [=](int first, int count, double* least) {
    for (int k = 0; k < count; ++k) least[k] = in.unary[first + k];
    for (int l = 1; l < labels; ++l) {
      const double* const costs = in.unary + l * in.plane + first;
      for (int k = 0; k < count; ++k) least[k] = Least()(least[k], costs[k]);
    }
  };
  const double top = team.reduce(
      strips, 0.0,
      [=](int s) {
        const int first = s * kWide, count = Least()(kWide, n - first);
        double least[kWide], most[kWide];
        cheapest(first, count, least);
        for (int k = 0; k < count; ++k) most[k] = 0;
        for (int l = 0; l < labels; ++l) {
          const double* const costs = in.unary + l * in.plane + first;
          for (int k = 0; k < count; ++k) most[k] = Most()(most[k], costs[k] - least[k]);
        }
        double all = 0;
        for (int k = 0; k < count; ++k) all = Most()(all, most[k]);
        return all;
      },
      Most());
  const double sum = n * Least()(top, limit) + out.shape.edges() * pair;
  const double scale = sample_scale(sum, integers);
  // Where all pairs of labels cost 0, weights don't enter the scale and might overflow.
  const double edge_scale = pair > 0 ? scale : 0;
  team.for_each(strips, [=](int s) {
    const int first = s * kWide, count = Least()(kWide, n - first);
    double least[kWide];
    cheapest(first, count, least);
    for (int l = 0; l < labels; ++l) {
      const double* const costs = in.unary + l * in.plane + first;
      int32_t* const to = out.unary + l * out.plane + first;
      for (int k = 0; k < count; ++k) {
        to[k] = round_to_int(Least()(limit, costs[k] - least[k]) * scale);
      }
    }
    const double *const down = in.edges.down + first, *const right = in.edges.right + first;
    for (int k = 0; k < count; ++k) {
      out.down[first + k] = round_to_int(down[k] * unit * edge_scale);
      out.right[first + k] = round_to_int(right[k] * unit * edge_scale);
    }
  });
  return within_bound(sum, integers);
}

// Makes the integers of a minimum cut. Returns whether the capacities are within their bound.
template <typename Team>
PUZZLEMIX_HD bool round_cut(Team& team, const GivenCut& given, GridShape shape, bool integers,
                            const IntegerCut& into) {
  const GivenCut in = given;
  const IntegerCut out = into;
  const int n = shape.cells();
  const double edge = in.edges.largest(team, n);
  // Every cut pays the smaller of a cell's terminals, so it is taken off both. If what is left of
  // the other exceeds the cell's four edges, it decides the cell, however large it is: so it is cut
  // down to this limit, lest one forbidding capacity cost all others their precision.
  const double limit = edge > 0 ? 8 * edge : HUGE_VAL;
  const double top =
      team.reduce(n, 0.0, [=](int i) { return std::abs(in.source[i] - in.sink[i]); }, Most());
  const double sum = n * Least()(top, limit) + shape.edges() * edge;
  const double scale = sample_scale(sum, integers);
  team.for_each(n, [=](int i) {
    const double excess = in.source[i] - in.sink[i];
    out.excess[i] = round_to_int(Least()(Most()(excess, -limit), limit) * scale);
    out.down[i] = round_to_int(in.edges.down[i] * scale);
    out.right[i] = round_to_int(in.edges.right[i] * scale);
  });
  return within_bound(sum, integers);
}

// Gives each cell its cheapest label, the lowest on a tie: the first whose cost is 0.
template <typename Team>
PUZZLEMIX_HD void start_from_cheapest(Team& team, const IntegerLabeling& sample, int32_t* label) {
  constexpr int kWide = Team::kWide;
  const IntegerLabeling in = sample;
  const int n = in.shape.cells();
  team.for_each((n + kWide - 1) / kWide, [=](int s) {
    const int first = s * kWide, count = Least()(kWide, n - first);
    int32_t* const out = label + first;
    for (int l = in.labels - 1; l >= 0; --l) {
      const int32_t* const costs = in.costs_of(l) + first;
      for (int k = 0; k < count; ++k) out[k] = costs[k] == 0 ? l : out[k];
    }
  });
}

// ---- The value of an answer, in the caller's own costs ------------------------------------------

// The energy of a labelling.
template <typename Team, typename Label>
PUZZLEMIX_HD double labeling_energy(Team& team, const GivenLabeling& given, GridShape shape,
                                    const LabelCost* cost, const Label* label) {
  const GivenLabeling in = given;
  const int labels = cost->labels;
  // Where labels are unchecked, as on CUDA, one out of range counts as the nearest label.
  const auto known = [=](int i) {
    const Label l = label[i];
    return static_cast<int>(Team::kChecked || (l >= 0 && l < labels) ? l : l < 0 ? 0 : labels - 1);
  };
  return team.add(shape.cells(), [=](int i) {
    const double* const pair = cost->given + known(i) * labels;
    double sum = in.unary[known(i) * in.plane + i];
    if (in.edges.down[i] != 0) sum += in.edges.down[i] * pair[known(i + shape.width)];
    if (in.edges.right[i] != 0) sum += in.edges.right[i] * pair[known(i + 1)];
    return sum;
  });
}

// The capacity of the cut whose sink side is side(i).
template <typename Team, typename Side>
PUZZLEMIX_HD double cut_capacity(Team& team, const GivenCut& given, GridShape shape, Side side) {
  const GivenCut in = given;
  return team.add(shape.cells(), [=](int i) {
    const bool mine = side(i);
    double sum = mine ? in.source[i] : in.sink[i];
    if (in.edges.down[i] != 0 && side(i + shape.width) != mine) sum += in.edges.down[i];
    if (in.edges.right[i] != 0 && side(i + 1) != mine) sum += in.edges.right[i];
    return sum;
  });
}

}  // namespace puzzlemix
