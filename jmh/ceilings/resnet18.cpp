#include <dnnl.hpp>
#include <stdexcept>
#include <unordered_map>

#include "report.h"

using namespace dnnl;
using Tag = memory::format_tag;

namespace {

constexpr int64_t batch = 32;

// A convolution of ResNet-18 with as many of its kind as the net has. `train` says what a last-block step computes
// besides forward: nothing, the weights' gradient, or both gradients.
enum class Last { forward, weights, both };
struct Shape {
  const char* name;
  int64_t count, in, out, size, kernel, stride, padding;
  Last last;
};

const std::vector<Shape> shapes = {
    {"conv1", 1, 3, 64, 224, 7, 2, 3, Last::forward},
    {"layer1.3x3", 4, 64, 64, 56, 3, 1, 1, Last::forward},
    {"layer2.first", 1, 64, 128, 56, 3, 2, 1, Last::forward},
    {"layer2.downsample", 1, 64, 128, 56, 1, 2, 0, Last::forward},
    {"layer2.3x3", 3, 128, 128, 28, 3, 1, 1, Last::forward},
    {"layer3.first", 1, 128, 256, 28, 3, 2, 1, Last::forward},
    {"layer3.downsample", 1, 128, 256, 28, 1, 2, 0, Last::forward},
    {"layer3.3x3", 3, 256, 256, 14, 3, 1, 1, Last::forward},
    {"layer4.first", 1, 256, 512, 14, 3, 2, 1, Last::weights},
    {"layer4.downsample", 1, 256, 512, 14, 1, 2, 0, Last::weights},
    {"layer4.3x3", 3, 512, 512, 7, 3, 1, 1, Last::both},
};

struct Part {
  std::string name;
  int64_t count;
  std::vector<double> milliseconds;
  std::string choice;
};

class Bench {
 public:
  explicit Bench(const Request& request)
      : request_(request), stream_(engine_), type_(request.precision == "bf16" ? memory::data_type::bf16 : memory::data_type::f32) {}

  // Tries both layouts of the activations, channels last and oneDNN's own choice, and keeps the faster.
  void convolution(const Shape& shape, prop_kind direction) {
    std::vector<double> nhwc = time_of_convolution(shape, direction, Tag::nhwc);
    std::vector<double> any = time_of_convolution(shape, direction, Tag::any);
    bool nhwc_wins = median(nhwc) <= median(any);
    const char* suffix = direction == prop_kind::forward_training ? ".forward"
                         : direction == prop_kind::backward_data  ? ".backward_data"
                                                                  : ".backward_weights";
    parts_.push_back({shape.name + std::string(suffix), shape.count, nhwc_wins ? nhwc : any, nhwc_wins ? "nhwc" : "any"});
  }

  // c (m, n) = a (m, k) b (k, n); a tag `ba` reads that operand transposed
  void matmul(const char* name, int64_t m, int64_t n, int64_t k, Tag a, Tag b, memory::data_type result) {
    memory::desc ad({m, k}, type_, a), bd({k, n}, type_, b), cd({m, n}, result, Tag::ab);
    dnnl::matmul::primitive_desc pd(engine_, ad, bd, cd);
    parts_.push_back({name, 1, time_of_primitive(dnnl::matmul(pd),
        {{DNNL_ARG_SRC, pd.src_desc()}, {DNNL_ARG_WEIGHTS, pd.weights_desc()}, {DNNL_ARG_DST, pd.dst_desc()}}), "plain"});
  }

  Report report() const {
    Report report;
    report.milliseconds.assign(static_cast<size_t>(request_.steps), 0);
    for (const Part& part : parts_) {
      for (size_t i = 0; i < report.milliseconds.size(); i++)
        report.milliseconds[i] += static_cast<double>(part.count) * part.milliseconds[i];
      report.settings[part.name] = std::to_string(part.count) + " x " + std::to_string(median(part.milliseconds)) + " ms " + part.choice;
    }
    const version_t* version = dnnl_version();
    report.settings["library"] = "oneDNN " + std::to_string(version->major) + "." + std::to_string(version->minor) + "." + std::to_string(version->patch);
    return report;
  }

  memory::data_type type() const { return type_; }

