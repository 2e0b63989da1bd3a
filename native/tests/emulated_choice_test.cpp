// The choice between kernels: who is let in and who is dropped, what the tuning file says, what a plan's description names. The stub of
// cuBLASLt stands for the vendor's.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>

#include "cuda/column.h"
#include "matmul/choice.h"
#include "net.h"
#include "op_run.h"

using namespace graft;
using namespace graft::test;
using cuda::Candidate;
using cuda::ChoiceSettings;
using cuda::Tuning;

namespace {

ProductRequest request(int64_t m, int64_t n, int64_t k) {
  ProductRequest r;
  r.m = m, r.n = n, r.k = k;
  r.a = {k, 1, 0}, r.b = {n, 1, 0}, r.c = {n, 1, 0};
  return r;
}

// A kernel that a choice is made of: as simt, but perhaps late or wrong.
class Odd : public Kernel {
 public:
  Odd(std::unique_ptr<Kernel> kernel, std::string name, int late, float* wrong) : kernel_(std::move(kernel)), name_(std::move(name)), late_(late), wrong_(wrong) {}
  void run(const Args& args) const override {
    kernel_->run(args);
    if (late_) usleep(static_cast<useconds_t>(late_));
    if (wrong_) static_cast<float*>(args.out[0])[3] = *wrong_;
  }
  std::string name() const override { return name_; }
  size_t scratch_bytes() const override { return kernel_->scratch_bytes(); }

