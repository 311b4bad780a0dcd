// An assignment of least total cost, for integer costs (Jonker and Volgenant 1987, recast).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstdio>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

namespace puzzlemix {

class ExactAssignment {
 public:
  template <typename Rows>
  void solve(int n, Rows& rows, int64_t* source) {
    resize(n);
    start(rows);
    static int noarr=getenv("NOARR")?1:0; if(!noarr) bid(rows);
    scan0_ = scans; hard = false;
    static int so = getenv("SORT") ? atoi(getenv("SORT")) : 0;
    if (so & 2) std::stable_sort(free_rows_.begin(), free_rows_.end(), [&](int a, int b) { return rowmin_[a] < rowmin_[b]; });
    for (int i : free_rows_) {
      if (scans - scan0_ > budget_ * n_) { hard = true; break; }
      augment(rows, i);
    }
    if (hard) auction(rows);
    for (int j = 0; j < n; ++j) source[j] = row_[j];
  }
  long scan0_ = 0, budget_ = getenv("BUD") ? atoi(getenv("BUD")) : 8, phases = 0, abids = 0, arefresh = 0; bool hard = false;
  long factor_ = getenv("FAC") ? atoi(getenv("FAC")) : 8;
  template <typename Rows>
  void auction(Rows& rows) {
    static const bool fresh = getenv("FRESH") != nullptr;
    static const double late = getenv("LATE") ? atof(getenv("LATE")) : 1;
    if (fresh) std::fill(dual_.begin(), dual_.end(), 0.0);
    double eps = 1;
    while (eps * factor_ < range_) eps *= 2;
    double f = factor_;
    bool last = false;
    while (!last) {
      last = eps <= 1.0 / 8192;
      ++phases;
      std::fill(row_.begin(), row_.end(), -1);
      std::vector<int>& queue = free_rows_;
      queue.resize(n_);
      std::iota(queue.begin(), queue.end(), 0);
      long b0 = abids;
      for (size_t head = 0; head < queue.size(); ++head) {
        const int i = queue[head];
        ++abids;
        double *c = costs_.data();
        rows.fill(i, c);
        for (int j = n_; j < padded_; ++j) { c[j] = kInfinity; }
        double second;
        const double first = two(c, dual_.data(), second);
        int j = -1;
        for (int l = 0; j < 0; ++l) {
          if (lane_[l] != first) continue;
          j = l;
          while (c[j] - dual_[j] != first) j += kLanes;
        }
        dual_[j] -= (n_ > 1 ? second - first : 0) + eps;
        const int old = row_[j];
        row_[j] = i;
        if (old >= 0) queue.push_back(old);
      }
      if (getenv("VERB")) printf("eps %g bids %.2f\n", eps, double(abids-b0)/n_);
      if (abids - b0 < 2 * n_) f *= late;
      eps = std::max(1.0 / 8192, eps / f);
    }
  }
  double two(const double* c, const double* v, double& second) {
    double m1[kLanes], m2[kLanes];
    for (int l = 0; l < kLanes; ++l) m1[l] = m2[l] = kInfinity;
    for (int j = 0; j < padded_; j += kLanes) {
      for (int l = 0; l < kLanes; ++l) {
        const double x = c[j + l] - v[j + l];
        const double hi = x > m1[l] ? x : m1[l];
        m1[l] = x < m1[l] ? x : m1[l];
        m2[l] = hi < m2[l] ? hi : m2[l];
      }
    }
    for (int l = 0; l < kLanes; ++l) lane_[l] = m1[l];
    for (int half = kLanes / 2; half > 0; half /= 2) {
      for (int l = 0; l < half; ++l) {
        const double hi = m1[l] > m1[l + half] ? m1[l] : m1[l + half];
        const double lo = m2[l] < m2[l + half] ? m2[l] : m2[l + half];
        m1[l] = m1[l] < m1[l + half] ? m1[l] : m1[l + half];
        m2[l] = hi < lo ? hi : lo;
      }
    }
    second = m2[0];
    return m1[0];
  }
  long scans = 0, refreshes = 0, bids = 0, left = 0;  // STAT

