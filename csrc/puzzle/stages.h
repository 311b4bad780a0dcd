// The stages of a plan, from pooled images (pooling.h) to costs and from labels to the terms of the
// objective, written once for every team (team.h). docs/mathematics/order.md states each formula
// with the order of its additions, which these functions follow.
#pragma once

#include <cfloat>
#include <cmath>

#include "puzzle/call.h"
#include "puzzle/logarithm.h"

namespace puzzlemix {

// ---- Shares of saliency -------------------------------------------------------------------------

// Turns the sums of blocks into their shares of the total; equal shares if that is 0 or not finite.
template <typename Team>
PUZZLEMIX_HD void share(Team& team, const PuzzleCall& call, const double* sums, double* line,
                        double* shares) {
  const int width = call.fine_width;
  const double total = rectangle_sum(team, call.fine_height, width, line,
                                     [=](int y, int x) { return sums[y * width + x]; });
  const double uniform = 1.0 / call.fine_cells();
  const bool some = total > 0 && total <= DBL_MAX;
  team.for_each(call.fine_cells(), [=](int i) { shares[i] = some ? sums[i] / total : uniform; });
}

// ---- Tables by label ----------------------------------------------------------------------------

// By label k: its value z, the log of its probability, the prior's term in a cost, and the factor
// z (1 - z) of the bend, the term that bilinear smoothness adds.
struct LabelTable {
  PUZZLEMIX_HD explicit LabelTable(Arena& arena)
      : z(arena.take<double>(kMaxLabels)),
        log_p(arena.take<double>(kMaxLabels)),
        prior(arena.take<double>(kMaxLabels)),
        bend(arena.take<double>(kMaxLabels)) {}

