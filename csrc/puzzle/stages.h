// The stages of a plan, from pixels to costs and from labels to the terms of the objective, written
// once for every team (team.h). docs/mathematics/order.md has the same formulas with the order of
// every addition.
#pragma once

#include <cfloat>
#include <cmath>

#include "element.h"
#include "graphcut/integers.h"
#include "puzzle/logarithm.h"
#include "puzzle/puzzle.h"
#include "team.h"

namespace puzzlemix {

// ---- Sizes --------------------------------------------------------------------------------------

PUZZLEMIX_HD constexpr int largest_divisor(int size, int limit) {
  for (int d = size < limit ? size : limit; d > 1; --d) {
    if (size % d == 0) return d;
  }
  return 1;
}

// A problem with what follows from its sizes and weights.
struct PuzzleCall : PuzzleProblem {
  explicit PuzzleCall(const PuzzleProblem& problem)
      : PuzzleProblem(problem),
        window_rows(largest_divisor(rows / height, neighborhood)),
        window_columns(largest_divisor(columns / width, neighborhood)),
        cell_rows(rows / window_rows),
        cell_columns(columns / window_columns),
        block_rows(cell_rows / height),
        block_columns(cell_columns / width),
        tall(fine_height / height),
        wide(fine_width / width),
        smoothness(beta / (16 * std::sqrt(static_cast<double>(height * width)))),
        weigh(smoothness * gamma / 2) {}

  PUZZLEMIX_HD GridShape shape() const { return GridShape(height, width); }
  PUZZLEMIX_HD int cells() const { return height * width; }
  PUZZLEMIX_HD int fine_cells() const { return fine_height * fine_width; }
  PUZZLEMIX_HD int plane_of_cells() const { return cell_rows * cell_columns; }
  PUZZLEMIX_HD int image_cells() const { return channels * plane_of_cells(); }

  // Only windows on the boundaries of the cut's blocks count, unless blocks of a finer grid move.
  PUZZLEMIX_HD bool boundaries_only() const {
    return transport == Transport::none || (tall == 1 && wide == 1);
  }

  // Whether blocks that move are whole numbers of windows. Else windows are taken anew from the
  // pixels once blocks have moved.
  PUZZLEMIX_HD bool moves_windows() const {
    return cell_rows % fine_height == 0 && cell_columns % fine_width == 0;
  }
  PUZZLEMIX_HD bool rereads_pixels() const { return !boundaries_only() && !moves_windows(); }

  // The second image of pair b. An index out of range, which nobody has looked for on CUDA, counts
  // as another image.
  PUZZLEMIX_HD int64_t partner_of(int64_t b) const {
    const int64_t index = partner ? partner[b] : b;
    return index >= 0 && index < others ? index : b < others ? b : 0;
  }

