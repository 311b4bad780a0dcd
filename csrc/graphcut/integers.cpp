#include "graphcut/integers.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "numeric.h"

namespace puzzlemix {
namespace {

constexpr double kBound = 1 << 30;

// Unlike a cast after rounding, the low word of the shifted sum vectorises without SSE4.1.
inline int32_t round_to_int(double x) {
  const double shifted = x + 6755399441055744.0;
  int64_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  return static_cast<int32_t>(bits);
}

// Of costs, which are never negative.
template <typename Values>
double largest(const Values& values) {
  return values.size() == 0 ? 0 : maximum(values.data(), static_cast<int>(values.size()));
}

bool all_finite(const Doubles& values) {
  constexpr double kMax = std::numeric_limits<double>::max();
  int bad = 0;
  for (int i = 0; i < values.size(); ++i) bad |= !(std::abs(values[i]) <= kMax);
  return !bad;
}

bool all_capacities(const Doubles& values) {
  constexpr double kMax = std::numeric_limits<double>::max();
  int bad = 0;
  for (int i = 0; i < values.size(); ++i) bad |= !(values[i] >= 0) | !(values[i] <= kMax);
  return !bad;
}

// The scale of a sample; 0 where it is out of bounds.
double sample_scale(double sum, bool integers) {
  if (integers) return sum < kBound ? 1 : 0;
  return std::isfinite(sum) ? power_scale(sum) : 0;
}

int edge_count(int height, int width) { return (height - 1) * width + height * (width - 1); }

// Rounds the edges into planes: each at its upper or left cell, 0 at the border.
void round_edges(const double* vertical, const double* horizontal, int height, int width,
                 double unit, double scale, int32_t* down, int32_t* right) {
  const int vertical_count = (height - 1) * width;
  for (int i = 0; i < vertical_count; ++i) down[i] = round_to_int(vertical[i] * unit * scale);
  std::fill(down + vertical_count, down + height * width, 0);
  for (int y = 0; y < height; ++y) {
    const double* in = horizontal + y * (width - 1);
    int32_t* out = right + y * width;
    for (int x = 0; x + 1 < width; ++x) out[x] = round_to_int(in[x] * unit * scale);
    out[width - 1] = 0;
  }
}

}  // namespace

Sample::Sample(const LabelingProblem& problem, const LabelCost& label_cost)
    : problem_(problem),
      label_cost_(label_cost),
      height_(problem.height),
      width_(problem.width),
      cells_(problem.height * problem.width),
      unary_in_(cells_ * problem.labels),
      vertical_in_((height_ - 1) * width_),
      horizontal_in_(height_ * (width_ - 1)),
      planes_(cells_ * problem.labels),
      unary_(padded(cells_) * problem.labels),
      right_(padded(cells_)),
      down_(padded(cells_)) {}

bool Sample::read(int64_t b) {
  unary_in_.read(problem_.unary, b);
  vertical_in_.read(problem_.vertical, b);
  horizontal_in_.read(problem_.horizontal, b);
  return all_finite(unary_in_) && all_capacities(vertical_in_) && all_capacities(horizontal_in_);
}

bool Sample::load(int64_t b) {
  if (!read(b)) return false;
  const int labels = problem_.labels;
  const double weight = std::max(largest(vertical_in_), largest(horizontal_in_));
  const double unit = label_cost_.unit, pair = weight * unit * label_cost_.largest;

  // Planes, the cheapest label at 0, no more than `limit`: no optimum and no chain of swaps
  // reaches a label that costs more, and a forbidding cost must not eat the precision.
  const double limit =
      pair > 0 ? 4.0 * (labels + 1) * pair : std::numeric_limits<double>::infinity();
  double* const planes = planes_.data();
  double* const cheapest = planes;  // plane 0 doubles as scratch for the minimum, then is made last
  for (int i = 0; i < cells_; ++i) {
    double least = unary_in_[i * labels];
    for (int l = 1; l < labels; ++l) least = std::min(least, unary_in_[i * labels + l]);
    cheapest[i] = least;
  }
  for (int l = labels - 1; l >= 0; --l) {
    for (int i = 0; i < cells_; ++i) {
      const double above = unary_in_[i * labels + l] - cheapest[i];
      planes[l * cells_ + i] = above < limit ? above : limit;
    }
  }
  const double top = largest(planes_);
  const double scale =
      sample_scale(cells_ * top + edge_count(height_, width_) * pair, problem_.integers);
  if (scale == 0) return false;
  for (int l = 0; l < labels; ++l) {
    int32_t* const out = &unary_[l * padded(cells_)];
    for (int i = 0; i < cells_; ++i) out[i] = round_to_int(planes[l * cells_ + i] * scale);
  }
  round_edges(vertical_in_.data(), horizontal_in_.data(), height_, width_, unit, scale,
              down_.data(), right_.data());
  return true;
}

void Sample::cheapest(int32_t* out) const {
  for (int l = problem_.labels - 1; l >= 0; --l) {
    const int32_t* const cost = unary(l);
    for (int i = 0; i < cells_; ++i) out[i] = cost[i] == 0 ? l : out[i];
  }
}

double Sample::energy(const int64_t* labels) const {
  const int count = problem_.labels;
  const double* cost = label_cost_.given;
  double sum = 0;
  for (int i = 0; i < cells_; ++i) sum += unary_in_[i * count + labels[i]];
  for (int i = 0; i < (height_ - 1) * width_; ++i) {
    sum += vertical_in_[i] * cost[labels[i] * count + labels[i + width_]];
  }
  for (int y = 0; y < height_; ++y) {
    const int64_t* row = labels + y * width_;
    const double* weights = horizontal_in_.data() + y * (width_ - 1);
    for (int x = 0; x + 1 < width_; ++x) sum += weights[x] * cost[row[x] * count + row[x + 1]];
  }
  return sum;
}

CutSample::CutSample(const MinCutProblem& problem)
    : problem_(problem),
      height_(problem.height),
      width_(problem.width),
      cells_(problem.height * problem.width),
      source_in_(cells_),
      sink_in_(cells_),
      vertical_in_((height_ - 1) * width_),
      horizontal_in_(height_ * (width_ - 1)),
      excess_(padded(cells_)),
      right_(padded(cells_)),
      down_(padded(cells_)) {}

bool CutSample::load(int64_t b) {
  const auto fill = [b](const Array& array, Doubles& out) {
    out.read(array, b);
    return all_capacities(out);
  };
  const bool allowed = fill(problem_.source, source_in_) && fill(problem_.sink, sink_in_) &&
                       fill(problem_.vertical, vertical_in_) &&
                       fill(problem_.horizontal, horizontal_in_);
  if (!allowed) return false;
  const double terminal = std::max(largest(source_in_), largest(sink_in_));
  const double edge = std::max(largest(vertical_in_), largest(horizontal_in_));
  const double scale =
      sample_scale(cells_ * terminal + edge_count(height_, width_) * edge, problem_.integers);
  if (scale == 0) return false;
  for (int i = 0; i < cells_; ++i) {
    excess_[i] = round_to_int(source_in_[i] * scale) - round_to_int(sink_in_[i] * scale);
  }
  round_edges(vertical_in_.data(), horizontal_in_.data(), height_, width_, 1, scale, down_.data(),
              right_.data());
  return true;
}

double CutSample::value(const bool* segment) const {
  double sum = 0;
  for (int i = 0; i < cells_; ++i) sum += segment[i] ? source_in_[i] : sink_in_[i];
  for (int i = 0; i < (height_ - 1) * width_; ++i) {
    if (segment[i] != segment[i + width_]) sum += vertical_in_[i];
  }
  for (int y = 0; y < height_; ++y) {
    const bool* row = segment + y * width_;
    for (int x = 0; x + 1 < width_; ++x) {
      if (row[x] != row[x + 1]) sum += horizontal_in_[y * (width_ - 1) + x];
    }
  }
  return sum;
}

}  // namespace puzzlemix
