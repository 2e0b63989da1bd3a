// Products by NVIDIA's library and the choice between kernels, with a stub of cuBLASLt that computes as the manual says: how it is found
// and refused, what is asked of it, which kernel is taken and what the tuning file says. It tells nothing of the real library's speed.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "cuda/column.h"
#include "ladder.h"
#include "matmul/choice.h"
#include "stub_cublaslt.h"
#include "vendor/cublaslt.h"
#include "vendor/open_library.h"

using namespace graft;
using namespace graft::test;
using namespace graft::cuda;

namespace {

ProductRequest request(int64_t m, int64_t n, int64_t k) {
  ProductRequest r;
  r.m = m, r.n = n, r.k = k;
  r.a = {k, 1, 0}, r.b = {n, 1, 0}, r.c = {n, 1, 0};
  return r;
}

StubCublasLt& found(Harness& harness) {
  harness.test("library not found", [&] {
    const std::string reason = open_library({"libgraft_none.so.", {2, 1}, {"nvidia/none/lib"}}).reason;
    harness.expect(reason.find("libgraft_none.so.2 or libgraft_none.so.1 is not found") == 0 && reason.find('\n') == std::string::npos, reason);
  });
  char folder[] = "/tmp/graft-vendor-XXXXXX";
  ensure(mkdtemp(folder), "no temporary folder");
  setenv("GRAFT_LIBRARY_PATH", folder, 1);
  harness.test("library damaged", [&] {
    const std::string path = text(folder, "/libgraft_none.so.1");
    std::ofstream(path) << "no library";
    const std::string reason = open_library({"libgraft_none.so.", {1}, {}}).reason;
    harness.expect(reason.find("libgraft_none.so.1 does not load: ") == 0, reason);
    unlink(path.c_str());
  });
  harness.test("library in a wheel's folder", [&] {
    const std::string below = text(folder, "/lib/python3.12/site-packages/nvidia/cu13/lib");
    ensure(std::system(text("mkdir -p ", below).c_str()) == 0, "no folder");
    setenv("VIRTUAL_ENV", folder, 1);
    const auto folders = library_folders({"libcublasLt.so.", {13}, {"nvidia/cu13/lib"}});
    unsetenv("VIRTUAL_ENV");
    harness.expect(std::find(folders.begin(), folders.end(), below) != folders.end(), below, " is not searched");
    ensure(std::system(text("rm -r ", folder, "/lib").c_str()) == 0, "not removed");
  });
  rmdir(folder);
  setenv("GRAFT_LIBRARY_PATH", text("/nowhere:", STUB_FOLDER).c_str(), 1);
  void* library = dlopen(STUB_FOLDER "/libcublasLt.so.13", RTLD_NOW | RTLD_LOCAL);
  ensure(library, dlerror());
  StubCublasLt& stub = *reinterpret_cast<StubCublasLt* (*)()>(dlsym(library, kStubCublasLt))();
  harness.test("a library that the process has loaded is taken", [&] {
    setenv("GRAFT_LIBRARY_PATH", "/nowhere", 1);
    harness.expect(open_library({"libcublasLt.so.", {13, 12}, {}}).handle == library, "another was opened");
    setenv("GRAFT_LIBRARY_PATH", STUB_FOLDER, 1);
  });
  for (auto [version, name] : {std::pair<size_t, const char*>{110902, "11.9.2"}, {140000, "14.0.0"}})
    harness.test(text("version ", name, " is refused"), [&, v = version, n = name] {
      stub.version = v;
      harness.expect_error(text("is of version ", n, "; 12 or 13 is needed"), [] { open_cublaslt(); });
    });
  harness.test("a library that does not start", [&] {
    stub = {};
    stub.starts = false;
    harness.expect_error("does not start: the stub refuses", [] { open_cublaslt(); });
  });
  stub = {};
  for (size_t version : {120901, 130100})
    harness.test(text("version ", version, " is taken"), [&] {
      stub.version = version;
      harness.expect(open_cublaslt()->version == (version == 130100 ? "13.1.0" : "12.9.1"), open_cublaslt()->version);
    });
  return stub;
}

void products(Harness& harness, Column& column, StubCublasLt& stub) {
  setenv("GRAFT_MATMUL", "vendor", 1);
  Ladder(harness, column).products();
  harness.test("names", [&] {
    const auto named = [&](const char* policy, const ProductRequest& r, const std::string& begin) {
      setenv("GRAFT_MATMUL", policy, 1);
      const std::string name = column.prepare(r)->name();
      harness.expect(name.rfind(begin, 0) == 0, policy, " of ", product_text(r), ": ", name, ", expected ", begin);
    };
    ProductRequest r = request(16, 8, 8), by_columns = r;
    by_columns.c = {1, 16, 0};
    named("vendor", r, "cublaslt:13.1.0");
    named("auto", r, "cublaslt:13.1.0");
    named("own", r, "own:simt");
    named("vendor", by_columns, "own:simt");
    r.type = DType::BF16;
    named("own", r, "own:mma");
    stub.has_algorithm = false;
    named("auto", r, "own:simt");  // mma has not been checked on a device
    r.saves = true;
    r.epilogue.activation = Activation::Silu;
    named("auto", r, "own:mma");  // there is no other
    stub.has_algorithm = true;
  });
  harness.test("a policy that is none", [&] {
    setenv("GRAFT_MATMUL", "cublas", 1);
    harness.expect_error("GRAFT_MATMUL: expected own, vendor or auto, got cublas", [&] { column.prepare(request(16, 8, 8)); });
  });
  setenv("GRAFT_MATMUL", "vendor", 1);
  harness.test("gelu with what it was applied to", [&] {
    ProductCase c{"gelu_saved", request(17, 16, 24)};
    c.request.type = c.request.result = DType::BF16;
    c.request.batch = 2, c.request.a.step = 17 * 24, c.request.b.step = 16 * 24, c.request.c.step = 17 * 16;
    c.request.bias = c.request.saves = c.request.epilogue.residual = true;
    c.request.epilogue.activation = Activation::GeluTanh;
    c.request.times = 0.25f;
    const int before = stub.products;
    harness.expect_close("c and saved", run_product(harness, *make_reference_column(), c), run_product(harness, column, c), 0x1p-7, 1);
    harness.expect(stub.products == before + 1, "cuBLASLt did not do it");
  });
  harness.test("operands that are not aligned go to another kernel", [&] {
    const ProductRequest r = request(8, 8, 8);
    auto kernel = column.prepare(r);
    Buffer a(column, {DType::F32, {65}}, std::vector<double>(65, 2)), b(column, {DType::F32, {64}}, std::vector<double>(64, 3)), c(column, {DType::F32, {64}});
    Buffer scratch(column, kernel->scratch_bytes());
    for (int shift : {0, 1}) {
      const int before = stub.products;
      void *in[] = {static_cast<float*>(a.address()) + shift, b.address(), nullptr, nullptr, nullptr, nullptr}, *out[] = {c.address(), nullptr};
      Args args{};
      args.in = in, args.out = out, args.scratch = scratch.address();
      kernel->run(args);
      column.synchronize();
      harness.expect(c.read() == std::vector<double>(64, 48), "another result");
      harness.expect(stub.products - before == 1 - shift, "shift ", shift, ": ", stub.products - before, " products by cuBLASLt");
    }
  });
  harness.test("descriptions are destroyed", [&] { harness.expect(stub.alive == 0, stub.alive, " are left"); });
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
  Device device;
  const auto odd = [](const std::string& name, Kind kind, bool recorded, int late, float* wrong = nullptr) {
    return Candidate{name, kind, recorded, false, [=](const Device& d, const ProductRequest& r) { return std::make_unique<Odd>(make_simt_product(d, r), name, late, wrong); }};
  };
  std::string said;
  const auto choose = [&](const std::vector<Candidate>& candidates, const ChoiceSettings& settings) {
    said.clear();
    return choose_product(device, request(20, 12, 30), candidates, settings, "a machine", [&](const std::string& line) { said += line + "\n"; })->name();
  };
  const std::vector<Candidate> four = {odd("vendor", Kind::Vendor, true, 3000), odd("wgmma", Kind::Tensor, false, 0), odd("mma", Kind::Tensor, false, 2000), odd("simt", Kind::Simt, true, 5000)};
  std::vector<Candidate> checked = four;
  checked[1].recorded = checked[2].recorded = true;
  const auto is = [&](const std::string& expected, const std::string& name) { harness.expect(name == expected, "took ", name, ", expected ", expected, "; ", said); };

  harness.test("choice without a file is the first that is let in", [&] {
    is("vendor", choose(four, {MatmulPolicy::Auto, ""}));
    is("wgmma", choose(four, {MatmulPolicy::Own, ""}));
    is("vendor", choose(four, {MatmulPolicy::Vendor, ""}));
    is("simt", choose({four[1], four[2], four[3]}, {MatmulPolicy::Auto, ""}));
    is("wgmma", choose({checked[1], checked[2], checked[3]}, {MatmulPolicy::Auto, ""}));
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

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  StubCublasLt& stub = found(harness);
  auto column = make_cuda_column(0);
  column->enter_lane(1);
  products(harness, *column, stub);
  choices(harness);
  return harness.finish();
}
