// Products by NVIDIA's library, with a stub of cuBLASLt that computes as the manual says: how it is found and refused, what is asked of it,
// who decides that it is taken. It tells nothing of the real library's speed.
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
#include "vendor/libraries.h"

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
  harness.test("libraries that are not there are told with where they were sought", [&] {
    for (const VendorLibrary& library : vendor_libraries()) {
      Json json;
      describe(json, library);
      if (library.reason.empty()) {
        std::printf("%s %s is installed in %s: what is said without it is not tested\n", library.title.c_str(), library.version.c_str(), library.library.path.c_str());
        continue;
      }
      harness.expect(library.version.empty() && library.reason.rfind(text("no ", library.title, ": "), 0) == 0 && library.reason.find("CUDA_HOME, /usr/local/cuda or a wheel's folder") != std::string::npos,
                     library.name, ": ", library.reason);
      harness.expect(json.text().find(text(R"({"name":")", library.name, R"(","reason":"no )")) == 0, json.text());
    }
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
    ProductRequest silu = r;
    silu.epilogue.activation = Activation::Silu;
    named("vendor", silu, "cublaslt:13.1.0:cuda + own:activation:cuda");
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
  harness.test("a plan's choice goes before the device's, and that before the environment's", [&] {
    const auto name = [&](const ProductChoice& device, const ProductChoice* plan) {
      column.choose(device);
      const TensorType x{DType::F32, {16, 8}}, w{DType::F32, {8, 8}}, y{DType::F32, {16, 8}};
      Request r;
      r.op = find_op("linear");
      r.inputs = {x, w};
      r.outputs = {y};
      r.constant = {false, true};
      r.choice = plan;
      const std::string found = column.prepare(r)->name();
      column.choose({});
      return found;
    };
    const ProductChoice silent, own{MatmulPolicy::Own, {}, {}}, vendor{MatmulPolicy::Vendor, {}, {}};
    setenv("GRAFT_MATMUL", "vendor", 1);
    const auto expect = [&](const char* what, const std::string& name, const char* begin) { harness.expect(name.rfind(begin, 0) == 0, what, ": ", name); };
    expect("environment", name(silent, nullptr), "cublaslt:");
    expect("environment, a silent plan", name(silent, &silent), "cublaslt:");
    expect("device", name(own, nullptr), "own:");
    expect("device, a silent plan", name(own, &silent), "own:");
    expect("plan over environment", name(silent, &own), "own:");
    expect("plan over device", name(own, &vendor), "cublaslt:");
    expect("after a plan", name(silent, nullptr), "cublaslt:");
  });
  harness.test("the device names the library", [&] {
    const std::string described = column.describe();
    harness.expect(described.find(text(R"("libraries":{"cublaslt":{"name":"cublaslt","version":"13.1.0","path":")", STUB_FOLDER)) != std::string::npos, described);
  });
  setenv("GRAFT_MATMUL", "vendor", 1);
  harness.test("with a tuning file all of its ways are measured", [&] {
    const std::string path = text("/tmp/graft-tuning-ways-", getpid());
    setenv("GRAFT_TUNING", path.c_str(), 1);
    const std::string name = column.prepare(request(16, 8, 8))->name();
    unsetenv("GRAFT_TUNING");
    std::ifstream file(path);
    std::stringstream content;
    content << file.rdbuf();
    unlink(path.c_str());
    harness.expect(name == "cublaslt:13.1.0:cuda" && content.str().find("; cublaslt cublaslt2 ; f32 f32 1x16x8x8") != std::string::npos, name, "; ", content.str());
  });
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

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  StubCublasLt& stub = found(harness);
  auto column = make_cuda_column(0);
  column->enter_lane(1);
  products(harness, *column, stub);
  return harness.finish();
}
