// The plan on the CPU: one thread takes a pair from pixels to plan, in one workspace.
#include "puzzle/puzzle.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "batch.h"
#include "graphcut/exact.h"
#include "graphcut/swap.h"
#include "owned.h"
#include "plain_team.h"
#include "puzzle/decide.h"
#include "puzzle/pooling.h"
#include "transport/block_approx.h"
#include "transport/block_exact.h"

namespace puzzlemix {
namespace {

// A call with the integers of its label cost, which are made once for all samples, and with a
// number that tells it from all other calls.
struct CpuCall : PuzzleCall {
  explicit CpuCall(const PuzzleProblem& problem)
      : PuzzleCall(problem), cost(squared_label_cost(problem.labels)), number(next_number()) {}
  LabelCost cost;
  int64_t number;

 private:
  static int64_t next_number() {
    static std::atomic<int64_t> calls{0};
    return ++calls;
  }
};

// The pairs of a batch that is mixed with itself, in an order in which the second image of a pair
// is the first of the next one, wherever the partners allow it. A thread that solves both pools it
// once.
std::vector<int64_t> chained_pairs(const PuzzleCall& call) {
  std::vector<int64_t> order;
  order.reserve(call.batch);
  std::vector<char> taken(call.batch);
  for (int64_t first = 0; first < call.batch; ++first) {
    for (int64_t b = first; b >= 0 && b < call.batch && !taken[b]; b = call.partner[b]) {
      taken[b] = 1;
      order.push_back(b);
    }
  }
  return order;
}

// What calls must have in common to use the same workspace.
struct Sizes {
  explicit Sizes(const PuzzleCall& p)
      : number{p.channels,
               p.cell_rows,
               p.cell_columns,
               p.columns * p.channels,
               p.height,
               p.width,
               p.fine_height,
               p.fine_width,
               p.labels,
               p.exact_cut,
               static_cast<int>(p.transport),
               p.cycles > 1,
               p.saliency_columns1,
               p.saliency_columns2} {}
  bool operator==(const Sizes& other) const {
    return std::equal(std::begin(number), std::end(number), std::begin(other.number));
  }
  int number[14];
};

template <int Words, int Width>
class Planner {
 public:
  explicit Planner(const CpuCall& call) : sizes_(call), cost_(call.cost), memory_(call) {
    const IntegerLabeling& integers = memory_->decision.integers;
    call.exact_cut ? void(exact_.emplace(integers, cost_)) : void(swap_.emplace(integers, cost_));
    memory_->blocks.lay_out(team_);
    for (int a : {0, 1}) pooled_[a] = {memory_->cells[a], memory_->shares[a], 0, 0};
    const int height = call.fine_height, width = call.fine_width;
    if (call.transport == Transport::approx) approx_.emplace(height, width);
    if (call.transport == Transport::exact) exact_transport_.emplace(height, width);
  }

  bool fits(const CpuCall& call) const { return sizes_ == Sizes(call); }

  Status solve(const CpuCall& call, int64_t b) {
    call_ = &call;
    const int64_t second = call.partner ? call.partner[b] : b;
    if (second < 0 || second >= call.others) return {Fault::value, PuzzleArgument::partner, b, 0};
    if (call.lam.data && !in_unit_interval(element(call.lam, b)))
      return {Fault::value, PuzzleArgument::lam, b, 0};
    const bool one = call.one_batch();
    if (one && pooled_[1].is(call, b)) std::swap(pooled_[0], pooled_[1]);
    for (const ImageOf image : {ImageOf{0, b}, ImageOf{1, second}}) {
      PooledImage& pooled = pooled_[image.side];
      if (one && pooled.is(call, image.index)) continue;
      pooled.call = 0;
      const Status status = pool(image, pooled);
      if (!status.ok()) return status;
      pooled.call = call.number;
      pooled.index = image.index;
    }
    const auto& [first, other] = pooled_;
    const View images{
        {first.cells, other.cells}, {first.shares, other.shares}, {nullptr, nullptr}, nullptr};
    Pair pair(call, b, images);
    if (!decide(team_, call, cost_, memory_->decision, memory_->blocks, &pair, *this))
      return {Fault::sum, PuzzleArgument::none, b, 0};
    return {};
  }

  // ---- The engines that decide() calls ----

  void cut(PlainTeam&, const IntegerLabeling&, int32_t* label) {
    swap_ ? swap_->solve(-1, label) : exact_->solve(label);
  }

  int64_t transport(PlainTeam&, const Blocks& blocks, int64_t* source) {
    return approx_ ? approx_->solve(blocks, source) : exact_transport_->solve(blocks, source);
  }

