// From the caller's costs to the integers that decide.
//
// Each sample is scaled by a power of two to just under 2^30 in all and rounded half to even.
// Weight and label cost are rounded apart, because rounding their product would break
// submodularity. Only maxima enter the scale, never sums: the order of evaluation can't matter.
#pragma once

#include <cstdint>
#include <vector>

#include "graphcut/graphcut.h"
#include "graphcut/label_cost.h"

namespace puzzlemix {

// Planes of cells are padded with zeros to a whole number of words of one of four sizes, so that
// the sizes of bit masks are constants (bits.h).
constexpr int padded(int cells) {
  return cells <= 64 ? 64 : cells <= 256 ? 256 : cells <= 1024 ? 1024 : 4096;
}

// A sample's values as doubles: a copy, because what was checked must be what is solved, even where
// another thread writes to the caller's tensors meanwhile.
class Doubles {
 public:
  explicit Doubles(int count) : values_(count) {}
  // The sample's values, from the `sample`th group of so many on.
  void read(const Array& array, int64_t sample) {
    load(array, sample * size(), size(), values_.data());
  }

  int size() const { return static_cast<int>(values_.size()); }
  const double* data() const { return values_.data(); }
  double operator[](int i) const { return values_[i]; }

 private:
  std::vector<double> values_;
};

// One sample of a labelling problem. An edge is kept at its upper or left cell; edges over the
// border are 0.
class Sample {
 public:
  Sample(const LabelingProblem& problem, const LabelCost& label_cost);

  // Reads sample b, all that energies need; false where a value is not allowed.
  bool read(int64_t b);

  // Reads and rounds it; false also where integers are out of bounds.
  bool load(int64_t b);

  // The label of least unary cost of each cell, of several the lowest: the first whose cost is 0.
  void cheapest(int32_t* out) const;

  // The energy of labels [H, W] in the caller's costs.
  double energy(const int64_t* labels) const;

  const int32_t* unary(int label) const { return &unary_[label * padded(cells_)]; }
  const int32_t* right() const { return right_.data(); }
  const int32_t* down() const { return down_.data(); }
  int height() const { return height_; }
  int width() const { return width_; }
  int cells() const { return cells_; }
  const LabelCost& label_cost() const { return label_cost_; }

 private:
  const LabelingProblem& problem_;
  const LabelCost& label_cost_;
  const int height_, width_, cells_;
  Doubles unary_in_, vertical_in_, horizontal_in_;
  std::vector<double> planes_;
  std::vector<int32_t> unary_, right_, down_;
};

// One sample of a cut, in the same form: excess = source - sink capacity.
class CutSample {
 public:
  explicit CutSample(const MinCutProblem& problem);
  bool load(int64_t b);
  double value(const bool* segment) const;

  const int32_t* excess() const { return excess_.data(); }
  const int32_t* right() const { return right_.data(); }
  const int32_t* down() const { return down_.data(); }

 private:
  const MinCutProblem& problem_;
  const int height_, width_, cells_;
  Doubles source_in_, sink_in_, vertical_in_, horizontal_in_;
  std::vector<int32_t> excess_, right_, down_;
};

}  // namespace puzzlemix
