// Assignment and block transport: matchings whatever the values, the device algorithm's where
// the answer is unique, and its total where exact answers tie.
#include "transport/transport.h"

#include <algorithm>

#include "device_algorithm.h"
#include "input.h"
#include "transport/device_assignment.h"
#include "transport/device_transport.h"

namespace puzzlemix {
namespace {

// A matching of `rows` rows to n columns with as many pairs as there can be, -1 for the others.
bool is_matching(const int64_t* source, int64_t rows, int64_t n) {
  std::vector<char> seen(rows);
  int64_t pairs = 0;
  for (int64_t j = 0; j < n; ++j) {
    if (source[j] == -1) continue;
    if (source[j] < 0 || source[j] >= rows || seen[source[j]]) return false;
    seen[source[j]] = 1;
    ++pairs;
  }
  return pairs == std::min(rows, n);
}

// What CPU and team found, of batch x n.
struct Found {
  Found(int64_t batch, int64_t rows, int64_t n)
      : batch(batch),
        rows(rows),
        n(n),
        source(batch * n, -2),
        by_team(batch * n, -2),
        total(batch),
        total_by_team(batch) {}

  // `slack` is what rounding to integers may tell two totals apart by. Where pairs are forbidden, a
  // sample that is refused has an infinite total by the team.
  void expect_same(bool allowed, bool exact, Status status, double slack, double magnitude) const {
    for (int64_t b = 0; b < batch; ++b) EXPECT(is_matching(by_team.data() + b * n, rows, n));
    if (!status.ok()) {
      EXPECT(!allowed ||
             (status.fault == Fault::infeasible && total_by_team[status.sample] == HUGE_VAL));
      return;
    }
    for (int64_t b = 0; b < batch; ++b) EXPECT(is_matching(source.data() + b * n, rows, n));
    if (!allowed) return;
    EXPECT(exact || source == by_team);
    for (int64_t b = 0; b < batch; ++b) {
      EXPECT(std::isfinite(total[b]));
      EXPECT(std::fabs(total[b] - total_by_team[b]) <= (exact ? slack : 0) + 1e-11 * magnitude);
    }
  }

  const int64_t batch, rows, n;
  std::vector<int64_t> source, by_team;
  std::vector<double> total, total_by_team;
};

void assign(Input& input) {
  const int64_t batch = input.range(0, 2);
  const int rows = input.side(9, 70);
  const int columns = input.chance(2) ? rows : static_cast<int>(input.range(0, 12));
  const bool exact = input.chance(2), integers = input.chance(4), forbids = input.chance(4);
  const int64_t entries = batch * rows * columns;
  Values cost =
      input.values(integers ? Dtype::int32 : kFloats[input.range(0, 3)], entries, Input::any);
  const double most = largest(cost, entries);
  const bool allowed = plain(cost, entries, integers ? -2147483648.0 : -1e290);
  for (int64_t i = 0; forbids && !integers && i < entries; ++i) {
    if (input.chance(3)) cost.set(i, HUGE_VAL);
  }
  Found found(batch, rows, columns);
  AssignmentProblem problem{cost.array(),      batch, rows, columns, exact, found.source.data(),
                            found.total.data()};
  const Status status = assignment_cpu(problem, static_cast<int>(input.range(1, 3)));
  problem.source = found.by_team.data();
  problem.total = found.total_by_team.data();
  if (exact) {
    solve_shuffled<DeviceAssignmentExact>(problem, input.bits());
  } else {
    solve_shuffled<DeviceAssignmentApprox>(problem, input.bits());
  }
  const double pairs = std::min(rows, columns);
  const double slack = integers ? 0 : pairs * (most * std::ldexp(1.0, -28) + std::ldexp(1.0, -999));
  found.expect_same(allowed, exact, status, slack, pairs * most);
}

void transport(Input& input) {
  const int64_t batch = input.range(0, 2);
  const int height = input.side(5, 12), width = input.side(5, 12);
  const int64_t n = height * width;
  const bool exact = input.chance(2), indicator = input.chance(2);
  const Values saliency = input.values(kFloats[input.range(0, 3)], batch * n, Input::capacities);
  Values mask = input.values(kFloats[input.range(0, 3)], batch * n, Input::shares);
  if (input.chance(2)) {
    for (int64_t i = 0; i < batch * n; ++i) mask.set(i, input.range(0, 2) / 2.0);
  }
  // Python lets any number through that is finite and not negative.
  double xi = input.range(0, 1000) / 1000.0;
  if (input.chance(4)) xi = std::ldexp(xi, static_cast<int>(input.range(-1070, 1020)));
  Found found(batch, n, n);
  TransportProblem problem{
      saliency.array(),    mask.array(),      batch, height, width, xi, indicator, exact,
      found.source.data(), found.total.data()};
  const Status status = masked_transport_cpu(problem, static_cast<int>(input.range(1, 3)));
  problem.source = found.by_team.data();
  problem.total = found.total_by_team.data();
  if (exact) {
    solve_shuffled<DeviceTransportExact>(problem, input.bits());
  } else {
    solve_shuffled<DeviceTransportApprox>(problem, input.bits());
  }
  const double most = largest(saliency, batch * n) + 2 * xi;
  // The price of a squared distance is rounded once and taken that many times.
  const double roundings = 8.0 * n * (1 + height * height + width * width);
  found.expect_same(plain(saliency, batch * n, 0) && plain(mask, batch * n, 0, 1) && most < 1e290,
                    exact, status,
                    roundings * (most * std::ldexp(1.0, -30) + std::ldexp(1.0, -1002)), n * most);
}

}  // namespace
}  // namespace puzzlemix

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  puzzlemix::Input input(data, size);
  input.chance(2) ? puzzlemix::assign(input) : puzzlemix::transport(input);
  return 0;
}