  double *z, *log_p, *prior, *bend;
};

// The binomial coefficient C(m, k).
PUZZLEMIX_HD inline int binomial(int m, int k) {
  int ways = 1;
  for (int i = 1; i <= k; ++i) ways = ways * (m - k + i) / i;
  return ways;
}

template <typename Team>
PUZZLEMIX_HD void tabulate_labels(Team& team, const PuzzleCall& call, int64_t b,
                                  const LabelTable& table) {
  constexpr double kClosest = 1e-6;  // lambda is kept this far from 0 and 1
  const LabelTable out = table;
  const int m = call.labels - 1;
  const double given =
      call.lam.data ? accepted_capacity<Team>(element(call.lam, b)) : call.lam_number;
  const double lam = Least()(Most()(given, kClosest), 1 - kClosest);
  const double weight = -call.eta / call.cells();
  team.for_each(call.labels, [=](int k) {
    const double z = static_cast<double>(k) / m;
    const double ways = natural_log(binomial(m, k));
    const double log_p = (ways + k * natural_log(lam)) + (m - k) * natural_log(1 - lam);
    out.z[k] = z;
    out.log_p[k] = log_p;
    out.prior[k] = log_p * weight;
    out.bend[k] = z * (1 - z);
  });
}

// The integers of the label cost ((a - b)/m)^2, which the host makes once a call.
inline LabelCost squared_label_cost(int labels) {
  LabelCost cost;
  cost.labels = labels;
  for (int a = 0; a < labels; ++a) {
    for (int b = 0; b < labels; ++b) {
      const double apart = static_cast<double>(a - b) / (labels - 1);
      cost.given[a * labels + b] = apart * apart;
    }
  }
  to_integers(cost, false);
  return cost;
}

// ---- Images after the permutations --------------------------------------------------------------

// The two images of a pair, and the permutations through which the stages below read them.
struct View {
  const double* cells[2];    // [C, Y', X'], windows
  const double* shares[2];   // [h', w'], shares of saliency
  const int64_t* source[2];  // [h', w'], permutations; null: the identity
  const int32_t* shift;      // [2, h', w'], from find_shifts; null: windows are read where they are
};

// The block that a permutation, or null, brings to a place; an index out of range counts as the
// place itself.
PUZZLEMIX_HD inline int source_of(const int64_t* source, int place, int places) {
  if (!source) return place;
  const int64_t from = source[place];
  return from >= 0 && from < places ? static_cast<int>(from) : place;
}

// Writes, for every place of either image, the offset in the plane of windows from that place to
// the block which the permutation brings there.
template <typename Team>
PUZZLEMIX_HD void find_shifts(Team& team, const PuzzleCall& call, const View& view,
                              int32_t* shift) {
  const int64_t *const source1 = view.source[0], *const source2 = view.source[1];
  const int places = call.fine_cells(), wide = call.fine_width, columns = call.cell_columns;
  const int block_rows = call.block_rows / call.tall,
            block_columns = call.block_columns / call.wide;
  team.for_each(2 * places, [=](int i) {
    const bool first = i < places;
    const int place = first ? i : i - places;
    const int from = source_of(first ? source1 : source2, place, places);
    const int down = from / wide - place / wide, right = (from - place) - down * wide;
    shift[i] = down * block_rows * columns + right * block_columns;
  });
}

// Pools all windows of an image again, from its pixels after its blocks have moved.
template <typename Team>
PUZZLEMIX_HD void pool_moved(Team& team, const PuzzleCall& call, const ImageOf& image,
                             const int64_t* source, double* cells) {
  const PuzzleCall* const p = &call;
  team.for_each(call.image_cells(), [=](int i) {
    const int plane = p->plane_of_cells(), c = i / plane, cell = i % plane;
    const int top = cell / p->cell_columns * p->window_rows;
    const int left = cell % p->cell_columns * p->window_columns;
    const int tall = p->rows / p->fine_height, wide = p->columns / p->fine_width;
    const auto pixel = [&](int y, int x) {
      const int place = y / tall * p->fine_width + x / wide;
      const int from = source_of(source, place, p->fine_cells());
      const int64_t row = from / p->fine_width * tall + y % tall;
      const int64_t column = from % p->fine_width * wide + x % wide;
      const int64_t at = p->channels_last ? (row * p->columns + column) * p->channels + c
                                          : (c * int64_t{p->rows} + row) * p->columns + column;
      const int64_t first = image.index * p->channels * p->rows * p->columns;
      return accepted<Team>(element(image.side == 0 ? p->x1 : p->x2, first + at));
    };
    const double sum = add_columns(p->window_columns, [&](int x) {
      double down = pixel(top, left + x);
      for (int y = 1; y < p->window_rows; ++y) down += pixel(top + y, left + x);
      return down;
    });
    cells[i] = p->std_count == 0 ? sum : sum * p->std_of(c);
  });
}

// Writes the share that a permutation (null: the identity) brings to each block of the cut.
// `given`: the shares of the transport's blocks.
template <typename Team>
PUZZLEMIX_HD void permute_shares(Team& team, const PuzzleCall& call, const double* given,
                                 const int64_t* source, double* shares) {
  const int tall = call.tall, wide = call.wide, fine_width = call.fine_width;
  const int places = call.fine_cells();
  if (tall == 1 && wide == 1) {  // one block of the transport in each: nothing to add up
    if (!source) return team.for_each(places, [=](int i) { shares[i] = given[i]; });
    return team.for_each(places, [=](int i) { shares[i] = given[source_of(source, i, places)]; });
  }
  team.for_each(call.height, call.width, [=](int y, int x) {
    shares[y * (fine_width / wide) + x] = add_columns(wide, [=](int column) {
      const int top = y * tall * fine_width + x * wide + column;
      double sum = given[source_of(source, top, places)];
      for (int i = 1; i < tall; ++i) {
        sum += given[source_of(source, top + i * fine_width, places)];
      }
      return sum;
    });
  });
}

// ---- Distances across edges ---------------------------------------------------------------------

// The data smoothness of edges: phi = base + ((first z_i + second z_j) + weight * mixed) / 2. A
// plane keeps an edge at its upper or left cell; it is 0 for edges over the border, and for a row
// of cells before the first one.
struct EdgePlanes {
  PUZZLEMIX_HD EdgePlanes(Arena& arena, int width, int plane)
      : base(take(arena, width, plane)),
        first(take(arena, width, plane)),
        second(take(arena, width, plane)),
        weight(take(arena, width, plane)) {}