 private:
  static constexpr int kListed = 12;
  static constexpr int kLanes = 32;
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();

  struct Entry {
    int column;
    double cost;
  };

  void resize(int n) {
    if (n == n_) return;
    n_ = n;
    padded_ = (n + kLanes - 1) / kLanes * kLanes;
    for (auto* v : {&dual_, &other_dual_, &costs_, &distance_, &shifted_}) v->resize(padded_);
    row_.resize(n);
    column_.resize(n);
    list_.resize(static_cast<size_t>(n) * kListed);
    listed_.resize(n);
    rest_.resize(n);
    candidates_.resize(n);
  }

  // Passes over all costs once. 
  template <typename Rows>
  void start(Rows& rows) {
    std::fill(row_.begin(), row_.end(), -1);
    std::fill(column_.begin(), column_.end(), -1);
    std::fill(listed_.begin(), listed_.end(), -1);
    std::fill(dual_.begin(), dual_.end(), kInfinity);
    std::fill(other_dual_.begin(), other_dual_.end(), kInfinity);
    int matched = 0; range_ = 0; rowmin_.resize(n_);
    double sum_row_minima = 0;
    for (int i = 0; i < n_; ++i) {
      rows.fill(i, costs_.data());
      const double least = least_cost(costs_.data());
      const int j = first_at(costs_.data(), least, i);
      if (row_[j] < 0) {
        row_[j] = i;
        column_[i] = j;
        ++matched;
      }
      lower(costs_.data(), least);
      rowmin_[i] = least; range_ = std::max(range_, *std::max_element(costs_.begin(), costs_.begin() + n_));
    }
    (void)sum_row_minima;
    if (matched >= n_ - n_ / 8) {
      std::fill(dual_.begin(), dual_.end(), 0);
    } else {
      std::fill(row_.begin(), row_.end(), -1);
      std::fill(column_.begin(), column_.end(), -1);
      if (worth(rows, other_dual_) > worth(rows, dual_)) dual_.swap(other_dual_);
    }
    free_rows_.clear();
    for (int i = 0; i < n_; ++i) {
      if (column_[i] < 0) free_rows_.push_back(i);
    }
    static int so = getenv("SORT") ? atoi(getenv("SORT")) : 0;
    if (so & 1) std::stable_sort(free_rows_.begin(), free_rows_.end(), [&](int a, int b) { return rowmin_[a] < rowmin_[b]; });
  }

  // dual_: column minima of the costs; other_dual_: of the costs less each row's minimum.
  void lower(const double* costs, double least) {
    double *d = dual_.data(), *o = other_dual_.data();
    const int n = n_;
    for (int j = 0; j < n; ++j) {
      const double c = costs[j], r = c - least;
      d[j] = c < d[j] ? c : d[j];
      o[j] = r < o[j] ? r : o[j];
    }
  }

  template <typename Rows>
  double worth(Rows& rows, const std::vector<double>& dual) {
    double sum = 0;
    for (int j = 0; j < n_; ++j) sum += dual[j];
    const int step = std::max(1, n_ / 16);
    double rowsum = 0;
    int count = 0;
    for (int i = 0; i < n_; i += step, ++count) {
      rows.fill(i, costs_.data());
      const double *d = dual.data();
      for (int j = 0; j < n_; ++j) costs_[j] -= d[j];
      rowsum += least_cost(costs_.data());
    }
    return sum + rowsum / count * n_;
  }

