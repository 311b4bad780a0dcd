#include "objective/block_sums.h"

#include <vector>

#include "pool.h"

namespace puzzlemix {
namespace {

// Each item i of the first half becomes add(i, i + half), until one is left.
template <typename Add>
void by_halves(int size, const Add& add) {
  for (; size > 1; size /= 2) {
    const int half = size / 2;
    for (int i = 0; i < half; ++i) add(i, i + half);
    if (size % 2) add(0, size - 1);
  }
}

// `rows` has room for the rows of a block. Twos, the usual size of a window, are loops that
// vectorise (a third of the time).
template <typename In, typename Out>
void sum_plane(const BlockSums& p, const In* in, Out* out, Out* rows) {
  const int width = p.width;
  for (int top = 0; top < p.height; top += p.rows, in += int64_t{p.rows} * width) {
    if (p.rows == 2) {
      for (int x = 0; x < width; ++x) {
        rows[x] = static_cast<Out>(in[x]) + static_cast<Out>(in[x + width]);
      }
    } else {
      for (int k = 0; k < p.rows * width; ++k) rows[k] = static_cast<Out>(in[k]);
      by_halves(p.rows, [=](int to, int from) {
        Out* const sum = rows + to * width;
        const Out* const term = rows + from * width;
        for (int x = 0; x < width; ++x) sum[x] += term[x];
      });
    }
    if (p.columns == 2) {
      for (int k = 0; k < width / 2; ++k) out[k] = rows[2 * k] + rows[2 * k + 1];
    } else {
      for (int k = 0; k < width / p.columns; ++k) {
        Out* const cells = rows + k * p.columns;
        by_halves(p.columns, [=](int to, int from) { cells[to] += cells[from]; });
        out[k] = cells[0];
      }
    }
    out += width / p.columns;
  }
}

template <typename In, typename Out>
Status sum_planes(const BlockSums& p, int threads) {
  constexpr int64_t kWorthwhile = 1 << 16;  // values that pay for waking a thread
  const int64_t values = int64_t{p.height} * p.width;
  const int64_t sums = (p.height / p.rows) * (p.width / p.columns);
  parallel_for(p.planes, 1 + kWorthwhile / values, threads, [&](int64_t begin, int64_t end) {
    std::vector<Out> rows(int64_t{p.rows} * p.width);
    for (int64_t k = begin; k < end; ++k) {
      sum_plane(p, static_cast<const In*>(p.values.data) + k * values,
                static_cast<Out*>(p.sums) + k * sums, rows.data());
    }
  });
  return {};
}

}  // namespace

Status block_sums_cpu(const BlockSums& p, int threads) {
  if (p.values.dtype == Dtype::float64) return sum_planes<double, double>(p, threads);
  if (p.precise) return sum_planes<float, double>(p, threads);
  return sum_planes<float, float>(p, threads);
}

}  // namespace puzzlemix