  int window_rows, window_columns;  // pixels of a window
  int cell_rows, cell_columns;      // windows ("cells") of an image
  int block_rows, block_columns;    // windows of a block of the cut
  int tall, wide;                   // blocks of the transport in a block of the cut
  double smoothness;                // the factor of (z_i - z_j)^2
  double weigh;                     // the factor of phi without its half
};

// ---- The sum over a rectangle -------------------------------------------------------------------

// The second half of the sum over a rectangle: column sums `step` numbers apart, the even ones and
// the odd ones each from the left.
PUZZLEMIX_HD inline double add_columns(const double* sums, int count, int step = 1) {
  double even = sums[0];
  if (count == 1) return even;
  double odd = sums[step];
  int x = 2;
  for (; x + 1 < count; x += 2) {
    even += sums[x * step];
    odd += sums[(x + 1) * step];
  }
  if (x < count) even += sums[x * step];
  return even + odd;
}

// The sum of value(y, x) over a rectangle of at most kMaxSide columns, whose sums go through
// `line`.
template <typename Team, typename Value>
PUZZLEMIX_HD double rectangle_sum(Team& team, int rows, int columns, double* line, Value value) {
  team.step(columns, [=](int x) {
    double sum = value(0, x);
    for (int y = 1; y < rows; ++y) sum += value(y, x);
    line[x] = sum;
  });
  return add_columns(line, columns);
}

// ---- Pooling ------------------------------------------------------------------------------------

// Calls f with a number as a constant where it is a usual one, else with 0.
template <typename F>
PUZZLEMIX_HD auto with_constant(int number, const F& f) {
  switch (number) {
    case 1:
      return f(std::integral_constant<int, 1>());
    case 2:
      return f(std::integral_constant<int, 2>());
    case 4:
      return f(std::integral_constant<int, 4>());
    default:
      return f(std::integral_constant<int, 0>());
  }
}

// Adds `rows` rows of `length` numbers up into `line`. Returns whether one of them is forbidden:
// not finite or, of capacities, negative.
template <bool kCapacities, typename Team, typename Elements>
PUZZLEMIX_HD bool add_rows(Team& team, const Elements& elements, int64_t stride, int rows,
                           int length, double* line) {
  constexpr int kStrip = 8;  // columns of an item: a vector of loads
  const Elements in = elements;
  return with_constant(rows, [&](auto known) {
    constexpr int kRows = known;
    return team.any((length + kStrip - 1) / kStrip, [=](int s) {
      const int first = s * kStrip, count = Least()(kStrip, length - first);
      const int all = kRows > 0 ? kRows : rows;
      double sum[kStrip] = {};
      int wrong = 0;
      const auto add = [&](int64_t at) {
        const double x = kCapacities ? accepted_capacity<Team>(in[at]) : accepted<Team>(in[at]);
        if (kCapacities) wrong |= !(x >= 0);
        return x;
      };
      if (count == kStrip) {
        PUZZLEMIX_UNROLL
        for (int k = 0; k < kStrip; ++k) sum[k] = add(first + k);
        for (int r = 1; r < all; ++r) {
          PUZZLEMIX_UNROLL
          for (int k = 0; k < kStrip; ++k) sum[k] += add(r * stride + first + k);
        }
        PUZZLEMIX_UNROLL
        for (int k = 0; k < kStrip; ++k) line[first + k] = sum[k];
        if (Team::kChecked) {
          for (int k = 0; k < kStrip; ++k) wrong |= !(std::abs(sum[k]) <= DBL_MAX);
        }
        return wrong != 0;
      }
      for (int k = 0; k < count; ++k) {
        double column = add(first + k);
        for (int r = 1; r < all; ++r) column += add(r * stride + first + k);
        line[first + k] = column;
        wrong |= !(column - column == 0);
      }
      return wrong != 0;
    });
  });
}

// Which image of a call: its number among the first or the second ones.
struct ImageOf {
  int side;  // 0: x1, 1: x2
  int64_t index;
};

// The rows of one window in one plane of an image: of one channel, or of all where they lie side by
// side. Writes the windows to `cells` [C, Y', X'] of the image. Returns whether a pixel is
// forbidden.
template <typename Team>
PUZZLEMIX_HD bool pool_stripe(Team& team, const PuzzleCall& call, const ImageOf& image, int channel,
                              int stripe, double* line, double* cells) {
  const bool last = call.channels_last;
  const int step = last ? call.channels : 1, length = call.columns * step;
  const int64_t pixels = int64_t{call.channels} * call.rows * call.columns;
  const int64_t first = image.index * pixels +
                        (last ? 0 : int64_t{channel} * call.rows * call.columns) +
                        int64_t{stripe} * call.window_rows * length;
  bool wrong = false;
  with_elements<Team>(image.side == 0 ? call.x1 : call.x2, first, [&](const auto& pixel) {
    wrong = add_rows<false>(team, pixel, length, call.window_rows, length, line);
  });
  const int above = stripe % call.block_rows, blocks = call.block_columns;
  const bool boundary = above == 0 || above == call.block_rows - 1;
  // Of a block's row of windows, the first and the last one or all.
  const bool all = boundary || blocks <= 2 || !call.boundaries_only();
  const int count = all ? call.cell_columns : 2 * call.width;
  const int plane = call.plane_of_cells(), std_count = call.std_count;
  const Array std = call.std;
  double* const out = cells + stripe * call.cell_columns;
  with_constant(call.window_columns, [&](auto known) {
    constexpr int kColumns = known;
    const int columns = call.window_columns;
    for (int c = last ? 0 : channel; c < (last ? call.channels : channel + 1); ++c) {
      const double factor = std_count == 0 ? 1.0 : element(std, std_count == 1 ? 0 : c);
      const int at = last ? c : 0;
      team.step(count, [=](int i) {
        const int k = all ? i : i / 2 * blocks + i % 2 * (blocks - 1);
        const int wide = kColumns > 0 ? kColumns : columns;
        const double sum = add_columns(line + k * wide * step + at, wide, step);
        out[c * plane + k] = std_count == 0 ? sum : sum * factor;
      });
    }
  });
  return wrong;
}

// One row of blocks of a saliency map, of the transport's grid. Returns whether a value is
// forbidden.
template <typename Team>
PUZZLEMIX_HD bool pool_saliency(Team& team, const PuzzleCall& call, const ImageOf& image, int row,
                                double* line, double* sums) {
  const bool first = image.side == 0;
  const int rows = first ? call.saliency_rows1 : call.saliency_rows2;
  const int columns = first ? call.saliency_columns1 : call.saliency_columns2;
  const int tall = rows / call.fine_height, wide = columns / call.fine_width;
  const int64_t start = image.index * rows * columns + int64_t{row} * tall * columns;
  bool wrong = false;
  with_elements<Team>(first ? call.saliency1 : call.saliency2, start, [&](const auto& value) {
    wrong = add_rows<true>(team, value, columns, tall, columns, line);
  });
  double* const out = sums + row * call.fine_width;
  team.step(call.fine_width, [=](int k) { out[k] = add_columns(line + k * wide, wide); });
  return wrong;
}

// From sums to shares of the whole; returns whether their sum is finite.
template <typename Team>
PUZZLEMIX_HD bool share(Team& team, const PuzzleCall& call, const double* sums, double* line,
                        double* shares) {
  const int width = call.fine_width;
  const double total = rectangle_sum(team, call.fine_height, width, line,
                                     [=](int y, int x) { return sums[y * width + x]; });
  const double uniform = 1.0 / call.fine_cells();
  const bool some = total > 0 && total <= DBL_MAX;
  team.step(call.fine_cells(), [=](int i) { shares[i] = some ? sums[i] / total : uniform; });
  return total <= DBL_MAX;
}

// ---- What depends on lambda and the number of labels --------------------------------------------

// By label k: its value z, log of its probability, what the prior and the bend add to a cost.
struct LabelTable {
  PUZZLEMIX_HD explicit LabelTable(Arena& arena)
      : z(arena.take<double>(kMaxLabels)),
        log_p(arena.take<double>(kMaxLabels)),
        prior(arena.take<double>(kMaxLabels)),
        bow(arena.take<double>(kMaxLabels)) {}

