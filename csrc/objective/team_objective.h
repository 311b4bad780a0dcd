// The costs and the terms of one pair of images as a device algorithm (see team_run.h), which the
// CPU runs too.
//
// An item is an edge: it reads the two strips on which its blocks touch, of both images, once, and
// makes all four distances of them. That is 2 S C windows for blocks S windows wide; no strip, no
// moved image and no distance is ever stored.
#pragma once

#include <cmath>

#include "objective/objective.h"
#include "team.h"

namespace puzzlemix {

class TeamPair {
 public:
  using Problem = PairProblem;

  // phi = base + (first z_i + second z_j + weight (z_i + z_j - 2 z_i z_j)) / 2, edge by edge.
  struct Phi {
    double base, first, second, weight;
  };
  struct Work {
    Phi* phi;
    int32_t* shift;  // [2, h', w']: how far away in its plane each place's block comes from
    double* z;       // [h, w], of a labelling
  };

  PUZZLEMIX_HD static Work layout(Arena& arena, const Problem& p) {
    const int places = 2 * p.fine_height * p.fine_width;
    return {arena.take<Phi>(edge_count(p)), arena.take<int32_t>(reads_through(p) ? places : 0),
            arena.take<double>(p.label ? p.height * p.width : 0)};
  }
  static int items(const Problem& p) { return edge_count(p) > 0 ? edge_count(p) : 1; }

  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const Problem& problem, int64_t b) {
    if (problem.cells[0].dtype == Dtype::float64) {
      solve_typed<double>(team, work, problem, b);
    } else {
      solve_typed<float>(team, work, problem, b);
    }
  }

 private:
  PUZZLEMIX_HD static int vertical_count(const Problem& p) { return (p.height - 1) * p.width; }
  PUZZLEMIX_HD static int edge_count(const Problem& p) {
    return vertical_count(p) + p.height * (p.width - 1);
  }

  // Whether the cells are read through the permutations.
  PUZZLEMIX_HD static bool reads_through(const Problem& p) { return p.sources && !p.moved; }

  template <typename T, typename Team>
  PUZZLEMIX_HD static void solve_typed(Team& team, const Work& work, const Problem& problem,
                                       int64_t b) {
    Phi* const phi = work.phi;
    int32_t* const shift = work.shift;
    const Pair<T> pair(problem, b, reads_through(problem) ? shift : nullptr);
    if (reads_through(problem)) {
      const int places = pair.fine_cells();
      team.step(2 * places, [=](int k) {
        const int image = k < places ? 0 : 1;
        shift[k] = pair.shift_of(image, k - image * places);
      });
    }
    team.step(edge_count(problem), [=](int e) { phi[e] = pair.phi(e); });
    if (problem.label) {
      write_terms(team, pair, work, problem, b);
    } else {
      write_costs(team, pair, phi, problem, b);
    }
  }

  // One pair of images, read through the permutations.
  template <typename T>
  struct Pair {
    PUZZLEMIX_HD Pair(const Problem& p, int64_t b, const int32_t* shift)
        : shift(shift),
          shares(p.shares + 2 * b * p.fine_height * p.fine_width),
          sources(p.sources ? p.sources + 2 * b * p.fine_height * p.fine_width : nullptr),
          channels(p.channels),
          rows(p.rows),
          columns(p.columns),
          height(p.height),
          width(p.width),
          fine_height(p.fine_height),
          fine_width(p.fine_width),
          block_rows(p.rows / p.height),
          block_columns(p.columns / p.width),
          tall(p.fine_height / p.height),
          wide(p.fine_width / p.width) {
      const int64_t size = int64_t{channels} * rows * columns;
      int64_t second = p.partner ? p.partner[b] : b;
      if (second < 0 || second >= p.images) second = b < p.images ? b : 0;
      first_cells = static_cast<const T*>(p.cells[0].data) + b * size;
      second_cells = static_cast<const T*>(p.cells[1].data) + second * size;
    }

    PUZZLEMIX_HD int fine_cells() const { return fine_height * fine_width; }

    // The block of image a that comes to a place of the fine grid. An index out of range, which
    // nobody has looked for on CUDA, counts as the place itself.
    PUZZLEMIX_HD int source(int a, int place) const {
      if (!sources) return place;
      const int64_t from = sources[a * fine_cells() + place];
      return from >= 0 && from < fine_cells() ? static_cast<int>(from) : place;
    }

