// The machine's ceilings for the workloads of the speed list: `ceilings WORKLOAD [--precision f32|bf16] [--threads N]
// [--warmup N] [--steps N]`, the words that every side of jmh/pairs takes, answered with one line of JSON.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <omp.h>
#include <stdexcept>
#include <unistd.h>

#include "report.h"

static Request parse(int count, char** words) {
  if (count % 2 != 0) throw std::invalid_argument("expected WORKLOAD followed by pairs of --name value");
  Request request;
  request.workload = words[1];
  for (int i = 2; i < count; i += 2) {
    std::string name = words[i], value = words[i + 1];
    if (name == "--precision") request.precision = value;
    else if (name == "--threads") request.threads = std::stoi(value);
    else if (name == "--warmup") request.warmup = std::stoi(value);
    else if (name == "--steps") request.steps = std::stoi(value);
    else if (name != "--variant") throw std::invalid_argument("unknown option " + name);
  }
  return request;
}

static Report measure(const Request& request) {
  if (request.workload.rfind("resnet18_", 0) == 0) return resnet18(request);
  // one read and one write of the logits (4096, 32000) are the least
  if (request.workload == "softmax_ce") return scale(request, size_t{4096} * 32000 * 4);
  // the update reads parameter, gradient and two moments and writes three of them: 7 passes, an in-place scale has 2
  if (request.workload == "adamw_100m") return scale(request, size_t{100'000'000} * 4 * 7 / 2);
  // any number of bytes, or any product: what the benchmarks of the direct kernels ask for
  if (request.workload.rfind("scale:", 0) == 0) return scale(request, std::stoull(request.workload.substr(6)) / 2);
  if (request.workload.rfind("matmul:", 0) == 0) {
    long long m = 0, n = 0, k = 0;
    std::sscanf(request.workload.c_str(), "matmul:%lldx%lldx%lld", &m, &n, &k);
    return product(request, m, n, k);
  }
  throw std::invalid_argument("unknown workload " + request.workload);
}

int main(int count, char** words) {
  try {
    Request request = parse(count, words);
    omp_set_num_threads(request.threads);
    double machine = machine_seconds(), own = own_seconds(), start = omp_get_wtime();
    Report report = measure(request);
    double available = (omp_get_wtime() - start) * static_cast<double>(sysconf(_SC_NPROCESSORS_ONLN));
    double others = machine_seconds() - machine - (own_seconds() - own);
    report.settings["precision"] = request.precision;
    report.settings["threads"] = std::to_string(request.threads);
    print(report, std::max(0.0, 100 * others / available));
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "ceilings: %s\n", e.what());
    return 1;
  }
}
