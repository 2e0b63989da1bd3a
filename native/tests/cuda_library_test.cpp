// Why CUDA cannot be used: each reason in one line, the same from opening, checking and describing, and nothing crashes. A stub of
// the driver plays machines that are not at hand; without CUDA in the build there is one reason alone.
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "api/cuda_library.h"
#include "graft.h"
#include "harness.h"
#ifdef GRAFT_HAS_CUDA
#include "cuda/library.h"
#include "stub_driver.h"
#endif

using namespace graft;
using namespace graft::test;

namespace {

std::string described() {
  char text[4096];
  int64_t needed = 0;
  ensure(graft_cuda_describe(text, sizeof text, &needed) == GRAFT_OK, graft_last_error());
  return text;
}

// Opening `device` fails with this status, and with a message of one line that begins with the device and holds `part`.
void refuses(Harness& harness, const std::string& name, const std::string& device, const std::string& part, int32_t expected, bool in_check = true) {
  harness.test(name, [&] {
    graft_device* opened = nullptr;
    const auto says = [&](const char* call, int32_t status) {
      const std::string message = graft_last_error();
      harness.expect(status == expected, call, ": status ", status, ", expected ", expected, ": ", message);
      harness.expect(message.rfind("device " + device + ": ", 0) == 0 && message.find(part) != std::string::npos && message.find('\n') == std::string::npos,
                     call, ": expected one line that names the device and says: ", part, ", got: ", message);
    };
    says("open", graft_device_open(device.c_str(), 1, 1, &opened));
    if (in_check) says("check", graft_device_check(device.c_str()));
    harness.expect(!opened, "a device came of it");
  });
}

#ifdef GRAFT_HAS_CUDA

// In a process of its own: a driver that was loaded once would stand before the stub.
bool has_driver() {
  const pid_t child = fork();
  if (child == 0) _exit(dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL) ? 1 : 0);
  int status = 0;
  ensure(child > 0 && waitpid(child, &status, 0) == child, "no second process");
  return status != 0;
}

void no_driver(Harness& harness) {
  const std::string reason = "no NVIDIA driver: libcuda.so.1 is not found";
  refuses(harness, "no driver", "cuda", reason, GRAFT_UNAVAILABLE);
  refuses(harness, "no driver, by number", "cuda:3", reason, GRAFT_UNAVAILABLE);
  harness.test("no driver, described", [&] {
    harness.expect(described().find("\"reason\":\"" + reason + "\",\"gpus\":[]") != std::string::npos, described());
  });
}

void drivers(Harness& harness, StubDriver& stub) {
  const auto machine = [&](const StubDriver& answers) { stub = answers; };
  StubDriver s;
  s.version = 12040;
  machine(s);
  refuses(harness, "old driver", "cuda", "the NVIDIA driver is too old: it is of CUDA 12.4, this build needs 1", GRAFT_UNAVAILABLE);

  s = {};
  s.init = CUDA_ERROR_NO_DEVICE;
  machine(s);
  refuses(harness, "driver without a GPU", "cuda", "the NVIDIA driver finds no GPU", GRAFT_UNAVAILABLE);
  s = {};
  s.count = 0;
  machine(s);
  setenv("CUDA_VISIBLE_DEVICES", "", 1);
  refuses(harness, "all GPUs hidden", "cuda:1", "finds no GPU; CUDA_VISIBLE_DEVICES is \"\"", GRAFT_UNAVAILABLE);
  unsetenv("CUDA_VISIBLE_DEVICES");
  s = {};
  s.init = CUDA_ERROR_SYSTEM_DRIVER_MISMATCH;
  machine(s);
  refuses(harness, "driver that does not start", "cuda", "does not start: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", GRAFT_UNAVAILABLE);
  s.init = CUDA_ERROR_UNKNOWN;
  machine(s);
  refuses(harness, "driver with an error of no name", "cuda", "does not start: error 999", GRAFT_UNAVAILABLE);

  machine({});
  refuses(harness, "a GPU too many, of one", "cuda:1", "there is no GPU 1; this machine has 1: cuda:0", GRAFT_UNAVAILABLE);
  s = {};
  s.count = 4;
  machine(s);
  refuses(harness, "a GPU too many, of four", "cuda:9999", "there is no GPU 9999; this machine has 4: cuda:0 to cuda:3", GRAFT_UNAVAILABLE);

  s = {};
  s.name = "Tesla V100";
  s.major = 7;
  machine(s);
  refuses(harness, "older GPU", "cuda", "GPU 0 (Tesla V100) has compute capability 7.0; this build needs 8.0 or newer", GRAFT_UNAVAILABLE);
  harness.test("older GPU, described", [&] {
    const std::string json = described();
    harness.expect(json.find(R"("driver":"13.0","reason":"","gpus":[{"name":"Tesla V100","capability":"7.0","memory_mb":1024,"reason":"GPU 0)") != std::string::npos,
                   json);
  });

  s = {};
  s.free = size_t{100} << 20;
  machine(s);
  refuses(harness, "too little memory", "cuda:0", "GPU 0 (Stub GPU) has 100 MiB of its 1024 MiB free; at least 256 MiB are needed", GRAFT_OUT_OF_MEMORY, false);
  harness.test("too little memory leaves no context", [&] { harness.expect(stub.held == 0, stub.held, " contexts are held"); });
  s.retain = CUDA_ERROR_OUT_OF_MEMORY;
  machine(s);
  refuses(harness, "no room for a context", "cuda", "has too little of its 1024 MiB free to be opened; at least 256 MiB", GRAFT_OUT_OF_MEMORY, false);
  s.retain = CUDA_ERROR_SYSTEM_DRIVER_MISMATCH;
  machine(s);
  refuses(harness, "context that is refused", "cuda", "cannot be opened: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", GRAFT_UNAVAILABLE, false);
  s = {};
  s.memory = CUDA_ERROR_UNKNOWN;
  machine(s);
  refuses(harness, "memory that is not told", "cuda", "does not tell its free memory: error 999", GRAFT_UNAVAILABLE, false);

  machine({});
  harness.test("a GPU that serves passes the check", [&] {
    harness.expect(graft_device_check("cuda:0") == GRAFT_OK, graft_last_error());
    harness.expect(described().find(R"("memory_mb":1024,"reason":""}])") != std::string::npos, described());
  });
  // the runtime asks a driver for more than this one has
  harness.test("a driver that serves nobody is an error, not a crash", [&] {
    graft_device* opened = nullptr;
    const int32_t status = graft_device_open("cuda", 1, 1, &opened);
    harness.expect(status != GRAFT_OK && !opened, "status ", status);
    harness.expect(std::string(graft_last_error()).rfind("device cuda: ", 0) == 0, graft_last_error());
    harness.expect(stub.held == 0, stub.held, " contexts are held");
  });
}

