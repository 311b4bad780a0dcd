// Whole plans by the CPU and by a shuffled team, whatever the pixels, saliency, lambda, partners
// and weights: the same decisions where the values are allowed; else a Status of the CPU that names
// what is wrong, and some plan of the team's. Nothing beyond the arrays is touched.
#include "puzzle/puzzle.h"

#include <algorithm>

#include "device_algorithm.h"
#include "input.h"
#include "puzzle/device_puzzle.h"

namespace puzzlemix {
namespace {

// Beyond these no sum is near infinity.
constexpr double kModestPixel = 1e200, kModestWeight = 1e30;

int small(Input& input, int64_t most) { return static_cast<int>(input.range(1, most)); }

struct Sizes {
  explicit Sizes(Input& input)
      : batch(input.range(0, 2)),
        partnered(input.chance(2)),
        others(partnered ? input.range(1, 3) : batch),
        channels(input.chance(32) ? 17 : small(input, 3)),
        height(input.side(4, 10)),
        width(input.side(4, 10)),
        fine_height(height * small(input, input.chance(2) ? 3 : 1)),
        fine_width(width * small(input, input.chance(2) ? 3 : 1)),
        rows(fine_height * small(input, 4)),
        columns(fine_width * small(input, 4)),
        map_rows{fine_height * small(input, 3), fine_height * small(input, 3)},
        map_columns{fine_width * small(input, 3), fine_width * small(input, 3)} {}

  int64_t pixels() const { return int64_t{channels} * rows * columns; }
  int64_t map(int k) const { return int64_t{map_rows[k]} * map_columns[k]; }
  int64_t cells() const { return int64_t{height} * width; }
  int64_t places() const { return int64_t{fine_height} * fine_width; }

  const int64_t batch;
  const bool partnered;
  const int64_t others;
  const int channels, height, width, fine_height, fine_width, rows, columns;
  const int map_rows[2], map_columns[2];
};

// A plan, each part in memory of its very size.
struct Plan {
  Plan(const Sizes& sizes, bool doubles)
      : mask(doubles ? Dtype::float64 : Dtype::float32, sizes.batch * sizes.cells()),
        ratio(doubles ? Dtype::float64 : Dtype::float32, sizes.batch),
        source{std::vector<int64_t>(sizes.batch * sizes.places(), -1),
               std::vector<int64_t>(sizes.batch * sizes.places(), -1)},
        objective(sizes.batch) {}

  void expect_valid(const Sizes& sizes, int labels, bool moves) const {
    for (int64_t b = 0; b < sizes.batch; ++b) {
      EXPECT(ratio[b] >= 0 && ratio[b] <= 1);
      for (int64_t i = b * sizes.cells(); i < (b + 1) * sizes.cells(); ++i) {
        const double k = mask[i] * (labels - 1);
        EXPECT(mask[i] >= 0 && mask[i] <= 1 && std::fabs(k - std::round(k)) < 1e-5);
      }
      for (const std::vector<int64_t>& each : source) {
        EXPECT(!moves || is_permutation(each.data() + b * sizes.places(), sizes.places()));
      }
    }
  }

  Values mask, ratio;
  std::vector<int64_t> source[2];
  std::vector<double> objective;
};

class Call {
 public:
  explicit Call(Input& input)
      : sizes_(input),
        dtype_(kFloats[input.range(0, 3)]),
        itself_(sizes_.others == sizes_.batch && input.chance(4)),
        images_{input.values(dtype_, sizes_.batch * sizes_.pixels(), Input::any),
                input.values(dtype_, sizes_.others * sizes_.pixels(), Input::any)},
        maps_{map(input, 0, sizes_.batch), map(input, 1, sizes_.others)},
        lam_(input.values(kFloats[input.range(0, 3)], sizes_.batch, Input::shares)),
        std_(input.values(kFloats[input.range(0, 3)], sizes_.channels, Input::capacities)) {
    for (int64_t b = 0; b < sizes_.batch; ++b) {
      partner_.push_back(input.chance(32) ? static_cast<int64_t>(input.bits())
                                          : input.range(0, sizes_.others - 1));
    }
    fill(input);
  }

  // With its results in `plan`.
  PuzzleProblem problem(Plan& plan) const {
    PuzzleProblem p = problem_;
    p.mask = plan.mask.data(), p.ratio = plan.ratio.data();
    if (moves()) p.source1 = plan.source[0].data(), p.source2 = plan.source[1].data();
    p.objective = plan.objective.data();
    return p;
  }

  const Sizes& sizes() const { return sizes_; }
  bool doubles() const { return problem_.doubles; }
  int labels() const { return problem_.labels; }
  bool moves() const { return problem_.transport != Transport::none; }

