// The first prices of the exact block transport: one price p(w) for all places of weight w.
#pragma once

#include "transport/block_grid.h"

namespace puzzlemix {

// The squared distance of every cell to the nearest cell on the other side of a division of the
// grid: two passes of minima of sums (Felzenszwalb and Huttenlocher 2012), over a window because
// bytes at sixteen an instruction beat their linear-time scan. 16 x 16, reach 3: 0.4 us.
class NearestAcross {
 public:
  static constexpr int kReach = 7;
  // Further away than the reach. Twice the square of the reach more is still a byte.
  static constexpr uint8_t kFar = 128;

  NearestAcross(int height, int width) : height_(height), width_(width) {
    set_reach(kReach);
    for (auto* grid : {&marks_, &rows_, &nearest_}) grid->resize(size());
  }

  // upper: which side each cell is on, 0 or 1. Looks at most `reach` rows and columns away.
  void find(const uint8_t* upper, int reach, uint8_t* squared) {
    set_reach(reach);
    mark(upper);
    std::fill_n(rows_.begin(), size(), kFar);
    spread(marks_, rows_, reach, stride_);
    spread(rows_, nearest_, reach, 1);
    const int height = height_, width = width_, stride = stride_;
    const uint8_t *to_lower = nearest_.data() + margin_, *to_upper = to_lower + plane_;
    for (int i = 0; i < height; ++i, to_lower += stride, to_upper += stride) {
      for (int j = 0; j < width; ++j) squared[j] = upper[j] ? to_lower[j] : to_upper[j];
      squared += width;
      upper += width;
    }
  }

 private:
  // Two planes with empty rows and columns between them as far as the reach, and before and after.
  void set_reach(int reach) {
    stride_ = width_ + reach;
    plane_ = (height_ + reach) * stride_;
    margin_ = reach * (stride_ + 1);
  }
  int size() const { return 2 * (margin_ + plane_); }

  // 0 at the lower cells in one plane, at the upper cells in the other.
  void mark(const uint8_t* upper) {
    std::fill_n(marks_.begin(), size(), kFar);
    const int height = height_, width = width_, stride = stride_;
    uint8_t *lower_row = marks_.data() + margin_, *upper_row = lower_row + plane_;
    for (int i = 0; i < height; ++i, lower_row += stride, upper_row += stride, upper += width) {
      for (int j = 0; j < width; ++j) lower_row[j] = upper[j] ? kFar : 0;
      for (int j = 0; j < width; ++j) upper_row[j] = upper[j] ? 0 : kFar;
    }
  }

  // to[t] = min over |q| <= reach of from[t + q * step] + q^2.
  void spread(const std::vector<uint8_t>& grid, std::vector<uint8_t>& out, int reach,
              int step) const {
    const uint8_t* from = grid.data() + margin_;
    uint8_t* to = out.data() + margin_;
    const int count = 2 * plane_;  // a copy: a byte written through `to` might be a member's
    std::copy_n(from, count, to);
    for (int q = 1; q <= reach; ++q) {
      const uint8_t along = static_cast<uint8_t>(q * q);
      const uint8_t *before = from - q * step, *after = from + q * step;
      for (int t = 0; t < count; ++t) {
        const uint8_t nearer = before[t] < after[t] ? before[t] : after[t];
        const uint8_t squared = static_cast<uint8_t>(nearer + along);
        to[t] = squared < to[t] ? squared : to[t];
      }
    }
  }

  const int height_, width_;
  int stride_ = 0, plane_ = 0, margin_ = 0;
  std::vector<uint8_t> marks_, rows_, nearest_;
};

class BlockPrices {
 public:
  explicit BlockPrices(const BlockSample& sample)
      : sample_(sample),
        nearest_(sample.height, sample.width),
        upper_(sample.cells()),
        squared_(sample.cells()),
        bid_(sample.cells()),
        ask_(sample.cells()) {}

  // The price of every place, and for every block the least that a place can cost it before it
  // moves: a lower bound on price - worth. False where all weights are equal.
  bool set(std::vector<double>& price, std::vector<double>& least) {
    if (!choose_levels()) return false;
    price_[0] = 0;
    for (int k = 1; k < levels_; ++k) price_[k] = price_[k - 1] + clearing_price(k);
    price_places(price.data());
    bound_offers(least.data());
    return true;
  }

 private:
  static constexpr int kLevels = 9;

  // The distinct weights in ascending order; where there are more than kLevels, that many equally
  // spaced ones, between which p is linear.
  bool choose_levels() {
    const double* weight = sample_.weight.data();
    const double least = sample_.lightest, most = sample_.heaviest;
    const int n = sample_.cells();
    if (least == most) return false;
    int between = 0;
    for (int i = 0; i < n; ++i) between += weight[i] != least && weight[i] != most;
    levels_ = 2;
    level_[0] = least;
    level_[1] = most;
    exact_ = between == 0 || collect_levels();
    if (exact_) return true;
    levels_ = kLevels;
    for (int k = 0; k < kLevels; ++k) {
      level_[k] = least + (most - least) * k / (kLevels - 1);
    }
    level_[kLevels - 1] = most;
    return true;
  }

