// The mix and its gradient against the formula, pixel by pixel and bit by bit.
#include "mix/mix.h"

#include "input.h"

namespace puzzlemix {
namespace {

// The arithmetic of each type of images.
double rounded(double x, Dtype images) {
  return images == Dtype::float64 ? x : static_cast<double>(static_cast<float>(x));
}

bool same(double a, double b) { return a == b || (a != a && b != b); }

class Images {
 public:
  explicit Images(Input& input)
      : dtype(kFloats[input.range(0, 3)]),
        batch(input.range(0, 2)),
        channels(input.range(1, 3)),
        grids{grid(input), grid(input), grid(input)},
        height(side(input, grids[0].rows, grids[1].rows, grids[2].rows)),
        width(side(input, grids[0].cols, grids[1].cols, grids[2].cols)),
        z(mask(input)),
        sources{input.permutations(batch, count(1), input.chance(32)),
                input.permutations(batch, count(2), input.chance(32))},
        given{!input.chance(3), !input.chance(3)} {}

  MixLayout layout() const {
    const auto map = [&](int k) {
      return given[k] ? BlockMap{sources[k].data(), grids[k + 1]} : BlockMap{};
    };
    return {dtype, z.array(), grids[0], map(0), map(1), batch, channels, height, width};
  }
  int64_t pixels() const { return batch * channels * height * width; }
  int64_t masks() const { return batch * count(0); }
  Values image(Input& input) const { return input.values(dtype, pixels(), Input::any); }

  bool allowed() const {
    for (int64_t i = 0; i < masks(); ++i) {
      if (!std::isfinite(z[i])) return false;
    }
    for (int k = 0; k < 2; ++k) {
      for (int64_t b = 0; given[k] && b < batch; ++b) {
        if (!is_permutation(sources[k].data() + b * count(k + 1), count(k + 1))) return false;
      }
    }
    return true;
  }

  // f(pixel, its z, where image 1 shows there comes from, the same of image 2)
  template <typename F>
  void for_each_pixel(const F& f) const {
    for (int64_t b = 0; b < batch; ++b) {
      for (int64_t c = 0; c < channels; ++c) {
        for (int64_t y = 0; y < height; ++y) {
          for (int64_t x = 0; x < width; ++x) {
            const int64_t plane = (b * channels + c) * height * width;
            f(plane + y * width + x, z[block(0, b, y, x)], plane + from(0, b, y, x),
              plane + from(1, b, y, x));
          }
        }
      }
    }
  }

  const Dtype dtype;
  const int64_t batch, channels;
  const Grid grids[3];  // of the mask and the two permutations
  const int64_t height, width;
  const Values z;
  const std::vector<int64_t> sources[2];
  const bool given[2];

 private:
  static Grid grid(Input& input) { return {input.range(1, 4), input.range(1, 4)}; }
  static int64_t side(Input& input, int64_t a, int64_t b, int64_t c) {
    int64_t common = a * b * c;
    for (int64_t k = common; k >= 1; --k) {
      if (k % a == 0 && k % b == 0 && k % c == 0) common = k;
    }
    return common * (input.chance(32) ? input.range(1, 9) : input.range(1, 2));
  }
  int64_t count(int k) const { return grids[k].rows * grids[k].cols; }

  Values mask(Input& input) const {
    const Dtype type = dtype == Dtype::float64 ? Dtype::float64 : Dtype::float32;
    Values made = input.values(type, masks(), input.chance(4) ? Input::any : Input::shares);
    if (input.chance(2)) {
      for (int64_t i = 0; i < masks(); ++i) made.set(i, input.range(0, 2) / 2.0);
    }
    return made;
  }

  int64_t block(int k, int64_t b, int64_t y, int64_t x) const {
    const Grid& g = grids[k];
    return b * count(k) + y / (height / g.rows) * g.cols + x / (width / g.cols);
  }
  int64_t from(int k, int64_t b, int64_t y, int64_t x) const {
    if (!given[k]) return y * width + x;
    const Grid& g = grids[k + 1];
    const int64_t rows = height / g.rows, cols = width / g.cols;
    const int64_t source = sources[k][block(k + 1, b, y, x)];
    return (source / g.cols * rows + y % rows) * width + source % g.cols * cols + x % cols;
  }
};

void mix(Input& input, const Images& images) {
  const Values x1 = images.image(input), x2 = images.image(input);
  Values out(images.dtype, images.pixels());
  const MixProblem problem{images.layout(), x1.data(), x2.data(), out.data()};
  const Status status = mix_cpu(problem, static_cast<int>(input.range(1, 3)));
  EXPECT(status.ok() == images.allowed());
  if (!status.ok()) return;
  Values expected(images.dtype, 1);
  images.for_each_pixel([&](int64_t pixel, double z, int64_t from1, int64_t from2) {
    const auto real = [&](double x) { return rounded(x, images.dtype); };
    const double a = x1[from1], b = x2[from2];
    expected.set(0, z == 1 ? a : z == 0 ? b : real(real(z * a) + real(real(1 - z) * b)));
    EXPECT(same(out[pixel], expected[0]));
  });
}

void gradient(Input& input, const Images& images) {
  const Values grad = images.image(input), x1 = images.image(input), x2 = images.image(input);
  Values grad1(images.dtype, images.pixels()), grad2(images.dtype, images.pixels());
  std::vector<double> grad_mask(images.masks());
  const bool wanted[] = {!input.chance(3), !input.chance(3), !input.chance(3)};
  const MixGradProblem problem{images.layout(),
                               grad.data(),
                               wanted[2] ? x1.data() : nullptr,
                               wanted[2] ? x2.data() : nullptr,
                               wanted[0] ? grad1.data() : nullptr,
                               wanted[1] ? grad2.data() : nullptr,
                               wanted[2] ? grad_mask.data() : nullptr};
  const Status status = mix_grad_cpu(problem, static_cast<int>(input.range(1, 3)));
  EXPECT(status.ok() == images.allowed());
  if (!status.ok()) return;
  Values expected(images.dtype, 1);
  images.for_each_pixel([&](int64_t pixel, double z, int64_t from1, int64_t from2) {
    const double g = grad[pixel];
    if (!std::isfinite(g)) return;  // 0 times it is no matter
    const double shares[] = {z, rounded(1 - z, images.dtype)};
    const int64_t from[] = {from1, from2};
    for (int k = 0; k < 2; ++k) {
      expected.set(0, rounded(shares[k] * g, images.dtype));
      if (wanted[k]) EXPECT(same((k == 0 ? grad1 : grad2)[from[k]], expected[0]));
    }
  });
}

}  // namespace
}  // namespace puzzlemix

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  puzzlemix::Input input(data, size);
  const bool backward = input.chance(3);
  const puzzlemix::Images images(input);
  backward ? puzzlemix::gradient(input, images) : puzzlemix::mix(input, images);
  return 0;
}
