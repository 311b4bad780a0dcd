// The mix on the GPU, bound by memory. In float32, B x C x Y x X images read 4 bytes a pixel (8
// where z is neither 0 nor 1) and write 4: 256 x 3 x 224 x 224 move 308 to 462 MB, 0.1 to 0.15 ms
// at 3 TB/s.
//
// A thread takes a vector of neighbouring pixels of a row through all channels, so that mask and
// sources are read, and places computed, once for all of them. Threads loop over samples with the
// grid's stride. A vector is as wide as the blocks of every grid and the alignment allow, at most
// 16 bytes. Indices within a plane have 32 bits, and divisions are multiplications (divider.h);
// only offsets added to addresses have 64 bits.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "mix/divider.h"
#include "mix/mix.h"

namespace puzzlemix {
namespace {

constexpr int kThreads = 256;

// The type in which elements of type T are computed, and the conversions to it and back.
template <typename T>
struct Arithmetic {
  using Real = float;
  __device__ static float get(T x) { return static_cast<float>(x); }
  __device__ static T put(float x) { return static_cast<T>(x); }
};
template <>
struct Arithmetic<double> {
  using Real = double;
  __device__ static double get(double x) { return x; }
  __device__ static double put(double x) { return x; }
};

template <typename T, int Wide>
struct alignas(sizeof(T) * Wide) Pixels {
  T pixel[Wide];
};

constexpr int64_t kMostSamples = 65535;                  // the limit of gridDim.y
constexpr int64_t kMostPixels = (int64_t{1} << 31) - 1;  // the most pixels of a plane

// The row and column of a pixel in its plane.
struct Place {
  uint32_t y, x;
};

// A grid of blocks over a plane.
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

// Where the blocks of one image come from, for all samples.
struct BlockSources {
  BlockSources(const BlockMap& map, int64_t height, int64_t width)
      : source(map.source), tiles(map.grid, height, width), width(static_cast<uint32_t>(width)) {}

  // The index of the pixel that comes to a place. A source out of range counts as the own place.
  __device__ uint32_t origin(uint32_t sample, const Place& at) const {
    if (!source) return at.y * width + at.x;
    const uint32_t row = tiles.block_height.quotient(at.y), col = tiles.block_width.quotient(at.x);
    const uint32_t cells = tiles.cells(), target = row * tiles.cols.divisor() + col;
    const int64_t named = source[static_cast<int64_t>(sample) * cells + target];
    const uint32_t from = named < 0 || named >= cells ? target : static_cast<uint32_t>(named);
    const uint32_t from_row = tiles.cols.quotient(from);
    const uint32_t from_col = from - from_row * tiles.cols.divisor();
    // A difference may be negative; unsigned numbers wrap, so the sum is still right.
    const uint32_t y = at.y + (from_row - row) * tiles.block_height.divisor();
    const uint32_t x = at.x + (from_col - col) * tiles.block_width.divisor();
    return y * width + x;
  }

  const int64_t* source;
  Tiles tiles;
  uint32_t width;
};

// The parameters of the kernel: sizes, grids, and the mask. `wide` is the width of the vectors.
template <typename Real>
struct Geometry {
  Geometry(const MixProblem& p, int wide)
      : problem(p),
        mask(static_cast<const Real*>(p.mask)),
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
    const Real z = mask[sample * problem.mask_stride + cell];
    return z - z == 0 ? z : 0;  // unchecked: a value that is not finite counts as 0
  }

  MixProblem problem;
  const Real* mask;
  Tiles tiles;
  BlockSources map1, map2;
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
    mix_kernel(const Geometry<typename Arithmetic<T>::Real> g, const T* __restrict__ x1,
               const T* __restrict__ x2, T* __restrict__ out) {
  using Real = typename Arithmetic<T>::Real;
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
      from2 += g.problem.other(sample) * g.channels * g.plane + g.map2.origin(sample, at);
    }
    if (z != 1 && !x2) {
      const Real nothing = rest * 0;  // -0 if rest is negative, as the formula has it
      for (int64_t c = 0; c < g.channels; ++c, from1 += g.plane, to += g.plane) {
        Vector result{};
        if (z != 0) {
          result = vector_at<Vector>(from1);
#pragma unroll
          for (int i = 0; i < Wide; ++i) {
            result.pixel[i] = Arithmetic<T>::put(z * Arithmetic<T>::get(result.pixel[i]) + nothing);
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
        result.pixel[i] = Arithmetic<T>::put(z * Arithmetic<T>::get(a.pixel[i]) +
                                             rest * Arithmetic<T>::get(b.pixel[i]));
      }
      vector_at<Vector>(to) = result;
    }
  }
}

// The shape of a launch with a thread for each vector of a plane.
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
  const Geometry<typename Arithmetic<T>::Real> g(p, Wide);
  const Shape shape(g.vectors, g.batch);
  mix_kernel<T, Wide><<<shape.blocks, shape.threads, 0, stream>>>(
      g, static_cast<const T*>(p.x1), static_cast<const T*>(p.x2), static_cast<T*>(p.out));
}

// The bytes of the widest vectors that never cross a block's border in any grid and are aligned.
int64_t vector_bytes(const MixProblem& p, int64_t pixel_bytes) {
  int64_t bytes = 16;
  const auto fits = [&](const Grid& grid) {
    return p.width / grid.cols * pixel_bytes % bytes == 0;
  };
  const auto starts = [&](const void* image) {
    return reinterpret_cast<uintptr_t>(image) % bytes == 0;
  };
  while (bytes > pixel_bytes && !(fits(p.mask_grid) && fits(p.map1.grid) && fits(p.map2.grid) &&
                                  starts(p.x1) && starts(p.x2) && starts(p.out))) {
    bytes /= 2;
  }
  return bytes;
}

template <typename T, int Bytes>
void launch_vectors(const MixProblem& p, int64_t bytes, cudaStream_t stream) {
  if constexpr (Bytes > static_cast<int>(sizeof(T))) {
    if (bytes < Bytes) return launch_vectors<T, Bytes / 2>(p, bytes, stream);
  }
  launch<T, Bytes / static_cast<int>(sizeof(T))>(p, stream);
}

template <typename T>
void solve(const MixProblem& p, cudaStream_t stream) {
  launch_vectors<T, 16>(p, vector_bytes(p, sizeof(T)), stream);
}

}  // namespace

int mix_cuda(const MixProblem& p, void* stream_address) {
  const auto stream = static_cast<cudaStream_t>(stream_address);
  if (p.batch == 0 || p.channels == 0 || p.height == 0 || p.width == 0) return cudaSuccess;
  if (p.height > kMostPixels / p.width || std::max(p.batch, p.others) > kMostPixels) {
    return cudaErrorInvalidValue;
  }
  switch (p.dtype) {
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

}  // namespace puzzlemix