  double *z, *log_p, *prior, *bow;
};

// m over k.
PUZZLEMIX_HD inline int binomial(int m, int k) {
  int ways = 1;
  for (int i = 1; i <= k; ++i) ways = ways * (m - k + i) / i;
  return ways;
}

template <typename Team>
PUZZLEMIX_HD void tabulate_labels(Team& team, const PuzzleCall& call, int64_t b,
                                  const LabelTable& table) {
  constexpr double kClosest = 1e-6;  // the prior takes lambda as no closer to 0 and 1
  const LabelTable out = table;
  const int m = call.labels - 1;
  const double given =
      call.lam.data ? accepted_capacity<Team>(element(call.lam, b)) : call.lam_number;
  const double lam = Least()(Most()(given, kClosest), 1 - kClosest);
  const double weight = -call.eta / call.cells();
  team.step(call.labels, [=](int k) {
    const double z = static_cast<double>(k) / m;
    const double ways = natural_log(binomial(m, k));
    const double log_p = (ways + k * natural_log(lam)) + (m - k) * natural_log(1 - lam);
    out.z[k] = z;
    out.log_p[k] = log_p;
    out.prior[k] = log_p * weight;
    out.bow[k] = z * (1 - z);
  });
}

// The integers of the label cost ((a - b)/m)^2; on the host, once a call.
inline LabelCost squared_label_cost(int labels) {
  LabelCost cost;
  cost.labels = labels;
  for (int a = 0; a < labels; ++a) {
    for (int b = 0; b < labels; ++b) {
      const double step = static_cast<double>(a - b) / (labels - 1);
      cost.given[a * labels + b] = step * step;
    }
  }
  to_integers(cost, false);
  return cost;
}

// ---- What the images show through the permutations ----------------------------------------------

// Two images of a pair as the stages below read them.
struct View {
  const double* cells[2];    // [C, Y', X']
  const double* shares[2];   // [h', w']
  const int64_t* source[2];  // [h', w'] or null: the identity
  const int32_t* shift;      // [2, h', w'], how far away each place's windows are; or null
};

// The block of image a that comes to a place; an index out of range counts as the place itself.
PUZZLEMIX_HD inline int source_of(const View& view, int a, int place, int places) {
  if (!view.source[a]) return place;
  const int64_t from = view.source[a][place];
  return from >= 0 && from < places ? static_cast<int>(from) : place;
}

template <typename Team>
PUZZLEMIX_HD void find_shifts(Team& team, const PuzzleCall& call, const View& seen,
                              int32_t* shift) {
  const View view = seen;
  const int places = call.fine_cells(), wide = call.fine_width, columns = call.cell_columns;
  const int block_rows = call.block_rows / call.tall,
            block_columns = call.block_columns / call.wide;
  team.step(2 * places, [=](int i) {
    const int a = i < places ? 0 : 1, place = i - a * places;
    const int from = source_of(view, a, place, places);
    const int down = from / wide - place / wide, right = (from - place) - down * wide;
    shift[i] = down * block_rows * columns + right * block_columns;
  });
}

// Takes all windows anew, from the pixels of an image whose blocks have moved.
template <typename Team>
PUZZLEMIX_HD void pool_moved(Team& team, const PuzzleCall& call, const ImageOf& image,
                             const int64_t* source, double* cells) {
  const PuzzleCall* const p = &call;
  const View view{{nullptr, nullptr}, {nullptr, nullptr}, {source, nullptr}, nullptr};
  team.step(call.image_cells(), [=](int i) {
    const int plane = p->plane_of_cells(), c = i / plane, cell = i % plane;
    const int top = cell / p->cell_columns * p->window_rows;
    const int left = cell % p->cell_columns * p->window_columns;
    const int tall = p->rows / p->fine_height, wide = p->columns / p->fine_width;
    const auto pixel = [&](int y, int x) {
      const int place = y / tall * p->fine_width + x / wide;
      const int from = source_of(view, 0, place, p->fine_cells());
      const int64_t row = from / p->fine_width * tall + y % tall;
      const int64_t column = from % p->fine_width * wide + x % wide;
      const int64_t at = p->channels_last ? (row * p->columns + column) * p->channels + c
                                          : (c * int64_t{p->rows} + row) * p->columns + column;
      const int64_t first = image.index * p->channels * p->rows * p->columns;
      return accepted<Team>(element(image.side == 0 ? p->x1 : p->x2, first + at));
    };
    double even = 0, odd = 0;
    for (int x = 0; x < p->window_columns; ++x) {
      double sum = pixel(top, left + x);
      for (int y = 1; y < p->window_rows; ++y) sum += pixel(top + y, left + x);
      double& columns = x % 2 == 0 ? even : odd;
      columns = x < 2 ? sum : columns + sum;
    }
    const double sum = p->window_columns == 1 ? even : even + odd;
    cells[i] = p->std_count == 0 ? sum : sum * element(p->std, p->std_count == 1 ? 0 : c);
  });
}

// The share of image a that is seen in a block of the cut.
template <typename Team>
PUZZLEMIX_HD void see_shares(Team& team, const PuzzleCall& call, const View& seen, int a,
                             double* shares) {
  const View view = seen;
  const int tall = call.tall, wide = call.wide, fine_width = call.fine_width;
  const int places = call.fine_cells();
  team.step(call.height, call.width, [=](int y, int x) {
    double even = 0, odd = 0;
    for (int j = 0; j < wide; ++j) {
      const int top = y * tall * fine_width + x * wide + j;
      double sum = view.shares[a][source_of(view, a, top, places)];
      for (int i = 1; i < tall; ++i) {
        sum += view.shares[a][source_of(view, a, top + i * fine_width, places)];
      }
      double& columns = j % 2 == 0 ? even : odd;
      columns = j < 2 ? sum : columns + sum;
    }
    shares[y * (fine_width / wide) + x] = wide == 1 ? even : even + odd;
  });
}

// ---- Distances across edges ---------------------------------------------------------------------

// phi = base + ((first z_i + second z_j) + weight * mixed) / 2, edge by edge: in planes, each edge
// at its upper or left cell, 0 over the border and for a row before the first cell.
struct EdgePlanes {
  PUZZLEMIX_HD EdgePlanes(Arena& arena, int width, int plane)
      : base(arena.take<double>(width + plane) + width),
        first(arena.take<double>(width + plane) + width),
        second(arena.take<double>(width + plane) + width),
        weight(arena.take<double>(width + plane) + width) {}