  // Python lets nothing else through, and the device's std alone is unchecked.
  bool for_the_cpu() const {
    for (int c = 0; c < problem_.std_count; ++c) {
      if (!(PuzzleCall(problem_).std_of(c) > 0)) return false;
    }
    return true;
  }

  // What a Status names is wrong.
  void expect_fault(const Status& status) const {
    if (status.argument == PuzzleArgument::none) {
      EXPECT(status.fault == Fault::sum && !modest());
      return;
    }
    EXPECT(status.fault == Fault::value || status.fault == Fault::sum);
    const bool sum = status.fault == Fault::sum;
    const auto beyond = [&](const Values& values, int64_t count, double least) {
      const int64_t first = status.sample * count;
      if (!sum)
        return !(values[first + status.entry] >= least) || infinite(values, first + status.entry);
      double most = 0;
      for (int64_t i = first; i < first + count; ++i) most = std::fmax(most, std::fabs(values[i]));
      return most > 1e300;
    };
    constexpr double kAny = -std::numeric_limits<double>::max();
    switch (status.argument) {
      case PuzzleArgument::x1:
      case PuzzleArgument::x2:
        EXPECT(sum || pixel_is_infinite(status));
        EXPECT(!sum || beyond(image(status.argument), sizes_.pixels(), kAny));
        return;
      case PuzzleArgument::saliency1:
        EXPECT(beyond(saliency(0), sizes_.map(0), 0));
        return;
      case PuzzleArgument::saliency2:
        EXPECT(beyond(saliency(1), sizes_.map(itself_ ? 0 : 1), 0));
        return;
      case PuzzleArgument::lam:
        EXPECT(problem_.lam.data && !(lam_[status.sample] >= 0 && lam_[status.sample] <= 1));
        return;
      default:
        EXPECT(status.argument == PuzzleArgument::partner && sizes_.partnered);
        EXPECT(partner_[status.sample] < 0 || partner_[status.sample] >= sizes_.others);
    }
  }

  // Whether a pair has what is forbidden.
  bool forbidden() const {
    for (int64_t b = 0; b < sizes_.batch; ++b) {
      const int64_t second = sizes_.partnered ? partner_[b] : b;
      if (second < 0 || second >= sizes_.others) return true;
      if (problem_.lam.data && !(lam_[b] >= 0 && lam_[b] <= 1)) return true;
      for (int k = 0; k < 2; ++k) {
        const int64_t index = k == 0 ? b : second;
        for (int64_t i = 0; i < sizes_.pixels(); ++i) {
          if (infinite(image(k), index * sizes_.pixels() + i)) return true;
        }
        const int64_t count = sizes_.map(itself_ ? 0 : k);
        for (int64_t i = index * count; i < (index + 1) * count; ++i) {
          if (!(saliency(k)[i] >= 0) || infinite(saliency(k), i)) return true;
        }
      }
    }
    return false;
  }

  // Whether all is so small that no sum of it is infinite.
  bool modest() const {
    double most = 0;
    for (int k = 0; k < 2; ++k) {
      most = std::fmax(
          most, largest(image(k), (k == 0 ? sizes_.batch : sizes_.others) * sizes_.pixels()));
    }
    for (int c = 0; c < problem_.std_count; ++c) {
      most = std::fmax(most, most * PuzzleCall(problem_).std_of(c));
    }
    const PuzzleProblem& p = problem_;
    return most <= kModestPixel && std::max({p.beta, p.gamma, p.eta, p.xi}) <= kModestWeight;
  }

 private:
  static bool infinite(const Values& values, int64_t i) { return !std::isfinite(values[i]); }

  const Values& image(int k) const { return images_[itself_ ? 0 : k]; }
  const Values& saliency(int k) const { return maps_[itself_ ? 0 : k]; }

  Values map(Input& input, int k, int64_t count) const {
    return input.values(kFloats[input.range(0, 3)], count * sizes_.map(k), Input::capacities);
  }

  // The entry is that of [C, Y, X], whatever the memory.
  bool pixel_is_infinite(const Status& status) const {
    const int64_t plane = int64_t{sizes_.rows} * sizes_.columns;
    const int64_t c = status.entry / plane, i = status.entry % plane;
    const int64_t at = problem_.channels_last ? i * sizes_.channels + c : status.entry;
    return infinite(image(status.argument), status.sample * sizes_.pixels() + at);
  }