    // How far away in its plane the block comes from that image a shows at a place.
    PUZZLEMIX_HD int shift_of(int a, int place) const {
      const int from = source(a, place);
      if (from == place) return 0;  // most of them, and divisions take long
      const int down = from / fine_width - place / fine_width;
      const int right = (from - place) - down * fine_width;
      return down * (block_rows / tall) * columns + right * (block_columns / wide);
    }

    // The distances of the strips on either side of edge e. Where blocks have moved, a strip is
    // read in runs, one for each block of the fine grid along it.
    PUZZLEMIX_HD Phi phi(int e) const {
      const int verticals = (height - 1) * width;
      const bool vertical = e < verticals;
      const int k = vertical ? e : e - verticals, across = vertical ? width : width - 1;
      const int row = k / across, column = k - row * across;
      // The first cell of the upper or left strip, and from a cell to the next one along it and to
      // the one on the other side.
      const int first = vertical ? ((row + 1) * block_rows - 1) * columns + column * block_columns
                                 : row * block_rows * columns + (column + 1) * block_columns - 1;
      const int along = vertical ? 1 : columns, over = vertical ? columns : 1;
      const int length = vertical ? block_columns : block_rows;
      // The same in places of the fine grid.
      const int first_place = vertical ? ((row + 1) * tall - 1) * fine_width + column * wide
                                       : row * tall * fine_width + (column + 1) * wide - 1;
      const int along_places = vertical ? 1 : fine_width, over_places = vertical ? fine_width : 1;
      const int runs = !shift ? 1 : vertical ? wide : tall, run = !shift ? length : length / runs;
      const int plane = rows * columns;
      double d11 = 0, d12 = 0, d21 = 0, d22 = 0;
      for (int r = 0; r < runs; ++r) {
        const int at = first + r * run * along, place = first_place + r * along_places;
        const T *i1 = first_cells + at, *j1 = i1 + over;
        const T *i2 = second_cells + at, *j2 = i2 + over;
        if (shift) {
          i1 += shift[place];
          j1 += shift[place + over_places];
          i2 += shift[fine_cells() + place];
          j2 += shift[fine_cells() + place + over_places];
        }
        for (int c = 0; c < channels; ++c) {
          for (int s = 0; s < run; ++s) {
            const int cell = c * plane + s * along;
            d11 += distance(i1[cell], j1[cell]);
            d12 += distance(i1[cell], j2[cell]);
            d21 += distance(i2[cell], j1[cell]);
            d22 += distance(i2[cell], j2[cell]);
          }
        }
      }
      const double count = static_cast<double>(channels) * length;
      d11 /= count;
      d12 /= count;
      d21 /= count;
      d22 /= count;
      return {d22, (d11 - d22) + (d12 - d21), (d11 - d22) - (d12 - d21), d12 + d21 - d11 - d22};
    }

    PUZZLEMIX_HD static double distance(T a, T b) {
      return fabs(static_cast<double>(a) - static_cast<double>(b));
    }

    // The saliency of image a that is seen in a block of the cut.
    PUZZLEMIX_HD double share(int a, int block) const {
      if (tall * wide == 1) return shares[a * fine_cells() + source(a, block)];
      const int top = block / width * tall, left = block % width * wide;
      double sum = 0;
      for (int i = 0; i < tall; ++i) {
        for (int j = 0; j < wide; ++j) {
          const int place = (top + i) * fine_width + left + j;
          sum += shares[a * fine_cells() + source(a, place)];
        }
      }
      return sum;
    }

    const T *first_cells, *second_cells;
    const int32_t* shift;  // null where blocks are where they were
    const double* shares;
    const int64_t* sources;
    int channels, rows, columns, height, width, fine_height, fine_width;
    int block_rows, block_columns;  // of the cut's grid, in cells
    int tall, wide;                 // the same in places of the fine grid
  };

