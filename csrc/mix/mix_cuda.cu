// The mix on the GPU: bound by memory. In float32, B x C x Y x X read 4 bytes a pixel (8 where z is
// neither 0 nor 1) and write 4: 256 x 3 x 224 x 224 move 308 to 462 MB, 0.1 to 0.15 ms at 3 TB/s.
//
// One thread takes a vector of neighbouring pixels in a row, through all channels, so that mask and
// sources are read and places computed once for all of them. The vectors are the widest that every
// grid's blocks are a multiple of. Places within a plane are numbers of 32 bits, and divisions
// multiplications; only what is added to an address has 64 bits.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "mix/divider.h"
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

constexpr int64_t kMostSamples = 65535;  // of gridDim.y; a block takes every so manieth sample
constexpr int64_t kMostPixels = (int64_t{1} << 31) - 1;  // of a plane

// Where a pixel, the first of a vector, is in its plane, and where the blocks of a grid are.
struct Place {
  uint32_t y, x;
};

struct Tiles {
  Tiles(const Grid& grid, int64_t height, int64_t width)
      : rows(static_cast<uint32_t>(grid.rows)),
        cols(static_cast<uint32_t>(grid.cols)),
        block_height(static_cast<uint32_t>(height / grid.rows)),
        block_width(static_cast<uint32_t>(width / grid.cols)) {}

  __device__ uint32_t cells() const { return rows * cols.divisor(); }

  uint32_t rows;
  Divider cols, block_height, block_width;
};

// Where the blocks of one image come from.
struct Mover {
  Mover(const BlockMap& map, int64_t height, int64_t width)
      : source(map.source), tiles(map.grid, height, width), width(static_cast<uint32_t>(width)) {}

  // An index out of range counts as the block's own place.
  __device__ uint32_t origin(uint32_t sample, const Place& at) const {
    if (!source) return at.y * width + at.x;
    const uint32_t row = tiles.block_height.quotient(at.y), col = tiles.block_width.quotient(at.x);
    const uint32_t cells = tiles.cells(), target = row * tiles.cols.divisor() + col;
    const int64_t named = source[static_cast<int64_t>(sample) * cells + target];
    const uint32_t from = named < 0 || named >= cells ? target : static_cast<uint32_t>(named);
    const uint32_t from_row = tiles.cols.quotient(from);
    const uint32_t from_col = from - from_row * tiles.cols.divisor();
    // Differences may be negative: unsigned numbers wrap, and the sum is right.
    const uint32_t y = at.y + (from_row - row) * tiles.block_height.divisor();
    const uint32_t x = at.x + (from_col - col) * tiles.block_width.divisor();
    return y * width + x;
  }

  const int64_t* source;
  Tiles tiles;
  uint32_t width;
};

// The geometry of a call. `wide` is the width of the vectors.
template <typename Real>
struct Geometry {
  Geometry(const MixLayout& p, int wide)
      : mask(static_cast<const Real*>(p.mask.data)),
        tiles(p.mask_grid, p.height, p.width),
        map1(p.map1, p.height, p.width),
        map2(p.map2, p.height, p.width),
        vectors_a_row(static_cast<uint32_t>(p.width / wide)),
        vectors(static_cast<uint32_t>(p.height * (p.width / wide))),
        batch(p.batch),
        channels(p.channels),
        plane(p.height * p.width),
        width(static_cast<uint32_t>(p.width)) {}

  __device__ Place place(uint32_t vector, uint32_t wide) const {
    const uint32_t y = vectors_a_row.quotient(vector);
    return {y, (vector - y * vectors_a_row.divisor()) * wide};
  }

  __device__ uint32_t own(const Place& at) const { return at.y * width + at.x; }

  __device__ Real z(uint32_t sample, const Place& at) const {
    const uint32_t row = tiles.block_height.quotient(at.y), col = tiles.block_width.quotient(at.x);
    const uint32_t cell = row * tiles.cols.divisor() + col;
    const Real z = mask[static_cast<int64_t>(sample) * tiles.cells() + cell];
    return z - z == 0 ? z : 0;  // nobody has looked whether it is finite
  }

  const Real* mask;
  Tiles tiles;
  Mover map1, map2;
  Divider vectors_a_row;
  uint32_t vectors;
  int64_t batch, channels, plane;
  uint32_t width;
};

template <typename Vector, typename T>
__device__ const Vector& vector_at(const T* pixel) {
  return *reinterpret_cast<const Vector*>(pixel);
}
template <typename Vector, typename T>
__device__ Vector& vector_at(T* pixel) {
  return *reinterpret_cast<Vector*>(pixel);
}