 private:
  struct Work {
    Work(Arena& arena, const PuzzleCall& call)
        : decision(arena, call, Words * 64),
          line(arena.take<double>(std::max(
              {call.columns * call.channels, call.saliency_columns1, call.saliency_columns2}))),
          sums(arena.take<double>(call.fine_cells())),
          shares{arena.take<double>(call.fine_cells()), arena.take<double>(call.fine_cells())},
          cells{arena.take<double>(call.image_cells() + kAliasing),
                arena.take<double>(call.image_cells())},
          blocks(arena, call.fine_height, call.fine_width) {}

    // Doubles between the windows of the two images. If their planes were a multiple of 4 KB apart,
    // the processor's store buffer would mistake one for the other.
    static constexpr int kAliasing = 40;

    DecisionWork decision;
    double *line, *sums;
    double *shares[2], *cells[2];
    Blocks blocks;
  };

  // The windows and shares of an image, and which image of which call it is.
  struct PooledImage {
    bool is(const CpuCall& other, int64_t image) const {
      return call == other.number && index == image;
    }

    double *cells, *shares;
    int64_t call, index;
  };

  static bool in_unit_interval(double x) { return x >= 0 && x <= 1; }

  Status pool(const ImageOf& image, const PooledImage& into) {
    const PuzzleCall& call = *call_;
    const Work& work = *memory_;
    bool wrong = pool_stripes(team_, call, image, 0, call.stripes(), work.line, into.cells);
    // If every pixel is in a window that is written, checking the windows is enough.
    if (call.all_windows()) {
      wrong = !all_finite(team_, call.image_cells(), into.cells);
    }
    if (wrong) {
      const Status status = bad_pixel(image);
      if (!status.ok()) return status;
      // All pixels are finite, but a window's sum overflowed: its distances will count as 0.
    }
    if (pool_saliency(team_, call, image, 0, call.fine_height, work.line, work.sums)) {
      const Status status = bad_saliency(image);
      if (!status.ok()) return status;
    }
    share(team_, call, work.sums, work.line, into.shares);
    return {};
  }

  // Finds the first pixel that is not finite, if there is one.
  Status bad_pixel(const ImageOf& image) const {
    const PuzzleCall& call = *call_;
    const int64_t plane = int64_t{call.rows} * call.columns, pixels = call.channels * plane;
    const int argument = image.side == 0 ? PuzzleArgument::x1 : PuzzleArgument::x2;
    for (int64_t i = 0; i < pixels; ++i) {
      const int64_t at = call.channels_last ? i % plane * call.channels + i / plane : i;
      const Array& array = image.side == 0 ? call.x1 : call.x2;
      if (!std::isfinite(element(array, image.index * pixels + at))) {
        return {Fault::value, argument, image.index, i};
      }
    }
    return {};
  }

  // Finds the first saliency that is negative or not finite, if there is one.
  Status bad_saliency(const ImageOf& image) const {
    const PuzzleCall& call = *call_;
    const bool first = image.side == 0;
    const int argument = first ? PuzzleArgument::saliency1 : PuzzleArgument::saliency2;
    const int64_t count = first ? int64_t{call.saliency_rows1} * call.saliency_columns1
                                : int64_t{call.saliency_rows2} * call.saliency_columns2;
    for (int64_t i = 0; i < count; ++i) {
      const double x = element(first ? call.saliency1 : call.saliency2, image.index * count + i);
      if (!(x >= 0 && std::isfinite(x))) return {Fault::value, argument, image.index, i};
    }
    return {};
  }

  const Sizes sizes_;
  const LabelCost cost_;
  Owned<Work> memory_;
  PooledImage pooled_[2];
  PlainTeam team_;
  const PuzzleCall* call_ = nullptr;
  std::optional<AlphaBetaSwap<Words, Width>> swap_;
  std::optional<ExactLabeling<Words, Width>> exact_;
  std::optional<BlockApprox> approx_;
  std::optional<BlockExact> exact_transport_;
};

}  // namespace

Status puzzle_plan_cpu(const PuzzleProblem& problem, int threads) {
  const CpuCall call(problem);
  const std::vector<int64_t> order =
      call.partner && call.one_batch() ? chained_pairs(call) : std::vector<int64_t>();
  const int64_t pixels = int64_t{call.channels} * call.rows * call.columns;
  const int64_t nanoseconds = pixels / 2 + 30 * call.labels * call.cells() + 1000;
  constexpr int64_t kWorthwhile = 10000;  // nanoseconds that pay for waking a thread
  constexpr int64_t kKept = 16 << 20;     // bytes that a thread may keep from call to call
  const bool large = 2 * int64_t{sizeof(double)} * call.image_cells() > kKept;
  return for_words(call.height, call.width, [&](auto words, auto width) {
    return solve_batch<Planner<words, width>>(call, kWorthwhile / nanoseconds + 1, threads,
                                              order.empty() ? nullptr : order.data(), large);
  });
}

}  // namespace puzzlemix
