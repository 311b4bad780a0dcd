// Prices for a contested block transport, from its entropic relaxation, on a CPU thread.
//
// At temperature T the least of some costs x is softened to -T log sum exp(-x / T). Prices at which
// the soft least costs of blocks and the prices of places agree are found by computing the ones
// from the others in turn (Sinkhorn's iterations: Cuturi, Sinkhorn distances: lightspeed
// computation of optimal transport, NeurIPS 2013). As T falls they approach prices that prove an
// optimum. Here the kernel exp(-D d^2 / T) is a factor for the rows times one for the columns: a
// move goes by row, then by column, and an iteration takes n (H + W) products for each weight in
// place of n^2 (Solomon et al., Convolutional Wasserstein distances, SIGGRAPH 2015). T is halved
// from one that spans the grid down to D (Schmitzer, Stabilized sparse scaling algorithms for
// entropy regularized transport problems, SIAM Journal on Scientific Computing 41, 2019), which
// squares all factors, so exponentials are taken once. Prices change half as much again as they
// ought to, which spares a third of the iterations (Thibault, Chizat, Dossal and Papadakis,
// Overrelaxed Sinkhorn-Knopp algorithm for regularized optimal transport, Algorithms 14, 2021).
//
// With minima of sums in place of sums of products, on integers, the same convolution is exact: it
// finds what the cheapest place costs each block (a distance transform: Felzenszwalb and
// Huttenlocher, Distance transforms of sampled functions, Theory of Computing 8, 2012).
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "interrupt.h"
#include "packs.h"
#include "transport/blocks.h"

namespace puzzlemix {

// Serves any number of samples of one shape.
class EntropicPrices {
 public:
  EntropicPrices(int height, int width)
      : height_(height),
        width_(width),
        stride_(padded(width)),
        reach_(padded(std::max(height, width))),
        cells_(height * stride_),
        kernel_(2 * reach_),
        block_(cells_),
        place_(cells_),
        given_(cells_),
        half_way_(cells_),
        result_(cells_) {}

  // Takes the first price of every place, alike where weights are, and leaves integers that nearly
  // prove an optimum, with every place the cheapest for some block; in `least` what the cheapest
  // place costs each block, its price included. Returns false and changes nothing if there are too
  // many different weights.
  bool improve(const Blocks& blocks, double* price, double* least) {
    if (!sort_places(blocks, price)) return false;
    const double unit = blocks.move_cost(), side = std::max(height_, width_);
    double temperature = unit;
    while (temperature < unit * side * side / 8) temperature *= 2;
    start(blocks, unit, temperature);
    while (true) {
      for (int k = 0; k < kIterations; ++k) iterate();
      if (temperature <= unit || !cool()) break;
      temperature /= 2;
    }
    for (const Level& level : levels_) {
      for (int cell : level.cells) {
        price[place_of(cell)] = round_even(level.price - temperature * std::log(place_[cell]));
      }
    }
    least_costs(blocks, blocks.move_cost(), price, least);
    lower(blocks, price, least);
    return true;
  }

  // What the cheapest place costs each block if a move by one block costs `move_cost`. For the
  // sample of the last call of improve().
  void least_costs(const Blocks& blocks, double move_cost, const double* price, double* least) {
    std::fill_n(least, height_ * width_, kInfinity);
    set_distances(move_cost);
    for (const Level& level : levels_) {
      std::fill(given_.begin(), given_.end(), kInfinity);
      for (int cell : level.cells) given_[cell] = price[place_of(cell)];
      convolve<MinPlus>();
      for_each_cell([&](int cell, int i) {
        least[i] = std::min(least[i], result_[cell] - blocks.worth_of(i, level.weight));
      });
    }
  }

 private:
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();
  static constexpr int kMostLevels = 16;
  static constexpr int kIterations = 2;                          // at a temperature
  static constexpr double kLargest = 1e140, kSmallest = 1e-140;  // their products are finite
  static constexpr double kWidest = 1e35;  // of prices: squared it leaves room for larger gains
  static constexpr int kColumns = 8;       // computed together

  // A weight.
  struct Level {
    double weight, price;  // the first price of its places
    std::vector<int> cells;
    std::vector<double> gain;  // by cell; see start()
  };

  static int padded(int columns) { return (columns + kColumns - 1) / kColumns * kColumns; }
  int place_of(int cell) const { return cell / stride_ * width_ + cell % stride_; }
  // Calls look(cell, the index of its block and place).
  template <typename Look>
  void for_each_cell(const Look& look) const {
    for (int y = 0; y < height_; ++y) {
      for (int x = 0; x < width_; ++x) look(y * stride_ + x, y * width_ + x);
    }
  }

  bool sort_places(const Blocks& blocks, const double* price) {
    levels_.clear();
    bool few = true;
    for_each_cell([&](int cell, int j) {
      const double weight = blocks.weight()[j];
      const auto has = [=](const Level& level) { return level.weight == weight; };
      auto level = std::find_if(levels_.begin(), levels_.end(), has);
      few = few && (level != levels_.end() || levels_.size() < kMostLevels);
      if (!few) return;
      if (level == levels_.end()) level = levels_.insert(level, {weight, price[j], {}, {}});
      level->cells.push_back(cell);
    });
    return few;
  }

  // ---- Sinkhorn's iterations ----