template <typename T, int Wide>
__global__ void __launch_bounds__(kThreads)
    mix_kernel(const Geometry<typename Element<T>::Real> g, const T* __restrict__ x1,
               const T* __restrict__ x2, T* __restrict__ out) {
  using Real = typename Element<T>::Real;
  using Vector = Pixels<T, Wide>;
  const uint32_t vector = blockIdx.x * blockDim.x + threadIdx.x;
  if (vector >= g.vectors) return;
  const Place at = g.place(vector, Wide);
  for (uint32_t sample = blockIdx.y; sample < g.batch; sample += gridDim.y) {
    const Real z = g.z(sample, at), rest = 1 - z;
    const int64_t first = sample * g.channels * g.plane;
    T* to = out + first + g.own(at);
    const T* from1 = x1 + first;
    const T* from2 = x2 + first;
    if (z != 0) from1 += g.map1.origin(sample, at);
    if (z != 1) from2 += g.map2.origin(sample, at);
    if (z == 1 || z == 0) {
      const T* from = z == 1 ? from1 : from2;
#pragma unroll 4
      for (int64_t c = 0; c < g.channels; ++c, from += g.plane, to += g.plane) {
        vector_at<Vector>(to) = vector_at<Vector>(from);
      }
      continue;
    }
#pragma unroll 2
    for (int64_t c = 0; c < g.channels; ++c, from1 += g.plane, from2 += g.plane, to += g.plane) {
      const Vector a = vector_at<Vector>(from1), b = vector_at<Vector>(from2);
      Vector result;
#pragma unroll
      for (int i = 0; i < Wide; ++i) {
        result.pixel[i] =
            Element<T>::put(z * Element<T>::get(a.pixel[i]) + rest * Element<T>::get(b.pixel[i]));
      }
      vector_at<Vector>(to) = result;
    }
  }
}

// grad1 and grad2: each thread carries its pixels of g back to where they came from.
template <typename T, int Wide>
__global__ void __launch_bounds__(kThreads)
    mix_grad_kernel(const Geometry<typename Element<T>::Real> g, const T* __restrict__ grad,
                    T* __restrict__ grad1, T* __restrict__ grad2) {
  using Real = typename Element<T>::Real;
  using Vector = Pixels<T, Wide>;
  const uint32_t vector = blockIdx.x * blockDim.x + threadIdx.x;
  if (vector >= g.vectors) return;
  const Place at = g.place(vector, Wide);
  for (uint32_t sample = blockIdx.y; sample < g.batch; sample += gridDim.y) {
    const Real z = g.z(sample, at), rest = 1 - z;
    const int64_t first = sample * g.channels * g.plane;
    const int64_t from = first + g.own(at);
    const int64_t to1 = first + (grad1 ? g.map1.origin(sample, at) : 0);
    const int64_t to2 = first + (grad2 ? g.map2.origin(sample, at) : 0);
#pragma unroll 2
    for (int64_t c = 0; c < g.channels; ++c) {
      const int64_t shift = c * g.plane;
      const Vector v = vector_at<Vector>(grad + from + shift);
      Vector share1, share2;
#pragma unroll
      for (int i = 0; i < Wide; ++i) {
        const Real x = Element<T>::get(v.pixel[i]);
        share1.pixel[i] = Element<T>::put(z == 0 ? Real{0} : z * x);
        share2.pixel[i] = Element<T>::put(rest == 0 ? Real{0} : rest * x);
      }
      if (grad1) vector_at<Vector>(grad1 + to1 + shift) = share1;
      if (grad2) vector_at<Vector>(grad2 + to2 + shift) = share2;
    }
  }
}