 private:
  std::unique_ptr<Kernel> kernel_;
  std::string name_;
  int late_;
  float* wrong_;
};

void choices(Harness& harness) {
  using Kind = Candidate::Kind;
  cuda::Device device;
  device.capability = 80;
  const auto odd = [](const std::string& name, Kind kind, bool recorded, int late, float* wrong = nullptr) {
    return Candidate{name, kind, recorded ? std::vector<int>{90, 80} : std::vector<int>{}, false, [=](const cuda::Device& d, const ProductRequest& r) { return std::make_unique<Odd>(cuda::make_simt_product(d, r), name, late, wrong); }};
  };
  std::string said;
  const auto choose = [&](const std::vector<Candidate>& candidates, const ChoiceSettings& settings) {
    said.clear();
    return choose_product(device, request(20, 12, 30), candidates, settings, "a machine", [&](const std::string& line) { said += line + "\n"; })->name();
  };
  const std::vector<Candidate> four = {odd("vendor", Kind::Vendor, true, 3000), odd("wgmma", Kind::Tensor, false, 0), odd("mma", Kind::Tensor, false, 2000), odd("simt", Kind::Simt, true, 5000)};
  std::vector<Candidate> checked = four;
  checked[1].recorded = checked[2].recorded = {80};
  const auto is = [&](const std::string& expected, const std::string& name) { harness.expect(name == expected, "took ", name, ", expected ", expected, "; ", said); };

  harness.test("choice without a file is the first that is let in", [&] {
    is("vendor", choose(four, {MatmulPolicy::Auto, ""}));
    is("wgmma", choose(four, {MatmulPolicy::Own, ""}));
    is("vendor", choose(four, {MatmulPolicy::Vendor, ""}));
    is("simt", choose({four[1], four[2], four[3]}, {MatmulPolicy::Auto, ""}));
    is("wgmma", choose({checked[1], checked[2], checked[3]}, {MatmulPolicy::Auto, ""}));
  });
  harness.test("what passed on one compute capability is off on another", [&] {
    const std::vector<Candidate> own = {checked[1], checked[2], checked[3]};
    for (auto [capability, name] : {std::pair<int, const char*>{80, "wgmma"}, {90, "simt"}, {86, "simt"}, {100, "simt"}}) {
      device.capability = capability;
      is(name, choose(own, {MatmulPolicy::Auto, ""}));
      is("wgmma", choose(own, {MatmulPolicy::Own, ""}));
    }
    device.capability = 80;
  });
  harness.test("an own kernel that is not in the table is off, and its name is told where only it takes the product", [&] {
    for (const char* kernel : {"wgmma", "mma", "tf32", "parts", "attention", "none"})
      for (int capability : cuda::recorded_on(kernel)) harness.expect(capability >= 80 && capability < 200, kernel, " on compute capability ", capability);
    harness.expect(!cuda::admits_own(device, "none"), "a kernel of no name is let in");
    device.choice.matmul = MatmulPolicy::Own;
    harness.expect(cuda::admits_own(device, "none"), "graft.matmul=own keeps a kernel out");
    device.choice = {};
    is("wgmma", choose({four[1]}, {MatmulPolicy::Auto, ""}));
    harness.expect(said.find("which no device like this one has checked; no other kernel takes it") != std::string::npos, "said: ", said);
  });
  harness.test("F32 products that may be made in parts and are not are told of, once", [&] {
    ProductRequest r = request(20, 12, 30);
    std::vector<std::string> lines;
    const auto say = [&](F32Product permitted, MatmulPolicy policy, const std::string& kernel, Kind kind) {
      lines.clear();
      r.f32 = permitted;
      choose_product(device, r, {odd(kernel, kind, true, 0), four[3]}, {policy, "", permitted}, "", [&](const std::string& line) { lines.push_back(line); });
      return lines.size() == 1 ? lines[0] : text(lines.size(), " lines");
    };
    for (F32Product f : {F32Product::Bf16x3, F32Product::Bf16x6, F32Product::Tf32}) {
      const std::string line = say(f, MatmulPolicy::Auto, "simt", Kind::Simt);
      harness.expect(line == text("F32 products may be made by ", name_of(f), ", but simt makes them exactly; graft.matmul=own lets in kernels for it that no device like this one has checked"), line);
      harness.expect(say(f, MatmulPolicy::Own, "simt", Kind::Simt) == text("F32 products may be made by ", name_of(f), ", but simt makes them exactly"), lines.size(), " lines");
    }
    harness.expect(say(F32Product::Exact, MatmulPolicy::Auto, "simt", Kind::Simt) == "0 lines", lines.size(), " lines");
    harness.expect(say(F32Product::Bf16x6, MatmulPolicy::Own, "own:mma:product_bf16x6", Kind::Tensor) == "0 lines", lines.size(), " lines");
    harness.expect(say(F32Product::Tf32, MatmulPolicy::Auto, "cublaslt", Kind::Vendor) == "0 lines", lines.size(), " lines");
    harness.expect(say(F32Product::Bf16x6, MatmulPolicy::Auto, "cublaslt", Kind::Vendor).find("but cublaslt makes them exactly") != std::string::npos, lines.size(), " lines");
  });
  harness.test("a tensor-core kernel that disagrees is dropped with a line", [&] {
    static float wrong = 1000, no_number = NAN;
    for (float* value : {&wrong, &no_number}) {
      std::vector<Candidate> candidates = four;
      candidates[1] = odd("wgmma", Kind::Tensor, false, 0, value);
      is("mma", choose(candidates, {MatmulPolicy::Own, ""}));
      harness.expect(said.find("wgmma is dropped: 1 results are not those of mma") != std::string::npos, "said: ", said);
    }
  });
  harness.test("with a file the fastest is taken, written and taken again", [&] {
    const std::string path = text("/tmp/graft-tuning-", getpid());
    unlink(path.c_str());
    is("vendor", choose(four, {MatmulPolicy::Auto, path}));
    is("wgmma", choose(checked, {MatmulPolicy::Auto, path}));
    std::ifstream file(path);
    std::stringstream content;
    content << file.rdbuf();
    harness.expect(content.str().find("graft tuning 1\na machine; vendor simt ; f32 f32 1x20x12x30") == 0, content.str());
    // What the file says counts, not what is faster now.
    std::vector<Candidate> turned = checked;
    turned[1] = odd("wgmma", Kind::Tensor, true, 8000);
    is("wgmma", choose(turned, {MatmulPolicy::Auto, path}));
    unlink(path.c_str());
  });
  harness.test("tuning files: kept, merged, refused", [&] {
    const std::string path = text("/tmp/graft-tuning-file-", getpid());
    unlink(path.c_str());
    Tuning one(path), other(path);
    one.remember("a", "x", 1);
    other.remember("b", "y", 2);
    one.remember("c", "z", 3);
    Tuning all(path);
    harness.expect(all.find("a") == "x" && all.find("b") == "y" && all.find("c") == "z" && all.find("d").empty(), "an entry is lost");
    std::ofstream(path) << "graft tuning 1\nno tabs\n";
    harness.expect_error(text("the tuning file ", path, ", line 2: expected key, choice and microseconds"), [&] { Tuning t(path); });
    std::ofstream(path) << "something else\n";
    harness.expect_error("does not begin with \"graft tuning 1\"", [&] { Tuning t(path); });
    unlink(path.c_str());
    harness.expect_error("cannot be written: No such file", [&] { Tuning("/nowhere/tuning").remember("a", "x", 1); });
  });
}

void plans(Harness& harness) {
  setenv("GRAFT_LIBRARY_PATH", STUB_FOLDER, 1);
  harness.test("a plan names the choice of each product", [&] {
    auto device = std::make_shared<Device>(make_cuda_column(0), 1, 1);
    setenv("GRAFT_MATMUL", "own", 1);
    for (auto [options, kernel] : {std::pair<const char*, const char*>{"matmul vendor", "cublaslt:13.1.0:cuda"}, {"matmul own", "own:simt:"}, {"", "own:simt:"}}) {
      Net net(device);
      net.graph.output("y", net.linear("fc", net.input("x", {16, 8}), 8));
      const std::string described = net.compile(text("batch 16\n", options))->describe();
      harness.expect(described.find(text(R"("op":"linear","pass":"forward","kernel":")", kernel)) != std::string::npos, options, ": ", described);
    }
    Net net(device);
    net.graph.output("y", net.linear("fc", net.input("x", {16, 8}), 8));
    harness.expect_error("plan option matmul: expected own, vendor or auto, got cublas", [&] { net.compile("batch 16\nmatmul cublas"); });
    harness.expect_error("plan option f32_products: expected exact, tf32, bf16x3 or bf16x6, got fp8", [&] { net.compile("batch 16\nf32_products fp8"); });
  });
}

// What is written to stderr meanwhile.
std::string told(const std::function<void()>& body) {
  std::FILE* file = std::tmpfile();
  std::fflush(stderr);
  const int before = dup(2);
  dup2(fileno(file), 2);
  body();
  std::fflush(stderr);
  dup2(before, 2);
  close(before);
  std::rewind(file);
  std::string all;
  for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) all += static_cast<char>(c);
  std::fclose(file);
  return all;
}

void attention(Harness& harness) {
  harness.test("attention that waits for a device is told of where its heads fit it alone", [&] {
    auto column = make_cuda_column(0);
    ProductChoice choice;
    choice.matmul = MatmulPolicy::Auto;
    column->choose(choice);
    const OpDef& op = *find_op("attention");
    for (int64_t size : {12, 136, 16}) {
      const OpCase c{text(size), {{{2, 7, 3 * size}}, absent(), absent(), absent()}, {{"heads", 1}}, 2};
      std::string name;
      const std::string line = told([&] { name = column->prepare(make_request(op, c, DType::BF16, Pass::Forward, {}))->name(); });
      harness.expect(name == "own:attention:cuda", "heads of ", size, ": ", name);
      harness.expect((line.find("lets in own:mma:attention") != std::string::npos) == (size == 16), "heads of ", size, ": ", line);
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  unsetenv("GRAFT_MATMUL");  // which ctest sets
  choices(harness);
  plans(harness);
  attention(harness);
  return harness.finish();
}
