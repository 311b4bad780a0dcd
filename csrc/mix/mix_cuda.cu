// The mix on the GPU: bound by memory. A float32 mix of B x C x Y x X reads 4 bytes a pixel where z
// is 0 or 1 (twice that elsewhere) and writes 4, so 256 x 3 x 224 x 224 move at least 308 MB: about
// 0.1 ms at 3 TB/s. One thread takes kWide neighbouring pixels of one row and all channels, so that
// the mask and the sources are read once for all of them.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>

#include "mix/mix.h"

namespace puzzlemix {
namespace {

constexpr int kThreads = 256;

template <typename T>
struct Element {
  using Real = float;
  __device__ static float get(T x) { return static_cast<float>(x); }
  __device__ static T put(float x) { return static_cast<T>(x); }
};
template <>
struct Element<double> {
  using Real = double;
  __device__ static double get(double x) { return x; }
  __device__ static double put(double x) { return x; }
};

template <typename T, int Wide>
struct alignas(sizeof(T) * Wide) Pixels {
  T pixel[Wide];
};

struct Place {
  int64_t sample, y, x;
};

// The geometry of a call, in the order in which a thread needs it.
template <typename Real>
struct Geometry {
  explicit Geometry(const MixLayout& p)
      : mask(static_cast<const Real*>(p.mask.data)),
        mask_grid(p.mask_grid),
        map1(p.map1),
        map2(p.map2),
        batch(p.batch),
        channels(p.channels),
        height(p.height),
        width(p.width) {}

  __device__ Place place(int64_t item, int wide) const {
    const int64_t columns = width / wide;
    const int64_t row = item / columns;
    return {row / height, row % height, (item - row * columns) * wide};
  }

  __device__ Real z(const Place& at) const {
    const int64_t row = at.y / (height / mask_grid.rows), col = at.x / (width / mask_grid.cols);
    return mask[(at.sample * mask_grid.rows + row) * mask_grid.cols + col];
  }

  // Where in its plane the pixel comes from. An index out of range counts as the own place.
  __device__ int64_t origin(const BlockMap& map, const Place& at) const {
    if (!map.source) return at.y * width + at.x;
    const int64_t block_height = height / map.grid.rows, block_width = width / map.grid.cols;
    const int64_t cells = map.grid.rows * map.grid.cols;
    const int64_t row = at.y / block_height, col = at.x / block_width;
    const int64_t target = row * map.grid.cols + col;
    int64_t from = map.source[at.sample * cells + target];
    if (from < 0 || from >= cells) from = target;
    const int64_t y = at.y + (from / map.grid.cols - row) * block_height;
    return y * width + at.x + (from % map.grid.cols - col) * block_width;
  }

  const Real* mask;
  Grid mask_grid;
  BlockMap map1, map2;
  int64_t batch, channels, height, width;
};

template <typename T, int Wide>
__global__ void mix_kernel(Geometry<typename Element<T>::Real> g, const T* x1, const T* x2,
                           T* out) {
  using Real = typename Element<T>::Real;
  using Vector = Pixels<T, Wide>;
  const int64_t items = g.batch * g.height * (g.width / Wide), plane = g.height * g.width;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; item < items;
       item += stride) {
    const Place at = g.place(item, Wide);
    const Real z = g.z(at), rest = 1 - z;
    const int64_t first = at.sample * g.channels * plane;
    const int64_t from1 = first + g.origin(g.map1, at), from2 = first + g.origin(g.map2, at);
    const int64_t to = first + at.y * g.width + at.x;
    for (int64_t c = 0; c < g.channels; ++c) {
      const int64_t shift = c * plane;
      Vector result;
      if (z == 1) {
        result = *reinterpret_cast<const Vector*>(x1 + from1 + shift);
      } else if (z == 0) {
        result = *reinterpret_cast<const Vector*>(x2 + from2 + shift);
      } else {
        const Vector a = *reinterpret_cast<const Vector*>(x1 + from1 + shift);
        const Vector b = *reinterpret_cast<const Vector*>(x2 + from2 + shift);
        for (int i = 0; i < Wide; ++i) {
          result.pixel[i] =
              Element<T>::put(z * Element<T>::get(a.pixel[i]) + rest * Element<T>::get(b.pixel[i]));
        }
      }
      *reinterpret_cast<Vector*>(out + to + shift) = result;
    }
  }
}

// grad1 and grad2: each thread carries its pixels of g back to where they came from.
template <typename T, int Wide>
__global__ void mix_grad_kernel(Geometry<typename Element<T>::Real> g, const T* grad, T* grad1,
                                T* grad2) {
  using Real = typename Element<T>::Real;
  using Vector = Pixels<T, Wide>;
  const int64_t items = g.batch * g.height * (g.width / Wide), plane = g.height * g.width;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; item < items;
       item += stride) {
    const Place at = g.place(item, Wide);
    const Real z = g.z(at), rest = 1 - z;
    const int64_t first = at.sample * g.channels * plane;
    const int64_t to1 = first + g.origin(g.map1, at), to2 = first + g.origin(g.map2, at);
    const int64_t from = first + at.y * g.width + at.x;
    for (int64_t c = 0; c < g.channels; ++c) {
      const int64_t shift = c * plane;
      const Vector v = *reinterpret_cast<const Vector*>(grad + from + shift);
      Vector share1, share2;
      for (int i = 0; i < Wide; ++i) {
        const Real x = Element<T>::get(v.pixel[i]);
        share1.pixel[i] = Element<T>::put(z == 0 ? Real{0} : z * x);
        share2.pixel[i] = Element<T>::put(rest == 0 ? Real{0} : rest * x);
      }
      if (grad1) *reinterpret_cast<Vector*>(grad1 + to1 + shift) = share1;
      if (grad2) *reinterpret_cast<Vector*>(grad2 + to2 + shift) = share2;
    }
  }
}