// grad_mask: one block of threads sums one cell of one sample, in an order that its shape fixes.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    mask_grad_kernel(const Geometry<typename Element<T>::Real> g, const T* __restrict__ grad,
                     const T* __restrict__ x1, const T* __restrict__ x2, double* grad_mask) {
  __shared__ double sums[kThreads];
  const Divider side_x = g.tiles.block_width;
  const uint32_t side_y = g.tiles.block_height.divisor(), pixels = side_y * side_x.divisor();
  const uint32_t row = g.tiles.cols.quotient(blockIdx.x);
  const uint32_t col = blockIdx.x - row * g.tiles.cols.divisor();
  for (uint32_t sample = blockIdx.y; sample < g.batch; sample += gridDim.y) {
    const int64_t first = sample * g.channels * g.plane;
    double sum = 0;
    for (uint32_t i = threadIdx.x; i < pixels; i += kThreads) {
      const uint32_t down = side_x.quotient(i), right = i - down * side_x.divisor();
      const Place at{row * side_y + down, col * side_x.divisor() + right};
      const T* share = grad + first + g.own(at);
      const T* from1 = x1 + first + g.map1.origin(sample, at);
      const T* from2 = x2 + first + g.map2.origin(sample, at);
      for (int64_t shift = 0; shift < g.channels * g.plane; shift += g.plane) {
        const double difference =
            static_cast<double>(Element<T>::get(from1[shift])) - Element<T>::get(from2[shift]);
        sum += Element<T>::get(share[shift]) * difference;
      }
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    for (int half = kThreads / 2; half > 0; half /= 2) {
      if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
      __syncthreads();
    }
    if (threadIdx.x == 0) {
      grad_mask[static_cast<int64_t>(sample) * g.tiles.cells() + blockIdx.x] = sums[0];
    }
    __syncthreads();
  }
}

// The launch of a thread for each vector, and of small blocks for small planes.
struct Shape {
  Shape(uint32_t vectors, int64_t batch)
      : threads(std::min<uint32_t>((vectors + 31) / 32 * 32, kThreads)),
        blocks((vectors + threads - 1) / threads,
               static_cast<uint32_t>(std::min(batch, kMostSamples))) {}

  uint32_t threads;
  dim3 blocks;
};

template <typename T, int Wide>
void launch(const MixProblem& p, cudaStream_t stream) {
  const Geometry<typename Element<T>::Real> g(p.layout, Wide);
  const Shape shape(g.vectors, g.batch);
  mix_kernel<T, Wide><<<shape.blocks, shape.threads, 0, stream>>>(
      g, static_cast<const T*>(p.x1), static_cast<const T*>(p.x2), static_cast<T*>(p.out));
}

template <typename T, int Wide>
void launch(const MixGradProblem& p, cudaStream_t stream) {
  if (!p.grad1 && !p.grad2) return;
  const Geometry<typename Element<T>::Real> g(p.layout, Wide);
  const Shape shape(g.vectors, g.batch);
  mix_grad_kernel<T, Wide><<<shape.blocks, shape.threads, 0, stream>>>(
      g, static_cast<const T*>(p.grad), static_cast<T*>(p.grad1), static_cast<T*>(p.grad2));
}

// The bytes of the widest vectors that stay within one block of every grid and start aligned.
int64_t vector_bytes(const MixLayout& l, int64_t pixel_bytes,
                     std::initializer_list<const void*> images) {
  int64_t bytes = 16;
  const auto fits = [&](const Grid& grid) {
    return l.width / grid.cols * pixel_bytes % bytes == 0;
  };
  const auto starts = [&](const void* image) {
    return reinterpret_cast<uintptr_t>(image) % bytes == 0;
  };
  while (bytes > pixel_bytes && !(fits(l.mask_grid) && fits(l.map1.grid) && fits(l.map2.grid) &&
                                  std::all_of(images.begin(), images.end(), starts))) {
    bytes /= 2;
  }
  return bytes;
}

template <typename T, int Bytes, typename Problem>
void launch_vectors(const Problem& p, int64_t bytes, cudaStream_t stream) {
  if constexpr (Bytes > static_cast<int>(sizeof(T))) {
    if (bytes < Bytes) return launch_vectors<T, Bytes / 2>(p, bytes, stream);
  }
  launch<T, Bytes / static_cast<int>(sizeof(T))>(p, stream);
}

template <typename T>
void solve(const MixProblem& p, cudaStream_t stream) {
  launch_vectors<T, 16>(p, vector_bytes(p.layout, sizeof(T), {p.x1, p.x2, p.out}), stream);
}

template <typename T>
void solve(const MixGradProblem& p, cudaStream_t stream) {
  launch_vectors<T, 16>(p, vector_bytes(p.layout, sizeof(T), {p.grad, p.grad1, p.grad2}), stream);
  if (p.grad_mask) {
    const Geometry<typename Element<T>::Real> g(p.layout, 1);
    const Grid& grid = p.layout.mask_grid;
    const dim3 blocks(static_cast<uint32_t>(grid.rows * grid.cols),
                      static_cast<uint32_t>(std::min(g.batch, kMostSamples)));
    mask_grad_kernel<T><<<blocks, kThreads, 0, stream>>>(g, static_cast<const T*>(p.grad),
                                                         static_cast<const T*>(p.x1),
                                                         static_cast<const T*>(p.x2), p.grad_mask);
  }
}

// What is left to do where there are no pixels.
int clear(const MixProblem&, cudaStream_t) { return cudaSuccess; }
int clear(const MixGradProblem& p, cudaStream_t stream) {
  const int64_t cells = p.layout.batch * p.layout.mask_grid.rows * p.layout.mask_grid.cols;
  if (!p.grad_mask || cells == 0) return cudaSuccess;
  return cudaMemsetAsync(p.grad_mask, 0, cells * sizeof(double), stream);
}

template <typename Problem>
int for_dtype(const Problem& p, void* stream_address) {
  const auto stream = static_cast<cudaStream_t>(stream_address);
  const MixLayout& l = p.layout;
  if (l.batch == 0 || l.channels == 0 || l.height == 0 || l.width == 0) return clear(p, stream);
  if (l.height > kMostPixels / l.width || l.batch > kMostPixels) return cudaErrorInvalidValue;
  switch (l.dtype) {
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