  // Minima by lane.
  void lanes(const double* costs, double* lane) const {
    for (int l = 0; l < kLanes; ++l) lane[l] = kInfinity;
    const int whole = n_ / kLanes * kLanes;
    for (int j = 0; j < whole; j += kLanes) {
      for (int l = 0; l < kLanes; ++l) lane[l] = costs[j + l] < lane[l] ? costs[j + l] : lane[l];
    }
    for (int j = whole; j < n_; ++j) lane[j - whole] = std::min(lane[j - whole], costs[j]);
  }
  double least_cost(const double* costs) {
    lanes(costs, lane_);
    double fold[kLanes];
    for (int l = 0; l < kLanes; ++l) fold[l] = lane_[l];
    for (int half = kLanes / 2; half > 0; half /= 2) {
      for (int l = 0; l < half; ++l) fold[l] = fold[l + half] < fold[l] ? fold[l + half] : fold[l];
    }
    return fold[0];
  }
  // The first column from `from` on, cyclically, at the least cost, by lanes.
  int first_at(const double* costs, double least, int from) const {
    if (costs[from] == least) return from;
    for (int l = 0; l < kLanes; ++l) {
      if (lane_[l] != least) continue;
      for (int j = l; j < n_; j += kLanes) {
        if (costs[j] == least) return j;
      }
    }
    return -1;
  }

  template <typename Rows>
  void list(Rows& rows, int i) {
    ++refreshes;
    double* reduced = costs_.data();
    rows.fill(i, reduced);
    const double* dual = dual_.data();
    for (int j = 0; j < n_; ++j) reduced[j] -= dual[j];
    Entry* entries = &list_[static_cast<size_t>(i) * kListed];
    if (n_ <= kListed) {
      for (int j = 0; j < n_; ++j) entries[j] = {j, reduced[j] + dual[j]};
      listed_[i] = n_;
      rest_[i] = kInfinity;
      return;
    }
    lanes(reduced, lane_);
    double sorted[kLanes];
    std::copy_n(lane_, kLanes, sorted);
    constexpr int kth = kListed * 3 / 4;
    std::nth_element(sorted, sorted + kth - 1, sorted + kLanes);
    double rest = sorted[kth - 1];
    int count = 0;
    int* c = candidates_.data();
    for (int l = 0; l < kLanes; ++l) {
      if (lane_[l] >= rest) continue;
      for (int j = l; j < n_; j += kLanes) {
        c[count] = j;
        count += reduced[j] < rest;
      }
    }
    if (count > kListed) {
      std::nth_element(c, c + kListed, c + count,
                       [&](int a, int b) { return reduced[a] < reduced[b]; });
      rest = reduced[c[kListed]];
      count = kListed;
    } else {
      // ties, free columns first, from column i on
      for (int pass = 0; pass < 2 && count < kListed; ++pass) {
        for (int a = 0; a < kLanes && count < kListed; ++a) {
          const int l = (i + a) % kLanes;
          if (lane_[l] > rest) continue;
          int j = i - i % kLanes + l;
          if (j >= n_) j = l;
          const int j0 = j;
          do {
            if (reduced[j] == rest && (row_[j] < 0) == (pass == 0)) c[count++] = j;
            j += kLanes;
            if (j >= n_) j = l;
          } while (j != j0 && count < kListed);
        }
      }
    }
    for (int k = 0; k < count; ++k) entries[k] = {c[k], reduced[c[k]] + dual[c[k]]};
    listed_[i] = count;
    rest_[i] = rest;
  }

  struct Best {
    double first, second;
    int column, other;
  };
  Best best(int i) const {
    const Entry* e = &list_[static_cast<size_t>(i) * kListed];
    Best b{kInfinity, kInfinity, -1, -1};
    for (int k = 0; k < listed_[i]; ++k) {
      const double x = e[k].cost - dual_[e[k].column];
      const bool open = row_[e[k].column] < 0;
      if (x < b.first || (x == b.first && open && row_[b.column] >= 0)) {
        b.second = b.first;
        b.other = b.column;
        b.first = x;
        b.column = e[k].column;
      } else if (x < b.second) {
        b.second = x;
        b.other = e[k].column;
      }
    }
    return b;
  }