  template <typename T, typename Team>
  PUZZLEMIX_HD static void write_costs(Team& team, const Pair<T>& pair, const Phi* phi,
                                       const Problem& p, int64_t b) {
    const PairModel model = p.model;
    const int n = p.height * p.width, width = p.width, height = p.height;
    const int verticals = vertical_count(p), horizontals = height * (width - 1);
    double* const unary = p.unary + b * n * model.labels;
    double* const vertical = p.vertical + b * verticals;
    double* const horizontal = p.horizontal + b * horizontals;
    const double* const log_prior = p.log_prior + b * model.labels;
    const double weigh = model.smoothness * model.gamma / 2;
    team.step(n, [=](int i) {
      const int row = i / width, column = i % width;
      const int below = i, right = verticals + row * (width - 1) + column;  // edges
      double slope = 0, bend = 0;
      if (row + 1 < height) {
        slope += phi[below].first;
        bend += phi[below].weight;
        vertical[below] = pair_weight(model, weigh, phi[below]);
      }
      if (row > 0) {
        slope += phi[below - width].second;
        bend += phi[below - width].weight;
      }
      if (column + 1 < width) {
        slope += phi[right].first;
        bend += phi[right].weight;
        horizontal[right - verticals] = pair_weight(model, weigh, phi[right]);
      }
      if (column > 0) {
        slope += phi[right - 1].second;
        bend += phi[right - 1].weight;
      }
      slope = slope * weigh + (pair.share(1, i) - pair.share(0, i));
      bend = model.bilinear ? bend * weigh : 0;
      for (int l = 0; l < model.labels; ++l) {
        const double z = static_cast<double>(l) / (model.labels - 1);
        const double prior = log_prior[l] * (-model.eta / n);
        unary[i * model.labels + l] = slope * z + prior + bend * (z * (1 - z));
      }
    });
  }

  // What both smoothness terms make of (z_i - z_j)^2; the solvers see no negative weight.
  PUZZLEMIX_HD static double pair_weight(const PairModel& model, double weigh, const Phi& phi) {
    const double weight = phi.weight * weigh + model.smoothness;
    return weight > 0 ? weight : 0;
  }

  template <typename T, typename Team>
  PUZZLEMIX_HD static void write_terms(Team& team, const Pair<T>& pair, const Work& work,
                                       const Problem& p, int64_t b) {
    const PairModel model = p.model;
    const int n = p.height * p.width, width = p.width, verticals = vertical_count(p);
    const int64_t* const label = p.label + b * n;
    const double* const log_prior = p.log_prior + b * model.labels;
    const auto known = [=](int i) {
      const int64_t l = label[i];
      return static_cast<int>(l < 0 ? 0 : l < model.labels ? l : model.labels - 1);
    };
    const Phi* const phi = work.phi;
    double* const z = work.z;
    team.step(n, [=](int i) { z[i] = static_cast<double>(known(i)) / (model.labels - 1); });
    const double saliency = team.add(
        n, [=](int i) { return pair.share(1, i) + z[i] * (pair.share(0, i) - pair.share(1, i)); });
    const double prior = team.add(n, [=](int i) { return log_prior[known(i)]; });
    const auto ends = [=](int e) { return Ends(e, width, verticals); };
    const double rises = team.add(edge_count(p), [=](int e) {
      const Ends at = ends(e);
      const double rise = z[at.i] - z[at.j];
      return rise * rise;
    });
    const double touching = team.add(edge_count(p), [=](int e) {
      const Ends at = ends(e);
      const double z_i = z[at.i], z_j = z[at.j];
      const double mixed = model.bilinear ? z_i + z_j - 2 * z_i * z_j : (z_i - z_j) * (z_i - z_j);
      return phi[e].base + (phi[e].first * z_i + phi[e].second * z_j + phi[e].weight * mixed) / 2;
    });
    const int fine = pair.fine_cells(), fine_width = p.fine_width;
    // Small integers: their sum is exact in any order.
    const double squared = team.add(pair.sources ? 2 * fine : 0, [=](int k) {
      const int image = k < fine ? 0 : 1, to = k - image * fine, from = pair.source(image, to);
      if (from == to) return 0.0;
      const int rows = from / fine_width - to / fine_width;
      const int columns = (from - to) - rows * fine_width;
      return static_cast<double>(rows * rows + columns * columns);
    });
    const int longest = (p.fine_height > p.fine_width ? p.fine_height : p.fine_width) - 1;
    double* const out = p.terms + 6 * b;
    team.step(1, [=](int) {
      out[0] = -saliency;
      out[1] = rises * model.smoothness;
      out[2] = touching * (model.smoothness * model.gamma);
      out[3] = prior * (-model.eta / n);
      out[4] = longest > 0 ? squared * (model.xi / (static_cast<double>(longest) * longest)) : 0;
      out[5] = out[0] + out[1] + out[2] + out[3] + out[4];
    });
  }

  struct Ends {
    PUZZLEMIX_HD Ends(int e, int width, int verticals) {
      const int k = e - verticals;
      i = e < verticals ? e : k + k / (width - 1);
      j = i + (e < verticals ? width : 1);
    }
    int i, j;
  };
};

}  // namespace puzzlemix