  // Numbers that people give, seldom any that Python lets through.
  static double weight(Input& input) {
    const double usual = static_cast<double>(input.range(0, 3000)) / 1000;
    return input.chance(16) ? std::ldexp(usual, static_cast<int>(input.range(-1070, 1020))) : usual;
  }

  void fill(Input& input) {
    PuzzleProblem& p = problem_;
    p.x1 = image(0).array(), p.x2 = image(1).array();
    p.saliency1 = saliency(0).array(), p.saliency2 = saliency(1).array();
    p.channels_last = input.chance(2);
    p.batch = sizes_.batch, p.others = sizes_.others;
    p.channels = sizes_.channels, p.rows = sizes_.rows, p.columns = sizes_.columns;
    const int second = itself_ ? 0 : 1;
    p.saliency_rows1 = sizes_.map_rows[0], p.saliency_columns1 = sizes_.map_columns[0];
    p.saliency_rows2 = sizes_.map_rows[second], p.saliency_columns2 = sizes_.map_columns[second];
    p.partner = sizes_.partnered ? partner_.data() : nullptr;
    p.lam_number = static_cast<double>(input.range(0, 100)) / 100;
    if (input.chance(2) && sizes_.batch > 0) p.lam = lam_.array();
    if (input.chance(2)) p.std_count = input.chance(2) ? 1 : sizes_.channels;
    p.std_number[0] = 0.25, p.std_number[1] = 0.5, p.std_number[2] = 2;
    if (p.std_count > kMostStd || input.chance(2)) p.std = std_.array();
    p.height = sizes_.height, p.width = sizes_.width;
    p.fine_height = sizes_.fine_height, p.fine_width = sizes_.fine_width;
    p.labels = static_cast<int>(input.range(2, input.chance(8) ? 16 : 5));
    p.beta = weight(input), p.gamma = weight(input), p.eta = weight(input), p.xi = weight(input);
    p.neighborhood = static_cast<int>(input.range(1, 5));
    p.bilinear = input.chance(2), p.exact_cut = input.chance(2);
    p.transport = static_cast<Transport>(input.range(0, 2));
    if (!moves()) p.fine_height = p.height, p.fine_width = p.width;
    p.cycles = input.range(1, 3);
    p.doubles = dtype_ == Dtype::float64;
  }

  const Sizes sizes_;
  const Dtype dtype_;
  const bool itself_;  // the images are their own second ones
  const Values images_[2], maps_[2], lam_, std_;
  std::vector<int64_t> partner_;
  PuzzleProblem problem_{};
};

template <typename Algorithm>
struct Chosen {
  using Type = Algorithm;
};

void plan_on_team(const PuzzleProblem& problem, uint64_t seed) {
  const PuzzleCall call(problem);
  std::vector<char> memory(pooled_bytes(call));
  const PooledImages images = pooled_images(call, memory.data());
  solve_shuffled<DevicePool>(PoolProblem(call, images), seed);
  with_decision<Chosen>(problem, [&](auto chosen) {
    solve_shuffled<typename decltype(chosen)::Type>(DecideProblem(call, images), seed);
  });
}

bool same(const Values& a, const Values& b, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    if (a[i] != b[i]) return false;
  }
  return true;
}

void plan(Input& input) {
  const Call call(input);
  const Sizes& sizes = call.sizes();
  Plan mine(sizes, call.doubles()), theirs(sizes, call.doubles());
  plan_on_team(call.problem(theirs), input.bits());
  theirs.expect_valid(sizes, call.labels(), call.moves());
  if (!call.for_the_cpu()) return;

  const PuzzleProblem problem = call.problem(mine);
  const Status status = puzzle_plan_cpu(problem, static_cast<int>(input.range(1, 3)));
  if (!status.ok()) return call.expect_fault(status);
  EXPECT(!call.forbidden());
  mine.expect_valid(sizes, call.labels(), call.moves());
  // Exact transports may tie, and what later cycles see through them then differs.
  const bool exact = problem.transport == Transport::exact;
  if (exact && problem.cycles > 1) return;
  EXPECT(same(mine.mask, theirs.mask, sizes.batch * sizes.cells()));
  EXPECT(same(mine.ratio, theirs.ratio, sizes.batch));
  if (exact) return;
  for (int k = 0; k < 2; ++k) EXPECT(mine.source[k] == theirs.source[k]);
  for (int64_t b = 0; b < sizes.batch; ++b) {
    const double one = mine.objective[b], other = theirs.objective[b];
    EXPECT(one == other || (one != one && other != other));
    EXPECT(!call.modest() || std::isfinite(one));
  }
}

}  // namespace
}  // namespace puzzlemix

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  puzzlemix::Input input(data, size);
  puzzlemix::plan(input);
  return 0;
}
