#include <dnnl.hpp>
#include <stdexcept>
#include <unordered_map>

#include "report.h"

using namespace dnnl;
using Tag = memory::format_tag;

// c (m, n) = a (m, k) b (k, n). Two layouts of b are tried, row-major and oneDNN's own choice, which costs it nothing here:
// the faster one is what the machine allows.
static std::vector<double> time_of_product(const Request& request, int64_t m, int64_t n, int64_t k, Tag layout) {
  const auto type = request.precision == "bf16" ? memory::data_type::bf16 : memory::data_type::f32;
  engine processor{engine::kind::cpu, 0};
  stream queue(processor);
  matmul::primitive_desc description(processor, memory::desc({m, k}, type, Tag::ab), memory::desc({k, n}, type, layout),
                                     memory::desc({m, n}, memory::data_type::f32, Tag::ab));
  std::unordered_map<int, memory> arguments;
  for (auto [argument, desc] : {std::pair{DNNL_ARG_SRC, description.src_desc()}, {DNNL_ARG_WEIGHTS, description.weights_desc()},
                                {DNNL_ARG_DST, description.dst_desc()}}) {
    memory operand(desc, processor);
    // ones, in either type by their upper half
    uint16_t* x = static_cast<uint16_t*>(operand.get_data_handle());
    const bool wide = desc.get_data_type() == memory::data_type::f32;
    for (size_t i = 0; i < desc.get_size() / 2; i++) x[i] = wide && i % 2 == 0 ? 0 : 0x3f80;
    arguments.emplace(argument, operand);
  }
  matmul product(description);
  return time_of(request, [&] {
    product.execute(queue, arguments);
    queue.wait();
  });
}

Report product(const Request& request, int64_t m, int64_t n, int64_t k) {
  if (m < 1 || n < 1 || k < 1) throw std::invalid_argument("expected matmul:MxNxK, got " + request.workload);
  std::vector<double> plain = time_of_product(request, m, n, k, Tag::ab), any = time_of_product(request, m, n, k, Tag::any);
  const bool plain_wins = median(plain) <= median(any);
  Report report;
  report.milliseconds = plain_wins ? plain : any;
  report.settings["layout"] = plain_wins ? "plain" : "any";
  report.settings["gigaflops_per_second"] =
      std::to_string(2e-6 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) / median(report.milliseconds));
  return report;
}