// grad_mask: one block of threads sums one cell of one sample, in an order that its shape fixes.
template <typename T>
__global__ void mask_grad_kernel(Geometry<typename Element<T>::Real> g, const T* grad, const T* x1,
                                 const T* x2, double* grad_mask) {
  __shared__ double sums[kThreads];
  const int64_t cells = g.mask_grid.rows * g.mask_grid.cols, plane = g.height * g.width;
  const int64_t side_y = g.height / g.mask_grid.rows, side_x = g.width / g.mask_grid.cols;
  for (int64_t cell = blockIdx.x; cell < g.batch * cells; cell += gridDim.x) {
    const int64_t sample = cell / cells, row = cell % cells / g.mask_grid.cols;
    const int64_t col = cell % g.mask_grid.cols, first = sample * g.channels * plane;
    double sum = 0;
    for (int64_t i = threadIdx.x; i < side_y * side_x; i += kThreads) {
      const Place at{sample, row * side_y + i / side_x, col * side_x + i % side_x};
      const int64_t to = first + at.y * g.width + at.x;
      const int64_t from1 = first + g.origin(g.map1, at), from2 = first + g.origin(g.map2, at);
      for (int64_t c = 0; c < g.channels; ++c) {
        const double difference = static_cast<double>(Element<T>::get(x1[from1 + c * plane])) -
                                  Element<T>::get(x2[from2 + c * plane]);
        sum += Element<T>::get(grad[to + c * plane]) * difference;
      }
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    for (int half = kThreads / 2; half > 0; half /= 2) {
      if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
      __syncthreads();
    }
    if (threadIdx.x == 0) grad_mask[cell] = sums[0];
    __syncthreads();
  }
}

unsigned blocks(int64_t items, int64_t per_block) {
  return static_cast<unsigned>(std::min<int64_t>((items + per_block - 1) / per_block, 1 << 20));
}

// Whether runs of `wide` pixels stay within one block of every grid and start aligned.
bool allows(const MixLayout& l, int wide) {
  const auto fits = [&](const Grid& grid) { return l.width / grid.cols % wide == 0; };
  return fits(l.mask_grid) && fits(l.map1.grid) && fits(l.map2.grid);
}

bool aligned(const void* address) { return reinterpret_cast<uintptr_t>(address) % 16 == 0; }

template <typename T, int Wide>
void launch(const MixProblem& p, cudaStream_t stream) {
  const Geometry<typename Element<T>::Real> g(p.layout);
  const unsigned grid = blocks(g.batch * g.height * (g.width / Wide), kThreads);
  mix_kernel<T, Wide><<<grid, kThreads, 0, stream>>>(
      g, static_cast<const T*>(p.x1), static_cast<const T*>(p.x2), static_cast<T*>(p.out));
}

template <typename T, int Wide>
void launch(const MixGradProblem& p, cudaStream_t stream) {
  const Geometry<typename Element<T>::Real> g(p.layout);
  const unsigned grid = blocks(g.batch * g.height * (g.width / Wide), kThreads);
  mix_grad_kernel<T, Wide><<<grid, kThreads, 0, stream>>>(
      g, static_cast<const T*>(p.grad), static_cast<T*>(p.grad1), static_cast<T*>(p.grad2));
}

template <typename T>
void solve(const MixProblem& p, cudaStream_t stream) {
  constexpr int kWide = 16 / sizeof(T);
  const bool wide = allows(p.layout, kWide) && aligned(p.x1) && aligned(p.x2) && aligned(p.out);
  wide ? launch<T, kWide>(p, stream) : launch<T, 1>(p, stream);
}

template <typename T>
void solve(const MixGradProblem& p, cudaStream_t stream) {
  constexpr int kWide = 16 / sizeof(T);
  if (p.grad1 || p.grad2) {
    const bool wide =
        allows(p.layout, kWide) && aligned(p.grad) && aligned(p.grad1) && aligned(p.grad2);
    wide ? launch<T, kWide>(p, stream) : launch<T, 1>(p, stream);
  }
  if (p.grad_mask) {
    const Geometry<typename Element<T>::Real> g(p.layout);
    const int64_t cells = g.batch * g.mask_grid.rows * g.mask_grid.cols;
    mask_grad_kernel<T><<<blocks(cells, 1), kThreads, 0, stream>>>(
        g, static_cast<const T*>(p.grad), static_cast<const T*>(p.x1), static_cast<const T*>(p.x2),
        p.grad_mask);
  }
}

template <typename Problem>
int for_dtype(const Problem& p, void* stream_address) {
  if (p.layout.batch == 0 || p.layout.channels == 0) return cudaSuccess;
  const auto stream = static_cast<cudaStream_t>(stream_address);
  switch (p.layout.dtype) {
    case Dtype::float16:
      solve<__half>(p, stream);
      break;
    case Dtype::bfloat16:
      solve<__nv_bfloat16>(p, stream);
      break;
    case Dtype::float64:
      solve<double>(p, stream);
      break;
    default:
      solve<float>(p, stream);
  }
  return cudaGetLastError();
}

}  // namespace

int mix_cuda(const MixProblem& problem, void* stream) { return for_dtype(problem, stream); }

int mix_grad_cuda(const MixGradProblem& problem, void* stream) {
  return for_dtype(problem, stream);
}

}  // namespace puzzlemix
