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

constexpr int64_t kMostSamples = 65535;                  // of gridDim.y, over which blocks stride
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

  // Whether the source names a block for this place at all; only an inverse may have none.
  __device__ bool named(uint32_t sample, const Place& at) const {
    const uint32_t row = tiles.block_height.quotient(at.y), col = tiles.block_width.quotient(at.x);
    return source[static_cast<int64_t>(sample) * tiles.cells() + row * tiles.cols.divisor() +
                  col] >= 0;
  }

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
      : layout(p),
        mask(static_cast<const Real*>(p.mask)),
        tiles(p.mask_grid, p.height, p.width),
        map1(p.map1, p.height, p.width),
        map2(p.map2, p.height, p.width),
        vectors_a_row(static_cast<uint32_t>(p.width / wide)),
        vectors(static_cast<uint32_t>(p.height * (p.width / wide))),
        batch(p.batch),
        channels(p.channels),
        plane(p.height * p.width),
        width(static_cast<uint32_t>(p.width)),
        columns(static_cast<uint32_t>(p.width)) {}

  __device__ Place place(uint32_t vector, uint32_t wide) const {
    const uint32_t y = vectors_a_row.quotient(vector);
    return {y, (vector - y * vectors_a_row.divisor()) * wide};
  }

  // Of a pixel's number in its plane.
  __device__ uint32_t row(uint32_t pixel) const { return columns.quotient(pixel); }

  __device__ uint32_t own(const Place& at) const { return at.y * width + at.x; }

  __device__ Real z(uint32_t sample, const Place& at) const {
    const uint32_t row = tiles.block_height.quotient(at.y), col = tiles.block_width.quotient(at.x);
    const uint32_t cell = row * tiles.cols.divisor() + col;
    const Real z = mask[sample * layout.mask_step + cell];
    return z - z == 0 ? z : 0;  // nobody has looked whether it is finite
  }

  MixLayout layout;
  const Real* mask;
  Tiles tiles;
  Mover map1, map2;
  Divider vectors_a_row;
  uint32_t vectors;
  int64_t batch, channels, plane;
  uint32_t width;
  Divider columns;
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
    const T* from2 = x2;
    if (z != 0) from1 += g.map1.origin(sample, at);
    if (z != 1 && x2) {
      from2 += g.layout.other(sample) * g.channels * g.plane + g.map2.origin(sample, at);
    }
    if (z != 1 && !x2) {
      const Real nothing = rest * 0;  // with its sign
      for (int64_t c = 0; c < g.channels; ++c, from1 += g.plane, to += g.plane) {
        Vector result{};
        if (z != 0) {
          result = vector_at<Vector>(from1);
#pragma unroll
          for (int i = 0; i < Wide; ++i) {
            result.pixel[i] = Element<T>::put(z * Element<T>::get(result.pixel[i]) + nothing);
          }
        }
        vector_at<Vector>(to) = result;
      }
      continue;
    }
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

// grad1 and, without partners, grad2: each thread carries its pixels of g back to where they came
// from.
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

// The samples of [first, first + kThreads) whose partner is `image`, in ascending order, and how
// many they are. To be called by whole blocks.
__device__ int samples_of(const MixLayout& layout, int64_t image, int64_t first, uint32_t* list) {
  __shared__ int counts[kThreads / 32];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
  const int64_t sample = first + threadIdx.x;
  const bool named = sample < layout.batch && layout.other(sample) == image;
  const unsigned together = __ballot_sync(0xffffffffu, named);
  __syncthreads();  // nobody reads the last list any more
  if (lane == 0) counts[warp] = __popc(together);
  __syncthreads();
  int before = 0, all = 0;
  for (int w = 0; w < warps; ++w) {
    if (w < warp) before += counts[w];
    all += counts[w];
  }
  if (named) list[before + __popc(together & ((1u << lane) - 1))] = static_cast<uint32_t>(sample);
  __syncthreads();
  return all;
}

// grad2 by partner: a thread gathers a vector of one channel of an image from all samples that the
// image is the partner of. `inverse` (where blocks move): the place to which each block of the
// image has come in a sample, or -1.
template <typename T, int Wide>
__global__ void __launch_bounds__(kThreads)
    partner_grad_kernel(const Geometry<typename Element<T>::Real> g, const T* __restrict__ grad,
                        const int64_t* __restrict__ inverse, T* __restrict__ grad2) {
  using Real = typename Element<T>::Real;
  using Vector = Pixels<T, Wide>;
  __shared__ uint32_t list[kThreads];
  const int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const bool mine = item < g.vectors * g.channels;
  const auto channel = static_cast<uint32_t>(mine ? item / g.vectors : 0);
  const auto vector = static_cast<uint32_t>(mine ? item - channel * int64_t{g.vectors} : 0);
  const Place source = g.place(vector, Wide);
  Mover back = g.map2;
  back.source = inverse;
  for (int64_t image = blockIdx.y; image < g.layout.others; image += gridDim.y) {
    Real sums[Wide] = {};
    bool first = true;
    for (int64_t start = 0; start < g.batch; start += blockDim.x) {
      const int count = samples_of(g.layout, image, start, list);
      for (int k = 0; mine && k < count; ++k) {
        const uint32_t sample = list[k];
        if (inverse && !back.named(sample, source)) continue;
        const uint32_t origin = back.origin(sample, source);
        const uint32_t y = g.row(origin);
        const Real rest = 1 - g.z(sample, Place{y, origin - y * g.width});
        Vector v{};
        if (rest != 0) {
          v = vector_at<Vector>(grad + (sample * g.channels + channel) * g.plane + origin);
        }
#pragma unroll
        for (int i = 0; i < Wide; ++i) {
          const Real share = rest == 0 ? Real{0} : rest * Element<T>::get(v.pixel[i]);
          sums[i] = first ? share : sums[i] + share;
        }
        first = false;
      }
    }
    if (!mine) continue;
    Vector result;
#pragma unroll
    for (int i = 0; i < Wide; ++i) result.pixel[i] = Element<T>::put(sums[i]);
    vector_at<Vector>(grad2 + (image * g.channels + channel) * g.plane + g.own(source)) = result;
  }
}

