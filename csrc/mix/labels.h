// Class numbers mixed to soft labels, on the CPU. At most two weights of a sample are not zero, so
// one pass over the result does what takes PyTorch six operations on one-hot vectors.
#pragma once

#include <algorithm>
#include <cstdint>

namespace puzzlemix {

struct LabelProblem {
  const int64_t* labels;   // [batch]
  const int64_t* others;   // [count]
  const float* ratio;      // [batch], the weight of a sample's own label
  const int64_t* partner;  // [batch], indices of `others`; null: each label has all of the weight
  float* out;              // [batch, classes]
  int64_t batch, count, classes;
};

// Whether all of [batch] labels are within the number of classes.
inline bool are_classes(const int64_t* labels, int64_t batch, int64_t classes) {
  return std::all_of(labels, labels + batch,
                     [=](int64_t label) { return label >= 0 && label < classes; });
}

// out = ratio * one_hot(label) + (1 - ratio) * one_hot(others[partner]). False where a label or a
// partner is out of range; the result is then unspecified.
inline bool mix_labels(const LabelProblem& p) {
  const auto within = [](int64_t index, int64_t count) { return index >= 0 && index < count; };
  std::fill_n(p.out, p.batch * p.classes, 0.0f);
  for (int64_t b = 0; b < p.batch; ++b) {
    float* const row = p.out + b * p.classes;
    const int64_t label = p.labels[b];
    if (!within(label, p.classes)) return false;
    if (!p.partner) {
      row[label] = 1;
      continue;
    }
    const int64_t partner = p.partner[b];
    if (!within(partner, p.count)) return false;
    const int64_t other = p.others[partner];
    if (!within(other, p.classes)) return false;
    row[label] = p.ratio[b];
    row[other] += 1 - p.ratio[b];
  }
  return true;
}

}  // namespace puzzlemix
