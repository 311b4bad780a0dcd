// The graph cuts: labels in range whatever the values, the device algorithm's labels where the
// values are allowed, and an error where they are not.
#include "graphcut/graphcut.h"

#include "device_algorithm.h"
#include "graphcut/device_graphcut.h"
#include "input.h"

namespace puzzlemix {
namespace {

constexpr int kSmall = 5, kLarge = 12;

struct Grid {
  explicit Grid(Input& input)
      : batch(input.range(0, 2)),
        height(input.side(kSmall, kLarge)),
        width(input.side(kSmall, kLarge)),
        integers(input.chance(4)),
        cells(batch * height * width),
        down(batch * (height - 1) * width),
        right(batch * height * (width - 1)),
        vertical(input.values(dtype(input), down, Input::capacities)),
        horizontal(input.values(dtype(input), right, Input::capacities)) {}

  Dtype dtype(Input& input) const { return integers ? Dtype::int32 : kFloats[input.range(0, 3)]; }
  int64_t edges() const { return (height - 1) * width + height * (width - 1); }
  bool plain_edges() const { return plain(vertical, down, 0) && plain(horizontal, right, 0); }
  double largest_edge() const {
    return std::fmax(largest(vertical, down), largest(horizontal, right));
  }

  const int64_t batch;
  const int height, width;
  const bool integers;
  const int64_t cells, down, right;
  const Values vertical, horizontal;
};

bool close(double a, double b, double magnitude) { return std::fabs(a - b) <= 1e-11 * magnitude; }

void cut(Input& input) {
  const Grid grid(input);
  const Values source = input.values(grid.dtype(input), grid.cells, Input::capacities);
  const Values sink = input.values(grid.dtype(input), grid.cells, Input::capacities);
  std::vector<char> segment(grid.cells, 2), by_team(grid.cells, 2);
  std::vector<double> flow(grid.batch), flow_by_team(grid.batch);
  MinCutProblem problem{source.array(),
                        sink.array(),
                        grid.vertical.array(),
                        grid.horizontal.array(),
                        grid.integers,
                        grid.batch,
                        grid.height,
                        grid.width,
                        reinterpret_cast<bool*>(segment.data()),
                        flow.data()};
  const Status status = grid_min_cut_cpu(problem, static_cast<int>(input.range(1, 3)));
  problem.segment = reinterpret_cast<bool*>(by_team.data());
  problem.flow = flow_by_team.data();
  solve_shuffled<DeviceMinCut>(problem, input.bits());
  for (const char side : by_team) EXPECT(side == 0 || side == 1);

  const int64_t n = grid.height * grid.width;
  const double terminal = std::fmax(largest(source, grid.cells), largest(sink, grid.cells));
  const double sum = n * terminal + grid.edges() * grid.largest_edge();
  const bool allowed =
      plain(source, grid.cells, 0) && plain(sink, grid.cells, 0) && grid.plain_edges();
  if (!status.ok()) {
    EXPECT(!allowed || (grid.integers && sum >= 1 << 30));
    return;
  }
  for (int64_t i = 0; i < grid.cells; ++i) EXPECT(source[i] >= 0 && sink[i] >= 0);
  if (!allowed) return;
  EXPECT(segment == by_team);
  for (int64_t b = 0; b < grid.batch; ++b) {
    EXPECT(std::isfinite(flow[b]) && close(flow[b], flow_by_team[b], sum));
  }
}

// Semimetrics of every kind, most of them convex; seldom none.
Values label_cost(Input& input, Dtype dtype, int labels) {
  Values cost = input.values(dtype, labels * labels, Input::capacities);
  const int64_t kind = input.range(0, 5);
  const double unit = kind < 4 && dtype != Dtype::int32 ? input.range(1, 1000) / 64.0 : 1;
  for (int a = 0; a < labels; ++a) {
    for (int b = 0; b <= a; ++b) {
      const double step = a - b;
      const double value = kind == 0   ? step
                           : kind == 1 ? step * step
                           : kind == 2 ? (a != b)
                           : kind == 3 ? std::pow(step, 1.5)
                           : kind == 4 ? (a != b) * cost[a * labels + b]
                                       : cost[a * labels + b];
      cost.set(a * labels + b, kind < 5 ? unit * value : value);
      if (kind < 5) cost.set(b * labels + a, unit * value);
    }
  }
  return cost;
}

enum class Function { swap, exact, energy };

void label(Input& input, Function function) {
  const Grid grid(input);
  // Many labels on small grids alone: a host team takes seconds for both.
  const bool many = input.chance(16) && grid.height * grid.width <= kSmall * kSmall;
  const int labels = static_cast<int>(many ? input.range(2, 16) : input.range(2, 5));
  const Values unary = input.values(grid.dtype(input), grid.cells * labels, Input::any);
  const Values pair = label_cost(input, grid.dtype(input), labels);
  std::vector<int64_t> out(grid.cells, -1), by_team(grid.cells, -1);
  const bool outside = function == Function::energy && input.chance(8) && grid.cells > 0;
  if (function == Function::energy) {
    for (int64_t& k : out) k = input.range(0, labels - 1);
    if (outside) out[input.range(0, grid.cells - 1)] = static_cast<int64_t>(input.bits()) | 64;
    by_team = out;
  }
  std::vector<double> energy(grid.batch), energy_by_team(grid.batch);
  LabelingProblem problem{unary.array(),
                          grid.vertical.array(),
                          grid.horizontal.array(),
                          pair.array(),
                          grid.integers,
                          grid.batch,
                          grid.height,
                          grid.width,
                          labels,
                          out.data(),
                          energy.data()};
  const int threads = static_cast<int>(input.range(1, 3));
  const int64_t cycles = input.chance(4) ? static_cast<int64_t>(input.bits()) : input.range(-1, 3);
  const Status status = function == Function::swap ? alpha_beta_swap_cpu(problem, cycles, threads)
                        : function == Function::exact ? exact_labeling_cpu(problem, threads)
                                                      : labeling_energy_cpu(problem, threads);
  problem.out = by_team.data();
  problem.energy = energy_by_team.data();
  DeviceLabelingProblem device{problem, cycles, false, {}};
  if (input.chance(2)) {
    device.known = read_label_cost(problem, device.known_cost) &&
                   (function != Function::exact || make_convex(device.known_cost));
  }
  switch (function) {
    case Function::swap:
      solve_shuffled<DeviceSwap>(device, input.bits());
      break;
    case Function::exact:
      solve_shuffled<DeviceExact>(device, input.bits());
      break;
    default:
      solve_shuffled<DeviceLabelingEnergy>(device, input.bits());
  }
  if (!outside) {
    for (const int64_t k : by_team) EXPECT(k >= 0 && k < labels);
  }

  const double least = grid.integers ? -2147483648.0 : -1e290;
  LabelCost integers;
  const bool allowed = plain(unary, grid.cells * labels, least) && grid.plain_edges() &&
                       plain(pair, labels * labels, 0) && read_label_cost(problem, integers) &&
                       !outside && (function != Function::exact || make_convex(integers));
  const double joined = grid.edges() * grid.largest_edge() * largest(pair, labels * labels);
  const double sum = 2.0 * grid.height * grid.width * largest(unary, grid.cells * labels) + joined;
  if (!status.ok()) {
    const bool bounded = grid.integers ? sum < 1 << 30 : sum < 1e300;
    EXPECT(!allowed || !bounded);
    return;
  }
  EXPECT(!outside || grid.batch == 0);
  for (const int64_t k : out) EXPECT(k >= 0 && k < labels);
  if (!allowed || !(sum < 1e300)) return;
  EXPECT(out == by_team);
  for (int64_t b = 0; b < grid.batch; ++b) {
    EXPECT(std::isfinite(energy[b]) && close(energy[b], energy_by_team[b], sum));
  }
}

}  // namespace
}  // namespace puzzlemix

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace puzzlemix;
  Input input(data, size);
  switch (input.range(0, 6)) {
    case 0:
    case 1:
      cut(input);
      break;
    case 2:
    case 3:
      label(input, Function::swap);
      break;
    case 4:
    case 5:
      label(input, Function::exact);
      break;
    default:
      label(input, Function::energy);
  }
  return 0;
}