  // The planes as they are from cell i on.
  PUZZLEMIX_HD EdgePlanes from(int i) const {
    EdgePlanes part = *this;
    part.base += i;
    part.first += i;
    part.second += i;
    part.weight += i;
    return part;
  }
  PUZZLEMIX_HD void clear(int i) const { base[i] = first[i] = second[i] = weight[i] = 0; }

  double *base, *first, *second, *weight;

 private:
  // Null from an arena that only counts.
  PUZZLEMIX_HD static double* take(Arena& arena, int width, int plane) {
    double* const before = arena.take<double>(width + plane);
    return before ? before + width : nullptr;
  }
};

// The strips of windows on either side of some neighbouring edges, as offsets of windows: `start`
// is the first window of the first edge's near strip, `along` leads to the next window of a strip,
// `over` to the window that it touches, `next` to the strip of the next edge.
struct Strips {
  int start, along, over, next;
  int length, run;  // windows of a strip, and how many of them one block of the transport holds
  // The offsets in places of the transport's grid.
  int place, along_places, over_places, next_places;
};

// The distances d11, d12, d21 and d22 across `count` neighbouring edges, not yet divided by the
// number of pixels. kNext: strips.next as a constant, or 0. kMoved: windows are read through
// view.shift. There are kChannels channels at least, whose loads need not wait for each other.
template <int kMost, int kNext, bool kMoved, int kChannels>
PUZZLEMIX_HD void measure_strips(const PuzzleCall& call, const View& view, const Strips& strips,
                                 int count, double (&d)[4][kMost]) {
  const int next = kNext > 0 ? kNext : strips.next, places = call.fine_cells();
  // Of place s of the strips.
  const auto measure_place = [&](int s, double (&e)[4][kMost]) {
    const int place = strips.place + s / strips.run * strips.along_places;
    const int32_t* const shift = kMoved ? view.shift + place : nullptr;
    const auto add = [&](int c, auto is_first) {
      const int at = c * call.plane_of_cells() + strips.start + s * strips.along;
      const double *const first = view.cells[0] + at, *const second = view.cells[1] + at;
      for (int k = 0; k < count; ++k) {
        const double *i1 = first + k * next, *i2 = second + k * next;
        const double *j1 = i1 + strips.over, *j2 = i2 + strips.over;
        if (kMoved) {
          const int here = k * strips.next_places, there = here + strips.over_places;
          i1 += shift[here];
          j1 += shift[there];
          i2 += shift[places + here];
          j2 += shift[places + there];
        }
        const double a1 = *i1, b1 = *j1, a2 = *i2, b2 = *j2;
        const double apart[4] = {fabs(a1 - b1), fabs(a1 - b2), fabs(a2 - b1), fabs(a2 - b2)};
        PUZZLEMIX_UNROLL
        for (int q = 0; q < 4; ++q) {
          e[q][k] = decltype(is_first)::value ? apart[q] : e[q][k] + apart[q];
        }
      }
    };
    add(0, std::true_type());
    PUZZLEMIX_UNROLL
    for (int c = 1; c < kChannels; ++c) add(c, std::false_type());
    PUZZLEMIX_NO_UNROLL
    for (int c = kChannels; c < call.channels; ++c) add(c, std::false_type());
  };
  int s = 0;
  if (kMost > 1) {
    measure_place(s++, d);
  } else {  // on a device, where this code is not to stand twice
    PUZZLEMIX_UNROLL
    for (int q = 0; q < 4; ++q) d[q][0] = -0.0;  // to which adding a number gives that number
  }
  PUZZLEMIX_NO_UNROLL
  for (; s < strips.length; ++s) {
    double e[4][kMost];
    measure_place(s, e);
    PUZZLEMIX_UNROLL
    for (int q = 0; q < 4; ++q) {
      for (int k = 0; k < count; ++k) d[q][k] += e[q][k];
    }
  }
}

// Measures the edges, down or to the right, of `count` cells from (y, x) on.
template <typename Team>
PUZZLEMIX_HD void measure_row(const PuzzleCall& call, const View& view, bool down, int y, int x,
                              int count, const EdgePlanes& out) {
  constexpr int kMost = Team::kWide;
  const int rows = call.block_rows, columns = call.block_columns, line = call.cell_columns;
  const int tall = call.tall, wide = call.wide, fine = call.fine_width;
  // A multiple of the transport's block if windows are read through permutations; else unused.
  const int run = down ? columns / wide : rows / tall;
  const Strips strips =
      down ? Strips{((y + 1) * rows - 1) * line + x * columns,
                    1,
                    line,
                    columns,
                    columns,
                    Most()(run, 1),
                    ((y + 1) * tall - 1) * fine + x * wide,
                    1,
                    fine,
                    wide}
           : Strips{y * rows * line + (x + 1) * columns - 1, line, 1, columns, rows, Most()(run, 1),
                    y * tall * fine + (x + 1) * wide - 1,    fine, 1, wide};
  double d[4][kMost];
  const auto measure = [&](auto next, auto moved, auto channels) {
    measure_strips<kMost, decltype(next)::value, decltype(moved)::value, decltype(channels)::value>(
        call, view, strips, count, d);
  };
  using Zero = std::integral_constant<int, 0>;
  using One = std::integral_constant<int, 1>;
  using Three = std::integral_constant<int, 3>;
  if constexpr (kMost > 1) {  // on the CPU, where cells are side by side in vectors
    view.shift     ? measure(Zero(), std::true_type(), One())
    : columns == 1 ? measure(One(), std::false_type(), One())
                   : measure(Zero(), std::false_type(), One());
  } else if (call.channels < 3) {
    view.shift ? measure(Zero(), std::true_type(), One())
               : measure(Zero(), std::false_type(), One());
  } else {
    view.shift ? measure(Zero(), std::true_type(), Three())
               : measure(Zero(), std::false_type(), Three());
  }
  const EdgePlanes to = out.from(y * call.width + x);
  double* const __restrict base = to.base;
  double* const __restrict first = to.first;
  double* const __restrict second = to.second;
  double* const __restrict weight = to.weight;
  PUZZLEMIX_UNROLL
  for (int q = 0; q < 4; ++q) {
    for (int k = 0; k < count; ++k) d[q][k] = d[q][k] <= DBL_MAX ? d[q][k] : 0;
  }
  for (int k = 0; k < count; ++k) {
    const double d11 = d[0][k], d12 = d[1][k], d21 = d[2][k], d22 = d[3][k];
    base[k] = d22;
    first[k] = (d11 - d22) + (d12 - d21);
    second[k] = (d11 - d22) - (d12 - d21);
    weight[k] = ((d12 + d21) - d11) - d22;
  }
}

// Measures all edges, down and to the right.
template <typename Team>
PUZZLEMIX_HD void measure(Team& team, const PuzzleCall& call, const View& seen,
                          const EdgePlanes& down_planes, const EdgePlanes& right_planes) {
  constexpr int kWide = Team::kWide;
  const PuzzleCall* const p = &call;
  const View view = seen;
  const EdgePlanes down_edges = down_planes, right_edges = right_planes;
  const int height = call.height, width = call.width;
  // First the edges down, then those to the right, from the row before the first cell on.
  team.for_each(2 * (height + 1), (width + kWide - 1) / kWide, [=](int line, int strip) {
    const bool down = line <= height;
    const EdgePlanes planes = down ? down_edges : right_edges;
    const int y = (down ? line : line - height - 1) - 1;
    const int x = strip * kWide, count = cells_wide<Team>(width - x);
    const int i = y * width + x;  // negative in the row before the first cell
    const int beyond = down ? (y + 1 < height ? count : 0) : Least()(count, width - 1 - x);
    const int edges = y < 0 ? 0 : beyond;
    if (edges > 0) measure_row<Team>(*p, view, down, y, x, cells_wide<Team>(edges), planes);
    for (int k = edges; k < count; ++k) planes.clear(i + k);
  });
}

// ---- Costs --------------------------------------------------------------------------------------

// Writes the costs of the labelling problem that remains when the permutations are fixed, which
// have brought these shares [h, w] and edges. If values are unchecked, a cost that is not finite
// becomes 0.
template <typename Team>
PUZZLEMIX_HD void write_costs(Team& team, const PuzzleCall& call, const double* shares1,
                              const double* shares2, const EdgePlanes& down_planes,
                              const EdgePlanes& right_planes, const LabelTable& labels,
                              const GivenLabeling& into) {
  constexpr int kWide = Team::kWide;
  const EdgePlanes down = down_planes, right = right_planes;
  const LabelTable table = labels;
  const GivenLabeling out = into;
  const int n = call.cells(), verticals = call.shape().verticals(), width = call.width;
  const int count = call.labels;
  const double down_factor = call.weigh / call.pixels_down();
  const double right_factor = call.weigh / call.pixels_right();
  const double smoothness = call.smoothness;
  const bool bilinear = call.bilinear;
  team.for_each((n + kWide - 1) / kWide, [=](int s) {
    const int start = s * kWide, wide = cells_wide<Team>(n - start);
    const EdgePlanes d = down.from(start), r = right.from(start);
    const double *const s1 = shares1 + start, *const s2 = shares2 + start;
    double slope[kWide], bend[kWide];
    for (int k = 0; k < wide; ++k) {
      slope[k] = ((d.first[k] + d.second[k - width]) * down_factor +
                  (r.first[k] + r.second[k - 1]) * right_factor) +
                 (s2[k] - s1[k]);
    }
    for (int k = 0; k < wide; ++k) {
      bend[k] = (d.weight[k] + d.weight[k - width]) * down_factor +
                (r.weight[k] + r.weight[k - 1]) * right_factor;
    }
    for (int l = 0; l < count; ++l) {
      const double z = table.z[l], prior = table.prior[l];
      const double bend_factor = bilinear ? table.bend[l] : 0;
      double* const costs = out.unary + l * out.plane + start;
      for (int k = 0; k < wide; ++k) {
        costs[k] = accepted<Team>((slope[k] * z + prior) + bend[k] * bend_factor);
      }
    }
    // The factor of (z_i - z_j)^2 from both smoothness terms; the solvers take a negative one as 0.
    const int below = Least()(wide, verticals - start);
    double *const to_down = out.edges.down + start, *const to_right = out.edges.right + start;
    for (int k = 0; k < below; ++k)
      to_down[k] = accepted_capacity<Team>(Most()(d.weight[k] * down_factor + smoothness, 0.0));
    for (int k = Most()(below, 0); k < wide; ++k) to_down[k] = 0;
    for (int k = 0; k < wide; ++k)
      to_right[k] = accepted_capacity<Team>(Most()(r.weight[k] * right_factor + smoothness, 0.0));
  });
  team.for_each(call.height, [=](int y) { out.edges.right[y * width + width - 1] = 0; });
}

// Whether all costs are finite: pixels or weights near the largest double make them overflow.
template <typename Team>
PUZZLEMIX_HD bool finite_costs(Team& team, const PuzzleCall& call, const GivenLabeling& given) {
  const int n = call.cells();
  bool finite = all_finite(team, n, given.edges.down) && all_finite(team, n, given.edges.right);
  for (int l = 0; finite && l < call.labels; ++l) {
    finite = all_finite(team, n, given.unary + l * given.plane);
  }
  return finite;
}

// ---- The objective ------------------------------------------------------------------------------

// The objective of a labelling and of permutations: shares and edges are those that the
// permutations leave, `squared` is the sum of squared distances of their moves. `lines` has room
// for 4 * kMaxSide sums.
template <typename Team>
PUZZLEMIX_HD double objective(Team& team, const PuzzleCall& call, const double* shares1,
                              const double* shares2, const EdgePlanes& down_planes,
                              const EdgePlanes& right_planes, const LabelTable& labels,
                              const int32_t* label, int64_t squared, double* lines) {
  const EdgePlanes down = down_planes, right = right_planes;
  const LabelTable table = labels;
  const int height = call.height, width = call.width;
  const bool bilinear = call.bilinear;
  const double down_factor = call.smoothness * call.gamma / call.pixels_down();
  const double right_factor = call.smoothness * call.gamma / call.pixels_right();
  constexpr int kWide = Team::kWide;
  team.for_each((width + kWide - 1) / kWide, [=](int strip) {
    const int start = strip * kWide, count = cells_wide<Team>(width - start);
    double saliency[kWide], rises[kWide], touching[kWide], prior[kWide];
    for (int k = 0; k < count; ++k) saliency[k] = rises[k] = touching[k] = prior[k] = 0;
    // The label values of a row and of the one below, with those of the column to the right of the
    // strip. Beyond the grid they repeat the last value, so that its rise is 0, and edges are 0
    // there.
    double here[kWide + 1], below[kWide + 1];
    const auto read = [&](int y, double (&z)[kWide + 1]) {
      const int32_t* const row = label + y * width + start;
      for (int k = 0; k < count; ++k) z[k] = table.z[row[k]];
      z[count] = start + count < width ? table.z[row[count]] : z[count - 1];
    };
    read(0, below);
    for (int y = 0; y < height; ++y) {
      for (int k = 0; k <= count; ++k) here[k] = below[k];
      if (y + 1 < height) read(y + 1, below);
      const int i = y * width + start;
      const EdgePlanes d = down.from(i), r = right.from(i);
      const double *const s1 = shares1 + i, *const s2 = shares2 + i;
      const auto add = [&](int k, auto is_bilinear) {
        const double z = here[k];
        const auto phi = [&](const EdgePlanes& edges, double other, double rise) {
          const double mixed = decltype(is_bilinear)::value ? (z + other) - 2 * z * other : rise;
          return edges.base[k] +
                 ((edges.first[k] * z + edges.second[k] * other) + edges.weight[k] * mixed) / 2;
        };
        const double fall = (z - below[k]) * (z - below[k]);
        const double side = (z - here[k + 1]) * (z - here[k + 1]);
        saliency[k] += s2[k] + z * (s1[k] - s2[k]);
        rises[k] += fall + side;
        touching[k] +=
            phi(d, below[k], fall) * down_factor + phi(r, here[k + 1], side) * right_factor;
      };
      // Two loops, because one with a branch inside doesn't vectorise.
      for (int k = 0; bilinear && k < count; ++k) add(k, std::true_type());
      for (int k = 0; !bilinear && k < count; ++k) add(k, std::false_type());
      for (int k = 0; k < count; ++k) prior[k] += table.log_p[label[i + k]];
    }
    for (int k = 0; k < count; ++k) {
      lines[start + k] = saliency[k];
      lines[kMaxSide + start + k] = rises[k];
      lines[2 * kMaxSide + start + k] = touching[k];
      lines[3 * kMaxSide + start + k] = prior[k];
    }
  });
  const int longest = Most()(call.fine_height, call.fine_width) - 1;
  const double far = static_cast<double>(longest) * longest;
  const double transport = longest > 0 ? static_cast<double>(squared) * (call.xi / far) : 0;
  const double saliency = -add_columns(lines, width);
  const double smooth = add_columns(lines + kMaxSide, width) * call.smoothness;
  const double data = add_columns(lines + 2 * kMaxSide, width);
  const double prior = add_columns(lines + 3 * kMaxSide, width) * (-call.eta / call.cells());
  return (((saliency + smooth) + data) + prior) + transport;
}

// Writes mask and ratio of a labelling.
template <typename Team>
PUZZLEMIX_HD void write_mask(Team& team, const PuzzleCall& call, int64_t b, const int32_t* label) {
  const int n = call.cells(), m = call.labels - 1;
  const int sum = team.reduce(n, 0, [=](int i) { return label[i]; }, Sum());
  const auto write = [&](auto* mask, auto* ratio) {
    using Real = std::remove_pointer_t<decltype(mask)>;
    team.for_each(n, [=](int i) {
      mask[b * n + i] = static_cast<Real>(label[i]) / static_cast<Real>(m);
      if (i == 0) ratio[b] = static_cast<Real>(sum) / static_cast<Real>(m * n);
    });
  };
  if (call.doubles) {
    write(static_cast<double*>(call.mask), static_cast<double*>(call.ratio));
  } else {
    write(static_cast<float*>(call.mask), static_cast<float*>(call.ratio));
  }
}

}  // namespace puzzlemix
