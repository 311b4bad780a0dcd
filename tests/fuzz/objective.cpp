// The costs and terms of a pair of images by the CPU and by a shuffled team, and sums over blocks:
// nothing beyond the arrays is touched, whatever the values and indices.
#include "objective/objective.h"

#include "input.h"
#include "objective/block_sums.h"
#include "objective/team_objective.h"
#include "team_run.h"

namespace puzzlemix {
namespace {

bool same(const std::vector<double>& a, const std::vector<double>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && (a[i] == a[i] || b[i] == b[i])) return false;
  }
  return true;
}

std::vector<double> doubles(const Values& values, int64_t count) {
  std::vector<double> made(count);
  for (int64_t i = 0; i < count; ++i) made[i] = values[i];
  return made;
}

void pair(Input& input) {
  const auto small = [&] { return static_cast<int>(input.range(1, 4)); };
  const int height = small(), width = small();
  const int fine_height = height * static_cast<int>(input.range(1, 2));
  const int fine_width = width * static_cast<int>(input.range(1, 2));
  const int rows = fine_height * static_cast<int>(input.range(1, 3));
  const int columns = fine_width * static_cast<int>(input.range(1, 3));
  const int channels = static_cast<int>(input.range(1, 3));
  const int labels = static_cast<int>(input.range(2, 6));
  const int64_t batch = input.range(0, 3), partnered = input.range(0, 1);
  const int64_t images = partnered ? input.range(1, 4) : batch;
  const int64_t plane = int64_t{channels} * rows * columns;
  const int64_t n = height * width, places = 2 * fine_height * fine_width;

  const Dtype dtype = input.chance(2) ? Dtype::float64 : Dtype::float32;
  const Values cells1 = input.values(dtype, batch * plane, Input::any);
  const Values cells2 = input.values(dtype, images * plane, Input::any);
  const auto given = [&](int64_t count) {
    return doubles(input.values(Dtype::float64, count, Input::shares), count);
  };
  const std::vector<double> shares = given(batch * places), log_prior = given(batch * labels);
  std::vector<int64_t> partner(batch);
  for (int64_t& k : partner)
    k = input.chance(8) ? static_cast<int64_t>(input.bits()) : input.range(0, images - 1);
  const bool moves = input.chance(2), moved = moves && input.chance(2);
  const std::vector<int64_t> sources = input.permutations(2 * batch, places / 2, input.chance(8));
  std::vector<int64_t> label(batch * n);
  for (int64_t& k : label) k = input.range(0, labels - 1);
  const bool terms_wanted = input.chance(2);

  const auto number = [&] { return input.range(0, 3000) / 1000.0; };
  const PairModel model{labels, number(), number(), number(), number(), input.chance(2)};
  const int64_t down = batch * (height - 1) * width, right = batch * height * (width - 1);
  struct Answer {
    std::vector<double> unary, vertical, horizontal, terms;
  };
  const auto answer = [&](auto solve) {
    Answer made{std::vector<double>(terms_wanted ? 0 : batch * n * labels),
                std::vector<double>(terms_wanted ? 0 : down),
                std::vector<double>(terms_wanted ? 0 : right),
                std::vector<double>(terms_wanted ? batch * 6 : 0)};
    solve(PairProblem{{cells1.array(), cells2.array()},
                      partnered ? partner.data() : nullptr,
                      shares.data(),
                      log_prior.data(),
                      moves ? sources.data() : nullptr,
                      moved,
                      batch,
                      images,
                      channels,
                      rows,
                      columns,
                      height,
                      width,
                      fine_height,
                      fine_width,
                      model,
                      made.unary.data(),
                      made.vertical.data(),
                      made.horizontal.data(),
                      terms_wanted ? label.data() : nullptr,
                      made.terms.data()});
    return made;
  };
  const int threads = static_cast<int>(input.range(1, 3));
  const uint64_t seed = input.bits();
  const Answer cpu =
      answer([&](const PairProblem& p) { EXPECT(pair_cpu(p, threads).ok()); });
  const Answer team = answer([&](const PairProblem& p) { solve_shuffled<TeamPair>(p, seed); });
  EXPECT(same(cpu.unary, team.unary) && same(cpu.vertical, team.vertical));
  EXPECT(same(cpu.horizontal, team.horizontal) && same(cpu.terms, team.terms));
}

void sums(Input& input) {
  const int rows = static_cast<int>(input.range(1, 9)),
            columns = static_cast<int>(input.range(1, 9));
  const int down = static_cast<int>(input.range(1, 4)),
            across = static_cast<int>(input.range(1, 4));
  const int64_t planes = input.range(0, 5);
  const int64_t height = rows * down, width = columns * across;
  const Values values = input.values(input.chance(2) ? Dtype::float64 : Dtype::float32,
                                     planes * height * width, Input::any);
  const bool precise = values.array().dtype == Dtype::float64 || input.chance(2);
  const Values made(precise ? Dtype::float64 : Dtype::float32, planes * down * across);
  const BlockSums problem{
      values.array(), planes,  static_cast<int>(height),       static_cast<int>(width),
      rows,           columns, const_cast<void*>(made.data()), precise};
  EXPECT(block_sums_cpu(problem, static_cast<int>(input.range(1, 3))).ok());
  if (!plain(values, planes * height * width, -1e30, 1e30)) return;
  for (int64_t k = 0; k < planes * down * across; ++k) {
    const int64_t plane = k / (down * across), block = k % (down * across);
    double sum = 0, magnitude = 0;
    for (int64_t y = block / across * rows; y < (block / across + 1) * rows; ++y) {
      for (int64_t x = block % across * columns; x < (block % across + 1) * columns; ++x) {
        const double value = values[(plane * height + y) * width + x];
        sum += value;
        magnitude += std::fabs(value);
      }
    }
    EXPECT(std::fabs(made[k] - sum) <= (precise ? 1e-13 : 1e-5) * magnitude);
  }
}

}  // namespace
}  // namespace puzzlemix

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  puzzlemix::Input input(data, size);
  input.chance(4) ? puzzlemix::sums(input) : puzzlemix::pair(input);
  return 0;
}