  template <typename Rows>
  void bid(Rows& rows) {
    std::vector<int>& queue = free_rows_;
    std::vector<int>& next = next_;
    next.clear();
    long budget = 4L * n_;
    size_t head = 0;
    for (; head < queue.size() && budget > 0; ++head) {
      int i = queue[head];
      while (i >= 0 && budget-- > 0) {
        ++bids;
        bool fresh = false;
        if (listed_[i] < 0) { list(rows, i); fresh = true; }
        Best b = best(i);
        if (b.first > rest_[i] || (b.first == rest_[i] && row_[b.column] >= 0 && !fresh)) {
          list(rows, i);
          b = best(i);
        }
        const double second = std::min(b.second, rest_[i]);
        const bool pays = second > b.first;
        int j = b.column;
        if (pays) dual_[j] -= second - b.first;
        else if (row_[j] >= 0 && b.other >= 0 && b.second == b.first) j = b.other;
        const int old = row_[j];
        row_[j] = i;
        column_[i] = j;
        i = -1;
        if (old >= 0) {
          column_[old] = -1;
          if (pays) i = old;
          else if (++ties_[old] < 3) queue.push_back(old); else next.push_back(old);
        }
      }
      if (i >= 0) next.push_back(i);
    }
    for (; head < queue.size(); ++head) next.push_back(queue[head]);
    queue.swap(next);
    left += (long)queue.size();
  }

  template <typename Rows>
  void augment(Rows& rows, int root) {
    double *d = distance_.data(), *v = shifted_.data(), *c = costs_.data();
    for (int j = 0; j < padded_; ++j) {
      d[j] = kInfinity;
      v[j] = j < n_ ? 4096 * (dual_[j] + (row_[j] < 0 ? .5 : 0)) : -kInfinity;
    }
    for (int j = n_; j < padded_; ++j) c[j] = 0;
    settled_.clear();
    int i = root, at;
    double base = 0, best;
    while (true) {
      ++scans;
      rows.fill(i, c);
      if (i != root) base -= c[at] - dual_[at];
      const double m = relax(c, v, d, 4096 * base + i);
      at = -1;
      for (int l = 0; at < 0; ++l) {
        if (lane_[l] != m) continue;
        at = l;
        while (d[at] != m) at += kLanes;
      }
      const bool open = row_[at] < 0;
      const double key = open ? m + 2048 : m;
      best = std::floor(key / 4096);
      from_.resize(n_);
      from_[at] = static_cast<int>(key - 4096 * best);
      if (open) break;
      settled_.push_back({at, best});
      d[at] = kInfinity;
      v[at] = -kInfinity;
      i = row_[at];
      base = best;
    }
    for (const Entry& e : settled_) dual_[e.column] += e.cost - best;
    while (true) {
      const int r = from_[at];
      row_[at] = r;
      std::swap(at, column_[r]);
      if (r == root) break;
    }
  }

  double relax(const double* c, const double* v, double* d, double shift) {
    double lane[kLanes];
    for (int l = 0; l < kLanes; ++l) lane[l] = kInfinity;
    for (int j = 0; j < padded_; j += kLanes) {
      for (int l = 0; l < kLanes; ++l) {
        const double x = c[j + l] * 4096 - v[j + l] + shift;
        const double y = x < d[j + l] ? x : d[j + l];
        d[j + l] = y;
        lane[l] = y < lane[l] ? y : lane[l];
      }
    }
    for (int l = 0; l < kLanes; ++l) lane_[l] = lane[l];
    for (int half = kLanes / 2; half > 0; half /= 2) {
      for (int l = 0; l < half; ++l) lane[l] = lane[l + half] < lane[l] ? lane[l + half] : lane[l];
    }
    return lane[0];
  }

  int n_ = 0, padded_ = 0;
  std::vector<double> dual_, other_dual_, costs_, distance_, shifted_, rest_;
  std::vector<int> row_, column_, listed_, candidates_, free_rows_, next_, from_;
  std::vector<Entry> list_, settled_;
  double lane_[kLanes]; double range_; std::vector<double> rowmin_;
 public:
  std::vector<int> ties_ = std::vector<int>(4096);
};

}  // namespace puzzlemix