  // False if they are too many.
  bool collect_levels() {
    for (double w : sample_.weight) {
      double* place = std::lower_bound(level_, level_ + levels_, w);
      if (*place == w) continue;
      if (levels_ == kLevels) return false;
      std::copy_backward(place, level_ + levels_, level_ + levels_ + 1);
      *place = w;
      ++levels_;
    }
    return true;
  }

  // What the step from level k - 1 to level k costs: as many blocks below it would pay that to
  // cross to the nearest place above it as blocks above it would rather leave.
  double clearing_price(int k) {
    const int n = sample_.cells();
    find_gains(level_[k - 1], level_[k]);
    // Nobody pays for a move further than this.
    const double reach = std::sqrt(maximum(bid_.data(), n) / sample_.step);
    constexpr double kLimit = NearestAcross::kReach;
    nearest_.find(upper_.data(), static_cast<int>(std::max(1.0, std::min(reach, kLimit))),
                  squared_.data());
    find_bids();
    return clear(maximum(bid_.data(), n), minimum(ask_.data(), n));
  }

  void find_gains(double low, double high) {
    const double scale = sample_.scale;
    const double *s = sample_.saliency.data(), *z = sample_.weight.data();
    double* gain = bid_.data();
    uint8_t* upper = upper_.data();
    const int n = sample_.cells();
    for (int i = 0; i < n; ++i) {
      gain[i] = round_even(scale * (s[i] * high)) - round_even(scale * (s[i] * low));
    }
    for (int i = 0; i < n; ++i) upper[i] = z[i] - low > high - z[i];
  }

  // What a block below would pay at most to cross, and one above would ask for at least to leave.
  void find_bids() {
    constexpr double kNever = std::numeric_limits<double>::infinity();
    const double step = sample_.step;
    double *bid = bid_.data(), *ask = ask_.data();
    const uint8_t *upper = upper_.data(), *squared = squared_.data();
    for (int i = 0, n = sample_.cells(); i < n; ++i) {
      const double gain = bid[i], moving = step * squared[i];
      const double side = upper[i];
      bid[i] = side > 0 ? -kNever : gain - moving;
      ask[i] = side > 0 ? gain + moving : kNever;
    }
  }

  // At the price, the number of bids above it is the number of asks below it: so many bids as there
  // are lie at the price or below, asks counted in. Bids below all asks and asks above all bids
  // don't matter.
  double clear(double most_bid, double least_ask) {
    if (most_bid <= least_ask) return std::max(most_bid, 0.0);
    offers_.clear();
    for (double bid : bid_) {
      if (bid > least_ask) offers_.push_back(bid);
    }
    const size_t bids = offers_.size();
    for (double ask : ask_) {
      if (ask < most_bid) offers_.push_back(ask);
    }
    std::nth_element(offers_.begin(), offers_.begin() + (bids - 1), offers_.end());
    return offers_[bids - 1];
  }

  void price_places(double* price) const {
    const double* z = sample_.weight.data();
    const int n = sample_.cells();
    std::fill_n(price, n, 0.0);
    for (int k = 1; k < levels_; ++k) {
      const double low = level_[k - 1], high = level_[k];
      const double step = price_[k] - price_[k - 1], slope = step / (high - low);
      for (int i = 0; i < n; ++i) {
        const double between = z[i] > low ? (z[i] - low) * slope : 0;
        price[i] += z[i] >= high ? step : between;
      }
    }
    for (int i = 0; i < n; ++i) price[i] = round_even(price[i]);
  }

  void bound_offers(double* least) const {
    const double scale = sample_.scale;
    const double* s = sample_.saliency.data();
    const int n = sample_.cells();
    std::fill_n(least, n, std::numeric_limits<double>::infinity());
    for (int k = 0; k < levels_; ++k) {
      // Between levels, p and the worth are linear but for their roundings.
      const double weight = level_[k], price = price_[k] - (exact_ ? 0 : 2);
      for (int i = 0; i < n; ++i) {
        const double offer = price - round_even(scale * (s[i] * weight));
        least[i] = offer < least[i] ? offer : least[i];
      }
    }
  }

  const BlockSample& sample_;
  NearestAcross nearest_;
  std::vector<uint8_t> upper_, squared_;
  std::vector<double> bid_, ask_, offers_;
  double level_[kLevels + 1], price_[kLevels];
  int levels_ = 0;
  bool exact_ = true;
};

}  // namespace puzzlemix