// NVIDIA's libraries are told with version and path, or with where they were sought, whether there is a GPU or not.
void vendors(Harness& harness) {
  const auto has = [&](const std::string& part) {
    const std::string json = described();
    harness.expect(json.find(part) != std::string::npos, "expected: ", part, ", got: ", json);
  };
  if (described().find("\"version\":") != std::string::npos) {
    std::printf("this machine has libraries of NVIDIA: what is said without them is not tested\n");
    return;
  }
  harness.test("libraries that are not there", [&] {
    has(R"("libraries":[{"name":"cublaslt","reason":"no cuBLASLt: libcublasLt.so.13 or libcublasLt.so.12 is not found: not loaded by this process, not on the library path, in )");
    has(R"({"name":"cudnn","reason":"no cuDNN: libcudnn.so.9)");
  });
  harness.test("libraries in a folder that the caller names", [&] {
    setenv("GRAFT_LIBRARY_PATH", STUB_CUBLASLT ":" STUB_CUDNN, 1);
    has(text(R"({"name":"cublaslt","version":"13.1.0","path":")", STUB_CUBLASLT, R"(/libcublasLt.so.13"})"));
    has(text(R"({"name":"cudnn","version":"9.19.1","path":")", STUB_CUDNN, R"(/libcudnn.so.9"})"));
    unsetenv("GRAFT_LIBRARY_PATH");
  });
}

void libraries(Harness& harness, const std::string& folder) {
  const std::string library = folder + "/" + kCudaLibrary;
  const auto says = [&](const std::string& part) {
    const std::string json = api::describe_cuda(folder);
    harness.expect(json.find(part) != std::string::npos && json.find(R"("gpus":[])") != std::string::npos, "expected: ", part, ", got: ", json);
  };
  harness.test("library missing", [&] { says("libgraft_cuda.so is not beside libgraft.so in " + folder); });
  harness.test("library damaged", [&] {
    std::ofstream(library) << "no library";
    says("libgraft_cuda.so does not load: ");
  });
  harness.test("library that is another", [&] {
    unlink(library.c_str());
    ensure(symlink(STUB_DRIVER, library.c_str()) == 0, "no link");
    says("has no function graft_cuda_column: it is not of this build");
  });
  unlink(library.c_str());
  harness.test("library of another build", [&] {
    void* opened = dlopen(CUDA_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    ensure(opened, dlerror());
    auto* entry = reinterpret_cast<CudaEntry*>(dlsym(opened, kCudaEntry));
    CudaCall call;
    call.text = "untouched";
    harness.expect(entry("0.0.0+000000000000", &call) == kOtherBuild && call.text == "untouched" && !call.column, "answered: ", call.text);
  });
}

#endif

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  harness.test("names of GPUs", [&] {
    harness.expect(api::cuda_device("cuda") == 0 && api::cuda_device("cuda:0") == 0 && api::cuda_device("cuda:17") == 17, "a name is not understood");
    for (const char* name : {"", "cpu", "cuda:", "cuda:-1", "cuda:x", "cuda:1x", "cuda:12345", "CUDA", "cuda0"})
      harness.expect(!api::cuda_device(name), name, " is taken for a GPU");
  });
  harness.test("columns of the processor pass the check", [&] {
    harness.expect(graft_device_check("cpu") == GRAFT_OK && graft_device_check("reference") == GRAFT_OK, graft_last_error());
    harness.expect(graft_device_check("gpu") == GRAFT_UNAVAILABLE, "a column gpu");
    harness.expect(graft_device_check(nullptr) == GRAFT_INVALID_ARGUMENT, "a column without a name");
  });
#ifdef GRAFT_HAS_CUDA
  if (has_driver()) std::printf("this machine has a driver: what is said without one is not tested\n");
  else no_driver(harness);
  vendors(harness);
  char folder[] = "/tmp/graft-cuda-XXXXXX";
  ensure(mkdtemp(folder), "no temporary folder");
  libraries(harness, folder);
  rmdir(folder);
  // From here the stub is the driver: its name is that of the real one, and a library is loaded once.
  void* driver = dlopen(STUB_DRIVER, RTLD_NOW | RTLD_GLOBAL);
  ensure(driver, dlerror());
  drivers(harness, *reinterpret_cast<StubDriver* (*)()>(dlsym(driver, kStubState))());
#else
  refuses(harness, "built without CUDA", "cuda", "this build has no CUDA column: it was made without nvcc", GRAFT_UNAVAILABLE);
  harness.test("built without CUDA, described", [&] {
    harness.expect(described() == R"({"reason":"this build has no CUDA column: it was made without nvcc","gpus":[]})", described());
  });
#endif
  return harness.finish();
}