  // place_ holds exp((first price - price) / T) of each place, block_ exp(soft least cost / T) of
  // each block, `gain` exp((g - first price) / T) where a block gains g over places of the first
  // level, kernel_ exp(-D d^2 / T).
  void start(const Blocks& blocks, double unit, double temperature) {
    for (int d = -reach_; d < reach_; ++d)
      kernel_[reach_ + d] = std::exp(-d * d * unit / temperature);
    for (Level& level : levels_) {
      level.gain.assign(cells_, 0.0);
      for_each_cell([&](int cell, int i) {
        const double worth = blocks.worth_of(i, level.weight),
                     first = blocks.worth_of(i, levels_[0].weight);
        const double gain = (worth - level.price) - (first - levels_[0].price);
        level.gain[cell] = limited(std::exp(gain / temperature));
      });
    }
    std::fill(place_.begin(), place_.end(), 1.0);
  }

  void iterate() {
    std::fill(block_.begin(), block_.end(), kSmallest);
    for (const Level& level : levels_) {
      std::fill(given_.begin(), given_.end(), 0.0);
      for (int cell : level.cells) given_[cell] = place_[cell];
      convolve<PlusTimes>();
      for (int cell = 0; cell < cells_; ++cell) block_[cell] += level.gain[cell] * result_[cell];
    }
    for (double& x : block_) x = 1 / x;
    for (const Level& level : levels_) {
      for (int cell = 0; cell < cells_; ++cell) given_[cell] = level.gain[cell] * block_[cell];
      convolve<PlusTimes>();
      for (int cell : level.cells) {
        const double balanced = 1 / (result_[cell] + kSmallest);
        place_[cell] = limited(balanced * std::sqrt(balanced / place_[cell]));
      }
    }
  }

  // Halves the temperature, unless the prices would leave the range of doubles.
  bool cool() {
    const auto [least, most] = std::minmax_element(place_.begin(), place_.end());
    if (*least < 1 / kWidest || *most > kWidest) return false;
    for (double& x : kernel_) x = x < kSmallest ? 0 : x * x;  // subnormal numbers are slow
    for (Level& level : levels_) {
      for (double& x : level.gain) x = limited(x * x);
    }
    for (double& x : place_) x *= x;
    return true;
  }
  static double limited(double x) { return std::min(std::max(x, kSmallest), kLargest); }

  // ---- Exact minima ----

  // Lowers prices as far as they leave the least costs of all blocks.
  void lower(const Blocks& blocks, double* price, const double* least) {
    for (const Level& level : levels_) {
      for_each_cell(
          [&](int cell, int i) { given_[cell] = -blocks.worth_of(i, level.weight) - least[i]; });
      convolve<MinPlus>();
      for (int cell : level.cells) price[place_of(cell)] = -result_[cell];
    }
  }

  void set_distances(double move_cost) {
    for (int d = -reach_; d < reach_; ++d) kernel_[reach_ + d] = move_cost * (d * d);
  }

  // ---- Convolution ----

  struct PlusTimes {
    static constexpr double kNone = 0;
    static Pack<double> add(Pack<double> a, Pack<double> b) { return a + b; }
    static Pack<double> multiply(Pack<double> a, Pack<double> b) { return a * b; }
  };
  struct MinPlus {
    static constexpr double kNone = kInfinity;
    static Pack<double> add(Pack<double> a, Pack<double> b) { return least(a, b); }
    static Pack<double> multiply(Pack<double> a, Pack<double> b) { return a + b; }
  };

  // Each cell's result is the sum of what all cells are given, times the kernel at their distance
  // in rows, times the kernel at their distance in columns.
  template <typename Semiring>
  void convolve() {
    patience_.spend(cells_ * (height_ + width_) / 4);
    const double *const kernel = &kernel_[reach_], *const given = given_.data();
    multiply<Semiring>(
        height_, [=](int y, int v) { return kernel[y - v]; },
        [=](int v) { return given + v * stride_; }, half_way_.data());
    const double* const half_way = half_way_.data();
    multiply<Semiring>(
        width_, [=](int y, int u) { return half_way[y * stride_ + u]; },
        [=](int u) { return kernel - u; }, result_.data());
  }

  // The product of two matrices, the left one by its entries, the right one by its `count` rows;
  // two rows of it at once, as each row of the right one is then loaded for both.
  template <typename Semiring, typename Entry, typename Row>
  void multiply(int count, const Entry& entry, const Row& row, double* out) const {
    constexpr int kStep = kPacked<double>, kPacks = kColumns / kStep;
    for (int y = 0; y < height_; y += 2) {
      const int next = std::min(y + 1, height_ - 1);
      for (int x = 0; x < stride_; x += kColumns) {
        Pack<double> sums[2][kPacks];
        for (auto& sum : sums) std::fill_n(sum, kPacks, pack_of(Semiring::kNone));
        for (int t = 0; t < count; ++t) {
          const Pack<double> first = pack_of(entry(y, t)), second = pack_of(entry(next, t));
          const double* const from = row(t) + x;
          for (int k = 0; k < kPacks; ++k) {
            const Pack<double> right = pack(from + k * kStep);
            sums[0][k] = Semiring::add(sums[0][k], Semiring::multiply(first, right));
            sums[1][k] = Semiring::add(sums[1][k], Semiring::multiply(second, right));
          }
        }
        for (int k = 0; k < kPacks; ++k) {
          unpack(sums[1][k], out + next * stride_ + x + k * kStep);
          unpack(sums[0][k], out + y * stride_ + x + k * kStep);
        }
      }
    }
  }

  const int height_, width_;
  const int stride_;  // cells from a row to the next; those beyond the width are never used
  const int reach_;   // the kernel is known at distances from -reach_ to reach_ - 1
  const int cells_;
  std::vector<Level> levels_;
  std::vector<double> kernel_;
  std::vector<double> block_, place_, given_, half_way_, result_;  // by cell
  Patience patience_;
};

}  // namespace puzzlemix