  PUZZLEMIX_HD void set(int i, double d11, double d12, double d21, double d22) const {
    const double along = d11 - d22, across = d12 - d21;
    base[i] = d22;
    first[i] = along + across;
    second[i] = along - across;
    weight[i] = ((d12 + d21) - d11) - d22;
  }
  PUZZLEMIX_HD void clear(int i) const { base[i] = first[i] = second[i] = weight[i] = 0; }

  double *base, *first, *second, *weight;
};

// The strips on either side of some edges in a row: windows `along` apart, the other side `over`
// away, the next edge `next` away.
struct Strips {
  int start, along, over, next;
  int length, run;  // windows, and those of them that move together
  int place, along_places, over_places, next_places;  // the same in the transport's grid
};

// The distances across kCount edges in a row.
template <int kCount, int kNext, bool kMoved>
PUZZLEMIX_HD void measure_edges(const PuzzleCall& call, const View& view, const Strips& strips,
                                const EdgePlanes& out, int edge) {
  const int next = kNext > 0 ? kNext : strips.next, plane = call.plane_of_cells();
  const int places = call.fine_cells();
  double d[4][kCount] = {};
  for (int s = 0; s < strips.length; ++s) {
    const double *i1[kCount], *j1[kCount], *i2[kCount], *j2[kCount];
    PUZZLEMIX_UNROLL
    for (int k = 0; k < kCount; ++k) {
      const int at = strips.start + s * strips.along + k * next;
      i1[k] = view.cells[0] + at;
      i2[k] = view.cells[1] + at;
      j1[k] = i1[k] + strips.over;
      j2[k] = i2[k] + strips.over;
      if (kMoved) {
        const int here =
            strips.place + s / strips.run * strips.along_places + k * strips.next_places;
        const int there = here + strips.over_places;
        i1[k] += view.shift[here];
        j1[k] += view.shift[there];
        i2[k] += view.shift[places + here];
        j2[k] += view.shift[places + there];
      }
    }
    double e[4][kCount] = {};
    for (int c = 0; c < call.channels; ++c) {
      const int at = c * plane;
      PUZZLEMIX_UNROLL
      for (int k = 0; k < kCount; ++k) {
        const double a1 = i1[k][at], b1 = j1[k][at], a2 = i2[k][at], b2 = j2[k][at];
        e[0][k] += fabs(a1 - b1);
        e[1][k] += fabs(a1 - b2);
        e[2][k] += fabs(a2 - b1);
        e[3][k] += fabs(a2 - b2);
      }
    }
    PUZZLEMIX_UNROLL
    for (int k = 0; k < kCount; ++k) {
      PUZZLEMIX_UNROLL
      for (int q = 0; q < 4; ++q) d[q][k] += e[q][k];
    }
  }
  const double count =
      static_cast<double>(call.channels) * strips.length * call.window_rows * call.window_columns;
  PUZZLEMIX_UNROLL
  for (int k = 0; k < kCount; ++k) {
    PUZZLEMIX_UNROLL
    for (int q = 0; q < 4; ++q) {
      const double distance = d[q][k] / count;
      d[q][k] = distance <= DBL_MAX ? distance : 0;
    }
    out.set(edge + k, d[0][k], d[1][k], d[2][k], d[3][k]);
  }
}

template <int kCount>
PUZZLEMIX_HD void measure_edges(const PuzzleCall& call, const View& view, const Strips& strips,
                                const EdgePlanes& out, int edge) {
  if (view.shift) return measure_edges<kCount, 0, true>(call, view, strips, out, edge);
  if (strips.next == 1) return measure_edges<kCount, 1, false>(call, view, strips, out, edge);
  measure_edges<kCount, 0, false>(call, view, strips, out, edge);
}

// Measures `count` edges from the cells (y, x) on, down or to the right.
template <typename Team>
PUZZLEMIX_HD void measure_row(const PuzzleCall& call, const View& view, bool down, int y, int x,
                              int count, const EdgePlanes& out) {
  const int rows = call.block_rows, columns = call.block_columns, wide = call.cell_columns;
  const int fine = call.fine_width;
  Strips strips = down ? Strips{((y + 1) * rows - 1) * wide + x * columns,
                                1,
                                wide,
                                columns,
                                columns,
                                Most()(columns / call.wide, 1),
                                ((y + 1) * call.tall - 1) * fine + x * call.wide,
                                1,
                                fine,
                                call.wide}
                       : Strips{y * rows * wide + (x + 1) * columns - 1,
                                wide,
                                1,
                                columns,
                                rows,
                                Most()(rows / call.tall, 1),
                                y * call.tall * fine + (x + 1) * call.wide - 1,
                                fine,
                                1,
                                call.wide};
  const int edge = y * call.width + x;
  if (count == Team::kWide) return measure_edges<Team::kWide>(call, view, strips, out, edge);
  for (int k = 0; k < count; ++k) {
    measure_edges<1>(call, view, strips, out, edge + k);
    strips.start += strips.next;
    strips.place += strips.next_places;
  }
}

// Fills the planes of both axes.
template <typename Team>
PUZZLEMIX_HD void measure(Team& team, const PuzzleCall& call, const View& seen,
                          const EdgePlanes& down_planes, const EdgePlanes& right_planes) {
  constexpr int kWide = Team::kWide;
  const PuzzleCall* const p = &call;
  const View view = seen;
  const EdgePlanes down = down_planes, right = right_planes;
  const int height = call.height, width = call.width;
  team.step(height + 1, (width + kWide - 1) / kWide, [=](int line, int strip) {
    const int y = line - 1, x = strip * kWide, count = Least()(kWide, width - x);
    if (line == 0) {  // the row before the first cell
      for (int k = x - width; k < x - width + count; ++k) {
        down.clear(k);
        right.clear(k);
      }
      return;
    }
    const int i = y * width + x, edges = Least()(count, width - 1 - x);
    if (y + 1 < height) {
      measure_row<Team>(*p, view, true, y, x, count, down);
    } else {
      for (int k = 0; k < count; ++k) down.clear(i + k);
    }
    measure_row<Team>(*p, view, false, y, x, edges, right);
    if (edges < count) right.clear(i + edges);
  });
}

// ---- Costs --------------------------------------------------------------------------------------

// What both smoothness terms make of (z_i - z_j)^2; the solvers see no negative weight.
PUZZLEMIX_HD inline double edge_weight(const PuzzleCall& call, double weight) {
  return Most()(weight * call.weigh + call.smoothness, 0.0);
}

// The labelling problem that remains when the permutations are fixed. shares: [2][h, w], as seen.
template <typename Team>
PUZZLEMIX_HD void write_costs(Team& team, const PuzzleCall& call, const double* shares1,
                              const double* shares2, const EdgePlanes& down_planes,
                              const EdgePlanes& right_planes, const LabelTable& labels,
                              const GivenLabeling& into) {
  constexpr int kWide = Team::kWide;
  const EdgePlanes down = down_planes, right = right_planes;
  const LabelTable table = labels;
  const GivenLabeling out = into;
  const int n = call.cells(), width = call.width, count = call.labels;
  const double weigh = call.weigh, smoothness = call.smoothness;
  const bool bilinear = call.bilinear;
  const GridShape shape = call.shape();
  team.step((n + kWide - 1) / kWide, [=](int s) {
    const int first = s * kWide;
    double slope[kWide], bend[kWide], below[kWide], beside[kWide];
    const auto cell = [&](int k) {
      const int i = first + k;
      const double rise =
          ((down.first[i] + down.second[i - width]) + right.first[i]) + right.second[i - 1];
      slope[k] = rise * weigh + (shares2[i] - shares1[i]);
      const double bow =
          ((down.weight[i] + down.weight[i - width]) + right.weight[i]) + right.weight[i - 1];
      bend[k] = bilinear ? bow * weigh : 0;
      below[k] = Most()(down.weight[i] * weigh + smoothness, 0.0);
      beside[k] = Most()(right.weight[i] * weigh + smoothness, 0.0);
    };
    const auto write = [&](int k, double z, double prior, double bow, double* costs) {
      costs[first + k] = (slope[k] * z + prior) + bend[k] * bow;
    };
    const int wide = Least()(kWide, n - first);
    if (wide == kWide) {
      PUZZLEMIX_UNROLL
      for (int k = 0; k < kWide; ++k) cell(k);
      for (int l = 0; l < count; ++l) {
        const double z = table.z[l], prior = table.prior[l], bow = table.bow[l];
        double* const costs = out.unary + l * out.plane;
        PUZZLEMIX_UNROLL
        for (int k = 0; k < kWide; ++k) write(k, z, prior, bow, costs);
      }
    } else {
      for (int k = 0; k < wide; ++k) {
        cell(k);
        for (int l = 0; l < count; ++l) {
          write(k, table.z[l], table.prior[l], table.bow[l], out.unary + l * out.plane);
        }
      }
    }
    for (int k = 0; k < wide; ++k) {
      out.edges.down[first + k] = shape.last_row(first + k) ? 0 : below[k];
      out.edges.right[first + k] = beside[k];
    }
  });
  team.step(call.height, [=](int y) { out.edges.right[y * width + width - 1] = 0; });
}

// ---- The objective ------------------------------------------------------------------------------

// The sum of all squared distances by which blocks move.
template <typename Team>
PUZZLEMIX_HD double squared_moves(Team& team, const PuzzleCall& call, const int64_t* source1,
                                  const int64_t* source2) {
  if (!source1) return 0;
  const int places = call.fine_cells(), width = call.fine_width;
  const View view{{nullptr, nullptr}, {nullptr, nullptr}, {source1, source2}, nullptr};
  return static_cast<double>(team.reduce(
      2 * places, int64_t{0},
      [=](int i) {
        const int a = i < places ? 0 : 1, place = i - a * places;
        const int from = source_of(view, a, place, places);
        if (from == place) return int64_t{0};
        const int down = from / width - place / width, right = (from - place) - down * width;
        return int64_t{down} * down + int64_t{right} * right;
      },
      Sum()));
}

// The objective of a labelling with its permutations; distances and shares as they are seen through
// these. `lines` has room for 4 times kMaxSide sums.
template <typename Team>
PUZZLEMIX_HD double objective(Team& team, const PuzzleCall& call, const double* shares1,
                              const double* shares2, const EdgePlanes& down_planes,
                              const EdgePlanes& right_planes, const LabelTable& labels,
                              const int32_t* label, const int64_t* source1, const int64_t* source2,
                              double* lines) {
  const EdgePlanes down = down_planes, right = right_planes;
  const LabelTable table = labels;
  const int height = call.height, width = call.width;
  const bool bilinear = call.bilinear;
  team.step(width, [=](int x) {
    double saliency = 0, rises = 0, touching = 0, prior = 0;
    for (int y = 0; y < height; ++y) {
      const int i = y * width + x;
      const double z = table.z[label[i]], s1 = shares1[i], s2 = shares2[i];
      const auto rise = [&](int j) { return (z - table.z[label[j]]) * (z - table.z[label[j]]); };
      const auto phi = [&](const EdgePlanes& edges, int j) {
        const double other = table.z[label[j]];
        const double mixed = bilinear ? (z + other) - 2 * z * other : rise(j);
        return edges.base[i] +
               ((edges.first[i] * z + edges.second[i] * other) + edges.weight[i] * mixed) / 2;
      };
      const bool below = y + 1 < height, beside = x + 1 < width;
      saliency += s2 + z * (s1 - s2);
      rises += (below ? rise(i + width) : 0) + (beside ? rise(i + 1) : 0);
      touching += (below ? phi(down, i + width) : 0) + (beside ? phi(right, i + 1) : 0);
      prior += table.log_p[label[i]];
    }
    lines[x] = saliency;
    lines[kMaxSide + x] = rises;
    lines[2 * kMaxSide + x] = touching;
    lines[3 * kMaxSide + x] = prior;
  });
  const double squared = squared_moves(team, call, source1, source2);
  const int longest = Most()(call.fine_height, call.fine_width) - 1;
  const double far = static_cast<double>(longest) * longest;
  const double transport = longest > 0 ? squared * (call.xi / far) : 0;
  const double saliency = -add_columns(lines, width);
  const double smooth = add_columns(lines + kMaxSide, width) * call.smoothness;
  const double data = add_columns(lines + 2 * kMaxSide, width) * (call.smoothness * call.gamma);
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
    team.step(n, [=](int i) {
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