 private:
  std::vector<double> time_of_convolution(const Shape& s, prop_kind direction, Tag tag) {
    int64_t size = (s.size + 2 * s.padding - s.kernel) / s.stride + 1;
    // gradients of weights are F32, as the update wants them
    bool of_weights = direction == prop_kind::backward_weights;
    memory::desc x({batch, s.in, s.size, s.size}, type_, tag), y({batch, s.out, size, size}, type_, tag);
    memory::desc w({s.out, s.in, s.kernel, s.kernel}, of_weights ? memory::data_type::f32 : type_, Tag::any);
    memory::dims strides{s.stride, s.stride}, padding{s.padding, s.padding};
    auto algorithm = algorithm::convolution_auto;
    memory::desc w_forward({s.out, s.in, s.kernel, s.kernel}, type_, Tag::any);
    convolution_forward::primitive_desc forward(engine_, prop_kind::forward_training, algorithm, x, w_forward, y, strides, padding, padding);
    if (direction == prop_kind::forward_training)
      return time_of_primitive(convolution_forward(forward), {{DNNL_ARG_SRC, forward.src_desc()},
          {DNNL_ARG_WEIGHTS, forward.weights_desc()}, {DNNL_ARG_DST, forward.dst_desc()}});
    if (direction == prop_kind::backward_data) {
      convolution_backward_data::primitive_desc pd(engine_, algorithm, x, w, y, strides, padding, padding, forward);
      return time_of_primitive(convolution_backward_data(pd), {{DNNL_ARG_DIFF_SRC, pd.diff_src_desc()},
          {DNNL_ARG_WEIGHTS, pd.weights_desc()}, {DNNL_ARG_DIFF_DST, pd.diff_dst_desc()}});
    }
    convolution_backward_weights::primitive_desc pd(engine_, algorithm, x, w, y, strides, padding, padding, forward);
    return time_of_primitive(convolution_backward_weights(pd), {{DNNL_ARG_SRC, pd.src_desc()},
        {DNNL_ARG_DIFF_WEIGHTS, pd.diff_weights_desc()}, {DNNL_ARG_DIFF_DST, pd.diff_dst_desc()}});
  }

  // Fills every operand with ones: denormals and zeros, which some processors treat apart, would not be fair.
  std::vector<double> time_of_primitive(const primitive& primitive, const std::vector<std::pair<int, memory::desc>>& operands) {
    std::unordered_map<int, memory> arguments;
    for (const auto& [argument, desc] : operands) {
      memory operand(desc, engine_);
      if (desc.get_data_type() == memory::data_type::f32) {
        float* x = static_cast<float*>(operand.get_data_handle());
        std::fill(x, x + desc.get_size() / 4, 1.0f);
      } else {
        uint16_t* x = static_cast<uint16_t*>(operand.get_data_handle());
        std::fill(x, x + desc.get_size() / 2, uint16_t{0x3f80});  // 1 in bf16
      }
      arguments.emplace(argument, operand);
    }
    return time_of(request_, [&] {
      primitive.execute(stream_, arguments);
      stream_.wait();
    });
  }

  const Request& request_;
  engine engine_{engine::kind::cpu, 0};
  stream stream_;
  memory::data_type type_;
  std::vector<Part> parts_;
};

}  // namespace

Report resnet18(const Request& request) {
  bool full = request.workload == "resnet18_full", lastblock = request.workload == "resnet18_lastblock";
  if (!full && !lastblock && request.workload != "resnet18_head")
    throw std::invalid_argument("unknown workload " + request.workload);
  Bench bench(request);
  for (const Shape& shape : shapes) {
    bench.convolution(shape, prop_kind::forward_training);
    bool images = shape.in == 3;  // nothing wants the images' gradient
    if ((full && !images) || (lastblock && shape.last == Last::both)) bench.convolution(shape, prop_kind::backward_data);
    if (full || (lastblock && shape.last != Last::forward)) bench.convolution(shape, prop_kind::backward_weights);
  }
  // the classifier: y = x w^T, dw = dy^T x, dx = dy w, with w (1000, 512)
  bench.matmul("fc.forward", batch, 1000, 512, Tag::ab, Tag::ba, bench.type());
  bench.matmul("fc.backward_weights", 1000, 512, batch, Tag::ba, Tag::ab, memory::data_type::f32);
  if (full || lastblock) bench.matmul("fc.backward_data", batch, 512, 1000, Tag::ab, Tag::ab, bench.type());
  return bench.report();
}
