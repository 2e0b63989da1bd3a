#include "probe.h"

#include <cuda.h>
#include <dlfcn.h>

#include <cstdlib>

#include "error.h"

namespace graft::cuda {
namespace {

constexpr char kDriver[] = "libcuda.so.1";

// The functions of the driver that are used here, all of them older than any driver that serves.
struct Functions {
  decltype(&cuInit) init;
  decltype(&cuDriverGetVersion) version;
  decltype(&cuGetErrorName) error_name;
  decltype(&cuDeviceGetCount) count;
  decltype(&cuDeviceGet) get;
  decltype(&cuDeviceGetName) name;
  decltype(&cuDeviceGetAttribute) attribute;
  decltype(&cuDeviceTotalMem) bytes;
  decltype(&cuDevicePrimaryCtxRetain) retain;
  decltype(&cuDevicePrimaryCtxRelease) release;
  decltype(&cuCtxPushCurrent) push;
  decltype(&cuCtxPopCurrent) pop;
  decltype(&cuMemGetInfo) memory;
};

template <class Function>
bool find(void* library, const char* symbol, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, symbol));
  return function;
}

// The driver stays open as long as the process lives: it has threads and handlers of its own.
std::string open_driver(Functions& f) {
  void* library = dlopen(kDriver, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const std::string reason = dlerror();
    if (reason.find("No such file") != std::string::npos) return text("no NVIDIA driver: ", kDriver, " is not found");
    return text("the NVIDIA driver does not load: ", reason);
  }
  const bool whole = find(library, "cuInit", f.init) && find(library, "cuDriverGetVersion", f.version) &&
                     find(library, "cuGetErrorName", f.error_name) && find(library, "cuDeviceGetCount", f.count) &&
                     find(library, "cuDeviceGet", f.get) && find(library, "cuDeviceGetName", f.name) &&
                     find(library, "cuDeviceGetAttribute", f.attribute) && find(library, "cuDeviceTotalMem_v2", f.bytes) &&
                     find(library, "cuDevicePrimaryCtxRetain", f.retain) && find(library, "cuDevicePrimaryCtxRelease_v2", f.release) &&
                     find(library, "cuCtxPushCurrent_v2", f.push) && find(library, "cuCtxPopCurrent_v2", f.pop) &&
                     find(library, "cuMemGetInfo_v2", f.memory);
  return whole ? "" : text("the NVIDIA driver is too old: ", kDriver, " lacks functions of CUDA 11");
}

std::string named(const Functions& f, CUresult result) {
  const char* name = nullptr;
  if (f.error_name(result, &name) != CUDA_SUCCESS || !name) return text("error ", static_cast<int>(result));
  return name;
}

// The caller may have hidden GPUs without remembering it.
std::string hidden() {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  return visible ? text("; CUDA_VISIBLE_DEVICES is \"", visible, "\"") : "";
}

std::string read_gpu(const Functions& f, int index, Gpu& gpu) {
  CUdevice device;
  char name[256] = "";
  int major = 0, minor = 0;
  CUresult r = f.get(&device, index);
  if (r == CUDA_SUCCESS) r = f.name(name, sizeof name, device);
  if (r == CUDA_SUCCESS) r = f.attribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device);
  if (r == CUDA_SUCCESS) r = f.attribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device);
  if (r == CUDA_SUCCESS) r = f.bytes(&gpu.bytes, device);
  if (r != CUDA_SUCCESS) return text("the driver does not describe GPU ", index, ": ", named(f, r));
  gpu.name = name;
  gpu.capability = 10 * major + minor;
  return "";
}

std::string read_driver(const Functions& f, int needed, Driver& driver) {
  CUresult r = f.version(&driver.version);
  if (r != CUDA_SUCCESS) return text("the NVIDIA driver does not tell its version: ", named(f, r));
  const int least = needed / 1000 * 1000;
  if (driver.version < least)
    return text("the NVIDIA driver is too old: it is of CUDA ", version_text(driver.version), ", this build needs ", version_text(least), " or newer");
  r = f.init(0);
  if (r == CUDA_ERROR_NO_DEVICE) return text("the NVIDIA driver finds no GPU", hidden());
  if (r != CUDA_SUCCESS) return text("the NVIDIA driver does not start: ", named(f, r));
  int count = 0;
  r = f.count(&count);
  if (r != CUDA_SUCCESS) return text("the NVIDIA driver does not count its GPUs: ", named(f, r));
  if (count == 0) return text("the NVIDIA driver finds no GPU", hidden());
  for (int i = 0; i < count; i++) {
    driver.gpus.emplace_back();
    const std::string problem = read_gpu(f, i, driver.gpus.back());
    if (!problem.empty()) return problem;
  }
  return "";
}

}  // namespace

std::string Gpu::label(int index) const { return text("GPU ", index, " (", name, ")"); }

std::string version_text(int version) { return text(version / 1000, ".", version % 1000 / 10); }

Driver probe(int needed) {
  Driver driver;
  Functions f{};
  driver.problem = open_driver(f);
  if (driver.problem.empty()) driver.problem = read_driver(f, needed, driver);
  return driver;
}

std::string refusal(const Driver& driver, int device) {
  if (!driver.problem.empty()) return driver.problem;
  const int count = static_cast<int>(driver.gpus.size());
  if (device < 0 || device >= count)
    return text("there is no GPU ", device, "; this machine has ", count, count == 1 ? ": cuda:0" : text(": cuda:0 to cuda:", count - 1), hidden());
  const Gpu& gpu = driver.gpus[device];
  if (gpu.capability < kLeastCapability)
    return text(gpu.label(device), " has compute capability ", gpu.capability / 10, ".", gpu.capability % 10, "; this build needs ",
                kLeastCapability / 10, ".", kLeastCapability % 10, " or newer");
  return "";
}

Context::Context(const Driver& driver, int device) {
  Functions f{};
  const std::string problem = open_driver(f);
  if (!problem.empty()) throw Error(GRAFT_UNAVAILABLE, problem);
  const Gpu& gpu = driver.gpus.at(device);
  const std::string who = gpu.label(device);
  const auto mib = [](size_t bytes) { return text(bytes >> 20, " MiB"); };
  const std::string need = text("; at least ", mib(kLeastFree), " are needed, and other processes may hold the rest");
  CUcontext context;
  CUresult r = f.get(&handle_, device);
  if (r == CUDA_SUCCESS) r = f.retain(&context, handle_);
  if (r == CUDA_ERROR_OUT_OF_MEMORY) throw Error(GRAFT_OUT_OF_MEMORY, text(who, " has too little of its ", mib(gpu.bytes), " free to be opened", need));
  if (r != CUDA_SUCCESS) throw Error(GRAFT_UNAVAILABLE, text(who, " cannot be opened: ", named(f, r)));
  size_t free = 0, total = 0;
  r = f.push(context);
  if (r == CUDA_SUCCESS) {
    r = f.memory(&free, &total);
    f.pop(&context);
  }
  if (r == CUDA_SUCCESS && free >= kLeastFree) {
    release_ = f.release;
    return;
  }
  f.release(handle_);
  if (r != CUDA_SUCCESS) throw Error(GRAFT_UNAVAILABLE, text(who, " does not tell its free memory: ", named(f, r)));
  throw Error(GRAFT_OUT_OF_MEMORY, text(who, " has ", mib(free), " of its ", mib(total), " free", need));
}

Context::~Context() { release_(handle_); }

}  // namespace graft::cuda
