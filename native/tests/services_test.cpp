// Services and the optimizer of the reference, against what they mean.
#include "service_cases.h"

using namespace graft;
using namespace graft::test;

namespace {

constexpr double kRoundings = 2e-7;  // two operands and a sum, each rounded to F32: 3 * 2^-24

const ServiceCase& service(const std::vector<ServiceCase>& all, const std::string& label) {
  for (const ServiceCase& c : all)
    if (c.label == label) return c;
  throw Error(GRAFT_INTERNAL, "there is no case " + label);
}

void conversions(Harness& harness) {
  harness.test("bf16 rounds to nearest, ties to even", [&] {
    struct Row { float in; uint32_t out; } rows[] = {{1.0f, 0x3F80}, {-2.5f, 0xC020}, {float_of_bits(0x3F808000), 0x3F80},
        {float_of_bits(0x3F818000), 0x3F82}, {float_of_bits(0x3F808001), 0x3F81}, {INFINITY, 0x7F80}, {3.4e38f, 0x7F80}};
    for (Row r : rows) harness.expect(float_to_bf16(r.in) == r.out, r.in, ": expected ", r.out, ", got ", float_to_bf16(r.in));
    harness.expect(std::isnan(bf16_to_float(float_to_bf16(float_of_bits(0x7F800001)))), "a NaN became a number");
  });
  harness.test("f16 round trip of every number", [&] {
    for (uint32_t h = 0; h < 65536; h++) {
      float f = f16_to_float(static_cast<uint16_t>(h));
      bool same = std::isnan(f) ? std::isnan(f16_to_float(float_to_f16(f))) : float_to_f16(f) == h;
      harness.expect(same, "0x", std::hex, h, " became ", f, " and then 0x", float_to_f16(f));
    }
    harness.expect(float_to_f16(65520.0f) == 0x7C00 && float_to_f16(65519.0f) == 0x7BFF, "overflow begins at 65520");
    harness.expect(float_to_f16(0x1p-25f) == 0 && float_to_f16(0x1.8p-25f) == 1, "ties at 2^-25 go to even");
  });
}

void services(Harness& harness, Column& column) {
  std::vector<ServiceCase> all = service_cases();
  auto values = [&](const ServiceCase& c, size_t i) {
    return service_values(c, c.request.inputs[i], "/in" + std::to_string(i), harness.seed());
  };
  harness.test("convert rounds once", [&] {
    const ServiceCase& c = service(all, "convert_narrow17");
    std::vector<double> expected = values(c, 0);
    for (double& v : expected) v = rounded(rounded(v, DType::F32), DType::BF16);
    harness.expect_close("result", expected, run_service(harness, column, c)[0], 0, 1);
  });
  harness.test("sum adds all inputs", [&] {
    const ServiceCase& c = service(all, "sum17");
    std::vector<double> expected = values(c, 0), second = values(c, 1);
    for (size_t i = 0; i < expected.size(); i++) expected[i] += second[i];
    harness.expect_close("result", expected, run_service(harness, column, c)[0], kRoundings, 1);
  });
  harness.test("accumulate adds to what is there", [&] {
    const ServiceCase& c = service(all, "accumulate17");
    std::vector<double> expected = values(c, 0), before = service_values(c, c.request.outputs[0], "/before", harness.seed());
    for (size_t i = 0; i < expected.size(); i++) expected[i] += before[i];
    harness.expect_close("result", expected, run_service(harness, column, c)[0], kRoundings, 1);
  });
  harness.test("signs tell what lies between 0 and the bound", [&] {
    for (const char* label : {"signs17", "signs_below_bf16_17"}) {
      const ServiceCase& c = service(all, label);
      const bool capped = !c.request.attributes.empty();
      std::vector<double> y = values(c, 0), bits = run_service(harness, column, c)[0];
      for (size_t i = 0; i < y.size(); i++) {
        const double v = rounded(y[i], c.request.inputs[0].dtype);
        const bool expected = v > 0 && (!capped || v < 0.5), is = static_cast<int>(bits[i / 8]) >> i % 8 & 1;
        harness.expect(is == expected, label, ": bit ", i, " of ", v, " is ", is);
      }
    }
    const ServiceRequest request{Service::Signs, {{DType::F32, {4}}}, {{DType::U8, {sign_bytes(4)}}}, {}, {}};
    Buffer x(column, request.inputs[0], {INFINITY, NAN, -0.0, 1e-45}), bits(column, request.outputs[0]);
    void *in[] = {x.address()}, *out[] = {bits.address()};
    column.prepare(request)->run(Args{in, out, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr});
    harness.expect(bits.read()[0] == 0b1001, "expected infinity and the smallest number to count, NaN and -0 not; got ", bits.read()[0]);
  });
  harness.test("zero clears", [&] {
    harness.expect_close("result", std::vector<double>(17, 0), run_service(harness, column, service(all, "zero17"))[0], 0, 1);
  });
  harness.test("a folded weight gives the normalised product", [&] {
    // For x = 1 everywhere: norm(sum(w) + b) = sum(w') + b'.
    const ServiceCase& c = service(all, "fold");
    auto folded = run_service(harness, column, c);
    std::vector<double> w = values(c, 0), b = values(c, 1), gamma = values(c, 2), beta = values(c, 3), mean = values(c, 4), var = values(c, 5);
    for (size_t o = 0; o < 7; o++) {
      double plain = b[o], product = folded[1][o];
      for (size_t i = o * 45; i < (o + 1) * 45; i++) {
        plain += w[i];
        product += folded[0][i];
      }
      double expected = (plain - mean[o]) / std::sqrt(var[o] + 1e-3) * gamma[o] + beta[o];
      harness.expect(std::fabs(product - expected) < 1e-5 * std::fabs(expected), "channel ", o, ": expected ", expected, ", got ", product);
    }
  });
  harness.test("gathered and scattered rows are the live ones", [&] {
    const ServiceCase &gather = service(all, "gather"), &scatter = service(all, "scatter");
    int64_t live[] = {1, 2, 3, 7, 13, 14, 15, 16};
    std::vector<double> whole = values(gather, 0), rows = values(scatter, 0), picked;
    std::vector<double> expected = service_values(scatter, scatter.request.outputs[0], "/before", harness.seed());
    for (size_t r = 0; r < 8; r++)
      for (size_t i = 0; i < 7; i++) {
        picked.push_back(rounded(whole[live[r] * 7 + i], DType::F32));
        expected[live[r] * 7 + i] = rows[r * 7 + i];
      }
    harness.expect_close("gathered", picked, run_service(harness, column, gather)[0], 0, 1);
    harness.expect_close("scattered", expected, run_service(harness, column, scatter)[0], kRoundings, 1);
  });
  harness.test("non-finite numbers are counted", [&] {
    Buffer buffer(column, {DType::BF16, {5}}, {1, NAN, -INFINITY, 0, 3});
    harness.expect(column.count_nonfinite(buffer.address(), buffer.type()) == 2, "expected 2");
  });
}

void optimizer(Harness& harness, Column& column) {
  for (const OptimizerCase& c : optimizer_cases())
    harness.test("optimizer/" + c.label + ": masked elements and gaps stay", [&] {
      OptimizerState before = run_optimizer(harness, column, c, 0), after = run_optimizer(harness, column, c, 3);
      for (size_t i = 0; i < after.mask.size(); i++) {
        bool moved = before.arrays[0][i] != after.arrays[0][i];
        harness.expect(moved == (after.mask[i] != 0), "weight ", i, moved ? " moved" : " stayed");
        if (after.mask[i] == 0)
          harness.expect(after.arrays[1][i] == 0 && after.arrays[2][i] == 0, "moments of dead element ", i, " moved");
      }
    });
  harness.test("watched sums are those of the update", [&] {
    OptimizerCase c = optimizer_cases()[5];
    OptimizerState one = run_optimizer(harness, column, c, 1), none = run_optimizer(harness, column, c, 0);
    for (size_t s = 0; s < c.request.segments.size(); s++) {
      double moved = 0, weight = 0;
      for (int64_t i = c.request.segments[s].offset; i < c.request.segments[s].offset + c.request.segments[s].count; i++) {
        if (one.mask[i] == 0) continue;
        moved += std::pow(one.arrays[0][i] - none.arrays[0][i], 2);
        weight += std::pow(none.arrays[0][i], 2);
      }
      harness.expect_close(text("segment ", s), {moved, weight}, {one.sums[1 + 2 * s], one.sums[2 + 2 * s]}, 1e-9, 1e-9);
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  auto column = make_reference_column();
  conversions(harness);
  services(harness, *column);
  optimizer(harness, *column);
  return harness.finish();
}
