// Solves problems by every device algorithm on a shuffled team and otherwise, and compares: run().
// What otherwise means is up to the file that includes this one.
#pragma once

#include <cstdio>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "device_algorithm.h"
#include "graphcut/device_graphcut.h"
#include "puzzle/device_puzzle.h"
#include "transport/device_assignment.h"
#include "transport/device_transport.h"

namespace puzzlemix {

template <typename Algorithm>
void solve_otherwise(const typename Algorithm::Problem& problem);

namespace {

using Random = std::mt19937;

// Multiples of 1/1024, so that sums are exact in any order.
std::vector<double> uniform(Random& random, size_t count) {
  std::vector<double> values(count);
  for (double& x : values) x = std::uniform_int_distribution<int>(0, 1024)(random) / 1024.0;
  return values;
}

Array array(const std::vector<double>& values) { return {values.data(), Dtype::float64}; }

// Solves in both ways, which write `answer`; false if the answers differ.
template <typename Algorithm, typename T>
bool agree(const typename Algorithm::Problem& problem, std::vector<T>& answer) {
  solve_shuffled<Algorithm>(problem, 1);
  const std::vector<T> shuffled = answer;
  std::fill(answer.begin(), answer.end(), T{});
  solve_otherwise<Algorithm>(problem);
  return answer == shuffled;
}

bool cuts_agree(Random& random, int height, int width, int labels) {
  constexpr int kBatch = 2;
  const size_t cells = static_cast<size_t>(kBatch) * height * width;
  const std::vector<double> unary = uniform(random, cells * labels);
  const std::vector<double> sink = uniform(random, cells);
  const std::vector<double> vertical = uniform(random, cells), horizontal = uniform(random, cells);
  std::vector<double> value(kBatch);
  std::vector<char> segment(cells);
  const MinCutProblem cut{array(unary),
                          array(sink),
                          array(vertical),
                          array(horizontal),
                          false,
                          kBatch,
                          height,
                          width,
                          reinterpret_cast<bool*>(segment.data()),
                          value.data()};
  if (!agree<DeviceMinCut>(cut, segment)) return false;
  std::vector<double> label_cost;
  for (int a = 0; a < labels; ++a) {
    for (int b = 0; b < labels; ++b) label_cost.push_back(0.25 * (a - b) * (a - b));
  }
  std::vector<int64_t> label(cells);
  const LabelingProblem given{
      array(unary), array(vertical), array(horizontal), array(label_cost), false, kBatch, height,
      width,        labels,          label.data(),      value.data()};
  DeviceLabelingProblem problem{given, -1, false, {}};
  if (!agree<DeviceSwap>(problem, label)) return false;
  return agree<DeviceExact>(problem, label) && agree<DeviceLabelingEnergy>(problem, value);
}

bool transports_agree(Random& random, int height, int width, double xi) {
  constexpr int kBatch = 2;
  const int n = height * width;
  const std::vector<double> saliency = uniform(random, kBatch * n);
  std::vector<double> mask = uniform(random, kBatch * n);
  for (double& z : mask) z = z < 0.3 ? 0 : z < 0.6 ? 0.5 : 1;
  const std::vector<double> cost = uniform(random, size_t{kBatch} * n * n);
  std::vector<int64_t> source(kBatch * n);
  std::vector<double> total(kBatch);
  bool agreed = true;
  for (const bool indicator : {true, false}) {
    const TransportProblem problem{array(saliency), array(mask), kBatch,    height,
                                   width,           xi,          indicator, false,
                                   source.data(),   total.data()};
    agreed = agreed && agree<DeviceTransportApprox>(problem, source);
    agreed = agreed && agree<DeviceTransportExact>(problem, source);
  }
  // A square matrix, one with fewer rows, and one with fewer columns.
  for (const int less : {0, 1, 2}) {
    const int rows = less == 1 ? (n + 1) / 2 : n, columns = less == 2 ? (n + 1) / 2 : n;
    std::vector<int64_t> rows_of(kBatch * columns);
    const AssignmentProblem problem{array(cost), kBatch,         rows,        columns,
                                    false,       rows_of.data(), total.data()};
    agreed = agreed && agree<DeviceAssignmentApprox>(problem, rows_of);
    agreed = agreed && agree<DeviceAssignmentExact>(problem, rows_of);
  }
  return agreed;
}

// Whole plans: pooling, then cut and transports in a transport grid `finer` times as fine.
template <typename Cut, typename Transports>
bool plans_agree(Random& random, int side, int finer, Transport transport, bool channels_last) {
  constexpr int kBatch = 2, kChannels = 2, kLabels = 4;
  const int fine = side * finer, pixels = fine * 2;
  const size_t plane = size_t{kBatch} * pixels * pixels;
  const std::vector<double> x1 = uniform(random, plane * kChannels);
  const std::vector<double> x2 = uniform(random, plane * kChannels);
  const std::vector<double> saliency1 = uniform(random, plane), saliency2 = uniform(random, plane);
  const int64_t partner[kBatch] = {1, 0};
  std::vector<double> decided(size_t{kBatch} * (side * side + 1));
  std::vector<int64_t> source(size_t{2} * kBatch * fine * fine);
  double objective[kBatch];
  PuzzleProblem p{};
  p.x1 = array(x1), p.x2 = array(x2), p.channels_last = channels_last;
  p.saliency1 = array(saliency1), p.saliency2 = array(saliency2);
  p.batch = p.others = kBatch, p.channels = kChannels, p.rows = p.columns = pixels;
  p.saliency_rows1 = p.saliency_columns1 = p.saliency_rows2 = p.saliency_columns2 = pixels;
  p.partner = partner, p.lam_number = 0.5;
  p.height = p.width = side, p.fine_height = p.fine_width = fine;
  p.labels = kLabels, p.neighborhood = 2, p.cycles = 2, p.transport = transport;
  p.beta = 3, p.gamma = 1, p.eta = 0.2, p.xi = 0.01;
  p.doubles = true, p.mask = decided.data(), p.ratio = decided.data() + kBatch * side * side;
  p.source1 = source.data(), p.source2 = source.data() + source.size() / 2;
  p.objective = objective;

  const PuzzleCall call(p);
  std::vector<double> pooled(pooled_bytes(call) / sizeof(double));
  const PooledImages images = pooled_images(call, reinterpret_cast<char*>(pooled.data()));
  const DecideProblem problem(call, images);
  using Decide = DeviceDecide<Cut, Transports>;
  return agree<DevicePool>(PoolProblem(call, images), pooled) && agree<Decide>(problem, decided) &&
         agree<Decide>(problem, source);
}

// Returns 0 if all answers agree, for use as a program's exit status.
int run(const std::vector<std::pair<int, int>>& grids, const std::vector<int>& labelings) {
  Random random(0);
  for (const auto& [height, width] : grids) {
    for (const int labels : labelings) {
      if (!cuts_agree(random, height, width, labels)) {
        std::printf("%dx%d, %d labels: the answers differ\n", height, width, labels);
        return 1;
      }
    }
  }
  for (const auto& [height, width] : grids) {
    if (height * width > 64) continue;
    for (const double xi : {0.0, 0.1, 4.0}) {
      if (!transports_agree(random, height, width, xi)) {
        std::printf("%dx%d, xi %g: the answers differ\n", height, width, xi);
        return 1;
      }
    }
  }
  for (const auto& [side, finer] : {std::pair(1, 1), {3, 1}, {4, 2}, {3, 4}}) {
    for (const bool last : {false, true}) {
      if (!plans_agree<DeviceSwapEngine, DeviceBlockApprox>(random, side, finer, Transport::approx,
                                                            last) ||
          !plans_agree<DeviceExactEngine, DeviceBlockExact>(random, side, finer, Transport::exact,
                                                            last)) {
        std::printf("plans, grid %d, transport grid %d: the answers differ\n", side, side * finer);
        return 1;
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace puzzlemix
