// Fuzzes the mix: compares each pixel with the formula, bit for bit.
#include "mix/mix.h"

#include "input.h"

namespace puzzlemix {
namespace {

// The type in which each type of images is computed.
double rounded(double x, Dtype images) {
  return images == Dtype::float64 ? x : static_cast<double>(static_cast<float>(x));
}

bool same(double a, double b) { return a == b || (a != a && b != b); }

class Images {
 public:
  explicit Images(Input& input)
      : dtype(kFloats[input.range(0, 3)]),
        batch(input.range(0, 3)),
        partnered(input.chance(3)),
        others(partnered ? input.range(1, 4) : batch),
        channels(input.range(1, 3)),
        grids{grid(input), grid(input), grid(input)},
        height(side(input, grids[0].rows, grids[1].rows, grids[2].rows)),
        width(side(input, grids[0].cols, grids[1].cols, grids[2].cols)),
        one_mask(input.chance(6)),
        z(mask(input)),
        sources{input.permutations(batch, count(1), input.chance(32)),
                input.permutations(batch, count(2), input.chance(32))},
        given{!input.chance(3), !input.chance(3)},
        empty(!partnered && !given[1] && input.chance(2)) {
    for (int64_t b = 0; b < batch; ++b) {
      partner.push_back(input.chance(32) ? static_cast<int64_t>(input.bits())
                                         : input.range(0, others - 1));
    }
  }

  MixProblem problem(const Values& x1, const Values& x2, Values& out) const {
    const auto map = [&](int k) {
      return given[k] ? BlockMap{sources[k].data(), grids[k + 1]} : BlockMap{};
    };
    MixProblem l;
    l.dtype = dtype;
    l.mask = z.data(), l.mask_stride = one_mask ? 0 : count(0), l.mask_grid = grids[0];
    l.map1 = map(0), l.map2 = map(1);
    l.partner = partnered ? partner.data() : nullptr;
    l.batch = batch, l.others = others;
    l.channels = channels, l.height = height, l.width = width;
    l.x1 = x1.data(), l.x2 = empty ? nullptr : x2.data(), l.out = out.data();
    return l;
  }
  int64_t pixels() const { return batch * channels * height * width; }
  int64_t other_pixels() const { return others * channels * height * width; }
  int64_t masks() const { return one_mask ? count(0) : batch * count(0); }
  Values image(Input& input) const { return input.values(dtype, pixels(), Input::any); }
  Values other_image(Input& input) const { return input.values(dtype, other_pixels(), Input::any); }

  bool allowed() const {
    for (int64_t i = 0; batch > 0 && i < masks(); ++i) {
      if (!std::isfinite(z[i])) return false;
    }
    for (int64_t b = 0; b < batch; ++b) {
      for (int k = 0; k < 2; ++k) {
        const int64_t n = count(k + 1);
        if (given[k] && !is_permutation(sources[k].data() + b * n, n)) return false;
      }
      if (partnered && (partner[b] < 0 || partner[b] >= others)) return false;
    }
    return true;
  }

  // Calls f(pixel, z, source1, source2) for every pixel: the pixels of image 1 and 2 that come
  // there.
  template <typename F>
  void for_each_pixel(const F& f) const {
    for (int64_t b = 0; b < batch; ++b) {
      const int64_t second = partnered ? partner[b] : b;
      for (int64_t c = 0; c < channels; ++c) {
        const int64_t plane = (b * channels + c) * height * width;
        const int64_t plane2 = (second * channels + c) * height * width;
        for (int64_t y = 0; y < height; ++y) {
          for (int64_t x = 0; x < width; ++x) {
            f(plane + y * width + x, z[block(0, one_mask ? 0 : b, y, x)], plane + from(0, b, y, x),
              plane2 + from(1, b, y, x));
          }
        }
      }
    }
  }

  const Dtype dtype;
  const int64_t batch;
  const bool partnered;
  const int64_t others, channels;
  const Grid grids[3];  // the grids of the mask and the two permutations
  const int64_t height, width;
  const bool one_mask;  // whether all samples share a mask
  const Values z;
  const std::vector<int64_t> sources[2];
  const bool given[2];
  const bool empty;  // whether there are no second images
  std::vector<int64_t> partner;

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
  const Values x1 = images.image(input), x2 = images.other_image(input);
  Values out(images.dtype, images.pixels());
  const MixProblem problem = images.problem(x1, x2, out);
  const Status status = mix_cpu(problem, static_cast<int>(input.range(1, 3)));
  EXPECT(status.ok() == images.allowed());
  if (!status.ok()) return;
  Values expected(images.dtype, 1);
  images.for_each_pixel([&](int64_t pixel, double z, int64_t from1, int64_t from2) {
    const auto real = [&](double x) { return rounded(x, images.dtype); };
    const double a = x1[from1], b = images.empty ? 0 : x2[from2];
    expected.set(0, z == 1 ? a : z == 0 ? b : real(real(z * a) + real(real(1 - z) * b)));
    EXPECT(same(out[pixel], expected[0]));
  });
}

}  // namespace
}  // namespace puzzlemix

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  puzzlemix::Input input(data, size);
  puzzlemix::mix(input, puzzlemix::Images(input));
  return 0;
}