// Of each sample's permutation the inverse, in memory that holds -1s: a block that none names has
// come to no place.
__global__ void __launch_bounds__(kThreads)
    inverse_kernel(const int64_t* source, int64_t cells, int64_t count, int64_t* inverse) {
  const int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (item >= count) return;
  const int64_t sample = item / cells, place = item - sample * cells, named = source[item];
  const int64_t block = named < 0 || named >= cells ? place : named;
  inverse[sample * cells + block] = place;
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
      const T* from2 = x2;
      if (x2) from2 += g.layout.other(sample) * g.channels * g.plane + g.map2.origin(sample, at);
      for (int64_t shift = 0; shift < g.channels * g.plane; shift += g.plane) {
        const double second = x2 ? static_cast<double>(Element<T>::get(from2[shift])) : 0;
        const double difference = static_cast<double>(Element<T>::get(from1[shift])) - second;
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
  if (p.batch == 0) return;
  const Geometry<typename Element<T>::Real> g(p, Wide);
  const Shape shape(g.vectors, g.batch);
  mix_kernel<T, Wide><<<shape.blocks, shape.threads, 0, stream>>>(
      g, static_cast<const T*>(p.x1), static_cast<const T*>(p.x2), static_cast<T*>(p.out));
}

template <typename T, int Wide>
void launch(const MixGradProblem& p, cudaStream_t stream) {
  const Geometry<typename Element<T>::Real> g(p, Wide);
  const T* const grad = static_cast<const T*>(p.grad);
  T *const grad1 = static_cast<T*>(p.grad1), *const grad2 = static_cast<T*>(p.grad2);
  const bool by_partner = p.partner && grad2;
  if (g.batch > 0 && (grad1 || (grad2 && !by_partner))) {
    const Shape shape(g.vectors, g.batch);
    mix_grad_kernel<T, Wide>
        <<<shape.blocks, shape.threads, 0, stream>>>(g, grad, grad1, by_partner ? nullptr : grad2);
  }
  if (!by_partner || p.others == 0) return;
  const int64_t cells = p.map2.grid.rows * p.map2.grid.cols, count = p.batch * cells;
  int64_t* const inverse = p.map2.source ? p.inverse : nullptr;
  if (inverse && count > 0) {
    cudaMemsetAsync(inverse, 0xff, count * sizeof(int64_t), stream);
    const auto blocks = static_cast<uint32_t>((count + kThreads - 1) / kThreads);
    inverse_kernel<<<blocks, kThreads, 0, stream>>>(p.map2.source, cells, count, inverse);
  }
  const int64_t items = g.vectors * g.channels;
  const dim3 blocks(static_cast<uint32_t>((items + kThreads - 1) / kThreads),
                    static_cast<uint32_t>(std::min(p.others, kMostSamples)));
  partner_grad_kernel<T, Wide><<<blocks, kThreads, 0, stream>>>(g, grad, inverse, grad2);
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
  launch_vectors<T, 16>(p, vector_bytes(p, sizeof(T), {p.x1, p.x2, p.out}), stream);
}

template <typename T>
void solve(const MixGradProblem& p, cudaStream_t stream) {
  launch_vectors<T, 16>(p, vector_bytes(p, sizeof(T), {p.grad, p.grad1, p.grad2}), stream);
  if (p.grad_mask && p.batch > 0) {
    const Geometry<typename Element<T>::Real> g(p, 1);
    const Grid& grid = p.mask_grid;
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
  const int64_t cells = p.batch * p.mask_grid.rows * p.mask_grid.cols;
  if (!p.grad_mask || cells == 0) return cudaSuccess;
  return cudaMemsetAsync(p.grad_mask, 0, cells * sizeof(double), stream);
}

template <typename Problem>
int for_dtype(const Problem& p, void* stream_address) {
  const auto stream = static_cast<cudaStream_t>(stream_address);
  const MixLayout& l = p;
  if ((l.batch == 0 && l.others == 0) || l.channels == 0 || l.height == 0 || l.width == 0)
    return clear(p, stream);
  if (l.height > kMostPixels / l.width || std::max(l.batch, l.others) > kMostPixels) {
    return cudaErrorInvalidValue;
  }
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
