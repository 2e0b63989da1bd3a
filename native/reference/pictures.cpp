// normalize_pictures: from the bytes of pictures to what a network reads: cut out, mirrored and normalised in one pass.
//   y[n, i, j, c] = scale[c] p + offset[c], p the byte at row top + i and column left + j of picture n, or left + width - 1 - j where it is
//   mirrored; outside the picture p is 0. For a mean and a deviation of numbers in 0..1: scale = 1 / (255 deviation), offset = -mean / deviation.
// A window holds (top, left, mirrored) of its picture, I32; without windows the picture is taken from its first row and column. A window
// of four, (which, top, left, mirrored), is of any of the pictures, whose number may be another than that of the windows; of a picture
// that is none all bytes are 0. Nothing has a gradient.
#include "reference.h"

namespace graft::reference {
namespace {

enum { Pictures, Scale, Offset, Windows };

std::vector<TensorType> infer(const OpCall& call) {
  const TensorType& pictures = call.inputs[Pictures];
  const Shape& x = pictures.shape;
  require(pictures.dtype == DType::U8 && x.rank == 4, "normalize_pictures: pictures must be u8 [batch, height, width, channels], got ", name_of(pictures.dtype), " ", x.str());
  for (auto [input, name] : {std::pair{Scale, "scale"}, {Offset, "offset"}}) {
    require_float(call, input, "normalize_pictures", name);
    require(call.inputs[input].shape == Shape{x[3]}, "normalize_pictures: ", name, " must be [", x[3], "], got ", call.inputs[input].shape.str());
  }
  int64_t count = x[0];
  if (call.has(Windows)) {
    const TensorType& windows = call.inputs[Windows];
    require(windows.dtype == DType::I32 && windows.shape.rank == 2 && (windows.shape[1] == 4 || windows.shape == Shape({x[0], 3})),
            "normalize_pictures: windows must be i32 [", x[0], ", 3] or [any, 4], got ", name_of(windows.dtype), " ", windows.shape.str());
    count = windows.shape[0];
  }
  const int64_t height = call.integer("height"), width = call.integer("width");
  require(height >= 0 && width >= 0, "normalize_pictures: height and width must be sizes, or 0 for the picture's, got ", height, " and ", width);
  const DType type = call.inputs[Scale].dtype == DType::F64 ? DType::F64 : DType::F32;
  return {{type, {count, height ? height : x[1], width ? width : x[2], x[3]}}};
}

void forward(const Run& run) {
  const In pictures = run.in(Pictures), scale = run.in(Scale), offset = run.in(Offset), windows = run.in(Windows);
  const Shape &x = run.in_shape(Pictures), &y = run.out_shape();
  const bool chosen = windows && run.in_shape(Windows)[1] == 4;
  int64_t at = 0;
  for (int64_t n = 0; n < y[0]; n++) {
    const int64_t first = chosen ? 4 * n + 1 : 3 * n, which = chosen ? static_cast<int64_t>(windows[4 * n]) : n;
    const int64_t top = windows ? static_cast<int64_t>(windows[first]) : 0, left = windows ? static_cast<int64_t>(windows[first + 1]) : 0;
    const bool mirrored = windows && windows[first + 2] != 0, known = which >= 0 && which < x[0];
    for (int64_t i = 0; i < y[1]; i++)
      for (int64_t j = 0; j < y[2]; j++)
        for (int64_t c = 0; c < y[3]; c++) {
          const int64_t row = top + i, column = left + (mirrored ? y[2] - 1 - j : j);
          const bool inside = known && row >= 0 && row < x[1] && column >= 0 && column < x[2];
          const double p = inside ? pictures[((which * x[1] + row) * x[2] + column) * x[3] + c] : 0;
          run.out(0).put(at++, scale[c] * p + offset[c]);
        }
  }
}

}  // namespace

void add_pictures() {
  OpDef def;
  def.name = "normalize_pictures";
  def.inputs = {{"pictures", Role::Exact}, {"scale", Role::Exact}, {"offset", Role::Exact}, {"windows", Role::Exact, true}};
  def.attributes = {{"height", 0}, {"width", 0}};
  def.infer = infer;
  def.backward_reads = reads_nothing;
  add_op(def, {forward, nullptr});
}

}  // namespace graft::reference
